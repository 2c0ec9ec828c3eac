//! A flag by which those who look for jobs ask one who has some to show them.
//!
//! The owner of jobs keeps them private and looks at the flag now and then: one relaxed load. Who has looked for
//! jobs there in vain raises it. The owner then publishes some, and takes the flag down when nobody is hungry any more.
//!
//! # Protocol
//! * asker: (Q1) it is known as hungry. (Q2) Fence. (Q3) Raise the flag, if it is not up.
//! * owner: (A1) take the flag down. (A2) Fence. (A3) Raise it again if somebody is hungry.
//!
//! If A3 misses Q1, then A2 comes first in the order of the fences, Q3 sees the flag of A1, and it stays up. So an asker
//! that goes to sleep is not forgotten. One that does not make itself known, because it only thinks that more will be
//! wanted, may raise the flag without Q1 and Q2: it may be forgotten.
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
    /// With the flag up.
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
        // Relaxed: the fences order it. It is looked at first so that many who ask do not take the line from each other.
        if !self.is_up() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the flag down, unless somebody is `hungry`, asked after that. Owner only.
    pub(crate) fn answer(&self, hungry: impl FnOnce() -> bool) {
        self.0.store(false, Ordering::Relaxed); // (A1)
        fence_edge!("steal_request.answered"); // (A2)
        if hungry() {
            self.0.store(true, Ordering::Relaxed); // (A3)
        }
    }
}
