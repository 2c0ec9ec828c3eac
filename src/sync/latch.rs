//! One-shot flag that one thread waits for.
//!
//! The setter may be the last one who keeps the latch's memory alive, or may not be: the waiter frees it as soon as it
//! has seen the flag. So [`Latch::set`] takes a pointer, reads all it needs first, and touches nothing after the store.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `latch.set` | `set`: store | `is_set`: load | everything done before the latch was set | `loom_latch_hands_over` |
//! | `latch.seen` | `set`: store | `is_set`: load | the same | `loom_latch_hands_over` |

use std::sync::Arc;

use super::atomic::{AtomicBool, Ordering};
use super::edge;
use super::parker::Parker;

/// A one-shot flag; see the module.
#[derive(Debug)]
pub(crate) struct Latch {
    set: AtomicBool,
    waiter: Arc<Parker>,
}

impl Latch {
    /// A latch that wakes the owner of `waiter`.
    pub(crate) fn new(waiter: Arc<Parker>) -> Self {
        Self { set: AtomicBool::new(false), waiter }
    }

    /// Whether it is set; then everything the setter did before is visible.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        // Acquire: pairs with the store in `set`.
        self.set.load(edge!("latch.seen", Acquire))
    }

    /// Sets the latch and wakes the waiter.
    ///
    /// # Safety
    /// (1) `this` is alive until the store. (2) Only one thread sets it, once.
    #[expect(unsafe_code, reason = "the waiter may free the latch the moment it is set")]
    pub(crate) unsafe fn set(this: *const Self) {
        // SAFETY: alive by (1).
        let latch = unsafe { &*this };
        let waiter = Arc::clone(&latch.waiter);
        // Release: what happened before is visible to the waiter. `latch` is not touched after this.
        latch.set.store(true, edge!("latch.set", Release));
        waiter.unpark();
    }

    /// Makes the latch new, for another waiter.
    pub(crate) fn reset(&mut self, waiter: Arc<Parker>) {
        self.set.store(false, Ordering::Relaxed);
        self.waiter = waiter;
    }
}
