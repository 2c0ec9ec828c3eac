//! How a source is cut into batches.
//!
//! Sizes depend on item indices and options alone, never on time or workers: so blocks, and with them the shape of every
//! reduction, are the same in every run.

use super::order::Key;

/// Items in a batch at most, unless the user says otherwise.
pub(crate) const BATCH: usize = 1024;
/// Batches that a source of known length is cut into at least, if it has as many items: as many as a loop has leaves.
const CUTS: u64 = 1024;
/// A batch that grows beyond this many items at a stage boundary goes on in parts.
pub(crate) const PART: usize = 4 * BATCH;

/// How many items the next batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchSize {
    /// As the user said.
    Fixed(usize),
    /// For a source whose length is not known: small at first, for heavy items, then larger.
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

    /// The one size for all batches of a source of `len` items, unless there would be too many: see [`least_batch`].
    pub(crate) fn of(self, len: u64) -> u64 {
        match self {
            Self::Fixed(size) => size as u64,
            Self::Growing => (len / CUTS).clamp(1, BATCH as u64),
        }
    }
}

/// The size that batches of a source of `len` items must have, so that there are numbers for all of them.
pub(crate) fn least_batch(len: u64) -> u64 {
    len.div_ceil(Key::NUMBERS)
}
