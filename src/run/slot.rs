//! Slots: the values that tasks, streams and the caller read and write. A `Data` handle stands for one slot.
//!
//! A slot has no lock. Two tasks could race for a slot if one of them writes it. The plan prevents that: the task graph
//! has an edge between any two accesses of which one writes. The caller could race with a task. The borrow of the plan
//! prevents that: the caller touches slots only while nothing runs.
//!
//! A graph may have millions of slots. So they lie side by side in the arena of [`Values`], and what uses one has its
//! address ([`Slot`]): no reference is counted. A graph, and then its plan, keeps the values, and drops whatever has an
//! address of one before it drops them.
//!
//! # Units
//! Many tasks return nothing, or another value without size and drop. If each noted in a byte of its own that the value is
//! there, workers of neighbouring tasks would fight for the cache lines of these bytes. So the slot of such a result, a
//! *unit*, has no place in memory: it looks as if its value were always there, and the plan knows from what has fired whether
//! it is.

use std::fmt;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use bumpalo::Bump;

use super::flow::supply::MemoryRange;
use super::numbers::Numbers;
use super::room::push;
use crate::sync::UnsafeCell;
use crate::unwind;

/// The place of a value in memory, or of none.
#[repr(transparent)]
struct Held<T>(UnsafeCell<Option<T>>);

/// The address of a slot, which has a value or none. None: the slot is a unit.
pub(crate) struct Slot<T>(Option<NonNull<Held<T>>>);

/// Whether results of this type are units.
pub(crate) const fn is_unit<T>() -> bool {
    size_of::<T>() == 0 && !std::mem::needs_drop::<T>()
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
// SAFETY: (1) the functions below ask their callers for exclusive or shared access; (2) values move between threads,
// hence `T: Send`; shared references come from `read`, which asks for `T: Sync`.
unsafe impl<T: Send> Sync for Slot<T> {}
#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
// SAFETY: see `Sync`.
unsafe impl<T: Send> Send for Slot<T> {}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slot<T> {}

impl<T> Slot<T> {
    /// The place of the value. None: it is a unit.
    #[inline]
    fn held(&self) -> Option<&UnsafeCell<Option<T>>> {
        if is_unit::<T>() && self.is_unit() {
            return None;
        }
        #[expect(unsafe_code, reason = "a slot is an address")]
        // SAFETY: only units have no place.
        let place = unsafe { self.0.unwrap_unchecked() };
        #[expect(unsafe_code, reason = "a slot is an address")]
        // SAFETY: the address is of a slot in `Values`, which are alive: whatever has the address, and calls a method of
        // it, is in the graph or plan that keeps the values.
        Some(unsafe { &place.as_ref().0 })
    }

    /// Whether it is a unit.
    pub(crate) fn is_unit(&self) -> bool {
        self.0.is_none()
    }

    /// Borrows the value for reading, if there is one.
    ///
    /// # Safety
    /// (1) No thread writes the slot while the reference lives. (2) If another thread reads too, `T: Sync`.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    #[inline]
    pub(crate) unsafe fn read<'a>(&self) -> Option<&'a T> {
        let Some(held) = self.held() else {
            // SAFETY: a value without size and drop may be anywhere. The caller knows that there is one.
            return Some(unsafe { NonNull::dangling().as_ref() });
        };
        // SAFETY: (1).
        held.with(|value| unsafe { (*value).as_ref() })
    }

    /// Borrows the value for writing, if there is one.
    ///
    /// # Safety
    /// (1) No other thread touches the slot while the reference lives.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    #[inline]
    pub(crate) unsafe fn write<'a>(&self) -> Option<&'a mut T> {
        let Some(held) = self.held() else {
            // SAFETY: as in `read`.
            return Some(unsafe { NonNull::dangling().as_mut() });
        };
        // SAFETY: (1).
        held.with_mut(|value| unsafe { (*value).as_mut() })
    }

    /// Puts in a value or none, and returns what was there before.
    ///
    /// # Safety
    /// (1) No other thread touches the slot during the call.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    #[inline]
    pub(crate) unsafe fn replace(&self, new: Option<T>) -> Option<T> {
        let Some(held) = self.held() else {
            // SAFETY: as in `read`. It is moved out, or the new one takes its place.
            return Some(unsafe { NonNull::dangling().read() });
        };
        // SAFETY: (1).
        held.with_mut(|value| std::mem::replace(unsafe { &mut *value }, new))
    }

    /// Puts in the result of a task. What was there before is not dropped.
    ///
    /// # Safety
    /// (1) No other thread touches the slot during the call. (2) It was made by [`Values::add_result`].
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    #[inline]
    pub(crate) unsafe fn fill(&self, result: T) {
        if !is_unit::<T>() {
            let held = self.held().expect("only units have no place");
            // SAFETY: (1).
            held.with_mut(|value| unsafe { value.write(Some(result)) });
        }
    }

    /// Drops the value, if there is one. If its drop panics, the panic is swallowed.
    ///
    /// # Safety
    /// (1) No other thread touches the slot during the call.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    #[inline]
    pub(crate) unsafe fn clear(&self) {
        if self.is_unit() {
            return;
        }
        // SAFETY: (1).
        let old = unsafe { self.replace(None) };
        if std::mem::needs_drop::<T>() {
            unwind::drop_value(old);
        }
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.0).finish()
    }
}

/// The addresses of slots whose values are gone because a task has panicked while it wrote them.
#[derive(Debug, Default)]
pub(crate) struct Gone(Vec<NonZeroUsize>);

