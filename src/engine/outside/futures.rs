//! Items that are worked on elsewhere: each becomes a future, and what comes of it goes on in the item's place.
//!
//! No worker waits for a future. A future lies in a *berth*; there are as many as items may be worked on at once. The job
//! of a berth polls its future. If there is nothing yet, a unit of the run goes outside, and the future's waker brings the
//! job back, as a live source is brought back ([`crate::run::outside::wake`]). If the future is done, the job takes the
//! next item: the first one, in stream order, that has no future yet.
//!
//! What comes of the items of a piece is put in order here. Where nobody sees how the stream is cut, the first results go on
//! as a part of the piece as soon as the job that made them has nothing more to do; so nobody waits for the whole piece.
//! Elsewhere a piece goes on as it came: what is done when must not decide how a sum of floats is bracketed. Pieces do not
//! wait for each other, as every piece carries its place in the order.
//!
//! # Who ends what
//! A failure ends its piece: futures of later items of the piece are dropped, earlier ones go on. A piece that is no longer
//! wanted is dropped as a whole. Somebody else finds that out, while futures lie in their berths: so whoever cuts a
//! sequence, or wants no more items, rings for all berths ([`Stage::end_early`], [`Stage::unwanted`]), and the jobs look.
//!
//! # Invariants
//! * F1: if an item has no future, all berths are taken, or a job of this stage is queued or running.
//! * F2: a future is polled and dropped by the job of its berth alone, and no lock is held meanwhile.
//! * F3: one thread at a time sends parts of a piece, so the last one is sent last: the stage behind may end with it.
//!
//! [`Stage::end_early`]: crate::run::flow::stage::Stage::end_early
//! [`Stage::unwanted`]: crate::run::flow::stage::Stage::unwanted

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::engine::edge::Edge;
use crate::engine::inlet::{Shape, drop_packet};
use crate::run::cancel::{BoxedError, Carried, Cause, Fault, Index};
use crate::run::flow::cx::Cx;
use crate::run::flow::order::{Key, MAX_PARTS, Ticket};
use crate::run::flow::packet::Packet;
use crate::run::flow::stage::{Capacity, Ended, OwnJob};
use crate::run::outside::wake::Wake;
use crate::sync::credit::SourceTurn;
use crate::sync::{Call, Instant, Kind, Mutex, user_call};
use crate::unwind;

/// The operator that makes a future of each item; see the module.
pub(crate) struct Futures<T, U, A, F> {
    make: F,
    /// How many futures there may be at once.
    limit: usize,
    out: Arc<Edge<U>>,
    /// Whether nobody sees it if a piece goes on in parts.
    unseen: bool,
    state: Mutex<State<T, U, A>>,
}

/// The pieces that have come, and the berths.
struct State<T, U, A> {
    pieces: BTreeMap<Key, Piece<T, U>>,
    /// The pieces with items that have no future yet.
    waiting: BTreeSet<Key>,
    /// None: its job has it.
    berths: Vec<Option<Box<Berth<A>>>>,
    /// For each berth: what wakes its job, and the item whose future lies there, or did.
    taken: Vec<(Wake, Spot)>,
    free: Vec<usize>,
}

/// An item, by its index in its piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spot {
    piece: Key,
    index: usize,
}

/// A place for one future after another.
struct Berth<A> {
    index: usize,
    future: Pin<Box<Option<A>>>,
    wake: Wake,
    waker: Waker,
    spot: Spot,
}

/// A piece whose items become futures.
struct Piece<T, U> {
    ticket: Ticket,
    /// The items that have no future yet, in reverse order.
    items: Vec<T>,
    /// How many items came.
    came: usize,
    /// How many have, or had, a future.
    begun: usize,
    /// So many items count: those before one that failed.
    end: usize,
    /// What comes in place of further items.
    failure: Option<Carried>,
    /// What came of the items from number `sent` on.
    results: VecDeque<Option<U>>,
    sent: usize,
    /// How many parts were sent.
    parts: u32,
    /// Whether somebody sends a part now.
    is_sending: bool,
    in_flight: usize,
    /// When the first item got a future, and how long it took until all had one.
    since: Option<Instant>,
    begun_in: Duration,
    /// How long workers were at it.
    busy: Duration,
}

