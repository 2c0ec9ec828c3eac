//! `fold` of a stream with keys, and its like: make one value of the items of each key, one after the other.
//!
//! Different keys may be at work on different workers ([`super::lanes`]).

use std::convert::identity;
use std::hash::Hash;

use super::lanes::Lanes;
use super::top_k;
use crate::engine::pipe::Pipe;
use crate::graph::{Keyed, Table};
use crate::plan::Data;

impl<'env, K, T, P> Keyed<'env, K, T, P>
where
    K: Hash + Eq + Send + 'env,
    T: Send + 'env,
    P: Pipe<Out = (K, T)> + 'env,
{
    /// Folds the items of every key into one value, one item of a key at a time, in stream order. Different keys are
    /// folded at the same time, on all workers. The value of a key begins as a clone of `init`.
    ///
    /// `f` takes items of different keys at the same time, so it cannot change what it has captured: what it has to know
    /// of the items before is in the value. The result is the same to the last bit on any number of workers, also where
    /// `f` adds floats.
    ///
    /// It keeps one value for each key in memory. While one worker keeps up with the stream it works alone, and no item is
    /// stored in between. Otherwise each item is moved twice. A key that most items have is folded by one worker at a
    /// time.
    ///
    /// # Errors
    /// If `f` panics the run fails. The failure names the earliest such item of the stream. `f` may have been given later
    /// items of other keys by then.
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
    pub fn fold<A, F>(self, init: A, f: F) -> Data<Table<K, A>>
    where
        A: Clone + Send + Sync + 'env,
        F: Fn(A, T) -> A + Send + Sync + 'env,
    {
        let add = move |folded: Option<A>, item| f(folded.unwrap_or_else(|| init.clone()), item);
        self.sink("fold", "one value for each key", |result| Lanes::new(add, identity, result))
    }

    /// Combines the items of every key into one with `f`, one item of a key at a time, in stream order. Different keys are
    /// at work at the same time, as in [`fold`](Self::fold). `f` need be neither associative nor commutative.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let words = g.source(["to", "be", "or", "not"]).map(String::from);
    /// let joined = words.key_by(|word| word.len()).reduce(|words, word| words + " " + &word);
    /// assert_eq!(pool.run(g)?.take(joined).sorted(), [(2, "to be or".to_owned()), (3, "not".to_owned())]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn reduce<F>(self, f: F) -> Data<Table<K, T>>
    where
        F: Fn(T, T) -> T + Send + Sync + 'env,
    {
        let add = move |reduced, item| match reduced {
            None => item,
            Some(reduced) => f(reduced, item),
        };
        self.sink("reduce", "one item for each key", |result| Lanes::new(add, identity, result))
    }

    /// Puts the items of every key into a vector, in stream order: a group by. It keeps all items in memory. Different
    /// keys are at work at the same time, as in [`fold`](Self::fold).
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
        self.sink("collect", "every item", |result| Lanes::new(push, identity, result))
    }

    /// Finds the `k` greatest items of every key, or all if there are fewer. The greatest one comes first;
    /// which of several equal ones are found is not specified, but always the same. One item of a key at a time; different
    /// keys are at work at the same time, as in [`fold`](Self::fold).
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
        self.sink("top_k", "k items for each key", |result| Lanes::new(add, top_k::in_order, result))
    }
}

/// Adds an item to those of its key.
pub(super) fn push<T>(items: Option<Vec<T>>, item: T) -> Vec<T> {
    let mut items = items.unwrap_or_default();
    items.push(item);
    items
}
