//! Those of the real types that nobody has to hear of.

use std::time::Duration;

pub(crate) mod deque {
    pub(crate) use crossbeam_deque::{Steal, Stealer, Worker};
}

pub(crate) mod thread {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::thread::{Builder, JoinHandle, ThreadId, current, yield_now};

    pub(crate) use super::super::waiting::futex::be_on_time;
}

pub(crate) use super::waiting::futex::Futex;
pub(crate) use parking_lot::MutexGuard;
pub(crate) use std::sync::LazyLock;

/// Waits for a condition under a lock.
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(&mut guard);
        guard
    }

    /// Waits, but no longer than `patience`. The guard is one of this lock.
    pub(crate) fn wait_for<'a, T, L>(
        &self,
        mut guard: MutexGuard<'a, T>,
        _: &L,
        patience: Duration,
    ) -> MutexGuard<'a, T> {
        self.0.wait_for(&mut guard, patience);
        guard
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }
}

/// A cell whose content is reached by a raw pointer only, inside a closure, because loom wants it so.
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
    #[inline]
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Gives the pointer for writing.
    #[inline]
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
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
/// The light side of a named asymmetric fence.
macro_rules! light_edge {
    ($name:literal) => {
        $crate::sync::asymmetric::light()
    };
}
/// The heavy side of a named asymmetric fence; whether the system has passed it.
macro_rules! heavy_edge {
    ($name:literal) => {
        $crate::sync::asymmetric::heavy()
    };
}
/// What one lock must cover, as a named edge: in a control the lock is free here for a moment.
macro_rules! lock_edge {
    ($name:literal, $guard:ident, $lock:expr) => {
        $guard
    };
}
pub(crate) use {edge, fence_edge, heavy_edge, light_edge, lock_edge};
