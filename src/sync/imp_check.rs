//! The real types, each access told to the explorer of schedules ([`super::footprint`]) while it explores.

use std::ops::{Add, Sub};
use std::time::Duration;

pub(crate) use super::footprint::Tag;
use super::footprint::{Named, Touch};
pub(crate) use super::native::{Condvar, Futex, LazyLock, MutexGuard, UnsafeCell, deque, thread};
pub(crate) use super::native::{edge, fence_edge, heavy_edge, light_edge, lock_edge};
use super::seam;
use super::watched::Kind;

#[inline]
fn access<T: ?Sized>(tag: &Tag, _: *const T, kind: Kind) {
    tag.touch(if kind == Kind::Load { Touch::Read } else { Touch::Write });
}

pub(crate) mod atomic {
    #![expect(dead_code, reason = "all types have the same methods, and the engine uses some of each")]

    pub(crate) use std::sync::atomic::{Ordering, fence};

    use super::{Kind, Tag, access};
    use crate::sync::watched::{watched_atomic, watched_counter, watched_pointer};

    watched_pointer!([]);
    watched_atomic!([] AtomicBool bool);
    watched_atomic!([] AtomicU32 u32);
    watched_atomic!([] AtomicU64 u64);
    watched_atomic!([] AtomicUsize usize);
    watched_counter!(AtomicU32 u32);
    watched_counter!(AtomicU64 u64);
    watched_counter!(AtomicUsize usize);
}

impl Named for atomic::AtomicBool {
    fn tag(&self) -> Tag {
        self.tag
    }
}

impl Named for atomic::AtomicU32 {
    fn tag(&self) -> Tag {
        self.tag
    }
}

impl Named for atomic::AtomicU64 {
    fn tag(&self) -> Tag {
        self.tag
    }
}

/// Reads a word that nobody else writes now.
#[inline]
pub(crate) fn owned(word: &atomic::AtomicUsize) -> usize {
    word.load(atomic::Ordering::Relaxed)
}

/// The time; where schedules are explored it stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(std::time::Instant);

impl Instant {
    pub(crate) fn now() -> Self {
        static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
        Self(if seam::is_timeless() { *START } else { std::time::Instant::now() })
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now() - *self
    }

    pub(crate) fn checked_add(self, more: Duration) -> Option<Self> {
        self.0.checked_add(more).map(Self)
    }

    #[cfg(test)]
    pub(crate) fn checked_sub(self, less: Duration) -> Option<Self> {
        self.0.checked_sub(less).map(Self)
    }

    pub(crate) fn saturating_duration_since(self, other: Self) -> Duration {
        self.0.saturating_duration_since(other.0)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, other: Self) -> Duration {
        self.0 - other.0
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, more: Duration) -> Self {
        Self(self.0 + more)
    }
}

/// A lock of `parking_lot`. A process waits for it as for anything else.
#[derive(Debug)]
pub(crate) struct Mutex<T: ?Sized> {
    tag: Tag,
    lock: parking_lot::Mutex<T>,
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { tag: Tag::new(), lock: parking_lot::Mutex::new(value) }
    }

    pub(crate) fn into_inner(self) -> T {
        self.lock.into_inner()
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.lock.get_mut()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        loop {
            self.tag.touch(Touch::Write); // again behind each wait: others may have waited, too
            if let Some(guard) = self.lock.try_lock() {
                return guard;
            }
            if !seam::block(&|| !self.lock.is_locked()) {
                return self.lock.lock();
            }
        }
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.tag.touch(Touch::Write);
        self.lock.try_lock()
    }
}

impl<T: ?Sized> Named for Mutex<T> {
    fn tag(&self) -> Tag {
        self.tag
    }
}
