//! A thread at a seat: finds one job, runs it, and so on; sleeps when there is none.
//!
//! The same code drives an OS thread, a guest from outside, and a virtual worker of the checker.
//!
//! # Where a worker looks, in this order
//! its private ring, newest first → its public deque → its node's injector → other seats' public deques, the nearest first
//! ([`super::victims`]) → other nodes' injectors. Every [`FAIRNESS`]th time its node's injector comes first.
//!
//! # What a worker shows
//! New jobs go to the private ring: plain stores. The oldest private job is moved to the public deque when that is empty
//! or others could take more than is shown, at every push and before every job; before a job that takes long, such as a
//! batch, all are. So while a worker runs a long job, what it has can be stolen, and while others are idle all it makes is
//! shown.
//!
//! What a thread does that waits stands in [`super::wait`].

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::time::Instant;

use super::Shared;
use super::grain::Spot;
use super::job::{Group, Job, Target, group_id};
use super::patience::Patience;
use super::quiet::Watch;
use super::ring::RING;
use super::seat::{Counts, Local, PUBLIC, Purse, Seat};
use crate::sync::atomic::Ordering;
use crate::sync::event_count::Only;
use crate::sync::quiescence::BULK;
use crate::sync::request::Request;
use crate::sync::seam::{self, Point};

/// Every so many finds begin at the injector, so that jobs from outside are not starved.
pub(super) const FAIRNESS: u32 = 61;
/// A job may be continued directly this many times in a row.
const STREAK: u32 = 16;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Found a job and ran it, or has slept: it is to look again.
    Ran,
    /// Found none.
    Idle,
}

/// A thread at a seat; see the module.
#[derive(Debug)]
pub(crate) struct Worker<'p> {
    pub(crate) shared: &'p Shared,
    pub(crate) seat: &'p Seat,
    /// Whether this thread counts as searching in the event count.
    pub(super) searching: Cell<bool>,
    /// Which worker this thread is, here or below; none: a guest or a spare.
    pub(super) number: Option<usize>,
    pub(super) driven: bool,
    /// The pool for which this is the thread's worker now: none while it blocks.
    pub(super) serves: Cell<*const Shared>,
    /// As a thief.
    pub(super) watch: Watch,
    /// What this thread was before: a worker of another pool, or at another seat.
    outer: Current,
}

/// What a thread is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    /// Its worker, if it is one.
    worker: Option<NonNull<Worker<'static>>>,
    /// The flag or the alarm of the seat where it sits, or [`Request::nobody`]: what a short join looks at, without going
    /// through the worker.
    request: *const Request,
}

thread_local! {
    static WORKER: Cell<Option<NonNull<Worker<'static>>>> = const { Cell::new(None) };
    /// A variable of its own: to read it is one instruction.
    static REQUEST: Cell<*const Request> = const { Cell::new(Request::nobody()) };
}

impl Current {
    #[cfg(all(test, not(loom)))]
    pub(crate) const NOBODY: Self = Self { worker: None, request: Request::nobody() };

    fn get() -> Self {
        Self { worker: WORKER.get(), request: REQUEST.get() }
    }

    /// Makes this what the thread is; what it was.
    fn replace(self) -> Self {
        Self { worker: WORKER.replace(self.worker), request: REQUEST.replace(self.request) }
    }
}

/// Takes away what this thread is, or puts it back: for drivers that switch stacks.
#[cfg(all(test, not(loom)))]
pub(crate) fn switch_current(current: Current) -> Current {
    current.replace()
}

/// Whether a join at `spot` is short, and nobody asks for jobs at this thread's seat, in whichever pool that is.
#[inline]
pub(super) fn is_short_and_quiet(spot: Spot) -> bool {
    #[expect(unsafe_code, reason = "the seat of this thread")]
    // SAFETY: (1) a static, or `at` took the pointer from a seat that outlives its call; (2) it takes it away again before it
    // returns, and whoever asks is called from there.
    let request = unsafe { &*REQUEST.get() };
    spot.is_short(request.word())
}

