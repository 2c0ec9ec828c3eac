//! The real types, each access told to a model of cache coherence ([`super::coherence`]) while it simulates.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::time::Duration;

use super::coherence::lines;
use super::coherence::waits;
use super::coherence::{self, is_on};
use super::watched::Kind;

/// A word is known by its address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tag;

impl Tag {
    const NONE: Self = Self;

    const fn new() -> Self {
        Self
    }
}

#[track_caller]
#[inline]
pub(super) fn access<T: ?Sized>(_: &Tag, at: *const T, kind: Kind) {
    if is_on() {
        lines::access(at.cast::<u8>().addr(), kind, Location::caller());
    }
}

pub(crate) mod atomic {
    #![expect(dead_code, reason = "all types have the same methods, and the engine uses some of each")]

    pub(crate) use std::sync::atomic::Ordering;

    use super::{Kind, Tag, access, is_on, lines};
    use crate::sync::watched::{watched_atomic, watched_counter, watched_pointer};

    watched_pointer!([const]);
    watched_atomic!([const] AtomicBool bool);
    watched_atomic!([const] AtomicU32 u32);
    watched_atomic!([const] AtomicU64 u64);
    watched_atomic!([const] AtomicUsize usize);
    watched_counter!(AtomicU32 u32);
    watched_counter!(AtomicU64 u64);
    watched_counter!(AtomicUsize usize);

    pub(crate) fn fence(order: Ordering) {
        if order == Ordering::SeqCst && is_on() {
            lines::fence();
        }
        std::sync::atomic::fence(order);
    }
}

/// Reads a word that nobody else writes now.
#[track_caller]
#[inline]
pub(crate) fn owned(word: &atomic::AtomicUsize) -> usize {
    word.load(atomic::Ordering::Relaxed)
}

pub(crate) use super::coherence::deque;

pub(crate) mod thread {
    pub(crate) use std::thread::{Builder, JoinHandle, ThreadId, current};

    use super::{is_on, waits};

    pub(crate) fn spin_loop() {
        if is_on() {
            waits::pause();
        } else {
            std::hint::spin_loop();
        }
    }

    pub(crate) fn yield_now() {
        if is_on() {
            waits::yield_now();
        } else {
            std::thread::yield_now();
        }
    }

    /// Virtual workers wake in time.
    pub(crate) fn be_on_time() {}
}

pub(crate) use std::sync::LazyLock;

/// A word to sleep on.
#[derive(Debug)]
pub(crate) struct Futex(atomic::AtomicU32);

impl Futex {
    pub(crate) fn new(value: u32) -> Self {
        Self(atomic::AtomicU32::new(value))
    }

    /// Sleeps if the word is `value`, until it is woken, or for `most`.
    pub(crate) fn wait(&self, value: u32, most: Option<Duration>) {
        let is_still = || self.0.load(atomic::Ordering::Relaxed) == value;
        if is_on() {
            waits::futex_wait(std::ptr::from_ref(self).addr(), most, is_still);
        } else {
            std::thread::sleep(most.unwrap_or(Duration::from_micros(50)).min(Duration::from_micros(50)));
        }
    }

    pub(crate) fn wake(&self) {
        if is_on() {
            waits::futex_wake(std::ptr::from_ref(self).addr());
        }
    }
}

impl Deref for Futex {
    type Target = atomic::AtomicU32;

    fn deref(&self) -> &atomic::AtomicU32 {
        &self.0
    }
}

/// A lock as those of `parking_lot`. A virtual worker waits for it in virtual time.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T: ?Sized>(parking_lot::Mutex<T>);

