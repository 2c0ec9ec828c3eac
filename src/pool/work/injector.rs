//! Jobs that no seat holds: jobs from outside, and jobs for which a ring has no room.
//!
//! Each group has a queue of its own, first in first out. So a thread that waits for one group does not look through
//! the jobs of others. A thread that may run anything takes from the queues in turn. One lock protects all queues.
//! Their length is also read without the lock.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::job::Job;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::event_count::Only;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::pool) struct Injector {
    len: AtomicUsize,
    /// How many jobs threads have ever taken.
    taken: AtomicUsize,
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    /// Each queue, by the [id](Job::id) of the jobs in it.
    by_id: HashMap<NonZeroUsize, Queue, RandomState>,
    /// The queues that are not empty, each once. The first one is next.
    turns: VecDeque<NonZeroUsize>,
    len: usize,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// The queue keeps room for this number of jobs, and stays when it is empty. If zero, an empty queue goes.
    planned: usize,
}

impl Injector {
    /// Makes room for this number of jobs of a group, at least one. They need no allocation until
    /// [`unplan`](Self::unplan).
    pub(crate) fn plan(&self, id: NonZeroUsize, jobs: usize) {
        let mut queues = self.queues.lock();
        queues.by_id.insert(id, Queue { jobs: VecDeque::with_capacity(jobs), planned: jobs });
        let groups = queues.by_id.len();
        queues.turns.reserve(groups);
    }

    /// Frees the room that [`plan`](Self::plan) has made. No job of the group is left.
    pub(in crate::pool) fn unplan(&self, id: NonZeroUsize) {
        self.queues.lock().by_id.remove(&id);
    }

    pub(crate) fn push(&self, more: impl IntoIterator<Item = Job>) {
        let mut queues = self.queues.lock();
        more.into_iter().for_each(|job| queues.push(job));
        // Relaxed: a thread that must see it comes after a fence (event count), or looks again.
        self.len.store(queues.len, Ordering::Relaxed);
    }

    /// Takes the oldest job of the queue of `only`. Without `only`, takes the oldest job of the queue that is next, but
    /// does not wait for another thread: that one takes a job, or brings some, and the caller looks again.
    pub(crate) fn take(&self, only: Only) -> Option<Job> {
        if self.is_empty() {
            return None;
        }
        let mut queues = if only.is_some() { self.queues.lock() } else { self.queues.try_lock()? };
        let id = only.or_else(|| queues.turns.front().copied())?;
        let job = queues.by_id.get_mut(&id)?.jobs.pop_front()?;
        queues.len -= 1;
        queues.end_turn(id);
        self.len.store(queues.len, Ordering::Relaxed);
        // Relaxed: it changes under the lock, and a thread without the lock reads a hint.
        self.taken.store(self.taken().wrapping_add(1), Ordering::Relaxed);
        Some(job)
    }

    /// How many jobs threads have ever taken: a hint.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether there is a job that a thread that waits for `only` may run.
    pub(crate) fn has(&self, only: Only) -> bool {
        let has = |id| self.queues.lock().by_id.get(&id).is_some_and(|queue| !queue.jobs.is_empty());
        !self.is_empty() && only.is_none_or(has)
    }

    /// How many jobs there are: a hint.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is no job: a hint.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Queues {
    fn push(&mut self, job: Job) {
        let id = job.id();
        let queue = self.by_id.entry(id).or_default();
        if queue.jobs.is_empty() {
            self.turns.push_back(id);
        }
        queue.jobs.push_back(job);
        self.len += 1;
    }

    /// A thread has taken a job from this queue. The queue goes behind the others. If it is empty, it goes away, or
    /// shrinks to the room that was planned.
    fn end_turn(&mut self, id: NonZeroUsize) {
        let place = self.turns.iter().position(|turn| *turn == id).expect("its queue was not empty");
        self.turns.remove(place);
        match self.by_id.get_mut(&id) {
            Some(queue) if !queue.jobs.is_empty() => self.turns.push_back(id),
            Some(queue) if queue.planned == 0 => drop(self.by_id.remove(&id)),
            Some(queue) if queue.jobs.capacity() > 2 * queue.planned => queue.jobs.shrink_to(queue.planned),
            _ => {}
        }
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
#[expect(unsafe_code, reason = "what runs a job is unsafe to call")]
mod tests {
    use std::ptr::NonNull;

    use super::*;
    use crate::pool::work::job::Target;
    use crate::pool::work::worker::Worker;

    unsafe fn nothing(_: NonNull<Target>, _: u64, _: &Worker<'_>) {}

    /// The one job about the thing with this number.
    fn job(id: u64) -> Job {
        const TARGET: &Target = &Target::new(nothing, None);
        Job { target: NonNull::from(TARGET), payload: id }
    }

    fn taken(injector: &Injector, only: Only) -> Vec<u64> {
        std::iter::from_fn(|| injector.take(only)).map(|job| job.payload).collect()
    }

    #[test]
    fn groups_take_turns() {
        let injector = Injector::default();
        injector.push([1, 1, 1, 1, 2, 2, 3].map(job));
        assert_eq!(injector.take(None).map(|job| job.payload), Some(1));
        injector.push([3, 4].map(job)); // a new queue comes behind all others
        assert_eq!(taken(&injector, None), [2, 3, 1, 4, 2, 3, 1, 1]);
        assert!(injector.is_empty());
    }

    #[test]
    fn who_waits_for_one_thing_takes_only_that() {
        let injector = Injector::default();
        injector.push([1, 2, 1, 3].map(job));
        let only = Job::id(&job(1));
        assert!(injector.has(Some(only)));
        assert_eq!(taken(&injector, Some(only)), [1, 1]);
        assert!(!injector.has(Some(only)) && injector.has(None));
        assert_eq!(taken(&injector, None), [2, 3]);
    }
}
