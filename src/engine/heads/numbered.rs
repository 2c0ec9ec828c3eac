//! Numbered sources: any worker can make a batch from its number alone.
//!
//! The sources in [`crate::sources`] implement [`ByNumber`], one of them for each [`ParallelSource`] of the user's own.
//! [`Numbered`] cuts them into batches for the run ([`NumberedItems`]), and is the head of the stage's pipe ([`Feed`]).
//! The run asks for each batch once, from any worker, after `begin`.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::engine::pipe::{Feed, Head, Parcel};
use crate::run::cancel::Carried;
use crate::run::flow::batch::{BatchSize, Share, least_batch};
use crate::run::flow::stage::Capacity;
use crate::run::flow::supply::{Load, MemoryRange, NumberedItems, Then};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::two_parts::TwoParts;
use crate::sync::{Mutex, UnsafeCell};
use crate::unwind;

/// A collection whose items any thread can reach by index.
///
/// The unit of length is an item for most sources, and a byte for records of a text.
pub(crate) trait ByNumber: Send + Sync {
    type Item;
    /// Whether each place of it is one item.
    const ONE_EACH: bool = true;
    /// Whether [`len`](Self::len) is the same in each run, and calls no user code.
    const IS_FIXED: bool = false;
    /// Its length in this run. It may call user code.
    fn len(&self) -> u64;
    /// The length that every batch but the last should have.
    fn batch(&self, size: BatchSize) -> u64 {
        size.of(self.len())
    }
    /// Begins a run, in which each batch is asked for at most once.
    fn begin(&self) {}
    /// Gives the items of a batch to `out`.
    fn each(&self, batch: Batch, out: &mut impl FnMut(Self::Item));
    /// How many items a batch has; 0 if that is not known.
    fn count(&self, batch: &Batch) -> u64 {
        if Self::ONE_EACH { batch.range.end - batch.range.start } else { 0 }
    }
    /// Drops the items of a batch that is no longer wanted, and returns their number; 0 if that is not known.
    fn discard(&self, batch: Batch) -> u64 {
        self.count(&batch)
    }
    fn is_ready(&self) -> bool {
        true
    }
    /// The memory that it reads, in order; empty if that is not known.
    fn memory(&self) -> Vec<MemoryRange> {
        Vec::new()
    }
    /// Drops what a failed run left. Called while nothing runs.
    fn clear(&self) {}
}

/// A source of one's own that all workers read at once: a file of records of one size, a table, numbers from a formula.
///
/// [`Graph::parallel`](crate::Graph::parallel) makes a stream of it. The engine cuts the places of the source, `0..len()`, into
/// ranges, and asks for each range once in a run: from any worker, several at a time, in any order. The stream has the
/// items in the order of their ranges all the same.
///
/// ```
/// use std::ops::Range;
///
/// use millstream::{Graph, ParallelSource, Pool};
///
/// /// Records of eight bytes each, one after the other.
/// struct Records<'a>(&'a [u8]);
///
/// impl ParallelSource for Records<'_> {
///     type Item = u64;
///     fn len(&self) -> u64 {
///         (self.0.len() / 8) as u64
///     }
///     fn each(&self, range: Range<u64>, out: &mut impl FnMut(u64)) {
///         let bytes = &self.0[8 * range.start as usize..8 * range.end as usize];
///         for record in bytes.chunks_exact(8) {
///             out(u64::from_le_bytes(record.try_into().expect("eight bytes")));
///         }
///     }
/// }
///
/// let bytes: Vec<u8> = (0..1000_u64).flat_map(u64::to_le_bytes).collect();
/// let (pool, g) = (Pool::new()?, Graph::new());
/// let sum = g.parallel(Records(&bytes)).sum::<u64>();
/// assert_eq!(pool.run(g)?.take(sum), 499_500);
/// # Ok::<(), millstream::Error>(())
/// ```
#[expect(clippy::len_without_is_empty, reason = "nobody asks")]
pub trait ParallelSource: Send + Sync {
    /// What it gives.
    type Item;

    /// Whether it has one item at each place. If not, a range may have any number of items, and reports cannot say how
    /// many items of it were dropped when a run failed.
    const ONE_EACH: bool = true;

    /// How many places it has. Asked once in each run, when the run begins; [`batch_size`](crate::Stream::batch_size)
    /// counts places.
    fn len(&self) -> u64;

    /// Gives the items of a range of places to `out`, in order. It is asked for ranges within `0..len()`.
    ///
    /// It works on as many items as it is asked for, and must not wait: a worker that waits does nothing else. A `for`
    /// loop over the items is the fastest way. A source that cannot make some items gives
    /// a `Result` for each, and [`try_map`](crate::Stream::try_map) behind it ends the run at the first error.
    fn each(&self, range: Range<u64>, out: &mut impl FnMut(Self::Item));
}

/// A batch of an indexed source, or several adjacent ones, as a range of indices.
pub(crate) struct Batch {
    pub(crate) range: Range<u64>,
}

impl Batch {
    pub(crate) fn indices(&self) -> Range<usize> {
        let index = |place| usize::try_from(place).expect("within a slice");
        index(self.range.start)..index(self.range.end)
    }
}

