//! Reductions: one part for every block of a stream, combined as a fixed tree.
//!
//! A block is a batch of the source, or the batches of a leaf ([`crate::run::flow::leaves`]) if parts may be dear. `sum`,
//! `reduce`, `aggregate` and their like each implement [`Reduction`]; [`Reduce`] is the tail that does the rest.
//! [`super::fused`] calls it, from many workers at once.

use std::any::Any;
use std::array;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::drive::{Broken, BrokenBy, Drive, DriveAll};
use super::tail::{ParallelTail, Tail, put};
use crate::knockout::Node;
use crate::run::cancel::{Carried, Cause, Fault, Index};
use crate::run::flow::cx::Cx;
use crate::run::flow::leaves::Cut;
use crate::run::flow::order::{MAX_PARTS, Ticket};
use crate::run::flow::stage::{Capacity, Ended, TailKind};
use crate::run::slot::Slot;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{CachePadded, Mutex};
use crate::unwind;

/// The table is cut into so many shards. A pair of neighbours meets in one of them.
const SHARDS: usize = 16;
const _: () = assert!(SHARDS <= u32::BITS as usize, "a bit for each");
/// How many parts can wait in a shard before it allocates. Few wait, however many batches there are.
const ROOM: usize = 8;
/// How many parts a row can hold before it allocates: one for each level of the tree over the blocks of one job.
const ROW: usize = 16;

/// What a reduction does with the items of a block, and with the parts of two blocks.
pub(crate) trait Reduction<T>: Send + Sync {
    /// The part of a block.
    type Part: Send;
    type Result: Send;
    /// Whether a part may be dear to make and to combine.
    const IS_DEAR: bool = false;
    /// The part of a block before its first item.
    fn start(&self) -> Self::Part;
    /// Adds the next item of the block to its part.
    fn next(&self, part: Self::Part, item: T) -> Self::Part;
    /// Combines the parts of two adjacent ranges of blocks; the items of `left` come first.
    fn combine(&self, left: Self::Part, right: Self::Part) -> Self::Part;
    /// Makes the result of the part of the whole stream. None: there was no block.
    fn finish(&self, whole: Option<Self::Part>) -> Self::Result;
}

/// The tail of a reduction: makes a part of each block, and combines the parts as a fixed tree over block numbers
/// ([`crate::knockout`]).
///
/// The parts that are left over at the end of the stream are combined from the right. The stream alone decides which
/// blocks there are, and so the shape of the tree. Therefore the answer is the same to the last bit on any number of
/// workers.
///
/// A worker that goes through adjacent blocks combines all neighbours of which it has both sides, in memory of its own
/// (a *row*). The parts that it has left at the end of its job go to a table that all workers share, and so do the
/// parts of pieces that come one by one. Of two neighbours, the worker that comes second finds the other part in the
/// table, combines the two, and goes on with the node above. The table is cut into shards with a lock each, so that
/// workers seldom wait for each other. Both sides of a pair go to the same shard.
pub(crate) struct Reduce<T, R: Reduction<T>> {
    reduction: R,
    shards: [CachePadded<Mutex<Shard<R::Part>>>; SHARDS],
    /// The shards in which parts may wait, as bits: at the end only these are looked at.
    used: AtomicU32,
    /// Blocks in several pieces that are not complete yet, by number.
    split: Mutex<BTreeMap<u64, Pieces<R::Part>>>,
    /// The parts of blocks in whose middle a worker has stopped, by the number of the batch that comes next.
    open: Mutex<BTreeMap<u64, R::Part>>,
    /// Room for the parts that are left over at the end; empty otherwise.
    left_over: Mutex<Vec<(Node, Option<R::Part>)>>,
    result: Slot<R::Result>,
}

/// The parts of a block in several pieces, by piece, and the number of pieces once the last one has come.
type Pieces<P> = (BTreeMap<u32, Option<P>>, Option<usize>);

