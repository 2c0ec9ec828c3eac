//! The ways in which tasks access data.

use std::fmt;
use std::sync::Arc;

use crate::plan::Data;
use crate::plan::draft::{Draft, Mode, SlotId};
use crate::run::names::Names;
use crate::run::slot::Slot;
use crate::unwind;

impl<T> Data<T> {
    /// Access for reading: the task gets `&T`. Other readers may run at the same time.
    #[must_use]
    pub fn read(&self) -> Read<T> {
        Read(self.access())
    }

    /// Access for writing: the task gets `&mut T`. No other access happens at the same time.
    #[must_use]
    pub fn write(&self) -> Write<T> {
        Write(self.access())
    }

    /// Access that takes the value: the task gets `T`, and the data is absent afterwards.
    ///
    /// An access after this one in program order is a defect. Data that the user gives must be
    /// [`set`](crate::Plan::set) again before the plan runs again.
    #[must_use]
    pub fn consume(&self) -> Consume<T> {
        Consume(self.access())
    }

    fn access(&self) -> Bound<T> {
        Bound { names: Arc::clone(&self.names), slot: self.slot, place: None }
    }
}

/// The data of an access belongs to another graph.
pub(super) struct ForeignData;

/// An access to data, with the slot once the task is in a graph.
struct Bound<T> {
    names: Arc<Names>,
    slot: SlotId,
    place: Option<Arc<Slot<T>>>,
}

impl<T> Bound<T> {
    fn bind(&mut self, draft: &mut Draft<'_>, mode: Mode, list: &mut Vec<(SlotId, Mode)>) -> Result<(), ForeignData> {
        if !Arc::ptr_eq(&self.names, &draft.names) {
            return Err(ForeignData);
        }
        self.place = Some(slot_of(draft, self.slot));
        list.push((self.slot, mode));
        Ok(())
    }

    fn place(&self) -> &Slot<T> {
        self.place.as_deref().expect("a graph with foreign data is not planned")
    }
}

/// The slot of a handle of this graph.
pub(crate) fn slot_of<T>(draft: &Draft<'_>, slot: SlotId) -> Arc<Slot<T>> {
    let slot = Arc::into_raw(Arc::clone(draft.any_slot(slot)));
    #[expect(unsafe_code, reason = "slots are kept without their types")]
    // SAFETY: a handle of this graph was made together with its slot, which is a `Slot<T>`, and handles are invariant
    // in `T`.
    unsafe {
        Arc::from_raw(slot.cast())
    }
}

/// Access to data for reading, made by [`Data::read`].
pub struct Read<T>(Bound<T>);
/// Access to data for writing, made by [`Data::write`].
pub struct Write<T>(Bound<T>);
/// Access to data that takes its value, made by [`Data::consume`].
pub struct Consume<T>(Bound<T>);

/// What a task's closure receives for an access while the task fires.
///
/// The second parameter only says that the access outlives `'a`; leave it out.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how a task accesses data",
    label = "no access",
    note = "an access is `data.read()`, `data.write()` or `data.consume()`, and several are a tuple of up to eight",
    note = "what is no data of the graph, the closure of the task captures"
)]
pub trait AccessAt<'a, Outlives = &'a Self>: private::Sealed {
    /// `&'a T`, `&'a mut T` or `T`; for several accesses a tuple of these.
    type Ref;

    /// Fetches what the closure receives.
    ///
    /// # Safety
    /// (1) The data is present, and no other thread accesses it in a way that excludes this access while `Ref` lives.
    #[doc(hidden)]
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    unsafe fn fetch(&self) -> Self::Ref;
}

/// How a task accesses data: [`Read`], [`Write`], [`Consume`], or a tuple of none to eight accesses.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how a task accesses data",
    label = "no access",
    note = "an access is `data.read()`, `data.write()` or `data.consume()`, and several are a tuple of up to eight",
    note = "what is no data of the graph, the closure of the task captures"
)]
pub trait Access: for<'a> AccessAt<'a> + Send {
    /// Finds the slots, and adds the accesses to `list`. An error if some data belongs to another graph.
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "sealed: called by the graph")]
    fn bind(&mut self, draft: &mut Draft<'_>, list: &mut Vec<(SlotId, Mode)>) -> Result<(), ForeignData>;

    /// Called after the task has panicked: drops the data that it may have half written.
    ///
    /// # Safety
    /// (1) As for [`AccessAt::fetch`].
    #[doc(hidden)]
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    unsafe fn torn(&self);
}

