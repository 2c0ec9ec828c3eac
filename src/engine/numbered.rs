//! Sources known by number: a batch is made from its number alone, on any worker.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::pipe::{Feed, Head, Parcel};
use crate::run::cancel::Carried;
use crate::run::flow::batch::{BatchSize, least_batch};
use crate::run::flow::supply::{MemoryRange, NumberedItems};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::unwind;

/// A collection whose items can be had by place, from any thread.
pub(crate) trait Indexed: Send + Sync {
    type Item;
    /// How long it is in this run.
    fn len(&self) -> u64;
    /// How long every batch but the last should be.
    fn batch(&self, size: BatchSize) -> u64 {
        size.of(self.len())
    }
    /// A run begins: batches will be asked for, each once.
    fn begin(&self) {}
    /// Gives the items of a batch to `out`.
    fn each(&self, batch: Batch, out: &mut impl FnMut(Self::Item));
    /// How many items a batch has, as far as that is known.
    fn count(&self, batch: &Batch) -> u64 {
        batch.range.end - batch.range.start
    }
    /// Drops the items of a batch that nobody wants, and says how many.
    fn discard(&self, batch: Batch) -> u64 {
        self.count(&batch)
    }
    fn is_ready(&self) -> bool {
        true
    }
    /// The memory that it reads, in order, as far as that is known.
    fn memory(&self) -> Vec<MemoryRange> {
        Vec::new()
    }
    /// Drops what a failed run left; called while nothing runs.
    fn clear(&self) {}
}

/// A batch of an indexed source, or several adjacent ones.
pub(crate) struct Batch {
    pub(crate) range: Range<u64>,
}

impl Batch {
    pub(crate) fn indices(&self) -> Range<usize> {
        let index = |place| usize::try_from(place).expect("within a slice");
        index(self.range.start)..index(self.range.end)
    }
}

/// A source known by number.
pub(crate) struct Numbered<C> {
    items: C,
    /// This run's length and batch length.
    len: AtomicU64,
    batch: AtomicU64,
    /// What asking for the length threw: thrown again by the one batch there is then.
    thrown: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<C> Numbered<C> {
    pub(crate) fn new(items: C) -> Self {
        Self { items, len: AtomicU64::new(0), batch: AtomicU64::new(1), thrown: Mutex::new(None) }
    }

    /// There is an empty batch only if the source could not begin.
    #[cold]
    fn rethrow(&self) {
        let thrown = self.thrown.lock().take();
        if let Some(thrown) = thrown {
            resume_unwind(thrown);
        }
    }

    fn batch(&self, number: u64) -> Batch {
        // Relaxed: set before the first batch was issued.
        let (len, batch) = (self.len.load(Ordering::Relaxed), self.batch.load(Ordering::Relaxed));
        let first = number * batch;
        Batch { range: first..len.min(first.saturating_add(batch)) }
    }

    /// The items of adjacent batches, as if they were one.
    fn batches(&self, numbers: &Range<u64>) -> Batch {
        // Relaxed: set before the first batch was issued.
        let (len, batch) = (self.len.load(Ordering::Relaxed), self.batch.load(Ordering::Relaxed));
        let place = |number: u64| len.min(number.saturating_mul(batch));
        Batch { range: place(numbers.start)..place(numbers.end) }
    }
}

impl<C: Indexed> NumberedItems for Numbered<C> {
    fn begin(&self, size: BatchSize) -> u64 {
        let sizes = AssertUnwindSafe(|| (self.items.len(), self.items.batch(size))); // data's length is user code
        if let Some(stale) = self.thrown.lock().take() {
            unwind::drop_payload(stale); // of a run that asked for no batch
        }
        let (len, batch) = catch_unwind(sizes).unwrap_or_else(|panic| {
            *self.thrown.lock() = Some(panic);
            (0, 1)
        });
        let batch = batch.max(least_batch(len));
        self.len.store(len, Ordering::Relaxed);
        self.batch.store(batch, Ordering::Relaxed);
        self.items.begin();
        if self.thrown.lock().is_some() { 1 } else { len.div_ceil(batch) }
    }
    fn len_of(&self, numbers: &Range<u64>) -> u64 {
        self.items.count(&self.batches(numbers))
    }
    fn discard(&self, numbers: &Range<u64>) -> u64 {
        self.items.discard(self.batches(numbers))
    }
    fn memory(&self) -> Vec<MemoryRange> {
        self.items.memory()
    }
    fn is_ready(&self) -> bool {
        self.items.is_ready()
    }
    fn clear(&self) {
        self.items.clear();
        if let Some(thrown) = self.thrown.lock().take() {
            unwind::drop_payload(thrown);
        }
    }
}

impl<C: Indexed> Head for Numbered<C> {
    fn holds(&self, parcel: Parcel) -> (u64, Option<Carried>) {
        (self.items.count(&self.batch(parcel.ticket.number)), None)
    }
    fn discard(&self, parcel: Parcel) -> u64 {
        self.items.discard(self.batch(parcel.ticket.number))
    }
}

impl<C: Indexed> Feed for Numbered<C> {
    type Item = C::Item;
    #[inline]
    fn each(&self, parcel: Parcel, out: &mut impl FnMut(C::Item)) {
        let batch = self.batch(parcel.ticket.number);
        if batch.range.is_empty() {
            self.rethrow();
        }
        self.items.each(batch, out);
    }
}
