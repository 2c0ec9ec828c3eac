//! A loop: a range of leaves that is split while other workers could take more.
//!
//! The items of a loop are cut into leaves, at most [`MAX_LEAVES`], by their number alone ([`Leaves`]). A job of the
//! loop is a range of leaves, and the thread that runs it goes through them as a [`Span`]. The loop lives on the stack
//! of the thread that called it. That thread waits for the loop's jobs, and runs no others meanwhile.
//!
//! # Panics
//! A call that panics *at* a leaf cuts the loop there: no leaf behind it is begun any more, but all leaves before it
//! are. In the end the loop throws its first panic again, the first in the order of leaves. This does not depend on
//! the schedule: no leaf before it was left out, and no panic behind it counts.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::span::{Of, Span, pack, unpack};
use crate::pool::work::job::{Awaited, Job, Target};
use crate::pool::work::worker::Worker;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::{CachePadded, Call, Mutex, begins, explores, keep_call, watched_call};
use crate::unwind;

/// A loop of many items has at least this many leaves: 16 for each of 64 workers, four for each of 256.
const ENOUGH: u32 = 1024;
/// No loop has more leaves.
pub(super) const MAX_LEAVES: u32 = 2 * ENOUGH - 1;

/// How the items of a loop are cut.
#[derive(Clone, Copy, Debug)]
pub(in crate::pool) struct Leaves {
    items: u64,
    size: u64,
    pub(in crate::pool) count: u32,
}

impl Leaves {
    /// Cuts by the number of items alone, so the answer of a reduction depends on nothing else.
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

/// What a loop does at its leaves. A *run* is what a thread keeps while it goes through adjacent leaves.
pub(super) trait Body: Sync {
    type Run: Default;
    /// Does the next leaf of a run.
    fn leaf(&self, run: &mut Self::Run, leaf: u32, items: Range<u64>);
    /// Ends a run: it has no more leaves. Called again if it has panicked.
    fn end(&self, run: &mut Self::Run);
}

/// A loop under way; see the module.
#[repr(C)]
struct Loop<'a, B> {
    target: Target,
    leaves: Leaves,
    body: &'a B,
    /// No leaf behind this one is begun any more.
    cut: AtomicU32,
    /// See [`Of`]. Padded: what stands before is read at each leaf.
    pace: CachePadded<AtomicU64>,
    /// The first panic so far, in the order of leaves.
    panic: Mutex<Option<(u32, Box<dyn Any + Send>)>>,
}

/// Goes through all leaves of a loop. The error is what its first panic threw.
pub(super) fn run<B: Body>(worker: &Worker<'_>, leaves: Leaves, body: &B) -> Result<(), Box<dyn Any + Send>> {
    let jobs = Awaited::new(worker, 1 + u64::from(leaves.count));
    let this = Loop {
        target: Target::new(Loop::<B>::run, Some(jobs.group())),
        leaves,
        body,
        cut: AtomicU32::new(u32::MAX),
        pace: CachePadded::new(AtomicU64::new(0)),
        panic: Mutex::new(None),
    };
    let kept = {
        let _call = keep_call();
        this.work(worker, 0..leaves.count)
    };
    jobs.wait(worker, 1 + u64::from(kept));
    this.panic.into_inner().map_or(Ok(()), |(_, panic)| Err(panic))
}

impl<B: Body> Loop<'_, B> {
    #[expect(unsafe_code, reason = "finds the loop that a job is of")]
    unsafe fn run(target: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
        // SAFETY: the target is the first field of a loop, which is alive until its jobs have ended.
        let this: &Self = unsafe { target.cast().as_ref() };
        let kept = this.work(worker, unpack(payload));
        worker.keep_tokens(u64::from(kept));
    }

    /// Goes through these leaves, except those that others take or that are left for later. Returns how many leaves are
    /// done with: their tokens are left here.
    fn work(&self, worker: &Worker<'_>, mut leaves: Range<u32>) -> u32 {
        if explores() && leaves.end - leaves.start > 1 {
            let rest = leaves.start + 1..leaves.end; // a leaf is a job of its own where any order is tried
            worker.push_counted(Job { target: NonNull::from(self).cast(), payload: pack(&rest) });
            leaves.end = rest.start;
        }
        watched_call(Call::leaf(leaves.start), || format!("leaf {} of a loop", leaves.start));
        let of = Of { jobs: NonNull::from(self).cast(), pace: &self.pace };
        let (span, mut run) = (Span::new(worker, of, &leaves), B::Run::default());
        span.enter(worker);
        // This ends: each time there is one leaf less, or one part of the run.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.go_on(worker, &span, &mut run))) {
            self.fail(span.next() - 1, panic);
        }
        let rest = span.leave(worker);
        if rest.is_empty() || !self.wants(rest.start) {
            return rest.end - leaves.start;
        }
        worker.push_counted(Job { target: of.jobs, payload: pack(&rest) });
        rest.start - leaves.start
    }

    #[inline]
    fn wants(&self, leaf: u32) -> bool {
        // Relaxed: it makes no difference whether a leaf behind a panic is begun.
        leaf <= self.cut.load(Ordering::Relaxed)
    }

    #[inline]
    fn go_on(&self, worker: &Worker<'_>, span: &Span<'_>, run: &mut B::Run) {
        let mut leaf = span.next();
        while self.wants(leaf) && !span.stops(worker) && span.begin(leaf, worker) {
            begins(Call::leaf(leaf));
            self.body.leaf(run, leaf, self.leaves.items(leaf));
            leaf += 1;
        }
        self.body.end(run);
    }

    /// A closure of the user's has panicked at a leaf, or behind it but before the next leaf of its run.
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
