//! `skip`: a stream without its first items.

use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::Stream;
use crate::run::flow::makes::Makes;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Drops the first `n` items, as [`Iterator::skip`] does. One item at a time, in stream order. Stage boundary after
    /// it.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let rows = g.split(b"name,age\nann,31\nbob,27", b'\n').skip(1).count(); // without the header
    /// assert_eq!(pool.run(g)?.take(rows), 2);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn skip(self, n: u64) -> Stream<'env, T, impl Pipe<Out = T>> {
        self.serial("skip", Skip(n))
    }
}

/// The operator of [`Stream::skip`].
struct Skip(u64);

impl<T: Send> SerialOp<T> for Skip {
    type Out = T;
    /// How many items are still to be dropped.
    type State = u64;
    fn makes(&self) -> Makes {
        Makes::Every { first: self.0.saturating_add(1), step: 1 }
    }
    fn begin(&mut self) -> u64 {
        self.0
    }
    #[inline]
    fn item(&mut self, left: &mut u64, item: T, made: &mut Vec<T>) -> ControlFlow<Stop> {
        if *left > 0 {
            *left -= 1;
        } else {
            made.push(item);
        }
        ControlFlow::Continue(())
    }
}
