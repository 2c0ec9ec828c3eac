//! `merge_by_key`: makes one sorted stream of two.
//!
//! Both sides compute their keys on all workers. Then each side is a stage of its own, whose pieces take turns, as in a
//! `zip`. Whoever has the turn leaves its piece. If nobody is at work on the merge, it goes to work: it brings together
//! what can be brought together, until nothing new has come. So no lock is held while keys are compared, which is user
//! code.
//!
//! The merge does what an iterator would that asks the left side first, then the right side, and gives the item with
//! the lesser key. So it ends at the first place where the side that is asked has failed.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::key_by::KeyBy;
use super::zip::SideQueue;
use crate::engine::edge::Edge;
use crate::engine::inlet::{Inlet, Shape, drop_packet};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::plan::draft::Meets;
use crate::run::cancel::{Carried, Cause, Fault, Index};
use crate::run::flow::cx::Cx;
use crate::run::flow::order::{Origin, Ticket};
use crate::run::flow::packet::{Packet, RawPacket};
use crate::run::flow::stage::{Capacity, Ended};
use crate::sync::sequencer::Sequencer;
use crate::sync::{Mutex, explores};

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Makes one sorted stream of two that are sorted by `key`. Of items with equal keys those of this stream come
    /// first, and items of one stream keep their order. Keys are made on all workers at once; one worker at a time
    /// compares them. Stage boundary.
    ///
    /// The stream whose next key is greater waits in a queue. Its batches hold credits of their source, so no more wait
    /// than the source has credits. `key` is called once for each item, and the key stays with the item until that goes
    /// on.
    ///
    /// Streams that are not sorted are no error: of the next item of each, the one with the lesser key comes first, so
    /// what comes out is not sorted either. To merge in descending order, use [`Reverse`](std::cmp::Reverse) of a key;
    /// several streams, one after the other.
    ///
    /// If both streams come from one source, all credits may end up in the queue. Then the run ends as
    /// [`Stalled`](crate::RunErrorKind::Stalled), unless the stream that is ahead is [`spooled`](Self::spooled).
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let monday = g.source([(1, "wakes"), (5, "sleeps")]);
    /// let other = g.source([(2, "eats"), (5, "dreams"), (9, "wakes")]);
    /// let all = monday.merge_by_key(other, |event| event.0).map(|event| event.1).collect();
    /// assert_eq!(pool.run(g)?.take(all), ["wakes", "eats", "sleeps", "dreams", "wakes"]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn merge_by_key<Q, K, F>(
        self,
        other: Stream<'env, T, Q>,
        key: F,
    ) -> Stream<'env, T, impl Pipe<Out = T> + use<'env, T, P, Q, K, F>>
    where
        Q: Pipe<Out = T> + 'env,
        K: Ord + Send + 'env,
        F: Fn(&T) -> K + Send + Sync + 'env,
    {
        let spooled = [self.spooled, other.spooled];
        let key = Arc::new(key);
        let other_key = Arc::clone(&key);
        let left = self.fuse("merge_by_key", KeyBy(move |item: &T| key(item)));
        let right = other.fuse("merge_by_key", KeyBy(move |item: &T| other_key(item)));
        let keys = [left.number(), right.number()];
        let (came, out) = (Arc::new(Edge::new()), Arc::new(Edge::new()));
        let inputs = left.meet("merge_by_key", right, (Arc::clone(&came), Arc::clone(&came)));
        let (sequence, stages, is_one_graph) = (inputs.sequence(true), inputs.stages, inputs.is_one_graph());
        inputs.set_spooled(spooled);
        inputs.set_meets(Meets::AsTheyAre);
        let sides = Arc::new(Sides { state: Mutex::default(), came, out: Arc::clone(&out), sequence, stages });
        let input = |side| Inlet::new(Arc::clone(&sides.came), Input::new(Arc::clone(&sides), side));
        let merged = inputs.receive((input(0), input(1)), ["left", "right"], sequence, out);
        if is_one_graph {
            let [left, right] = keys;
            merged.has_part(left, "the key of the left stream");
            merged.has_part(right, "the key of the right stream");
        }
        merged
    }
}

/// An item with its key, on its way to the merge.
type Pair<K, T> = (K, T);

