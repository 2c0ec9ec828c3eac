//! Jobs that no seat holds begin in time, however busy all threads are.
//!
//! A closure that was spawned from outside, or the remote call of a thread that found no free guest seat, lies in an
//! injector until a worker takes it. Two things could keep it there for ever. Workers may always have something newer
//! to do. Guests may take all the slots, so that no worker is woken.
//!
//! So such a job is *overdue* after twice [`FAIR`] at most. A worker that looks at the injector notes how many jobs
//! there are. The ones of these that are left after [`FAIR`] are overdue, all of them. When none of these is left, the
//! worker notes anew.
//!
//! * A worker that waits for nothing looks for overdue jobs in its node's injector before every job, before every
//!   continuation, and between two leaves of a loop. If there is one, the worker takes it before all other jobs. It
//!   puts the rest of the loop's range back into the queue for that.
//! * If `limit` threads are active, no worker may be woken for the job. Then one worker is woken to *stand by*. It
//!   sleeps for [`FAIR`] at a time. If some of the jobs that it has noted are left after that, the worker takes one
//!   itself, beside the active threads. That job may take long, or wait for another one. So before the worker begins it,
//!   another worker is woken to stand by, if more jobs are there.

use std::time::Duration;

use super::injector::Injector;
use super::job::Job;
use super::worker::Worker;
use crate::pool::Shared;
use crate::sync::Instant;
use crate::sync::atomic::{AtomicUsize, Ordering, fence};

/// How long a job that was noted waits before it is overdue: a tick of the system's scheduler.
pub(super) const FAIR: Duration = Duration::from_millis(5);

/// The jobs that lay in injectors at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted {
    since: Instant,
    /// How many jobs the injectors will have given away when the last of these jobs is gone. That is exact if nothing
    /// newer overtakes them. Jobs of one group leave in the order in which they came. But groups take turns, so a newer
    /// job of one group may overtake an older job of another one.
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
/// One worker was woken to stand by, and does not do so yet.
const CALLED: usize = 1;
const THERE: usize = 2;

impl StandBy {
    // Relaxed, all of them: a thread that reads an old state wakes one worker too many, or is one of two that stand by.
    fn change(&self, from: usize, to: usize) -> bool {
        self.0.load(Ordering::Relaxed) == from
            && self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Shared {
    /// A job has come to an injector. If `limit` threads are active, no thread could be woken for it, and one worker is
    /// woken to stand by.
    pub(in crate::pool) fn call_stand_by(&self, node: usize) {
        if self.sleep.is_at_limit(self.layout.first_domain(node))
            && self.stand_by.change(NOBODY, CALLED)
            && !self.sleep.wake_one_more(self.prefer(self.layout.first_domain(node)))
        {
            self.stand_by.change(CALLED, NOBODY); // all workers are awake, or block
            self.miss_compensator(); // one that has a slot stands by, too
        }
    }

    /// Whether there is a job that no seat holds.
    fn has_injected(&self) -> bool {
        self.injectors.iter().any(|injector| !injector.is_empty())
    }

    /// How many jobs no seat holds.
    fn injected(&self) -> usize {
        self.injectors.iter().map(Injector::len).sum()
    }

    /// How many jobs threads have ever taken from injectors.
    fn taken(&self) -> usize {
        self.injectors.iter().map(Injector::taken).fold(0, usize::wrapping_add)
    }
}

impl Worker<'_> {
    /// This worker has slept, wherever that was. If a worker was called to stand by, this takes the call back: a worker
    /// is awake, and stands by if it has to sleep again beside jobs. A call that nobody heeds would keep all others from
    /// standing by.
    pub(in crate::pool) fn heeds_call(&self) {
        self.shared.stand_by.change(CALLED, NOBODY);
    }

    /// The worker is about to sleep because `limit` threads are active, though there may be jobs. If there are jobs in
    /// injectors and no other worker stands by, it does. Returns whether it was woken, or there are overdue jobs.
    pub(in crate::pool) fn stands_by(&self) -> bool {
        let Shared { stand_by, .. } = self.shared;
        // One that was called may be this one, or another one that is still on its way.
        let begins = || stand_by.change(NOBODY, THERE) || stand_by.change(CALLED, THERE);
        while self.shared.has_injected() && !self.timeless && begins() {
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
            // A pusher that still sees a worker there calls none. It has pushed its job and passed a fence before it
            // looked. So has_injected, after this fence, sees that job.
            fence(Ordering::SeqCst);
        }
        false
    }

    /// A job from an injector, for a worker that stood by until jobs were overdue. When there is none any more, the
    /// worker stops standing by.
    pub(super) fn take_overdue(&self) -> Option<Job> {
        if !self.takes_overdue.get() {
            return None;
        }
        let near = self.shared.layout.near(self.seat.node);
        let job = near.iter().find_map(|node| self.shared.injectors[*node].take(None));
        if job.is_none() {
            self.stands_down();
        }
        job
    }

    /// This worker searched, has a job now, and may be in it for long. If it stood by, it stands by no more.
    #[inline]
    pub(super) fn leaves_stand_by(&self) {
        self.stands_down();
        if self.shared.has_injected() {
            self.shared.call_stand_by(self.seat.node);
        }
    }

    /// This thread blocks. If jobs lie in the injector of its node, another one is called to stand by: those of other
    /// nodes have workers of their own, and a look at all nodes would take longer on a large pool.
    pub(in crate::pool) fn leaves_injected(&self) {
        if !self.injector().is_empty() {
            self.shared.call_stand_by(self.seat.node);
        }
    }

    /// A worker that stood by stands by no more: nothing is overdue, or it is not one thread too many, and so works as
    /// any worker does.
    #[inline]
    pub(super) fn stands_down(&self) {
        if self.takes_overdue.replace(false) {
            self.shared.stand_by.change(THERE, NOBODY);
        }
    }

    /// Whether the injector of this seat's node has overdue jobs. One of them comes before all other jobs.
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

#[cfg(all(test, not(any(loom, coherence))))]
#[expect(unsafe_code, reason = "what runs a job is unsafe to call")]
mod tests {
    use std::ptr::NonNull;

    use super::*;
    use crate::pool::work::job::{Job, Target};
    use crate::pool::work::layout::Layout;

    unsafe fn nothing(_: NonNull<Target>, _: u64, _: &Worker<'_>) {}

    /// The thread that was called has slept elsewhere, and sleeps again: the call keeps nobody from standing by.
    #[test]
    fn who_sleeps_beside_a_call_stands_by() {
        let shared = Shared::new(Layout::flat(1), 1);
        let target = Target::new(nothing, Some(NonNull::from(&shared.detached)));
        shared.injectors[0].push([Job { target: NonNull::from(&target), payload: 0 }]);
        assert!(shared.stand_by.change(NOBODY, CALLED));
        Worker::at(&shared, &shared.seats[0], |worker| {
            assert!(worker.stands_by(), "the job is overdue in the end");
            assert!(worker.take_overdue().is_some() && worker.take_overdue().is_none());
        });
        assert!(shared.stand_by.change(NOBODY, CALLED), "nobody stands by any more");
    }
}
