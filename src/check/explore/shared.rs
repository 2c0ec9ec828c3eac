//! What user code may share while it is explored.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

use crate::sync::footprint::{InCall, Named, Tag};
use crate::sync::recorder::Does;
use crate::sync::{self, Condvar, footprint, recorder, seam, user_code};

/// What a story calls a thing that is shared.
#[derive(Clone, Copy, Debug)]
struct Name {
    kind: &'static str,
    made: &'static Location<'static>,
}

impl Name {
    #[track_caller]
    fn new(kind: &'static str) -> Self {
        Self { kind, made: Location::caller() }
    }

    /// It is used by the call under way until the result is dropped. `thing` is what the explorer watches of it.
    fn used(self, thing: &impl Named) -> InCall {
        if footprint::explores() && thing.tag() == Tag::NONE {
            footprint::refuse(&format!("{self}, as that is outside of the closure that is explored"));
        }
        let call = user_code();
        footprint::about_to(Does::Use);
        call
    }

    /// Tells that it is used.
    fn tell(self, how: &str) {
        footprint::tell_use(|| format!("{how} {self}"));
    }
}

/// The call under way uses what it has locked.
fn used<T>(value: sync::MutexGuard<'_, T>) -> sync::MutexGuard<'_, T> {
    recorder::notes(Does::Use);
    value
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} made at {}", self.kind, self.made)
    }
}

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
#[derive(Debug)]
pub struct Mutex<T> {
    value: sync::Mutex<T>,
    name: Name,
}

impl<T> Mutex<T> {
    /// A lock around a value.
    #[must_use]
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self { value: sync::Mutex::new(value), name: Name::new("Mutex") }
    }

    /// Waits until nobody has it, and takes it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let _call = self.name.used(&self.value);
        let value = footprint::waiting_for(self.name, || self.value.lock());
        recorder::notes(Does::Use);
        self.name.tell("takes");
        MutexGuard { value, name: self.name }
    }

    /// Takes the value out.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// A [`Mutex`] that was taken; it is given back when this is dropped.
pub struct MutexGuard<'a, T> {
    value: sync::MutexGuard<'a, T>,
    name: Name,
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.name.tell("gives back");
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
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
///     g.source(1..4).batch_size(1).for_each(|x| _ = sum.update(|sum| sum + x));
///     drop(pool.run(g).expect("runs"));
///     sum.load()
/// });
/// assert_eq!(*explored.expect("no update is lost").value(), 6);
/// ```
#[derive(Debug)]
pub struct Atomic<T> {
    value: sync::Mutex<T>,
    name: Name,
}

impl<T: Copy> Atomic<T> {
    /// With this value at first.
    #[must_use]
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self { value: sync::Mutex::new(value), name: Name::new("Atomic") }
    }

    /// The value.
    pub fn load(&self) -> T {
        let _call = self.name.used(&self.value);
        let value = *used(self.value.lock());
        self.name.tell("loads");
        value
    }

    /// Puts another value there.
    pub fn store(&self, value: T) {
        let _call = self.name.used(&self.value);
        *used(self.value.lock()) = value;
        self.name.tell("stores into");
    }

    /// Puts another value there, and returns the one before.
    pub fn swap(&self, value: T) -> T {
        let _call = self.name.used(&self.value);
        let before = std::mem::replace(&mut *used(self.value.lock()), value);
        self.name.tell("swaps");
        before
    }

    /// Puts there what `change` makes of the value, in one step, and returns the value before. `change` must not use what others share.
    pub fn update(&self, change: impl FnOnce(T) -> T) -> T {
        let _call = self.name.used(&self.value);
        let mut value = used(self.value.lock());
        let before = *value;
        *value = change(before);
        drop(value);
        self.name.tell("updates");
        before
    }

    /// Puts `new` there in place of `expected`, in one step.
    ///
    /// # Errors
    /// The value, if it is another one.
    pub fn compare_exchange(&self, expected: T, new: T) -> Result<T, T>
    where
        T: PartialEq,
    {
        let before = self.update(|value| if value == expected { new } else { value });
        if before == expected { Ok(before) } else { Err(before) }
    }
}

impl<T: Copy + Default> Default for Atomic<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
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
#[derive(Debug)]
pub struct Channel<T> {
    items: sync::Mutex<VecDeque<T>>,
    came: Condvar,
    name: Name,
}

impl<T> Channel<T> {
    /// An empty queue.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self { items: sync::Mutex::new(VecDeque::new()), came: Condvar::default(), name: Name::new("Channel") }
    }

    /// Puts an item behind all others.
    pub fn send(&self, item: T) {
        let _call = self.name.used(&self.items);
        used(self.items.lock()).push_back(item);
        self.name.tell("sends to");
        self.came.notify_one();
    }

    /// Takes the first item; waits until there is one.
    pub fn recv(&self) -> T {
        let _call = self.name.used(&self.items);
        loop {
            let mut items = self.items.lock();
            if let Some(item) = items.pop_front() {
                drop(used(items));
                self.name.tell("receives from");
                return item;
            }
            if seam::is_timeless() {
                drop(items);
                let has_come = || self.items.try_lock().is_some_and(|items| !items.is_empty());
                footprint::waiting_for(self.name, || seam::block(&has_come));
            } else {
                drop(self.came.wait(items));
            }
        }
    }

    /// Takes the first item, if there is one now.
    pub fn try_recv(&self) -> Option<T> {
        let _call = self.name.used(&self.items);
        let item = used(self.items.lock()).pop_front();
        self.name.tell(if item.is_some() { "receives from" } else { "finds nothing in" });
        item
    }
}

impl<T> Default for Channel<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}
