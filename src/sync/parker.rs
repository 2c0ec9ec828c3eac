//! Blocks one thread until another one wakes it.
//!
//! One owner parks, anybody unparks; a wake-up before the sleep is kept, several count as one. Unlike
//! [`std::thread::park`] the token is the parker's own: user code that parks its thread can neither eat nor fake it.
//!
//! # State
//! ```text
//! EMPTY --park--> PARKED --unpark--> NOTIFIED --(the owner wakes)--> EMPTY
//! EMPTY --unpark--> NOTIFIED --park--> EMPTY (without sleeping)
//! ```
//! # Protocol
//! park: (P1) NOTIFIED? make it EMPTY, return. (P2) Lock. (P3) EMPTY to PARKED, or take the token that just came.
//! (P4) Wait on the condition until NOTIFIED, make it EMPTY. unpark: (U1) swap in NOTIFIED. (U2) If it was PARKED:
//! lock, unlock, notify. The lock in U2 lies after P3 of the sleeper, who holds it until the condition wait: the
//! notification cannot fall between. A sleeper that gives up: (P5) PARKED to EMPTY, or take the token that just came.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `parker.unpark` | U1 | P1, P3, P4 | what the waker did before | `loom_parker_hands_over` |
//! | `parker.park` | U1 | P1, P5 | the same, without sleeping | `loom_parker_hands_over` |

use std::time::Duration;

use super::atomic::{AtomicU32, Ordering};
use super::{Condvar, Mutex, edge, seam};

const EMPTY: u32 = 0;
const PARKED: u32 = 1;
const NOTIFIED: u32 = 2;

/// Blocks one thread; see the module.
#[derive(Debug)]
pub(crate) struct Parker {
    state: AtomicU32,
    lock: Mutex<()>,
    woken: Condvar,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU32::new(EMPTY), lock: Mutex::new(()), woken: Condvar::default() }
    }

    /// Takes the token if there is one. Owner only.
    pub(crate) fn try_take(&self) -> bool {
        let took = edge!("parker.park", Acquire);
        self.state.compare_exchange(NOTIFIED, EMPTY, took, Ordering::Relaxed).is_ok()
    }

    /// Waits for the token and takes it. Owner only. A virtual worker yields instead of blocking its thread.
    pub(crate) fn park(&self) {
        if self.try_take() {
            return; // (P1)
        }
        if seam::block(&|| self.state.load(Ordering::Relaxed) == NOTIFIED) {
            self.try_take();
            return;
        }
        let mut guard = self.lock.lock(); // (P2)
        if self.state.compare_exchange(EMPTY, PARKED, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            loop {
                guard = self.woken.wait(guard); // (P4)
                if self.try_take() {
                    return;
                }
            }
        }
        self.try_take(); // (P3) the token came between P1 and P3
    }

    /// Waits for the token for so long at most; whether it took it. Owner only. A virtual worker has no clock: it waits.
    pub(crate) fn park_for(&self, patience: Duration) -> bool {
        if self.try_take() {
            return true; // (P1)
        }
        if seam::is_driven() {
            self.park();
            return true;
        }
        let guard = self.lock.lock(); // (P2)
        if self.state.compare_exchange(EMPTY, PARKED, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            drop(self.woken.wait_for(guard, &self.lock, patience)); // (P4)
            if self.state.compare_exchange(PARKED, EMPTY, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return false; // (P5)
            }
        }
        self.try_take()
    }

    /// Leaves the token, and wakes the owner if it sleeps.
    pub(crate) fn unpark(&self) {
        // (U1) Release: what the waker did is visible to the woken.
        if self.state.swap(NOTIFIED, edge!("parker.unpark", Release)) == PARKED {
            drop(self.lock.lock()); // (U2)
            self.woken.notify_one();
        }
    }
}
