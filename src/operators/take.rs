//! `take`: the first items of a stream.

use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::Stream;
use crate::run::flow::makes::Makes;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives the first `n` items, or all if there are fewer, as [`Iterator::take`] does. One item at a time, in stream
    /// order. Stage boundary after it.
    ///
    /// Sources that feed no other stream stop after the `n`th item. Batches that are under way are dropped; operators
    /// before this one may have seen their items already. A failure on an item behind the `n`th does not count.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let page = g.source(1_u32..).skip(10).take(3).collect();
    /// assert_eq!(pool.run(g)?.take(page), [11, 12, 13]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn take(self, n: u64) -> Stream<'env, T, impl Pipe<Out = T>> {
        self.serial("take", Take(n))
    }
}

/// The operator of [`Stream::take`].
struct Take(u64);

impl<T: Send> SerialOp<T> for Take {
    type Out = T;
    /// How many items are still wanted.
    type State = u64;
    fn makes(&self) -> Makes {
        Makes::AtMostOne
    }
    fn begin(&mut self) -> u64 {
        self.0
    }
    #[inline]
    fn item(&mut self, left: &mut u64, item: T, made: &mut Vec<T>) -> ControlFlow<Stop> {
        if *left > 0 {
            *left -= 1;
            made.push(item);
        }
        if *left == 0 { ControlFlow::Break(Stop::End) } else { ControlFlow::Continue(()) }
    }
}
