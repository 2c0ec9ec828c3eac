//! Serial operators: one item at a time, in stream order, without a thread of their own.
//!
//! A piece whose turn it is when it begins is driven straight through the pipe into the operator: no item is stored in
//! between. A piece that comes early is driven into a packet and left in the sequencer; whoever leaves the turn before it
//! makes it a job.

use std::any::Any;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::boundary::{Edge, from_raw, into_raw};
use super::fused::{Drive, Tail};
use super::pipe::Pipe;
use super::stream::{At, Stream, receive};
use crate::plan::Data;
use crate::plan::draft::TailKind;
use crate::run::cancel::{Carried, Cause, Fault, Index};
use crate::run::order::Ticket;
use crate::run::packet::Packet;
use crate::run::slot::Slot;
use crate::run::stage::{Capacity, Cx, Ended};
use crate::sync::UnsafeCell;
use crate::sync::sequencer::Sequencer;
use crate::unwind;

/// What a serial operator does with an item.
pub(crate) trait SerialOp<T>: Send {
    /// What it makes; a sink nothing.
    type Out;
    /// What it carries from item to item, new in every run.
    type State: Send;
    /// Whether it may want no more some time: [`item`](Self::item) may give `false`.
    const CLOSES: bool = false;
    /// The state before the first item. User code.
    fn begin(&mut self) -> Self::State;
    /// Takes an item; `false`: it wants no more.
    fn item(&mut self, state: &mut Self::State, item: T, made: &mut Vec<Self::Out>) -> bool;
    /// After the last item.
    fn end(&mut self, state: Self::State);
}

/// The tail with a serial operator.
pub(crate) struct Serial<T, O: SerialOp<T>> {
    sequencer: Sequencer<u64>,
    inside: UnsafeCell<Inside<T, O>>,
    /// Pieces that wait for their turn.
    early: Edge<T>,
    /// Where the items go that it makes, unless it is a sink.
    out: Option<Arc<Edge<O::Out>>>,
}

/// What belongs to whoever has the turn.
struct Inside<T, O: SerialOp<T>> {
    op: O,
    state: Option<O::State>,
    /// It wants no more.
    closed: bool,
    given: u64,
    made: u64,
    dropped: u64,
}

/// What a piece carries through the operator.
struct Visit<T, O: SerialOp<T>> {
    state: O::State,
    made: Vec<O::Out>,
    /// The empty packet that will take what was made; a sink has none.
    packet: Option<Box<Packet<O::Out>>>,
    given: u64,
    dropped: u64,
    closed: bool,
}

#[expect(unsafe_code, reason = "the turn moves between workers")]
// SAFETY: (1) `inside` is touched only by whoever has the turn, by the end of the stage after all turns, and while nothing
// runs; (2) operator and items are `Send`.
unsafe impl<T: Send, O: SerialOp<T, Out: Send>> Sync for Serial<T, O> {}

impl<T, O: SerialOp<T>> Serial<T, O> {
    pub(crate) fn new(op: O, out: Option<Arc<Edge<O::Out>>>) -> Self {
        let inside = Inside { op, state: None, closed: false, given: 0, made: 0, dropped: 0 };
        Self { sequencer: Sequencer::new(0), inside: UnsafeCell::new(inside), early: Edge::new(), out }
    }

    /// Works inside.
    fn inside<R>(&self, work: impl FnOnce(&mut Inside<T, O>) -> R) -> R {
        #[expect(unsafe_code, reason = "one at a time")]
        // SAFETY: (1) of `Sync`: all callers have the turn, or come after all turns, or while nothing runs.
        self.inside.with_mut(|inside| work(unsafe { &mut *inside }))
    }

    /// Lets a packet that has its turn through.
    fn pass(&self, cx: &Cx<'_>, payload: u64) {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) only packets of `early` are left in this sequencer; (2) a turn is given once.
        let mut packet: Box<Packet<T>> = unsafe { from_raw(payload) };
        let ticket = packet.ticket;
        if !cx.wants(&ticket) {
            self.inside(|inside| inside.dropped += packet.items.len() as u64);
            self.early.give(packet);
            return self.leave_unwanted(cx, &ticket);
        }
        let start = Instant::now();
        let made = self.inside(|inside| {
            let (visit, failure) = match inside.open(self.out.as_deref(), cx, &ticket) {
                Err(failure) => (None, Some(failure)),
                Ok(visit) => {
                    let (op, came) = (&mut inside.op, packet.items.len() as u64);
                    let items = unwind::Draining::new(&mut packet.items);
                    let (mut visit, result) =
                        unwind::keeping(visit, |visit| items.for_each(|item| visit.item(op, item)));
                    visit.dropped = came - visit.given; // what came behind the end, or a panic
                    let index = Index::Stream((inside.given + visit.given).saturating_sub(1));
                    let own = result.err().map(|panic| at_end(cx, &ticket, index, panic));
                    (Some(visit), own.or_else(|| packet.failure.take()))
                }
            };
            inside.close(visit, failure, cx, &ticket)
        });
        self.early.give(packet);
        cx.record_time(start.elapsed());
        self.leave(cx, ticket, made);
    }

