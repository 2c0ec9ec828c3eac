//! Counts the live pieces that come from one source batch. The thread that ends the last one is told.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `reference_count.end` | `end`: RMW, AcqRel | `end` of the last one | what was done with every piece before it ended | `loom_reference_count_last_sees_all` |
//! | `reference_count.alone` | `end`: RMW | `end`: load, Acquire, sees 1 | the same, without an RMW of the last one | `loom_reference_count_last_sees_all` |

use super::Arrival;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::edge;

/// How many pieces are live; see the module.
#[derive(Debug, Default)]
pub(crate) struct ReferenceCount(AtomicU32);

impl ReferenceCount {
    /// One piece is live. Nobody else knows of it yet.
    pub(crate) fn begin(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// One more piece is live. The caller has one.
    pub(crate) fn share(&self) {
        // Relaxed: the caller's own piece keeps the count above zero. The new one is handed on by other means.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The caller's piece has ended.
    pub(crate) fn end(&self) -> Arrival {
        // Acquire: the last piece needs no RMW, because nobody else can share. AcqRel: each releases to the last one,
        // and the last one acquires.
        let is_alone = self.0.load(edge!("reference_count.alone", Acquire)) == 1;
        Arrival::last_if(is_alone || self.0.fetch_sub(1, edge!("reference_count.end", AcqRel)) == 1)
    }
}
