//! `count` of a stream with keys: counts the items of each key.

use std::hash::Hash;

use super::local_tables::{Commutative, LocalTables, Place};
use crate::engine::pipe::Pipe;
use crate::graph::{Entries, Keyed, Table};
use crate::plan::Data;

impl<'env, K, T, P> Keyed<'env, K, T, P>
where
    K: Hash + Eq + Send + 'env,
    T: 'env,
    P: Pipe<Out = (K, T)> + 'env,
{
    /// Counts the items of every key, on all workers at once. It keeps every key in memory, at most once for each
    /// worker.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let counts = g.source(["to", "be", "or", "not", "to", "be"]).key_by(|word| *word).count();
    /// let counts = pool.run(g)?.take(counts);
    /// assert_eq!(counts.sorted(), [("be", 2), ("not", 1), ("or", 1), ("to", 2)]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn count(self) -> Data<Table<K, u64>> {
        self.pairs.parallel_sink("count", Some("every key"), |result| LocalTables::new(Counting, result))
    }
}

/// What [`Keyed::count`] does.
struct Counting;

impl<T> Commutative<T> for Counting {
    type Value = u64;
    type Result = u64;
    #[inline]
    fn first(&self, _: T, _: Place) -> u64 {
        1
    }
    #[inline]
    fn add(&self, count: &mut u64, item: T, _: Place) {
        drop(item); // if that panics, the count is as it was
        *count += 1;
    }
    fn merge(&self, count: &mut u64, more: u64) {
        *count += more;
    }
    fn finish<K>(&self, counts: Entries<K, u64>) -> Entries<K, u64> {
        counts
    }
}
