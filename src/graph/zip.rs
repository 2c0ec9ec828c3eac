//! `zip`: pairs the items of two streams.
//!
//! Each side is a stage of its own. Its pieces come in turn, and wait in a queue until the other side has items for them.
//! Like an iterator that pulls the left side first, a zip ends at the first place where one side has ended, or has failed:
//! a failure of the left side lies before what the right side has in that place.

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;

use super::boundary::{Edge, from_raw, into_raw, packet_of};
use super::gather::{Inputs, packet_input, peek};
use super::pipe::Pipe;
use super::stream::Stream;
use crate::run::cancel::Carried;
use crate::run::order::{Origin, Ticket};
use crate::run::packet::Packet;
use crate::run::stage::{Capacity, Cx, Ended, Parcel, Stage};
use crate::sync::Mutex;
use crate::sync::sequencer::Sequencer;

/// The pieces of one side; the first one may be used up in part. Their items lie the last one first.
pub(crate) struct Queue<T> {
    pieces: VecDeque<Box<Packet<T>>>,
    ended: bool,
}

/// What a side has to offer next.
enum Next<'a, T> {
    Items(&'a mut Packet<T>),
    Failed,
    /// Nothing, or nothing yet.
    Nothing,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { pieces: VecDeque::new(), ended: false }
    }

    fn is_over(&self) -> bool {
        self.ended && self.pieces.is_empty()
    }

    /// What comes next, after pieces that are used up have gone back to their `edge`.
    fn next(&mut self, edge: &Edge<T>, used: &mut Vec<Origin>) -> Next<'_, T> {
        let is_used_up = |packet: &Packet<T>| packet.items.is_empty() && packet.failure.is_none();
        while self.pieces.front().is_some_and(|packet| is_used_up(packet)) {
            let packet = self.pieces.pop_front().expect("just seen");
            used.push(packet.ticket.origin);
            edge.give(packet);
        }
        match self.pieces.front_mut() {
            Some(packet) if packet.items.is_empty() => Next::Failed,
            Some(packet) => Next::Items(packet),
            None => Next::Nothing,
        }
    }

    /// Takes the first piece with its failure.
    fn take_failed(&mut self) -> Option<(Origin, Carried)> {
        let mut packet = self.pieces.pop_front()?;
        Some((packet.ticket.origin, packet.failure.take()?))
    }
}

/// What the two inputs of a zip share.
pub(crate) struct Pairs<A, B> {
    state: Mutex<PairState<A, B>>,
    edges: (Arc<Edge<A>>, Arc<Edge<B>>),
    out: Arc<Edge<(A, B)>>,
    sequence: usize,
    /// The stages of the two inputs.
    stages: [usize; 2],
}

pub(crate) struct PairState<A, B> {
    left: Queue<A>,
    right: Queue<B>,
    next: u64,
    over: bool,
}

impl<A, B> PairState<A, B> {
    fn new() -> Self {
        Self { left: Queue::new(), right: Queue::new(), next: 0, over: false }
    }
}

/// What a piece has led to, to be done without the lock: room for it is kept from piece to piece.
struct Outcome<A, B> {
    #[expect(clippy::vec_box, reason = "a packet travels by its pointer")]
    packets: Vec<Box<Packet<(A, B)>>>,
    used: Vec<Origin>,
    rest: Option<Rest<A, B>>,
}

/// What is left when a zip is over.
struct Rest<A, B> {
    total: u64,
    left: VecDeque<Box<Packet<A>>>,
    right: VecDeque<Box<Packet<B>>>,
}

impl<A, B> Default for Outcome<A, B> {
    fn default() -> Self {
        Self { packets: Vec::new(), used: Vec::new(), rest: None }
    }
}

