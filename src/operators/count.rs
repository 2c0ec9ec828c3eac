//! `count`: counts the items.

use crate::engine::pipe::Pipe;
use crate::engine::reduce::Reduction;
use crate::graph::Stream;
use crate::plan::Data;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Counts the items, on all workers at once.
    #[must_use]
    #[track_caller]
    pub fn count(self) -> Data<u64> {
        self.reduction("count", Count)
    }
}

/// The reduction of [`Stream::count`].
struct Count;

impl<T> Reduction<T> for Count {
    type Part = u64;
    type Result = u64;
    #[inline]
    fn start(&self) -> u64 {
        0
    }
    #[inline]
    fn next(&self, part: u64, _: T) -> u64 {
        part + 1
    }
    fn combine(&self, left: u64, right: u64) -> u64 {
        left + right
    }
    fn finish(&self, whole: Option<u64>) -> u64 {
        whole.unwrap_or(0)
    }
}
