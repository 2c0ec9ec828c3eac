//! Parallel sinks: a closure per item, and reductions.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::iter::Sum;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::fused::{Broken, BrokenBy, Drive, DriveAll, Tail};
use super::pipe::Pipe;
use super::serial::put;
use super::stream::{At, Stream};
use crate::knockout::Node;
use crate::plan::Data;
use crate::plan::draft::TailKind;
use crate::run::cancel::{Carried, Cause, Fault, Index};
use crate::run::order::{MAX_PARTS, Origin, Ticket};
use crate::run::slot::Slot;
use crate::run::stage::{Capacity, Cx, Ended};
use crate::sync::Mutex;
use crate::unwind;

/// Of [`Stream::for_each`](crate::Stream::for_each).
pub(crate) struct ForEach<F> {
    pub(crate) f: F,
    pub(crate) result: Arc<Slot<()>>,
}

impl<T, F: Fn(T) + Send + Sync> Tail<T> for ForEach<F> {
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        let ((), failure) = drive.drive((), |(), item| (self.f)(item));
        if let Some(failure) = failure {
            cx.fail(&ticket, failure);
        }
        cx.retire(&ticket);
    }
    fn run_all(&self, cx: &Cx<'_>, drive: impl DriveAll<T>) {
        settle(cx, drive_each(drive, &self.f));
    }
    fn end(&self, _: &Cx<'_>) -> Ended {
        put(&self.result, Some(()));
        Ended::Now
    }
}

/// Gives the items of adjacent batches to `each`: how many batches there were, and what came in the way.
pub(super) fn drive_each<T>(drive: impl DriveAll<T>, mut each: impl FnMut(T)) -> (u64, Option<Broken>) {
    let mut count = 0;
    let broken = drive.drive_all(|| count += 1, |(), item| each(item), |_, ()| ());
    (count, broken)
}

/// Adjacent batches have ended here.
pub(super) fn settle(cx: &Cx<'_>, (count, broken): (u64, Option<Broken>)) {
    if let Some(Broken { number, cause: BrokenBy::Operator(failure) }) = broken {
        cx.fail(&ticket_of(number, 0), failure);
    }
    cx.arrive_all(count);
}

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
                BrokenBy::Operator(failure) => cx.fail(&ticket_of(number, 0), failure),
                BrokenBy::Tail(panic) => fail_at_combine(cx, node, panic),
            }
        }
        // What lies before a failure may fail too, and then that is the one that counts.
        row.drain().for_each(|(node, part)| self.climb_or_fail(cx, node, Some(part)));
        self.parts.lock().rows.push(row.parts);
        cx.arrive_all(count);
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

/// A fault of the closure that puts parts together: it belongs to no item.
fn at_combine(cx: &Cx<'_>, ticket: &Ticket, panic: Box<dyn std::any::Any + Send>) -> Carried {
    let fault = Fault { op: cx.stage.ops.len() - 1, index: Index::None, cause: Cause::Panic(panic) };
    cx.failure(ticket, fault)
}

/// A panic of that closure counts, at the end of the node that it was called for.
fn fail_at_combine(cx: &Cx<'_>, node: Node, panic: Box<dyn std::any::Any + Send>) {
    let ticket = ticket_of(node.last(), MAX_PARTS);
    cx.fail(&ticket, at_combine(cx, &ticket, panic));
}

fn ticket_of(number: u64, part: u32) -> Ticket {
    Ticket { part, ..Ticket::whole(number, Origin::NONE) }
}

/// Of [`Stream::reduce`](crate::Stream::reduce).
pub(crate) struct ByClosure<F>(pub(crate) F);

impl<T: Send, F: Fn(T, T) -> T + Send + Sync> Reduction<T> for ByClosure<F> {
    type Part = Option<T>;
    type Result = Option<T>;
    #[inline]
    fn start(&self) -> Option<T> {
        None
    }
    #[inline]
    fn next(&self, part: Option<T>, item: T) -> Option<T> {
        Some(match part {
            Some(part) => (self.0)(part, item),
            None => item,
        })
    }
    fn combine(&self, left: Option<T>, right: Option<T>) -> Option<T> {
        match (left, right) {
            (Some(left), Some(right)) => Some((self.0)(left, right)),
            (left, right) => left.or(right),
        }
    }
    fn finish(&self, whole: Option<Option<T>>) -> Option<T> {
        whole.flatten()
    }
}

/// Of [`Stream::aggregate`](crate::Stream::aggregate).
pub(crate) struct Aggregate<A, F, C> {
    pub(crate) init: A,
    pub(crate) fold: F,
    pub(crate) combine: C,
}

