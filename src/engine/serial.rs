//! Serial operators: one item at a time, in stream order, without a thread of their own.
//!
//! Workers bring the pieces of a stream in any order, several at a time. The [`Sequencer`] prevents two of them from
//! being in the operator at once, and puts them in order:
//! * If it is the turn of a piece when it begins, the worker drives it straight through the pipe into the operator. No
//!   item is stored in between.
//! * If a piece comes early, the worker drives it into a packet, and leaves the packet in the sequencer. The worker
//!   that ends the turn before it queues the packet as a job.
//!
//! An operator may make items at the end of its stream, too, as `chunks` does of what is left over. These go on in
//! batches of their own, behind all others. So what it makes is a new sequence ([`Ending`]).
//!
//! [`super::fused`] calls this tail; operators such as `fold`, `scan` or `collect` implement [`SerialOp`].

use std::error::Error;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::drive::Drive;
use super::edge::Edge;
use super::tail::Tail;
use crate::run::cancel::{Carried, Cause, Fault, Index};
use crate::run::flow::batch::BATCH;
use crate::run::flow::cx::Cx;
use crate::run::flow::makes::Makes;
use crate::run::flow::order::{Origin, Ticket};
use crate::run::flow::packet::{Packet, RawPacket};
use crate::run::flow::stage::{Capacity, Ended, TailKind};
use crate::sync::sequencer::Sequencer;
use crate::sync::{Instant, Kind, UnsafeCell, explores, goes_on, tell};
use crate::unwind;

/// What a serial operator does with an item. Only one thread calls it at a time, in stream order.
pub(crate) trait SerialOp<T>: Send {
    /// What it makes. A sink makes nothing.
    type Out;
    /// What it carries from item to item; new in every run.
    type State: Send;
    /// Whether it ends the stream in a result. Otherwise it stands in the middle of a stream: a failure goes through it
    /// in its turn and ends it.
    const IS_SINK: bool = false;
    /// Whether [`item`](Self::item) may break.
    const BREAKS: bool = !Self::IS_SINK;
    /// Whether it makes items at the end of the stream, too.
    const ENDS: bool = false;
    /// What it keeps in memory, in words. A sink says that when it is added.
    const KEEPS: Option<&'static str> = None;
    /// How many items it makes before the end of the stream. A sink makes none, and says nothing.
    fn makes(&self) -> Makes {
        Makes::Any
    }
    /// How many it makes at the end, at most. None: any number.
    fn makes_at_end(&self) -> Option<u64> {
        if Self::ENDS { None } else { Some(0) }
    }
    /// Makes the state before the first item. It may call user code.
    fn begin(&mut self) -> Self::State;
    /// Takes an item, and puts what it makes into `made`. It breaks when it wants no more items, or fails on this one.
    fn item(&mut self, state: &mut Self::State, item: T, made: &mut Vec<Self::Out>) -> ControlFlow<Stop>;
    /// Ends a sink after the last item, and stores its result. Another operator that [`ENDS`](Self::ENDS) puts what it
    /// makes of its state into `made`.
    fn end(&mut self, _state: Self::State, _made: &mut Vec<Self::Out>) {}
}

/// Why a serial operator takes no more items.
pub(crate) enum Stop {
    /// It wants no more. What comes after this item does not count, failures neither.
    End,
    /// It fails on this item.
    Fail(Box<dyn Error + Send + Sync>),
}

/// Where the items go that a serial operator makes.
pub(crate) struct Output<U> {
    pub(crate) edge: Arc<Edge<U>>,
    /// If it may make items at the end, what it makes is this sequence, not that of its input.
    pub(crate) ending: Option<Ending>,
}

/// The sequence of what a serial operator makes, if it makes items at the end. The batches of the input keep their
/// numbers; what is made at the end has the numbers behind these.
pub(crate) struct Ending(pub(crate) usize);

/// The tail with a serial operator; see the module documentation.
pub(crate) struct Serial<T, O: SerialOp<T>> {
    sequencer: Sequencer<Box<Packet<T>>>,
    inside: UnsafeCell<Inside<T, O>>,
    /// Empty packets for pieces that come early.
    early: Edge<T>,
    /// None for a sink.
    out: Option<Output<O::Out>>,
}

/// The operator and its state: what belongs to the worker that has the turn.
struct Inside<T, O: SerialOp<T>> {
    op: O,
    /// None before the first piece, and while a piece is in the operator.
    state: Option<O::State>,
    /// The number in which the operator wanted no more items.
    closed_in: Option<u64>,
    /// How many numbers have gone through, without those behind the end of the stream.
    numbers: u64,
    given: u64,
    made: u64,
    dropped: u64,
}

