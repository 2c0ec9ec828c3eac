//! What a pool's threads share, and how a thread from outside comes in.

use std::ptr::NonNull;

use super::broadcast::Broadcasts;
use super::guests::Guests;
use super::runs::Runs;
use super::spawn::{self, PanicHandler};
use super::threads::blocking::Compensators;
use super::threads::cpu_conflict::Whereabouts;
use super::work::injector::Injector;
use super::work::job::{Group, Job};
use super::work::layout::Layout;
use super::work::overdue::StandBy;
use super::work::patience::Idle;
use super::work::raid::{self, Raids};
use super::work::seat::Seat;
use super::work::victims::Victims;
use super::work::worker::{self, Worker, put_into_bag};
#[cfg(feature = "check")]
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::event_count::{EventCount, Only, Prefer};
#[cfg(feature = "check")]
use crate::sync::recorder::Records;
use crate::sync::{explores, fork};
use crate::topology::bind;

/// What a pool's threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Workers first, then guests, then compensating threads.
    pub(crate) seats: Box<[Seat]>,
    pub(super) workers: usize,
    pub(super) guests: Guests,
    pub(super) whereabouts: Whereabouts,
    pub(super) layout: Layout,
    pub(super) victims: Victims,
    /// One for each NUMA node where workers are.
    pub(super) injectors: Box<[Injector]>,
    /// Counts jobs from outside that have no home: they go to the nodes in turn.
    pub(super) next_node: AtomicUsize,
    pub(crate) sleep: EventCount,
    /// Whether schedules are explored with it: then one thread does all.
    #[cfg(feature = "check")]
    pub(crate) is_explored: AtomicBool,
    /// What its runs call, if that is recorded.
    #[cfg(feature = "check")]
    pub(crate) records: Option<Records>,
    pub(super) compensators: Compensators,
    pub(super) broadcasts: Broadcasts,
    /// The group of the closures that nobody waits for.
    pub(super) detached: Group,
    pub(super) panic_handler: Option<PanicHandler>,
    /// How long workers look for work before they sleep.
    pub(super) patience: Idle,
    pub(super) raids: Raids,
    pub(super) stand_by: StandBy,
    pub(super) runs: Runs,
    /// The process in which its threads are.
    pub(super) process: u32,
}

impl Shared {
    /// For the workers of `layout`, of which at most `active` are woken to be active at once.
    pub(super) fn new(layout: Layout, active: usize) -> Self {
        let workers = layout.workers();
        let compensators = Compensators::new(workers);
        let guests = Guests::new(workers);
        let seats = workers + guests.seats() + compensators.most();
        fork::watch();
        let victims = Victims::new(&layout, seats);
        let seat = |index| Seat::new(index, layout.at(index), victims.marks(index), index as u64 + 1);
        Self {
            seats: (0..seats).map(seat).collect(),
            #[cfg(feature = "check")]
            is_explored: AtomicBool::new(false),
            #[cfg(feature = "check")]
            records: None,
            workers,
            whereabouts: Whereabouts::new(guests.seats()),
            guests,
            victims,
            injectors: (0..layout.nodes()).map(|_| Injector::default()).collect(),
            next_node: AtomicUsize::new(0),
            sleep: EventCount::new(active, &layout.seats_by_domain(seats)),
            layout,
            compensators,
            broadcasts: Broadcasts::default(),
            detached: spawn::group(),
            panic_handler: None,
            patience: Idle::default(),
            raids: Raids::new(),
            stand_by: StandBy::default(),
            runs: Runs::default(),
            process: fork::process(),
        }
    }

