//! `flat_map` and `flat_map_into`: replace every item by any number of items.

use std::marker::PhantomData;

use crate::engine::op::{Emit, FusedOp, Makes};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces every item by the items of an iterator, which is run to its end. Fuses; runs on all workers at once.
    ///
    /// One worker makes all items of one iterator, one after the other, and nothing holds it back before the iterator ends.
    /// If one item becomes very many, use [`expand`](Self::expand).
    #[track_caller]
    pub fn flat_map<I, F>(self, f: F) -> Stream<'env, I::Item, impl Pipe<Out = I::Item>>
    where
        I: IntoIterator,
        F: Fn(T) -> I + Send + Sync + 'env,
    {
        self.fuse("flat_map", FlatMap(f))
    }

    /// Replaces every item by any number of items: `f` calls its second argument with each of them. Fuses; runs on all
    /// workers at once.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let digits = g
    ///     .source([120, 7])
    ///     .flat_map_into(|mut number: u32, out| {
    ///         while number > 0 {
    ///             out(number % 10);
    ///             number /= 10;
    ///         }
    ///     })
    ///     .collect();
    /// assert_eq!(pool.run(g)?.take(digits), [0, 2, 1, 7]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map_into<U, F>(self, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        F: Fn(T, &mut dyn FnMut(U)) + Send + Sync + 'env,
        U: 'env,
    {
        self.fuse("flat_map_into", FlatMapInto { f, made: PhantomData })
    }
}

/// The operator of [`Stream::flat_map`].
pub(super) struct FlatMap<F>(pub(super) F);

impl<T, I: IntoIterator, F: Fn(T) -> I + Send + Sync> FusedOp<T> for FlatMap<F> {
    type Out = I::Item;
    type Batch<'a>
        = ()
    where
        Self: 'a;
    const MAKES: Makes = Makes::Any;
    fn begin(&self) {}
    #[inline]
    fn item(&self, (): &mut (), item: T, out: &mut impl Emit<I::Item>) {
        (self.0)(item).into_iter().for_each(|made| out.emit(made));
    }
}

/// The operator of [`Stream::flat_map_into`].
struct FlatMapInto<F, U> {
    f: F,
    made: PhantomData<fn() -> U>,
}

impl<T, U, F: Fn(T, &mut dyn FnMut(U)) + Send + Sync> FusedOp<T> for FlatMapInto<F, U> {
    type Out = U;
    type Batch<'a>
        = ()
    where
        Self: 'a;
    const MAKES: Makes = Makes::Any;
    fn begin(&self) {}
    #[inline]
    fn item(&self, (): &mut (), item: T, out: &mut impl Emit<U>) {
        (self.f)(item, &mut |made| out.emit(made));
    }
}
