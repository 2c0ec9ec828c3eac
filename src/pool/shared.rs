//! What a pool's threads share, and how a thread from outside comes in.

use std::ptr::NonNull;
use std::sync::Arc;

use super::broadcast::Broadcasts;
use super::remote_call::RemoteCall;
use super::runs::Runs;
use super::spawn::{self, PanicHandler};
use super::threads::blocking::{Back, Spares};
use super::threads::cpu_conflict::Whereabouts;
use super::work::injector::Injector;
use super::work::job::{Group, Job};
use super::work::overdue::StandBy;
use super::work::patience::Idle;
use super::work::raid::{self, Raids};
use super::work::seat::Seat;
use super::work::victims::{Layout, Victims};
use super::work::worker::{self, Worker};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::claim::Claims;
use crate::sync::event_count::{EventCount, Only, Prefer};
use crate::sync::fork;
use crate::sync::parker::Parker;
use crate::topology::bind;

/// Threads from outside that can work in a pool at the same time; more of them wait.
pub(crate) const GUESTS: usize = 8;

/// What a pool's threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Workers first, then guests, then spares.
    pub(crate) seats: Box<[Seat]>,
    pub(super) workers: usize,
    pub(super) guests: Claims,
    pub(super) whereabouts: Whereabouts,
    pub(super) layout: Layout,
    pub(super) victims: Victims,
    /// One for each NUMA node where workers are.
    pub(super) injectors: Box<[Injector]>,
    /// Jobs from outside without a home go to the nodes in turn.
    pub(super) next_node: AtomicUsize,
    pub(crate) idle: EventCount,
    pub(super) spares: Spares,
    pub(super) broadcasts: Broadcasts,
    /// Of the closures that nobody waits for.
    pub(super) detached: Group,
    pub(super) panic_handler: Option<PanicHandler>,
    /// How long workers look for work before they sleep.
    pub(super) patience: Idle,
    pub(super) raids: Raids,
    pub(super) stand_by: StandBy,
    pub(super) runs: Runs,
    /// The process that its threads are in.
    pub(super) process: u32,
}

impl Shared {
    /// For the workers of `layout`, of whom at most `active` are woken to be active at once.
    pub(super) fn new(layout: Layout, active: usize) -> Self {
        let workers = layout.workers();
        let spares = Spares::new(workers);
        let seats = workers + GUESTS + spares.most();
        fork::watch();
        Self {
            seats: (0..seats).map(|index| Seat::new(index, layout.at(index), index as u64 + 1)).collect(),
            workers,
            guests: Claims::new(u32::try_from(GUESTS).expect("few")),
            whereabouts: Whereabouts::new(),
            victims: layout.victims(seats),
            injectors: (0..layout.nodes()).map(|_| Injector::default()).collect(),
            next_node: AtomicUsize::new(0),
            layout,
            idle: EventCount::new(active, seats),
            spares,
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

    /// Whether this process is a child of the one that the pool was made in: it has no threads here, and what they had locked
    /// stays so.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.process != fork::process()
    }

    /// Before a call that others of the pool must take part in.
    ///
    /// # Panics
    /// If there are no others.
    #[inline]
    pub(super) fn check_process(&self) {
        if self.is_forked() {
            forked();
        }
    }

    /// How many worker threads there are.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Changes how many are to be active at once: those who are too many park after the job they are at, those who may be
    /// active again are woken if there is work.
    pub(crate) fn set_active(&self, active: usize) {
        self.idle.set_limit(active);
        self.pay(0);
    }

    /// The workers' NUMA node with the system's number `id`, as the pool counts them; none: nobody is there, or all are.
    pub(crate) fn home_of(&self, id: usize) -> Option<usize> {
        if self.layout.nodes() > 1 { self.layout.index_of(id) } else { None }
    }

    /// Gives a job that has its token to whoever may run it; one without a group first of all to whoever waits for it.
    pub(crate) fn inject(&self, job: Job) {
        let nodes = self.injectors.len();
        // Relaxed: any order will do.
        let node = if nodes > 1 { self.next_node.fetch_add(1, Ordering::Relaxed) % nodes } else { 0 };
        self.inject_at(node, job);
    }

    /// Gives a job that has its token to the workers of a node first.
    pub(crate) fn inject_at(&self, node: usize, job: Job) {
        let id = job.id();
        let is_given_back = job.group().is_none();
        self.injectors[node].push([job]);
        if is_given_back {
            self.idle.give_back(id);
        }
        self.notify(node, Some(id), 1);
        self.call_stand_by(node);
    }

    /// Gives a job that has its token to the workers of a node where it is at home: one of them is woken, even if others
    /// look for work elsewhere.
    pub(super) fn send_home(&self, node: usize, job: Job) {
        let id = job.id();
        self.injectors[node].push([job]);
        self.notify(node, Some(id), usize::MAX);
        self.call_stand_by(node);
    }

    /// Whom to wake for what lies at `node`.
    pub(super) fn prefer(&self, node: usize) -> Prefer<'_> {
        // A thread of the pool goes on working here; one from outside is about to block, as a rule.
        let stays = self.layout.is_bound() && self.idle.can_wake() && Worker::here(self).is_some();
        let busy = if stays { bind::current_cpu() } else { None };
        Prefer { near: self.layout.near(node), busy }
    }