    /// Whether this process is a child of the one in which the pool was made. The pool has no threads here, and a lock
    /// that one of them held at the fork stays locked.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.process != fork::process()
    }

    /// Comes before a call in which other threads of the pool must take part.
    ///
    /// # Panics
    /// If there are none, because this is a child process.
    #[inline]
    pub(super) fn check_process(&self) {
        if self.is_forked() {
            forked();
        }
    }

    /// The seat of the first compensating thread; those before it are of workers and guests.
    #[inline]
    pub(crate) fn first_compensator(&self) -> usize {
        self.workers + self.guests.seats()
    }

    /// How many worker threads there are.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Changes how many workers may be active at once. One that is too many parks after its current job; one that may
    /// be active again is woken if there is work.
    pub(crate) fn set_active(&self, active: usize) {
        self.sleep.set_limit(active);
        self.pay(0);
    }

    /// The pool's index of the NUMA node with the system's number `id`. `None`: no worker is there, or every worker is.
    pub(crate) fn home_of(&self, id: usize) -> Option<usize> {
        if self.layout.nodes() > 1 { self.layout.index_of(id) } else { None }
    }

    /// Gives a job whose token is taken to any thread that may run it. A job without a group wakes the thread that
    /// waits for it first of all.
    pub(crate) fn inject(&self, job: Job) {
        let nodes = self.injectors.len();
        // Relaxed: any order will do.
        let node = if nodes > 1 { self.next_node.fetch_add(1, Ordering::Relaxed) % nodes } else { 0 };
        self.inject_at(node, job);
    }

    /// Gives a job whose token is taken to the workers of a node first.
    pub(crate) fn inject_at(&self, node: usize, job: Job) {
        if explores() {
            return put_into_bag(job);
        }
        #[cfg(feature = "check")]
        if self.is_explored.load(Ordering::Relaxed) {
            crate::sync::footprint::refuse_thread();
        }
        let id = job.id();
        let is_given_back = job.group().is_none();
        self.injectors[node].push([job]);
        if is_given_back {
            self.sleep.give_back(id);
        }
        self.notify(self.layout.first_domain(node), Some(id), 1);
        self.call_stand_by(node);
    }

    /// Gives a job whose token is taken to the workers of its home node. It wakes one of them, even if threads
    /// elsewhere look for work already.
    pub(super) fn send_home(&self, node: usize, job: Job) {
        if explores() {
            return put_into_bag(job);
        }
        let id = job.id();
        self.injectors[node].push([job]);
        self.notify(self.layout.first_domain(node), Some(id), usize::MAX);
        self.call_stand_by(node);
    }

    /// Which sleepers to wake first for a job in the L3 domain `domain`.
    pub(super) fn prefer(&self, domain: usize) -> Prefer<'_> {
        // A thread of the pool goes on working on its CPU; one from outside usually blocks next.
        let stays = self.layout.is_bound() && Worker::here(self).is_some() && self.sleep.can_wake(domain);
        let busy = if stays { bind::current_cpu() } else { None };
        Prefer { near: self.layout.near_domains(domain), busy }
    }

    /// Wakes a thread that may run a job of `group`, the nearest to `domain` first, unless at least `jobs` threads look
    /// for work there already. Call it after the jobs are visible.
    pub(super) fn notify(&self, domain: usize, group: Only, jobs: usize) {
        if self.sleep.notify(self.prefer(domain), group, jobs, 1) {
            self.miss_compensator();
        }
    }

    /// As [`notify`](Self::notify), for pending joins that are public at `seat`. Threads that wait for an ancestor of
    /// one of them may run it too.
    pub(super) fn notify_descendants(&self, seat: &Seat, jobs: usize) {
        let ancestors = || seat.signals.ancestors.iter();
        if self.sleep.pass_on(self.prefer(seat.domain), jobs, 1, ancestors) {
            self.miss_compensator();
        }
    }

    /// Makes room for the jobs of a plan, for as long as it lives.
    pub(crate) fn plan_jobs(&self, group: NonNull<Group>, jobs: usize) {
        if self.is_forked() {
            return;
        }
        self.injectors.iter().for_each(|injector| injector.plan(group.addr(), jobs));
    }

    /// Takes back what [`plan_jobs`](Self::plan_jobs) reserved.
    pub(crate) fn unplan_jobs(&self, group: NonNull<Group>) {
        if self.is_forked() {
            return;
        }
        self.injectors.iter().for_each(|injector| injector.unplan(group.addr()));
    }

    /// Whether there is a job in sight that a thread that waits for `only` may run.
    pub(super) fn has_work(&self, only: Only) -> bool {
        let injected = self.injectors.iter().any(|injector| injector.has(only));
        injected || self.showing(0).any(|seat| worker::may_hold(seat, only))
    }

    /// All seats that seem to have public jobs, the nearest to an L3 domain first.
    pub(super) fn showing(&self, domain: usize) -> impl Iterator<Item = &Seat> {
        self.victims.showing_near(domain).map(|seat| &self.seats[seat])
    }

    /// The look of a worker that is about to sleep: asks all seats for jobs, and tells whether one is in sight. This is
    /// a look at everything, so it takes away the notes that others have left. If there is a job, the worker searches on.
    /// It may find another one, so it leaves a note that its search ends with a look at everything.
    pub(super) fn asks_for_work(&self) -> bool {
        self.sleep.settle();
        self.ask_all();
        self.seats_in_use().iter().for_each(|seat| seat.signals.shield.lower());
        let has_work = self.has_work(None);
        if has_work {
            self.sleep.hand_on();
        }
        has_work
    }

    /// Whether some thread of this seat's L3 domain looks for work now: a hint.
    pub(crate) fn is_searched_near(&self, seat: &Seat) -> bool {
        self.sleep.searching(seat.domain) > 0
    }

    /// Asks all seats for jobs.
    pub(super) fn ask_all(&self) {
        self.victims.unasked().for_each(|seat| self.seats[seat].signals.request.ask());
    }

    /// Asks the seats that are in the middle of what is waited for to publish the descendants that they have.
    pub(super) fn ask_for_descendants(&self, ancestor: Only) {
        for seat in self.seats_in_use().iter().filter(|seat| raid::may_be_for(seat, ancestor)) {
            seat.signals.request.ask();
            seat.signals.shield.lower();
        }
    }
}

/// Refuses a call that would wait for ever.
#[cold]
fn forked() -> ! {
    panic!("this pool was made before a fork: it has no threads in the child process, which may make a pool of its own")
}
