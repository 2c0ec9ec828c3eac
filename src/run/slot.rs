//! Slots: the values that tasks, streams and the caller read and write. A `Data` handle stands for one slot.
//!
//! A slot has no lock. Two tasks could race for a slot if one of them writes it. The plan prevents that: the task graph
//! has an edge between any two accesses of which one writes. The caller could race with a task. The borrow of the plan
//! prevents that: the caller touches slots only while nothing runs.

use crate::sync::UnsafeCell;
use crate::unwind;

/// Holds a value, or none.
#[derive(Debug)]
pub(crate) struct Slot<T>(UnsafeCell<Option<T>>);

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
// SAFETY: (1) the functions below ask their callers for exclusive or shared access; (2) values move between threads,
// hence `T: Send`; shared references come from `read`, which asks for `T: Sync`.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    pub(crate) fn new(value: Option<T>) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Borrows the value for reading, if there is one.
    ///
    /// # Safety
    /// (1) No thread writes the slot while the reference lives. (2) If another thread reads too, `T: Sync`.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    pub(crate) unsafe fn read<'a>(&self) -> Option<&'a T> {
        // SAFETY: (1).
        self.0.with(|value| unsafe { (*value).as_ref() })
    }

    /// Borrows the value for writing, if there is one.
    ///
    /// # Safety
    /// (1) No other thread touches the slot while the reference lives.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    pub(crate) unsafe fn write<'a>(&self) -> Option<&'a mut T> {
        // SAFETY: (1).
        self.0.with_mut(|value| unsafe { (*value).as_mut() })
    }

    /// Puts in a value or none, and returns what was there before.
    ///
    /// # Safety
    /// (1) No other thread touches the slot during the call.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    pub(crate) unsafe fn replace(&self, new: Option<T>) -> Option<T> {
        // SAFETY: (1).
        self.0.with_mut(|value| std::mem::replace(unsafe { &mut *value }, new))
    }
}

/// A slot of any type.
#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
pub(crate) trait AnySlot: Send + Sync {
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
impl<T: Send> AnySlot for Slot<T> {
    unsafe fn is_present(&self) -> bool {
        // SAFETY: (1); (2) the reference does not leave this function, which does not look at the value.
        unsafe { self.read() }.is_some()
    }

    unsafe fn clear(&self) {
        // SAFETY: (1).
        let old = unsafe { self.replace(None) };
        unwind::drop_value(old);
    }
}
