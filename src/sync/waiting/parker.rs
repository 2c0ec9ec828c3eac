//! Blocks one thread until another one wakes it.
//!
//! One owner parks, any thread unparks. A wake-up leaves a token. One that comes before the sleep is kept, and several
//! count as one. [`std::thread::park`] has one token for each thread; this one belongs to the parker. So user code that
//! parks its thread can neither eat nor fake it.
//!
//! # State
//! ```text
//! EMPTY --park--> PARKED --unpark--> NOTIFIED --(the owner wakes)--> EMPTY
//! EMPTY --unpark--> NOTIFIED --park--> EMPTY (without sleeping)
//! ```
//! # Protocol
//! * park: (P1) If the word is NOTIFIED, make it EMPTY, and return. (P2) Change EMPTY to PARKED, or take the token that
//!   just came. (P3) Sleep while it is PARKED. (P4) Change NOTIFIED to EMPTY, or sleep again.
//! * give up: (P5) Change PARKED to EMPTY, or take the token that just came.
//! * unpark: (U1) Swap in NOTIFIED. (U2) If it was PARKED, wake the owner.
//!
//! The race: the owner has changed the word to PARKED, and does not sleep yet. The waker swaps in NOTIFIED and wakes:
//! nobody sleeps. Then the owner would sleep for ever. But P3 looks at the word again as it goes to sleep (`futex`
//! tells how). It sees NOTIFIED, and does not sleep. Or the owner sleeps already: U2 comes after U1, and wakes it.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `parker.unpark` | U1 | P1, P2, P4 | what the waker did before | `loom_parker_hands_over` |
//! | `parker.park` | U1 | P1, P5 | the same, without sleeping | `loom_parker_hands_over` |

use std::time::Duration;

use crate::sync::atomic::Ordering;
use crate::sync::{Futex, edge, seam};

const EMPTY: u32 = 0;
const PARKED: u32 = 1;
const NOTIFIED: u32 = 2;

/// Blocks one thread; see the module.
#[derive(Debug)]
pub(crate) struct Parker(Futex);

impl Parker {
    pub(crate) fn new() -> Self {
        Self(Futex::new(EMPTY))
    }

    /// Takes the token, if there is one. Owner only.
    pub(crate) fn try_take(&self) -> bool {
        self.change(NOTIFIED, EMPTY)
    }

    fn change(&self, from: u32, to: u32) -> bool {
        let took = if from == NOTIFIED { edge!("parker.park", Acquire) } else { Ordering::Relaxed };
        self.0.compare_exchange(from, to, took, Ordering::Relaxed).is_ok()
    }

    /// Waits for the token and takes it. Owner only. A virtual worker yields instead of blocking its thread.
    pub(crate) fn park(&self) {
        if self.try_take() {
            return; // (P1)
        }
        if seam::block(&|| self.0.load(Ordering::Relaxed) == NOTIFIED) {
            self.try_take();
            return;
        }
        if self.change(EMPTY, PARKED) {
            loop {
                self.0.wait(PARKED, None); // (P2), (P3)
                if self.try_take() {
                    return; // (P4)
                }
            }
        }
        self.try_take(); // it came between P1 and P2
    }

    /// Waits for the token, but no longer than `patience`, and perhaps less. Whether it took the token. Owner only. A
    /// virtual worker without a clock waits until the token comes.
    pub(crate) fn park_for(&self, patience: Duration) -> bool {
        if self.try_take() {
            return true; // (P1)
        }
        if seam::is_timeless() {
            self.park();
            return true;
        }
        if self.change(EMPTY, PARKED) {
            self.0.wait(PARKED, Some(patience)); // (P2), (P3)
            if self.change(PARKED, EMPTY) {
                return false; // (P5)
            }
        }
        self.try_take()
    }

    /// Leaves the token, and wakes the owner if it sleeps.
    pub(crate) fn unpark(&self) {
        // (U1) Release: the owner sees what the waker did before.
        if self.0.swap(NOTIFIED, edge!("parker.unpark", Release)) == PARKED {
            self.0.wake(); // (U2)
        }
    }
}
