//! `sum`: the sum of all items.

use std::iter::Sum;
use std::marker::PhantomData;

use crate::engine::pipe::Pipe;
use crate::engine::reduce::Reduction;
use crate::graph::Stream;
use crate::plan::Data;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Sums the items as [`Iterator::sum`] does, batch by batch, on all workers at once; floats as in
    /// [`reduce`](Self::reduce).
    #[must_use]
    #[track_caller]
    pub fn sum<S>(self) -> Data<S>
    where
        S: Sum<T> + Sum<S> + Send + 'env,
    {
        self.reduction("sum", Summing(PhantomData))
    }
}

/// Of [`Stream::sum`].
struct Summing<S>(PhantomData<fn() -> S>);

impl<T, S: Sum<T> + Sum<S> + Send> Reduction<T> for Summing<S> {
    type Part = S;
    type Result = S;
    #[inline]
    fn start(&self) -> S {
        std::iter::empty::<S>().sum()
    }
    #[inline]
    fn next(&self, part: S, item: T) -> S {
        [part, std::iter::once(item).sum()].into_iter().sum()
    }
    fn combine(&self, left: S, right: S) -> S {
        [left, right].into_iter().sum()
    }
    fn finish(&self, whole: Option<S>) -> S {
        whole.unwrap_or_else(|| std::iter::empty::<S>().sum())
    }
}
