//! `sorted_by_key`: items in the order of a key.

use std::marker::PhantomData;
use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::Stream;
use crate::run::flow::makes::Makes;
use crate::unwind::Kept;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives all items in the order of their keys. Items with equal keys keep their order. One item at a time; the items
    /// go on when the last one has come. Stage boundary after it.
    ///
    /// It keeps all items in memory, and one worker sorts them (as [`slice::sort_by_cached_key`] does: `key` is called
    /// once for each). What comes behind it runs on all workers.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let words = g.source("never say never again".split(' ')).sorted_by_key(|word| word.len()).collect();
    /// assert_eq!(pool.run(g)?.take(words), ["say", "never", "never", "again"]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn sorted_by_key<K, F>(self, key: F) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        K: Ord + 'env,
        F: FnMut(&T) -> K + Send + 'env,
    {
        self.serial("sorted_by_key", SortedByKey { key, item: PhantomData })
    }
}

/// The operator of [`Stream::sorted_by_key`].
struct SortedByKey<F, T, K> {
    key: F,
    item: PhantomData<fn(T) -> K>,
}

impl<T: Send, K: Ord, F: FnMut(&T) -> K + Send> SerialOp<T> for SortedByKey<F, T, K> {
    type Out = T;
    /// The items so far.
    type State = Vec<T>;
    const ENDS: bool = true;
    const KEEPS: Option<&'static str> = Some("every item");
    fn makes(&self) -> Makes {
        Makes::AtMostOne
    }
    fn begin(&mut self) -> Vec<T> {
        Vec::new()
    }
    #[inline]
    fn item(&mut self, items: &mut Vec<T>, item: T, _: &mut Vec<T>) -> ControlFlow<Stop> {
        items.push(item);
        ControlFlow::Continue(())
    }
    fn end(&mut self, items: Vec<T>, made: &mut Vec<T>) {
        let mut items = Kept::new(items);
        items.sort_by_cached_key(&mut self.key);
        *made = items.into_inner();
    }
}
