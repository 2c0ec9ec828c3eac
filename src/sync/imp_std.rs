//! The real types.

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}

/// Reads a word that nobody else writes now.
#[inline]
pub(crate) fn owned(word: &atomic::AtomicUsize) -> usize {
    word.load(atomic::Ordering::Relaxed)
}

pub(crate) use std::time::Instant;

pub(crate) use super::native::{Condvar, Futex, LazyLock, MutexGuard, UnsafeCell, deque, thread};
pub(crate) use super::native::{edge, fence_edge, heavy_edge, light_edge, lock_edge};
pub(crate) use parking_lot::Mutex;
