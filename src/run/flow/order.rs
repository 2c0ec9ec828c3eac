//! The order of a stream: the numbers of its batches, and the ticket that travels with a piece.
//!
//! Every batch of a source has a *number*, counted from 0. The batch keeps its number through all stages, even if it
//! becomes empty. If a batch grows too large at a stage boundary, it goes on in *parts*, and the last part is marked.
//!
//! A [`Ticket`] travels with the items of a piece. It holds the place in the order, and the origin: the source batch
//! whose credit comes back when its last piece is done. A [`Sequence`] is one such order. All stages whose input is
//! numbered in that order share it.

use std::fmt;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::sequencer::Turn;

/// A place in the order of a sequence, as one word: the number in the upper 44 bits, the part in the lower 20.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

const PART_BITS: u32 = 20;
/// The largest part of a number. Items that would need further parts stay in the last one.
pub(crate) const MAX_PARTS: u32 = (1 << PART_BITS) - 1;

impl Key {
    pub(crate) const FIRST: Self = Self(0);
    /// How many numbers there are for batches. Two more fit into the word: a number behind all batches, and the end of
    /// that one.
    pub(super) const NUMBERS: u64 = (1 << (u64::BITS - PART_BITS)) - 2;

    pub(crate) fn new(number: u64, part: u32) -> Self {
        debug_assert!(number < 1 << (u64::BITS - PART_BITS) && part <= MAX_PARTS, "fits the word");
        Self(number << PART_BITS | u64::from(part))
    }

    /// The place as a word; words have the order of their places.
    pub(super) fn word(self) -> u64 {
        self.0
    }

    /// The place from its word.
    pub(super) fn of_word(word: u64) -> Self {
        Self(word)
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

/// The source batch that a piece comes from: the source, and the place of the batch there. The batch holds a credit as
/// long as one of its pieces lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    source: u32,
    place: u32,
}

impl Origin {
    /// The origin of a piece that holds no credit: its source needs none, or it has given the credit back.
    pub(crate) const NONE: Self = Self { source: u32::MAX, place: 0 };

    pub(crate) fn new(source: usize, place: u32) -> Self {
        Self { source: u32::try_from(source).expect("fewer than 2^32 sources"), place }
    }

    pub(crate) fn get(self) -> Option<(usize, u32)> {
        (self != Self::NONE).then_some((self.source as usize, self.place))
    }
}

/// The place in the order and the origin of a piece; it travels with the items.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) number: u64,
    pub(crate) part: u32,
    /// Whether this is the last part of its number.
    pub(crate) last: bool,
    /// The stream has ended in an earlier number. How many such pieces there are depends on the schedule, so nothing may be
    /// numbered by them.
    pub(crate) is_behind_end: bool,
    pub(crate) origin: Origin,
}

impl Ticket {
    pub(crate) fn whole(number: u64, origin: Origin) -> Self {
        Self { number, part: 0, last: true, is_behind_end: false, origin }
    }

    /// A ticket without a credit: it only names a place in the order.
    pub(crate) fn at(number: u64, part: u32) -> Self {
        Self { part, ..Self::whole(number, Origin::NONE) }
    }

    /// A place behind all batches that there can be.
    pub(crate) fn behind_all() -> Self {
        Self::at(Key::NUMBERS, 0)
    }

    pub(crate) fn turn(&self) -> Turn {
        Turn { number: self.number, part: self.part }
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(self.number, self.part)
    }

    /// Whether the piece is its whole batch, not one part of several.
    pub(crate) fn is_whole(&self) -> bool {
        self.part == 0 && self.last
    }

    /// The first place behind this piece.
    pub(crate) fn end(&self) -> Key {
        if self.last { Key::new(self.number + 1, 0) } else { Key::new(self.number, self.part + 1) }
    }
}

/// One order of batches: the order of a source, or a new one that a shape makes. The stages of that order share it.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// The stages whose input is numbered in this order.
    pub(crate) stages: Vec<usize>,
    /// Whether this is stream order; else it is the order of arrival.
    pub(crate) ordered: bool,
    /// Pieces after this place are dropped; `u64::MAX` if there is no cut.
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
        // Relaxed: a piece behind the failed one must not pass a sequencer without seeing the cut. The sequencer's turn
        // orders that: the worker that leaves the turn has made the cut before. For all other pieces, the cut only
        // saves work.
        self.cut.fetch_min(at.0, Ordering::Relaxed);
    }

    /// Whether a piece at this place is still wanted.
    #[inline]
    pub(crate) fn wants(&self, at: Key) -> bool {
        at.0 <= self.cut.load(Ordering::Relaxed)
    }

    /// Whether no failure has cut the sequence.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        self.cut.load(Ordering::Relaxed) == u64::MAX
    }
}
