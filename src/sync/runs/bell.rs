//! Wakes a source that has nothing now. Any thread rings, also one that knows nothing of the run.
//!
//! The holder of a source's turn asks the source for items. If the source has none, the holder leaves its turn here and
//! goes. The thread that rings next takes the turn over, and must see that the source is asked again.
//!
//! The race: the holder has asked, and another thread brings items and rings before the holder goes. Then nobody would
//! ask again. But a ring that nobody waits for is kept, and the holder that would go sees it.
//!
//! # State
//! ```text
//! QUIET --ring--> RUNG --answer--> QUIET          RUNG   --sleep--> QUIET, refused: the holder asks again
//! QUIET --sleep--> ASLEEP --ring--> QUIET, the ringer has the turn
//! ```
//! # Protocol
//! * ringer: (B1) make the items visible. (B2) Ring. If the source was asleep, see that it is asked.
//! * holder of the turn: (B3) answer. (B4) Ask for items. (B5) If there are none, go to sleep; if that is refused, go on
//!   with B4.
//!
//! If B4 misses the items of B1, then B2 comes after B3 in the order of the word. So B5 finds the ring, or B2 finds the
//! sleeper.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `bell.ring` | B2: RMW, AcqRel | B3, B5 | the items; for a ringer that finds the sleeper, the source as its last holder left it | `loom_bell_is_never_missed` |
//! | `bell.answer` | B2 | B3: swap, Acquire | the items | `loom_bell_is_never_missed` |
//! | `bell.refused` | B2 | B5: swap, Acquire | the items | `loom_bell_is_never_missed` |
//! | `bell.sleep` | B5: CAS, Release | B2 | the source as its last holder left it | `loom_bell_is_never_missed` |

use super::credit::{IssueJob, SourceTurn};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{at_once, edge};

const QUIET: u32 = 0;
const RUNG: u32 = 1;
const ASLEEP: u32 = 2;

/// Wakes a source; see the module.
#[derive(Debug)]
pub(crate) struct Bell(AtomicU32);

impl Bell {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(QUIET))
    }

    /// Rings. If the source slept, the caller must queue its issue job. (B2)
    pub(crate) fn ring(&self) -> IssueJob {
        at_once(&self.0, || {
            let mut word = self.0.load(Ordering::Relaxed);
            loop {
                let new = if word == ASLEEP { QUIET } else { RUNG };
                // A ring upon a ring changes nothing, and is an RMW all the same: B3 comes after it, and sees the items.
                match self.0.compare_exchange_weak(word, new, edge!("bell.ring", AcqRel), Ordering::Relaxed) {
                    Ok(ASLEEP) => return IssueJob::Slept,
                    Ok(_) => return IssueJob::Awake,
                    Err(now) => word = now,
                }
            }
        })
    }

    /// Takes note of the rings so far. Holder of the turn only. (B3)
    pub(crate) fn answer(&self) {
        self.0.swap(QUIET, edge!("bell.answer", Acquire));
    }

    /// Gives the turn up until somebody rings, unless somebody has. Holder of the turn only. (B5)
    pub(crate) fn sleep(&self) -> SourceTurn {
        at_once(&self.0, || {
            // Release: the source's state goes to the thread that rings.
            match self.0.compare_exchange(QUIET, ASLEEP, edge!("bell.sleep", Release), Ordering::Relaxed) {
                Ok(_) => SourceTurn::GivenUp,
                Err(_) => {
                    self.0.swap(QUIET, edge!("bell.refused", Acquire));
                    SourceTurn::Kept
                }
            }
        })
    }
}
