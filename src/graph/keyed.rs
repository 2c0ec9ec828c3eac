//! Streams with keys.

use std::fmt;

use super::Stream;
use crate::engine::pipe::Pipe;
use crate::engine::tail::Tail;
use crate::plan::Data;
use crate::run::slot::Slot;

/// A stream in which every item has a key. [`Stream::key_by`] makes it.
#[must_use = "a stream that nothing takes is an error when the graph is planned"]
pub struct Keyed<'env, K, T, P> {
    /// The pairs of a key and its item.
    pub(crate) pairs: Stream<'env, (K, T), P>,
}

impl<K, T, P> Keyed<'_, K, T, P> {
    /// Names the operator that was added last, as [`Stream::named`] does.
    #[track_caller]
    pub fn named(self, name: &str) -> Self {
        Self { pairs: self.pairs.named(name) }
    }
}

impl<'env, K: 'env, T: 'env, P: Pipe<Out = (K, T)> + 'env> Keyed<'env, K, T, P> {
    /// Ends the stage in a sink that takes the items of each key in stream order. `keeps` says in words what it keeps in
    /// memory.
    #[track_caller]
    pub(crate) fn sink<R: Send + 'env, S: Tail<(K, T)> + 'env>(
        self,
        method: &'static str,
        keeps: &'static str,
        tail: impl FnOnce(Slot<R>) -> S,
    ) -> Data<R> {
        let (data, result) = self.pairs.add_sink(method, Some(keeps));
        self.pairs.close(tail(result));
        data
    }
}

impl<K, T, P> fmt::Debug for Keyed<'_, K, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyed").field(&self.pairs).finish()
    }
}