/// A piece of one side.
type Piece<K, T> = Box<Packet<Pair<K, T>>>;

/// What the two inputs share.
struct Sides<K, T> {
    state: Mutex<State<K, T>>,
    came: Arc<Edge<Pair<K, T>>>,
    out: Arc<Edge<T>>,
    sequence: usize,
    /// The stages of the two inputs.
    stages: [usize; 2],
}

/// What has come, and the merge.
struct State<K, T> {
    /// The pieces of each side that have come since the merge took the others.
    came: [VecDeque<Piece<K, T>>; 2],
    ended: [bool; 2],
    /// None while a worker is at work on it.
    merge: Option<Merge<K, T>>,
}

impl<K, T> Default for State<K, T> {
    fn default() -> Self {
        Self { came: [VecDeque::new(), VecDeque::new()], ended: [false; 2], merge: Some(Merge::default()) }
    }
}

impl<K, T> State<K, T> {
    /// Whether anything has come since `merge` was taken.
    fn has_news(&self, merge: &Merge<K, T>) -> bool {
        (0..2).any(|side| !self.came[side].is_empty() || self.ended[side] != merge.sides[side].ended)
    }

    /// Gives to `merge` what has come.
    fn give(&mut self, merge: &mut Merge<K, T>) {
        for (side, queue) in merge.sides.iter_mut().enumerate() {
            queue.pieces.append(&mut self.came[side]);
            queue.ended = self.ended[side];
        }
    }
}

/// How far the merge has come.
struct Merge<K, T> {
    /// The pieces of each side that wait. Their items are in reverse order, so that the next one is taken from the end.
    sides: [SideQueue<Pair<K, T>>; 2],
    /// The number of the next packet that comes out.
    next: u64,
    over: bool,
}

/// What follows from a piece. Its memory is used again for the next piece.
struct Outcome<T> {
    #[expect(clippy::vec_box, reason = "a packet travels by its pointer")]
    packets: Vec<Box<Packet<T>>>,
    used: Vec<Origin>,
    /// How many packets come out in all, if the merge has ended.
    total: Option<u64>,
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        Self { packets: Vec::new(), used: Vec::new(), total: None }
    }
}

/// What the merge does next.
enum Step {
    /// Puts items into a packet.
    Pour,
    /// Waits for a piece.
    Wait,
    /// This side has failed.
    Fail(usize),
    End,
}

impl<K, T> Default for Merge<K, T> {
    fn default() -> Self {
        Self { sides: [SideQueue::new(), SideQueue::new()], next: 0, over: false }
    }
}

impl<K: Ord, T: Send> Merge<K, T> {
    fn step(&mut self, came: &Edge<Pair<K, T>>, used: &mut Vec<Origin>) -> Step {
        // Both sides, always: what one of them has used up must not wait for an item of the other one.
        self.sides.iter_mut().for_each(|side| side.drop_used(came, used));
        let mut has_items = false;
        for (index, side) in self.sides.iter().enumerate() {
            match side.pieces.front() {
                Some(piece) if piece.items.is_empty() => return Step::Fail(index),
                Some(_) => has_items = true,
                None if side.ended => {}
                None => return Step::Wait,
            }
        }
        if has_items { Step::Pour } else { Step::End }
    }

    /// Brings together all items that can be, and notes whether the merge has ended.
    fn go_on(&mut self, shared: &Sides<K, T>, cx: &Cx<'_>, outcome: &mut Outcome<T>) {
        while !self.over {
            let packet = match self.step(&shared.came, &mut outcome.used) {
                Step::Wait => return,
                Step::Pour => self.pour(shared, cx),
                Step::End => break,
                Step::Fail(side) => {
                    let (origin, failure) = self.sides[side].take_failed().expect("just seen");
                    self.packet(shared, origin, Some(failure)) // takes over the share of the failed piece
                }
            };
            self.over = packet.failure.is_some();
            self.next += 1;
            outcome.packets.push(packet);
        }
        self.over = true;
        outcome.total = Some(self.next);
    }

    fn packet(&self, shared: &Sides<K, T>, origin: Origin, failure: Option<Carried>) -> Box<Packet<T>> {
        let mut packet = shared.out.take();
        (packet.ticket, packet.failure) = (Ticket::whole(self.next, origin), failure);
        packet
    }