/// A shard of what all workers share.
struct Shard<P> {
    /// Parts that wait for their neighbour, by node.
    tree: HashMap<Node, Option<P>, RandomState>,
    /// Empty rows, kept so that a run allocates nothing. A seat takes its row from the shard of its number.
    rows: Vec<Vec<P>>,
}

impl<T, R: Reduction<T>> Reduce<T, R> {
    pub(crate) fn new(reduction: R, result: Slot<R::Result>) -> Self {
        let shard = |_| CachePadded::new(Mutex::new(Shard { tree: HashMap::default(), rows: Vec::new() }));
        Self {
            reduction,
            shards: array::from_fn(shard),
            used: AtomicU32::new(0),
            split: Mutex::new(BTreeMap::new()),
            open: Mutex::new(BTreeMap::new()),
            left_over: Mutex::new(Vec::new()),
            result,
        }
    }

    /// The number of the shard where a node meets its neighbour.
    fn shard_of(node: Node) -> usize {
        let pair = node.parent();
        // Pairs that are side by side, or one above the other, go to different shards.
        let place = (pair.index ^ (pair.index >> 4)).wrapping_add(u64::from(pair.level) * 5);
        usize::try_from(place % SHARDS as u64).expect("below their number")
    }

    /// Where the worker's row is kept.
    fn shard_at(&self, cx: &Cx<'_>) -> &Mutex<Shard<R::Part>> {
        &self.shards[cx.worker.seat.index % SHARDS]
    }

    fn combine(&self, left: Option<R::Part>, right: Option<R::Part>) -> Option<R::Part> {
        match (left, right) {
            (Some(left), Some(right)) => Some(self.reduction.combine(left, right)),
            (left, right) => left.or(right),
        }
    }

    /// Combines a part with its neighbour for as long as the neighbour is in the table, and then leaves it there.
    /// `made` always holds the node that is being made, so that a panic can be put down to it. User code runs without
    /// the lock.
    fn climb(&self, mut node: Node, mut part: Option<R::Part>, made: &Cell<Node>) {
        loop {
            made.set(node);
            let number = Self::shard_of(node);
            let mut shard = self.shards[number].lock();
            let Some(other) = shard.tree.remove(&node.neighbour()) else {
                shard.tree.insert(node, part);
                // Relaxed: the thread that looks knows that all others have arrived.
                if self.used.load(Ordering::Relaxed) & (1 << number) == 0 {
                    self.used.fetch_or(1 << number, Ordering::Relaxed);
                }
                return;
            };
            drop(shard);
            made.set(node.parent());
            part = if node.is_right() { self.combine(other, part) } else { self.combine(part, other) };
            node = node.parent();
        }
    }

    /// As [`climb`](Self::climb). If user code panics, the failure counts at the end of the node that was being made.
    /// That place is the same in every run, whichever worker came second.
    fn climb_or_fail(&self, cx: &Cx<'_>, node: Node, cut: Cut, part: Option<R::Part>) {
        let made = Cell::new(node);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.climb(node, part, &made))) {
            fail_at_combine(cx, made.get(), cut, panic);
        }
    }

    /// Adds the part of a piece to its block, and returns the part of the whole block once all pieces are there. The
    /// outer `None` means that some pieces are missing.
    fn whole_block(&self, ticket: &Ticket, part: Option<R::Part>) -> Option<Option<R::Part>> {
        if ticket.is_whole() {
            return Some(part);
        }
        let mut split = self.split.lock();
        let (pieces, count) = split.entry(ticket.number).or_default();
        pieces.insert(ticket.part, part);
        if ticket.last {
            *count = Some(ticket.part as usize + 1);
        }
        if *count != Some(pieces.len()) {
            return None;
        }
        let (pieces, _) = split.remove(&ticket.number).expect("just seen");
        drop(split);
        let pieces = unwind::Draining::of(pieces.into_values());
        Some(pieces.fold(None, |left, right| self.combine(left, right)))
    }

    /// The part of the whole stream: combines the parts that are left over, from the right.
    fn whole(&self) -> Option<R::Part> {
        let mut left_over = std::mem::take(&mut *self.left_over.lock());
        let used = self.used.load(Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        for shard in bits(used) {
            left_over.extend(self.shards[shard].lock().tree.drain());
        }
        left_over.sort_unstable_by_key(|(node, _)| std::cmp::Reverse(node.first()));
        let parts = unwind::Draining::new(&mut left_over);
        let whole = parts.fold(None, |right, (_, left)| self.combine(left, right));
        *self.left_over.lock() = left_over;
        whole
    }
}

