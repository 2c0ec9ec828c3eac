//! A worker: a thread at a seat. It finds a job and runs it, again and again. It sleeps when there is none.
//!
//! The same code drives a worker thread, a guest from outside, a compensating thread, and a virtual worker of the
//! checker.
//!
//! # Where a worker looks, in this order
//! 1. its calls of broadcasts ([`crate::pool::broadcast`]);
//! 2. its private ring, the newest job first;
//! 3. its public deque, and then its late jobs;
//! 4. the injector of its node;
//! 5. the public deques of other seats that show jobs, the nearest first ([`super::victims`]);
//! 6. the injectors of other nodes;
//! 7. now and then, the private jobs of other seats ([`super::raid`]).
//!
//! Every [`FAIRNESS`]th find begins at the injector of its node, at its late jobs and at the oldest job of its seat instead. So
//! does every find while a job in that injector is overdue ([`super::overdue`]), but for the oldest job. Only the calls of broadcasts still come before.
//!
//! [`super::publish`] tells how a worker queues jobs and how others get them. [`super::wait`] tells what a waiting
//! worker does.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};

use super::job::{Group, Job, group_id};
use super::patience::Patience;
use super::publish::{note_late, tag};
use super::raid::Lookout;
use super::seat::{Counts, Local, Own, Seat};
use crate::pool::Shared;
use crate::pool::join::grain::JoinSite;
use crate::pool::join::shield::StampWatch;
use crate::sync::Instant;
use crate::sync::atomic::Ordering;
use crate::sync::event_count::Only;
use crate::sync::seam::{self, Point};
use crate::sync::shield::Shield;

/// One find in this many begins at the injector, so that jobs from outside are not starved.
pub(super) const FAIRNESS: u32 = 61;
/// A worker runs continuations directly this many times in a row. It queues the next one.
const STREAK: u32 = 16;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The worker has run a job, or has slept while another one looked for jobs in its place: it is to look again.
    Ran,
    /// The worker has found no job.
    Idle,
}

/// A thread at a seat; see the module.
pub(crate) struct Worker<'p> {
    pub(crate) shared: &'p Shared,
    pub(crate) seat: &'p Seat,
    /// The seat's ring, as its owner.
    pub(in crate::pool) own: Own<'p>,
    /// Whether this thread counts as searching in the event count.
    pub(in crate::pool) searching: Cell<bool>,
    /// Whether this thread is the one that goes to sleep because there is one too many.
    pub(in crate::pool) leaves: Cell<bool>,
    /// Whether another thread has woken this one for a job, and it has not begun one since.
    pub(in crate::pool) was_woken: Cell<bool>,
    /// The number of the worker that this thread is, at this seat or further down on its stack. None: it is a guest or
    /// a compensating thread.
    pub(in crate::pool) number: Option<usize>,
    /// Whether a driver of tests steps this worker.
    pub(in crate::pool) driven: bool,
    /// Whether that driver has no clock.
    pub(in crate::pool) timeless: bool,
    /// Whether this thread explores schedules: its jobs go into a [bag](super::bag).
    explores: bool,
    /// Whether this thread lends its slot when it blocks. Virtual workers do so if their driver makes compensating
    /// threads.
    pub(in crate::pool) lends: bool,
    /// The pool for which this is the thread's worker now. Null while the thread blocks.
    pub(in crate::pool) serves: Cell<*const Shared>,
    /// What this thread remembers as a thief.
    pub(in crate::pool) watch: StampWatch,
    /// What this thread remembers as a raider.
    pub(super) lookout: Lookout,
    /// Whether this thread stood by until jobs were overdue, and takes them now.
    pub(super) takes_overdue: Cell<bool>,
    /// How many waits this thread is in, at this seat.
    pub(in crate::pool) waits: Cell<u32>,
    /// What this thread was before: a worker of another pool, or at another seat.
    outer: Current,
}

/// What a thread is now: its worker and its shield.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    /// The worker that the thread is, if it is one.
    worker: Option<NonNull<Worker<'static>>>,
    /// The shield of the seat where the thread sits, or [`Shield::nobody`]. A join looks at it without going through
    /// the worker.
    shield: *const Shield,
}

thread_local! {
    static WORKER: Cell<Option<NonNull<Worker<'static>>>> = const { Cell::new(None) };
    /// This is a variable of its own, so that a thread reads it with one instruction.
    static SHIELD: Cell<*const Shield> = const { Cell::new(Shield::nobody()) };
}

impl Current {
    #[cfg(any(feature = "check", all(test, not(loom))))]
    pub(crate) const NOBODY: Self = Self { worker: None, shield: Shield::nobody() };