impl<A: Send, B: Send> Pairs<A, B> {
    /// Pairs what can be paired, and notes if that was all. Pieces are cut where a piece of either side ends, and a packet
    /// belongs to the origin of its left piece, or of the right one if the left side is spooled: so neither depends on
    /// which side came first.
    fn pair(&self, state: &mut PairState<A, B>, cx: &Cx<'_>, outcome: &mut Outcome<A, B>) {
        let (over, failed) = loop {
            let left = match state.left.next(&self.edges.0, &mut outcome.used) {
                Next::Items(left) => left,
                Next::Failed => break (true, state.left.take_failed()),
                Next::Nothing => break (state.left.is_over(), None),
            };
            // Only now that the left side has an item does it matter whether the right side has.
            let right = match state.right.next(&self.edges.1, &mut outcome.used) {
                Next::Items(right) => right,
                Next::Failed => break (true, state.right.take_failed()),
                Next::Nothing => break (state.right.is_over(), None),
            };
            let count = left.items.len().min(right.items.len());
            let origin = if left.ticket.origin == Origin::NONE { right.ticket.origin } else { left.ticket.origin };
            let (from_left, from_right) = (left.items.len() - count, right.items.len() - count);
            let mut packet = self.out.take();
            packet.items.extend(left.items.drain(from_left..).rev().zip(right.items.drain(from_right..).rev()));
            cx.share(origin);
            packet.ticket = Ticket::whole(state.next, origin);
            state.next += 1;
            outcome.packets.push(packet);
        };
        if let Some((origin, failure)) = failed {
            let mut packet = self.out.take();
            packet.ticket = Ticket::whole(state.next, origin); // the failed piece's share is the packet's now
            packet.failure = Some(failure);
            state.next += 1;
            outcome.packets.push(packet);
        }
        if over {
            state.over = true;
            let (left, right) = (std::mem::take(&mut state.left.pieces), std::mem::take(&mut state.right.pieces));
            outcome.rest = Some(Rest { total: state.next, left, right });
        }
    }

    /// What follows from [`pair`](Self::pair), without the lock.
    fn carry_out(&self, outcome: &mut Outcome<A, B>, cx: &Cx<'_>) {
        for packet in outcome.packets.drain(..) {
            let ticket = packet.ticket;
            cx.send(0, &ticket, into_raw(packet), true);
        }
        outcome.used.drain(..).for_each(|origin| cx.release(origin));
        let Some(Rest { total, left, right }) = outcome.rest.take() else { return };
        cx.run.total(self.sequence, total, cx.worker);
        let [left_stage, right_stage] = self.stages.map(|stage| cx.at(stage));
        left_stage.close();
        right_stage.close();
        left.into_iter().for_each(|packet| drop_piece(packet, &self.edges.0, &left_stage));
        right.into_iter().for_each(|packet| drop_piece(packet, &self.edges.1, &right_stage));
    }
}

fn drop_piece<T>(packet: Box<Packet<T>>, edge: &Edge<T>, cx: &Cx<'_>) {
    let origin = packet.ticket.origin;
    cx.drop_items(packet.items.len() as u64);
    edge.give(packet);
    cx.release(origin);
}

/// An input of [`Stream::zip`](crate::Stream::zip).
pub(crate) struct Zip<T, A, B> {
    edge: Arc<Edge<T>>,
    shared: Arc<Pairs<A, B>>,
    /// Which side of the shared state is its own.
    queue: fn(&mut PairState<A, B>) -> &mut Queue<T>,
    sequencer: Sequencer<u64>,
    other: &'static str,
    /// Empty, with room.
    spare: Mutex<Outcome<A, B>>,
}

impl<A, B> Zip<A, A, B> {
    fn left(shared: Arc<Pairs<A, B>>) -> Self {
        let (edge, sequencer) = (Arc::clone(&shared.edges.0), Sequencer::new(0));
        Self { edge, shared, queue: |state| &mut state.left, sequencer, other: "right", spare: Mutex::default() }
    }
}

impl<A, B> Zip<B, A, B> {
    fn right(shared: Arc<Pairs<A, B>>) -> Self {
        let (edge, sequencer) = (Arc::clone(&shared.edges.1), Sequencer::new(0));
        Self { edge, shared, queue: |state| &mut state.right, sequencer, other: "left", spare: Mutex::default() }
    }
}

impl<T: Send, A: Send, B: Send> Zip<T, A, B> {
    peek!(T);