/// The parts of adjacent blocks that one worker goes through in a row. Neighbours of which both sides are in the row
/// are combined already. What is left are the parts of nodes without a neighbour here, from left to right.
struct Row<P> {
    parts: Vec<P>,
    /// The number of the first block.
    first: u64,
    /// The number behind the last block.
    end: u64,
    /// The level of the node that was made last.
    level: u32,
}

impl<P> Row<P> {
    /// Adds the part of the next block.
    #[inline]
    fn add(&mut self, mut part: P, combine: impl Fn(P, P) -> P) {
        let number = self.end;
        (self.end, self.level) = (number + 1, 0);
        let mut node = Node::of_block(number);
        while node.is_right() && node.neighbour().first() >= self.first {
            let Some(left) = self.parts.pop() else { break };
            node = node.parent();
            self.level = node.level;
            part = combine(left, part);
        }
        self.parts.push(part);
    }

    /// Cuts the row off where something has failed, and returns the node that was being made. `block` is the one that
    /// was under way: the last one in the row, or the next one. The parts that stay lie before that node.
    fn break_off(&mut self, block: u64) -> Node {
        let level = if block < self.end { self.level } else { 0 };
        let node = Node { level, index: block >> level };
        self.end = node.first();
        node
    }

    /// Takes out all parts with their nodes, from right to left.
    fn drain(&mut self) -> impl Iterator<Item = (Node, P)> {
        let (first, mut end) = (self.first, self.end);
        self.parts.drain(..).rev().map(move |part| {
            let mut node = Node::of_block(end - 1);
            while node.is_right() && node.neighbour().first() >= first {
                node = node.parent();
            }
            end = node.first();
            (node, part)
        })
    }
}

impl<T, R: Reduction<T>> Tail<T> for Reduce<T, R> {
    const KIND: TailKind = TailKind::Parallel;
    type Own = Infallible;

    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        let (part, failure) = match catch_unwind(AssertUnwindSafe(|| self.reduction.start())) {
            Err(panic) => {
                drive.skip();
                (None, Some(at_combine(cx, &ticket, panic)))
            }
            Ok(part) => drive.drive(Some(part), |part, item| {
                unwind::renew(part, |part| self.reduction.next(part, item));
            }),
        };
        if let Some(failure) = failure {
            unwind::drop_value(part);
            cx.fail(&ticket, failure);
        } else {
            match catch_unwind(AssertUnwindSafe(|| self.whole_block(&ticket, part))) {
                Ok(None) => {}
                Ok(Some(part)) => self.climb_or_fail(cx, Node::of_block(ticket.number), Cut::SINGLE, part),
                Err(panic) => fail_at_combine(cx, Node::of_block(ticket.number), Cut::SINGLE, panic),
            }
        }
        cx.retire(&ticket);
    }

    fn own(&self, _: &Cx<'_>, job: Infallible) {
        match job {}
    }

    fn prepare(&mut self, capacity: Capacity) {
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let shard = shard.get_mut();
            shard.tree.reserve(ROOM);
            shard.rows.extend((index..capacity.seats).step_by(SHARDS).map(|_| Vec::with_capacity(ROW)));
        }
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        match catch_unwind(AssertUnwindSafe(|| self.reduction.finish(self.whole()))) {
            Ok(result) => {
                put(&self.result, Some(result));
                Ended::Now
            }
            Err(panic) => {
                let ticket = Ticket::behind_all();
                cx.fail(&ticket, at_combine(cx, &ticket, panic));
                Ended::Later
            }
        }
    }

    fn clear(&mut self) -> u64 {
        for shard in bits(self.used.load(Ordering::Relaxed)) {
            self.shards[shard].get_mut().tree.drain().for_each(unwind::drop_value);
        }
        self.used.store(0, Ordering::Relaxed);
        std::mem::take(self.split.get_mut()).into_values().for_each(|(pieces, _)| unwind::drop_value(pieces));
        std::mem::take(self.open.get_mut()).into_values().for_each(unwind::drop_value);
        0 // all items were worked on
    }
}

