//! Reductions: a part for every block of a stream, put together as a fixed tree.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::fused::{Broken, BrokenBy, Drive, DriveAll, ParallelTail, Tail, put};
use crate::knockout::Node;
use crate::run::cancel::{Carried, Cause, Fault, Index};
use crate::run::flow::cx::Cx;
use crate::run::flow::order::{MAX_PARTS, Ticket};
use crate::run::flow::stage::{Capacity, Ended, TailKind};
use crate::run::slot::Slot;
use crate::sync::Mutex;
use crate::unwind;

/// Parts that wait for their neighbours without an allocation: few do, whatever the number of batches.
const ROOM: usize = 64;
/// Likewise in a row: one for each level of the tree over what is gone through in one go.
const ROW: usize = 16;

/// What a reduction does with the items of a block, and with two blocks.
pub(crate) trait Reduction<T>: Send + Sync {
    /// The part of a block.
    type Part: Send;
    type Result: Send;
    /// The part of no items.
    fn start(&self) -> Self::Part;
    fn next(&self, part: Self::Part, item: T) -> Self::Part;
    /// Puts two adjacent parts together.
    fn combine(&self, left: Self::Part, right: Self::Part) -> Self::Part;
    fn finish(&self, whole: Option<Self::Part>) -> Self::Result;
}

/// A reduction: a part per block, put together as a fixed tree over block numbers ([`crate::knockout`]).
///
/// What is left over at the end is put together from the right. Which blocks there are, and so the tree, depends on the stream
/// alone: the answer is the same to the last bit on any number of workers.
///
/// Whoever goes through adjacent blocks puts together what it has both sides of, in memory of its own (a *row*); what is left
/// of that in the end, and pieces that come one by one, go to a table that all share: who comes second finds the other side
/// there, and goes on upwards.
pub(crate) struct Reduce<T, R: Reduction<T>> {
    reduction: R,
    parts: Mutex<Parts<R::Part>>,
    result: Arc<Slot<R::Result>>,
}

/// The parts of a block in several pieces so far, by piece, and how many pieces there are if that is known.
type Pieces<P> = (BTreeMap<u32, Option<P>>, Option<usize>);

/// Parts that wait for their neighbour.
struct Parts<P> {
    tree: HashMap<Node, Option<P>, RandomState>,
    /// Blocks in several pieces.
    split: BTreeMap<u64, Pieces<P>>,
    /// Empty rows: so that a run allocates nothing.
    rows: Vec<Vec<P>>,
    /// Empty between runs: room for what is left over at the end.
    left_over: Vec<(Node, Option<P>)>,
}

impl<T, R: Reduction<T>> Reduce<T, R> {
    pub(crate) fn new(reduction: R, result: Arc<Slot<R::Result>>) -> Self {
        let (tree, split) = (HashMap::default(), BTreeMap::new());
        let parts = Parts { tree, split, rows: Vec::new(), left_over: Vec::new() };
        Self { reduction, parts: Mutex::new(parts), result }
    }

    fn combine(&self, left: Option<R::Part>, right: Option<R::Part>) -> Option<R::Part> {
        match (left, right) {
            (Some(left), Some(right)) => Some(self.reduction.combine(left, right)),
            (left, right) => left.or(right),
        }
    }

    /// Takes a part up the tree as far as its neighbours are in the table; `made` as above. User code runs without the lock.
    fn climb(&self, mut node: Node, mut part: Option<R::Part>, made: &Cell<Node>) {
        loop {
            made.set(node);
            let mut parts = self.parts.lock();
            let Some(other) = parts.tree.remove(&node.neighbour()) else {
                parts.tree.insert(node, part);
                return;
            };
            drop(parts);
            made.set(node.parent());
            part = if node.is_right() { self.combine(other, part) } else { self.combine(part, other) };
            node = node.parent();
        }
    }