pub(crate) struct MutexGuard<'a, T: ?Sized> {
    guard: ManuallyDrop<parking_lot::MutexGuard<'a, T>>,
    lock: &'a parking_lot::Mutex<T>,
    place: &'static Location<'static>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn guarded<'a>(
        &'a self,
        guard: parking_lot::MutexGuard<'a, T>,
        place: &'static Location<'static>,
    ) -> MutexGuard<'a, T> {
        if is_on() {
            // What the lock protects: the lines behind it.
            (1..=(size_of::<T>() + 8) / 64)
                .for_each(|line| lines::access(self.address() + 64 * line, Kind::Write, place));
        }
        MutexGuard { guard: ManuallyDrop::new(guard), lock: &self.0, place }
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let place = Location::caller();
        if !is_on() {
            return self.guarded(self.0.lock(), place);
        }
        let mut guard = None;
        let try_lock = || {
            guard = self.0.try_lock();
            guard.is_some()
        };
        waits::lock(self.address(), place, try_lock, || self.0.is_locked());
        self.guarded(guard.expect("it was taken"), place)
    }

    #[track_caller]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let place = Location::caller();
        access(&Tag, self, Kind::Rmw);
        self.0.try_lock().map(|guard| self.guarded(guard, place))
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        let Self { guard, lock, place } = self;
        let mut unlock = || {
            #[expect(unsafe_code, reason = "the lock is given back in the middle of this")]
            // SAFETY: the guard is not used again.
            unsafe {
                ManuallyDrop::drop(guard);
            }
        };
        if is_on() { waits::unlock(std::ptr::from_ref(*lock).cast::<u8>().addr(), place, unlock) } else { unlock() }
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Waits for a condition under a [`Mutex`]. Virtual workers never do.
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        assert!(!is_on(), "a virtual worker waits for a condition");
        self.0.wait(&mut guard.guard);
        guard
    }

    pub(crate) fn wait_for<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        _: &'a Mutex<T>,
        patience: Duration,
    ) -> MutexGuard<'a, T> {
        assert!(!is_on(), "a virtual worker waits for a condition");
        self.0.wait_for(&mut guard.guard, patience);
        guard
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }
}

/// The virtual time of an actor, and the real time elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        if is_on() {
            coherence::spend(|costs| costs.clock);
            return Self(Duration::from_nanos(coherence::now()));
        }
        static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
        Self(START.elapsed())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now() - *self
    }

    pub(crate) fn checked_add(self, more: Duration) -> Option<Self> {
        self.0.checked_add(more).map(Self)
    }

    pub(crate) fn saturating_duration_since(self, other: Self) -> Duration {
        self - other
    }
}

impl std::ops::Sub for Instant {
    type Output = Duration;

    fn sub(self, other: Self) -> Duration {
        self.0.saturating_sub(other.0)
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, more: Duration) -> Self {
        Self(self.0 + more)
    }
}

/// A cell whose content is reached by a raw pointer only, inside a closure.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }
}

impl<T: ?Sized> UnsafeCell<T> {
    /// Gives the pointer for reading.
    #[track_caller]
    #[inline]
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        access(&Tag, self, Kind::Read);
        read(self.0.get())
    }

    /// Gives the pointer for writing.
    #[track_caller]
    #[inline]
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        access(&Tag, self, Kind::Write);
        write(self.0.get())
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

/// The ordering of a named edge.
macro_rules! edge {
    ($name:literal, $ordering:ident) => {
        $crate::sync::atomic::Ordering::$ordering
    };
}
/// The full fence of a named edge.
macro_rules! fence_edge {
    ($name:literal) => {
        $crate::sync::atomic::fence($crate::sync::atomic::Ordering::SeqCst)
    };
}
/// The light side of a named asymmetric fence, which costs nothing.
macro_rules! light_edge {
    ($name:literal) => {
        $crate::sync::asymmetric::light()
    };
}
/// The heavy side of a named asymmetric fence.
macro_rules! heavy_edge {
    ($name:literal) => {
        $crate::sync::imp::heavy()
    };
}
/// What one lock must cover, as a named edge: in a control the lock is free here for a moment.
macro_rules! lock_edge {
    ($name:literal, $guard:ident, $lock:expr) => {
        $guard
    };
}
pub(crate) use {edge, fence_edge, heavy_edge, light_edge, lock_edge};

#[must_use]
pub(crate) fn heavy() -> bool {
    if !is_on() {
        return super::asymmetric::heavy();
    }
    waits::heavy_fence();
    true
}
