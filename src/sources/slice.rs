//! `slice`: references into a slice.

use crate::engine::heads::numbered::{Batch, ByNumber};
use crate::engine::pipe::Pipe;
use crate::graph::{Graph, Stream};
use crate::run::flow::supply::MemoryRange;

impl<'env> Graph<'env> {
    /// Makes a stream of references to the items of a slice, in order. All workers take items at once.
    #[track_caller]
    pub fn slice<T: Sync + 'env>(
        &self,
        items: &'env [T],
    ) -> Stream<'env, &'env T, impl Pipe<Out = &'env T> + use<'env, T>> {
        self.add_numbered("slice", SliceItems(items))
    }
}

/// References into a slice.
pub(crate) struct SliceItems<'env, T>(pub(crate) &'env [T]);

impl<'env, T: Sync> ByNumber for SliceItems<'env, T> {
    type Item = &'env T;
    const IS_FIXED: bool = true;
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    #[inline]
    fn each(&self, batch: Batch, out: &mut impl FnMut(&'env T)) {
        for item in &self.0[batch.indices()] {
            out(item);
        }
    }
    fn memory(&self) -> Vec<MemoryRange> {
        vec![MemoryRange::of(self.0)]
    }
}
