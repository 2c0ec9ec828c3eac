//! A word in which each seat of a block has a bit: one look at the word tells which seats are worth a look.

use std::sync::Arc;

use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The most seats of a block.
pub(crate) const BLOCK: usize = u64::BITS as usize;

/// The word of a block, on a line of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Arc<CachePadded<AtomicU64>>);

/// The bit of one seat.
#[derive(Debug)]
pub(crate) struct Mark {
    marks: Marks,
    bit: u64,
}

impl Marks {
    /// The bit of the seat at this place.
    pub(crate) fn mark(&self, place: usize) -> Mark {
        assert!(place < BLOCK, "a block has {BLOCK} seats at most");
        Mark { marks: self.clone(), bit: 1 << place }
    }

    /// All bits. Relaxed: a hint, or the caller has passed a fence.
    pub(crate) fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Mark {
    pub(crate) fn is_set(&self) -> bool {
        self.marks.load() & self.bit != 0
    }

    /// Sets the bit.
    pub(crate) fn set(&self, order: Ordering) {
        self.marks.0.fetch_or(self.bit, order);
    }

    /// Takes the bit away, if it is set. Threads look first, and so do not take the cache line from each other.
    pub(crate) fn clear(&self, order: Ordering) {
        if self.is_set() {
            self.marks.0.fetch_and(!self.bit, order);
        }
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_cleared_without_its_neighbours() {
        let marks = Marks::default();
        let (one, other) = (marks.mark(3), marks.mark(4));
        one.set(Ordering::Relaxed);
        other.set(Ordering::Relaxed);
        one.clear(Ordering::Relaxed);
        assert_eq!((one.is_set(), other.is_set(), marks.load()), (false, true, 1 << 4));
    }
}
