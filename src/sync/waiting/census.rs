//! How many threads are active in a pool, and whether one more may be ([`super::event_count`]).
//!
//! Each L3 domain counts those of its threads that sleep and may run anything ([`super::domains`]). One word of the
//! pool counts the threads that are *here*: those that are active, and these sleepers. So a worker that falls asleep or
//! wakes changes a word of its own domain alone, and active is who is here and does not sleep.
//!
//! Nobody reads all these words at one moment. A sum may be wrong by what changes meanwhile. A step of the event count
//! that decides by it who sleeps on passes a fence before, and then it misses no change from before that fence. All
//! else is a hint. Threads too many may be woken all the same; they find out as a worker does when a guest comes.
//!
//! The limit is reached if no more threads sleep than are here beyond it. As long as it was not lowered those are few,
//! and it is mostly enough to look at one domain.

use super::domains::Domains;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The most threads that can share an event count.
pub(crate) const MAX_THREADS: usize = 1 << 15;

/// See the module.
#[derive(Debug)]
pub(super) struct Census {
    here: CachePadded<Here>,
    limit: Limit,
}

/// These change together, so they share a line.
#[derive(Debug)]
struct Here {
    threads: AtomicU64,
    /// How often a thread has come.
    stirs: AtomicU64,
    /// Whether a thread goes to sleep because there is one too many.
    leaves: AtomicBool,
}

// Relaxed, all of them: the fences of the event count order what the counts decide.
impl Census {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            here: CachePadded::new(Here {
                threads: AtomicU64::new(0),
                stirs: AtomicU64::new(0),
                leaves: AtomicBool::new(false),
            }),
            limit: Limit::new(limit),
        }
    }

    pub(super) fn limit(&self) -> &Limit {
        &self.limit
    }

    /// A thread comes, and is active.
    pub(super) fn enter(&self) {
        if cfg!(not(all(test, loom))) {
            // No model asks for it, and each access multiplies what loom explores.
            self.here.stirs.fetch_add(1, Ordering::Relaxed);
        }
        self.here.threads.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread goes, or sleeps until one thing is there.
    pub(super) fn leave(&self) {
        self.here.threads.fetch_sub(1, Ordering::Relaxed);
    }

    fn here(&self) -> u64 {
        self.here.threads.load(Ordering::Relaxed)
    }

    /// How many threads are active.
    pub(super) fn active(&self, domains: &Domains) -> u64 {
        self.here().saturating_sub(domains.all_asleep())
    }

    /// How many more may be active, if so many sleep.
    pub(super) fn room(&self, asleep: u64) -> u64 {
        self.limit.get().saturating_sub(self.here().saturating_sub(asleep))
    }

    /// Whether as many are active as may be, or more, and the limit holds. The look begins at a domain.
    pub(super) fn is_full(&self, domains: &Domains, first: usize) -> bool {
        self.has_active(self.limit.get(), domains, first)
    }

    /// Whether more are active than may be, and the limit holds. The look begins at a domain.
    pub(super) fn is_over(&self, domains: &Domains, first: usize) -> bool {
        self.has_active(self.limit.get() + 1, domains, first)
    }

    /// Whether the caller is the one thread that goes to sleep now because there is one too many.
    pub(super) fn begin_to_leave(&self) -> bool {
        !self.here.leaves.load(Ordering::Relaxed) && !self.here.leaves.swap(true, Ordering::Relaxed)
    }

    pub(super) fn has_left(&self) {
        self.here.leaves.store(false, Ordering::Relaxed);
    }

    fn has_active(&self, threads: u64, domains: &Domains, first: usize) -> bool {
        let beyond = self.here().checked_sub(threads);
        beyond.is_some_and(|beyond| self.limit.holds() && !domains.has_asleep(first, beyond))
    }

    /// If nobody is active: a number that changes as soon as a thread becomes active. One that comes adds one to it. A
    /// thread that wakes and falls asleep again during this call may be seen by the next one only.
    pub(super) fn rest(&self, domains: &Domains) -> Option<u64> {
        let come = self.here.stirs.load(Ordering::Relaxed);
        let (asleep, woken) = domains.asleep_and_stirs();
        (self.here() <= asleep).then_some(come + woken)
    }
}

/// How many threads may be active at once.
#[derive(Debug)]
pub(super) struct Limit(CachePadded<Still>);

/// What rarely changes.
#[derive(Debug)]
struct Still {
    limit: AtomicU64,
    /// The limit at the start: it may be lowered, and raised again.
    most: u64,
    /// How many jobs are there for which the limit does not hold.
    urgent: AtomicU64,
}

impl Limit {
    fn new(limit: usize) -> Self {
        let (limit, most) = (AtomicU64::new(limit as u64), limit as u64);
        Self(CachePadded::new(Still { limit, most, urgent: AtomicU64::new(0) }))
    }

    #[inline]
    fn get(&self) -> u64 {
        self.0.limit.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, limit: usize) {
        debug_assert!(limit as u64 <= self.0.most, "the limit of {} is raised to {limit}", self.0.most);
        self.0.limit.store(limit as u64, Ordering::Relaxed);
    }

    /// Whether it was lowered.
    #[inline]
    pub(super) fn is_lowered(&self) -> bool {
        self.get() < self.0.most
    }

    pub(super) fn set_urgent(&self, more: bool) {
        if more {
            self.0.urgent.fetch_add(1, Ordering::Relaxed);
        } else {
            self.0.urgent.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether the limit holds now.
    fn holds(&self) -> bool {
        self.0.urgent.load(Ordering::Relaxed) == 0
    }
}