mod private {
    #[expect(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}
    impl<T> Sealed for super::Read<T> {}
    impl<T> Sealed for super::Write<T> {}
    impl<T> Sealed for super::Consume<T> {}
}

const THERE: &str = "a task fires when its data is there";

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<'a, T: Send + Sync> AccessAt<'a> for Read<T> {
    type Ref = &'a T;
    unsafe fn fetch(&self) -> &'a T {
        // SAFETY: (1); (2) `T: Sync`.
        unsafe { self.0.place().read() }.expect(THERE)
    }
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<'a, T: Send> AccessAt<'a> for Write<T> {
    type Ref = &'a mut T;
    unsafe fn fetch(&self) -> &'a mut T {
        // SAFETY: (1).
        unsafe { self.0.place().write() }.expect(THERE)
    }
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<T: Send> AccessAt<'_> for Consume<T> {
    type Ref = T;
    unsafe fn fetch(&self) -> T {
        // SAFETY: (1).
        unsafe { self.0.place().replace(None) }.expect(THERE)
    }
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
#[expect(private_interfaces, reason = "sealed: called by the graph")]
impl<T: Send + Sync> Access for Read<T> {
    fn bind(&mut self, draft: &mut Draft<'_>, list: &mut Vec<(SlotId, Mode)>) -> Result<(), ForeignData> {
        self.0.bind(draft, Mode::Read, list)
    }
    unsafe fn torn(&self) {}
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
#[expect(private_interfaces, reason = "sealed: called by the graph")]
impl<T: Send> Access for Write<T> {
    fn bind(&mut self, draft: &mut Draft<'_>, list: &mut Vec<(SlotId, Mode)>) -> Result<(), ForeignData> {
        self.0.bind(draft, Mode::Write, list)
    }
    unsafe fn torn(&self) {
        // SAFETY: (1).
        unwind::drop_value(unsafe { self.0.place().replace(None) });
    }
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
#[expect(private_interfaces, reason = "sealed: called by the graph")]
impl<T: Send> Access for Consume<T> {
    fn bind(&mut self, draft: &mut Draft<'_>, list: &mut Vec<(SlotId, Mode)>) -> Result<(), ForeignData> {
        self.0.bind(draft, Mode::Consume, list)
    }
    unsafe fn torn(&self) {}
}

impl private::Sealed for () {}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl AccessAt<'_> for () {
    type Ref = ();
    unsafe fn fetch(&self) {}
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
#[expect(private_interfaces, reason = "sealed: called by the graph")]
impl Access for () {
    fn bind(&mut self, _: &mut Draft<'_>, _: &mut Vec<(SlotId, Mode)>) -> Result<(), ForeignData> {
        Ok(())
    }
    unsafe fn torn(&self) {}
}

macro_rules! tuples {
    ($(($($access:ident $place:tt),*))*) => {$(
        impl<$($access: private::Sealed),*> private::Sealed for ($($access,)*) {}

        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        impl<'a, $($access: AccessAt<'a>),*> AccessAt<'a> for ($($access,)*) {
            type Ref = ($($access::Ref,)*);
            unsafe fn fetch(&self) -> Self::Ref {
                // SAFETY: (1) passed on. The accesses of one task do not exclude each other: the plan refuses data that
                // is accessed twice, unless both accesses read.
                unsafe { ($(self.$place.fetch(),)*) }
            }
        }

        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        #[expect(private_interfaces, reason = "sealed: called by the graph")]
        impl<$($access: Access),*> Access for ($($access,)*) {
            fn bind(&mut self, draft: &mut Draft<'_>, list: &mut Vec<(SlotId, Mode)>) -> Result<(), ForeignData> {
                // All are bound, even if one before them belongs to another graph.
                [$(self.$place.bind(draft, list)),*].into_iter().collect()
            }
            unsafe fn torn(&self) {
                $(
                    // SAFETY: (1) passed on.
                    unsafe { self.$place.torn() };
                )*
            }
        }
    )*};
}
tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

macro_rules! debug {
    ($($name:ident)*) => {$(
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0.slot).finish()
            }
        }
    )*};
}
debug!(Read Write Consume);
