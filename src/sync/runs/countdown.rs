//! Notices the last of a number of arrivals, known before or only on the way.
//!
//! A stage counts the batches that it is done with. How many there are is known when the source has ended. Arrivals and
//! the total may come in any order, from any thread. One word starts at [`UNKNOWN`]. Each arrival takes one off; the
//! total takes `UNKNOWN - total` off. The thread that brings the word to zero is the last one.
//!
//! # What an arrival carries
//! A count that is fixed is one of a task graph: how many of those that a task waits for have not finished.
//! * Whoever is the last to arrive starts the count over before it lets the task begin. So in the next run, or the next
//!   time of a loop, the count is ready, and nobody goes through all counts. All who arrive then come after that: they
//!   come after the task, or after the end of the run.
//! * A task that fails lowers the limit, the rank from which on no task fires, before it arrives
//!   ([`crate::run::cancel`]). The limit itself orders nothing. But the last to arrive sees it, whichever thread has
//!   lowered it. So nothing fires that waits for a failure, and that would find its data half written. A task that
//!   waits for no failure may miss the limit, and fires.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `countdown.arrive` | `arrive`, `total`: RMW, AcqRel | the one that reaches zero | what was done before every arrival | `loom_countdown_fires_once` |
//! | `countdown.fixed` | [`FixedCountdown::arrive`]: RMW, AcqRel | the one that reaches zero | the same | `loom_fixed_countdown_fires_once`, `loom_block_is_gone_through_again`, `loom_diamond_is_run_again`, `loom_what_waits_for_a_failure_does_not_fire`, `loom_stuck_group_is_loosened`, `loom_group_is_stuck_no_longer` |
//! | `countdown.count` | `count`: RMW, AcqRel | those that arrive later; and `count` reads what those before did | what was done before | `loom_stuck_group_is_loosened` |

use super::Arrival;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::{adding, edge, join};

const UNKNOWN: u64 = 1 << 62;

/// Counts arrivals; see the module.
#[derive(Debug)]
pub(crate) struct Countdown(AtomicU64);

impl Countdown {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(UNKNOWN))
    }

    /// Starts over, total unknown.
    pub(crate) fn restart(&mut self) {
        self.0.store(UNKNOWN, Ordering::Relaxed);
    }

    /// Announces `more` arrivals beyond the total, before any of them can come.
    pub(crate) fn expect_more(&self, more: u64) {
        // Relaxed: it is handed on with the piece that it announces.
        adding(|| self.0.fetch_add(more, Ordering::Relaxed));
    }

    /// What is done now comes behind all arrivals.
    #[cfg(feature = "check")]
    pub(crate) fn join(&self) {
        join(&self.0);
    }

    /// What is done now may come before any arrival, or behind it.
    #[cfg(feature = "check")]
    pub(crate) fn look(&self) {
        self.0.load(Ordering::Relaxed); // where schedules are explored, this is what others race with
    }

    /// `count` arrivals.
    pub(crate) fn arrive(&self, count: u64) -> Arrival {
        // AcqRel: the last one sees what the others did before they arrived.
        Arrival::last_if(adding(|| self.0.fetch_sub(count, edge!("countdown.arrive", AcqRel))) == count)
    }

    /// The total is known now. If all have arrived already, this counts as the last arrival.
    pub(crate) fn total(&self, total: u64) -> Arrival {
        debug_assert!(total < UNKNOWN, "fewer than 2^62 batches");
        self.arrive(UNKNOWN - total)
    }
}

/// Counts arrivals whose number is known from the start.
#[derive(Debug, Default)]
pub(crate) struct FixedCountdown(AtomicU32);

impl FixedCountdown {
    /// Expects `total` arrivals.
    pub(crate) fn new(total: u32) -> Self {
        Self(AtomicU32::new(total))
    }

    /// Expects `total` arrivals from now on. Nobody arrives before the caller has handed on that they may.
    pub(crate) fn restart(&self, total: u32) {
        adding(|| self.0.store(total, Ordering::Relaxed));
    }

    /// One arrival, of which the last one only queues a job, which then [joins](Self::join) all of them.
    pub(crate) fn arrive_for_job(&self) -> Arrival {
        adding(|| self.arrive())
    }

    /// What is done now comes behind all arrivals.
    pub(crate) fn join(&self) {
        join(&self.0);
    }

    /// Announces more arrivals, before one that is expected and has not come.
    pub(crate) fn expect_more(&self, more: u32) {
        // Relaxed: it is handed on to those that are announced, and to the one that they come before.
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// One arrival.
    pub(crate) fn arrive(&self) -> Arrival {
        // AcqRel: the last one sees what the others did before they arrived.
        Arrival::last_if(self.0.fetch_sub(1, edge!("countdown.fixed", AcqRel)) == 1)
    }

    /// How many arrivals are missing, or were a moment ago: a hint.
    pub(crate) fn hint(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// How many arrivals are missing. The caller sees what was done before the others. Those that arrive later see what the
    /// caller did before.
    pub(crate) fn count(&self) -> u32 {
        // An RMW: it has a place among the arrivals.
        self.0.fetch_add(0, edge!("countdown.count", AcqRel))
    }
}
