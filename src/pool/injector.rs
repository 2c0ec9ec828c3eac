//! Jobs that no seat holds: from outside, and what a ring has no room for.

use std::collections::VecDeque;
use std::ptr::NonNull;

use super::job::{Job, Target};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::event_count::Only;

/// A first-in first-out queue under a lock, with a length that can be read without it.
#[derive(Debug, Default)]
pub(crate) struct Injector {
    len: AtomicUsize,
    jobs: Mutex<VecDeque<Job>>,
}

impl Injector {
    /// Makes room, so that jobs of a planned run need no allocation.
    pub(crate) fn reserve(&self, jobs: usize) {
        self.jobs.lock().reserve(jobs);
    }

    pub(crate) fn push(&self, more: impl IntoIterator<Item = Job>) {
        let mut jobs = self.jobs.lock();
        jobs.extend(more);
        // Relaxed: whoever must see it comes after a fence (event count), or looks again.
        self.len.store(jobs.len(), Ordering::Relaxed);
    }

    /// Takes the oldest job that a thread that waits for `only` may run.
    pub(crate) fn take(&self, only: Only) -> Option<Job> {
        self.take_first(|job| job.is_for(only))
    }

    /// Takes a job of this very target.
    pub(crate) fn take_back(&self, target: NonNull<Target>) -> Option<Job> {
        self.take_first(|job| job.target == target)
    }

    fn take_first(&self, wanted: impl Fn(&Job) -> bool) -> Option<Job> {
        if self.is_empty() {
            return None;
        }
        let mut jobs = self.jobs.lock();
        let place = jobs.iter().position(wanted)?;
        let job = jobs.remove(place);
        self.len.store(jobs.len(), Ordering::Relaxed);
        job
    }

    /// Whether there is a job that a thread that waits for `only` may run.
    pub(crate) fn has(&self, only: Only) -> bool {
        !self.is_empty() && self.jobs.lock().iter().any(|job| job.is_for(only))
    }

    /// How many jobs there are: a hint.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is no job: a hint.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
