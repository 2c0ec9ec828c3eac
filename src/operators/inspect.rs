//! `inspect`: shows every item to a closure.

use crate::engine::op::{Emit, FusedOp, Makes};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::unwind::Kept;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Shows every item to `f`. Fuses; runs on all workers at once, so in no particular order.
    #[track_caller]
    pub fn inspect<F>(self, f: F) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        F: Fn(&T) + Send + Sync + 'env,
    {
        self.fuse("inspect", Inspect(f))
    }
}

/// The operator of [`Stream::inspect`].
struct Inspect<F>(F);

impl<T, F: Fn(&T) + Send + Sync> FusedOp<T> for Inspect<F> {
    type Out = T;
    type Batch<'a>
        = ()
    where
        Self: 'a;
    const MAKES: Makes = Makes::One;
    fn begin(&self) {}
    #[inline]
    fn item(&self, (): &mut (), item: T, out: &mut impl Emit<T>) {
        let item = Kept::new(item);
        (self.0)(&item);
        out.emit(item.into_inner());
    }
}
