//! Pipes: how the items of a batch are driven through a chain of stateless operators.
//!
//! Every operator wraps the one before it. [`Pipe::drive`] drives one batch by internal iteration: the source's loop
//! calls the first operator's closure, which calls the next one's, and so on to the end of the stage. All of it is one
//! function after inlining, so an item costs what it costs in an iterator chain. Between operators there is no queue
//! and no allocation.
//!
//! The tail of a stage calls `drive`, through [`super::fused`]. Many workers may do so at once, each with a piece and a
//! frame of its own.
//!
//! # Which operator has failed
//! While user code of an operator runs, a guard stands on the stack. It does something only if a panic unwinds through
//! it: it notes its operator in the frame. The guards of an item stand one inside the other, and only the first note
//! counts, so the innermost operator is blamed.
//!
//! An error report also names the index of the item. Operators that change the number of items therefore count them in
//! a local variable, and write it to the frame when the batch ends or breaks off. As long as nothing fails, a count
//! costs a register.
//!
//! A pipe is the third parameter of [`Stream`](crate::Stream). Its type need not be named:
//! [`Stream::boxed`](crate::Stream::boxed) hides it.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use crate::run::cancel::{BoxedError, Carried};
use crate::run::flow::frame::Frame;
use crate::run::flow::order::Ticket;

/// A chain of fused operators: the type of what a [`Stream`](crate::Stream) does with its items before the next stage.
///
/// Only the methods of [`Graph`](crate::Graph) and [`Stream`](crate::Stream) make pipes; the trait is sealed.
#[expect(private_interfaces, reason = "sealed: the methods are the engine's")]
#[expect(private_bounds, reason = "sealed: the methods are the engine's")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not known to be the pipe of a stream",
    label = "not known to be a `Pipe`",
    note = "a function that takes a stream of `T` asks for `P: Pipe<Out = T> + 'env`, or for a `Stream<'env, T>`, which \
            `boxed` makes"
)]
pub trait Pipe: Send + Sync {
    /// The type of the items that come out.
    type Out;
    /// Whether closures of the user are called in it.
    #[doc(hidden)]
    const CALLS: bool = true;

    /// The beginning of the chain, which has the items.
    #[doc(hidden)]
    fn head(&self) -> &dyn Head;
    /// Drives one piece through the chain, and gives each item that comes out to `out`.
    #[doc(hidden)]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(Self::Out));
    /// Has the source weigh its items, if this is a source that can. Called while the graph is described.
    #[doc(hidden)]
    fn weigh(&self, _weigh: Weigh<Self::Out>) -> bool {
        false
    }
}

/// Says how many bytes an item counts for.
pub(crate) type Weigh<T> = Box<dyn Fn(&T) -> u64 + Send>;

/// Says where the head finds the items of a piece. `load` is a place of a pulled source, or the pointer of a packet; a
/// numbered source goes by the number in the ticket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel {
    pub(crate) ticket: Ticket,
    pub(crate) load: u64,
}

/// The beginning of a pipe: the items of a source, or of packets.
pub(crate) trait Head: Send + Sync {
    /// What a piece holds before it is driven: the number of its items, 0 if that is not known, and the failure that
    /// came with it in place of further items. The failure is taken out.
    fn holds(&self, parcel: Parcel) -> (u64, Option<Carried>);
    /// Drops the items of a piece, and returns their number; 0 if that is not known.
    fn discard(&self, parcel: Parcel) -> u64;
}

/// A head with the type of its items.
pub(crate) trait Feed: Head {
    type Item;
    /// Whether user code makes the items while they are driven.
    const CALLS: bool = true;
    /// Gives every item of a piece to `out`. Implementations use a `for` loop: `for_each(out)` would call `out` through
    /// a function of the standard library that is not always inlined, and then the counts and sums of `out` would live
    /// in memory, not in registers. They are always inlined, as is [`Pipe::drive`]: otherwise the compiler optimises
    /// the loop before it sees where the sum of `out` lives, and keeps and selects that sum twice.
    fn each(&self, parcel: Parcel, out: &mut impl FnMut(Self::Item));
    /// Weighs the items from now on, if they can be.
    fn weigh(&self, _weigh: Weigh<Self::Item>) -> bool {
        false
    }
    /// The error with which a source failed behind these items, once.
    #[inline]
    fn error(&self, _parcel: Parcel) -> Option<BoxedError> {
        None
    }
}

/// The items of a source, which the run and the pipe share.
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
    const CALLS: bool = H::CALLS;
    #[inline(always)]
    fn each(&self, parcel: Parcel, out: &mut impl FnMut(H::Item)) {
        H::each(self, parcel, out);
    }
    fn weigh(&self, weigh: Weigh<H::Item>) -> bool {
        H::weigh(self, weigh)
    }
    #[inline]
    fn error(&self, parcel: Parcel) -> Option<BoxedError> {
        H::error(self, parcel)
    }
}

/// Whether the time of operators is measured.
pub(crate) trait Meter {
    const TIMED: bool;
    /// Notes that the operator at `position` works from here on.
    fn at(frame: &Frame<'_>, position: usize);
}

/// Measures nothing.
pub(crate) struct Untimed;
/// Measures the first items of a batch.
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

/// Calls user code of the operator at `position`. If a panic unwinds out of it, that operator is blamed.
#[inline]
pub(crate) fn guard<R>(frame: &Frame<'_>, position: usize, call: impl FnOnce() -> R) -> R {
    let blame = Blame(frame, position);
    let result = call();
    std::mem::forget(blame);
    result
}

/// Blames an operator if a panic unwinds. See [`guard`].
struct Blame<'a>(&'a Frame<'a>, usize);

impl Drop for Blame<'_> {
    fn drop(&mut self) {
        self.0.blame(self.1);
    }
}

/// Counts items in a local variable, starting from the count in the frame, and writes the count back when the batch
/// ends or breaks off. Without a column the count goes nowhere.
pub(crate) struct Counter<'a> {
    frame: &'a Frame<'a>,
    column: Option<usize>,
    count: Cell<u64>,
}

impl<'a> Counter<'a> {
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

impl Drop for Counter<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(column) = self.column {
            self.frame.set(column, self.count.get());
        }
    }
}

/// Where an operator stands in its stage: its position, and the column that counts the items it hands on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) position: usize,
    pub(crate) column: usize,
}

/// The head as a pipe: hands the items on unchanged.
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
    const CALLS: bool = H::CALLS;

    fn head(&self) -> &dyn Head {
        &self.head
    }
    fn weigh(&self, weigh: Weigh<H::Item>) -> bool {
        self.head.weigh(weigh)
    }
    #[inline(always)]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(H::Item)) {
        let fed = Counter::new(frame, Some(0));
        let each = &mut |item| {
            M::at(frame, 0);
            fed.add();
            out(item);
        };
        let blame = Blame(frame, 0);
        self.head.each(parcel, each);
        std::mem::forget(blame);
        if let Some(error) = self.head.error(parcel) {
            frame.fail(0, fed.count(), error);
        }
    }
}

impl<H> fmt::Debug for Root<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Root")
    }
}
