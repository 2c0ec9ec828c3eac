//! Up to 64 places, each with one owner at a time. A thread takes one and gives it back without waiting.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `claim.release` | `release`: RMW | `take`: CAS | what the last owner left in the place | `loom_claim_is_exclusive` |
//! | `claim.take` | `release`: RMW | `take`: CAS | the same | `loom_claim_is_exclusive` |

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::edge;

/// Which places are taken; see the module.
#[derive(Debug)]
pub(crate) struct Claims {
    taken: AtomicU64,
    places: u32,
}

impl Claims {
    /// `places` free places, at most 64.
    pub(crate) fn new(places: u32) -> Self {
        assert!(places <= u64::BITS, "a word has 64 bits");
        Self { taken: AtomicU64::new(0), places }
    }

    /// How many places there are, taken or not.
    #[inline]
    pub(crate) fn places(&self) -> usize {
        self.places as usize
    }

    /// Takes the first free place. `None`: all are taken.
    pub(crate) fn take(&self) -> Option<u32> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let place = (!taken).trailing_zeros();
            if place >= self.places {
                return None;
            }
            // Acquire: the place is as its last owner left it.
            let order = edge!("claim.take", Acquire);
            match self.taken.compare_exchange_weak(taken, taken | (1 << place), order, Ordering::Relaxed) {
                Ok(_) => return Some(place),
                Err(now) => taken = now,
            }
        }
    }

    /// Gives a place back that [`take`](Self::take) gave.
    pub(crate) fn release(&self, place: u32) {
        // Release: the next owner sees the place as it is left.
        let before = self.taken.fetch_and(!(1 << place), edge!("claim.release", Release));
        debug_assert!(before & (1 << place) != 0, "place {place} was taken");
    }
}
