//! `zip`: pairs the items of two streams.
//!
//! Each side is a stage of its own. Its pieces take turns, and wait in a queue until the other side has items for them.
//! The worker that brings a piece pairs all items that can be paired, under the lock that both sides share.
//!
//! A zip ends where an iterator would that pulls the left side first: at the first place where one side has ended or
//! has failed. If both sides fail at the same place, the failure of the left side counts.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::edge::Edge;
use crate::engine::inlet::{Inlet, Shape, drop_packet};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::plan::draft::Meets;
use crate::run::cancel::Carried;
use crate::run::flow::cx::Cx;
use crate::run::flow::order::{Origin, Ticket};
use crate::run::flow::packet::{Packet, RawPacket};
use crate::run::flow::stage::{Capacity, Ended};
use crate::sync::sequencer::Sequencer;
use crate::sync::{Mutex, explores, unwatched};

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Pairs the items of two streams, in order, until one of them ends. This stream is asked first. Stage boundary.
    ///
    /// The stream that is ahead waits in a queue. Its batches hold credits of their source, so no more wait than the
    /// source has credits.
    ///
    /// If both streams come from one source, and one of them leaves out many items, all credits may end up in the
    /// queue. Then the run ends as [`Stalled`](crate::RunErrorKind::Stalled), unless the stream that is ahead is
    /// [`spooled`](Self::spooled). [`Plan::prove`](crate::Plan::prove) says whether that may be.
    #[track_caller]
    pub fn zip<U, Q>(self, other: Stream<'env, U, Q>) -> Stream<'env, (T, U), impl Pipe<Out = (T, U)>>
    where
        U: Send + 'env,
        Q: Pipe<Out = U> + 'env,
    {
        let edges = (Arc::new(Edge::new()), Arc::new(Edge::new()));
        let spooled = [self.spooled, other.spooled];
        let inputs = self.meet("zip", other, (Arc::clone(&edges.0), Arc::clone(&edges.1)));
        let sequence = inputs.sequence(true);
        inputs.set_spooled(spooled);
        inputs.set_lets_go();
        inputs.set_meets(Meets::InPairs);
        let (out, stages) = (Arc::new(Edge::new()), inputs.stages);
        let pairs =
            Arc::new(Pairs { state: Mutex::new(PairState::new()), edges, out: Arc::clone(&out), sequence, stages });
        let left = Zip::new(Arc::clone(&pairs), |state| &mut state.left, "right");
        let right = Zip::new(Arc::clone(&pairs), |state| &mut state.right, "left");
        let bodies = (Inlet::new(Arc::clone(&pairs.edges.0), left), Inlet::new(Arc::clone(&pairs.edges.1), right));
        inputs.receive(bodies, ["left", "right"], sequence, out)
    }
}

/// The pieces of one side that wait. Some items of the first piece may be used already. The items of a piece are in
/// reverse order, so that the next one is taken from the end.
pub(super) struct SideQueue<T> {
    pub(super) pieces: VecDeque<Box<Packet<T>>>,
    pub(super) ended: bool,
}

/// What a side has to offer next.
enum Next<'a, T> {
    Items(&'a mut Packet<T>),
    Failed,
    /// Nothing: the side has ended, or its next piece has not come yet.
    Nothing,
}

impl<T> SideQueue<T> {
    pub(super) fn new() -> Self {
        Self { pieces: VecDeque::new(), ended: false }
    }

    fn is_over(&self) -> bool {
        self.ended && self.pieces.is_empty()
    }

    /// How many items its first piece has left.
    pub(super) fn next_items(&self) -> usize {
        self.pieces.front().map_or(0, |packet| packet.items.len())
    }

    /// Pieces that are used up go back to their `edge`, and their origins into `used`.
    pub(super) fn drop_used(&mut self, edge: &Edge<T>, used: &mut Vec<Origin>) {
        let is_used_up = |packet: &Packet<T>| packet.items.is_empty() && packet.failure.is_none();
        while self.pieces.front().is_some_and(|packet| is_used_up(packet)) {
            let packet = self.pieces.pop_front().expect("just seen");
            used.push(packet.ticket.origin);
            edge.give(packet);
        }
    }

