//! `tee`: sends every item to two streams.

use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::run::flow::makes::Makes;
use crate::unwind::Kept;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Sends every item to two streams. The first stream gets a clone, the second the item itself. Stage boundary.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let (numbers, same) = g.range(0..100_u32).tee();
    /// let (sum, greatest) = (numbers.sum::<u32>(), same.max());
    /// let mut run = pool.run(g)?;
    /// assert_eq!((run.take(sum), run.take(greatest)), (4950, Some(99)));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn tee(self) -> (Stream<'env, T, impl Pipe<Out = T>>, Stream<'env, T, impl Pipe<Out = T>>)
    where
        T: Clone,
    {
        self.fork("tee", ["tee's first", "tee's second"], Makes::One, both)
    }
}

/// The split of [`Stream::tee`]: every item goes to both sides.
fn both<T: Clone>(item: T) -> (Option<T>, Option<T>) {
    let item = Kept::new(item);
    (Some(T::clone(&item)), Some(item.into_inner()))
}
