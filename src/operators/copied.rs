//! `copied` and `cloned`: items of references.

use super::map::Map;
use crate::engine::pipe::Pipe;
use crate::graph::Stream;

impl<'env, 'a: 'env, T: 'env, P: Pipe<Out = &'a T> + 'env> Stream<'env, &'a T, P> {
    /// Copies every item out of its reference, as [`Iterator::copied`] does. Fuses; runs on all workers at once.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let least = g.slice(&[3, 1, 2]).copied().min();
    /// assert_eq!(pool.run(g)?.take(least), Some(1));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn copied(self) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        T: Copy,
    {
        self.fuse("copied", Map(|item: &T| *item))
    }

    /// Clones every item out of its reference, as [`Iterator::cloned`] does. Fuses; runs on all workers at once.
    #[track_caller]
    pub fn cloned(self) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        T: Clone,
    {
        self.fuse("cloned", Map(T::clone))
    }
}