    fn get() -> Self {
        Self { worker: WORKER.get(), shield: SHIELD.get() }
    }

    /// Makes this what the thread is, and returns what it was before.
    fn replace(self) -> Self {
        Self { worker: WORKER.replace(self.worker), shield: SHIELD.replace(self.shield) }
    }
}

/// Takes away what this thread is, or puts it back. Drivers that switch stacks need this.
#[cfg(any(feature = "check", all(test, not(loom))))]
pub(crate) fn switch_current(current: Current) -> Current {
    current.replace()
}

/// Whether a join at `spot` is two plain calls at this thread's seat, of any pool.
#[inline]
pub(in crate::pool) fn is_plain(spot: JoinSite) -> bool {
    #[expect(unsafe_code, reason = "the seat of this thread")]
    // SAFETY: (1) it is a static, or `at` took the pointer from a seat that outlives the call of `at`; (2) `at` takes
    // the pointer away again before it returns, and the caller of this function runs inside `at`.
    let shield = unsafe { &*SHIELD.get() };
    spot.is_short(shield.word())
}

impl<'p> Worker<'p> {
    /// The thread sits down at a seat, and does `work` there as its current worker.
    pub(crate) fn at<R>(shared: &'p Shared, seat: &'p Seat, work: impl FnOnce(&Self) -> R) -> R {
        struct Restore(Current);
        impl Drop for Restore {
            fn drop(&mut self) {
                self.0.replace();
            }
        }
        let (searching, serves) = (Cell::new(false), Cell::new(ptr::from_ref(shared)));
        let is_worker = seat.index < shared.workers();
        let number = if is_worker { Some(seat.index) } else { Self::find_inside(shared, |below| below.number) };
        let (driven, watch, lookout, outer) = (seam::is_driven(), StampWatch::new(), Lookout::new(), Current::get());
        #[expect(unsafe_code, reason = "this thread sits at the seat")]
        // SAFETY: (1) one thread at a time sits at a seat; (2) a seat goes from one thread to the next through
        // `Claims`, or at a thread's start.
        let own = unsafe { seat.ring.owner() };
        let (takes_overdue, waits) = (Cell::new(false), Cell::new(0));
        let lends = shared.has_slot(seat) && (!driven || shared.makes_compensators());
        let worker = Self {
            shared,
            seat,
            own,
            searching,
            leaves: Cell::new(false),
            was_woken: Cell::new(false),
            number,
            driven,
            timeless: seam::is_timeless(),
            explores: explores(),
            lends,
            serves,
            watch,
            lookout,
            takes_overdue,
            waits,
            outer,
        };
        let shield = &raw const seat.signals.shield;
        let here = Current { worker: Some(NonNull::from(&worker).cast()), shield };
        let _restore = Restore(here.replace());
        #[cfg(feature = "check")]
        let _sits = crate::sync::recorder::sit(shared.records.as_ref(), seat.index);
        work(&worker)
    }

    /// Whether this thread has a seat in any pool.
    #[inline]
    pub(in crate::pool) fn is_anywhere() -> bool {
        WORKER.get().is_some()
    }

    /// Calls `work`, which blocks. Meanwhile others work in the slots that this thread has, in whatever pools.
    pub(crate) fn block_everywhere(mut work: impl FnMut()) {
        fn block(at: Option<NonNull<Worker<'static>>>, work: &mut dyn FnMut()) {
            let Some(worker) = at else { return work() };
            #[expect(unsafe_code, reason = "the worker stands further down on this very stack")]
            // SAFETY: as (1) and (2) in `here`, and as in `find_inside`.
            let worker: &Worker<'_> = unsafe { worker.as_ref() };
            let mut inner = || block(worker.outer.worker, work);
            if worker.is_away() { inner() } else { worker.block(inner) }
        }
        block(WORKER.get(), &mut work);
    }

    /// Whether this thread works in this pool, perhaps further down on its stack than what it does for another one.
    pub(in crate::pool) fn is_inside(shared: &Shared) -> bool {
        Self::find_inside(shared, |_| Some(())).is_some()
    }