    /// The piece has gone through: its turn ends, and what it made goes on. Nothing inside is touched any more.
    fn leave(&self, cx: &Cx<'_>, ticket: Ticket, made: Made<O::Out>) {
        self.advance(cx, &ticket);
        match &self.out {
            None => cx.retire(&ticket),
            Some(edge) => {
                let mut packet = made.packet.unwrap_or_else(|| edge.take());
                packet.ticket = ticket;
                packet.failure = made.failure;
                cx.send(0, &ticket, into_raw(packet), true);
                cx.arrive();
            }
        }
    }

    fn leave_unwanted(&self, cx: &Cx<'_>, ticket: &Ticket) {
        self.advance(cx, ticket);
        cx.release(ticket.origin);
    }

    /// Ends the turn, and queues the next piece if it is here.
    fn advance(&self, cx: &Cx<'_>, ticket: &Ticket) {
        if let Some(next) = self.sequencer.leave(ticket.last) {
            cx.push_turn(next);
        }
    }
}

impl<T, O: SerialOp<T>> Inside<T, O> {
    /// What the next piece carries through; before the first one the operator begins.
    fn open(&mut self, out: Option<&Edge<O::Out>>, cx: &Cx<'_>, ticket: &Ticket) -> Result<Visit<T, O>, Carried> {
        let state = match self.state.take() {
            Some(state) => state,
            None => catch_unwind(AssertUnwindSafe(|| self.op.begin()))
                .map_err(|panic| at_end(cx, ticket, Index::None, panic))?,
        };
        let mut packet = out.map(Edge::take);
        let made = packet.as_mut().map_or_else(Vec::new, |packet| std::mem::take(&mut packet.items));
        Ok(Visit { state, made, packet, given: 0, dropped: 0, closed: self.closed })
    }

    /// Takes back what a piece has carried through: before the turn ends, so that nobody behind it goes in. A failure counts
    /// at a sink; else it goes on with what was made, and the operator ends. Behind the end of the stream it is none.
    fn close(
        &mut self,
        visit: Option<Visit<T, O>>,
        failure: Option<Carried>,
        cx: &Cx<'_>,
        ticket: &Ticket,
    ) -> Made<O::Out> {
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
        if O::CLOSES && (ended || failure.is_some()) && !self.closed {
            self.closed = true;
            cx.close();
        }
        if !O::CLOSES
            && let Some(failure) = failure.take()
        {
            cx.fail(ticket, failure);
        }
        Made { packet, failure }
    }
}

/// What a piece has made on its way through; a sink nothing.
struct Made<U> {
    packet: Option<Box<Packet<U>>>,
    /// What comes in the place of further items.
    failure: Option<Carried>,
}

impl<T, O: SerialOp<T>> Visit<T, O> {
    #[inline]
    fn item(&mut self, op: &mut O, item: T) {
        if O::CLOSES && self.closed {
            self.dropped += 1;
            return;
        }
        self.given += 1;
        let more = op.item(&mut self.state, item, &mut self.made);
        if O::CLOSES {
            self.closed = !more;
        }
    }
}

/// A failure of the operator at the end of the stage.
fn at_end(cx: &Cx<'_>, ticket: &Ticket, index: Index, panic: Box<dyn Any + Send>) -> Carried {
    cx.failure(ticket, Fault { op: cx.stage.ops.len() - 1, index, cause: Cause::Panic(panic) })
}