    /// What comes next.
    fn next(&mut self, edge: &Edge<T>, used: &mut Vec<Origin>) -> Next<'_, T> {
        self.drop_used(edge, used);
        match self.pieces.front_mut() {
            Some(packet) if packet.items.is_empty() => Next::Failed,
            Some(packet) => Next::Items(packet),
            None => Next::Nothing,
        }
    }

    /// Takes the first piece out, and returns its origin and its failure.
    pub(super) fn take_failed(&mut self) -> Option<(Origin, Carried)> {
        let mut packet = self.pieces.pop_front()?;
        Some((packet.ticket.origin, packet.failure.take()?))
    }
}

/// What the two inputs of a zip share.
struct Pairs<A, B> {
    state: Mutex<PairState<A, B>>,
    edges: (Arc<Edge<A>>, Arc<Edge<B>>),
    out: Arc<Edge<(A, B)>>,
    sequence: usize,
    /// The stages of the two inputs.
    stages: [usize; 2],
}

struct PairState<A, B> {
    left: SideQueue<A>,
    right: SideQueue<B>,
    next: u64,
    over: bool,
}

impl<A, B> PairState<A, B> {
    fn new() -> Self {
        Self { left: SideQueue::new(), right: SideQueue::new(), next: 0, over: false }
    }
}

/// What follows from a piece, to be done without the lock. Its memory is used again for the next piece.
struct PairOutcome<A, B> {
    #[expect(clippy::vec_box, reason = "a packet travels by its pointer")]
    packets: Vec<Box<Packet<(A, B)>>>,
    used: Vec<Origin>,
    /// How many pairs there are.
    pairs: usize,
    rest: Option<PairRest<A, B>>,
}

/// What is left over when a zip has ended.
struct PairRest<A, B> {
    total: u64,
    left: VecDeque<Box<Packet<A>>>,
    right: VecDeque<Box<Packet<B>>>,
}

impl<A, B> Default for PairOutcome<A, B> {
    fn default() -> Self {
        Self { packets: Vec::new(), used: Vec::new(), pairs: 0, rest: None }
    }
}

impl<A: Send, B: Send> Pairs<A, B> {
    /// Pairs all items that can be paired, and notes whether the zip has ended.
    ///
    /// A packet ends where a piece of either side ends. Its origin is that of its left piece, or of the right one if
    /// the left side is spooled. So neither depends on which side came first.
    fn pair(&self, state: &mut PairState<A, B>, cx: &Cx<'_>, outcome: &mut PairOutcome<A, B>) {
        let (over, failed) = loop {
            // Both sides, always: what one of them has used up must not wait for an item of the other one.
            state.right.drop_used(&self.edges.1, &mut outcome.used);
            let left = match state.left.next(&self.edges.0, &mut outcome.used) {
                Next::Items(left) => left,
                Next::Failed => break (true, state.left.take_failed()),
                Next::Nothing => break (state.left.is_over(), None),
            };
            // The right side matters only now that the left side has an item.
            let right = match state.right.next(&self.edges.1, &mut outcome.used) {
                Next::Items(right) => right,
                Next::Failed => break (true, state.right.take_failed()),
                Next::Nothing => break (state.right.is_over(), None),
            };
            let count = left.items.len().min(right.items.len());
            let origin = if left.ticket.origin == Origin::NONE { right.ticket.origin } else { left.ticket.origin };
            let (from_left, from_right) = (left.items.len() - count, right.items.len() - count);
            outcome.pairs += count;
            let mut packet = self.out.take();
            packet.items.extend(left.items.drain(from_left..).rev().zip(right.items.drain(from_right..).rev()));
            cx.share(origin);
            packet.ticket = Ticket::whole(state.next, origin);
            state.next += 1;
            outcome.packets.push(packet);
        };
        if let Some((origin, failure)) = failed {
            let mut packet = self.out.take();
            packet.ticket = Ticket::whole(state.next, origin); // takes over the share of the failed piece
            packet.failure = Some(failure);
            state.next += 1;
            outcome.packets.push(packet);
        }
        if over {
            state.over = true;
            let (left, right) = (std::mem::take(&mut state.left.pieces), std::mem::take(&mut state.right.pieces));
            outcome.rest = Some(PairRest { total: state.next, left, right });
        }
    }

