//! One place in memory that tasks, streams and the caller read and write: what a `Data` handle stands for.
//!
//! Who may touch a slot when is decided by the plan: the task graph has an edge between any two accesses of which one
//! writes, and the caller touches slots only while nothing runs. So a slot itself has no lock.

use crate::sync::UnsafeCell;
use crate::unwind;

/// A value, or none.
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

    /// The value for reading, if there is one.
    ///
    /// # Safety
    /// (1) Nobody writes the slot while the reference lives. (2) If another thread reads too, `T: Sync`.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    pub(crate) unsafe fn read<'a>(&self) -> Option<&'a T> {
        // SAFETY: (1).
        self.0.with(|value| unsafe { (*value).as_ref() })
    }

    /// The value for writing, if there is one.
    ///
    /// # Safety
    /// (1) Nobody else touches the slot while the reference lives.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    pub(crate) unsafe fn write<'a>(&self) -> Option<&'a mut T> {
        // SAFETY: (1).
        self.0.with_mut(|value| unsafe { (*value).as_mut() })
    }

    /// Puts a value in, or none; gives the old one.
    ///
    /// # Safety
    /// (1) Nobody else touches the slot.
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
    /// (1) Nobody writes the slot.
    unsafe fn is_present(&self) -> bool;

    /// Drops the value, if there is one; a panic of its drop goes no further.
    ///
    /// # Safety
    /// (1) Nobody else touches the slot.
    unsafe fn clear(&self);
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<T: Send> AnySlot for Slot<T> {
    unsafe fn is_present(&self) -> bool {
        // SAFETY: (1); the reference does not leave, so nobody needs `T: Sync`.
        unsafe { self.read() }.is_some()
    }

    unsafe fn clear(&self) {
        // SAFETY: (1).
        let old = unsafe { self.replace(None) };
        unwind::drop_value(old);
    }
}
