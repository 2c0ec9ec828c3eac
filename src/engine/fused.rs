//! A stage with its types: a pipe of fused operators, and the tail that takes what comes out.
//!
//! The run calls a [`Fused`] through the traits in [`crate::run::flow::stage`], from many workers at once, each with a
//! piece of its own. If the piece is still wanted, the tail gets it as a [`Drive`].
//!
//! The tail drives the pipe, not the other way round. So the tail can first check whether the piece may go in, and then
//! put the items where they belong: into a table of its own, or straight into an operator. An ordered sink needs no
//! buffer for a piece whose turn it is.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::pipe::{Meter, Parcel, Pipe, Timed, Untimed, guard};
use crate::run::cancel::Carried;
use crate::run::flow::cx::Cx;
use crate::run::flow::frame::Frame;
use crate::run::flow::leaves::Numbers;
use crate::run::flow::order::{Key, Ticket};
use crate::run::flow::packet::RawPacket;
use crate::run::flow::stage::{BatchStage, Capacity, Ended, NumbersStage, OwnJob, PacketStage, Stage, TailKind};
use crate::run::slot::Slot;
use crate::unwind;

/// Takes what comes out of a pipe.
pub(crate) trait Tail<T>: Send + Sync {
    const KIND: TailKind;
    /// What it queues for itself.
    type Own: OwnJob;
    /// Takes the items of one piece, which `drive` drives. It must retire the piece, or send it on and let it arrive.
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>);
    /// Runs a job that it has queued for itself.
    fn own(&self, cx: &Cx<'_>, job: Self::Own);
    /// Ends the stage, after the last piece has retired.
    fn end(&self, _cx: &Cx<'_>) -> Ended {
        Ended::Now
    }
    fn prepare(&mut self, _capacity: Capacity) {}
    fn reset(&mut self) {}
    /// Drops what a failed run left, and returns how many items of the stage's input were dropped.
    fn clear(&mut self) -> u64 {
        0
    }
    fn waiting(&self) -> Option<String> {
        None
    }
    /// The numbers of items that a serial operator was given, made, and dropped.
    fn serial_counts(&self) -> Option<[u64; 3]> {
        None
    }
}

/// A tail for which the order of batches makes no difference, and which keeps none of them. A free source may feed it.
pub(crate) trait ParallelTail<T>: Tail<T> {
    /// Takes the items of adjacent batches, which `drive` drives one after the other.
    fn run_all(&self, cx: &Cx<'_>, drive: impl DriveAll<T>);
}

/// Puts the result of a sink into its slot.
pub(crate) fn put<T>(slot: &Slot<T>, value: Option<T>) {
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    // SAFETY: (1) only the end of the sink's stage calls this, and the task graph puts it before every other access to
    // the slot.
    let old = unsafe { slot.replace(value) };
    unwind::drop_value(old);
}

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
    /// Drives the batches one after the other. For each one, `start` makes a state, `each` takes the items into it, and
    /// `end` gets the number of the batch and the state. Stops at the first batch that breaks off, and returns it.
    fn drive_all<A>(
        self,
        start: impl FnMut() -> A,
        each: impl FnMut(&mut A, T),
        end: impl FnMut(u64, A),
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

/// Gives the items of a piece to `each`, lets a failure count, and retires the piece.
pub(crate) fn consume<T>(cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>, mut each: impl FnMut(T)) {
    let ((), failure) = drive.drive((), |(), item| each(item));
    if let Some(failure) = failure {
        cx.fail(&ticket, failure);
    }
    cx.retire(&ticket);
}

/// Does the same for adjacent batches of a free source.
pub(crate) fn consume_all<T>(cx: &Cx<'_>, drive: impl DriveAll<T>, mut each: impl FnMut(T)) {
    let mut count = 0;
    let broken = drive.drive_all(|| count += 1, |(), item| each(item), |_, ()| ());
    if let Some(Broken { number, cause: BrokenBy::Operator(failure) }) = broken {
        cx.fail(&Ticket::at(number, 0), failure);
    }
    cx.arrive_all(count);
}

/// A stage: a pipe and a tail.
pub(crate) struct Fused<P, K> {
    pub(crate) pipe: P,
    pub(crate) tail: K,
}

/// One piece on its way through a pipe.
struct Firing<'a, P> {
    cx: &'a Cx<'a>,
    pipe: &'a P,
    parcel: Parcel,
}

impl<P: Pipe> Firing<'_, P> {
    #[inline]
    fn drive_with<M: Meter>(&self, frame: &Frame<'_>, out: &mut impl FnMut(P::Out)) {
        let last = self.cx.stage.ops.len() - 1;
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
struct FiringAll<'a, 'n, P> {
    cx: &'a Cx<'a>,
    pipe: &'a P,
    numbers: &'a mut Numbers<'n>,
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
        let firing = Firing { cx: self.cx, pipe: self.pipe, parcel };
        unwind::saving(state, kept, |state| firing.drive_with::<M>(frame, &mut |item| each(state, item)))
    }
}

impl<P: Pipe> DriveAll<P::Out> for FiringAll<'_, '_, P> {
    fn first(&self) -> u64 {
        self.numbers.number()
    }

