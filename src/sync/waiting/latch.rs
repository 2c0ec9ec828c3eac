//! A one-shot flag that one thread waits for.
//!
//! The race: the setter stores the flag, the waiter sees it and frees the latch, and the setter then touches the freed
//! memory to wake the waiter. So [`Latch::set`] takes a pointer, and touches nothing behind it after the store. The
//! parker that it wakes then is kept alive by other means.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `latch.set` | `set`: store | `is_set`: load | everything done before the latch was set | `loom_latch_hands_over`, `loom_diamond_is_run_again` |
//! | `latch.seen` | `set`: store | `is_set`: load | the same | `loom_latch_hands_over`, `loom_diamond_is_run_again` |

use super::parker::Parker;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{adding, edge, join, unwatched};

/// A one-shot flag; see the module.
#[derive(Debug)]
pub(crate) struct Latch(AtomicBool);

impl Latch {
    #[inline]
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Whether it is set. If so, the caller sees everything the setter did before.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        // Acquire: pairs with the store in `set`.
        unwatched(|| self.0.load(edge!("latch.seen", Acquire)))
    }

    /// Sets the latch and wakes the owner of `waiter`.
    ///
    /// # Safety
    /// (1) `this` is alive until the store. (2) Only one thread sets it, once.
    #[expect(unsafe_code, reason = "the waiter may free the latch the moment it is set")]
    pub(crate) unsafe fn set(this: *const Self, waiter: &Parker) {
        // SAFETY: alive by (1).
        let latch = unsafe { &*this };
        // Release: the waiter sees what happened before. `latch` is not touched after this.
        adding(|| latch.0.store(true, edge!("latch.set", Release)));
        waiter.unpark();
    }

    /// What is done now comes behind its setting.
    pub(crate) fn join(&self) {
        join(&self.0);
    }

    /// Makes the latch new.
    pub(crate) fn reset(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
