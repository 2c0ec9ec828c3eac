//! The real types.

use std::time::Duration;

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}

/// Reads a word that nobody else writes now.
#[inline]
pub(crate) fn owned(word: &atomic::AtomicUsize) -> usize {
    word.load(atomic::Ordering::Relaxed)
}

pub(crate) use super::native::{Futex, Instant, LazyLock, MutexGuard, UnsafeCell, deque, thread};
pub(crate) use super::native::{edge, fence_edge, heavy_edge, light_edge, lock_edge};
pub(crate) use parking_lot::Mutex;

/// Waits for a condition under a [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(&mut guard);
        guard
    }

    /// Waits, but no longer than `patience`. The guard is one of this lock.
    pub(crate) fn wait_for<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        _: &'a Mutex<T>,
        patience: Duration,
    ) -> MutexGuard<'a, T> {
        self.0.wait_for(&mut guard, patience);
        guard
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }
}
