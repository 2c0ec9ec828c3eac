//! `aggregate`: makes one value of all items, part by part.

use std::mem::needs_drop;

use crate::engine::pipe::Pipe;
use crate::engine::reduce::Reduction;
use crate::graph::Stream;
use crate::plan::Data;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Folds adjacent items into a value, beginning with a clone of `init`, and combines the values as a fixed tree. Runs
    /// on all workers at once.
    ///
    /// `init` must be neutral for `combine`, as 0 is for a sum: how often it is used is not specified. There is a value for
    /// each batch. But a value that owns memory, as a table does, or has more than 64 bytes, is taken for dear to make and
    /// to combine: of a range, a slice, or another source that all workers read at once, at most 512 of them are made,
    /// however many items there are. [`batch_size`](Self::batch_size) of the source has a value for each batch again, so
    /// large batches make fewer of them. Behind an iterator, or an operator that takes one item at a time, batches have
    /// 1024 items at most.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let longest = g
    ///     .source(["to", "be", "or", "not"])
    ///     .aggregate(0, |longest, word| longest.max(word.len()), usize::max);
    /// assert_eq!(pool.run(g)?.take(longest), 3);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn aggregate<A, F, C>(self, init: A, fold: F, combine: C) -> Data<A>
    where
        A: Clone + Send + Sync + 'env,
        F: Fn(A, T) -> A + Send + Sync + 'env,
        C: Fn(A, A) -> A + Send + Sync + 'env,
    {
        self.reduction("aggregate", Aggregate { init, fold, combine })
    }
}

/// A value of so many bytes that owns nothing costs no more than a few items.
const CHEAP: usize = 64;

/// The reduction of [`Stream::aggregate`].
struct Aggregate<A, F, C> {
    init: A,
    fold: F,
    combine: C,
}

impl<T, A, F, C> Reduction<T> for Aggregate<A, F, C>
where
    A: Clone + Send + Sync,
    F: Fn(A, T) -> A + Send + Sync,
    C: Fn(A, A) -> A + Send + Sync,
{
    type Part = A;
    type Result = A;
    const IS_DEAR: bool = needs_drop::<A>() || size_of::<A>() > CHEAP;
    #[inline]
    fn start(&self) -> A {
        self.init.clone()
    }
    #[inline]
    fn next(&self, part: A, item: T) -> A {
        (self.fold)(part, item)
    }
    fn combine(&self, left: A, right: A) -> A {
        (self.combine)(left, right)
    }
    fn finish(&self, whole: Option<A>) -> A {
        whole.unwrap_or_else(|| self.init.clone())
    }
}