impl<T, A, F, C> Reduction<T> for Aggregate<A, F, C>
where
    A: Clone + Send + Sync,
    F: Fn(A, T) -> A + Send + Sync,
    C: Fn(A, A) -> A + Send + Sync,
{
    type Part = A;
    type Result = A;
    #[inline]
    fn start(&self) -> A {
        self.init.clone()
    }
    #[inline]
    fn next(&self, part: A, item: T) -> A {
        (self.fold)(part, item)
    }
    fn combine(&self, left: A, right: A) -> A {
        (self.combine)(left, right)
    }
    fn finish(&self, whole: Option<A>) -> A {
        whole.unwrap_or_else(|| self.init.clone())
    }
}

/// Of [`Stream::count`](crate::Stream::count).
pub(crate) struct Counting;

impl<T> Reduction<T> for Counting {
    type Part = u64;
    type Result = u64;
    #[inline]
    fn start(&self) -> u64 {
        0
    }
    #[inline]
    fn next(&self, part: u64, _: T) -> u64 {
        part + 1
    }
    fn combine(&self, left: u64, right: u64) -> u64 {
        left + right
    }
    fn finish(&self, whole: Option<u64>) -> u64 {
        whole.unwrap_or(0)
    }
}

/// Of [`Stream::sum`](crate::Stream::sum).
pub(crate) struct Summing<S>(pub(crate) PhantomData<fn() -> S>);

impl<T, S: Sum<T> + Sum<S> + Send> Reduction<T> for Summing<S> {
    type Part = S;
    type Result = S;
    #[inline]
    fn start(&self) -> S {
        std::iter::empty::<S>().sum()
    }
    #[inline]
    fn next(&self, part: S, item: T) -> S {
        [part, std::iter::once(item).sum()].into_iter().sum()
    }
    fn combine(&self, left: S, right: S) -> S {
        [left, right].into_iter().sum()
    }
    fn finish(&self, whole: Option<S>) -> S {
        whole.unwrap_or_else(|| std::iter::empty::<S>().sum())
    }
}

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives every item to `f`, on all workers at once, in no particular order.
    #[track_caller]
    pub fn for_each<F>(self, f: F) -> Data<()>
    where
        F: Fn(T) + Send + Sync + 'env,
    {
        self.sink("for_each", Location::caller(), TailKind::Parallel, None, |result| ForEach { f, result })
    }

    /// Puts all items together with `f`; none if there are none. On all workers at once.
    ///
    /// The items of a batch one after the other, then the batches as a fixed tree: the answer is the same to the last bit
    /// on any number of workers, also where `f` is not associative, as for floats. It may differ in the last bits from a
    /// fold from left to right.
    #[must_use]
    #[track_caller]
    pub fn reduce<F>(self, f: F) -> Data<Option<T>>
    where
        T: Send,
        F: Fn(T, T) -> T + Send + Sync + 'env,
    {
        self.reduction("reduce", Location::caller(), ByClosure(f))
    }

    /// Folds the items of every batch, beginning with `init`, and combines the values as a fixed tree. On all workers at
    /// once.
    ///
    /// `init` must make no difference to `combine`: how often it is used is not specified.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let longest = g
    ///     .source(["to", "be", "or", "not"])
    ///     .aggregate(0, |longest, word| longest.max(word.len()), usize::max);
    /// assert_eq!(pool.run(g)?.take(longest), 3);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn aggregate<A, F, C>(self, init: A, fold: F, combine: C) -> Data<A>
    where
        A: Clone + Send + Sync + 'env,
        F: Fn(A, T) -> A + Send + Sync + 'env,
        C: Fn(A, A) -> A + Send + Sync + 'env,
    {
        self.reduction("aggregate", Location::caller(), Aggregate { init, fold, combine })
    }

    /// Counts the items, on all workers at once.
    #[must_use]
    #[track_caller]
    pub fn count(self) -> Data<u64> {
        self.reduction("count", Location::caller(), Counting)
    }

    /// Sums the items as [`Iterator::sum`] does, batch by batch, on all workers at once; floats as in
    /// [`reduce`](Self::reduce).
    #[must_use]
    #[track_caller]
    pub fn sum<S>(self) -> Data<S>
    where
        S: Sum<T> + Sum<S> + Send + 'env,
    {
        self.reduction("sum", Location::caller(), Summing(PhantomData))
    }

    /// The least item, the first of several; on all workers at once.
    #[must_use]
    #[track_caller]
    pub fn min(self) -> Data<Option<T>>
    where
        T: Ord + Send,
    {
        self.reduction("min", Location::caller(), ByClosure(std::cmp::min))
    }

    /// The greatest item, the last of several; on all workers at once.
    #[must_use]
    #[track_caller]
    pub fn max(self) -> Data<Option<T>>
    where
        T: Ord + Send,
    {
        self.reduction("max", Location::caller(), ByClosure(std::cmp::max))
    }

    #[track_caller]
    fn reduction<R>(self, method: &'static str, at: At, reduction: R) -> Data<R::Result>
    where
        R: Reduction<T, Part: 'env, Result: 'env> + 'env,
    {
        self.sink(method, at, TailKind::Parallel, Some("one value per batch in flight"), |result| {
            Reduce::new(reduction, result)
        })
    }
}
