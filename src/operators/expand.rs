//! `expand`: replaces every item by the items of an iterator, as many of them at a time as are needed.

use super::map::Map;
use crate::engine::pipe::Pipe;
use crate::graph::Stream;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces every item by the items of an iterator that `f` makes of it, as [`flat_map`](Self::flat_map) does. But the
    /// iterator is asked for no more than what comes behind it can take: one item may become billions.
    ///
    /// `f` runs on all workers at once. The iterators wait in stream order; one worker at a time takes a batch out of the
    /// first one, as out of a [`source`](crate::Graph::source), and what it gives goes on to all workers. While as many of
    /// these batches are in flight as may be, the iterator waits, and the batch of the item that it comes from keeps its
    /// credit. So use it where one item becomes thousands, or an unknown number, and `flat_map`, where all workers make
    /// items at once, else. Stage boundary.
    ///
    /// What comes out has batches and credits of its own: [`batch_size`](Self::batch_size) and [`credits`](Self::credits)
    /// behind it set these. For [`Live::done`](crate::Live::done) an item counts as done when its iterator is used up.
    ///
    /// # Panics
    /// If `f` panics, the run fails at that item. If an iterator does, the run fails there; [`item`](crate::RunError::item)
    /// is the number of items that came out before.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let squares = g.source([3_u64, 5]).expand(|from| (from..).map(|x| x * x)); // endless
    /// let some = squares.take(4).collect();
    /// assert_eq!(pool.run(g)?.take(some), [9, 16, 25, 36]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn expand<I, F>(self, f: F) -> Stream<'env, I::Item, impl Pipe<Out = I::Item>>
    where
        I: IntoIterator<Item: Send + 'env, IntoIter: Send + 'env> + 'env,
        F: Fn(T) -> I + Send + Sync + 'env,
    {
        self.fuse("expand", Map(move |item| f(item).into_iter())).unfold("expand")
    }
}
