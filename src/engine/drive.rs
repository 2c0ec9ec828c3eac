//! Drives pieces through a pipe, and keeps the books of each: counts, time, and who is to blame.
//!
//! A tail calls [`Drive::drive`] or [`DriveAll::drive_all`] with a closure for what comes out. This file opens a frame for
//! the counts, calls the pipe under `catch_unwind`, and enters the frame into the stage's ledger, whether the piece got
//! through or broke off.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::pipe::{Meter, Parcel, Pipe, Timed, Untimed, guard};
use crate::run::cancel::Carried;
use crate::run::flow::cx::Cx;
use crate::run::flow::frame::Frame;
use crate::run::flow::leaves::{Cut, Numbers};
use crate::run::flow::order::{Key, Ticket};
use crate::sync::{Instant, user_code};
use crate::unwind;

/// One piece, ready to be driven through the pipe.
pub(crate) trait Drive<T> {
    /// Drives the piece: `each` takes every item into `state`. Returns the state, and the failure if an operator of
    /// this stage or of an earlier one failed on an item of this piece. Then `each` has had the items before that one.
    fn drive<A>(self, state: A, each: impl FnMut(&mut A, T)) -> (A, Option<Carried>);
    /// Drops the items of the piece unseen.
    fn skip(self);
}

/// Adjacent batches of a source, ready to be driven through the pipe one after the other.
pub(crate) trait DriveAll<T> {
    /// The number of the first batch.
    fn first(&self) -> u64;
    /// How the batches are cut into leaves.
    fn cut(&self) -> Cut;
    /// Drives the batches one after the other. For each one, `start` makes a state, `each` takes the items into it, and
    /// `end` gets the number of the batch, whether it is the last one of its leaf, and the state. Stops at the first batch
    /// that breaks off, and returns it.
    fn drive_all<A>(
        self,
        start: impl FnMut() -> A,
        each: impl FnMut(&mut A, T),
        end: impl FnMut(u64, bool, A),
    ) -> Option<Broken>;
}

/// A batch that broke off, and why.
pub(crate) struct Broken {
    pub(crate) number: u64,
    pub(crate) cause: BrokenBy,
}

/// What has broken a batch off.
pub(crate) enum BrokenBy {
    /// An operator of the stage failed.
    Operator(Carried),
    /// The tail panicked before or after the items of the batch; this is the payload.
    Tail(Box<dyn Any + Send>),
}

/// One piece on its way through a pipe.
pub(super) struct Firing<'a, P> {
    pub(super) cx: &'a Cx<'a>,
    pub(super) pipe: &'a P,
    pub(super) parcel: Parcel,
    /// Whether closures of the user are called, by the pipe or by the tail.
    pub(super) calls: bool,
}

impl<P: Pipe> Firing<'_, P> {
    #[inline(always)]
    fn drive_with<M: Meter>(&self, frame: &Frame<'_>, out: &mut impl FnMut(P::Out)) {
        let last = self.cx.stage.ops.len() - 1;
        let _call = self.calls.then(user_code);
        self.pipe.drive::<M>(self.parcel, frame, &mut |item| {
            M::at(frame, last);
            guard(frame, last, || out(item));
        });
    }
}

impl<P: Pipe> Drive<P::Out> for Firing<'_, P> {
    fn drive<A>(self, state: A, mut each: impl FnMut(&mut A, P::Out)) -> (A, Option<Carried>) {
        let (came, carried) = self.pipe.head().holds(self.parcel);
        let mut frame = self.cx.frame();
        let is_timed = frame.begin();
        let start = Instant::now();
        let (state, result) = if is_timed {
            unwind::keeping(state, |state| self.drive_with::<Timed>(&frame, &mut |item| each(state, item)))
        } else {
            unwind::keeping(state, |state| self.drive_with::<Untimed>(&frame, &mut |item| each(state, item)))
        };
        let fault = frame.fault(result.err(), &self.cx.stage.ops);
        let ticket = &self.parcel.ticket;
        self.cx.record(ticket, &frame, start.elapsed(), fault.is_some().then_some(came));
        (state, fault.map(|fault| self.cx.failure(ticket, fault)).or(carried))
    }

    fn skip(self) {
        self.cx.drop_items(self.pipe.head().discard(self.parcel));
    }
}

/// Adjacent batches on their way through a pipe.
pub(super) struct FiringAll<'a, 'n, P> {
    pub(super) cx: &'a Cx<'a>,
    pub(super) pipe: &'a P,
    pub(super) numbers: &'a mut Numbers<'n>,
}

impl<P: Pipe> FiringAll<'_, '_, P> {
    /// Drives one batch. It is not inlined, so that the compiler keeps the state of the loop over the items in
    /// registers.
    #[inline(never)]
    fn drive<M: Meter, A>(
        &self,
        number: u64,
        frame: &Frame<'_>,
        state: A,
        kept: &mut Option<A>,
        each: &mut impl FnMut(&mut A, P::Out),
    ) -> A {
        let parcel = Parcel { ticket: Ticket::at(number, 0), load: 0 };
        let firing = Firing { cx: self.cx, pipe: self.pipe, parcel, calls: true };
        let mut saved = unwind::Saved::new(state, kept);
        let state = saved.value();
        firing.drive_with::<M>(frame, &mut |item| each(state, item));
        saved.into_inner()
    }
}

impl<P: Pipe> DriveAll<P::Out> for FiringAll<'_, '_, P> {
    fn first(&self) -> u64 {
        self.numbers.number()
    }

    fn cut(&self) -> Cut {
        self.numbers.cut
    }

    fn drive_all<A>(
        self,
        mut start: impl FnMut() -> A,
        mut each: impl FnMut(&mut A, P::Out),
        mut end: impl FnMut(u64, bool, A),
    ) -> Option<Broken> {
        let (cx, items) = (self.cx, self.numbers.items);
        let (mut frame, begun) = (cx.frame(), Instant::now());
        let first = self.numbers.number();
        // The number of the batch that is under way, and the number behind the last batch that was driven to its end.
        let (number, driven) = (Cell::new(first), Cell::new(first));
        let mut kept = None;
        let result = catch_unwind(AssertUnwindSafe(|| {
            while let Some(next) = self.numbers.next() {
                number.set(next);
                let state = start();
                let state = if frame.begin() {
                    self.drive::<Timed, _>(next, &frame, state, &mut kept, &mut each)
                } else {
                    self.drive::<Untimed, _>(next, &frame, state, &mut kept, &mut each)
                };
                if frame.has_error() {
                    kept = Some(state);
                    break;
                }
                driven.set(next + 1);
                end(next, self.numbers.is_at_end(), state);
            }
        }));
        let (number, driven, time) = (number.get(), driven.get(), begun.elapsed());
        let of_operator = frame.has_error() || frame.has_culprit();
        // All batches from the first one on are entered as one piece.
        let last = if of_operator { number + 1 } else { driven };
        let place = Key::new(first, 0)..Key::new(last, 0);
        if first < last {
            cx.record_all(&place, last - first, &frame, time, of_operator.then(|| items.len_of(&(first..last))));
        }
        if let Some(state) = kept {
            unwind::drop_value(state);
        }
        let cause = if of_operator {
            let fault = frame.fault(result.err(), &cx.stage.ops).expect("an operator has failed");
            BrokenBy::Operator(cx.failure(&Ticket::at(first, 0), fault))
        } else {
            BrokenBy::Tail(result.err()?)
        };
        if driven == number && !of_operator {
            cx.drop_items(items.discard(&(number..number + 1))); // `start` panicked: no item of the batch was driven
        }
        Some(Broken { number, cause })
    }
}
