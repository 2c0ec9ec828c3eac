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
    /// The default. Batches of an iterator begin with one item, in case items are heavy, and grow to [`BATCH`]. If it
    /// says how many items it has, they begin with the size that cuts these into [`CUTS`] batches: a first batch of that
    /// size does not delay anybody, and many small ones would be in each other's way on many cores. All batches of a
    /// source of known length have one size: see [`of`](Self::of).
    Growing,
}

impl BatchSize {
    /// The size of the batch that begins at item `taken` of an iterator, which says that it has `said` items, or 0.
    pub(crate) fn at(self, taken: u64, said: u64) -> usize {
        match self {
            Self::Fixed(size) => size,
            Self::Growing => {
                let grown = usize::try_from(taken / 64).map_or(BATCH, |grown| BATCH.min(1 + grown));
                let least = usize::try_from(self.of(said)).expect("at most `BATCH`");
                if taken < said { grown.max(least) } else { grown } // the iterator may be wrong
            }
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

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;

    #[test]
    fn batches_of_an_iterator_grow() {
        let unknown = [0, 63, 64, 640, 1 << 20].map(|taken| BatchSize::Growing.at(taken, 0));
        assert_eq!(unknown, [1, 1, 2, 11, BATCH]);
        let said = [0, 63, 64, 640, 99_999].map(|taken| BatchSize::Growing.at(taken, 100_000));
        assert_eq!(said, [97, 97, 97, 97, BATCH]);
        assert_eq!([0, 1 << 40].map(|taken| BatchSize::Growing.at(taken, u64::MAX)), [BATCH; 2]);
    }

    #[test]
    fn an_iterator_that_has_said_too_little_is_not_cut_small_for_ever() {
        assert_eq!([0, 9, 10, 1 << 20].map(|taken| BatchSize::Growing.at(taken, 10)), [1, 1, 1, BATCH]);
    }
}