/// What came of a future.
enum Outcome<U> {
    Made(U),
    Failed(Cause),
    /// It was not wanted any more.
    Dropped,
}

/// A berth, ready for its future to be polled.
struct Boarded<T, A> {
    berth: Box<Berth<A>>,
    /// The item that the future is to be made of, if it is a new one.
    item: Option<T>,
    is_wanted: bool,
}

/// What is to be dropped when no lock is held.
struct Debris<T> {
    items: Vec<T>,
    failure: Option<Carried>,
    /// These find out that they are not wanted.
    wakes: Vec<Wake>,
}

impl<T> Default for Debris<T> {
    fn default() -> Self {
        Self { items: Vec::new(), failure: None, wakes: Vec::new() }
    }
}

impl<T> Debris<T> {
    fn clear(self) {
        self.items.into_iter().for_each(unwind::drop_value);
        drop(self.failure);
        self.wakes.iter().for_each(Wake::wake);
    }
}

impl<T, U> Piece<T, U> {
    fn new(ticket: Ticket, mut items: Vec<T>, failure: Option<Carried>) -> Self {
        items.reverse();
        let came = items.len();
        Self {
            ticket,
            items,
            failure,
            came,
            begun: 0,
            end: came,
            results: VecDeque::new(),
            sent: 0,
            parts: 0,
            is_sending: false,
            in_flight: 0,
            since: None,
            begun_in: Duration::ZERO,
            busy: Duration::ZERO,
        }
    }

    /// The next item that has no future, and its index.
    fn next(&mut self) -> Option<(usize, T)> {
        let item = self.items.pop()?;
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.items.is_empty() {
            self.begun_in = since.elapsed();
        }
        self.results.push_back(None);
        self.in_flight += 1;
        self.begun += 1;
        Some((self.begun - 1, item))
    }

    /// Lets no item from number `end` on count. The rest of the items is to be dropped.
    fn end_at(&mut self, end: usize) -> Vec<T> {
        self.end = self.end.min(end);
        mem::take(&mut self.items)
    }

    /// Where what is left of it goes on: behind the parts that were sent, one of which may have failed.
    fn rest(&self) -> Ticket {
        if self.ticket.is_whole() { Ticket { part: self.parts, ..self.ticket } } else { self.ticket }
    }

    /// How many results can go on now.
    fn ready(&self) -> usize {
        let wanted = self.end.saturating_sub(self.sent);
        self.results.iter().take(wanted).take_while(|result| result.is_some()).count()
    }
}

impl<T, U, A> State<T, U, A> {
    /// The next item that has no future.
    fn next(&mut self) -> Option<(Spot, T)> {
        let key = *self.waiting.first()?;
        let piece = self.pieces.get_mut(&key).expect("it waits");
        let (index, item) = piece.next().expect("it has items");
        if piece.items.is_empty() {
            self.waiting.remove(&key);
        }
        Some((Spot { piece: key, index }, item))
    }

    fn has_free(&self, limit: usize) -> bool {
        !self.free.is_empty() || self.berths.len() < limit
    }

    /// A berth that is free, if there are not `limit` futures.
    fn free_berth(&mut self, limit: usize, cx: &Cx<'_>) -> Option<Box<Berth<A>>> {
        if let Some(index) = self.free.pop() {
            return self.berths[index].take();
        }
        let index = self.berths.len();
        if index >= limit {
            return None;
        }
        let wake = cx.wake(FutureJob::Poll(index));
        let spot = Spot { piece: Key::FIRST, index: 0 };
        self.berths.push(None);
        self.taken.push((wake.clone(), spot));
        Some(Box::new(Berth { index, future: Box::pin(None), waker: wake.clone().into(), wake, spot }))
    }

    /// Puts the next item into a berth, or gives the berth up.
    fn board(&mut self, cx: &Cx<'_>, mut berth: Box<Berth<A>>, debris: &mut Debris<T>) -> Option<Boarded<T, A>> {
        let index = berth.index;
        let Some((spot, item)) = self.next() else {
            self.berths[index] = Some(berth);
            self.free.push(index);
            return None;
        };
        berth.spot = spot;
        self.taken[index].1 = spot;
        Some(self.boarded(cx, berth, Some(item), debris))
    }

