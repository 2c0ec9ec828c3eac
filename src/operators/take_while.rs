//! `take_while`: ends a stream at the first item that is not wanted.

use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::Stream;
use crate::run::flow::makes::Makes;
use crate::unwind::Kept;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Ends the stream before the first item for which `pred` does not hold, as [`Iterator::take_while`] does. One item
    /// at a time, in stream order. Stage boundary after it.
    ///
    /// Sources that feed no other stream stop then. Batches that are under way are dropped; operators before this one
    /// may have seen their items already. A failure on an item behind the end does not count.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let squares = g.source(1..).map(|x: u32| x * x).take_while(|x| *x < 30).collect();
    /// assert_eq!(pool.run(g)?.take(squares), [1, 4, 9, 16, 25]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn take_while<F>(self, pred: F) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        F: FnMut(&T) -> bool + Send + 'env,
    {
        self.serial("take_while", TakeWhile(pred))
    }
}

/// The operator of [`Stream::take_while`].
struct TakeWhile<F>(F);

impl<T: Send, F: FnMut(&T) -> bool + Send> SerialOp<T> for TakeWhile<F> {
    type Out = T;
    type State = ();
    fn makes(&self) -> Makes {
        Makes::AtMostOne
    }
    fn begin(&mut self) {}
    #[inline]
    fn item(&mut self, (): &mut (), item: T, made: &mut Vec<T>) -> ControlFlow<Stop> {
        let item = Kept::new(item);
        let is_wanted = (self.0)(&item);
        let item = item.into_inner();
        if !is_wanted {
            return ControlFlow::Break(Stop::End);
        }
        made.push(item);
        ControlFlow::Continue(())
    }
}
