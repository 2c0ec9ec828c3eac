//! `try_map` and `try_flat_map`: replace every item, or fail with an error.

use super::flat_map::FlatMap;
use crate::engine::op::{Emit, FusedOp, IntoFailure, Makes};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces every item by what `f` makes of it, or fails the run if that is an error. Fuses; runs on all workers at
    /// once.
    ///
    /// The first error in stream order counts. The run ends as [`Failed`](crate::RunErrorKind::Failed), with that error
    /// as its source.
    #[track_caller]
    pub fn try_map<U, E, F>(self, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        F: Fn(T) -> Result<U, E> + Send + Sync + 'env,
        E: IntoFailure,
    {
        self.fuse("try_map", TryMap(f))
    }

    /// Replaces every item by the items of an iterator that `f` makes of it, or fails the run if that is an error. Fuses;
    /// runs on all workers at once.
    ///
    /// The first error in stream order counts. The run ends as [`Failed`](crate::RunErrorKind::Failed), with that error
    /// as its source.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let rows = g.source(["1,2", "3"]).try_flat_map(|row| {
    ///     let numbers = row.split(',').map(str::parse::<u32>);
    ///     numbers.collect::<Result<Vec<_>, _>>()
    /// });
    /// let sum = rows.sum::<u32>();
    /// assert_eq!(pool.run(g)?.take(sum), 6);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn try_flat_map<I, E, F>(self, f: F) -> Stream<'env, I::Item, impl Pipe<Out = I::Item>>
    where
        I: IntoIterator + 'env,
        F: Fn(T) -> Result<I, E> + Send + Sync + 'env,
        E: IntoFailure,
    {
        let made = self.fuse("try_flat_map", TryMap(f));
        let whole = made.number();
        made.fuse("try_flat_map", FlatMap(std::convert::identity)).within(whole, "items")
    }
}

/// The operator of [`Stream::try_map`].
pub(super) struct TryMap<F>(pub(super) F);

impl<T, U, E, F> FusedOp<T> for TryMap<F>
where
    E: IntoFailure,
    F: Fn(T) -> Result<U, E> + Send + Sync,
{
    type Out = U;
    type Batch<'a>
        = ()
    where
        Self: 'a;
    const MAKES: Makes = Makes::One;
    const FAILS: bool = true;
    fn begin(&self) {}
    #[inline]
    fn item(&self, (): &mut (), item: T, out: &mut impl Emit<U>) {
        match (self.0)(item) {
            Ok(made) => out.emit(made),
            Err(error) => out.fail(error.into()),
        }
    }
}
