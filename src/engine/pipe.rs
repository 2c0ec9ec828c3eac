//! Pipes: how the items of a batch are driven through a chain of stateless operators.
//!
//! Every operator wraps the one before it. [`Pipe::drive`] drives one batch by internal iteration: the source's loop calls
//! the first operator's closure, that calls the next one's, and so on to the end of the stage; all of it is one function
//! after inlining, so an item costs what it costs in an iterator chain. Between operators there is no queue and no
//! allocation.
//!
//! # Who is to blame
//! While an operator's closure runs, or the operator drops an item, a guard stands on the stack that does something only
//! when a panic unwinds through it. The guards of an item stand one in another, and the innermost has the blame.
//! Operators that change the number of items count them in a local that is written to the frame when the batch ends, or
//! breaks off: so the item's index is known, and on the good path a count costs a register.
//!
//! A pipe is the third parameter of [`Stream`](crate::Stream), and its type need not be named:
//! [`Stream::boxed`](crate::Stream::boxed) hides it.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use crate::run::cancel::Carried;
use crate::run::flow::frame::Frame;
use crate::run::flow::order::Ticket;
use crate::run::flow::stage::Columns;

/// A chain of fused operators; see the module. Sealed: made by the methods of [`Stream`](crate::Stream).
#[expect(private_interfaces, reason = "sealed: the methods are the engine's")]
#[expect(private_bounds, reason = "sealed: the methods are the engine's")]
pub trait Pipe: Send + Sync {
    /// What comes out.
    type Out;

    /// Where the items come from.
    #[doc(hidden)]
    fn head(&self) -> &dyn Head;
    /// Drives one batch through.
    #[doc(hidden)]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(Self::Out));
}

/// The items of a piece, where the head finds them: in a place of the source, under a number, or in a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel {
    pub(crate) ticket: Ticket,
    pub(crate) load: u64,
}

/// The beginning of a pipe: the items of a source, or of packets.
pub(crate) trait Head: Send + Sync {
    /// What a piece holds before it is driven: how many items, as far as that is known; and the failure that came with it
    /// in the place of further items, which is taken out.
    fn holds(&self, parcel: Parcel) -> (u64, Option<Carried>);
    /// Drops the items of a piece, and says how many.
    fn discard(&self, parcel: Parcel) -> u64;
}

/// A head that knows its items.
pub(crate) trait Feed: Head {
    type Item;
    /// Gives every item of a piece to `out`, in a loop: `for_each(out)` would call it through a function of the standard
    /// library that is not inlined everywhere, and what `out` counts and sums would live in memory.
    fn each(&self, parcel: Parcel, out: &mut impl FnMut(Self::Item));
}

/// The items of a source: the run shares them with the pipe.
impl<H: Head> Head for Arc<H> {
    fn holds(&self, parcel: Parcel) -> (u64, Option<Carried>) {
        H::holds(self, parcel)
    }
    fn discard(&self, parcel: Parcel) -> u64 {
        H::discard(self, parcel)
    }
}

impl<H: Feed> Feed for Arc<H> {
    type Item = H::Item;
    #[inline]
    fn each(&self, parcel: Parcel, out: &mut impl FnMut(H::Item)) {
        H::each(self, parcel, out);
    }
}

/// Whether the time of operators is measured.
pub(crate) trait Meter {
    const TIMED: bool;
    /// From now on the operator at `position` works.
    fn at(frame: &Frame<'_>, position: usize);
}

/// Nothing is measured.
pub(crate) struct Untimed;
/// The first items of the batch are measured.
pub(crate) struct Timed;

impl Meter for Untimed {
    const TIMED: bool = false;
    #[inline]
    fn at(_: &Frame<'_>, _: usize) {}
}

impl Meter for Timed {
    const TIMED: bool = true;
    #[inline]
    fn at(frame: &Frame<'_>, position: usize) {
        if let Some(timer) = &frame.timer
            && timer.is_on()
        {
            timer.switch(position);
        }
    }
}

/// Calls user code of the operator at `position`; a panic that unwinds out of it is put down to it.
#[inline]
pub(crate) fn guard<R>(frame: &Frame<'_>, position: usize, call: impl FnOnce() -> R) -> R {
    struct Blame<'a>(&'a Frame<'a>, usize);
    impl Drop for Blame<'_> {
        fn drop(&mut self) {
            self.0.blame(self.1);
        }
    }
    let blame = Blame(frame, position);
    let result = call();
    std::mem::forget(blame);
    result
}

/// Counts items in a local, on from what the frame says, and writes the count to it when the batch ends or breaks off.
/// Without a column it counts nothing.
pub(crate) struct Tally<'a> {
    frame: &'a Frame<'a>,
    column: Option<usize>,
    count: Cell<u64>,
}

impl<'a> Tally<'a> {
    #[inline]
    pub(crate) fn new(frame: &'a Frame<'a>, column: Option<usize>) -> Self {
        Self { frame, column, count: Cell::new(column.map_or(0, |column| frame.count(column))) }
    }

    #[inline]
    pub(crate) fn add(&self) {
        self.count.set(self.count.get() + 1);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }
}

impl Drop for Tally<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(column) = self.column {
            self.frame.set(column, self.count.get());
        }
    }
}

/// Where an operator stands in its stage: its position, and the columns in which are counted what it is given and what it
/// hands on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) position: usize,
    pub(crate) columns: Columns,
}

/// The head as a pipe: the items as they come.
pub(crate) struct Root<H> {
    head: H,
}

impl<H> Root<H> {
    pub(crate) fn new(head: H) -> Self {
        Self { head }
    }
}

impl<H: Feed> Pipe for Root<H> {
    type Out = H::Item;

    fn head(&self) -> &dyn Head {
        &self.head
    }
    #[inline]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(H::Item)) {
        let fed = Tally::new(frame, Some(0));
        let each = &mut |item| {
            M::at(frame, 0);
            fed.add();
            out(item);
        };
        guard(frame, 0, || self.head.each(parcel, each));
    }
}

impl<H> fmt::Debug for Root<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Root")
    }
}
