//! How many threads are active in a pool, and how many sleep that may run anything ([`super::event_count`]).
//!
//! This changes only when a thread falls asleep or wakes, which takes microseconds in any case. What changes with every
//! job, who searches, is counted for each L3 domain ([`super::sleepers`]).
//!
//! A thread that wakes goes from this count to that of its domain. One that looks for either must not come between: it
//! looks here first, and a thread counts as searching before it stops counting as sleeping.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `event_count.woken` | `wake`: RMW, Release | `load` | that the thread searches | `loom_steal_request_is_not_forgotten` |
//! | `event_count.awake` | the same | `load`: Acquire | the same | `loom_steal_request_is_not_forgotten` |

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{CachePadded, edge};

const SLEEPING: u64 = 1;
const ACTIVE: u64 = 1 << 32;

/// The most threads that can share an event count.
pub(crate) const MAX_THREADS: usize = 1 << 15;

/// Both counts at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word(u64);

impl Word {
    pub(super) fn sleeping(self) -> u64 {
        self.0 % ACTIVE
    }

    pub(super) fn active(self) -> u64 {
        self.0 / ACTIVE
    }
}

/// See the module. Its two words change together, so they share a line.
#[derive(Debug)]
pub(super) struct Census(CachePadded<Counts>);

#[derive(Debug)]
struct Counts {
    word: AtomicU64,
    /// How often a thread has begun to be active.
    stirs: AtomicU64,
}

// Relaxed, all others: the fences of the event count order what the counts decide.
impl Census {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(Counts { word: AtomicU64::new(0), stirs: AtomicU64::new(0) }))
    }

    #[inline]
    pub(super) fn load(&self) -> Word {
        // Acquire: who does not see a thread asleep any more sees it search.
        Word(self.0.word.load(edge!("event_count.awake", Acquire)))
    }

    /// A thread begins to be active.
    pub(super) fn enter(&self) {
        self.stir();
        self.0.word.fetch_add(ACTIVE, Ordering::Relaxed);
    }

    /// A thread is not active any more.
    pub(super) fn leave(&self) {
        self.0.word.fetch_sub(ACTIVE, Ordering::Relaxed);
    }

    /// An active thread sleeps now, and may be woken for anything.
    pub(super) fn sleep(&self) {
        self.0.word.fetch_add(SLEEPING.wrapping_sub(ACTIVE), Ordering::Relaxed);
    }

    /// Such a thread is active again.
    pub(super) fn wake(&self) {
        self.stir();
        // Release: it counts as searching by now.
        self.0.word.fetch_add(ACTIVE.wrapping_sub(SLEEPING), edge!("event_count.woken", Release));
    }

    /// One thread becomes active in the place of another one.
    pub(super) fn stir(&self) {
        if cfg!(all(test, loom)) {
            return; // no model asks for it, and each access multiplies what loom explores
        }
        self.0.stirs.fetch_add(1, Ordering::Relaxed);
    }

    /// If nobody is active: a number that changes as soon as a thread becomes active.
    pub(super) fn rest(&self) -> Option<u64> {
        let stirs = self.0.stirs.load(Ordering::Relaxed);
        (self.load().active() == 0).then_some(stirs)
    }
}

/// How many threads may be active at once.
#[derive(Debug)]
pub(super) struct Limit {
    limit: AtomicU64,
    /// The limit at the start: it may be lowered, and raised again.
    most: u64,
    /// How many jobs are there for which the limit does not hold.
    urgent: AtomicU64,
}

impl Limit {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: AtomicU64::new(limit as u64), most: limit as u64, urgent: AtomicU64::new(0) }
    }

    #[inline]
    pub(super) fn get(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, limit: usize) {
        debug_assert!(limit as u64 <= self.most, "the limit of {} is raised to {limit}", self.most);
        self.limit.store(limit as u64, Ordering::Relaxed);
    }

    /// Whether it was lowered.
    #[inline]
    pub(super) fn is_lowered(&self) -> bool {
        self.get() < self.most
    }

    pub(super) fn set_urgent(&self, more: bool) {
        if more {
            self.urgent.fetch_add(1, Ordering::Relaxed);
        } else {
            self.urgent.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether the limit holds now.
    pub(super) fn holds(&self) -> bool {
        self.urgent.load(Ordering::Relaxed) == 0
    }
}
