//! `copied` and `cloned`: items of references.

use super::map::Map;
use crate::engine::pipe::Pipe;
use crate::graph::Stream;

/// A reference. [`Stream::copied`] and [`Stream::cloned`] are for streams of references; what they say of other items is
/// `u32: Reference` is not satisfied.
pub trait Reference {
    /// What it refers to.
    type Of;
    #[doc(hidden)]
    fn of(&self) -> &Self::Of;
}

impl<T> Reference for &T {
    type Of = T;
    #[inline]
    fn of(&self) -> &T {
        self
    }
}

impl<'env, R: 'env, P: Pipe<Out = R> + 'env> Stream<'env, R, P> {
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
    pub fn copied(self) -> Stream<'env, R::Of, impl Pipe<Out = R::Of>>
    where
        R: Reference<Of: Copy + 'env>,
    {
        self.fuse("copied", Map(|item: R| *item.of()))
    }

    /// Clones every item out of its reference, as [`Iterator::cloned`] does. Fuses; runs on all workers at once.
    #[track_caller]
    pub fn cloned(self) -> Stream<'env, R::Of, impl Pipe<Out = R::Of>>
    where
        R: Reference<Of: Clone + 'env>,
    {
        self.fuse("cloned", Map(|item: R| item.of().clone()))
    }
}
