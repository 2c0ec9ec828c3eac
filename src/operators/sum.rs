//! `sum`: adds up all items.

use std::iter::Sum;
use std::marker::PhantomData;

use crate::engine::pipe::Pipe;
use crate::engine::reduce::Reduction;
use crate::graph::Stream;
use crate::plan::Data;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Adds up all items as [`Iterator::sum`] does, on all workers at once.
    ///
    /// Batches are summed one by one, and then combined as in [`reduce`](Self::reduce): sums of floats are the same on
    /// any number of workers.
    #[must_use]
    #[track_caller]
    pub fn sum<S>(self) -> Data<S>
    where
        S: Sum<T> + Sum<S> + Send + 'env,
    {
        self.reduction("sum", Summing(PhantomData))
    }
}

/// The reduction of [`Stream::sum`].
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
