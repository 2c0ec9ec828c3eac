//! loom's doubles, a stand-in for crossbeam-deque, and edges that a control can weaken.

use std::cell::Cell;
use std::collections::VecDeque;
/// No model uses a static.
pub(crate) use std::sync::LazyLock;
use std::time::Duration;
pub(crate) use std::time::Instant;

pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}

/// No model forks.
pub(crate) mod fork {
    pub(crate) fn process() -> u32 {
        0
    }

    pub(crate) fn watch() {}
}

pub(crate) mod thread {
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::thread::{Builder, JoinHandle, ThreadId, current, yield_now};

    /// Models have no time.
    pub(crate) fn be_on_time() {}
}

/// Reads a word that nobody else writes now. loom does not count it as an access: see "What the models do not see".
pub(crate) fn owned(word: &atomic::AtomicUsize) -> usize {
    #[expect(unsafe_code, reason = "reads an atomic as if it were none")]
    // SAFETY: loom fails the model if another thread's store does not happen before.
    unsafe {
        word.unsync_load()
    }
}

/// loom's cell, with exclusive access by `&mut`.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

impl<T: Default> Default for UnsafeCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        self.0.with(read)
    }

    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(write)
    }

    #[expect(unsafe_code, reason = "loom has no access by `&mut`")]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        // SAFETY: borrowed exclusively for as long as the reference lives.
        self.0.with_mut(|value| unsafe { &mut *value })
    }
}

pub(crate) use loom::sync::MutexGuard;

/// loom's lock with the interface of `parking_lot`.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a model that panics has ended")
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().expect("a model that panics has ended")
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().expect("a model that panics has ended")
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> loom::sync::MutexGuard<'a, T> {
        self.0.wait(guard).expect("a model that panics has ended")
    }

    /// Models have no clock: the time is over at once, and other threads may have come in between.
    pub(crate) fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        lock: &'a Mutex<T>,
        _: Duration,
    ) -> MutexGuard<'a, T> {
        drop(guard);
        loom::thread::yield_now();
        lock.lock()
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }
}

/// A word to sleep on. A wake-up is kept until a thread sleeps, and loom wakes for no reason now and then.
#[derive(Debug)]
pub(crate) struct Futex {
    word: atomic::AtomicU32,
    woken: loom::sync::Notify,
}

impl Futex {
    pub(crate) fn new(value: u32) -> Self {
        Self { word: atomic::AtomicU32::new(value), woken: loom::sync::Notify::new() }
    }

    /// Models have no clock: the time is over at once, and other threads may have come in between.
    pub(crate) fn wait(&self, _: u32, most: Option<Duration>) {
        if most.is_some() { loom::thread::yield_now() } else { self.woken.wait() }
    }

    pub(crate) fn wake(&self) {
        self.woken.notify();
    }
}

impl std::ops::Deref for Futex {
    type Target = atomic::AtomicU32;

    fn deref(&self) -> &atomic::AtomicU32 {
        &self.word
    }
}

/// The interface of crossbeam-deque over a locked queue: the models check what is around the deque, not the deque.
pub(crate) mod deque {
    use super::{Mutex, VecDeque};
    pub(crate) use crossbeam_deque::Steal;
    use loom::sync::Arc;

    #[derive(Debug)]
    pub(crate) struct Worker<T>(Arc<Mutex<VecDeque<T>>>);
    #[derive(Debug, Clone)]
    pub(crate) struct Stealer<T>(Arc<Mutex<VecDeque<T>>>);

    impl<T> Worker<T> {
        pub(crate) fn new_lifo() -> Self {
            Self(Arc::new(Mutex::new(VecDeque::new())))
        }
        pub(crate) fn stealer(&self) -> Stealer<T> {
            Stealer(self.0.clone())
        }
        pub(crate) fn push(&self, item: T) {
            self.0.lock().push_back(item);
        }
        pub(crate) fn pop(&self) -> Option<T> {
            self.0.lock().pop_back()
        }
        pub(crate) fn len(&self) -> usize {
            self.0.lock().len()
        }
    }

    impl<T> Stealer<T> {
        pub(crate) fn steal(&self) -> Steal<T> {
            self.0.lock().pop_front().map_or(Steal::Empty, Steal::Success)
        }
        pub(crate) fn is_empty(&self) -> bool {
            self.0.lock().is_empty()
        }
        pub(crate) fn len(&self) -> usize {
            self.0.lock().len()
        }
    }
}

thread_local! {
    /// The one edge that the running control weakens.
    static WEAKENED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Whether a control weakens this edge now.
pub(crate) fn weakened(edge: &str) -> bool {
    WEAKENED.with(|weak| weak.get() == Some(edge))
}

/// Explores a model with one edge weakened, and says whether it failed.
pub(crate) fn fails_without(edge: &'static str, how: &loom::model::Builder, model: fn()) -> bool {
    WEAKENED.with(|weak| weak.set(Some(edge)));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| how.check(model)));
    WEAKENED.with(|weak| weak.set(None));
    outcome.is_err()
}

macro_rules! edge {
    ($name:literal, $ordering:ident) => {
        if $crate::sync::imp_loom::weakened($name) {
            $crate::sync::atomic::Ordering::Relaxed
        } else {
            $crate::sync::atomic::Ordering::$ordering
        }
    };
}
macro_rules! fence_edge {
    ($name:literal) => {
        if !$crate::sync::imp_loom::weakened($name) {
            $crate::sync::atomic::fence($crate::sync::atomic::Ordering::SeqCst)
        }
    };
}
/// Models have a full fence on each side.
macro_rules! light_edge {
    ($name:literal) => {
        $crate::sync::fence_edge!($name)
    };
}
macro_rules! heavy_edge {
    ($name:literal) => {{
        $crate::sync::fence_edge!($name);
        true
    }};
}
macro_rules! lock_edge {
    ($name:literal, $guard:ident, $lock:expr) => {
        if $crate::sync::weakened($name) {
            drop($guard);
            $lock.lock()
        } else {
            $guard
        }
    };
}
pub(crate) use {edge, fence_edge, heavy_edge, light_edge, lock_edge};