    /// Puts items into a packet until a piece is used up.
    ///
    /// So how what comes out is cut depends on the pieces of both sides alone. The packet holds the credit of the piece
    /// that is used up; the other piece still has its own. If the former has none, because it is spooled, the packet
    /// holds that of the other one.
    fn pour(&mut self, shared: &Sides<K, T>, cx: &Cx<'_>) -> Box<Packet<T>> {
        let mut packet = self.packet(shared, Origin::NONE, None);
        let waiting = self.sides.each_ref().map(SideQueue::next_items);
        let [left, right] = self.sides.each_mut().map(|side| side.pieces.front_mut());
        let made = &mut packet.items;
        let poured = catch_unwind(AssertUnwindSafe(|| match (left, right) {
            (Some(left), Some(right)) => merge(&mut left.items, &mut right.items, made),
            (Some(only), None) | (None, Some(only)) => drain(&mut only.items, made),
            (None, None) => {}
        }));
        for (side, waited) in waiting.into_iter().enumerate() {
            cx.at(shared.stages[side]).count(0, waited - self.sides[side].next_items());
        }
        let origins = self.sides.each_ref().map(|side| side.pieces.front().map_or(Origin::NONE, |of| of.ticket.origin));
        let is_used_up = |side: &SideQueue<Pair<K, T>>| side.pieces.front().is_some_and(|of| of.items.is_empty());
        let [first, second] = if is_used_up(&self.sides[0]) { origins } else { [origins[1], origins[0]] };
        packet.ticket.origin = if first == Origin::NONE { second } else { first };
        cx.share(packet.ticket.origin);
        if let Err(panic) = poured {
            let fault = Fault { op: 0, index: Index::None, cause: Cause::Panic(panic) };
            packet.failure = Some(cx.at(cx.stage.outputs[0]).failure(&packet.ticket, fault));
        }
        packet
    }
}

/// Puts items into `made`, the lesser one first, until one side has none left. Items are taken from the ends.
fn merge<K: Ord, T>(left: &mut Vec<Pair<K, T>>, right: &mut Vec<Pair<K, T>>, made: &mut Vec<T>) {
    while let (Some((one, _)), Some((two, _))) = (left.last(), right.last()) {
        let from = if one.cmp(two) == Ordering::Greater { &mut *right } else { &mut *left };
        pop(from, made);
    }
}

/// Puts all items into `made`. They are taken from the end.
fn drain<K, T>(items: &mut Vec<Pair<K, T>>, made: &mut Vec<T>) {
    made.reserve(items.len());
    while !items.is_empty() {
        pop(items, made);
    }
}

/// Puts the item at the end into `made`, and then drops its key, which may panic.
#[inline]
fn pop<K, T>(items: &mut Vec<Pair<K, T>>, made: &mut Vec<T>) {
    let (key, item) = items.pop().expect("the caller has seen it");
    made.push(item);
    drop(key);
}

impl<K: Ord + Send, T: Send> Sides<K, T> {
    /// Leaves what has come of `side`, a piece or its end, and brings together what can be, unless another worker does.
    fn bring(&self, cx: &Cx<'_>, side: usize, piece: Option<Piece<K, T>>, outcome: &mut Outcome<T>) {
        let mut state = self.state.lock();
        match piece {
            Some(piece) => state.came[side].push_back(piece),
            None => state.ended[side] = true,
        }
        let Some(mut merge) = state.merge.take() else { return };
        loop {
            state.give(&mut merge);
            drop(state);
            if !merge.over {
                merge.go_on(self, cx, outcome);
            }
            if merge.over {
                self.drop_rest(&mut merge, cx);
            }
            state = self.state.lock();
            if !state.has_news(&merge) {
                state.merge = Some(merge);
                drop(state);
                return self.carry_out(outcome, cx, true);
            }
            drop(state);
            self.carry_out(outcome, cx, false);
            state = self.state.lock();
        }
    }

