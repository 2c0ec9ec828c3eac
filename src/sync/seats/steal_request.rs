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
//! With many seats a look at each flag takes long. So the seats of a block share a word with a mark for each flag that is
//! down ([`super::marks`]). A1 sets the mark when the flag is down. Q3 asks only the seats with a mark: it takes the mark
//! away, and then raises the flag. Another asker may have taken the mark away before. Then the flag is up, or that asker
//! raises it: it has seen the mark, so it sees that the flag went down.
//!
//! # Edges
//! | edge | writer | reader | excludes | model |
//! |---|---|---|---|---|
//! | `steal_request.answered` | A1, then A2 | Q3 | not (A3 misses the asker and Q3 takes the flag for up) | `loom_steal_request_is_not_forgotten`, `loom_steal_request_mark_goes_with_the_flag` |
//!
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `steal_request.lowered` | the mark of A1: RMW, Release | `steal_request.raised` | that the flag is down | `loom_steal_request_mark_goes_with_the_flag` |
//! | `steal_request.raised` | the same | Q3 takes the mark away: RMW, Acquire | the same | `loom_steal_request_mark_goes_with_the_flag` |
//!
//! The asker's fence is the event count's (`event_count.asleep`): Q1 is its S1, Q2 its S2.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::marks::Mark;
use crate::sync::{edge, fence_edge};

/// A flag to ask with; see the module.
#[derive(Debug)]
pub(crate) struct StealRequest {
    up: AtomicBool,
    /// Set whenever the flag goes down, until an asker takes it away.
    down: Mark,
}

impl StealRequest {
    /// The flag is up.
    pub(crate) fn new(down: Mark) -> Self {
        Self { up: AtomicBool::new(true), down }
    }

    /// Whether the flag is up: a hint, one relaxed load.
    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Raises the flag. (Q3)
    pub(crate) fn ask(&self) {
        // Acquire: if this takes the mark of A1 away, the flag goes up after it went down.
        self.down.clear(edge!("steal_request.raised", Acquire));
        // Relaxed: the fences order it. Askers look first, and so do not take the cache line from each other.
        if !self.is_up() {
            self.up.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the flag down. Raises it again if a thread is `hungry`, which is asked after that. Owner only.
    pub(crate) fn answer(&self, hungry: impl FnOnce() -> bool) {
        self.up.store(false, Ordering::Relaxed); // (A1)
        // Release: see `ask`. The mark may be there still, and is set again: whoever takes it away now sees A1.
        self.down.set(edge!("steal_request.lowered", Release)); // (A1)
        fence_edge!("steal_request.answered"); // (A2)
        if hungry() {
            self.ask(); // (A3)
        }
    }
}