/// What a piece carries through the operator.
struct Visit<T, O: SerialOp<T>> {
    state: O::State,
    made: Vec<O::Out>,
    /// The empty packet that will take the items in `made`. A sink has none.
    packet: Option<Box<Packet<O::Out>>>,
    given: u64,
    dropped: u64,
    closed: bool,
    /// On what it has failed. Then it is closed, too.
    error: Option<Box<dyn Error + Send + Sync>>,
}

#[expect(unsafe_code, reason = "the turn moves between workers")]
// SAFETY: (1) `inside` is touched only by the worker that has the turn, by the end of the stage after all turns, and
// while nothing runs; (2) operator and items are `Send`.
unsafe impl<T: Send, O: SerialOp<T, Out: Send>> Sync for Serial<T, O> {}

impl<T, O: SerialOp<T>> Serial<T, O> {
    pub(crate) fn new(op: O, out: Option<Output<O::Out>>) -> Self {
        let inside = Inside { op, state: None, closed_in: None, numbers: 0, given: 0, made: 0, dropped: 0 };
        Self { sequencer: Sequencer::new(0), inside: UnsafeCell::new(inside), early: Edge::new(), out }
    }

    fn edge(&self) -> Option<&Edge<O::Out>> {
        self.out.as_ref().map(|out| &*out.edge)
    }

    /// Works on the operator and its state.
    fn inside<R>(&self, work: impl FnOnce(&mut Inside<T, O>) -> R) -> R {
        #[expect(unsafe_code, reason = "one at a time")]
        // SAFETY: (1) of `Sync`: every caller has the turn, or comes after all turns, or comes while nothing runs.
        self.inside.with_mut(|inside| work(unsafe { &mut *inside }))
    }

    /// Takes the items of a packet whose turn it is through the operator, and ends the turn.
    fn pass(&self, cx: &Cx<'_>, mut packet: Box<Packet<T>>) {
        let ticket = packet.ticket;
        goes_on(cx.call(Kind::Batch, &ticket));
        if !cx.wants(&ticket) {
            let dropped = self.early.discard(packet);
            self.inside(|inside| inside.dropped += dropped);
            return self.leave_unwanted(cx, &ticket);
        }
        let start = Instant::now();
        let made = self.inside(|inside| {
            let (visit, failure) = match inside.open(self.edge(), cx, &ticket) {
                Err(failure) => (None, Some(failure)),
                Ok(visit) => {
                    let (op, came) = (&mut inside.op, packet.items.len() as u64);
                    let items = unwind::Draining::new(&mut packet.items);
                    let (mut visit, result) =
                        unwind::keeping(visit, |visit| items.for_each(|item| visit.item(op, item)));
                    visit.dropped = came - visit.given; // the items behind the end of the stream, or behind a failure
                    let index = Index::Stream((inside.given + visit.given).saturating_sub(1));
                    let own = result.err().map(|panic| at_end(cx, &ticket, index, Cause::Panic(panic)));
                    let own = own.or_else(|| inside.failure(&mut visit, cx, &ticket));
                    (Some(visit), own.or_else(|| packet.failure.take()))
                }
            };
            inside.close(visit, failure, cx, &ticket)
        });
        self.early.give(packet);
        cx.record_time(&ticket, start.elapsed());
        self.leave(cx, ticket, made);
    }

    /// Ends the turn of a piece that has gone through, and sends on what was made of it. The caller must not touch
    /// `inside` afterwards.
    fn leave(&self, cx: &Cx<'_>, ticket: Ticket, made: PieceMade<O::Out>) {
        self.advance(cx, &ticket);
        match &self.out {
            None => cx.retire(&ticket),
            Some(Output { edge, ending: Some(_) }) if made.is_behind_end => {
                // It is empty. If it had a number, those of the ending would depend on the schedule.
                made.packet.into_iter().for_each(|packet| edge.give(packet));
                cx.retire(&ticket);
            }
            Some(Output { edge, .. }) => {
                let mut packet = made.packet.unwrap_or_else(|| edge.take());
                packet.ticket = Ticket { is_behind_end: made.is_behind_end, ..ticket };
                packet.failure = made.failure;
                cx.send(0, packet, true);
                cx.arrive();
            }
        }
    }

