//! Parallel sinks: a closure per item, and reductions.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::iter::Sum;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::fused::{Drive, Tail};
use super::pipe::Pipe;
use super::serial::put;
use super::stream::{At, Stream};
use crate::plan::Data;
use crate::plan::draft::TailKind;
use crate::run::batch::{MAX_PARTS, Ticket};
use crate::run::cancel::{Carried, Cause, Fault, Index};
use crate::run::slot::Slot;
use crate::run::stage::{Cx, Ended, Room};
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
    fn end(&self, _: &Cx<'_>) -> Ended {
        put(&self.result, Some(()));
        Ended::Now
    }
}

/// Parts that wait for their neighbours without an allocation: few do, whatever the number of batches.
const ROOM: usize = 64;

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

/// A reduction: a part per block, put together as a fixed tree over block numbers.
///
/// The tree is that of a knock-out: the parts of blocks 2k and 2k + 1 make a part of the next level, and so on; what is
/// left over at the end is put together from the right. Which blocks there are, and so the tree, depends on the stream
/// alone: the answer is the same to the last bit on any number of workers.
pub(crate) struct Reduce<T, R: Reduction<T>> {
    reduction: R,
    parts: Mutex<Parts<R::Part>>,
    result: Arc<Slot<R::Result>>,
}

/// The parts of a block in several pieces so far, by piece, and how many pieces there are if that is known.
type Pieces<P> = (BTreeMap<u32, Option<P>>, Option<usize>);

/// Parts that wait for their neighbour.
struct Parts<P> {
    /// By level and number in the level.
    tree: HashMap<(u32, u64), Option<P>, RandomState>,
    /// Blocks in several pieces.
    split: BTreeMap<u64, Pieces<P>>,
    /// Empty between runs: room for what is left over at the end.
    left_over: Vec<LeftOver<P>>,
}

/// A part without a neighbour, and its place in the tree.
type LeftOver<P> = ((u32, u64), Option<P>);

impl<T, R: Reduction<T>> Reduce<T, R> {
    pub(crate) fn new(reduction: R, result: Arc<Slot<R::Result>>) -> Self {
        Self {
            reduction,
            parts: Mutex::new(Parts { tree: HashMap::default(), split: BTreeMap::new(), left_over: Vec::new() }),
            result,
        }
    }

    fn combine(&self, left: Option<R::Part>, right: Option<R::Part>) -> Option<R::Part> {
        match (left, right) {
            (Some(left), Some(right)) => Some(self.reduction.combine(left, right)),
            (left, right) => left.or(right),
        }
    }

    /// Takes the part of a piece up the tree as far as its neighbours are there; `last`: the last block of what is being put
    /// together. User code runs without the lock.
    fn add(&self, ticket: &Ticket, part: Option<R::Part>, last: &Cell<u64>) {
        let Some(mut part) = self.whole_block(ticket, part) else { return };
        let mut place = (0, ticket.number);
        loop {
            let mut parts = self.parts.lock();
            let neighbour = (place.0, place.1 ^ 1);
            let Some(other) = parts.tree.remove(&neighbour) else {
                parts.tree.insert(place, part);
                return;
            };
            drop(parts);
            last.set((((place.1 / 2) + 1) << (place.0 + 1)) - 1);
            part = if neighbour.1 < place.1 { self.combine(other, part) } else { self.combine(part, other) };
            place = (place.0 + 1, place.1 / 2);
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
        Some(pieces.into_values().fold(None, |left, right| self.combine(left, right)))
    }

    /// The part of the whole stream: what is left over is put together from the right.
    fn whole(&self) -> Option<R::Part> {
        let mut parts = self.parts.lock();
        let mut left_over = std::mem::take(&mut parts.left_over);
        left_over.extend(parts.tree.drain());
        drop(parts);
        left_over.sort_unstable_by_key(|((level, number), _)| std::cmp::Reverse(number << level));
        let whole = left_over.drain(..).fold(None, |right, (_, left)| self.combine(left, right));
        self.parts.lock().left_over = left_over;
        whole
    }
}

impl<T, R: Reduction<T>> Tail<T> for Reduce<T, R> {
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        let (part, mut failure) = match catch_unwind(AssertUnwindSafe(|| self.reduction.start())) {
            Err(panic) => {
                drive.skip();
                (None, Some(at_combine(cx, &ticket, panic)))
            }
            Ok(part) => drive.drive(Some(part), |part, item| {
                unwind::renew(part, |part| self.reduction.next(part, item));
            }),
        };
        let (place, mut at) = (Cell::new(ticket.number), ticket);
        if failure.is_some() {
            unwind::drop_value(part);
        } else {
            let added = catch_unwind(AssertUnwindSafe(|| self.add(&ticket, part, &place)));
            // Where in the tree, not who came last, says at which place it counts.
            let (number, part) = (place.get(), MAX_PARTS);
            failure = added.err().map(|panic| at_combine(cx, &ticket, panic));
            at = failure.as_ref().map_or(ticket, |_| Ticket { number, part, ..ticket });
        }
        if let Some(failure) = failure {
            cx.fail(&at, failure);
        }
        cx.retire(&ticket);
    }

    fn prepare(&mut self, _: Room) {
        let parts = self.parts.get_mut();
        parts.tree.reserve(ROOM);
        parts.left_over.reserve(ROOM);
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
