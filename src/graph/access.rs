//! The ways in which tasks access data.

use std::fmt;
use std::marker::PhantomData;

use crate::plan::Data;
use crate::plan::draft::{Draft, Mode, SlotAccess, SlotId};
use crate::run::room::push;
use crate::run::slot::{Gone, Slot};
use private::Address;

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

    fn access(&self) -> Named<T> {
        Named { graph: self.names.graph(), slot: self.slot, marker: PhantomData }
    }
}

/// The data of an access belongs to another graph.
pub(super) struct ForeignData;

/// Data by its name, before the access is in a graph.
struct Named<T> {
    /// The number of its graph. The handle is not kept, so that nobody has to count an access.
    graph: u64,
    slot: SlotId,
    marker: PhantomData<fn(T) -> T>,
}

impl<T> Named<T> {
    #[inline]
    fn bind(&self, draft: &Draft<'_>, mode: Mode, list: &mut Vec<SlotAccess>) -> Result<Slot<T>, ForeignData> {
        push(list, SlotAccess::new(self.slot, mode));
        slot_in(draft, self.graph, self.slot)
    }
}

/// The slot of a handle.
pub(super) fn slot_of<T>(draft: &Draft<'_>, data: &Data<T>) -> Result<Slot<T>, ForeignData> {
    slot_in(draft, data.names.graph(), data.slot)
}

#[inline]
fn slot_in<T>(draft: &Draft<'_>, graph: u64, slot: SlotId) -> Result<Slot<T>, ForeignData> {
    if graph != draft.names.graph() {
        return Err(ForeignData);
    }
    #[expect(unsafe_code, reason = "slots are kept without their types")]
    // SAFETY: (1) a handle of this graph was made together with its slot, and handles are invariant in `T`. No other graph has
    // this number.
    Ok(unsafe { draft.slot(slot) })
}

/// Access to data for reading, made by [`Data::read`].
pub struct Read<T>(Named<T>);
/// Access to data for writing, made by [`Data::write`].
pub struct Write<T>(Named<T>);
/// Access to data that takes its value, made by [`Data::consume`].
pub struct Consume<T>(Named<T>);
/// What a task's closure receives for an access while the task fires.
///
/// The second parameter only says that the access outlives `'a`; leave it out.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how a task accesses data",
    label = "no access",
    note = "an access is `data.read()`, `data.write()`, `data.consume()` or `reads(&many)`, and several are a tuple of up to twelve",
    note = "what is no data of the graph, the closure of the task captures"
)]
pub trait AccessAt<'a, Outlives = &'a Self>: private::Sealed {
    /// `&'a T`, `&'a mut T`, `T` or [`Values`](super::reads::Values); for several accesses a tuple of these.
    type Ref;

    /// Fetches what the closure receives.
    ///
    /// # Safety
    /// (1) The data is present, and no other thread accesses it in a way that excludes this access while `Ref` lives.
    #[doc(hidden)]
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    unsafe fn fetch(slots: &Self::Slots) -> Self::Ref;
}

/// How a task accesses data: [`Read`], [`Write`], [`Consume`], [`Reads`](super::reads::Reads), or a tuple of none to twelve accesses.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how a task accesses data",
    label = "no access",
    note = "an access is `data.read()`, `data.write()`, `data.consume()` or `reads(&many)`, and several are a tuple of up to twelve",
    note = "what is no data of the graph, the closure of the task captures"
)]
pub trait Access: for<'a> AccessAt<'a> + private::Sealed<Slots: Send> {
    /// Finds the slots, and adds the accesses to `list`. An error if some data belongs to another graph.
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "sealed: called by the graph")]
    fn bind(&self, draft: &Draft<'_>, list: &mut Vec<SlotAccess>) -> Result<Self::Slots, ForeignData>;

    /// Called after the task has panicked: drops the data that it may have half written, and notes which.
    ///
    /// # Safety
    /// (1) As for [`AccessAt::fetch`].
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "sealed: called by the graph")]
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    unsafe fn torn(_slots: &Self::Slots, _gone: &mut Gone) {}
}

