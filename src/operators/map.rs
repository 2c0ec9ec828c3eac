//! `map`: replaces every item.

use crate::engine::op::{Emit, FusedOp, Makes};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces every item by what `f` makes of it. Fuses; runs on all workers at once.
    #[track_caller]
    pub fn map<U, F>(self, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        F: Fn(T) -> U + Send + Sync + 'env,
    {
        self.fuse("map", Map(f))
    }
}

/// The operator of [`Stream::map`].
pub(super) struct Map<F>(pub(super) F);

impl<T, U, F: Fn(T) -> U + Send + Sync> FusedOp<T> for Map<F> {
    type Out = U;
    type Batch<'a>
        = ()
    where
        Self: 'a;
    const MAKES: Makes = Makes::One;
    fn begin(&self) {}
    #[inline]
    fn item(&self, (): &mut (), item: T, out: &mut impl Emit<U>) {
        out.emit((self.0)(item));
    }
}
