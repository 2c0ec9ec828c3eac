//! Lanes: what keyed operators do that take the items of each key one after the other, as `fold` does.
//!
//! Items of different keys have nothing to do with each other. So the keys are divided by their hashes among a fixed
//! number of lanes. Each lane takes its items in stream order; different lanes work at the same time. How many lanes
//! there are, and which key is in which lane, makes no difference to the result.
//!
//! # Way of a piece
//! * If no lane has anything to do when the turn of a piece comes, the worker drives the piece straight into the tables.
//!   It keeps the turn meanwhile, so no lane gets anything to do. So one worker alone, and a sink that keeps up with
//!   its stream, pay nothing for lanes.
//! * Otherwise the worker drives the piece into bundles, one for each lane that has items in it. A piece that comes early
//!   waits for its turn in that form.
//! * In its turn a piece is handed out: each bundle goes to the end of the queue of its lane, and a lane that had
//!   nothing to do becomes a job. That takes a microsecond, so the turn is soon free.
//! * From there on each bundle counts as a piece: it holds a share of the credit, and arrives at the end of the stage.
//!
//! # Failures
//! A closure that fails in one lane stops what comes behind that piece in all lanes. Other lanes may have later items of
//! the same piece behind them, or fail on an earlier one: the earliest item counts ([`Cx::fail_on`]). How many items came
//! before a piece is counted in its turn.

use std::any::Any;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind};

use foldhash::fast::SeedableRandomState;

use super::local_tables::fail;
use crate::engine::drive::Drive;
use crate::engine::edge::Edge;
use crate::engine::tail::{Tail, put};
use crate::graph::{Entries, PARTITIONS, Table, hasher, map_entries, partition, value_of};
use crate::run::cancel::{Cause, Fault, Index};
use crate::run::flow::cx::Cx;
use crate::run::flow::order::Ticket;
use crate::run::flow::packet::{Packet, RawPacket};
use crate::run::flow::stage::{Capacity, Ended, OwnJob, TailKind};
use crate::run::slot::Slot;
use crate::sync::sequencer::Sequencer;
use crate::sync::{CachePadded, Instant, Kind, Mutex, UnsafeCell, explores, user_call};
use crate::unwind::{self, Draining, Kept};

/// How many lanes there are. Each has some partitions of the table.
const LANES: usize = 16;
const _: () = assert!(PARTITIONS.is_multiple_of(LANES));

/// The lane of a hash.
#[inline]
fn lane(hash: u64) -> usize {
    partition(hash) % LANES
}

/// An item on its way to its lane.
struct Item<K, T> {
    hash: u64,
    /// Its place in the piece.
    index: u64,
    key: K,
    item: T,
}

/// The items of one lane in a piece.
type Bundle<K, T> = Box<Packet<Item<K, T>>>;
/// A piece in bundles: a place for each lane.
type Bundled<K, T> = Packet<Option<Bundle<K, T>>>;

/// A piece that is driven into bundles, and the number of items that were.
struct Filling<K, T> {
    bundles: Vec<Option<Bundle<K, T>>>,
    index: u64,
}

/// What the lanes have to do, and what they have done.
struct Queues<K, T> {
    /// For each lane the bundles that it has to take, each with the number of items in all pieces before.
    waiting: [VecDeque<(u64, Bundle<K, T>)>; LANES],
    /// The lanes that have anything to do, a bit for each. They have a job, queued or running.
    busy: u32,
    /// How many items the pieces had whose turn is over.
    passed: u64,
    /// How many items the closure was given, and how many were dropped.
    given: u64,
    dropped: u64,
}

/// The values of one partition by key. None only while the closure has a value, and when it has panicked.
type Partition<K, V> = CachePadded<UnsafeCell<Entries<K, Option<V>>>>;

/// The values by key, in partitions.
struct Values<K, V>(Box<[Partition<K, V>]>);

#[expect(unsafe_code, reason = "each partition has one worker at a time")]
// SAFETY: (1) a partition is touched only by the worker that has its lane, by the one that has the turn while no lane has
// anything to do, by the end of the stage after all pieces, and while nothing runs. Lanes and turns are handed on under
// the lock of the queues; (2) keys and values are `Send`.
unsafe impl<K: Send, V: Send> Sync for Values<K, V> {}

impl<K, V> Values<K, V> {
    /// Works on a partition.
    ///
    /// # Safety
    /// (1) The caller may touch the partition: (1) of `Sync`.
    #[inline]
    #[expect(unsafe_code, reason = "each partition has one worker at a time")]
    unsafe fn with<A>(&self, partition: usize, work: impl FnOnce(&mut Entries<K, Option<V>>) -> A) -> A {
        // SAFETY: (1).
        self.0[partition].with_mut(|entries| work(unsafe { &mut *entries }))
    }
}

