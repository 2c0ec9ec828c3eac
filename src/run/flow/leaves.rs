//! The jobs of a free source: ranges of leaves, from which other workers can take a part.
//!
//! A free source needs no credits, so all its batch numbers go out at once. They are cut into *leaves*: one number in
//! each, or as many as it takes to count the leaves in 32 bits. A job is a range of leaves.
//!
//! The worker that runs a job goes through the numbers in it one after the other ([`Numbers`]), and enters them into
//! the ledger as one piece. Meanwhile other workers may take leaves from the end of the range
//! ([`crate::pool::loops::span`]).
//!
//! * When a failure has cut the sequence, a worker drops the rest of its range by arithmetic. So a run ends in a time
//!   that does not depend on how many batches are left.
//! * When something else in the queue has waited too long, a worker stops early. It puts the rest of its range on a
//!   list, and queues a job that goes on with it.

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

/// The numbers of a free source, cut into leaves; see the module documentation.
#[derive(Debug, Default)]
pub(crate) struct FreeLeaves {
    /// How many numbers there are; set before any worker works on the first.
    count: AtomicU64,
    /// See [`crate::pool::loops::span::Of`].
    pace: AtomicU64,
    /// Ranges of numbers that workers left for later.
    rests: Mutex<Vec<Range<u64>>>,
}

/// The payload of a job that goes on with one of the `rests`; as a range of leaves it is empty. It holds a token for
/// each leaf of the rest, and one more.
const REST: Range<u32> = u32::MAX..u32::MAX;

impl FreeLeaves {
    /// Begins a run with `count` numbers.
    pub(in crate::run) fn begin(&self, count: u64) {
        // Relaxed: the queue that hands on the first job orders this store before that job.
        self.count.store(count, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        // Relaxed: the job that asks was queued after the store in `begin`.
        self.count.load(Ordering::Relaxed)
    }

    /// How many numbers a leaf has, as a power of two.
    fn bits(&self) -> u32 {
        let leaves = u64::from(u32::MAX);
        (0..).find(|bits| self.count().div_ceil(1 << bits) < leaves).expect("of 64 bits, half will do")
    }

    /// How many leaves there are.
    pub(in crate::run) fn len(&self) -> u32 {
        u32::try_from(self.count().div_ceil(1 << self.bits())).expect("that is what the bits are for")
    }

    /// Goes through the leaves of a job, except those that other workers take; see the module documentation.
    pub(in crate::run) fn fire(&self, cx: &Cx<'_>, payload: u64, items: &dyn NumberedItems, body: &dyn NumbersStage) {
        let leaves = unpack(payload);
        let is_rest = leaves == REST;
        let rest = if is_rest { self.rests.lock().pop() } else { None };
        let (bits, count) = (self.bits(), self.count());
        let first = |leaf| first_of(leaf, bits, count);
        let rest = rest.unwrap_or_else(|| first(leaves.start)..first(leaves.end));
        let leaf = |number: u64| u32::try_from(number.div_ceil(1 << bits)).expect("fewer than 2^32 leaves");
        let leaves = leaf(rest.start)..leaf(rest.end); // without the leaf that `rest` begins in the middle of
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
        // This job had a token for each leaf, and one for the leaf that it began in the middle of. Those of the leaves
        // that others have taken, or that are left for later, are gone.
        let mut kept = u64::from(left.end - leaves.start) + u64::from(is_rest);
        if !rest.is_empty() && is_wanted {
            // As soon as the rest is on the list, another job may take it and give its tokens back.
            cx.run.take_tokens(1);
            kept -= u64::from(left.end - left.start);
            self.rests.lock().push(rest);
            worker.push_counted(cx.stage.fire_job(pack(&REST)));
        } else if !rest.is_empty() {
            cx.drop_items(items.discard(&rest));
        }
        worker.keep_tokens(kept);
    }
}

/// The numbers of some leaves, one after the other, for the stage that works on them; see the module documentation.
pub(crate) struct Numbers<'a> {
    worker: &'a Worker<'a>,
    run: &'a Run<'static>,
    sequence: &'a Sequence,
    /// The items of the batches.
    pub(crate) items: &'a dyn NumberedItems,
    span: &'a Span<'a>,
    /// How many numbers the source has.
    count: u64,
    /// How many numbers a leaf has, as a power of two.
    bits: u32,
    /// The first number that was not begun.
    next: u64,
    /// The number behind the last one of the leaf that is under way.
    end: u64,
}

impl Numbers<'_> {
    /// The first number that was not begun.
    pub(crate) fn number(&self) -> u64 {
        self.next
    }

    /// Begins the next number. None if there is none, if it is no longer wanted, or if this thread is to stop here.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u64> {
        if !self.is_wanted() || self.span.stops(self.worker) || self.next == self.end && !self.begin_leaf() {
            return None;
        }
        let number = self.next;
        self.next += 1;
        Some(number)
    }

    /// Whether the next number is still wanted.
    #[inline]
    fn is_wanted(&self) -> bool {
        !self.run.ending() || self.is_before_cut()
    }

    /// Whether a failure at the next number would still count. If the failure that ends the run is in another sequence,
    /// no failure in this one counts.
    #[cold]
    fn is_before_cut(&self) -> bool {
        // The notice could be seen before the cut. `ending_with_cuts` prevents that: if the run is ending and this
        // sequence has no cut, the failure is in another sequence.
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
