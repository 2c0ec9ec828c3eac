//! What orders a stream: the numbers of its batches, and what of that travels with a piece.
//!
//! Every batch of a source has a *number*; it keeps it through all stages, emptied or not. Where a batch has grown at a
//! stage boundary it goes on in *parts*, the last one marked. A [`Ticket`] is what travels with the items: the place in the
//! order, and the origin, whose credit comes back when its last piece is done. A [`Sequence`] is one such order, which the
//! stages on it share.

use std::fmt;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::sequencer::Turn;

/// A place in the order of a sequence, as one word: number, then part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

const PART_BITS: u32 = 20;
/// Parts of one number at most; what grows beyond stays in the last one.
pub(crate) const MAX_PARTS: u32 = (1 << PART_BITS) - 1;

impl Key {
    pub(crate) const FIRST: Self = Self(0);
    /// How many numbers there are for batches; there is room for one behind all of them, and for its end.
    pub(super) const NUMBERS: u64 = (1 << (u64::BITS - PART_BITS)) - 2;

    pub(crate) fn new(number: u64, part: u32) -> Self {
        debug_assert!(number < 1 << (u64::BITS - PART_BITS) && part <= MAX_PARTS, "fits the word");
        Self(number << PART_BITS | u64::from(part))
    }

    pub(crate) fn number(self) -> u64 {
        self.0 >> PART_BITS
    }

    pub(crate) fn part(self) -> u64 {
        self.0 & u64::from(MAX_PARTS)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.number(), self.part())
    }
}

/// The source batch that a piece comes from: which source, and which of its places. It holds a credit while a piece of it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    source: u32,
    place: u32,
}

impl Origin {
    /// Of a source that needs no credits.
    pub(crate) const NONE: Self = Self { source: u32::MAX, place: 0 };

    pub(crate) fn new(source: usize, place: u32) -> Self {
        Self { source: u32::try_from(source).expect("fewer than 2^32 sources"), place }
    }

    pub(crate) fn get(self) -> Option<(usize, u32)> {
        (self != Self::NONE).then_some((self.source as usize, self.place))
    }
}

/// What travels with the items of a piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) number: u64,
    pub(crate) part: u32,
    /// The last part of its number.
    pub(crate) last: bool,
    pub(crate) origin: Origin,
}

impl Ticket {
    pub(crate) fn whole(number: u64, origin: Origin) -> Self {
        Self { number, part: 0, last: true, origin }
    }

    /// A place in the order that no piece in flight holds a credit for.
    pub(crate) fn at(number: u64, part: u32) -> Self {
        Self { part, ..Self::whole(number, Origin::NONE) }
    }

    /// Behind all batches there can be.
    pub(crate) fn behind_all() -> Self {
        Self::at(Key::NUMBERS, 0)
    }

    pub(crate) fn turn(&self) -> Turn {
        Turn { number: self.number, part: self.part }
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(self.number, self.part)
    }

    /// Whether it is all of its number.
    pub(crate) fn is_whole(&self) -> bool {
        self.part == 0 && self.last
    }

    /// The place behind this piece.
    pub(crate) fn end(&self) -> Key {
        if self.last { Key::new(self.number + 1, 0) } else { Key::new(self.number, self.part + 1) }
    }
}

/// One order of batches: a source's, or of a shape that makes a new one. Shared by the stages on it.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// The stages whose input is numbered so.
    pub(crate) stages: Vec<usize>,
    /// Whether the order is that of the stream, not that of arrival.
    pub(crate) ordered: bool,
    /// Pieces after this place are dropped.
    cut: AtomicU64,
}

impl Sequence {
    pub(crate) fn new(stages: Vec<usize>, ordered: bool) -> Self {
        Self { stages, ordered, cut: AtomicU64::new(u64::MAX) }
    }

    pub(crate) fn reset(&self) {
        self.cut.store(u64::MAX, Ordering::Relaxed);
    }

    pub(crate) fn cut_after(&self, at: Key) {
        // Relaxed: whoever is behind the failed piece in a sequencer sees it by the sequencer's lock; for all others
        // the cut only saves work.
        self.cut.fetch_min(at.0, Ordering::Relaxed);
    }

    /// Whether a piece is still wanted.
    #[inline]
    pub(crate) fn wants(&self, at: Key) -> bool {
        at.0 <= self.cut.load(Ordering::Relaxed)
    }

    /// Whether no failure has cut it.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        self.cut.load(Ordering::Relaxed) == u64::MAX
    }
}
