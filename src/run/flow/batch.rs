//! How a source is cut into batches.
//!
//! Sources ask here for the size of their batches. Sizes depend on item indices and options alone, never on time or on
//! the number of workers. So the batches are the same in every run, and with them the shape of every reduction. Only
//! where nobody sees how a stream is cut, time may make batches smaller ([`Share`]).

use std::time::Duration;

use super::order::Key;

/// The largest number of items in a batch, unless the user sets a size, or the items are small and nothing of them is
/// kept.
pub(crate) const BATCH: usize = 1024;
/// The largest number of small items in a batch of an iterator that ends in a parallel sink, which keeps nothing of them.
/// A batch costs some 300 ns beside its items, which is a third of what a thousand of the lightest ones take.
const SMALL_BATCH: usize = 4 * BATCH;
/// So large are small items at most, in bytes. A batch of them lies in the caches of a core.
const SMALL: usize = 16;
/// The least number of batches that a source of known length is cut into, if it has that many items. A parallel loop
/// has as many leaves.
const CUTS: u64 = 1024;
/// A batch that grows to this many items at a stage boundary goes on in parts of this size. Programs in tests are small.
pub(crate) const PART: usize = if cfg!(test) { 3 } else { 4 * BATCH };

/// The largest number of items of type `T` in a batch of an iterator that ends in a parallel sink.
pub(crate) const fn most_absorbed<T>() -> usize {
    if size_of::<T>() <= SMALL && !std::mem::needs_drop::<T>() { SMALL_BATCH } else { BATCH }
}

/// The rule for the number of items in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchSize {
    /// The size that the user set.
    Fixed(usize),
    /// The default. Batches of an iterator begin with one item, in case items are heavy, and grow to [`BATCH`]. If it
    /// says how many items it has, they begin with the size that cuts these into [`CUTS`] batches: a first batch of that
    /// size does not delay anybody, and many small ones would be in each other's way on many cores. For the same reason
    /// batches may grow beyond [`BATCH`], where that is allowed, once a [`CUTS`]th of what came before is more. All batches
    /// of a source of known length have one size: see [`of`](Self::of).
    Growing,
}

impl BatchSize {
    /// The size of the batch that begins at item `taken` of an iterator, which says that it has `said` items, or 0. By
    /// default it has at most `most`, which is [`BATCH`] at least.
    pub(crate) fn at(self, taken: u64, said: u64, most: usize) -> usize {
        match self {
            Self::Fixed(size) => size,
            Self::Growing => {
                let grown = usize::try_from(taken / 64).map_or(BATCH, |grown| BATCH.min(1 + grown));
                let grown = usize::try_from(taken / CUTS).map_or(most, |cut| cut.clamp(grown, most));
                let least = usize::try_from(said / CUTS).map_or(most, |cut| cut.clamp(1, most));
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

/// A piece that takes longer makes further batches smaller, where nobody sees how a stream is cut into batches
/// ([`Share`]). It is a hundred times what a batch costs beside its items, and a worker that waits for its turn waits for
/// no more than this.
const LONG: Duration = Duration::from_micros(200);

/// A share of a batch size, in parts of [`Share::WHOLE`].
///
/// Heavy items would make batches of 1024 take seconds, and gigabytes. The size of a batch may depend on time only where
/// nobody sees how the stream is cut: in a line of stages that ends in stream order, one item at a time. There a source
/// begins with a small share, which grows with each batch that is done, and a piece that takes [`LONG`] shrinks it. So what a
/// batch makes, and what waits for its turn, is bounded by time, and by what can be written to memory meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share(u32);

impl Share {
    pub(crate) const WHOLE: Self = Self(1024);
    /// What a source begins with.
    pub(super) const FIRST: Self = Self(8);

    /// This share of a size, one at least.
    pub(crate) fn of(self, size: u64) -> u64 {
        if self == Self::WHOLE {
            return size;
        }
        let share = u128::from(size) * u128::from(self.0) / u128::from(Self::WHOLE.0);
        u64::try_from(share).unwrap_or(size).max(1)
    }

    /// What the next batch may have when one is done.
    pub(super) fn grown(self) -> Self {
        Self(self.0 + self.0 / 8 + 1).min(Self::WHOLE)
    }

    fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// What a batch should have had, of this share, a piece of which took `time`. None: no less.
    pub(super) fn shrunk(self, time: Duration) -> Option<Self> {
        let wanted = || u128::from(self.0) * LONG.as_nanos() / time.as_nanos();
        (time > LONG).then(|| Self(u32::try_from(wanted()).expect("less than before").max(1)))
    }

    pub(super) fn word(self) -> u32 {
        self.0
    }

    pub(super) fn of_word(word: u32) -> Self {
        Self(word)
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
        let unknown = [0, 63, 64, 640, 1 << 20].map(|taken| BatchSize::Growing.at(taken, 0, BATCH));
        assert_eq!(unknown, [1, 1, 2, 11, BATCH]);
        let said = [0, 63, 64, 640, 99_999].map(|taken| BatchSize::Growing.at(taken, 100_000, BATCH));
        assert_eq!(said, [97, 97, 97, 97, BATCH]);
        assert_eq!([0, 1 << 40].map(|taken| BatchSize::Growing.at(taken, u64::MAX, BATCH)), [BATCH; 2]);
    }

    #[test]
    fn batches_of_small_items_grow_further_when_they_are_few_among_many() {
        assert_eq!(
            [most_absorbed::<(u64, u64)>(), most_absorbed::<[u64; 3]>(), most_absorbed::<String>()],
            [4096, 1024, 1024]
        );
        let sizes = [1 << 15, 1 << 20, 3 << 20, 1 << 22, 1 << 40].map(|taken| BatchSize::Growing.at(taken, 0, 4096));
        assert_eq!(sizes, [513, 1024, 3072, 4096, 4096]);
        assert_eq!([1 << 20, 1 << 21, 1 << 40].map(|said| BatchSize::Growing.at(0, said, 4096)), [1024, 2048, 4096]);
        assert_eq!(BatchSize::Fixed(7).at(1 << 40, 0, 4096), 7);
    }

    #[test]
    fn a_share_grows_slowly_and_shrinks_at_once() {
        let grown = std::iter::successors(Some(Share::FIRST), |share| Some(share.grown()));
        assert_eq!(grown.take_while(|share| *share != Share::WHOLE).count(), 37);
        assert_eq!((Share::WHOLE.of(1000), Share::FIRST.of(1024), Share::FIRST.of(3)), (1000, 8, 1));
        assert_eq!(Share::WHOLE.shrunk(LONG), None);
        assert_eq!(Share::WHOLE.shrunk(4 * LONG), Some(Share(256)));
        assert_eq!(Share(2).shrunk(Duration::from_secs(9)), Some(Share(1)));
    }

    #[test]
    fn an_iterator_that_has_said_too_little_is_not_cut_small_for_ever() {
        assert_eq!([0, 9, 10, 1 << 20].map(|taken| BatchSize::Growing.at(taken, 10, BATCH)), [1, 1, 1, BATCH]);
    }
}