impl Gone {
    /// Notes a slot.
    pub(crate) fn add<T>(&mut self, slot: &Slot<T>) {
        self.0.extend(slot.0.map(NonNull::addr));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = NonZeroUsize> {
        self.0.iter().copied()
    }
}

/// A slot of any type.
#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
trait AnySlot {
    /// Whether there is a value.
    ///
    /// # Safety
    /// (1) No thread writes the slot during the call.
    unsafe fn is_present(&self) -> bool;

    /// Drops the value, if there is one. If its drop panics, the panic is swallowed.
    ///
    /// # Safety
    /// (1) No other thread touches the slot during the call.
    unsafe fn clear(&self);
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<T: Send> AnySlot for Held<T> {
    unsafe fn is_present(&self) -> bool {
        // SAFETY: (1).
        self.0.with(|value| unsafe { (*value).is_some() })
    }

    unsafe fn clear(&self) {
        // SAFETY: (1).
        unsafe { Slot(Some(NonNull::from(self))).clear() };
    }
}

/// All slots of a graph.
pub(crate) struct Values<'env> {
    arena: Bump,
    /// The place in `list` of each slot, by number. None: a unit.
    places: Numbers,
    list: Vec<NonNull<dyn AnySlot + 'env>>,
    /// Those of a type that has something to drop.
    to_drop: Vec<u32>,
}

#[expect(unsafe_code, reason = "owns the values")]
// SAFETY: (1) it owns its values, which are `Send`; (2) addresses of them are in the hands of the same owner.
unsafe impl Send for Values<'_> {}

impl<'env> Values<'env> {
    pub(crate) fn new() -> Self {
        Self { arena: Bump::new(), places: Numbers::default(), list: Vec::new(), to_drop: Vec::new() }
    }

    /// A slot without a number, which has no value and gets none.
    pub(crate) fn apart<T: Send + 'env>(&self) -> Slot<T> {
        Slot(Some(NonNull::from(self.arena.alloc(Held(UnsafeCell::new(None))))))
    }

    /// Adds a slot, and returns its number and its address.
    pub(crate) fn add<T: Send + 'env>(&mut self, value: Option<T>) -> (u32, Slot<T>) {
        let held = NonNull::from(self.arena.alloc(Held(UnsafeCell::new(value))));
        let number = index(self.places.len());
        self.places.push(Some(index(self.list.len())));
        push(&mut self.list, held as NonNull<dyn AnySlot + 'env>);
        if std::mem::needs_drop::<T>() {
            self.to_drop.push(number);
        }
        (number, Slot(Some(held)))
    }

    /// Adds the slot of a task's result, and returns its number and its address. It may be a unit.
    pub(crate) fn add_result<T: Send + 'env>(&mut self) -> (u32, Slot<T>) {
        if !is_unit::<T>() {
            return self.add(None);
        }
        self.places.push(None);
        (index(self.places.len() - 1), Slot(None))
    }

    /// Whether a slot is a unit.
    pub(crate) fn is_unit(&self, number: u32) -> bool {
        self.places.get(number).is_none()
    }

    /// The address of a slot.
    ///
    /// # Safety
    /// (1) The slot was added as one of a `T`.
    #[expect(unsafe_code, reason = "slots are kept without their types")]
    #[inline]
    pub(crate) unsafe fn slot<T>(&self, number: u32) -> Slot<T> {
        if self.list.is_empty() {
            return Slot(None);
        }
        Slot(self.place(number).map(NonNull::cast))
    }

    #[inline(never)]
    fn place(&self, number: u32) -> Option<NonNull<dyn AnySlot + 'env>> {
        self.places.get(number).map(|place| self.list[place as usize])
    }

    /// The slots at these addresses, each with what is said of it.
    pub(crate) fn at<S: Copy>(&self, addresses: &[(NonZeroUsize, S)]) -> Vec<(u32, S)> {
        let said = |place: u32| addresses.iter().find(|(address, _)| self.list[place as usize].addr() == *address);
        let count = if addresses.is_empty() { 0 } else { self.places.len() };
        (0..)
            .zip(self.places.iter().take(count))
            .filter_map(|(number, place)| Some((number, said(place?)?.1)))
            .collect()
    }

    /// The memory of a slot that is no unit, without what it points to.
    pub(crate) fn memory(&self, number: u32) -> MemoryRange {
        MemoryRange::of(self.any(number).expect("it has a value of the user's"))
    }

    fn any(&self, number: u32) -> Option<&(dyn AnySlot + 'env)> {
        #[expect(unsafe_code, reason = "owns the values")]
        // SAFETY: the arena has it.
        self.places.get(number).map(|place| unsafe { self.list[place as usize].as_ref() })
    }

    /// Whether a slot has a value. A unit looks as if it had.
    ///
    /// # Safety
    /// (1) No thread writes the slot during the call.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    pub(crate) unsafe fn is_present(&self, number: u32) -> bool {
        // SAFETY: (1) passed on.
        self.any(number).is_none_or(|slot| unsafe { slot.is_present() })
    }

    /// Drops the value of a slot, if there is one. If its drop panics, the panic is swallowed.
    ///
    /// # Safety
    /// (1) No other thread touches the slot during the call.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    pub(crate) unsafe fn clear(&self, number: u32) {
        if let Some(slot) = self.any(number) {
            // SAFETY: (1) passed on.
            unsafe { slot.clear() };
        }
    }
}

#[inline]
fn index(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2^32 slots")
}

impl Drop for Values<'_> {
    fn drop(&mut self) {
        for number in &self.to_drop {
            #[expect(unsafe_code, reason = "owns the values")]
            // SAFETY: (1) whoever had addresses of slots is gone.
            unsafe {
                self.clear(*number);
            }
        }
    }
}