pub(super) mod private {
    use crate::run::slot::Slot;

    #[expect(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {
        /// The addresses of the data.
        type Slots;
    }

    /// The address of data.
    #[expect(unnameable_types, reason = "the engine's")]
    #[derive(Debug)]
    pub struct Address<T>(pub(super) Slot<T>);
}

/// The value of a slot in which there is one.
///
/// # Safety
/// (1) There is one.
#[expect(unsafe_code, reason = "a task fires when its data is there")]
#[inline]
pub(super) unsafe fn there<V>(value: Option<V>) -> V {
    debug_assert!(value.is_some(), "a task fires when its data is there");
    // SAFETY: (1).
    unsafe { value.unwrap_unchecked() }
}

macro_rules! access {
    ($(
        $name:ident of [$($bound:ident)*] as $mode:expr, $ref:ty,
        fetch |$slot:ident| $fetch:expr
        $(, torn |$torn:ident| $clean:expr)?;
    )*) => {$(
        impl<T> private::Sealed for $name<T> {
            type Slots = Address<T>;
        }

        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        impl<'a, T: $($bound +)*> AccessAt<'a> for $name<T> {
            type Ref = $ref;
            #[inline]
            unsafe fn fetch(Address($slot): &Address<T>) -> $ref {
                // SAFETY: (1); (2) only a type that is `Sync` can be read.
                unsafe { there($fetch) }
            }
        }

        #[expect(private_interfaces, reason = "sealed: called by the graph")]
        impl<T: $($bound +)*> Access for $name<T> {
            #[inline]
            fn bind(&self, draft: &Draft<'_>, list: &mut Vec<SlotAccess>) -> Result<Address<T>, ForeignData> {
                self.0.bind(draft, $mode, list).map(Address)
            }
            $(
                #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
                unsafe fn torn(Address($torn): &Address<T>, gone: &mut Gone) {
                    // SAFETY: (1).
                    unsafe { $clean };
                    gone.add($torn);
                }
            )?
        }
    )*};
}
access! {
    Read of [Send Sync] as Mode::Read, &'a T, fetch |slot| slot.read();
    Write of [Send] as Mode::Write, &'a mut T, fetch |slot| slot.write(), torn |slot| slot.clear();
    Consume of [Send] as Mode::Consume, T, fetch |slot| slot.replace(None);
}

impl private::Sealed for () {
    type Slots = ();
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl AccessAt<'_> for () {
    type Ref = ();
    unsafe fn fetch((): &()) {}
}

#[expect(private_interfaces, reason = "sealed: called by the graph")]
impl Access for () {
    fn bind(&self, _: &Draft<'_>, _: &mut Vec<SlotAccess>) -> Result<(), ForeignData> {
        Ok(())
    }
}

macro_rules! tuples {
    ($(($($access:ident $place:tt),*))*) => {$(
        impl<$($access: private::Sealed),*> private::Sealed for ($($access,)*) {
            type Slots = ($($access::Slots,)*);
        }

        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        impl<'a, $($access: AccessAt<'a>),*> AccessAt<'a> for ($($access,)*) {
            type Ref = ($($access::Ref,)*);
            #[inline]
            unsafe fn fetch(slots: &Self::Slots) -> Self::Ref {
                // SAFETY: (1) passed on. The accesses of one task do not exclude each other: the plan refuses data that
                // is accessed twice, unless both accesses read.
                unsafe { ($($access::fetch(&slots.$place),)*) }
            }
        }

        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        #[expect(private_interfaces, reason = "sealed: called by the graph")]
        impl<$($access: Access),*> Access for ($($access,)*) {
            #[inline]
            fn bind(&self, draft: &Draft<'_>, list: &mut Vec<SlotAccess>) -> Result<Self::Slots, ForeignData> {
                Ok(($(self.$place.bind(draft, list)?,)*))
            }
            unsafe fn torn(slots: &Self::Slots, gone: &mut Gone) {
                $(
                    // SAFETY: (1) passed on.
                    unsafe { $access::torn(&slots.$place, gone) };
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
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
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