    /// Sends what was made. With `follow`, this worker goes on with it.
    fn carry_out(&self, outcome: &mut Outcome<T>, cx: &Cx<'_>, follow: bool) {
        for packet in outcome.packets.drain(..) {
            cx.send(0, packet, follow);
        }
        outcome.used.drain(..).for_each(|origin| cx.release(origin));
        if let Some(total) = outcome.total.take() {
            cx.run.total(self.sequence, total, cx.worker);
            self.stages.iter().for_each(|stage| cx.at(*stage).close());
        }
    }

    /// Drops what is left when the merge has ended.
    fn drop_rest(&self, merge: &mut Merge<K, T>, cx: &Cx<'_>) {
        for (side, queue) in merge.sides.iter_mut().enumerate() {
            let cx = cx.at(self.stages[side]);
            queue.pieces.drain(..).for_each(|packet| drop_packet(&cx, &self.came, packet));
        }
    }
}

/// An input of [`Stream::merge_by_key`].
struct Input<K, T> {
    shared: Arc<Sides<K, T>>,
    /// 0 for the left side, 1 for the right side.
    side: usize,
    sequencer: Sequencer<Piece<K, T>>,
    /// An empty outcome, kept for its memory.
    spare: Mutex<Outcome<T>>,
}

impl<K: Ord + Send, T: Send> Input<K, T> {
    fn new(shared: Arc<Sides<K, T>>, side: usize) -> Self {
        Self { shared, side, sequencer: Sequencer::new(0), spare: Mutex::default() }
    }

    /// Brings a piece whose turn it is to the merge, and ends the turn.
    fn pass(&self, cx: &Cx<'_>, mut packet: Piece<K, T>) {
        let last = packet.ticket.last;
        if !cx.wants(&packet.ticket) {
            drop_packet(cx, &self.shared.came, packet);
            return self.advance(cx, last);
        }
        packet.items.reverse();
        let mut outcome = std::mem::take(&mut *self.spare.lock());
        self.shared.bring(cx, self.side, Some(packet), &mut outcome);
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

impl<K: Ord + Send, T: Send> Shape for Input<K, T> {
    type Item = Pair<K, T>;
    type Own = RawPacket;

    fn take(&self, cx: &Cx<'_>, _: &Edge<Pair<K, T>>, packet: Piece<K, T>) {
        if let Some(packet) = self.sequencer.enter(packet.ticket.turn(), packet) {
            if explores() {
                return cx.push_own(packet.into_raw()); // a turn is a job of its own
            }
            self.pass(cx, packet);
        }
    }

    /// Runs the job for a packet whose turn has come.
    fn own(&self, cx: &Cx<'_>, _: &Edge<Pair<K, T>>, packet: RawPacket) {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) the packet comes out of this sequencer, which holds packets of pairs.
        let packet: Piece<K, T> = unsafe { packet.open() };
        self.sequencer.join(packet.ticket.turn());
        self.pass(cx, packet);
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        self.shared.bring(cx, self.side, None, &mut Outcome::default());
        Ended::Now
    }

    fn prepare(&mut self, capacity: Capacity) {
        self.sequencer = Sequencer::new(capacity.pieces());
    }

    fn reset(&mut self) {
        self.sequencer.reset().for_each(drop);
        let state = &mut *self.shared.state.lock();
        state.ended[self.side] = false;
        let merge = state.merge.as_mut().expect("nobody is at work between runs");
        (merge.next, merge.over, merge.sides[self.side].ended) = (0, false, false);
    }

    fn clear(&mut self, edge: &Edge<Pair<K, T>>) -> u64 {
        let mut state = self.shared.state.lock();
        let came = std::mem::take(&mut state.came[self.side]);
        let merge = state.merge.as_mut().expect("nobody is at work between runs");
        let queued = std::mem::take(&mut merge.sides[self.side].pieces);
        drop(state);
        self.sequencer.reset().chain(came).chain(queued).map(|packet| edge.discard(packet)).sum()
    }

    fn waiting(&self) -> Option<String> {
        let state = self.shared.state.lock();
        let merge = state.merge.as_ref().expect("nobody is at work in a stall");
        let pieces = merge.sides[self.side].pieces.len();
        let other = ["right", "left"][self.side];
        (pieces > 0).then(|| format!("{pieces} batches wait for items of the {other} side"))
    }
}
