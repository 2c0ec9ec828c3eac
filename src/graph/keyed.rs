//! Streams with keys.

use std::fmt;

use super::Stream;

/// A stream of which every item has a key; made by [`Stream::key_by`].
#[must_use = "a stream that nothing takes is an error when the graph is planned"]
pub struct Keyed<'env, K, T, P> {
    /// Each item behind its key.
    pub(crate) pairs: Stream<'env, (K, T), P>,
}

impl<K, T, P> fmt::Debug for Keyed<'_, K, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyed").field(&self.pairs).finish()
    }
}
