//! A loop: a range of leaves that is split while others could take more.
//!
//! The items of a loop are cut into leaves, at most [`MAX_LEAVES`], by their number alone ([`Leaves`]). A job of the
//! loop is a range of leaves, and whoever runs it goes through them as a [`Span`]. The loop lives on the stack of the thread
//! that called it, which waits for its jobs, and runs no others meanwhile.
//!
//! # Panics
//! A call that panics *at* a leaf cuts the loop there: leaves behind it are not begun any more, those before it are all
//! the same. So the first panic of the loop in the order of its leaves, which is thrown again in the end, does not depend
//! on the schedule: nothing before it was left out, and nothing behind it counts.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::span::{Of, Span, pack, unpack};
use crate::pool::work::job::{Awaited, Group, Job, Target};
use crate::pool::work::worker::Worker;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::unwind;

/// About so many leaves has a loop of many items: enough to balance 64 workers.
const ENOUGH: u32 = 1024;
/// No loop has more.
pub(super) const MAX_LEAVES: u32 = 2 * ENOUGH - 1;

/// How the items of a loop are cut.
#[derive(Clone, Copy, Debug)]
pub(in crate::pool) struct Leaves {
    items: u64,
    size: u64,
    pub(in crate::pool) count: u32,
}

impl Leaves {
    /// Depends on the number of items alone: so the answer of a reduction does.
    pub(in crate::pool) fn new(items: u64) -> Self {
        let size = (items / u64::from(ENOUGH)).max(1);
        let count = u32::try_from(items.div_ceil(size)).expect("fewer than twice as many as are enough");
        debug_assert!(count <= MAX_LEAVES);
        Self { items, size, count }
    }

    /// The numbers of a leaf's items.
    #[inline]
    pub(in crate::pool) fn items(&self, leaf: u32) -> Range<u64> {
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
    /// See [`Of`].
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
        let of = Of { jobs: NonNull::from(self).cast(), group: self.group, pace: &self.pace };
        let (span, mut run) = (Span::new(worker, of, &leaves), B::Run::default());
        span.enter(worker);
        // Each time a leaf or a part of the run less is left.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.go_on(worker, &span, &mut run))) {
            self.fail(span.next() - 1, panic);
        }
        let rest = span.leave(worker);
        if !rest.is_empty() && self.wants(rest.start) {
            worker.push(Job { target: of.jobs, payload: pack(&rest) });
        }
    }

    #[inline]
    fn wants(&self, leaf: u32) -> bool {
        // Relaxed: whether a leaf behind a panic is begun makes no difference.
        leaf <= self.cut.load(Ordering::Relaxed)
    }

    #[inline]
    fn go_on(&self, worker: &Worker<'_>, span: &Span<'_>, run: &mut B::Run) {
        let mut leaf = span.next();
        while self.wants(leaf) && !span.stops(worker) && span.begin(leaf, worker) {
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