impl<'p> Worker<'p> {
    /// Sits down at a seat and does `work` there as the thread's current worker.
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
        let (driven, watch, outer) = (seam::is_driven(), Watch::new(), Current::get());
        let worker = Self { shared, seat, searching, number, driven, serves, watch, outer };
        let request = &raw const seat.shown.request;
        let here = Current { worker: Some(NonNull::from(&worker).cast()), request };
        let _restore = Restore(here.replace());
        work(&worker)
    }

    /// Whether this thread works in this pool, perhaps below what it does for another one.
    pub(crate) fn is_inside(shared: &Shared) -> bool {
        Self::find_inside(shared, |_| Some(())).is_some()
    }

    /// What `look` finds at one of this thread's seats in this pool, also below what it does elsewhere or while it blocks.
    pub(super) fn find_inside<R>(shared: &Shared, look: impl Fn(&Worker<'_>) -> Option<R>) -> Option<R> {
        let mut next = WORKER.get();
        while let Some(worker) = next {
            #[expect(unsafe_code, reason = "the worker stands further down on this very stack")]
            // SAFETY: as in `here`; an outer worker stands further down than the inner one, and outlives it.
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

    /// This thread's worker, if it is one of this pool's. To be used on this stack, and not kept.
    #[inline]
    pub(crate) fn here(shared: &'p Shared) -> Option<&'p Self> {
        let worker = WORKER.get()?;
        #[expect(unsafe_code, reason = "the worker stands further down on this very stack")]
        // SAFETY: (1) `at` took the pointer from a worker that lives on this thread's stack; (2) it takes it away again
        // before the worker goes, and whoever asks is called from there; (3) it points into this pool, if that is its own.
        let worker: &Worker<'p> = unsafe { worker.cast().as_ref() };
        ptr::eq(worker.serves.get(), shared).then_some(worker)
    }

    /// Has short joins look at this seat's alarm, or at its flag.
    pub(super) fn look_at_alarm(&self, alarm: bool) {
        let shown = &self.seat.shown;
        REQUEST.set(if alarm { &raw const shown.alarm } else { &raw const shown.request });
    }

    #[inline]
    pub(super) fn local<R>(&self, work: impl FnOnce(&mut Local) -> R) -> R {
        // SAFETY: (1) a `Worker` is made by whoever sits at the seat and is not `Sync`; (2) the closures in this file
        // only touch the fields.
        #[expect(unsafe_code, reason = "this thread sits at the seat")]
        unsafe {
            self.seat.local(work)
        }
    }

    /// The time. Virtual workers have none.
    pub(super) fn clock(&self) -> Option<Instant> {
        if self.driven { None } else { Some(Instant::now()) }
    }

    pub(super) fn point(&self, point: Point) {
        if self.driven {
            seam::point(point);
        }
    }

    // ---- making jobs -------------------------------------------------------------------------------------------

    /// Queues a job, newest first. Its group's token is taken.
    pub(crate) fn push(&self, job: Job) {
        self.make_room();
        self.local(|local| {
            take_token(&mut local.purse, job.group());
            local.ring.push_newest(job);
        });
        self.feed();
    }

    /// Queues a job for the workers of the node `home`; here or none: as [`push`](Self::push).
    pub(crate) fn push_home(&self, job: Job, home: Option<usize>) {
        match home {
            Some(home) if home != self.seat.at.node => self.send(job, home),
            _ => self.push(job),
        }
    }

    /// Queues a job for the workers of the node `home`; here or none: as [`push_last`](Self::push_last).
    pub(crate) fn push_last_home(&self, job: Job, home: Option<usize>) {
        match home {
            Some(home) if home != self.seat.at.node => self.send(job, home),
            _ => self.push_last(job),
        }
    }

    /// Gives a job to the workers of another node.
    fn send(&self, job: Job, node: usize) {
        self.local(|local| take_token(&mut local.purse, job.group()));
        self.shared.send_home(node, job);
    }

    /// Queues a job whose token is out already, newest first.
    pub(crate) fn push_counted(&self, job: Job) {
        self.make_room();
        self.local(|local| local.ring.push_newest(job));
        self.feed();
    }

    /// Queues a job whose token is out already, and shows nothing: this thread is about to take it.
    pub(crate) fn push_own(&self, job: Job) {
        self.make_room();
        self.local(|local| local.ring.push_newest(job));
    }

    /// Makes jobs and shows none of them: this thread is about to take one, and shows the others then. So one that is alone
    /// wakes nobody.
    pub(crate) fn quietly(&self, make: impl FnOnce()) {
        self.local(|local| local.quiet = true);
        make();
        self.local(|local| local.quiet = false);
    }

    /// Queues a job behind all others of this seat: it is the last this worker takes and the first that is shown.
    pub(crate) fn push_last(&self, job: Job) {
        self.make_room();
        self.local(|local| {
            take_token(&mut local.purse, job.group());
            local.ring.push_oldest(job);
        });
        self.feed();
    }

    /// Makes `job`, of the same group as the running one, its continuation: it is run next, on the same token. If
    /// there is one already it is queued.
    pub(crate) fn continue_with(&self, job: Job) {
        let taken = self.local(|local| {
            let taken = local.next.is_some();
            local.next.get_or_insert(job);
            taken
        });
        if taken {
            self.push(job);
        }
    }

    /// Queues what was to continue the running job, behind all others: this thread does not come to it soon.
    pub(super) fn queue_next(&self) {
        if let Some(next) = self.local(|local| local.next.take()) {
            self.push_last(next);
        }
    }

    /// Moves the older half of a full ring to the injector.
    fn make_room(&self) {
        if self.local(|local| local.ring.is_full()) {
            self.spill();
        }
    }

    #[cold]
    fn spill(&self) {
        let half = RING / 2;
        self.local(|local| self.injector().push((0..half).map_while(|_| local.ring.pop_oldest())));
        self.shared.notify(self.seat.at.node, None, half);
    }

    /// Shows the oldest private jobs: one if nothing is shown, and as many as others could take now.
    #[inline(never)]
    pub(super) fn feed(&self) {
        if !self.local(|local| local.quiet) {
            self.show_up_to(self.shared.idle.idle().max(1));
        }
    }

    /// Shows all private jobs: what comes next takes long against the few nanoseconds in which a job is shown.
    pub(crate) fn before_long_job(&self) {
        self.show_up_to(PUBLIC);
    }

    /// Before a leaf of a loop: whether fewer than `least` jobs are shown, or than others could take now, though all that
    /// there are may be. While jobs of another group are, those are to be taken first: what is around a loop is larger.
    #[inline]
    pub(super) fn wants_more(&self, group: NonNull<Group>, least: usize) -> bool {
        let wanted = self.shared.idle.idle().max(least).min(PUBLIC);
        let shown = || self.local(|local| local.public.len());
        let wants = || shown() < wanted && (tag(self.seat) == group_id(Some(group)) || shown() == 0);
        wants() && {
            self.show_up_to(wanted);
            wants()
        }
    }

    fn show_up_to(&self, wanted: usize) {
        let wanted = wanted.min(PUBLIC);
        while let Some(job) =
            self.local(|local| if local.public.len() < wanted { local.pop_oldest(self.seat) } else { None })
        {
            self.show(job);
        }
    }

    /// Makes a job stealable. The public deque holds jobs of one group at a time, so that its tag tells what is in it.
    fn show(&self, job: Job) {
        let group = group_id(job.group());
        if tag(self.seat) != group {
            while let Some(other) = self.local(|local| local.public.pop()) {
                self.shared.inject_at(self.seat.at.node, other);
            }
            // Relaxed: a hint; a thief looks at the job itself.
            self.seat.shown.tag.store(group.map_or(0, std::num::NonZero::get), Ordering::Relaxed);
        }
        let shown = self.local(|local| {
            local.public.push(job);
            local.public.len()
        });
        self.point(Point::Publish);
        match group {
            Some(_) => self.shared.notify(self.seat.at.node, group, shown),
            None => self.shared.notify_parts(self.seat, shown),
        }
    }

    /// Shows everything, also what was to continue the running job: this thread is about to block.
    pub(super) fn show_all(&self) {
        self.queue_next();
        while let Some(job) = self.local(|local| local.pop_oldest(self.seat)) {
            if self.local(|local| local.public.len()) < PUBLIC {
                self.show(job);
            } else {
                self.shared.inject_at(self.seat.at.node, job);
            }
        }
    }

    // ---- finding jobs ------------------------------------------------------------------------------------------

    /// Finds one job and runs it.
    pub(crate) fn step(&self) -> Step {
        self.point(Point::Find);
        if self.shared.idle.is_crowded() && !self.shared.idle.is_ending() {
            self.show_all(); // the limit was lowered, and this one is too many
        } else if let Some(job) = self.take_call(false).or_else(|| self.find_here(None)) {
            self.found();
            self.execute(job);
            return Step::Ran;
        }
        self.settle();
        if !self.searching.replace(true) {
            self.shared.idle.search();
        }
        if self.shared.idle.is_over_limit() && !self.shared.idle.is_ending() {
            return Step::Idle; // a guest came while this one searched: one thread too many
        }
        if self.makes_way() {
            return Step::Ran;
        }
        let Some(found) = self.find_elsewhere(None) else { return Step::Idle };
        self.found();
        self.execute(found);
        Step::Ran
    }

    /// This thread has a job: it searches no more.
    #[inline]
    fn found(&self) {
        if self.searching.replace(false) {
            self.shared.idle.found();
            self.wake_for_rest();
        }
    }

    // ---- running jobs ------------------------------------------------------------------------------------------

    /// Runs a job and what continues it.
    pub(super) fn execute(&self, mut job: Job) {
        let abort = AbortIfPanic;
        let group = job.group();
        if self.local(|local| local.purse.group != group) {
            self.settle();
            self.local(|local| local.purse.group = group);
        }
        for streak in 0.. {
            self.feed();
            Counts::bump(&self.seat.counts.jobs);
            #[expect(unsafe_code, reason = "this is where jobs are run")]
            // SAFETY: the job's token keeps its target alive.
            let run = unsafe { job.target.as_ref().run };
            #[expect(unsafe_code, reason = "this is where jobs are run")]
            // SAFETY: (1) the job's token keeps its target alive; (2) it was taken out of a queue, once.
            unsafe {
                run(job.target, job.payload, self);
            }
            match self.local(|local| local.next.take()) {
                Some(next) if streak < STREAK => {
                    debug_assert_eq!(next.group(), group, "a continuation is of the same group");
                    job = next;
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
            self.local(|local| local.purse.tokens += 1);
        }
        std::mem::forget(abort);
    }

    /// Gives the spare tokens back: this worker has no job of their group at hand.
    pub(super) fn settle(&self) {
        let purse = self.local(|local| std::mem::take(&mut local.purse));
        if let Some(group) = purse.group
            && purse.tokens > 0
        {
            #[expect(unsafe_code, reason = "a group lives as long as its tokens")]
            // SAFETY: the purse's tokens keep the group alive until they are given back.
            let (quiet, last) = unsafe { Group::give_back(group, purse.tokens) };
            if last {
                #[expect(unsafe_code, reason = "a group lives as long as its tokens")]
                // SAFETY: (1) it is the group; (2) those were the last tokens, and this thread alone was told so.
                unsafe {
                    quiet(group, self);
                }
            }
        }
    }

    // ---- leaving, taking back ----------------------------------------------------------------------------------

    /// Leaves nothing private behind: the thread leaves the seat.
    pub(crate) fn hand_over(&self) {
        self.settle();
        self.show_all();
    }

    /// Takes a job of this very target back that was shown, if nobody has taken it.
    pub(super) fn take_back(&self, target: NonNull<Target>) -> Option<Job> {
        let from_injectors = || self.shared.injectors.iter().find_map(|injector| injector.take_back(target));
        self.take_back_shown(target).or_else(from_injectors)
    }

    fn take_back_shown(&self, target: NonNull<Target>) -> Option<Job> {
        while let Some(job) = self.pop_public() {
            if job.target == target {
                return Some(job);
            }
            self.make_room();
            self.local(|local| local.ring.push_newest(job)); // made by code that ran since: private again
        }
        None
    }

    /// Takes the newest public job. If that was the last one the next join shows its half, as if a thief had taken it.
    pub(super) fn pop_public(&self) -> Option<Job> {
        let (job, is_last) = self.local(|local| (local.public.pop(), local.public.is_empty()));
        if is_last {
            self.seat.shown.request.ask();
        }
        job
    }

    /// The life of a worker thread: until the pool closes.
    pub(crate) fn live(&self) {
        self.shared.idle.enter();
        let mut patience = Patience::new(self.shared.patience);
        loop {
            let ending = self.shared.idle.is_ending(); // before the last look for jobs
            match self.step() {
                Step::Ran => patience.renew(),
                Step::Idle if ending => break,
                Step::Idle if self.driven || self.shared.idle.is_over_limit() || !patience.waits(|| false) => {
                    Counts::bump(&self.seat.counts.parks);
                    self.shared.idle.sleep(&self.seat.parker, self.seat.at, None, |_| self.must_stay());
                    patience.renew();
                }
                Step::Idle => {}
            }
        }
        self.shared.idle.exit(self.searching.get());
    }

    /// Whether a worker that is about to sleep must go on.
    pub(super) fn must_stay(&self) -> bool {
        let may_work = !self.shared.idle.is_at_limit();
        self.shared.idle.is_ending() || (may_work && self.shared.asks_for_work()) || self.has_call(false)
    }
}

/// User code is caught where it is called; what unwinds through a worker's own code has left it half done.
pub(super) struct AbortIfPanic;

impl Drop for AbortIfPanic {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// The group whose jobs a seat shows.
fn tag(seat: &Seat) -> Only {
    std::num::NonZero::new(seat.shown.tag.load(Ordering::Relaxed))
}

/// Whether a seat shows a job that a thread that waits for `only` may run, as far as one can see.
pub(super) fn may_hold(seat: &Seat, only: Only) -> bool {
    (only.is_none() || tag(seat) == only || may_hold_parts(seat, only)) && !seat.stealer.is_empty()
}

/// Whether what a seat shows, if anything, are parts of the half that is waited for, as far as one can see.
pub(super) fn may_hold_parts(seat: &Seat, whole: Only) -> bool {
    whole.is_some_and(|whole| tag(seat).is_none() && seat.shown.lineage.has(whole))
}

/// Takes one token of `group` for a new job.
fn take_token(purse: &mut Purse, group: Option<NonNull<Group>>) {
    let Some(group) = group else { return };
    // SAFETY: whoever queues a job of a group holds one of its tokens: the group is alive.
    #[expect(unsafe_code, reason = "a group lives as long as its tokens")]
    let tokens = unsafe { &group.as_ref().tokens };
    if purse.group != Some(group) {
        tokens.take(1);
    } else if purse.tokens > 0 {
        purse.tokens -= 1;
    } else {
        tokens.take(BULK);
        purse.tokens = BULK - 1;
    }
}
