//! A flag by which threads that look for jobs ask the owner of some to show them.
//!
//! The owner keeps its jobs private, and looks at the flag now and then: one relaxed load. A thread that has looked for
//! public jobs in vain raises it. The owner then publishes some, and takes the flag down when nobody is hungry any
//! more.
//!
//! # The race
//! An owner that sees nobody hungry is about to take the flag down. An asker becomes hungry, sees that the flag is up,
//! and goes to sleep. Then the owner takes the flag down, and publishes nothing for the asker.
//!
//! # Protocol
//! * asker: (Q1) count as hungry. (Q2) Fence. (Q3) Raise the flag, if it is not up.
//! * owner: (A1) take the flag down. (A2) Fence. (A3) Raise it again if a thread is hungry.
//!
//! One of the two fences comes first. If it is Q2, the owner sees the asker at A3, and raises the flag again. If it is
//! A2, the asker sees at Q3 that the flag is down, and raises it. So an asker that goes to sleep is not forgotten.
//!
//! A thread may also raise the flag without Q1 and Q2, because it expects that more will be wanted. The owner may
//! forget that one.
//!
//! # Edges
//! | edge | writer | reader | excludes | model |
//! |---|---|---|---|---|
//! | `steal_request.answered` | A1, then A2 | Q3 | not (A3 misses the asker and Q3 takes the flag for up) | `loom_steal_request_is_not_forgotten` |
//!
//! The asker's fence is the event count's (`event_count.asleep`): Q1 is its S1, Q2 its S2.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::fence_edge;

/// A flag to ask with; see the module.
#[derive(Debug)]
pub(crate) struct StealRequest(AtomicBool);

impl StealRequest {
    /// The flag is up.
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(true))
    }

    /// Whether the flag is up: a hint, one relaxed load.
    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Raises the flag. (Q3)
    pub(crate) fn ask(&self) {
        // Relaxed: the fences order it. Askers look first, and so do not take the cache line from each other.
        if !self.is_up() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the flag down. Raises it again if a thread is `hungry`, which is asked after that. Owner only.
    pub(crate) fn answer(&self, hungry: impl FnOnce() -> bool) {
        self.0.store(false, Ordering::Relaxed); // (A1)
        fence_edge!("steal_request.answered"); // (A2)
        if hungry() {
            self.0.store(true, Ordering::Relaxed); // (A3)
        }
    }
}