impl<T, R: Reduction<T>> ParallelTail<T> for Reduce<T, R> {
    const FEW_LEAVES: bool = R::IS_DEAR;

    fn run_all(&self, cx: &Cx<'_>, drive: impl DriveAll<T>) {
        let parts = self.shard_at(cx).lock().rows.pop().unwrap_or_else(|| Vec::with_capacity(ROW));
        let (number, cut) = (drive.first(), if R::IS_DEAR { drive.cut() } else { Cut::SINGLE });
        let first = cut.leaf(number);
        let mut row = Row { parts, first, end: first, level: 0 };
        // The part of a block between two of its batches; and the number of the batch that comes next.
        let (open, next) = (Cell::new(None), Cell::new(number));
        if number != cut.first(first) {
            open.set(self.open.lock().remove(&number));
        }
        let each = |part: &mut Option<R::Part>, item| unwind::renew(part, |part| self.reduction.next(part, item));
        let start = || open.take().or_else(|| Some(self.reduction.start()));
        let end = |number, is_last: bool, part: Option<R::Part>| {
            next.set(number + 1);
            if R::IS_DEAR && !is_last {
                return open.set(part);
            }
            row.add(part.expect("nothing has failed"), |left, right| self.reduction.combine(left, right));
        };
        let broken = drive.drive_all(start, each, end);
        let next = next.get();
        if let Some(Broken { number, cause }) = broken {
            let node = row.break_off(cut.leaf(number));
            match cause {
                BrokenBy::Operator(failure) => cx.fail(&Ticket::at(number, 0), failure),
                BrokenBy::Tail(panic) => fail_at_combine(cx, node, cut, panic),
            }
        } else if let Some(part) = open.take() {
            self.open.lock().insert(next, part); // before the job that goes on here is queued
        }
        // Combining the parts before a failure may fail too. That failure lies earlier, so it is the one that counts.
        row.drain().for_each(|(node, part)| self.climb_or_fail(cx, node, cut, Some(part)));
        self.shard_at(cx).lock().rows.push(row.parts);
        cx.arrive_all(next - number);
    }
}

/// The numbers of the bits that are set.
fn bits(mut set: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros())?;
        set &= set - 1;
        Some(bit as usize)
    })
}

/// The failure of the closure that combines parts. It belongs to no item.
fn at_combine(cx: &Cx<'_>, ticket: &Ticket, panic: Box<dyn Any + Send>) -> Carried {
    let fault = Fault { op: cx.stage.ops.len() - 1, index: Index::None, cause: Cause::Panic(panic) };
    cx.failure(ticket, fault)
}

/// Lets a panic of that closure count, at the end of the node that it was called for. If the last block of the node has
/// several batches, these are done, or none of them was begun: so it counts right behind the first one.
fn fail_at_combine(cx: &Cx<'_>, node: Node, cut: Cut, panic: Box<dyn Any + Send>) {
    let ticket = Ticket::at(cut.first(node.last()), MAX_PARTS);
    cx.fail(&ticket, at_combine(cx, &ticket, panic));
}