/// The tail with the lanes; see the module documentation. `add` makes the value of a key of the one before, if there was
/// one, and of an item; `finish` makes its result.
pub(super) struct Lanes<K, T, V, R, F> {
    add: F,
    finish: fn(V) -> R,
    hasher: SeedableRandomState,
    values: Values<K, V>,
    turns: Sequencer<Box<Bundled<K, T>>>,
    queues: Mutex<Queues<K, T>>,
    /// Empty packets for pieces, and for the bundles of each lane.
    pieces: Edge<Option<Bundle<K, T>>>,
    bundles: [Edge<Item<K, T>>; LANES],
    result: Slot<Table<K, R>>,
}

impl<K: Hash + Eq, T, V, R, F: Fn(Option<V>, T) -> V> Lanes<K, T, V, R, F> {
    pub(super) fn new(add: F, finish: fn(V) -> R, result: Slot<Table<K, R>>) -> Self {
        let waiting = std::array::from_fn(|_| VecDeque::new());
        Self {
            add,
            finish,
            hasher: hasher(),
            values: Values((0..PARTITIONS).map(|_| CachePadded::new(UnsafeCell::new(Entries::new()))).collect()),
            turns: Sequencer::new(0),
            queues: Mutex::new(Queues { waiting, busy: 0, passed: 0, given: 0, dropped: 0 }),
            pieces: Edge::new(),
            bundles: std::array::from_fn(|_| Edge::new()),
            result,
        }
    }

    /// Takes an item into the value of its key.
    ///
    /// # Safety
    /// (1) The caller may touch the partition of this hash: (1) of the `Sync` of [`Values`].
    #[inline]
    #[expect(unsafe_code, reason = "each partition has one worker at a time")]
    unsafe fn take(&self, hash: u64, key: K, item: T) {
        let add = |entries: &mut Entries<K, Option<V>>| {
            let item = Kept::new(item); // the key's own code may panic
            let value = value_of(entries, hash, key, || None);
            *value = Some((self.add)(value.take(), item.into_inner()));
        };
        // SAFETY: (1).
        unsafe { self.values.with(partition(hash), add) }
    }

    /// The hash of a pair, and the pair. The key's own code may panic.
    #[inline]
    fn hashed(&self, pair: (K, T)) -> (u64, K, T) {
        let pair = Kept::new(pair);
        let hash = self.hasher.hash_one(&pair.0);
        let (key, item) = pair.into_inner();
        (hash, key, item)
    }

    /// Whether no lane has anything to do. For the worker that has the turn, it stays so until that gives them something.
    fn is_idle(&self) -> bool {
        self.queues.lock().busy == 0
    }

    /// Drives a piece whose turn it is straight into the tables, while no lane has anything to do.
    fn drive_in(&self, cx: &Cx<'_>, ticket: &Ticket, drive: impl Drive<(K, T)>) {
        let (given, failure) = drive.drive(0, |given, pair| {
            *given += 1;
            let (hash, key, item) = self.hashed(pair);
            #[expect(unsafe_code, reason = "each partition has one worker at a time")]
            // SAFETY: (1) this worker has the turn, and no lane has anything to do.
            unsafe {
                self.take(hash, key, item);
            }
        });
        let mut queues = self.queues.lock();
        queues.passed += given;
        queues.given += given;
        drop(queues);
        if let Some(failure) = failure {
            cx.fail(ticket, failure);
        }
        self.leave(cx, ticket);
        cx.retire(ticket);
    }

    /// Drives a piece into bundles.
    fn bundle(&self, ticket: Ticket, drive: impl Drive<(K, T)>) -> Box<Bundled<K, T>> {
        let mut piece = self.pieces.take();
        piece.items.resize_with(LANES, || None);
        let filling = Filling { bundles: std::mem::take(&mut piece.items), index: 0 };
        let (filling, failure) = drive.drive(filling, |filling, pair| {
            let (hash, key, item) = self.hashed(pair);
            let lane = lane(hash);
            let bundle = filling.bundles[lane].get_or_insert_with(|| self.bundles[lane].take());
            bundle.items.push(Item { hash, index: filling.index, key, item });
            filling.index += 1;
        });
        (piece.ticket, piece.items, piece.failure) = (ticket, filling.bundles, failure);
        piece
    }