    /// What `look` finds at one of this thread's seats in this pool. A seat counts even if the thread is in another
    /// pool or blocks, further up on its stack.
    pub(in crate::pool) fn find_inside<R>(shared: &Shared, look: impl Fn(&Worker<'_>) -> Option<R>) -> Option<R> {
        let mut next = WORKER.get();
        while let Some(worker) = next {
            #[expect(unsafe_code, reason = "the worker stands further down on this very stack")]
            // SAFETY: as (1) and (2) in `here`. An outer worker stands further down than the inner one, and outlives
            // it.
            let worker: &Worker<'_> = unsafe { worker.as_ref() };
            if ptr::eq(worker.shared, shared)
                && let Some(found) = look(worker)
            {
                return Some(found);
            }
            next = worker.outer.worker;
        }
        None
    }

    /// This thread's worker, if it is one of this pool. The caller uses it on this stack, and does not keep it.
    #[inline]
    pub(crate) fn here(shared: &'p Shared) -> Option<&'p Self> {
        let worker = WORKER.get()?;
        #[expect(unsafe_code, reason = "the worker stands further down on this very stack")]
        // SAFETY: (1) `at` took the pointer from a worker that lives on this thread's stack; (2) it takes it away again
        // before the worker goes, and the caller of this function runs inside `at`; (3) the worker points into this
        // pool, if it serves this pool.
        let worker: &Worker<'p> = unsafe { worker.cast().as_ref() };
        ptr::eq(worker.serves.get(), shared).then_some(worker)
    }

    #[inline]
    pub(in crate::pool) fn local<R>(&self, work: impl FnOnce(&mut Local) -> R) -> R {
        // SAFETY: (1) the thread at the seat makes the `Worker`, which is not `Sync`; (2) the closures only touch the
        // fields.
        #[expect(unsafe_code, reason = "this thread sits at the seat")]
        unsafe {
            self.seat.local(work)
        }
    }

    /// The time now, if there is a clock.
    pub(crate) fn clock(&self) -> Option<Instant> {
        if self.timeless { None } else { Some(Instant::now()) }
    }

    /// Whether this thread explores schedules.
    #[inline]
    pub(in crate::pool) fn explores(&self) -> bool {
        cfg!(feature = "check") && self.explores
    }

    /// Puts a job into the bag, if this thread explores schedules.
    #[inline]
    pub(super) fn put_into_bag(&self, job: Job) -> bool {
        if self.explores() {
            put_into_bag(job);
        }
        self.explores()
    }

    pub(super) fn point(&self, point: Point) {
        if self.driven {
            seam::point(point);
        }
    }

    // ---- finding jobs ------------------------------------------------------------------------------------------

    /// Finds one job and runs it.
    pub(crate) fn step(&self) -> Step {
        self.point(Point::Find);
        let sleep = &self.shared.sleep;
        if let Some(call) = self.take_call(false) {
            return self.run_found(call);
        }
        if sleep.is_crowded(self.seat.domain) && !sleep.is_ending() {
            self.publish_all(); // the limit was lowered, and this thread is one too many
        } else if let Some(job) = self.find_here(None) {
            return self.run_found(job);
        }
        if !self.searching.replace(true) {
            sleep.search(self.seat.domain);
            // What lies near by is often of the same group. Then this thread keeps its tokens: their word is a cache line
            // that all threads of the group want.
            if let Some(job) = self.steal_near() {
                return self.run_found(job);
            }
        }
        self.settle();
        if sleep.is_over_limit(self.seat.domain) && !sleep.is_ending() {
            // A guest came while this worker searched, or this worker stood by: there is one thread too many.
            return self.take_overdue().map_or_else(|| self.begin_to_leave(), |job| self.run_found(job));
        }
        self.stands_down();
        if self.makes_way() {
            return Step::Ran;
        }
        self.find_elsewhere(None).map_or(Step::Idle, |job| self.run_found(job))
    }

    /// Goes to sleep, if no other thread does so because there is one too many. All that search see it at once.
    fn begin_to_leave(&self) -> Step {
        if !self.leaves.get() {
            self.leaves.set(self.shared.sleep.begin_to_leave());
        }
        Step::Idle
    }

    /// This thread counts as asleep, or goes on after all.
    pub(in crate::pool) fn has_left(&self) {
        if self.leaves.replace(false) {
            self.shared.sleep.has_left();
        }
    }

    fn run_found(&self, job: Job) -> Step {
        self.found();
        self.execute(job);
        Step::Ran
    }

    /// This thread has a job. If it searched, it searches no more, and wakes others for the rest if somebody counts on it:
    /// the one who woke it, or those who saw nobody else search here.
    #[inline]
    fn found(&self) {
        if self.searching.replace(false) {
            self.has_left();
            let is_last = self.shared.sleep.found(self.seat.domain);
            if self.was_woken.replace(false) || is_last {
                self.wake_for_rest();
            }
            self.leaves_stand_by();
        }
    }

    // ---- running jobs ------------------------------------------------------------------------------------------

    /// Runs a job and its continuations.
    pub(in crate::pool) fn execute(&self, mut job: Job) {
        let abort = AbortIfPanic;
        #[cfg(feature = "check")]
        let _nested = crate::sync::recorder::runs_job();
        let group = job.group();
        if self.local(|local| local.token_cache.group != group) {
            self.settle();
            self.local(|local| local.token_cache.group = group);
            self.say_serves(group);
        }
        for streak in 0.. {
            self.publish_surplus();
            Counts::bump(&self.seat.counts.jobs);
            #[expect(unsafe_code, reason = "this is where jobs are run")]
            // SAFETY: the job's token keeps its target alive.
            let run = unsafe { job.target.as_ref().run };
            #[expect(unsafe_code, reason = "this is where jobs are run")]
            // SAFETY: (1) the job's token keeps its target alive; (2) this thread took the job out of a queue, once.
            unsafe {
                run(job.target, job.payload, self);
            }
            #[cfg(feature = "check")]
            crate::sync::recorder::hand_over();
            match self.local(|local| local.next.take()) {
                Some(next) if streak < STREAK && !self.owes_injected() => {
                    debug_assert_eq!(next.group(), group, "a continuation is of the same group");
                    job = next;
                    #[cfg(feature = "check")]
                    crate::sync::recorder::runs_next_job();
                }
                Some(next) => {
                    self.push_counted(next); // on the finished job's token
                    std::mem::forget(abort);
                    return;
                }
                None => break,
            }
        }
        if group.is_some() {
            self.local(|local| local.token_cache.add(1));
        }
        std::mem::forget(abort);
    }

    /// Runs a job that lay in a bag.
    #[cfg(feature = "check")]
    pub(crate) fn run_alone(&self, job: Job) {
        self.execute(job);
        self.settle();
    }

    /// The running job, which goes through leaves, ends with so many tokens left. It would end with one, if it did not
    /// say so.
    pub(crate) fn keep_tokens(&self, tokens: u64) {
        self.local(|local| local.token_cache.add(tokens.wrapping_sub(1)));
    }

    /// Tells other threads that jobs of this group may be in the ring.
    pub(super) fn say_serves(&self, group: Option<NonNull<Group>>) {
        // Relaxed: a hint for threads that wait for the group.
        self.seat.signals.serves.store(group_id(group).map_or(0, NonZeroUsize::get), Ordering::Relaxed);
    }

    /// Gives back the tokens in the cache, because this worker has no job of their group at hand.
    pub(in crate::pool) fn settle(&self) {
        let cache = self.local(|local| std::mem::take(&mut local.token_cache));
        if let Some(group) = cache.group
            && cache.tokens > 0
        {
            #[expect(unsafe_code, reason = "a group lives as long as its tokens")]
            // SAFETY: (1) the cache's tokens keep the group alive until they are given back.
            unsafe {
                Group::give_back(group, cache.tokens, self);
            }
        }
    }

    // ---- leaving, taking back ----------------------------------------------------------------------------------

    /// The thread leaves the seat, and leaves nothing private behind.
    pub(in crate::pool) fn hand_over(&self) {
        self.settle();
        self.publish_all();
    }

    /// Takes back the published job about this very thing, if no other thread has taken it.
    pub(in crate::pool) fn take_back(&self, id: NonZeroUsize) -> Option<Job> {
        let from_injectors = || self.shared.injectors.iter().find_map(|injector| injector.take(Some(id)));
        self.take_back_public(id).or_else(from_injectors)
    }

    fn take_back_public(&self, id: NonZeroUsize) -> Option<Job> {
        loop {
            let job = self.pop_deque(|_| true)?;
            if job.id() == id {
                return Some(job);
            }
            self.push_own(job); // newer code has made this job: it becomes private again
        }
    }

    /// Takes the newest public job, if the thread may have it.
    fn pop_deque(&self, may: impl Fn(&Job) -> bool) -> Option<Job> {
        if self.seat.stealer.is_empty() {
            if self.seat.shows() {
                self.seat.shows_rest(&self.own.far_end());
            }
            return None;
        }
        let far = self.own.far_end();
        let job = far.deque.pop()?;
        if !may(&job) {
            far.deque.push(job);
            return None;
        }
        Some(job)
    }

    /// Takes the newest public job, or else the oldest late job, if the thread may have it.
    pub(in crate::pool) fn pop_public(&self, may: impl Fn(&Job) -> bool) -> Option<Job> {
        self.pop_deque(&may).or_else(|| self.pop_late(may))
    }

    pub(super) fn pop_late(&self, may: impl Fn(&Job) -> bool) -> Option<Job> {
        if self.seat.signals.late.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut far = self.own.far_end();
        let job = *far.late.front().filter(|job| may(job))?;
        far.late.pop_front();
        note_late(self.seat, &far);
        Some(job)
    }

    /// The life of a worker thread: until the pool closes.
    pub(crate) fn live(&self) {
        self.shared.sleep.enter();
        let mut patience = Patience::new(self.shared.patience);
        loop {
            let ending = self.shared.sleep.is_ending(); // read before the last look for jobs
            match self.step() {
                Step::Ran => self.had_work(&mut patience),
                Step::Idle if ending => break,
                Step::Idle if !self.goes_on_looking(&mut patience) => {
                    self.publish_all(); // a raid may have given jobs back meanwhile
                    Counts::bump(&self.seat.counts.parks);
                    let stays = || {
                        self.has_left();
                        self.stays_awake()
                    };
                    if self.shared.sleep.fall_asleep(&self.seat.parker, self.seat.at(), None, stays) {
                        self.was_woken.set(true);
                        patience.renew();
                    }
                    self.heeds_call();
                }
                Step::Idle => {}
            }
        }
        self.has_left();
        self.shared.sleep.exit(self.searching.get().then_some(self.seat.domain));
        self.shared.pay(self.seat.domain);
    }

    pub(in crate::pool) fn had_work(&self, patience: &mut Patience) {
        patience.renew();
        self.forget_seen();
    }

    /// Whether a worker that has found nothing goes on looking. It does so if it is not yet time to sleep, or if it has
    /// just published private jobs of others. The one that leaves because there is one too many does not.
    pub(in crate::pool) fn goes_on_looking(&self, patience: &mut Patience) -> bool {
        if self.leaves.get() {
            return false;
        }
        let is_patient = !self.timeless && patience.waits(|| false);
        let has_more = self.look_for_private(None, !is_patient);
        if has_more {
            self.had_work(patience);
        }
        is_patient || has_more
    }

    /// Whether a worker that is about to sleep stays awake: there is work, or was while it took a nap or stood by.
    pub(in crate::pool) fn stays_awake(&self) -> bool {
        self.must_stay(|is_full| if is_full { self.stands_by() } else { self.nap(None, true, |_| false) })
    }

    /// Whether a worker that is about to sleep has something to do other than work.
    pub(in crate::pool) fn is_called(&self) -> bool {
        self.shared.sleep.is_ending() || self.has_call(false)
    }

    /// Whether a worker that is about to sleep must stay awake. At the limit it does not look for work, and is owed a
    /// look. Otherwise it `waits` for a while first, and is told whether the limit is reached. One look decides both:
    /// guests come and go, and if the limit was reached at the first look only, the worker would neither have looked nor
    /// stand by.
    pub(in crate::pool) fn must_stay(&self, waits: impl FnOnce(bool) -> bool) -> bool {
        let (sleep, domain) = (&self.shared.sleep, self.seat.domain);
        if self.is_called() {
            return true;
        }
        let is_full = sleep.is_at_limit(domain);
        let has_work = if is_full { sleep.owes_me(domain) } else { self.shared.asks_for_work() };
        has_work || waits(is_full)
    }
}

impl fmt::Debug for Worker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("seat", &self.seat.index).finish_non_exhaustive()
    }
}

#[cfg(feature = "check")]
pub(in crate::pool) use super::bag::{is_open as explores, put as put_into_bag};

#[cfg(not(feature = "check"))]
fn explores() -> bool {
    false
}

#[cfg(not(feature = "check"))]
pub(in crate::pool) fn put_into_bag(_: Job) {}

/// Aborts the process if a panic unwinds through a worker's own code. Panics of user code are caught where it is
/// called. Any other panic has left the worker's own code half done.
pub(in crate::pool) struct AbortIfPanic;

impl Drop for AbortIfPanic {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// Whether a seat seems to have a public job that a thread that waits for `only` may run.
pub(in crate::pool) fn may_hold(seat: &Seat, only: Only) -> bool {
    (only.is_none() || tag(seat) == only || may_hold_descendants(seat, only)) && !seat.stealer.is_empty()
}

/// Whether, by the seat's hints, the public jobs of a seat descend from the pending join `ancestor`, for which a thread
/// waits.
pub(super) fn may_hold_descendants(seat: &Seat, ancestor: Only) -> bool {
    ancestor.is_some_and(|ancestor| tag(seat).is_none() && seat.signals.ancestors.has(ancestor))
}
