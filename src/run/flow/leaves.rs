//! The jobs of a free source: ranges of leaves, from which other workers can take a part.
//!
//! A free source needs no credits, so all its batch numbers go out at once. They are cut into *leaves*: one number in
//! each, or as many as it takes to count the leaves in 32 bits. A stage that makes something dear of each leaf asks for
//! few ([`FEW`]). A job is a range of leaves.
//!
//! The worker that runs a job goes through the numbers in it one after the other ([`Numbers`]), and enters them into
//! the ledger as one piece. Meanwhile other workers may take leaves from the end of the range
//! ([`crate::pool::loops::span`]).
//!
//! * When a failure has cut the sequence, a worker drops the rest of its range by arithmetic. So a run ends in a time
//!   that does not depend on how many batches are left.
//! * When something else in the queue has waited too long, a worker stops early, maybe in the middle of a leaf. It puts
//!   the rest of its range on a list, and queues a job that goes on with it.

use std::ops::Range;

use super::cx::Cx;
use super::order::{Key, Sequence};
use super::stage::NumbersStage;
use super::supply::NumberedItems;
use crate::pool::loops::span::{Span, pack, unpack};
use crate::pool::work::worker::Worker;
use crate::run::Run;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::{Call, Kind, Mutex, begins, explores, will_call};

/// So many leaves has a source at most if its stage asks for few. Then 256 workers still have two each. Streams in tests
/// are short.
const FEW: u64 = if cfg!(test) { 3 } else { 512 };

/// How the numbers of a free source are cut into leaves: evenly, the longer ones first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// How many numbers a leaf has at least.
    each: u64,
    /// How many leaves have one more.
    longer: u64,
}

impl Cut {
    /// A leaf for each number.
    pub(crate) const SINGLE: Self = Self { each: 1, longer: 0 };

    fn new(count: u64, leaves: u32) -> Self {
        let leaves = u64::from(leaves.max(1));
        Self { each: count / leaves, longer: count % leaves }
    }

    /// The first number of a leaf.
    #[inline]
    pub(crate) fn first(self, leaf: u64) -> u64 {
        leaf * self.each + leaf.min(self.longer)
    }

    /// The leaf that has this number.
    #[inline]
    pub(crate) fn leaf(self, number: u64) -> u64 {
        match number.checked_sub(self.first(self.longer)) {
            Some(behind) => self.longer + behind / self.each,
            None => number / (self.each + 1),
        }
    }
}

/// The numbers of a free source, cut into leaves; see the module documentation.
#[derive(Debug, Default)]
pub(crate) struct FreeLeaves {
    /// How many numbers there are; set before any worker works on the first.
    count: AtomicU64,
    /// How many leaves they are cut into; set at the same time.
    len: AtomicU32,
    /// See [`crate::pool::loops::span::Of`].
    pace: AtomicU64,
    /// Ranges of numbers that workers left for later.
    rests: Mutex<Vec<Range<u64>>>,
}

/// The payload of a job that goes on with one of the `rests`; as a range of leaves it is empty. It holds a token for
/// each leaf of the rest, and one more.
const REST: Range<u32> = u32::MAX..u32::MAX;

impl FreeLeaves {
    /// Begins a run with `count` numbers, in few leaves or in as many as there can be.
    pub(in crate::run) fn begin(&self, count: u64, few: bool) {
        let most = if few { FEW } else { u64::from(u32::MAX - 1) };
        let len = u32::try_from(count.min(most)).expect("at most 32 bits");
        // Relaxed, both: the queue that hands on the first job orders these stores before that job.
        self.count.store(count, Ordering::Relaxed);
        self.len.store(len, Ordering::Relaxed);
    }

    /// How many leaves there are.
    pub(in crate::run) fn len(&self) -> u32 {
        // Relaxed: the job that asks was queued after the store in `begin`.
        self.len.load(Ordering::Relaxed)
    }

    fn cut(&self) -> Cut {
        // Relaxed: as for the length.
        Cut::new(self.count.load(Ordering::Relaxed), self.len())
    }

    /// Goes through the leaves of a job, except those that other workers take; see the module documentation.
    pub(in crate::run) fn fire(&self, cx: &Cx<'_>, payload: u64, items: &dyn NumberedItems, body: &dyn NumbersStage) {
        let mut leaves = unpack(payload);
        if explores() && leaves.end - leaves.start > 1 {
            let number = self.cut().first(u64::from(leaves.start + 1));
            will_call(|| Call::of_stage(Kind::Batch, cx.stage.index, number, 0));
            cx.worker.push_counted(cx.stage.fire_job(pack(&(leaves.start + 1..leaves.end)))); // with a token for each
            leaves.end = leaves.start + 1;
        }
        let is_rest = leaves == REST;
        let rest = if is_rest { self.rests.lock().pop() } else { None };
        let cut = self.cut();
        let first = |leaf| cut.first(u64::from(leaf));
        let rest = rest.unwrap_or_else(|| first(leaves.start)..first(leaves.end));
        let leaf = |number| cut.leaf(number) + u64::from(cut.first(cut.leaf(number)) < number);
        let leaf = |number| u32::try_from(leaf(number)).expect("fewer than 2^32 leaves");
        let leaves = leaf(rest.start)..leaf(rest.end); // without the leaf that `rest` begins in the middle of
        let span = Span::new(cx.worker, cx.stage.jobs(&self.pace), &leaves);
        span.enter(cx.worker);
        let (next, end) = (rest.start, first(leaves.start));
        let Cx { worker, run, .. } = *cx;
        let (sequence, stage) = (cx.sequence(), cx.stage.index);
        let mut numbers = Numbers { worker, run, sequence, stage, items, span: &span, cut, next, end };
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
    stage: usize,
    /// The items of the batches.
    pub(crate) items: &'a dyn NumberedItems,
    span: &'a Span<'a>,
    pub(crate) cut: Cut,
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

    /// Whether the number that was begun last is the last one of its leaf.
    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        self.next == self.end
    }

    /// Begins the next number. None if there is none, if it is no longer wanted, or if this thread is to stop here.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u64> {
        if !self.is_wanted() || self.span.stops(self.worker) || self.is_at_end() && !self.begin_leaf() {
            return None;
        }
        let number = self.next;
        self.next += 1;
        begins(Call::of_stage(Kind::Batch, self.stage, number, 0));
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
            self.end = self.cut.first(u64::from(leaf) + 1);
        }
        is_there
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;

    #[test]
    fn leaves_have_all_numbers_evenly() {
        for count in [1, 2, 5, 511, 512, 513, 1025, 9766, (1 << 44) - 2] {
            let leaves = FreeLeaves::default();
            for few in [true, false] {
                leaves.begin(count, few);
                let (cut, len) = (leaves.cut(), u64::from(leaves.len()));
                assert_eq!(len, count.min(if few { FEW } else { u64::from(u32::MAX) - 1 }));
                assert_eq!((cut.first(0), cut.first(len)), (0, count));
                for leaf in (0..len).take(2000).chain(len.saturating_sub(2000)..len) {
                    let numbers = cut.first(leaf)..cut.first(leaf + 1);
                    assert!((count / len..=count.div_ceil(len)).contains(&(numbers.end - numbers.start)));
                    assert_eq!([numbers.start, numbers.end - 1].map(|number| cut.leaf(number)), [leaf; 2]);
                }
            }
        }
    }
}