    /// Hands a piece out to the lanes, in its turn, and ends the turn.
    fn hand_out(&self, cx: &Cx<'_>, mut piece: Box<Bundled<K, T>>) {
        let ticket = piece.ticket;
        if !cx.wants(&ticket) {
            let dropped = self.discard(piece);
            self.queues.lock().dropped += dropped;
            return self.leave_unwanted(cx, &ticket);
        }
        if let Some(failure) = piece.failure.take() {
            cx.fail(&ticket, failure); // what is in the bundles comes before it
        }
        let mut count = 0;
        for bundle in piece.items.iter_mut().flatten() {
            bundle.ticket = ticket;
            count += 1;
            if count > 1 {
                cx.share(ticket.origin);
            }
        }
        if count > 1 {
            cx.stage.countdown.expect_more(count - 1);
        }
        let mut queues = self.queues.lock();
        let (before, busy) = (queues.passed, queues.busy);
        for (lane, bundle) in piece.items.iter_mut().enumerate() {
            if let Some(bundle) = bundle.take() {
                queues.passed += bundle.items.len() as u64;
                queues.busy |= 1 << lane;
                queues.waiting[lane].push_back((before, bundle));
            }
        }
        let mut woken = queues.busy & !busy;
        drop(queues);
        while woken != 0 {
            cx.push_own(LaneJob::Take(woken.trailing_zeros()));
            woken &= woken - 1;
        }
        self.pieces.give(piece);
        self.leave(cx, &ticket);
        if count == 0 {
            cx.retire(&ticket);
        }
    }

    /// Takes the next bundle of a lane.
    fn take_bundle(&self, cx: &Cx<'_>, lane: u32) {
        let next = self.queues.lock().waiting[lane as usize].pop_front();
        let (before, mut bundle) = next.expect("a lane with a job has a bundle");
        let (ticket, came) = (bundle.ticket, bundle.items.len() as u64);
        let is_wanted = cx.wants(&ticket);
        if is_wanted {
            let call = cx.call(Kind::Lane, &ticket).in_lane(lane);
            user_call(call, || cx.says(&format!("lane {lane} of "), &ticket));
        }
        let given = if is_wanted { self.take_all(cx, before, &mut bundle) } else { 0 };
        self.bundles[lane as usize].give(bundle);
        let mut queues = self.queues.lock();
        queues.given += given;
        queues.dropped += came - given;
        let has_more = !queues.waiting[lane as usize].is_empty();
        if !has_more {
            queues.busy &= !(1 << lane);
        }
        drop(queues);
        if has_more {
            cx.push_own(LaneJob::Take(lane));
        }
        if is_wanted {
            cx.retire(&ticket);
        } else {
            cx.release(ticket.origin);
        }
    }

    /// Takes the items of a bundle into their values, up to one on which the closure fails. Returns how many it was given.
    fn take_all(&self, cx: &Cx<'_>, before: u64, bundle: &mut Packet<Item<K, T>>) -> u64 {
        let (ticket, start) = (bundle.ticket, Instant::now());
        let items = Draining::new(&mut bundle.items);
        let ((given, index), result) = unwind::keeping((0, 0), |(given, at)| {
            for Item { hash, index, key, item } in items {
                (*given, *at) = (*given + 1, index);
                #[expect(unsafe_code, reason = "each partition has one worker at a time")]
                // SAFETY: (1) this worker runs the one job of the lane.
                unsafe {
                    self.take(hash, key, item);
                }
            }
        });
        if let Err(panic) = result {
            let (op, cause) = (cx.stage.ops.len() - 1, Cause::Panic(panic));
            let fault = Fault { op, index: Index::Stream(before + index), cause };
            cx.fail_on(&ticket, index, cx.failure(&ticket, fault));
        }
        cx.record_time(&ticket, start.elapsed());
        given
    }

    /// Drops a piece in bundles, and returns the number of its items.
    fn discard(&self, mut piece: Box<Bundled<K, T>>) -> u64 {
        let bundles = piece.items.iter_mut().zip(&self.bundles);
        let dropped = bundles.filter_map(|(bundle, edge)| Some(edge.discard(bundle.take()?))).sum();
        self.pieces.give(piece);
        dropped
    }

    /// Ends a turn, and queues the next piece if it waits already.
    fn leave(&self, cx: &Cx<'_>, ticket: &Ticket) {
        if let Some(next) = self.turns.leave(ticket.last) {
            cx.push_own(LaneJob::HandOut(next.into_raw()));
        }
    }

    /// Ends the turn of a piece that was dropped.
    fn leave_unwanted(&self, cx: &Cx<'_>, ticket: &Ticket) {
        self.leave(cx, ticket);
        cx.release(ticket.origin);
    }