    /// The same; if that panics the failure counts at the end of the node that was put together: where in the tree, not who
    /// came last, says so.
    fn climb_or_fail(&self, cx: &Cx<'_>, node: Node, part: Option<R::Part>) {
        let made = Cell::new(node);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.climb(node, part, &made))) {
            fail_at_combine(cx, made.get(), panic);
        }
    }

    /// The part of the whole block, once its last piece is there. The outer none: not yet.
    fn whole_block(&self, ticket: &Ticket, part: Option<R::Part>) -> Option<Option<R::Part>> {
        if ticket.is_whole() {
            return Some(part);
        }
        let mut parts = self.parts.lock();
        let (pieces, count) = parts.split.entry(ticket.number).or_default();
        pieces.insert(ticket.part, part);
        if ticket.last {
            *count = Some(ticket.part as usize + 1);
        }
        if *count != Some(pieces.len()) {
            return None;
        }
        let (pieces, _) = parts.split.remove(&ticket.number).expect("just seen");
        drop(parts);
        let pieces = unwind::Draining::of(pieces.into_values());
        Some(pieces.fold(None, |left, right| self.combine(left, right)))
    }

    /// The part of the whole stream: what is left over is put together from the right.
    fn whole(&self) -> Option<R::Part> {
        let mut parts = self.parts.lock();
        let mut left_over = std::mem::take(&mut parts.left_over);
        left_over.extend(parts.tree.drain());
        drop(parts);
        left_over.sort_unstable_by_key(|(node, _)| std::cmp::Reverse(node.first()));
        let parts = unwind::Draining::new(&mut left_over);
        let whole = parts.fold(None, |right, (_, left)| self.combine(left, right));
        self.parts.lock().left_over = left_over;
        whole
    }
}

/// The parts of adjacent blocks, put together as far as both sides are there: of left nodes that wait for their right
/// neighbour, the lowest and rightmost last.
struct Row<P> {
    parts: Vec<P>,
    /// The first block.
    first: u64,
    /// Behind the last block.
    end: u64,
    /// The level of the node that was put together last.
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

    /// Something has failed in the last block, or before the next one was added: what is left lies before the node that this
    /// gives, and which was under way.
    fn break_off(&mut self, number: u64) -> Node {
        let level = if number < self.end { self.level } else { 0 };
        let node = Node { level, index: number >> level };
        self.end = node.first();
        node
    }

    /// Takes all parts out, from the right, with their nodes.
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
                Ok(Some(part)) => self.climb_or_fail(cx, Node::of_block(ticket.number), part),
                Err(panic) => fail_at_combine(cx, Node::of_block(ticket.number), panic),
            }
        }
        cx.retire(&ticket);
    }

    fn own(&self, _: &Cx<'_>, job: Infallible) {
        match job {}
    }

    fn prepare(&mut self, capacity: Capacity) {
        let parts = self.parts.get_mut();
        parts.tree.reserve(ROOM);
        parts.rows.extend((0..capacity.seats).map(|_| Vec::with_capacity(ROW)));
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
        let parts = self.parts.get_mut();
        parts.tree.drain().for_each(unwind::drop_value);
        std::mem::take(&mut parts.split).into_values().for_each(|(pieces, _)| unwind::drop_value(pieces));
        0 // they were all worked on
    }
}

impl<T, R: Reduction<T>> ParallelTail<T> for Reduce<T, R> {
    fn run_all(&self, cx: &Cx<'_>, drive: impl DriveAll<T>) {
        let parts = self.parts.lock().rows.pop().unwrap_or_else(|| Vec::with_capacity(ROW));
        let first = drive.first();
        let mut row = Row { parts, first, end: first, level: 0 };
        let each = |part: &mut Option<R::Part>, item| unwind::renew(part, |part| self.reduction.next(part, item));
        let end = |_, part: Option<R::Part>| {
            row.add(part.expect("nothing has failed"), |left, right| self.reduction.combine(left, right));
        };
        let broken = drive.drive_all(|| Some(self.reduction.start()), each, end);
        let count = row.end - first;
        if let Some(Broken { number, cause }) = broken {
            let node = row.break_off(number);
            match cause {
                BrokenBy::Operator(failure) => cx.fail(&Ticket::at(number, 0), failure),
                BrokenBy::Tail(panic) => fail_at_combine(cx, node, panic),
            }
        }
        // What lies before a failure may fail too, and then that is the one that counts.
        row.drain().for_each(|(node, part)| self.climb_or_fail(cx, node, Some(part)));
        self.parts.lock().rows.push(row.parts);
        cx.arrive_all(count);
    }
}

/// A fault of the closure that puts parts together: it belongs to no item.
fn at_combine(cx: &Cx<'_>, ticket: &Ticket, panic: Box<dyn Any + Send>) -> Carried {
    let fault = Fault { op: cx.stage.ops.len() - 1, index: Index::None, cause: Cause::Panic(panic) };
    cx.failure(ticket, fault)
}

/// A panic of that closure counts, at the end of the node that it was called for.
fn fail_at_combine(cx: &Cx<'_>, node: Node, panic: Box<dyn Any + Send>) {
    let ticket = Ticket::at(node.last(), MAX_PARTS);
    cx.fail(&ticket, at_combine(cx, &ticket, panic));
}
