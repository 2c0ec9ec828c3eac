//! A loop: a range of leaves that is split while others could take more.
//!
//! The items of a loop are cut into leaves, at most [`MAX_LEAVES`], by their number alone ([`Leaves`]). A job of the
//! loop is a range of leaves. Whoever runs it goes through the range from its front, and before each leaf, while
//! nothing is shown or others could take more than is, makes the upper half of what is left a job that can be stolen,
//! unless that would take less than [`WORTH`] by what the leaves before took: this is looked at again before each leaf.
//! So all that is not shown while many are hungry is the one leaf that runs, or what is done sooner than given away; a
//! loop costs next to nothing where nobody is hungry, and what is stolen is the largest part there is. The loop lives
//! on the stack of the thread that called it, which waits for its jobs, and runs no others meanwhile.
//!
//! # Panics
//! A call that panics *at* a leaf cuts the loop there: leaves behind it are not begun any more, those before it are all
//! the same. So the first panic of the loop in the order of its leaves, which is thrown again in the end, does not depend
//! on the schedule: nothing before it was left out, and nothing behind it counts.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::Instant;

use super::grain::SHORT;
use super::job::{Awaited, Group, Job, Target};
use super::worker::Worker;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::unwind;

/// About so many leaves has a loop of many items: enough to balance 64 workers.
const ENOUGH: u32 = 1024;
/// No loop has more.
pub(super) const MAX_LEAVES: u32 = 2 * ENOUGH - 1;

/// When so few leaves of a range are left, each is a job if it is a single item, which may be heavy: the last ones decide
/// when a loop ends. Where a leaf is one of a thousand that would cost more than it balances, and where those before took
/// less than [`SHORT`] as well.
const FEW: usize = 16;

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
        target: Target { run: Loop::<B>::run, group: Some(jobs.group()) },
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

    /// Goes through some leaves, but for those that it gives to others.
    fn work(&self, worker: &Worker<'_>, mut leaves: Range<u32>) {
        let mut run = B::Run::default();
        let mut pace = Pace { since: worker.clock(), first: leaves.start, is_small: false };
        // Each time a leaf or a part of the run less is left.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.go_on(worker, &mut leaves, &mut run, &mut pace))) {
            self.fail(leaves.start - 1, panic);
        }
    }

    #[inline]
    fn go_on(&self, worker: &Worker<'_>, leaves: &mut Range<u32>, run: &mut B::Run, pace: &mut Pace) {
        // Relaxed: whether a leaf behind a panic is begun makes no difference.
        while leaves.start < leaves.end && leaves.start <= self.cut.load(Ordering::Relaxed) {
            while leaves.len() > 1 && self.wants_split(worker, leaves, pace) {
                self.split(worker, leaves);
            }
            let leaf = leaves.start;
            leaves.start += 1;
            self.body.leaf(run, leaf, self.leaves.items(leaf));
        }
        self.body.end(run);
    }

    #[inline]
    fn wants_split(&self, worker: &Worker<'_>, left: &Range<u32>, pace: &mut Pace) -> bool {
        let each = left.len() <= FEW && self.leaves.size == 1 && !self.is_short(left.start, pace);
        let least = if each { usize::MAX } else { usize::from(!pace.is_small) };
        worker.wants_more(self.group, least) && self.is_worth_it(left, pace)
    }

    /// Whether leaves are short, as far as is known; `next` is the first one that this job has not been at.
    #[cold]
    fn is_short(&self, next: u32, pace: &mut Pace) -> bool {
        let known = match self.pace.load(Ordering::Relaxed) {
            0 => self.time(next, pace),
            known => Some(known),
        };
        known.is_some_and(|leaf| u128::from(leaf) < SHORT.as_nanos())
    }

    /// Whether half of what is left is worth giving away, as far as is known.
    #[cold]
    fn is_worth_it(&self, left: &Range<u32>, pace: &mut Pace) -> bool {
        let half = u64::from(left.end - left.start) / 2;
        pace.is_small = self.time(left.start, pace).is_some_and(|leaf| leaf.saturating_mul(half) < WORTH);
        !pace.is_small
    }

    /// Nanoseconds that a leaf takes, if that is known; `next` is the first one that this job has not been at.
    fn time(&self, next: u32, pace: &mut Pace) -> Option<u64> {
        if let (Some(since), true) = (pace.since, next > pace.first) {
            let now = Instant::now();
            let spent = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
            self.pace.store((spent / u64::from(next - pace.first)).max(1), Ordering::Relaxed);
            (pace.since, pace.first) = (Some(now), next);
        }
        let known = self.pace.load(Ordering::Relaxed);
        (known > 0).then_some(known)
    }

    /// Makes the upper half of what is left a job: cut at a round number, so that few parts of a tree lie on both sides.
    #[cold]
    fn split(&self, worker: &Worker<'_>, leaves: &mut Range<u32>) {
        let round = 1 << (leaves.len() / 4).max(1).ilog2();
        let middle = (leaves.start.midpoint(leaves.end + 1) + round / 2) & !(round - 1);
        worker.push(Job { target: NonNull::from(self).cast(), payload: pack(middle..leaves.end) });
        worker.before_long_job();
        leaves.end = middle;
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

/// What a job knows of the time that leaves take. Virtual workers have no time.
struct Pace {
    /// Since when it goes through leaves that were not timed yet, and the first of them.
    since: Option<Instant>,
    first: u32,
    /// What is left was not worth giving away.
    is_small: bool,
}

/// A range of leaves as the payload of a job.
fn pack(leaves: Range<u32>) -> u64 {
    u64::from(leaves.start) << 32 | u64::from(leaves.end)
}

#[expect(clippy::cast_possible_truncation, reason = "two halves of 32 bits")]
fn unpack(payload: u64) -> Range<u32> {
    (payload >> 32) as u32..payload as u32
}