    /// Makes the table of the values, at the end.
    fn table(&self) -> Result<Table<K, R>, Box<dyn Any + Send>> {
        let finish = |value: Option<V>| (self.finish)(value.expect("the closure has given it back"));
        let table = AssertUnwindSafe(|| {
            let mut table = Kept::new(Table::with_hasher(self.hasher.clone())); // the items' own code may panic
            for partition in 0..PARTITIONS {
                #[expect(unsafe_code, reason = "each partition has one worker at a time")]
                // SAFETY: (1) this is the end of the stage.
                let entries = unsafe { self.values.with(partition, std::mem::take) };
                table.put_partition(partition, map_entries(entries, finish));
            }
            table.into_inner()
        });
        catch_unwind(table)
    }
}

impl<K, T, V, R, F> Tail<(K, T)> for Lanes<K, T, V, R, F>
where
    K: Hash + Eq + Send,
    T: Send,
    V: Send,
    R: Send,
    F: Fn(Option<V>, T) -> V + Send + Sync,
{
    const KIND: TailKind = TailKind::SerialByKey;
    type Own = LaneJob;

    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<(K, T)>) {
        // While lanes are at work, the piece is driven before it takes its turn, so that it does not hold others up.
        if self.is_idle() && self.turns.try_enter(ticket.turn()) {
            if !cx.wants(&ticket) {
                drive.skip();
                return self.leave_unwanted(cx, &ticket);
            }
            if self.is_idle() {
                return self.drive_in(cx, &ticket, drive);
            }
            return self.hand_out(cx, self.bundle(ticket, drive)); // the piece before has come in between
        }
        if let Some(piece) = self.turns.enter(ticket.turn(), self.bundle(ticket, drive)) {
            if explores() {
                return cx.push_own(LaneJob::HandOut(piece.into_raw())); // a turn is a job of its own
            }
            self.hand_out(cx, piece);
        }
    }

    fn own(&self, cx: &Cx<'_>, job: LaneJob) {
        match job {
            LaneJob::Take(lane) => self.take_bundle(cx, lane),
            LaneJob::HandOut(piece) => {
                #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
                // SAFETY: (1) the packet comes out of this sequencer.
                let piece: Box<Bundled<K, T>> = unsafe { piece.open() };
                self.turns.join(piece.ticket.turn());
                self.hand_out(cx, piece);
            }
        }
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        match self.table() {
            Ok(table) => {
                put(&self.result, Some(table));
                Ended::Now
            }
            Err(panic) => fail(cx, panic),
        }
    }

    fn prepare(&mut self, capacity: Capacity) {
        self.turns = Sequencer::new(capacity.pieces());
        self.queues.get_mut().waiting.iter_mut().for_each(|lane| lane.reserve(capacity.pieces()));
    }

    fn reset(&mut self) {
        self.turns.reset().for_each(drop);
        let queues = self.queues.get_mut();
        debug_assert_eq!(queues.busy, 0, "the jobs of the last run are over");
        (queues.passed, queues.given, queues.dropped) = (0, 0, 0);
    }

    fn clear(&mut self) -> u64 {
        let left: Vec<_> = self.turns.reset().collect();
        let dropped: u64 = left.into_iter().map(|piece| self.discard(piece)).sum();
        self.queues.get_mut().dropped += dropped;
        self.values.0.iter_mut().for_each(|entries| unwind::drop_value(std::mem::take(entries.get_mut())));
        0 // the items had gone through all operators but the last, and are counted there, as its `dropped`
    }

    fn waiting(&self) -> Option<String> {
        let (pieces, next) = self.turns.waiting();
        (pieces > 0).then(|| format!("{pieces} batches wait for batch {} to come first", next.number))
    }

    fn serial_counts(&self) -> Option<[u64; 3]> {
        let queues = self.queues.lock();
        Some([queues.given, 0, queues.dropped])
    }
}

/// What the tail queues for itself.
pub(super) enum LaneJob {
    /// The lane with this number has a bundle to take.
    Take(u32),
    /// The turn of a piece in bundles has come.
    HandOut(RawPacket),
}

#[expect(unsafe_code, reason = "jobs carry words")]
impl OwnJob for LaneJob {
    fn into_word(self) -> u64 {
        match self {
            Self::Take(lane) => lane.into(),
            Self::HandOut(piece) => piece.into_word(),
        }
    }
    unsafe fn from_word(word: u64) -> Option<Self> {
        match u32::try_from(word) {
            Ok(lane) if (lane as usize) < LANES => Some(Self::Take(lane)), // no packet lies at so low an address
            // SAFETY: (1), (2).
            _ => Some(Self::HandOut(unsafe { RawPacket::from_word(word) })),
        }
    }
}
