//! `min` and `max` of a stream with keys: the least and the greatest item of each key.

use std::hash::Hash;

use super::local_tables::{Commutative, LocalTables, Place};
use crate::engine::pipe::Pipe;
use crate::graph::{Entries, Keyed, Table, map_entries};
use crate::plan::Data;
use crate::unwind::Kept;

impl<'env, K, T, P> Keyed<'env, K, T, P>
where
    K: Hash + Eq + Send + 'env,
    T: Ord + Send + 'env,
    P: Pipe<Out = (K, T)> + 'env,
{
    /// Finds the least item of every key, on all workers at once. Of several equal ones it is the first in stream order.
    /// It keeps every key in memory, at most once for each worker.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let shortest = g.source(["to", "be", "or", "not"]).key_by(|word| word.len()).min();
    /// assert_eq!(pool.run(g)?.take(shortest).sorted(), [(2, "be"), (3, "not")]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn min(self) -> Data<Table<K, T>> {
        let each = |result| LocalTables::new(Extreme(|new, old| new < old), result);
        self.pairs.parallel_sink("min", Some("every key"), each)
    }

    /// Finds the greatest item of every key, on all workers at once. Of several equal ones it is the last in stream order.
    /// It keeps every key in memory, at most once for each worker.
    #[must_use]
    #[track_caller]
    pub fn max(self) -> Data<Table<K, T>> {
        let each = |result| LocalTables::new(Extreme(|new, old| new > old), result);
        self.pairs.parallel_sink("max", Some("every key"), each)
    }
}

/// What [`Keyed::min`] and [`Keyed::max`] do: whether the first item, with its place, is better than the second one. The
/// greatest of equal ones is the last one, so the place is compared like the item.
struct Extreme<T>(fn(&(T, Place), &(T, Place)) -> bool);

impl<T: Ord + Send> Commutative<T> for Extreme<T> {
    type Value = (T, Place);
    type Result = T;
    #[inline]
    fn first(&self, item: T, at: Place) -> (T, Place) {
        (item, at)
    }
    #[inline]
    fn add(&self, best: &mut (T, Place), item: T, at: Place) {
        self.merge(best, (item, at));
    }
    #[inline]
    fn merge(&self, best: &mut (T, Place), other: (T, Place)) {
        let other = Kept::new(other);
        let is_better = (self.0)(&other, best);
        let other = other.into_inner();
        if is_better {
            *best = other;
        }
    }
    fn finish<K>(&self, best: Entries<K, (T, Place)>) -> Entries<K, T> {
        map_entries(best, |(item, _)| item)
    }
}
