//! Parallel iterators: those of the crate `paralight`, with the leaves, the stealing and the panics of a loop.
//!
//! That crate turns an iterator into a closure over the numbers of its items, and asks a pool to deal out the numbers.
//! Here the numbers are cut into the leaves of a loop ([`Leaves`]), by their count alone. Each leaf makes a part of its
//! own, and in the end the parts are given in the order of leaves. So an answer does not depend on the schedule.
//!
//! # Every number is accounted for
//! A source gives its items away by number, and a vector that is collected gets them by number, both without a check.
//! Unsafe code relies on every number being either taken or cleaned up, exactly once, also when something panics. A
//! [`Rest`] sees to that. Each leaf gets one. Leaves that were not begun because of a panic get theirs afterwards.
//!
//! The cleanup drops items of the user's. A panic there aborts the process: it would leave the numbers half cleaned up,
//! and the vector would take the rest for items.

use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use paralight::iter::{Accumulator, ExactSizeAccumulator, GenericThreadPool, SourceCleanup};

use super::indexed::places;
use super::leaves::Leaves;
use crate::pool::Pool;
use crate::pool::work::worker::AbortIfPanic;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::unwind;

/// The numbers of a leaf's items, as an iterator. Those that are not taken are cleaned up when it is dropped.
struct Rest<'a, C: SourceCleanup> {
    items: Range<usize>,
    source: &'a C,
}

impl<C: SourceCleanup> Iterator for Rest<'_, C> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        self.items.next()
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<C: SourceCleanup> Drop for Rest<'_, C> {
    #[inline]
    fn drop(&mut self) {
        if C::NEEDS_CLEANUP && !self.items.is_empty() {
            let abort = AbortIfPanic;
            // SAFETY: (1) a leaf's numbers are below the length; (2) no other leaf has them, and these were not taken.
            #[expect(unsafe_code, reason = "drops what a source has not given away")]
            unsafe {
                self.source.cleanup_item_range(self.items.clone());
            }
            std::mem::forget(abort);
        }
    }
}

/// What has become of a leaf.
enum Part<A> {
    Open,
    Begun,
    Made(A),
}

impl Pool {
    /// Calls `leaf` for each leaf, and gives the results in the order of leaves.
    fn parts<C: SourceCleanup + Sync, A: Send>(
        &self,
        len: usize,
        source: &C,
        leaf: impl Fn(Rest<'_, C>) -> A + Sync,
    ) -> impl ExactSizeIterator<Item = A> {
        let leaves = Leaves::new(len as u64);
        let rest = |index: u32| Rest { items: places(&leaves.items(index)), source };
        let mut parts: Vec<Part<A>> = (0..leaves.count).map(|_| Part::Open).collect();
        let each = |index: usize, part: &mut Part<A>| {
            *part = Part::Begun;
            *part = Part::Made(leaf(rest(u32::try_from(index).expect("as many as leaves"))));
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.for_each_mut(&mut parts, each))) {
            for (index, part) in (0..).zip(parts) {
                match part {
                    Part::Open => drop(rest(index)),
                    part => unwind::drop_value(part),
                }
            }
            resume_unwind(panic);
        }
        unwind::Draining::of(parts.into_iter()).map(|part| match part {
            Part::Made(made) => made,
            Part::Open | Part::Begun => unreachable!("a loop that has gone well has been at every leaf"),
        })
    }
}

#[expect(unsafe_code, reason = "sources and sinks rely on every number being seen once")]
// SAFETY: (1) the leaves are below the length and cover it, each number once; (2) each leaf has one `Rest`: in the
// loop, or after the loop if it was not begun. A `Rest` gives each number to the closure or to the cleanup.
unsafe impl GenericThreadPool for &Pool {
    fn upper_bounded_pipeline<Output: Send, Accum>(
        self,
        input_len: usize,
        init: impl Fn() -> Accum + Sync,
        process_item: impl Fn(Accum, usize) -> ControlFlow<Accum, Accum> + Sync,
        finalize: impl Fn(Accum) -> Output + Sync,
        reduce: impl Fn(Output, Output) -> Output,
        cleanup: &(impl SourceCleanup + Sync),
    ) -> Output {
        // Numbers from the bound on need not be seen. Relaxed: whether one is seen makes no difference.
        let bound = CachePadded::new(AtomicUsize::new(usize::MAX));
        let leaf = |mut rest: Rest<'_, _>| {
            let mut made = init();
            while rest.items.start < bound.load(Ordering::Relaxed) {
                let Some(item) = rest.next() else { break };
                made = match process_item(made, item) {
                    ControlFlow::Continue(made) => made,
                    ControlFlow::Break(made) => {
                        bound.fetch_min(item, Ordering::Relaxed);
                        made
                    }
                };
            }
            finalize(made)
        };
        self.parts(input_len, cleanup, leaf).reduce(reduce).unwrap_or_else(|| finalize(init()))
    }

    fn iter_pipeline<Output, Accum: Send>(
        self,
        input_len: usize,
        accum: impl Accumulator<usize, Accum> + Sync,
        reduce: impl ExactSizeAccumulator<Accum, Output>,
        cleanup: &(impl SourceCleanup + Sync),
    ) -> Output {
        reduce.accumulate_exact(self.parts(input_len, cleanup, |rest| accum.accumulate(rest)))
    }
}
