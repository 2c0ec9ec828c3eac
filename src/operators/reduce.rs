//! `reduce`, `min` and `max`: combine all items into one.

use crate::engine::pipe::Pipe;
use crate::engine::reduce::Reduction;
use crate::graph::Stream;
use crate::plan::Data;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Combines all items into one with `f`, on all workers at once. The result is `None` if there are no items.
    ///
    /// `f` combines the items of a batch from left to right, and then the batches as a fixed tree. So the answer is the
    /// same to the last bit on any number of workers, even if `f` is not associative, as with floats. It may differ in
    /// the last bits from a fold from left to right.
    #[must_use]
    #[track_caller]
    pub fn reduce<F>(self, f: F) -> Data<Option<T>>
    where
        T: Send,
        F: Fn(T, T) -> T + Send + Sync + 'env,
    {
        self.reduction("reduce", Reducing(f))
    }

    /// Finds the least item, on all workers at once. Of several equal ones it is the first.
    #[must_use]
    #[track_caller]
    pub fn min(self) -> Data<Option<T>>
    where
        T: Ord + Send,
    {
        self.reduction("min", Reducing(std::cmp::min))
    }

    /// Finds the greatest item, on all workers at once. Of several equal ones it is the last.
    #[must_use]
    #[track_caller]
    pub fn max(self) -> Data<Option<T>>
    where
        T: Ord + Send,
    {
        self.reduction("max", Reducing(std::cmp::max))
    }
}

/// The reduction of [`Stream::reduce`], [`Stream::min`] and [`Stream::max`].
struct Reducing<F>(F);

impl<T: Send, F: Fn(T, T) -> T + Send + Sync> Reduction<T> for Reducing<F> {
    type Part = Option<T>;
    type Result = Option<T>;
    #[inline]
    fn start(&self) -> Option<T> {
        None
    }
    #[inline]
    fn next(&self, part: Option<T>, item: T) -> Option<T> {
        Some(match part {
            Some(part) => (self.0)(part, item),
            None => item,
        })
    }
    fn combine(&self, left: Option<T>, right: Option<T>) -> Option<T> {
        match (left, right) {
            (Some(left), Some(right)) => Some((self.0)(left, right)),
            (left, right) => left.or(right),
        }
    }
    fn finish(&self, whole: Option<Option<T>>) -> Option<T> {
        whole.flatten()
    }
}
