//! A loop: a range of leaves that is split while others could take more.
//!
//! The items of a loop are cut into leaves, at most [`MAX_LEAVES`], by their number alone ([`Leaves`]). A job of the
//! loop is a range of leaves. Whoever runs it goes through the range from its front, and has it as an entry in the ring of its
//! seat meanwhile ([`Frame`]): so whoever publishes what is private there, the seat's occupant or a raider, takes the upper
//! half of what is left, again and again if more is wanted, unless that would take less than [`WORTH`] by what the leaves
//! before took. A loop costs next to nothing where nobody is hungry, all that cannot be taken from it is the one leaf that
//! runs, and what is stolen is the largest part there is. The loop lives on the stack of the thread that called it, which
//! waits for its jobs, and runs no others meanwhile.
//!
//! # Protocol of a range
//! The occupant begins a leaf: (B1) advance `next`. (B2) Light fence. (B3) If a raider has claimed the entry of the range, wait
//! until it is done. (B4) The leaf is its own if it lies before `end`. A raider that has claimed the entry: (G1) heavy fence.
//! (G2) Lower `end`, not below `next`. If B3 misses the claim, then B2 comes before G1 in the order of the fences, and G2 sees B1.
//! Else B4 sees G2.
//!
//! # Panics
//! A call that panics *at* a leaf cuts the loop there: leaves behind it are not begun any more, those before it are all
//! the same. So the first panic of the loop in the order of its leaves, which is thrown again in the end, does not depend
//! on the schedule: nothing before it was left out, and nothing behind it counts.

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::Instant;

use super::job::{Awaited, Group, Job, Published, Target, Wanted, pointer};
use super::seat::{Own, Public, Seat};
use super::worker::Worker;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::unwind;

/// About so many leaves has a loop of many items: enough to balance 64 workers.
const ENOUGH: u32 = 1024;
/// No loop has more.
pub(super) const MAX_LEAVES: u32 = 2 * ENOUGH - 1;

/// A part that takes fewer nanoseconds is not worth giving away: that costs about as much.
const WORTH: u64 = 2000;

/// How the items of a loop are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaves {
    items: u64,
    size: u64,
    pub(super) count: u32,
}

impl Leaves {
    /// Depends on the number of items alone: so the answer of a reduction does.
    pub(super) fn new(items: u64) -> Self {
        let size = (items / u64::from(ENOUGH)).max(1);
        let count = u32::try_from(items.div_ceil(size)).expect("fewer than twice as many as are enough");
        debug_assert!(count <= MAX_LEAVES);
        Self { items, size, count }
    }

    /// The numbers of a leaf's items.
    #[inline]
    pub(super) fn items(&self, leaf: u32) -> Range<u64> {
        let first = u64::from(leaf) * self.size;
        first..self.items.min(first.saturating_add(self.size))
    }
}

/// What a loop does. What it keeps while it goes through adjacent leaves is a run.
pub(super) trait Body: Sync {
    type Run: Default;
    /// The next leaf of a run.
    fn leaf(&self, run: &mut Self::Run, leaf: u32, items: Range<u64>);
    /// There are no more leaves in this run. Called again if it has panicked.
    fn end(&self, run: &mut Self::Run);
}

/// A loop under way; see the module.
#[repr(C)]
struct Loop<'a, B> {
    target: Target,
    group: NonNull<Group>,
    leaves: Leaves,
    body: &'a B,
    /// No leaf behind this one is begun any more.
    cut: AtomicU32,
    /// What a leaf took when that was last measured, in nanoseconds; 0: it never was. A hint.
    pace: AtomicU64,
    /// The first panic in the order of leaves so far.
    panic: Mutex<Option<(u32, Box<dyn Any + Send>)>>,
}

/// Goes through all leaves of a loop; what its first panic threw, if there was one.
pub(super) fn run<B: Body>(worker: &Worker<'_>, leaves: Leaves, body: &B) -> Result<(), Box<dyn Any + Send>> {
    let jobs = Awaited::new(worker);
    let this = Loop {
        target: Target::new(Loop::<B>::run, Some(jobs.group())),
        group: jobs.group(),
        leaves,
        body,
        cut: AtomicU32::new(u32::MAX),
        pace: AtomicU64::new(0),
        panic: Mutex::new(None),
    };
    this.work(worker, 0..leaves.count);
    jobs.wait(worker);
    this.panic.into_inner().map_or(Ok(()), |(_, panic)| Err(panic))
}

