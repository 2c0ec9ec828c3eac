//! What threads leave to others: that somebody has to look in their place ([`super::event_count`]).

use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU32, Ordering};

/// A look is owed to sleepers that found no slot.
pub(super) const NO_SLOT: u32 = 1;
/// A job is there for which nobody sleeps: who lends a slot has a compensating thread made for it.
pub(super) const NOBODY: u32 = 2;
/// Somebody counts on a searcher for more than the next job.
pub(super) const HANDED_ON: u32 = 4;

/// Some of these, as bits.
#[derive(Debug)]
pub(super) struct Notes(CachePadded<AtomicU32>);

// Relaxed, all of them: the fences order it, as they order the jobs. Threads look first, and so do not take the cache
// line from each other.
impl Notes {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(AtomicU32::new(0)))
    }

    pub(super) fn leave(&self, notes: u32) {
        if self.0.load(Ordering::Relaxed) & notes != notes {
            self.0.fetch_or(notes, Ordering::Relaxed);
        }
    }

    /// Whether one of these is there.
    pub(super) fn has(&self, notes: u32) -> bool {
        self.0.load(Ordering::Relaxed) & notes != 0
    }

    pub(super) fn take_all_away(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }
}
