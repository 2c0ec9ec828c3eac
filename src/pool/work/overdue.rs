//! What no seat holds is begun in time, however busy all are.
//!
//! A closure that was spawned from outside, or the first job of a call for which there is no guest seat, lies in an injector
//! until a worker takes it. Workers may have more to do than they ever get done, and guests may take all the places there are,
//! so that no worker is woken. Then these jobs are *overdue* after twice [`FAIR`] at most: who looks now and then notes how many
//! there are. What is left of those after [`FAIR`] is overdue, all of it; when none is left it notes anew.
//!
//! * A worker that is between two jobs, or between two leaves of a loop, and sees that an injector has had jobs for so long,
//!   takes one of these first. A range of a loop goes back to the queue for that.
//! * If so many threads are active already that no worker may be woken for the job, one is woken to *stand by*. It sleeps for
//!   so long at a time, and if some of those that were there are left by then it takes them itself, beside the active
//!   ones, until there is none.

use std::time::{Duration, Instant};

use super::injector::Injector;
use super::job::Job;
use super::worker::Worker;
use crate::pool::Shared;
use crate::sync::atomic::{AtomicUsize, Ordering, fence};

/// How long those jobs wait that were seen, if all are busy: a tick of the system's scheduler.
pub(super) const FAIR: Duration = Duration::from_millis(5);

/// Jobs that no seat holds, as they were once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted {
    since: Instant,
    /// How many will have been taken when the last of them is. Groups take turns, so they are not taken in the order in which
    /// they came, but of each group they are.
    until: usize,
}

impl Noted {
    fn new(taken: usize, jobs: usize) -> Self {
        Self { since: Instant::now(), until: taken.wrapping_add(jobs) }
    }

    fn are_left(&self, taken: usize) -> bool {
        self.until.wrapping_sub(taken).cast_signed() > 0
    }
}

/// Whether a worker stands by.
#[derive(Debug, Default)]
pub(in crate::pool) struct StandBy(AtomicUsize);

const NOBODY: usize = 0;
/// One was woken for it, and is not there yet.
const CALLED: usize = 1;
const THERE: usize = 2;

impl StandBy {
    // Relaxed, all of them: who finds the wrong state wakes one too many, or is one of two.
    fn change(&self, from: usize, to: usize) -> bool {
        self.0.load(Ordering::Relaxed) == from
            && self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Shared {
    /// A job was given to an injector, and nobody could be woken for it as enough are active: somebody stands by for it.
    pub(in crate::pool) fn call_stand_by(&self, node: usize) {
        if self.idle.is_at_limit()
            && self.stand_by.change(NOBODY, CALLED)
            && !self.idle.wake_one_more(self.prefer(node))
        {
            self.stand_by.change(CALLED, NOBODY); // all workers are awake
        }
    }

    /// Whether there is a job that no seat holds.
    fn has_injected(&self) -> bool {
        self.injectors.iter().any(|injector| !injector.is_empty())
    }

    /// How many they are.
    fn injected(&self) -> usize {
        self.injectors.iter().map(Injector::len).sum()
    }

    /// How many jobs were ever taken from injectors.
    fn taken(&self) -> usize {
        self.injectors.iter().map(Injector::taken).fold(0, usize::wrapping_add)
    }
}

impl Worker<'_> {
    /// This worker has slept: if it was called to stand by, it is there.
    pub(super) fn heeds_call(&self) {
        self.shared.stand_by.change(CALLED, NOBODY);
    }

    /// About to sleep though there may be jobs, as enough are active: stands by, if nobody does. Whether it was woken, or there
    /// is an overdue job for it.
    pub(super) fn stands_by(&self) -> bool {
        let Shared { stand_by, .. } = self.shared;
        while self.shared.has_injected() && !self.driven && stand_by.change(NOBODY, THERE) {
            let noted = Noted::new(self.shared.taken(), self.shared.injected());
            if self.seat.parker.park_for(FAIR) {
                stand_by.change(THERE, NOBODY);
                return true;
            }
            if noted.are_left(self.shared.taken()) {
                self.takes_overdue.set(true);
                return true;
            }
            stand_by.change(THERE, NOBODY);
            fence(Ordering::SeqCst); // whoever has seen somebody there has given a job before that
        }
        false
    }

    /// An overdue job, for one who stood by.
    pub(super) fn take_overdue(&self) -> Option<Job> {
        if !self.takes_overdue.get() {
            return None;
        }
        let near = self.shared.layout.near(self.seat.node);
        let job = near.iter().find_map(|node| self.shared.injectors[*node].take(None));
        if job.is_none() {
            self.takes_overdue.set(false);
            self.shared.stand_by.change(THERE, NOBODY);
        }
        job
    }

    /// Whether this seat's injector has had jobs for so long that one of them is to be taken before all others.
    #[inline]
    pub(in crate::pool) fn owes_injected(&self) -> bool {
        !self.injector().is_empty() && self.is_overdue()
    }

    #[cold]
    fn is_overdue(&self) -> bool {
        let Some(now) = self.clock() else { return false };
        let (taken, jobs) = (self.injector().taken(), self.injector().len());
        self.local(|local| match &local.noted {
            Some(noted) if noted.are_left(taken) => now - noted.since >= FAIR,
            _ => {
                local.noted = Some(Noted::new(taken, jobs));
                false
            }
        })
    }
}
