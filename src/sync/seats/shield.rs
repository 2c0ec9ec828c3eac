//! Two words by which the owner of jobs keeps them from thieves for a while, and a thief ends that: hints, all of them.

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A word that says what is not queued at all, and a stamp, another one each time, that is there while what is queued is to be
/// left alone. Zero: there is none.
#[derive(Debug)]
pub(crate) struct Shield {
    word: AtomicUsize,
    stamp: AtomicU64,
}

/// Where nobody sits.
#[cfg(not(all(test, loom)))] // loom's atomics cannot be static
static NOBODY: Shield = Shield { word: AtomicUsize::new(0), stamp: AtomicU64::new(0) };

impl Shield {
    /// A lowered one.
    pub(crate) fn new() -> Self {
        Self { word: AtomicUsize::new(0), stamp: AtomicU64::new(0) }
    }

    /// One that is never raised, for threads that have none.
    pub(crate) const fn nobody() -> *const Self {
        #[cfg(not(all(test, loom)))]
        return &raw const NOBODY;
        #[cfg(all(test, loom))]
        return std::ptr::null();
    }

    // Relaxed, all of them: hints.
    /// The owner's word.
    #[inline]
    pub(crate) fn word(&self) -> usize {
        self.word.load(Ordering::Relaxed)
    }

    /// Owner only.
    #[inline]
    pub(crate) fn set_word(&self, word: usize) {
        self.word.store(word, Ordering::Relaxed);
    }

    /// Takes the owner's word away, if there is one.
    pub(crate) fn lower(&self) {
        if self.word() != 0 {
            self.set_word(0);
        }
    }

    pub(crate) fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Relaxed)
    }

    /// Owner only.
    #[inline]
    pub(crate) fn set_stamp(&self, stamp: u64) {
        self.stamp.store(stamp, Ordering::Relaxed);
    }
}
