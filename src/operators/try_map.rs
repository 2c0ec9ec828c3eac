//! `try_map`: replaces every item, or fails with an error.

use std::error::Error;

use crate::engine::op::{Emit, FusedOp, Makes};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces every item by what `f` makes of it, or fails the run if that is an error. Fuses; runs on all workers at
    /// once.
    ///
    /// The first error in stream order counts. The run ends as [`Failed`](crate::RunErrorKind::Failed), with that error
    /// as its source.
    #[track_caller]
    pub fn try_map<U, E, F>(self, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        F: Fn(T) -> Result<U, E> + Send + Sync + 'env,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.fuse("try_map", TryMap(f))
    }
}

/// The operator of [`Stream::try_map`].
pub(super) struct TryMap<F>(pub(super) F);

impl<T, U, E, F> FusedOp<T> for TryMap<F>
where
    E: Into<Box<dyn Error + Send + Sync>>,
    F: Fn(T) -> Result<U, E> + Send + Sync,
{
    type Out = U;
    type Batch<'a>
        = ()
    where
        Self: 'a;
    const MAKES: Makes = Makes::One;
    const FAILS: bool = true;
    fn begin(&self) {}
    #[inline]
    fn item(&self, (): &mut (), item: T, out: &mut impl Emit<U>) {
        match (self.0)(item) {
            Ok(made) => out.emit(made),
            Err(error) => out.fail(error.into()),
        }
    }
}