    fn drive_all<A>(
        self,
        mut start: impl FnMut() -> A,
        mut each: impl FnMut(&mut A, P::Out),
        mut end: impl FnMut(u64, A),
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
                end(next, state);
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

impl<P: Pipe, K: Tail<P::Out>> Fused<P, K> {
    /// Works on a piece, or drops it if it is no longer wanted.
    fn fire(&self, cx: &Cx<'_>, parcel: Parcel) {
        let ticket = parcel.ticket;
        let firing = Firing { cx, pipe: &self.pipe, parcel };
        if cx.wants(&ticket) {
            self.tail.run(cx, ticket, firing);
        } else {
            firing.skip();
            cx.release(ticket.origin);
        }
    }
}

impl<P: Pipe, K: Tail<P::Out>> Stage for Fused<P, K> {
    fn own(&self, cx: &Cx<'_>, word: u64) {
        #[expect(unsafe_code, reason = "jobs carry words")]
        // SAFETY: (1) only the tail of this stage queues jobs for it; (2) a job runs once.
        let job = unsafe { K::Own::from_word(word) };
        if let Some(job) = job {
            self.tail.own(cx, job);
        }
    }
    fn end(&self, cx: &Cx<'_>) -> Ended {
        self.tail.end(cx)
    }
    fn prepare(&mut self, capacity: Capacity) {
        self.tail.prepare(capacity);
    }
    fn reset(&mut self) {
        self.tail.reset();
    }
    fn clear(&mut self) -> u64 {
        self.tail.clear()
    }
    fn waiting(&self) -> Option<String> {
        self.tail.waiting()
    }
    fn serial_counts(&self) -> Option<[u64; 3]> {
        self.tail.serial_counts()
    }
}

impl<P: Pipe, K: Tail<P::Out>> BatchStage for Fused<P, K> {
    fn batch(&self, cx: &Cx<'_>, ticket: Ticket, place: u32) {
        self.fire(cx, Parcel { ticket, load: u64::from(place) });
    }
}

impl<P: Pipe, K: ParallelTail<P::Out>> NumbersStage for Fused<P, K> {
    fn batches(&self, cx: &Cx<'_>, numbers: &mut Numbers<'_>) {
        self.tail.run_all(cx, FiringAll { cx, pipe: &self.pipe, numbers });
    }
}

impl<P: Pipe, K: Tail<P::Out>> PacketStage for Fused<P, K> {
    fn packet(&self, cx: &Cx<'_>, packet: RawPacket) {
        self.fire(cx, Parcel { ticket: packet.ticket(), load: packet.into_word() });
    }
    fn discard(&self, packet: RawPacket) -> u64 {
        self.pipe.head().discard(Parcel { ticket: packet.ticket(), load: packet.into_word() })
    }
}
