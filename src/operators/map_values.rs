//! `map_values`: replaces every item, and keeps its key.

use super::map::Map;
use crate::engine::pipe::Pipe;
use crate::graph::Keyed;

impl<'env, K: 'env, T: 'env, P: Pipe<Out = (K, T)> + 'env> Keyed<'env, K, T, P> {
    /// Replaces every item by what `f` makes of it; the keys stay. Fuses; runs on all workers at once.
    #[track_caller]
    pub fn map_values<U, F>(self, f: F) -> Keyed<'env, K, U, impl Pipe<Out = (K, U)>>
    where
        F: Fn(T) -> U + Send + Sync + 'env,
    {
        Keyed { pairs: self.pairs.fuse("map_values", Map(move |(key, item)| (key, f(item)))) }
    }
}