    /// Wakes a thread that may run a job of `group`, the nearest to `node` first, if fewer look for work than there are
    /// `jobs` in sight. Call it after the jobs are visible.
    pub(super) fn notify(&self, node: usize, group: Only, jobs: usize) {
        if self.idle.notify(self.prefer(node), group, jobs, 1) {
            self.miss_spare();
        }
    }

    /// As [`notify`](Self::notify), for pending joins that are public at `seat`: threads that wait for an ancestor of theirs may
    /// run them too.
    pub(super) fn notify_descendants(&self, seat: &Seat, jobs: usize) {
        let may = |only: Only| only.is_none_or(|ancestor| seat.signals.ancestors.has(ancestor));
        if self.idle.pass_on(self.prefer(seat.node), jobs, 1, may) {
            self.miss_spare();
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

    /// Does `work` on a thread of this pool: on this one if it is one, or has a seat below, else on this one in a guest
    /// seat, else, if all seats are taken, on a worker while this thread waits.
    pub(crate) fn on_worker<R: Send>(&self, work: impl FnOnce(&Worker<'_>) -> R + Send) -> R {
        if let Some(worker) = Worker::here(self) {
            return work(worker);
        }
        // It has a seat, but is away from it, or in the middle of what it does in another pool.
        if let Some((seat, is_away)) = Worker::find_inside(self, |at| Some((at.seat.index, at.is_away()))) {
            return Worker::at(self, &self.seats[seat], |worker| {
                let _back = is_away.then(|| Back::new(worker));
                work(worker)
            });
        }
        self.check_process();
        let Some(place) = self.guests.take() else { return self.elsewhere(work) };
        let _leave = Leave { shared: self, place };
        self.idle.enter();
        Worker::at(self, &self.seats[self.workers + place as usize], |worker| {
            let _hand_over = HandOver(worker);
            worker.say_where();
            work(worker)
        })
    }

    /// Whether there is a job in sight that a thread that waits for `only` may run.
    pub(super) fn has_work(&self, only: Only) -> bool {
        let injected = self.injectors.iter().any(|injector| injector.has(only));
        injected || self.seats_in_use().iter().any(|seat| worker::may_hold(seat, only))
    }

    /// Asks all seats for jobs, as a look was perhaps owed to others that sleep; whether there is a job in sight for a worker
    /// that is about to sleep.
    pub(super) fn asks_for_work(&self) -> bool {
        self.idle.settle();
        self.ask_all();
        self.has_work(None)
    }

    /// Asks all seats for jobs.
    pub(super) fn ask_all(&self) {
        for seat in self.seats_in_use() {
            seat.signals.request.ask();
            seat.signals.shield.lower();
        }
    }

    /// Asks the seats that are in the middle of what is waited for to publish descendants of it, when they have some.
    pub(super) fn ask_for_descendants(&self, ancestor: Only) {
        for seat in self.seats_in_use().iter().filter(|seat| raid::may_be_for(seat, ancestor)) {
            seat.signals.request.ask();
            seat.signals.shield.lower();
        }
    }

    /// Runs `work` on some worker, and blocks this thread until it is done.
    fn elsewhere<R: Send>(&self, work: impl FnOnce(&Worker<'_>) -> R + Send) -> R {
        let parker = Arc::new(Parker::new());
        let begun = |worker: &Worker<'_>| {
            self.idle.set_urgent(false);
            work(worker)
        };
        let call = RemoteCall::new(begun, Arc::clone(&parker));
        self.idle.set_urgent(true);
        self.inject(call.job());
        while !call.latch().is_set() {
            parker.park();
        }
        call.result()
    }
}

/// Gives a guest seat back.
struct Leave<'a> {
    shared: &'a Shared,
    place: u32,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.shared.guests.release(self.place);
        self.shared.idle.exit(false);
        self.shared.pay(self.shared.layout.node(self.shared.workers + self.place as usize));
    }
}

/// Leaves nothing private behind at a guest seat.
struct HandOver<'a, 'p>(&'a Worker<'p>);

impl Drop for HandOver<'_, '_> {
    fn drop(&mut self) {
        self.0.hand_over();
        self.0.say_gone();
    }
}

/// Not a worker's call: it would wait for ever.
#[cold]
fn forked() -> ! {
    panic!("this pool was made before a fork: it has no threads in the child process, which may make a pool of its own")
}