impl<B: Body> Loop<'_, B> {
    #[expect(unsafe_code, reason = "finds the loop that a job is of")]
    unsafe fn run(target: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
        // SAFETY: the target is the first field of a loop that is alive until its jobs have ended.
        let this: &Self = unsafe { target.cast().as_ref() };
        this.work(worker, unpack(payload));
    }

    /// Goes through some leaves, but for those that others take.
    fn work(&self, worker: &Worker<'_>, leaves: Range<u32>) {
        let (frame, mut run) = (Frame::new(self, worker, leaves), B::Run::default());
        let place = frame.enlist(worker);
        // Each time a leaf or a part of the run less is left.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.go_on(worker, &frame, place, &mut run))) {
            self.fail(frame.next() - 1, panic);
        }
        if let Some(place) = place {
            worker.own.take_back(place);
        }
        frame.give_back_rest(worker);
    }

    #[inline]
    fn go_on(&self, worker: &Worker<'_>, frame: &Frame, place: Option<usize>, run: &mut B::Run) {
        let mut leaf = frame.next();
        // Relaxed: whether a leaf behind a panic is begun makes no difference.
        while leaf <= self.cut.load(Ordering::Relaxed) && frame.begin(leaf, &worker.own, place) {
            worker.publish_surplus();
            if frame.may_stop && worker.owes_injected() {
                frame.stop_before(leaf);
                break;
            }
            self.body.leaf(run, leaf, self.leaves.items(leaf));
            leaf += 1;
        }
        self.body.end(run);
    }

    /// User code has panicked at a leaf, or behind it but before the next one of its run.
    #[cold]
    fn fail(&self, at: u32, panic: Box<dyn Any + Send>) {
        let mut first = self.panic.lock();
        let later = if first.as_ref().is_none_or(|(leaf, _)| at < *leaf) {
            self.cut.store(at, Ordering::Relaxed);
            first.replace((at, panic)).map(|(_, panic)| panic)
        } else {
            Some(panic)
        };
        drop(first);
        later.into_iter().for_each(unwind::drop_payload);
    }
}

/// A range of leaves under way, on the stack of whoever goes through it; see the module.
struct Frame {
    /// The first leaf that was not begun. Written by the occupant of the seat.
    next: AtomicU32,
    /// Behind the last leaf of the range. Written by whoever has the far end of the seat's ring.
    end: AtomicU32,
    /// Of the loop's jobs.
    jobs: NonNull<Target>,
    group: NonNull<Group>,
    /// The loop's.
    pace: NonNull<AtomicU64>,
    /// Its worker has nothing else under way: it may leave what is left for later.
    may_stop: bool,
    stopped: Cell<bool>,
    /// Since when leaves were gone through that were not timed yet, and the first of them: for whoever has the far end.
    /// Virtual workers have no time.
    since: Cell<Option<Instant>>,
    first: Cell<u32>,
}

impl Frame {
    const TARGET: &'static Target = &Target { run: Self::run, group: None, publish: Some(Self::publish) };

    fn new<B: Body>(of: &Loop<'_, B>, worker: &Worker<'_>, leaves: Range<u32>) -> Self {
        Self {
            next: AtomicU32::new(leaves.start),
            end: AtomicU32::new(leaves.end),
            jobs: NonNull::from(of).cast(),
            group: of.group,
            pace: NonNull::from(&of.pace),
            may_stop: worker.number.is_some() && worker.waits.get() == 0 && !worker.driven,
            stopped: Cell::new(false),
            since: Cell::new(worker.clock()),
            first: Cell::new(leaves.start),
        }
    }

    /// Makes it an entry of the seat's ring, if there is something to take from it; its place.
    fn enlist(&self, worker: &Worker<'_>) -> Option<usize> {
        let has_more = self.end.load(Ordering::Relaxed) - self.next() > 1;
        has_more.then(|| {
            worker.make_room();
            worker.own.push(Job::about(Self::TARGET, self))
        })
    }

    fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// Begins this leaf, the next one, if it is there. (B1) to (B4)
    #[inline]
    fn begin(&self, leaf: u32, own: &Own<'_>, place: Option<usize>) -> bool {
        self.next.store(leaf + 1, Ordering::Relaxed); // (B1)
        if let Some(place) = place {
            own.pass(place); // (B2), (B3)
        }
        let is_there = leaf < self.end.load(Ordering::Relaxed); // (B4)
        if !is_there {
            self.next.store(leaf, Ordering::Relaxed);
        }
        is_there
    }

    /// This leaf, which was begun, and those behind it are left for later.
    #[cold]
    fn stop_before(&self, leaf: u32) {
        self.next.store(leaf, Ordering::Relaxed);
        self.stopped.set(true);
    }

    /// Queues what was left for later. Its entry was taken back: nobody else takes parts any more.
    fn give_back_rest(&self, worker: &Worker<'_>) {
        let rest = self.next()..self.end.load(Ordering::Relaxed);
        if self.stopped.get() && !rest.is_empty() {
            worker.push(Job { target: self.jobs, payload: pack(rest) });
        }
    }

    #[expect(unsafe_code, reason = "a target's code is unsafe to call")]
    unsafe fn run(_: NonNull<Target>, _: u64, _: &Worker<'_>) {
        unreachable!("an entry of the ring, taken back by whoever has made it")
    }

    /// The upper half of what is left is made public.
    ///
    /// # Safety
    /// (1), (2) of [`super::job::Publish`]. (3) The payload is the address of a frame.
    #[expect(unsafe_code, reason = "reaches a frame by pointer")]
    unsafe fn publish(payload: u64, _: &Seat, _: &Public, wanted: Wanted) -> Published {
        // SAFETY: (3); it is in place as its entry is in the ring, by (1) and (2).
        let frame: &Self = unsafe { &*pointer(payload) };
        let (next, end) = (frame.next(), frame.end.load(Ordering::Relaxed));
        if next >= end {
            return Published::Empty;
        }
        if wanted == Wanted::Surplus && !frame.is_worth_it(next, end) {
            return Published::Kept;
        }
        let middle = middle(next, end);
        frame.end.store(middle, Ordering::Relaxed); // (G2)
        // SAFETY: the job that goes through the range has a token, and comes to its end only when the far end is free.
        unsafe { frame.group.as_ref() }.tokens.take(1);
        Published::Part(Job { target: frame.jobs, payload: pack(middle..end) })
    }

    /// Whether half of these leaves, which were not begun, is worth giving away, as far as is known.
    fn is_worth_it(&self, next: u32, end: u32) -> bool {
        let half = u64::from(end - next).div_ceil(2);
        self.time(next).is_none_or(|leaf| leaf.saturating_mul(half) >= WORTH)
    }

    /// Nanoseconds that a leaf takes, if that is known; the last one before `next` has just begun.
    fn time(&self, next: u32) -> Option<u64> {
        #[expect(unsafe_code, reason = "reaches the loop by pointer")]
        // SAFETY: the loop is there until the job that goes through the range has ended.
        let pace = unsafe { self.pace.as_ref() };
        let done = next.saturating_sub(self.first.get() + 1);
        if let Some(since) = self.since.get()
            && done > 0
        {
            let now = Instant::now();
            let spent = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
            pace.store((spent / u64::from(done)).max(1), Ordering::Relaxed);
            self.since.set(Some(now));
            self.first.set(next - 1);
        }
        let known = pace.load(Ordering::Relaxed);
        (known > 0).then_some(known)
    }
}

/// Where some leaves are cut in two: at a round number, so that few parts of a tree lie on both sides. Of a single one there
/// is no lower half.
fn middle(next: u32, end: u32) -> u32 {
    let count = end - next;
    if count == 1 {
        return next;
    }
    let round = 1 << (count / 4).max(1).ilog2();
    (next.midpoint(end + 1) + round / 2) & !(round - 1)
}

/// A range of leaves as the payload of a job.
fn pack(leaves: Range<u32>) -> u64 {
    u64::from(leaves.start) << 32 | u64::from(leaves.end)
}

#[expect(clippy::cast_possible_truncation, reason = "two halves of 32 bits")]
fn unpack(payload: u64) -> Range<u32> {
    (payload >> 32) as u32..payload as u32
}