    /// A berth whose job is here.
    fn boarded(&mut self, cx: &Cx<'_>, berth: Box<Berth<A>>, item: Option<T>, debris: &mut Debris<T>) -> Boarded<T, A> {
        // So that many wake-ups are one poll. Before the look whether it is wanted: who ends that rings afterwards.
        berth.wake.bell().answer();
        let is_wanted = self.wants(cx, berth.spot, debris);
        Boarded { berth, item, is_wanted }
    }

    /// Ends a piece that is no longer wanted, and says whether the item at `spot` still is.
    fn wants(&mut self, cx: &Cx<'_>, spot: Spot, debris: &mut Debris<T>) -> bool {
        let piece = self.pieces.get_mut(&spot.piece).expect("one of its items is here");
        if !cx.awaits(&piece.rest()) || cx.is_closed() {
            let sent = piece.sent;
            debris.items.append(&mut piece.end_at(sent));
            self.waiting.remove(&spot.piece);
        }
        spot.index < piece.end
    }

    /// Notes what came of an item.
    fn complete(&mut self, cx: &Cx<'_>, spot: Spot, outcome: Outcome<U>, busy: Duration, debris: &mut Debris<T>) {
        let piece = self.pieces.get_mut(&spot.piece).expect("one of its items is here");
        piece.in_flight -= 1;
        piece.busy += busy;
        match outcome {
            Outcome::Made(made) => piece.results[spot.index - piece.sent] = Some(made),
            Outcome::Dropped => {}
            Outcome::Failed(cause) => {
                let fault = Fault { op: 0, index: Index::Batch(spot.index as u64), cause };
                let failure = cx.failure(&piece.ticket, fault);
                if spot.index >= piece.end {
                    debris.failure = Some(failure); // an earlier item has failed meanwhile
                    return;
                }
                debris.failure = piece.failure.replace(failure);
                let later = spot.index + 1..piece.end; // who comes behind these was told before
                debris.items.append(&mut piece.end_at(spot.index));
                self.waiting.remove(&spot.piece);
                if !later.is_empty() {
                    let is_later = |at: &Spot| at.piece == spot.piece && later.contains(&at.index);
                    debris.wakes.extend(self.taken.iter().filter(|(_, at)| is_later(at)).map(|(wake, _)| wake.clone()));
                }
            }
        }
    }
}

