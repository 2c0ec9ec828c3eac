//! `filter_map`: replaces some items, and drops the others.

use crate::engine::op::{Emit, FusedOp, Makes};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives every item to `f`, and keeps the results that are `Some`. Fuses; runs on all workers at once.
    #[track_caller]
    pub fn filter_map<U, F>(self, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        F: Fn(T) -> Option<U> + Send + Sync + 'env,
    {
        self.fuse("filter_map", FilterMap(f))
    }
}

/// The operator of [`Stream::filter_map`].
pub(super) struct FilterMap<F>(pub(super) F);

impl<T, U, F: Fn(T) -> Option<U> + Send + Sync> FusedOp<T> for FilterMap<F> {
    type Out = U;
    type Batch<'a>
        = ()
    where
        Self: 'a;
    const MAKES: Makes = Makes::AtMostOne;
    fn begin(&self) {}
    #[inline]
    fn item(&self, (): &mut (), item: T, out: &mut impl Emit<U>) {
        if let Some(made) = (self.0)(item) {
            out.emit(made);
        }
    }
}