    /// Does what follows from [`pair`](Self::pair), without the lock.
    fn carry_out(&self, outcome: &mut PairOutcome<A, B>, cx: &Cx<'_>) {
        for packet in outcome.packets.drain(..) {
            cx.send(0, packet, true);
        }
        outcome.used.drain(..).for_each(|origin| cx.release(origin));
        let [left_stage, right_stage] = self.stages.map(|stage| cx.at(stage));
        let pairs = std::mem::take(&mut outcome.pairs);
        left_stage.count(0, pairs);
        right_stage.count(0, pairs);
        let Some(PairRest { total, left, right }) = outcome.rest.take() else { return };
        cx.run.total(self.sequence, total, cx.worker);
        left_stage.close();
        right_stage.close();
        left.into_iter().for_each(|packet| drop_packet(&left_stage, &self.edges.0, packet));
        right.into_iter().for_each(|packet| drop_packet(&right_stage, &self.edges.1, packet));
    }
}

/// An input of [`Stream::zip`].
struct Zip<T, A, B> {
    shared: Arc<Pairs<A, B>>,
    /// Finds the queue of this side in the shared state.
    queue: fn(&mut PairState<A, B>) -> &mut SideQueue<T>,
    sequencer: Sequencer<Box<Packet<T>>>,
    /// What the other side is called.
    other: &'static str,
    /// An empty outcome, kept for its memory.
    spare: Mutex<PairOutcome<A, B>>,
}

impl<T: Send, A: Send, B: Send> Zip<T, A, B> {
    fn new(
        shared: Arc<Pairs<A, B>>,
        queue: fn(&mut PairState<A, B>) -> &mut SideQueue<T>,
        other: &'static str,
    ) -> Self {
        Self { shared, queue, sequencer: Sequencer::new(0), other, spare: unwatched(Mutex::default) }
    }

    /// Queues a piece whose turn it is, pairs all items that can be paired, and ends the turn.
    fn pass(&self, cx: &Cx<'_>, edge: &Edge<T>, mut packet: Box<Packet<T>>) {
        let last = packet.ticket.last;
        if !cx.wants(&packet.ticket) {
            drop_packet(cx, edge, packet);
            return self.advance(cx, last);
        }
        packet.items.reverse();
        let mut outcome = std::mem::take(&mut *self.spare.lock());
        let mut state = self.shared.state.lock();
        if state.over {
            drop(state);
            drop_packet(cx, edge, packet);
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
            cx.push_own(next.into_raw());
        }
    }
}

impl<T: Send, A: Send, B: Send> Shape for Zip<T, A, B> {
    type Item = T;
    type Own = RawPacket;

    fn take(&self, cx: &Cx<'_>, edge: &Edge<T>, packet: Box<Packet<T>>) {
        if let Some(packet) = self.sequencer.enter(packet.ticket.turn(), packet) {
            if explores() {
                return cx.push_own(packet.into_raw()); // a turn is a job of its own
            }
            self.pass(cx, edge, packet);
        }
    }

    /// Runs the job for a packet whose turn has come.
    fn own(&self, cx: &Cx<'_>, edge: &Edge<T>, packet: RawPacket) {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) the packet comes out of this sequencer, which holds packets of `T`.
        let packet: Box<Packet<T>> = unsafe { packet.open() };
        self.sequencer.join(packet.ticket.turn());
        self.pass(cx, edge, packet);
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        let mut outcome = PairOutcome::default();
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

    fn clear(&mut self, edge: &Edge<T>) -> u64 {
        let queued = std::mem::take(&mut (self.queue)(&mut self.shared.state.lock()).pieces);
        self.sequencer.reset().chain(queued).map(|packet| edge.discard(packet)).sum()
    }

    fn waiting(&self) -> Option<String> {
        let mut state = self.shared.state.lock();
        let pieces = (self.queue)(&mut state).pieces.len();
        (pieces > 0).then(|| format!("{pieces} batches wait for items of the {} side", self.other))
    }
}
