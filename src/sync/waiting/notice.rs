//! A thread says once that something is so. Before that it has stored what others must know then.
//!
//! Most readers only want a hint: one relaxed load. A reader that sees the notice, and goes by what was stored before,
//! reads the notice once more, with an ordering.
//!
//! # Protocol
//! * giver: (M1) store what must be known. (M2) Give the notice.
//! * reader: (M3) read the notice. (M4) Read what was stored. If M3 sees M2, M4 sees M1.
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

    /// Takes the notice back, while nobody looks.
    pub(crate) fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// (M2)
    pub(crate) fn give(&self) {
        // Release: a reader that sees it sees what was stored before.
        self.0.store(true, edge!("notice.given", Release));
    }

    /// Whether it was given: a hint.
    #[inline]
    pub(crate) fn is_given(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The same, for a reader that goes by what was stored before. (M3)
    pub(crate) fn is_given_with_all(&self) -> bool {
        // Acquire: pairs with M2.
        self.0.load(edge!("notice.seen", Acquire))
    }
}