impl<T: Send, O: SerialOp<T, Out: Send>> Tail<T> for Serial<T, O> {
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        if self.sequencer.try_enter(ticket.turn()) {
            if !cx.wants(&ticket) {
                drive.skip();
                return self.leave_unwanted(cx, &ticket);
            }
            let made = self.inside(|inside| {
                let (visit, failure) = match inside.open(self.out.as_deref(), cx, &ticket) {
                    Err(failure) => {
                        drive.skip();
                        (None, Some(failure))
                    }
                    Ok(visit) => {
                        let op = &mut inside.op;
                        let (visit, failure) = drive.drive(visit, |visit, item| visit.item(op, item));
                        (Some(visit), failure)
                    }
                };
                inside.close(visit, failure, cx, &ticket)
            });
            return self.leave(cx, ticket, made);
        }
        let mut packet = self.early.take();
        packet.ticket = ticket;
        (packet.items, packet.failure) = drive.drive(std::mem::take(&mut packet.items), Vec::push);
        if let Some(packet) = self.sequencer.enter(ticket.turn(), into_raw(packet)) {
            self.pass(cx, packet);
        }
    }

    fn turn(&self, cx: &Cx<'_>, payload: u64) {
        self.pass(cx, payload);
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        self.inside(|inside| {
            if O::CLOSES {
                unwind::drop_value(inside.state.take()); // in the middle of a stream: it has no result to fail on
                return Ended::Now;
            }
            let ticket = Ticket::behind_all();
            let done = inside.open(None, cx, &ticket).and_then(|visit| {
                let end = AssertUnwindSafe(|| inside.op.end(visit.state));
                catch_unwind(end).map_err(|panic| at_end(cx, &ticket, Index::None, panic))
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
        (inside.state, inside.closed) = (None, false);
        (inside.given, inside.made, inside.dropped) = (0, 0, 0);
    }

    fn clear(&mut self) -> u64 {
        for payload in self.sequencer.reset() {
            #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
            // SAFETY: (1) only packets of `early` are left in this sequencer; (2) nobody else has it.
            let packet: Box<Packet<T>> = unsafe { from_raw(payload) };
            self.inside.get_mut().dropped += packet.items.len() as u64;
            self.early.give(packet);
        }
        unwind::drop_value(self.inside.get_mut().state.take());
        0 // they had gone through all operators but the last, which has counted them
    }

    fn waiting(&self) -> Option<String> {
        let (pieces, next) = self.sequencer.waiting();
        (pieces > 0).then(|| format!("{pieces} batches wait for batch {} to come first", next.number))
    }

    fn serial_counts(&self) -> Option<[u64; 3]> {
        self.inside(|inside| Some([inside.given, inside.made, inside.dropped])) // asked while nothing runs
    }
}

/// Of [`Stream::fold`](crate::Stream::fold).
pub(crate) struct Fold<A, F> {
    pub(crate) init: A,
    pub(crate) f: F,
    pub(crate) result: Arc<Slot<A>>,
}

impl<T, A: Clone + Send, F: FnMut(A, T) -> A + Send> SerialOp<T> for Fold<A, F> {
    type Out = Infallible;
    /// None only while the closure has it.
    type State = Option<A>;
    fn begin(&mut self) -> Option<A> {
        Some(self.init.clone())
    }
    #[inline]
    fn item(&mut self, state: &mut Option<A>, item: T, _: &mut Vec<Infallible>) -> bool {
        unwind::renew(state, |folded| (self.f)(folded, item));
        true
    }
    fn end(&mut self, state: Option<A>) {
        put(&self.result, state);
    }
}

/// Of [`Stream::accumulate`](crate::Stream::accumulate).
pub(crate) struct Accumulate<A, F> {
    pub(crate) init: A,
    pub(crate) f: F,
    pub(crate) result: Arc<Slot<A>>,
}

impl<T, A: Clone + Send, F: FnMut(&mut A, T) + Send> SerialOp<T> for Accumulate<A, F> {
    type Out = Infallible;
    type State = A;
    fn begin(&mut self) -> A {
        self.init.clone()
    }
    #[inline]
    fn item(&mut self, state: &mut A, item: T, _: &mut Vec<Infallible>) -> bool {
        (self.f)(state, item);
        true
    }
    fn end(&mut self, state: A) {
        put(&self.result, Some(state));
    }
}

/// Of [`Stream::collect`](crate::Stream::collect).
pub(crate) struct Collect<T> {
    pub(crate) result: Arc<Slot<Vec<T>>>,
}

impl<T: Send> SerialOp<T> for Collect<T> {
    type Out = Infallible;
    type State = Vec<T>;
    fn begin(&mut self) -> Vec<T> {
        Vec::new()
    }
    #[inline]
    fn item(&mut self, state: &mut Vec<T>, item: T, _: &mut Vec<Infallible>) -> bool {
        state.push(item);
        true
    }
    fn end(&mut self, state: Vec<T>) {
        put(&self.result, Some(state));
    }
}

/// Of [`Stream::for_each_ordered`](crate::Stream::for_each_ordered).
pub(crate) struct ForEachOrdered<F> {
    pub(crate) f: F,
    pub(crate) result: Arc<Slot<()>>,
}

impl<T, F: FnMut(T) + Send> SerialOp<T> for ForEachOrdered<F> {
    type Out = Infallible;
    type State = ();
    fn begin(&mut self) {}
    #[inline]
    fn item(&mut self, (): &mut (), item: T, _: &mut Vec<Infallible>) -> bool {
        (self.f)(item);
        true
    }
    fn end(&mut self, (): ()) {
        put(&self.result, Some(()));
    }
}

/// Of [`Stream::scan`](crate::Stream::scan).
pub(crate) struct Scan<S, U, F> {
    pub(crate) init: S,
    pub(crate) f: F,
    pub(crate) item: PhantomData<fn() -> U>,
}

impl<T, S: Clone + Send, U, F: FnMut(&mut S, T) -> Option<U> + Send> SerialOp<T> for Scan<S, U, F> {
    type Out = U;
    type State = S;
    const CLOSES: bool = true;
    fn begin(&mut self) -> S {
        self.init.clone()
    }
    #[inline]
    fn item(&mut self, state: &mut S, item: T, made: &mut Vec<U>) -> bool {
        let next = (self.f)(state, item);
        let more = next.is_some();
        made.extend(next);
        more
    }
    fn end(&mut self, _: S) {}
}

/// Puts the result of a sink into its slot.
pub(crate) fn put<T>(slot: &Slot<T>, value: Option<T>) {
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    // SAFETY: (1) the end of the sink's stage comes before everything that reads the slot.
    let old = unsafe { slot.replace(value) };
    unwind::drop_value(old);
}

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives every item to `f` with a state that begins as `init` in every run; makes what is `Some`, and ends the stream
    /// at the first `None`, as [`Iterator::scan`] does. One item at a time, in stream order. Stage boundary after it.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let sums = g.source(1..).scan(0, |sum, x| { *sum += x; (*sum < 20).then_some(*sum) }).collect();
    /// assert_eq!(pool.run(g)?.take(sums), [1, 3, 6, 10, 15]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn scan<S, U, F>(self, init: S, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        S: Clone + Send + 'env,
        U: Send + 'env,
        F: FnMut(&mut S, T) -> Option<U> + Send + 'env,
    {
        let at = Location::caller();
        let edge = Arc::new(Edge::new());
        let scan = Scan { init, f, item: PhantomData };
        let tail = Serial::new(scan, Some(Arc::clone(&edge)));
        let (draft, stage) = self.end_in("scan", at, TailKind::Serial, tail);
        let sequence = draft.borrow().stages[stage].sequence;
        receive(draft, ("scan", at), sequence, vec![stage], edge).out_of(stage)
    }

    /// Folds all items into one value, which begins as `init` in every run. One item at a time, in stream order.
    ///
    /// What `f` has captured goes on from run to run.
    #[must_use]
    #[track_caller]
    pub fn fold<A, F>(self, init: A, f: F) -> Data<A>
    where
        A: Clone + Send + 'env,
        F: FnMut(A, T) -> A + Send + 'env,
    {
        self.serial_sink("fold", Location::caller(), Some("one value"), |result| Fold { init, f, result })
    }

    /// As [`fold`](Self::fold), changing the value in place.
    #[must_use]
    #[track_caller]
    pub fn accumulate<A, F>(self, init: A, f: F) -> Data<A>
    where
        A: Clone + Send + 'env,
        F: FnMut(&mut A, T) + Send + 'env,
    {
        self.serial_sink("accumulate", Location::caller(), Some("one value"), |result| Accumulate { init, f, result })
    }

    /// Puts all items into a vector, in stream order. Keeps all of them.
    #[must_use]
    #[track_caller]
    pub fn collect(self) -> Data<Vec<T>> {
        self.serial_sink("collect", Location::caller(), Some("every item"), |result| Collect { result })
    }

    /// Gives every item to `f`, one at a time, in stream order. What `f` has captured goes on from run to run.
    #[track_caller]
    pub fn for_each_ordered<F>(self, f: F) -> Data<()>
    where
        F: FnMut(T) + Send + 'env,
    {
        self.serial_sink("for_each_ordered", Location::caller(), None, |result| ForEachOrdered { f, result })
    }

    #[track_caller]
    fn serial_sink<R, O>(
        self,
        method: &'static str,
        at: At,
        keeps: Option<&'static str>,
        op: impl FnOnce(Arc<Slot<R>>) -> O,
    ) -> Data<R>
    where
        R: Send + 'env,
        O: SerialOp<T, Out = Infallible> + 'env,
    {
        self.sink(method, at, TailKind::Serial, keeps, |result| Serial::new(op(result), None))
    }
}