impl<T, U, A, F> Futures<T, U, A, F>
where
    T: Send,
    U: Send,
    A: Future<Output = Result<U, BoxedError>> + Send,
    F: Fn(T) -> A + Send + Sync,
{
    pub(crate) fn new(limit: usize, make: F, out: Arc<Edge<U>>) -> Self {
        let (pieces, waiting) = (BTreeMap::new(), BTreeSet::new());
        let state = State { pieces, waiting, berths: Vec::new(), taken: Vec::new(), free: Vec::new() };
        Self { make, limit, out, unseen: false, state: Mutex::new(state) }
    }

    /// Gives an item a future, if there is one without, and a berth is free.
    fn begin(&self, cx: &Cx<'_>) {
        let (mut state, mut debris) = (self.state.lock(), Debris::default());
        let Some(berth) = state.free_berth(self.limit, cx) else { return };
        let boarded = state.board(cx, berth, &mut debris);
        let are_more = !state.waiting.is_empty() && state.has_free(self.limit);
        drop(state);
        debris.clear();
        if are_more {
            cx.push_own(FutureJob::Begin); // first, so that another worker can do that
        }
        if let Some(boarded) = boarded {
            self.work(cx, boarded);
        }
    }

    /// Polls the future of a berth, and goes on with other items until one is not done at once, or none is left.
    fn work(&self, cx: &Cx<'_>, mut boarded: Boarded<T, A>) {
        let mut since = Instant::now();
        loop {
            let Boarded { mut berth, mut item, is_wanted } = boarded;
            let spot = berth.spot;
            if is_wanted {
                let Spot { piece, index } = spot;
                let item = u32::try_from(index).unwrap_or(u32::MAX);
                let call = Call::of_stage(Kind::Poll, cx.stage.index, piece.number(), 0).in_lane(item);
                user_call(call, || {
                    format!("a poll for item {} of a batch in '{}'", spot.index, cx.run.names.get(cx.stage.ops[0].0))
                });
            }
            let outcome = if is_wanted { self.poll(&mut berth, &mut item) } else { Some(Outcome::Dropped) };
            let now = Instant::now();
            let busy = now - mem::replace(&mut since, now);
            let Some(outcome) = outcome else {
                return self.sleep(cx, berth, busy);
            };
            item.into_iter().for_each(unwind::drop_value);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| berth.future.set(None))) {
                unwind::drop_payload(panic);
            }
            let (mut state, mut debris) = (self.state.lock(), Debris::default());
            state.complete(cx, spot, outcome, busy, &mut debris);
            let next = state.board(cx, berth, &mut debris);
            drop(state);
            debris.clear();
            if next.as_ref().is_none_or(|next| next.berth.spot.piece != spot.piece) {
                self.send(cx, spot.piece);
            }
            let Some(next) = next else { return };
            boarded = next;
        }
    }

    /// Polls the future of a berth, which is made of `item` if it is new. None: it is not done.
    fn poll(&self, berth: &mut Berth<A>, item: &mut Option<T>) -> Option<Outcome<U>> {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(item) = item.take() {
                berth.future.set(Some((self.make)(item)));
            }
            let future = berth.future.as_mut().as_pin_mut().expect("made before");
            future.poll(&mut Context::from_waker(&berth.waker))
        }));
        match polled {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(Ok(made))) => Some(Outcome::Made(made)),
            Ok(Poll::Ready(Err(error))) => Some(Outcome::Failed(Cause::Error(error))),
            Err(panic) => Some(Outcome::Failed(Cause::Panic(panic))),
        }
    }

    /// Leaves a berth to the waker of its future. If that was called already, the job comes back behind all others: a
    /// future that wakes itself gives way to them.
    fn sleep(&self, cx: &Cx<'_>, berth: Box<Berth<A>>, busy: Duration) {
        let (index, spot, wake) = (berth.index, berth.spot, berth.wake.clone());
        self.send(cx, spot.piece);
        let mut state = self.state.lock();
        state.pieces.get_mut(&spot.piece).expect("one of its items is here").busy += busy;
        state.berths[index] = Some(berth);
        drop(state);
        cx.run.put_outside();
        if wake.bell().sleep() == SourceTurn::Kept {
            cx.run.take_back();
            cx.push_own_last(FutureJob::Poll(index));
        }
    }

    /// Takes a berth whose job goes on.
    fn return_to(&self, cx: &Cx<'_>, index: usize) -> Boarded<T, A> {
        let (mut state, mut debris) = (self.state.lock(), Debris::default());
        let berth = state.berths[index].take().expect("it was left to its waker");
        let boarded = state.boarded(cx, berth, None, &mut debris);
        drop(state);
        debris.clear();
        boarded
    }

    /// Sends on what can go on of a piece.
    fn send(&self, cx: &Cx<'_>, key: Key) {
        let mut state = self.state.lock();
        loop {
            let Some(piece) = state.pieces.get_mut(&key).filter(|piece| !piece.is_sending) else { return };
            let may_end = piece.in_flight == 0 && piece.items.is_empty();
            let may_part = self.unseen && piece.ticket.is_whole() && piece.parts < MAX_PARTS - 1;
            if !may_end && !may_part {
                return; // without a look at the results, which may be many
            }
            let ready = piece.ready();
            let is_done = may_end && piece.sent + ready >= piece.end;
            if !is_done && ready == 0 {
                return;
            }
            let mut packet = self.out.take();
            packet.items.extend(piece.results.drain(..ready).flatten());
            piece.sent += ready;
            if is_done {
                let piece = state.pieces.remove(&key).expect("just seen");
                drop(state);
                return self.finish(cx, piece, packet);
            }
            cx.count(1, packet.items.len());
            packet.ticket = Ticket { part: piece.parts, last: false, ..piece.ticket };
            piece.parts += 1;
            piece.is_sending = true;
            drop(state);
            cx.share(packet.ticket.origin);
            cx.expect_part(0);
            cx.send(0, packet, false);
            state = self.state.lock();
            state.pieces.get_mut(&key).expect("only its sender takes it away").is_sending = false;
        }
    }

    /// Sends the last results of a piece on, or drops them if they are no longer wanted.
    fn finish(&self, cx: &Cx<'_>, piece: Piece<T, U>, mut packet: Box<Packet<U>>) {
        let rest = piece.rest();
        let Piece { ticket, came, end, begun, failure, results, busy, begun_in, .. } = piece;
        results.into_iter().flatten().for_each(unwind::drop_value);
        let frame = cx.frame();
        frame.set(0, begun as u64);
        cx.record(&ticket, &frame, busy, (end < came).then_some(came as u64));
        cx.took(&ticket, begun_in);
        if !cx.awaits(&rest) {
            self.out.give(packet);
            return cx.release(ticket.origin);
        }
        packet.failure = failure;
        packet.ticket = rest;
        cx.count(1, packet.items.len());
        cx.send(0, packet, false);
        cx.arrive();
    }

    /// Makes the jobs of all berths look.
    fn ring(&self) {
        let wakes: Vec<Wake> = self.state.lock().taken.iter().map(|(wake, _)| wake.clone()).collect();
        wakes.iter().for_each(Wake::wake);
    }
}

