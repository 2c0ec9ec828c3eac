//! `fold` of a stream with keys, and its like: make one value of the items of each key, one after the other.

use std::convert::Infallible;
use std::hash::Hash;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::top_k;
use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::engine::tail::put;
use crate::graph::{Keyed, Table};
use crate::plan::Data;
use crate::run::slot::Slot;
use crate::unwind;

impl<'env, K, T, P> Keyed<'env, K, T, P>
where
    K: Hash + Eq + Send + 'env,
    T: Send + 'env,
    P: Pipe<Out = (K, T)> + 'env,
{
    /// Folds the items of every key into one value, one item at a time, in stream order. The value of a key begins as a
    /// clone of `init`.
    ///
    /// What `f` has captured keeps its state from run to run.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let sales = g.source([("pears", 2.5), ("plums", 4.0), ("pears", 1.5)]);
    /// let sums = sales.key_by(|sale| sale.0).fold((0.0, 0), |(sum, n), sale| (sum + sale.1, n + 1));
    /// assert_eq!(pool.run(g)?.take(sums).get("pears"), Some(&(4.0, 2)));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn fold<A, F>(self, init: A, mut f: F) -> Data<Table<K, A>>
    where
        A: Clone + Send + 'env,
        F: FnMut(A, T) -> A + Send + 'env,
    {
        let add = move |folded: Option<A>, item| f(folded.unwrap_or_else(|| init.clone()), item);
        self.pairs.serial_sink("fold", Some("one value for each key"), |result| {
            FoldByKey::new(add, std::convert::identity, result)
        })
    }

    /// Combines the items of every key into one with `f`, one item at a time, in stream order.
    ///
    /// What `f` has captured keeps its state from run to run.
    #[must_use]
    #[track_caller]
    pub fn reduce<F>(self, mut f: F) -> Data<Table<K, T>>
    where
        F: FnMut(T, T) -> T + Send + 'env,
    {
        let add = move |reduced, item| match reduced {
            None => item,
            Some(reduced) => f(reduced, item),
        };
        self.pairs.serial_sink("reduce", Some("one item for each key"), |result| {
            FoldByKey::new(add, std::convert::identity, result)
        })
    }

    /// Puts the items of every key into a vector, in stream order: a group by. It keeps all items in memory.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let by_length = g.source(["to", "be", "or", "not"]).key_by(|word| word.len()).collect();
    /// assert_eq!(pool.run(g)?.take(by_length).sorted(), [(2, vec!["to", "be", "or"]), (3, vec!["not"])]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn collect(self) -> Data<Table<K, Vec<T>>> {
        self.pairs
            .serial_sink("collect", Some("every item"), |result| FoldByKey::new(push, std::convert::identity, result))
    }

    /// Finds the `k` greatest items of every key, or all if there are fewer. The greatest one comes first;
    /// which of several equal ones are found is not specified, but always the same. One item at a time.
    #[must_use]
    #[track_caller]
    pub fn top_k(self, k: usize) -> Data<Table<K, Vec<T>>>
    where
        T: Ord,
    {
        let add = move |best: Option<top_k::Best<T>>, item| {
            let mut best = best.unwrap_or_default();
            top_k::add(&mut best, k, item);
            best
        };
        self.pairs
            .serial_sink("top_k", Some("k items for each key"), |result| FoldByKey::new(add, top_k::in_order, result))
    }
}

/// Adds an item to those of its key.
pub(super) fn push<T>(items: Option<Vec<T>>, item: T) -> Vec<T> {
    let mut items = items.unwrap_or_default();
    items.push(item);
    items
}

/// The operator of these sinks. `add` makes the value of a key of the one before, if there was one, and of an item;
/// `finish` makes its result.
pub(super) struct FoldByKey<K, T, V, R, F> {
    add: F,
    finish: fn(V) -> R,
    result: Arc<Slot<Table<K, R>>>,
    item: PhantomData<fn(T)>,
}

impl<K, T, V, R, F: FnMut(Option<V>, T) -> V> FoldByKey<K, T, V, R, F> {
    pub(super) fn new(add: F, finish: fn(V) -> R, result: Arc<Slot<Table<K, R>>>) -> Self {
        Self { add, finish, result, item: PhantomData }
    }
}

impl<K, T, V, R, F> SerialOp<(K, T)> for FoldByKey<K, T, V, R, F>
where
    K: Hash + Eq + Send,
    V: Send,
    R: Send,
    F: FnMut(Option<V>, T) -> V + Send,
{
    type Out = Infallible;
    /// None only while the closure has a value, and when it has panicked.
    type State = Table<K, Option<V>>;
    const IS_SINK: bool = true;
    fn begin(&mut self) -> Self::State {
        Table::new()
    }
    #[inline]
    fn item(&mut self, table: &mut Self::State, (key, item): (K, T), _: &mut Vec<Infallible>) -> ControlFlow<Stop> {
        let item = unwind::Kept::new(item); // the key's own code may panic
        let value = table.get_or_insert_with(key, || None);
        let item = item.into_inner();
        *value = Some((self.add)(value.take(), item));
        ControlFlow::Continue(())
    }
    fn end(&mut self, table: Self::State, _: &mut Vec<Infallible>) {
        let finish = |value: Option<V>| (self.finish)(value.expect("the closure has given it back"));
        put(&self.result, Some(table.map(finish)));
    }
}