    /// Sends on what the operator makes at the end of the stream, and says how many numbers there are now.
    fn send_ending(&self, cx: &Cx<'_>, edge: &Edge<O::Out>, sequence: usize) {
        let ticket = Ticket::behind_all();
        let (mut made, mut failure, mut numbers) = self.inside(|inside| {
            let mut made = Vec::new();
            let is_open = inside.closed_in.is_none();
            let ended = inside.begin(cx, &ticket).and_then(|state| {
                let end = AssertUnwindSafe(|| {
                    if is_open {
                        inside.op.end(state, &mut made);
                    }
                });
                catch_unwind(end).map_err(|panic| at_end(cx, &ticket, Index::None, Cause::Panic(panic)))
            });
            let failure = ended.err().filter(|_| is_open);
            inside.made += made.len() as u64;
            (made, failure, inside.numbers)
        });
        let mut items = unwind::Draining::new(&mut made);
        while failure.is_some() || items.len() > 0 {
            let mut packet = edge.take();
            packet.ticket = Ticket::whole(numbers, Origin::NONE);
            packet.items.extend(items.by_ref().take(BATCH));
            if items.len() == 0 {
                packet.failure = failure.take();
            }
            numbers += 1;
            cx.send(0, packet, false);
        }
        cx.run.total(sequence, numbers, cx.worker);
    }

    /// Ends the turn of a piece that was dropped.
    fn leave_unwanted(&self, cx: &Cx<'_>, ticket: &Ticket) {
        self.advance(cx, ticket);
        cx.release(ticket.origin);
    }

    /// Ends the turn, and queues the next piece if it waits already.
    fn advance(&self, cx: &Cx<'_>, ticket: &Ticket) {
        if let Some(next) = self.sequencer.leave(ticket.last) {
            cx.push_own(next.into_raw());
        }
    }
}

impl<T, O: SerialOp<T>> Inside<T, O> {
    /// Takes the state out. Before the first piece, the operator begins.
    fn begin(&mut self, cx: &Cx<'_>, ticket: &Ticket) -> Result<O::State, Carried> {
        self.state.take().map_or_else(
            || {
                catch_unwind(AssertUnwindSafe(|| self.op.begin()))
                    .map_err(|panic| at_end(cx, ticket, Index::None, Cause::Panic(panic)))
            },
            Ok,
        )
    }

    /// Takes out what the next piece carries through the operator.
    fn open(&mut self, out: Option<&Edge<O::Out>>, cx: &Cx<'_>, ticket: &Ticket) -> Result<Visit<T, O>, Carried> {
        let state = self.begin(cx, ticket)?;
        let mut packet = out.map(Edge::take);
        let made = packet.as_mut().map_or_else(Vec::new, |packet| std::mem::take(&mut packet.items));
        Ok(Visit { state, made, packet, given: 0, dropped: 0, closed: self.closed_in.is_some(), error: None })
    }

    /// The failure of the operator on an item of the piece, if it has failed on one.
    fn failure(&self, visit: &mut Visit<T, O>, cx: &Cx<'_>, ticket: &Ticket) -> Option<Carried> {
        let error = visit.error.take()?;
        visit.closed = false; // the failure ends the operator, and counts
        let index = Index::Stream((self.given + visit.given).saturating_sub(1));
        Some(at_end(cx, ticket, index, Cause::Error(error)))
    }

    /// Takes back what a piece has carried through the operator. The next piece could enter before a failure is noted;
    /// calling this before the turn ends prevents that. At a sink the failure counts. At another operator it goes on
    /// with what was made, and the operator ends. Behind the end of the stream it is dropped.
    fn close(
        &mut self,
        visit: Option<Visit<T, O>>,
        failure: Option<Carried>,
        cx: &Cx<'_>,
        ticket: &Ticket,
    ) -> PieceMade<O::Out> {
        let ended = visit.as_ref().is_some_and(|visit| visit.closed);
        let packet = visit.and_then(|visit| {
            self.given += visit.given;
            self.dropped += visit.dropped;
            self.made += visit.made.len() as u64;
            self.state = Some(visit.state);
            visit.packet.map(|mut packet| {
                packet.items = visit.made;
                packet
            })
        });
        let mut failure = failure.filter(|_| !ended);
        let is_behind_end = ticket.is_behind_end || self.closed_in.is_some_and(|number| ticket.number > number);
        if !is_behind_end && ticket.last {
            self.numbers = ticket.number + 1;
        }
        if (ended || (failure.is_some() && !O::IS_SINK)) && self.closed_in.is_none() {
            self.closed_in = Some(ticket.number);
            cx.close();
        }
        if O::IS_SINK
            && let Some(failure) = failure.take()
        {
            cx.fail(ticket, failure);
        }
        PieceMade { packet, failure, is_behind_end }
    }
}

/// What was made of a piece on its way through the operator. A sink makes nothing.
struct PieceMade<U> {
    packet: Option<Box<Packet<U>>>,
    /// A failure that comes in place of further items.
    failure: Option<Carried>,
    /// Whether the stream had ended in an earlier number, here or before.
    is_behind_end: bool,
}

