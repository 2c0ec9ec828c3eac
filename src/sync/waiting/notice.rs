//! Says once that something is so, after what must be known then was stored.
//!
//! Most who look only want a hint: one relaxed load. Who sees it, and then goes by what was stored before, looks again.
//!
//! # Protocol
//! (M1) store what must be known. (M2) Give the notice. Who reads the notice at (M3) and what was stored after that (M4) sees M1.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `notice.given` | M1, then M2: store, Release | M3, then M4 | what must be known | `loom_notice_comes_with_what_was_stored` |
//! | `notice.seen` | the same | M3: load, Acquire | the same | `loom_notice_comes_with_what_was_stored` |

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::edge;

/// A notice; see the module.
#[derive(Debug, Default)]
pub(crate) struct Notice(AtomicBool);

impl Notice {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Takes it back, while nobody looks.
    pub(crate) fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// (M2)
    pub(crate) fn give(&self) {
        // Release: who sees it sees what was stored before.
        self.0.store(true, edge!("notice.given", Release));
    }

    /// Whether it was given: a hint.
    #[inline]
    pub(crate) fn is_given(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The same, for who goes by what was stored before. (M3)
    pub(crate) fn is_given_with_all(&self) -> bool {
        // Acquire: pairs with M2.
        self.0.load(edge!("notice.seen", Acquire))
    }
}
