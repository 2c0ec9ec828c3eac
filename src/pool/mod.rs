//! The threads, and what they share.
//!
//! A [`Pool`] owns worker threads that sit at seats ([`seat`]), take jobs ([`job`]) from each other and from the injector
//! ([`injector`]), and sleep when there are none ([`crate::sync::event_count`]). [`worker`] tells in which order they look,
//! [`publish`] and [`raid`] how the jobs of one come to others. A thread from outside that waits for something takes a
//! guest seat and works for just that.
//!
//! # Closing
//! (C1) No run may begin any more; runs that are under way are cancelled. (C2) Wait until they have ended. (C3) Tell the
//! workers to end once they find nothing, and wake them all: so all that was spawned is run. (C4) Join every thread, workers
//! first, for they may still make spares. If a thread of the pool's own, or one that is in the middle of something here,
//! drops it, nothing is waited for: whoever ends last does (C3), and the threads end by themselves.

mod blocking;
mod broadcast;
mod builder;
mod cpu_conflict;
mod elastic;
mod find;
mod grain;
mod half;
mod handle;
mod indexed;
mod injector;
#[cfg(feature = "iterators")]
mod iterators;
pub(crate) mod job;
mod join;
mod leaves;
mod lineage;
mod overdue;
mod parallel;
mod patience;
mod placement;
mod publish;
mod raid;
mod register;
mod remote_call;
mod scope;
mod seat;
mod shield;
mod sight;
pub(crate) mod span;
mod spawn;
mod spots;
mod tree;
mod victims;
mod wait;
pub(crate) mod worker;

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

pub use builder::PoolBuilder;
#[cfg(all(test, not(loom)))]
pub(crate) use builder::without_threads;
pub use handle::PoolHandle;
pub use indexed::{Indexed, Integer};
pub use patience::Idle;
pub use placement::{Pinning, Placement, WorkerPlace};
pub use scope::Scope;

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::claim::Claims;
use crate::sync::event_count::{EventCount, Only, Prefer};
use crate::sync::parker::Parker;
use crate::sync::{Condvar, Mutex, fork, thread};
use crate::topology::{Topology, bind};
use blocking::{Back, Spares};
use broadcast::Broadcasts;
use cpu_conflict::Whereabouts;
use injector::Injector;
use job::{Group, Job};
use overdue::StandBy;
use raid::Raids;
use seat::Seat;
use spawn::PanicHandler;
use victims::{Layout, Victims};
use worker::Worker;

/// Threads from outside that can work in a pool at the same time; more of them wait.
pub(crate) const GUESTS: usize = 8;

/// What a pool's threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Workers first, then guests, then spares.
    pub(crate) seats: Box<[Seat]>,
    workers: usize,
    guests: Claims,
    whereabouts: Whereabouts,
    layout: Layout,
    victims: Victims,
    /// One for each NUMA node where workers are.
    injectors: Box<[Injector]>,
    /// Jobs from outside without a home go to the nodes in turn.
    next_node: AtomicUsize,
    pub(crate) idle: EventCount,
    spares: Spares,
    broadcasts: Broadcasts,
    /// Of the closures that nobody waits for.
    detached: Group,
    panic_handler: Option<PanicHandler>,
    /// How long workers look for work before they sleep.
    patience: Idle,
    raids: Raids,
    stand_by: StandBy,
    runs: Mutex<Runs>,
    runs_ended: Condvar,
    /// The process that its threads are in.
    process: u32,
}

/// The runs under way.
#[derive(Debug, Default)]
struct Runs {
    closed: bool,
    /// The pool was dropped by an operator of one of them: the last one to end ends the workers.
    abandoned: bool,
    /// Threads that are about to begin a run, or have one under way; one may be several times.
    visitors: Vec<thread::ThreadId>,
    active: Vec<ActiveRun>,
}

/// A run that the pool can cancel.
#[derive(Debug)]
pub(crate) struct ActiveRun {
    pub(crate) run: *const (),
    /// # Safety
    /// `run` is registered: it has not ended.
    pub(crate) cancel: unsafe fn(*const ()),
}

#[expect(unsafe_code, reason = "the registry is used from the thread that drops the pool")]
// SAFETY: (1) `run` is only given to `cancel`, which may be called from any thread; (2) a run is taken out before it ends.
unsafe impl Send for ActiveRun {}

