//! Streams with keys.

use std::fmt;

use super::Stream;

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

impl<K, T, P> fmt::Debug for Keyed<'_, K, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyed").field(&self.pairs).finish()
    }
}
