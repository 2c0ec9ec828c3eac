//! What user code may share while it is explored.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::sync::{self, Condvar, seam};

/// A lock whose uses make schedules of their own. Elsewhere it is a plain lock, which a panic does not poison.
///
/// It is to be made in the closure that is explored.
///
/// ```
/// use millstream::{Graph, Pool, check};
///
/// let explored = check::explore().pure().run(|pool: &Pool| {
///     let log = check::Mutex::new(Vec::new());
///     let g = Graph::new();
///     g.task((), |()| log.lock().push(1));
///     g.task((), |()| log.lock().push(2));
///     drop(pool.run(g).expect("runs"));
///     log.into_inner()
/// });
/// assert_eq!(*explored.expect_err("the order differs").value(), [2, 1]);
/// ```
#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock around a value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// Waits until nobody has it, and takes it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.0.lock())
    }

    /// Takes the value out.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

/// A [`Mutex`] that was taken; it is given back when this is dropped.
pub struct MutexGuard<'a, T>(sync::MutexGuard<'a, T>);

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A value that is read and written as a whole, each time at once, and whose uses make schedules of their own.
///
/// It is to be made in the closure that is explored. All of its uses are in one order that all see.
///
/// ```
/// use millstream::{Graph, Pool, check};
///
/// let explored = check::explore().pure().run(|pool: &Pool| {
///     let sum = check::Atomic::new(0);
///     let g = Graph::new();
///     g.source(1..4).batch_size(1).for_each(|x| sum.update(|sum| sum + x));
///     drop(pool.run(g).expect("runs"));
///     sum.load()
/// });
/// assert_eq!(*explored.expect("no update is lost").value(), 6);
/// ```
#[derive(Debug, Default)]
pub struct Atomic<T>(sync::Mutex<T>);

impl<T: Copy> Atomic<T> {
    /// With this value at first.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// The value.
    pub fn load(&self) -> T {
        *self.0.lock()
    }

    /// Puts another value there.
    pub fn store(&self, value: T) {
        *self.0.lock() = value;
    }

    /// Puts another value there, and returns the one before.
    pub fn swap(&self, value: T) -> T {
        std::mem::replace(&mut *self.0.lock(), value)
    }

    /// Puts there what `change` makes of the value, in one step. `change` must not use what others share.
    pub fn update(&self, change: impl FnOnce(T) -> T) {
        let mut value = self.0.lock();
        *value = change(*value);
    }
}

/// A queue that never fills, between closures, whose uses make schedules of their own. Elsewhere it is a plain queue.
///
/// It is to be made in the closure that is explored.
///
/// ```
/// use millstream::{Pool, check};
///
/// let explored = check::exhaustive(|pool: &Pool| {
///     let numbers = check::Channel::new();
///     pool.join(|| numbers.recv() + numbers.recv(), || (1..=2).for_each(|x| numbers.send(x))).0
/// });
/// assert_eq!(*explored.expect("the same sum in every schedule").value(), 3);
/// ```
#[derive(Debug, Default)]
pub struct Channel<T> {
    items: sync::Mutex<VecDeque<T>>,
    came: Condvar,
}

impl<T> Channel<T> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self { items: sync::Mutex::new(VecDeque::new()), came: Condvar::default() }
    }

    /// Puts an item behind all others.
    pub fn send(&self, item: T) {
        self.items.lock().push_back(item);
        self.came.notify_one();
    }

    /// Takes the first item; waits until there is one.
    pub fn recv(&self) -> T {
        loop {
            let mut items = self.items.lock();
            if let Some(item) = items.pop_front() {
                return item;
            }
            if seam::is_timeless() {
                drop(items);
                seam::block(&|| self.items.try_lock().is_some_and(|items| !items.is_empty()));
            } else {
                drop(self.came.wait(items));
            }
        }
    }

    /// Takes the first item, if there is one now.
    pub fn try_recv(&self) -> Option<T> {
        self.items.lock().pop_front()
    }
}
