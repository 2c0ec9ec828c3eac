//! Slots that blocked threads lend, and the compensating threads that work in them ([`super::event_count`]).

use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Both counts, on a line of their own.
#[derive(Debug)]
pub(super) struct Slots(CachePadded<Counts>);

#[derive(Debug)]
struct Counts {
    /// How many slots are lent to compensating threads.
    lent: AtomicU64,
    /// How many compensating threads are about. One that sleeps, for want of work or of a slot, is not; one that waits
    /// for a group is.
    about: AtomicU64,
}

// Relaxed, all of them: the fences of the event count order them, as they order the jobs.
impl Slots {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(Counts { lent: AtomicU64::new(0), about: AtomicU64::new(0) }))
    }

    pub(super) fn lend(&self) {
        self.0.lent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn take_back(&self) {
        self.0.lent.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn lent(&self) -> u64 {
        self.0.lent.load(Ordering::Relaxed)
    }

    pub(super) fn about(&self) -> u64 {
        self.0.about.load(Ordering::Relaxed)
    }

    pub(super) fn come(&self) {
        self.0.about.fetch_add(1, Ordering::Relaxed);
    }

    /// A sleeper that has no slot yet was taken out of its list, and may be a compensating thread.
    pub(super) fn come_if(&self, is_compensator: bool) {
        if is_compensator {
            self.come();
        }
    }

    pub(super) fn go(&self) {
        self.0.about.fetch_sub(1, Ordering::Relaxed);
    }

    /// A compensating thread comes, if a slot is free for it.
    pub(super) fn try_come(&self) -> bool {
        let mut about = self.about();
        while about < self.lent() {
            match self.0.about.compare_exchange(about, about + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => about = now,
            }
        }
        false
    }
}