impl<T, O: SerialOp<T>> Visit<T, O> {
    #[inline]
    fn item(&mut self, op: &mut O, item: T) {
        if O::BREAKS && self.closed {
            self.dropped += 1;
            return;
        }
        self.given += 1;
        let flow = op.item(&mut self.state, item, &mut self.made);
        if O::BREAKS
            && let ControlFlow::Break(reason) = flow
        {
            self.closed = true;
            if let Stop::Fail(error) = reason {
                self.error = Some(error);
            }
        }
    }
}

/// The failure of the operator at the end of the stage.
fn at_end(cx: &Cx<'_>, ticket: &Ticket, index: Index, cause: Cause) -> Carried {
    cx.failure(ticket, Fault { op: cx.stage.ops.len() - 1, index, cause })
}

impl<T: Send, O: SerialOp<T, Out: Send>> Tail<T> for Serial<T, O> {
    const KIND: TailKind = TailKind::Serial;
    const CALLS: bool = false; // one at a time, in stream order
    type Own = RawPacket;

    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        if self.sequencer.try_enter(ticket.turn()) {
            if !cx.wants(&ticket) {
                drive.skip();
                return self.leave_unwanted(cx, &ticket);
            }
            let made = self.inside(|inside| {
                let (visit, failure) = match inside.open(self.edge(), cx, &ticket) {
                    Err(failure) => {
                        drive.skip();
                        (None, Some(failure))
                    }
                    Ok(visit) => {
                        let op = &mut inside.op;
                        let (mut visit, failure) = drive.drive(visit, |visit, item| visit.item(op, item));
                        let own = inside.failure(&mut visit, cx, &ticket);
                        (Some(visit), own.or(failure))
                    }
                };
                inside.close(visit, failure, cx, &ticket)
            });
            return self.leave(cx, ticket, made);
        }
        let mut packet = self.early.take();
        packet.ticket = ticket;
        (packet.items, packet.failure) = drive.drive(std::mem::take(&mut packet.items), Vec::push);
        if let Some(packet) = self.sequencer.enter(ticket.turn(), packet) {
            if explores() {
                return cx.push_own(packet.into_raw());
            }
            self.pass(cx, packet);
        }
    }

    /// Runs the job for a packet whose turn has come.
    fn own(&self, cx: &Cx<'_>, packet: RawPacket) {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) the packet comes out of this sequencer, which holds packets of `T`.
        let packet = unsafe { packet.open() };
        self.sequencer.join(packet.ticket.turn());
        tell(|| cx.says("the turn of ", &packet.ticket));
        self.pass(cx, packet);
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        match &self.out {
            Some(Output { edge, ending: Some(Ending(sequence)) }) => {
                self.send_ending(cx, edge, *sequence);
                return Ended::Now;
            }
            Some(_) => {
                self.inside(|inside| unwind::drop_value(inside.state.take())); // nothing is made of it
                return Ended::Now;
            }
            None => {}
        }
        self.inside(|inside| {
            let ticket = Ticket::behind_all();
            let done = inside.open(None, cx, &ticket).and_then(|visit| {
                let end = AssertUnwindSafe(|| inside.op.end(visit.state, &mut Vec::new()));
                catch_unwind(end).map_err(|panic| at_end(cx, &ticket, Index::None, Cause::Panic(panic)))
            });
            match done {
                Ok(()) => Ended::Now,
                Err(failure) => {
                    cx.fail(&ticket, failure);
                    Ended::Later
                }
            }
        })
    }

    fn prepare(&mut self, capacity: Capacity) {
        self.sequencer = Sequencer::new(capacity.pieces());
    }

    fn reset(&mut self) {
        debug_assert_eq!(self.sequencer.waiting().0, 0, "the last run was cleared");
        self.sequencer.reset().for_each(drop);
        let inside = self.inside.get_mut();
        (inside.state, inside.closed_in, inside.numbers) = (None, None, 0);
        (inside.given, inside.made, inside.dropped) = (0, 0, 0);
    }

    fn clear(&mut self) -> u64 {
        for packet in self.sequencer.reset() {
            self.inside.get_mut().dropped += self.early.discard(packet);
        }
        unwind::drop_value(self.inside.get_mut().state.take());
        0 // the items had gone through all operators but the last, and are counted there, as its `dropped`
    }

    fn waiting(&self) -> Option<String> {
        let (pieces, next) = self.sequencer.waiting();
        (pieces > 0).then(|| format!("{pieces} batches wait for batch {} to come first", next.number))
    }

    fn serial_counts(&self) -> Option<[u64; 3]> {
        self.inside(|inside| Some([inside.given, inside.made, inside.dropped])) // asked while nothing runs
    }
}
