//! The jobs of a free source: ranges of leaves that others can cut.
//!
//! The numbers of its batches are cut into leaves, as few numbers in each as 32 bits allow: one. Its jobs are ranges of
//! leaves. The worker that runs one goes through the numbers in it ([`Numbers`]), as one piece for the books, while others
//! take leaves from its end ([`crate::pool::loops::span`]). When the sequence is cut, a worker drops what nobody wants any more by
//! arithmetic: so a run ends in time that does not depend on what is left. What a worker leaves for later, because something
//! else has waited for too long, goes to a list.

use std::ops::Range;

use super::cx::Cx;
use super::order::{Key, Sequence};
use super::stage::NumbersStage;
use super::supply::NumberedItems;
use crate::pool::loops::span::{Span, pack, unpack};
use crate::pool::work::worker::Worker;
use crate::run::Run;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The numbers of a free source, in leaves; see the module.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    /// How many numbers there are; set before the first of them is worked on.
    count: AtomicU64,
    /// See [`crate::pool::loops::span::Of`].
    pace: AtomicU64,
    /// What was left for later.
    rests: Mutex<Vec<Range<u64>>>,
}

/// The job that goes on with a rest.
const REST: Range<u32> = u32::MAX..u32::MAX;

impl Leaves {
    /// A run begins, with so many numbers.
    pub(in crate::run) fn begin(&self, count: u64) {
        // Relaxed: handed on with the first job.
        self.count.store(count, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        // Relaxed: the job that asks was handed on after it was set.
        self.count.load(Ordering::Relaxed)
    }

    /// The numbers in a leaf, as a power of two.
    fn bits(&self) -> u32 {
        let leaves = u64::from(u32::MAX);
        (0..).find(|bits| self.count().div_ceil(1 << bits) < leaves).expect("of 64 bits, half will do")
    }

    /// How many leaves there are.
    pub(in crate::run) fn len(&self) -> u32 {
        u32::try_from(self.count().div_ceil(1 << self.bits())).expect("that is what the bits are for")
    }

    /// Goes through the leaves of a job, but for those that others take; see the module.
    pub(in crate::run) fn fire(&self, cx: &Cx<'_>, payload: u64, items: &dyn NumberedItems, body: &dyn NumbersStage) {
        let leaves = unpack(payload);
        let rest = if leaves == REST { self.rests.lock().pop() } else { None };
        let (bits, count) = (self.bits(), self.count());
        let first = |leaf| first_of(leaf, bits, count);
        let rest = rest.unwrap_or_else(|| first(leaves.start)..first(leaves.end));
        let leaf = |number: u64| u32::try_from(number.div_ceil(1 << bits)).expect("fewer than 2^32 leaves");
        let leaves = leaf(rest.start)..leaf(rest.end); // the one that it begins within is under way
        let span = Span::new(cx.worker, cx.stage.jobs(&self.pace), &leaves);
        span.enter(cx.worker);
        let (next, end) = (rest.start, first(leaves.start));
        let Cx { worker, run, .. } = *cx;
        let mut numbers = Numbers { worker, run, sequence: cx.sequence(), items, span: &span, count, bits, next, end };
        body.batches(cx, &mut numbers);
        let Numbers { next, .. } = numbers;
        let is_wanted = numbers.is_wanted();
        let left = span.leave(cx.worker);
        let rest = next..first(left.end);
        if rest.is_empty() {
            return;
        }
        if is_wanted {
            self.rests.lock().push(rest);
            cx.worker.push(cx.stage.fire_job(pack(&REST)));
        } else {
            cx.drop_items(items.discard(&rest));
        }
    }
}

/// The numbers of some leaves, for the stage that goes through them; see the module.
pub(crate) struct Numbers<'a> {
    worker: &'a Worker<'a>,
    run: &'a Run<'static>,
    sequence: &'a Sequence,
    /// What the batches hold.
    pub(crate) items: &'a dyn NumberedItems,
    span: &'a Span<'a>,
    /// How many the source has.
    count: u64,
    /// The numbers in a leaf, as a power of two.
    bits: u32,
    /// The first one that was not begun, and behind the last one of the leaf that is under way.
    next: u64,
    end: u64,
}

impl Numbers<'_> {
    /// The first one that was not begun.
    pub(crate) fn number(&self) -> u64 {
        self.next
    }

    /// Begins the next one, if there is one that is wanted, and this thread is to go on.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u64> {
        if !self.is_wanted() || self.span.stops(self.worker) || self.next == self.end && !self.begin_leaf() {
            return None;
        }
        let number = self.next;
        self.next += 1;
        Some(number)
    }

    /// Whether anybody wants the next one.
    #[inline]
    fn is_wanted(&self) -> bool {
        !self.run.ending() || self.is_before_cut()
    }

    /// Whether a failure at the next one would count. If another order has failed, none of this one ever will.
    #[cold]
    fn is_before_cut(&self) -> bool {
        // With the cuts: an order without one is then not the one that has failed.
        !self.run.ending_with_cuts() || (!self.sequence.is_whole() && self.sequence.wants(Key::new(self.next, 0)))
    }

    #[inline]
    fn begin_leaf(&mut self) -> bool {
        let leaf = self.span.next();
        let is_there = self.span.begin(leaf, self.worker);
        if is_there {
            self.end = first_of(leaf + 1, self.bits, self.count);
        }
        is_there
    }
}

/// The first number of a leaf.
#[inline]
fn first_of(leaf: u32, bits: u32, count: u64) -> u64 {
    (u64::from(leaf) << bits).min(count)
}
