//! Up to 63 places, each with one owner at a time. A thread takes one and gives it back without waiting, or is woken when
//! one is free.
//!
//! A thread that wants to be woken enters the list of those that wait, and looks again. If all places are taken then, it
//! notes in the same word that somebody waits. A place could be given back between the look and the note, and nobody
//! would come: so both are one compare-and-swap. Who gives a place back sees the note, takes it away, and wakes the first
//! of the list. If others are left there, it puts the note back, and wakes one more if there is another free place by
//! then. A thread that was woken and needs no place any more wakes the next one.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `claim.release` | `release`: RMW | `take`: CAS | what the last owner left in the place | `loom_claim_is_exclusive`, `loom_claim_is_waited_for` |
//! | `claim.take` | `release`: RMW | `take`: CAS | the same | `loom_claim_is_exclusive`, `loom_claim_is_waited_for` |

use std::collections::VecDeque;
use std::sync::Arc;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::parker::Parker;
use crate::sync::{Mutex, edge};

/// Which places are taken; see the module.
#[derive(Debug)]
pub(crate) struct Claims {
    taken: AtomicU64,
    places: u32,
    waiting: Mutex<VecDeque<Arc<Parker>>>,
}

/// The note that somebody waits, in the word of the places.
const WAITED_FOR: u64 = 1 << 63;

impl Claims {
    /// `places` free places, at most 63.
    pub(crate) fn new(places: u32) -> Self {
        assert!(places <= WAITED_FOR.trailing_zeros(), "a word has 63 bits for places");
        Self { taken: AtomicU64::new(0), places, waiting: Mutex::new(VecDeque::new()) }
    }

    /// How many places there are, taken or not.
    #[inline]
    pub(crate) fn places(&self) -> usize {
        self.places as usize
    }

    /// Takes the first free place. `None`: all are taken.
    pub(crate) fn take(&self) -> Option<u32> {
        self.take_or(0)
    }

    /// Takes the first free place. `None`: all are taken, and the parker is unparked when one may be free. Then the
    /// caller calls this again, or [`stop_waiting`](Self::stop_waiting).
    pub(crate) fn take_or_wait(&self, parker: &Arc<Parker>) -> Option<u32> {
        let mut waiting = self.waiting.lock();
        if !waiting.iter().any(|other| Arc::ptr_eq(other, parker)) {
            waiting.push_back(Arc::clone(parker));
        }
        drop(waiting);
        let place = self.take_or(WAITED_FOR)?;
        self.stop_waiting(parker);
        Some(place)
    }

    /// The caller, which waited for a place, has one or needs none any more.
    pub(crate) fn stop_waiting(&self, parker: &Arc<Parker>) {
        let mut waiting = self.waiting.lock();
        match waiting.iter().position(|other| Arc::ptr_eq(other, parker)) {
            Some(place) => drop(waiting.remove(place)),
            None => {
                drop(waiting);
                self.wake_next(); // a wake-up was spent on it
            }
        }
    }

    /// Takes the first free place, or else leaves `note`.
    fn take_or(&self, note: u64) -> Option<u32> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let place = (!taken).trailing_zeros();
            let is_free = place < self.places;
            let next = if is_free { taken | (1 << place) } else { taken | note };
            if next == taken {
                return None;
            }
            // Acquire: the place is as its last owner left it.
            let order = edge!("claim.take", Acquire);
            match self.taken.compare_exchange_weak(taken, next, order, Ordering::Relaxed) {
                Ok(_) => return is_free.then_some(place),
                Err(now) => taken = now,
            }
        }
    }

    /// Gives a place back that [`take`](Self::take) gave.
    pub(crate) fn release(&self, place: u32) {
        // Release: the next owner sees the place as it is left.
        let before = self.taken.fetch_and(!(1 << place | WAITED_FOR), edge!("claim.release", Release));
        debug_assert!(before & (1 << place) != 0, "place {place} was taken");
        if before & WAITED_FOR != 0 {
            self.wake_next();
        }
    }

    /// Wakes the first thread that waits, and others as long as there are more free places.
    #[cold]
    fn wake_next(&self) {
        loop {
            let (first, more) = {
                let mut waiting = self.waiting.lock();
                (waiting.pop_front(), !waiting.is_empty())
            };
            if let Some(first) = first {
                first.unpark();
            }
            // Relaxed: who waits has changed the same word before.
            if !more || (!self.taken.fetch_or(WAITED_FOR, Ordering::Relaxed)).trailing_zeros() >= self.places {
                return;
            }
        }
    }
}