    /// Queues a piece that has its turn, and pairs what can be paired.
    fn pass(&self, cx: &Cx<'_>, payload: u64) {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) only tails with this stage's edge send to it; (2) a turn is given once.
        let mut packet: Box<Packet<T>> = unsafe { from_raw(payload) };
        let last = packet.ticket.last;
        if !cx.wants(&packet.ticket) {
            drop_piece(packet, &self.edge, cx);
            return self.advance(cx, last);
        }
        packet.items.reverse();
        let mut outcome = std::mem::take(&mut *self.spare.lock());
        let mut state = self.shared.state.lock();
        if state.over {
            drop(state);
            drop_piece(packet, &self.edge, cx);
        } else {
            (self.queue)(&mut state).pieces.push_back(packet);
            self.shared.pair(&mut state, cx, &mut outcome);
            drop(state);
            self.shared.carry_out(&mut outcome, cx);
        }
        *self.spare.lock() = outcome;
        self.advance(cx, last);
        cx.arrive();
    }

    fn advance(&self, cx: &Cx<'_>, last: bool) {
        if let Some(next) = self.sequencer.leave(last) {
            cx.push_turn(next);
        }
    }
}

impl<T: Send, A: Send, B: Send> Stage for Zip<T, A, B> {
    packet_input!(edge: T);

    fn fire(&self, cx: &Cx<'_>, parcel: Parcel) {
        if let Some(payload) = self.sequencer.enter(parcel.ticket.turn(), parcel.load) {
            self.pass(cx, payload);
        }
    }

    fn turn(&self, cx: &Cx<'_>, payload: u64) {
        self.pass(cx, payload);
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        let mut outcome = Outcome::default();
        let mut state = self.shared.state.lock();
        (self.queue)(&mut state).ended = true;
        if !state.over {
            self.shared.pair(&mut state, cx, &mut outcome);
        }
        drop(state);
        self.shared.carry_out(&mut outcome, cx);
        Ended::Now
    }

    fn prepare(&mut self, capacity: Capacity) {
        self.sequencer = Sequencer::new(capacity.pieces());
    }

    fn reset(&mut self) {
        self.sequencer.reset().for_each(drop);
        let state = &mut *self.shared.state.lock();
        (state.next, state.over) = (0, false);
        (self.queue)(state).ended = false;
    }

    fn clear(&mut self) -> u64 {
        let parked: Vec<u64> = self.sequencer.reset().collect();
        let pieces = std::mem::take(&mut (self.queue)(&mut self.shared.state.lock()).pieces);
        let queued: usize = pieces.iter().map(|packet| packet.items.len()).sum();
        pieces.into_iter().for_each(|packet| self.edge.give(packet));
        parked.into_iter().map(|payload| self.discard(payload)).sum::<u64>() + queued as u64
    }

    fn waiting(&self) -> Option<String> {
        let mut state = self.shared.state.lock();
        let pieces = (self.queue)(&mut state).pieces.len();
        (pieces > 0).then(|| format!("{pieces} batches wait for items of the {} side", self.other))
    }
}

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Pairs the items of two streams, in order, until one of them ends; this one is asked first. Stage boundary.
    ///
    /// The stream that is ahead waits in a queue, as far as its source's credits go. Where both come from one source, and
    /// one of them leaves out so many items that all credits are in the queue, the run ends as
    /// [`Stalled`](crate::RunErrorKind::Stalled), unless the stream that is ahead is [`spooled`](Self::spooled).
    #[track_caller]
    pub fn zip<U, Q>(self, other: Stream<'env, U, Q>) -> Stream<'env, (T, U), impl Pipe<Out = (T, U)>>
    where
        U: Send + 'env,
        Q: Pipe<Out = U> + 'env,
    {
        let at = Location::caller();
        let spooled = [self.spooled, other.spooled];
        let (draft, left, left_edge) = self.send("zip", at);
        let (other, right, right_edge) = other.send("zip", at);
        let inputs = Inputs { draft, other, stages: [left, right] };
        let sequence = inputs.sequence(true);
        inputs.set_spooled(spooled);
        let out = Arc::new(Edge::new());
        let pairs = Arc::new(Pairs {
            state: Mutex::new(PairState::new()),
            edges: (left_edge, right_edge),
            out: Arc::clone(&out),
            sequence,
            stages: inputs.stages,
        });
        inputs.set_bodies(Zip::left(Arc::clone(&pairs)), Zip::right(pairs));
        inputs.receive(("zip", at), sequence, out, ["left", "right"])
    }
}