/// What the operator queues for itself.
pub(crate) enum FutureJob {
    /// An item may have no future though a berth is free.
    Begin,
    /// The future in this berth may have something.
    Poll(usize),
}

#[expect(unsafe_code, reason = "jobs carry words")]
impl OwnJob for FutureJob {
    fn into_word(self) -> u64 {
        match self {
            Self::Begin => 0,
            Self::Poll(berth) => berth as u64 + 1,
        }
    }
    unsafe fn from_word(word: u64) -> Option<Self> {
        let berth = || usize::try_from(word - 1).expect("made of one");
        Some(if word == 0 { Self::Begin } else { Self::Poll(berth()) })
    }
}

impl<T, U, A, F> Shape for Futures<T, U, A, F>
where
    T: Send,
    U: Send,
    A: Future<Output = Result<U, BoxedError>> + Send,
    F: Fn(T) -> A + Send + Sync,
{
    type Item = T;
    type Own = FutureJob;

    fn take(&self, cx: &Cx<'_>, edge: &Edge<T>, mut packet: Box<Packet<T>>) {
        if !cx.wants(&packet.ticket) {
            return drop_packet(cx, edge, packet);
        }
        let (ticket, items, failure) = (packet.ticket, mem::take(&mut packet.items), packet.failure.take());
        edge.give(packet);
        let (key, is_empty) = (ticket.key(), items.is_empty());
        let mut state = self.state.lock();
        state.pieces.insert(key, Piece::new(ticket, items, failure));
        if is_empty {
            drop(state);
            return self.send(cx, key);
        }
        state.waiting.insert(key);
        drop(state);
        self.begin(cx);
    }

    fn own(&self, cx: &Cx<'_>, _: &Edge<T>, job: FutureJob) {
        match job {
            FutureJob::Begin => self.begin(cx),
            FutureJob::Poll(berth) => {
                let boarded = self.return_to(cx, berth);
                self.work(cx, boarded);
            }
        }
    }

    fn end(&self, _: &Cx<'_>) -> Ended {
        Ended::Now
    }

    fn prepare(&mut self, capacity: Capacity) {
        self.unseen = capacity.unseen;
    }

    fn reset(&mut self) {
        debug_assert!(self.state.get_mut().pieces.is_empty(), "a run ends when all pieces have gone");
    }

    fn end_early(&self) {
        self.ring();
    }

    fn unwanted(&self) {
        self.ring();
    }

    fn is_full(&self) -> bool {
        !self.state.lock().waiting.is_empty()
    }

    fn waiting(&self) -> Option<String> {
        let state = self.state.lock();
        let items: usize = state.pieces.values().map(|piece| piece.came - piece.sent).sum();
        (items > 0).then(|| format!("{items} items wait for futures, {} of which are under way", state.berths.len()))
    }
}
