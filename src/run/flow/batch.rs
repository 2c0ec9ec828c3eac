//! How a source is cut into batches.
//!
//! Sources ask here for the size of their batches. Sizes depend on item indices and options alone, never on time or on
//! the number of workers. So the batches are the same in every run, and with them the shape of every reduction.

use super::order::Key;

/// The largest number of items in a batch, unless the user sets a size.
pub(crate) const BATCH: usize = 1024;
/// The least number of batches that a source of known length is cut into, if it has that many items. A parallel loop
/// has as many leaves.
const CUTS: u64 = 1024;
/// A batch that grows to this many items at a stage boundary goes on in parts of this size.
pub(crate) const PART: usize = 4 * BATCH;

/// The rule for the number of items in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchSize {
    /// The size that the user set.
    Fixed(usize),
    /// The default. If the length is not known, batches begin with one item, in case items are heavy, and grow to
    /// [`BATCH`]. If it is known, all batches have one size: see [`of`](Self::of).
    Growing,
}

impl BatchSize {
    /// The size of the batch that begins at item `taken`.
    pub(crate) fn at(self, taken: u64) -> usize {
        match self {
            Self::Fixed(size) => size,
            Self::Growing => usize::try_from(taken / 64).map_or(BATCH, |grown| BATCH.min(1 + grown)),
        }
    }

    /// The one size for all batches of a source of `len` items. It may be too small for huge sources: see
    /// [`least_batch`].
    pub(crate) fn of(self, len: u64) -> u64 {
        match self {
            Self::Fixed(size) => size as u64,
            Self::Growing => (len / CUTS).clamp(1, BATCH as u64),
        }
    }
}

/// The smallest size at which there are enough batch numbers for a source of `len` items.
pub(crate) fn least_batch(len: u64) -> u64 {
    len.div_ceil(Key::NUMBERS)
}