impl Shared {
    /// For the workers of `layout`, of whom at most `active` are woken to be active at once.
    fn new(layout: Layout, active: usize) -> Self {
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
            runs: Mutex::new(Runs::default()),
            runs_ended: Condvar::default(),
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
    fn check_process(&self) {
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
    fn send_home(&self, node: usize, job: Job) {
        let id = job.id();
        self.injectors[node].push([job]);
        self.notify(node, Some(id), usize::MAX);
        self.call_stand_by(node);
    }

    /// Whom to wake for what lies at `node`.
    fn prefer(&self, node: usize) -> Prefer<'_> {
        // A thread of the pool goes on working here; one from outside is about to block, as a rule.
        let stays = self.layout.is_bound() && self.idle.can_wake() && Worker::here(self).is_some();
        let busy = if stays { bind::current_cpu() } else { None };
        Prefer { near: self.layout.near(node), busy }
    }

    /// Wakes a thread that may run a job of `group`, the nearest to `node` first, if fewer look for work than there are
    /// `jobs` in sight. Call it after the jobs are visible.
    fn notify(&self, node: usize, group: Only, jobs: usize) {
        if self.idle.notify(self.prefer(node), group, jobs, 1) {
            self.miss_spare();
        }
    }

    /// As [`notify`](Self::notify), for second halves of joins that `seat` shows: whoever waits for a whole of theirs may run
    /// them too.
    fn notify_parts(&self, seat: &Seat, jobs: usize) {
        let may = |only: Only| only.is_none_or(|whole| seat.shown.lineage.has(whole));
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

    /// Keeps the pool's threads alive while `work` runs; `None`: the pool is closed, or this is a child process.
    pub(crate) fn visit<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        struct Visit<'a>(&'a Shared);
        impl Drop for Visit<'_> {
            fn drop(&mut self) {
                let (mut runs, me) = (self.0.runs.lock(), thread::current().id());
                let place = runs.visitors.iter().rposition(|visitor| *visitor == me).expect("it came in");
                runs.visitors.swap_remove(place);
                if runs.visitors.is_empty() && runs.abandoned {
                    drop(runs);
                    return self.0.idle.end(); // (C3) on behalf of the thread that dropped the pool
                }
                self.0.runs_ended.notify_one();
            }
        }
        if self.is_forked() {
            return None;
        }
        {
            let mut runs = self.runs.lock();
            if runs.closed {
                return None;
            }
            runs.visitors.push(thread::current().id());
        }
        let _visit = Visit(self);
        Some(work())
    }

    /// Registers a run, so that it is cancelled when the pool closes; `false`: it closes already.
    pub(crate) fn begin_run(&self, run: ActiveRun) -> bool {
        let mut runs = self.runs.lock();
        if !runs.closed {
            runs.active.push(run);
        }
        !runs.closed
    }

    /// Takes a run out again.
    pub(crate) fn end_run(&self, run: *const ()) {
        self.runs.lock().active.retain(|active| !std::ptr::eq(active.run, run));
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
    fn has_work(&self, only: Only) -> bool {
        let injected = self.injectors.iter().any(|injector| injector.has(only));
        injected || self.seats_in_use().iter().any(|seat| worker::may_hold(seat, only))
    }

    /// Asks all seats for jobs, as a look was perhaps owed to others that sleep; whether there is a job in sight for a worker
    /// that is about to sleep.
    fn asks_for_work(&self) -> bool {
        self.idle.settle();
        self.ask_all();
        self.has_work(None)
    }

    /// Asks all seats for jobs.
    fn ask_all(&self) {
        for seat in self.seats_in_use() {
            seat.shown.request.ask();
            seat.shown.shield.lower();
        }
    }

    /// Asks those who are in the middle of what is waited for to show parts of it, when they have some.
    fn ask_for_parts(&self, whole: Only) {
        for seat in self.seats_in_use().iter().filter(|seat| raid::may_be_for(seat, whole)) {
            seat.shown.request.ask();
            seat.shown.shield.lower();
        }
    }

    /// Runs `work` on some worker, and blocks this thread until it is done.
    fn elsewhere<R: Send>(&self, work: impl FnOnce(&Worker<'_>) -> R + Send) -> R {
        let parker = Arc::new(Parker::new());
        let begun = |worker: &Worker<'_>| {
            self.idle.set_urgent(false);
            work(worker)
        };
        let call = remote_call::RemoteCall::new(begun, Arc::clone(&parker));
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

/// Worker threads that run graphs, joins and scopes.
///
/// Each worker sits on a core of its own where that is possible ([`Pool::placement`]), keeps its work near, and steals
/// when it has none. An idle pool uses no CPU. Any number of threads may use a pool at once.
///
/// Whatever is queued is begun by any active worker that has nothing else to do, within 100 us in the median and 2 ms at worst
/// (and one wake-up), whatever the thread that queued it does meanwhile; for one exception see [`join`](Self::join).
///
/// Dropping it cancels the runs under way, lets all that was [spawned](Self::spawn) be called, and returns when all its
/// threads have ended; on a thread of its own it waits for nothing, and they end by themselves.
///
/// # Forks
/// The child of a `fork` has none of its parent's threads, so a pool made before is of no use there: runs fail with
/// [`RunErrorKind::Forked`](crate::RunErrorKind::Forked), handles give [`Closed`](crate::Closed), all other calls that need
/// the pool's threads panic and say why, and dropping it just forgets them. The child may make a pool of its own. A child that
/// was forked inside a job of the pool, or inside a scope, must not come back from there: what it would wait for may have been
/// under way on a thread that it does not have.
///
/// ```
/// use millstream::{Graph, Pool};
///
/// let pool = Pool::new()?;
/// let g = Graph::new();
/// let sum = g.range(0..1000_u64).map(|x| x * x).sum::<u64>();
/// assert_eq!(pool.run(g)?.take(sum), 332_833_500);
/// # Ok::<(), millstream::Error>(())
/// ```
pub struct Pool {
    pub(crate) shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
    placement: Arc<Mutex<Placement>>,
    topology: Arc<Topology>,
    /// Of an elastic pool.
    watcher: Option<elastic::Watcher>,
    /// Given up when the threads have ended.
    _claim: register::Claim,
    /// Its drop closes the pool: this is not just the pool that a [`PoolHandle`] gives.
    closes: bool,
}

impl Pool {
    /// A pool with one worker for every core that this process may use.
    ///
    /// # Errors
    /// If a thread cannot be made.
    pub fn new() -> Result<Self, crate::Error> {
        Self::builder().build()
    }

    /// Options for a pool.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::new()
    }

    /// How many workers the pool has.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.workers
    }

    /// Where the workers run, and why there; in an [elastic](PoolBuilder::elastic) pool, where they run now.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.placement.lock().clone()
    }

    /// A pool without threads yet.
    fn new_empty(shared: Arc<Shared>, placement: Placement, claim: register::Claim, topology: Arc<Topology>) -> Self {
        shared.plan_spawns();
        let placement = Arc::new(Mutex::new(placement));
        Self { shared, threads: Vec::new(), placement, topology, watcher: None, _claim: claim, closes: true }
    }

    /// The machine that the workers were placed on.
    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Ends the pool's threads: (C1) to (C4) of the module.
    fn close(&mut self) {
        if self.shared.is_forked() {
            return self.forget_threads();
        }
        self.watcher = None;
        let (shared, me) = (&self.shared, thread::current().id());
        let mut runs = shared.runs.lock();
        runs.closed = true; // (C1)
        for run in &runs.active {
            #[expect(unsafe_code, reason = "cancels a run from outside")]
            // SAFETY: registered, and it cannot end while the lock is held.
            unsafe {
                (run.cancel)(run.run);
            }
        }
        let is_inside = Worker::is_inside(shared) || runs.visitors.contains(&me);
        if is_inside && !runs.visitors.is_empty() {
            runs.abandoned = true; // a run, or another visitor, waits for this very thread
            return;
        }
        while !runs.visitors.is_empty() {
            runs = shared.runs_ended.wait(runs); // (C2)
        }
        drop(runs);
        shared.idle.end(); // (C3)
        let mut threads = std::mem::take(&mut self.threads);
        while !is_inside && !threads.is_empty() {
            for thread in threads.drain(..).filter(|thread| thread.thread().id() != me) {
                thread.join().expect("a worker thread does not unwind"); // (C4)
            }
            threads = shared.spares.take_threads();
        }
    }
}

impl Pool {
    /// In a child process: its threads are not there to be told or waited for, and who has its locks may be one of them.
    fn forget_threads(&mut self) {
        std::mem::forget(std::mem::take(&mut self.threads));
        std::mem::forget(self.watcher.take());
        std::mem::forget(std::mem::take(&mut self._claim));
    }
}

/// Not a worker's call: it would wait for ever.
#[cold]
fn forked() -> ! {
    panic!("this pool was made before a fork: it has no threads in the child process, which may make a pool of its own")
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.closes {
            self.close();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.shared.workers).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
