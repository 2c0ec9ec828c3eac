//! Two words by which the owner of jobs keeps thieves off for a while. A thief may end that. Both words are hints.

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Two words; zero: none.
///
/// The *word* says what the owner does not queue at all. The *stamp* is there while thieves are to leave alone what the
/// owner has queued; it is another one each time.
#[derive(Debug)]
pub(crate) struct Shield {
    word: AtomicUsize,
    stamp: AtomicU64,
}

/// The shield of a thread that sits nowhere.
#[cfg(not(any(feature = "check", all(test, loom))))] // loom's atomics cannot be static
static NOBODY: Shield = Shield { word: AtomicUsize::new(0), stamp: AtomicU64::new(0) };
#[cfg(all(feature = "check", not(all(test, loom))))]
static NOBODY: Shield = Shield { word: AtomicUsize::of_static(0), stamp: AtomicU64::of_static(0) };

impl Shield {
    /// A shield that is lowered.
    pub(crate) fn new() -> Self {
        Self { word: AtomicUsize::new(0), stamp: AtomicU64::new(0) }
    }

    /// A shield that is never raised, for threads without one.
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