/// A numbered source; see the module documentation.
pub(crate) struct Numbered<C> {
    items: C,
    /// The length in this run.
    len: AtomicU64,
    /// The length of a batch in this run, or the most that it may have.
    batch: AtomicU64,
    /// Where the next batch begins, if places have batches.
    next: AtomicU64,
    /// The batch in each place. A free source has no places: there the number of a batch says what is in it.
    places: UnsafeCell<TwoParts<Place>>,
    /// The payload of a panic in `len` or `batch`. The run then has a single, empty batch, which throws it again.
    thrown: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A batch in flight, as a range of indices.
#[derive(Debug, Default)]
struct Place {
    start: AtomicU64,
    end: AtomicU64,
}

#[expect(unsafe_code, reason = "the list of places is written once")]
// SAFETY: (1) the list does not change after `prepare`, which is called before anything runs; (2) the items are `Sync`.
unsafe impl<C: Sync> Sync for Numbered<C> {}

impl<C> Numbered<C> {
    pub(crate) fn new(items: C) -> Self {
        let [len, batch, next] = [0, 1, 0].map(AtomicU64::new);
        Self { items, len, batch, next, places: UnsafeCell::new(TwoParts::new(0, 0)), thrown: Mutex::new(None) }
    }

    #[inline]
    fn places(&self) -> &TwoParts<Place> {
        #[expect(unsafe_code, reason = "written once, before anything runs")]
        // SAFETY: (1) of `Sync`.
        self.places.with(|places| unsafe { &*places })
    }

    /// The batch of a piece.
    #[inline]
    fn batch_of(&self, parcel: Parcel) -> Batch {
        let places = self.places();
        let Some(place) = usize::try_from(parcel.load).ok().filter(|place| *place < places.len()) else {
            return self.batch(parcel.ticket.number);
        };
        let Place { start, end } = &places[place];
        // Relaxed, both: the job that carries the place was queued after they were stored.
        Batch { range: start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed) }
    }

    /// Throws the panic of `begin` again. Called for an empty batch, and there is one only if the source could not
    /// begin.
    #[cold]
    fn rethrow(&self) {
        let thrown = self.thrown.lock().take();
        if let Some(thrown) = thrown {
            resume_unwind(thrown);
        }
    }

    fn batch(&self, number: u64) -> Batch {
        // Relaxed: both were set before the first batch was queued.
        let (len, batch) = (self.len.load(Ordering::Relaxed), self.batch.load(Ordering::Relaxed));
        let first = number * batch;
        Batch { range: first..len.min(first.saturating_add(batch)) }
    }

    /// The items of adjacent batches, as if they were one.
    fn batches(&self, numbers: &Range<u64>) -> Batch {
        // Relaxed: both were set before the first batch was queued.
        let (len, batch) = (self.len.load(Ordering::Relaxed), self.batch.load(Ordering::Relaxed));
        let place = |number: u64| len.min(number.saturating_mul(batch));
        Batch { range: place(numbers.start)..place(numbers.end) }
    }
}

impl<C: ByNumber> NumberedItems for Numbered<C> {
    fn is_counted(&self) -> bool {
        C::ONE_EACH
    }

    fn begin(&self, size: BatchSize) -> u64 {
        let sizes = AssertUnwindSafe(|| (self.items.len(), self.items.batch(size))); // data's length is user code
        if let Some(stale) = self.thrown.lock().take() {
            unwind::drop_payload(stale); // from a run that failed before it asked for a batch
        }
        let (len, batch) = catch_unwind(sizes).unwrap_or_else(|panic| {
            *self.thrown.lock() = Some(panic);
            (0, 1)
        });
        let batch = batch.max(least_batch(len));
        self.len.store(len, Ordering::Relaxed);
        self.batch.store(batch, Ordering::Relaxed);
        self.next.store(0, Ordering::Relaxed);
        self.items.begin();
        if self.thrown.lock().is_some() { 1 } else { len.div_ceil(batch) }
    }
    fn cut(&self, size: BatchSize) -> Option<(u64, u64)> {
        C::IS_FIXED.then(|| (self.items.len(), self.items.batch(size).max(least_batch(self.items.len()))))
    }
    fn prepare(&self, capacity: Capacity) {
        let made = capacity.places();
        #[expect(unsafe_code, reason = "written once, before anything runs")]
        // SAFETY: (1) of `Sync`.
        self.places.with_mut(|places| unsafe { *places = made });
    }
    fn next(&self, place: u32, share: Share) -> Load {
        // Relaxed, all: only the holder of the turn comes here, and the job that carries the place is queued after it.
        let [len, batch, first] = [&self.len, &self.batch, &self.next].map(|word| word.load(Ordering::Relaxed));
        let share = share.of(batch).max(least_batch(len)).min(batch);
        let end = len.min(first.saturating_add(share));
        self.next.store(end, Ordering::Relaxed);
        let Place { start: from, end: to } = &self.places()[place as usize];
        from.store(first, Ordering::Relaxed);
        to.store(end, Ordering::Relaxed);
        let is_there = first < end || self.thrown.lock().is_some();
        Load { items: is_there.then_some(0), weight: 0, then: if end == len { Then::Ended } else { Then::More } }
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

impl<C: ByNumber> Head for Numbered<C> {
    fn holds(&self, parcel: Parcel) -> (u64, Option<Carried>) {
        (self.items.count(&self.batch_of(parcel)), None)
    }
    fn discard(&self, parcel: Parcel) -> u64 {
        self.items.discard(self.batch_of(parcel))
    }
}

impl<C: ByNumber> Feed for Numbered<C> {
    type Item = C::Item;
    #[inline(always)]
    fn each(&self, parcel: Parcel, out: &mut impl FnMut(C::Item)) {
        let batch = self.batch_of(parcel);
        if batch.range.is_empty() {
            self.rethrow();
        }
        self.items.each(batch, out);
    }
}
