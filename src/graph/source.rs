//! Sources: where items come from.
//!
//! A *pulled* source is an iterator: one worker at a time takes a batch out of it, into the buffer of a credit's place. A
//! source *known by number* computes its batch from the number alone, on any worker.

use std::any::Any;
use std::ops::{Deref, Range, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::pipe::{Feed, Head};
use crate::pool::Integer;
use crate::run::batch::{BATCH, BatchSize, least_batch};
use crate::run::slot::Slot;
use crate::run::source::MemoryRange;
use crate::run::stage::{Capacity, Extent, Parcel, Pull};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, UnsafeCell};
use crate::unwind;

/// Where a pulled source's iterator comes from.
pub(crate) trait MakeIter: Send {
    type Iter: Iterator;
    /// The iterator for a run; none if it is used up.
    fn take(&mut self) -> Option<Self::Iter>;
    fn is_ready(&self) -> bool;
}

/// One iterator, for one run.
pub(crate) struct Once<I>(pub(crate) Option<I>);

impl<I: IntoIterator<IntoIter: Send> + Send> MakeIter for Once<I> {
    type Iter = I::IntoIter;
    fn take(&mut self) -> Option<I::IntoIter> {
        self.0.take().map(IntoIterator::into_iter)
    }
    fn is_ready(&self) -> bool {
        self.0.is_some()
    }
}

/// A new iterator for every run.
pub(crate) struct Again<F>(pub(crate) F);

impl<I: IntoIterator<IntoIter: Send>, F: FnMut() -> I + Send> MakeIter for Again<F> {
    type Iter = I::IntoIter;
    fn take(&mut self) -> Option<I::IntoIter> {
        Some((self.0)().into_iter())
    }
    fn is_ready(&self) -> bool {
        true
    }
}

/// A source that is pulled.
pub(crate) struct Pulled<O: MakeIter> {
    state: UnsafeCell<State<O>>,
    buffers: Box<[UnsafeCell<Buffer<Item<O>>>]>,
}

/// The items of a batch.
struct Buffer<T> {
    items: Vec<T>,
    /// What the iterator threw in the place of further items: thrown again when the batch has come so far.
    thrown: Option<Box<dyn Any + Send>>,
}

impl<T> Buffer<T> {
    fn drop_thrown(&mut self) {
        if let Some(thrown) = self.thrown.take() {
            unwind::drop_payload(thrown);
        }
    }
}

type Item<O> = <<O as MakeIter>::Iter as Iterator>::Item;

struct State<O: MakeIter> {
    make: O,
    iter: Option<O::Iter>,
    /// What making the iterator threw.
    thrown: Option<Box<dyn Any + Send>>,
    /// The largest batch so far, in any run: a buffer that must grow grows to this, so that it seldom has to again.
    largest: usize,
}

#[expect(unsafe_code, reason = "the holder of the source's turn pulls, the holder of a place reads its buffer")]
// SAFETY: (1) `state` is touched only by the holder of the source's turn (`begin`, `pull`); (2) a buffer only by it before
// the batch is issued, and then by the one piece that owns the place; (3) all of it is `Send`.
unsafe impl<O: MakeIter<Iter: Send + Iterator<Item: Send>>> Sync for Pulled<O> {}

impl<O: MakeIter> Pulled<O> {
    pub(crate) fn new(make: O) -> Self {
        Self { state: UnsafeCell::new(State { make, iter: None, thrown: None, largest: 0 }), buffers: Box::default() }
    }

    /// Takes what is in the buffer of a place; it goes back empty.
    #[inline]
    fn with_buffer<R>(&self, place: u64, work: impl FnOnce(&mut Buffer<Item<O>>) -> R) -> R {
        let place = usize::try_from(place).expect("an index of a buffer");
        #[expect(unsafe_code, reason = "one owner at a time")]
        // SAFETY: (2) of `Sync`.
        self.buffers[place].with_mut(|buffer| work(unsafe { &mut *buffer }))
    }
}

impl<O: MakeIter<Iter: Send + Iterator<Item: Send>>> Head for Pulled<O> {
    fn begin(&self) -> Extent {
        #[expect(unsafe_code, reason = "one owner at a time")]
        self.state.with_mut(|state| {
            // SAFETY: (1) of `Sync`.
            let state = unsafe { &mut *state };
            unwind::drop_value(state.iter.take()); // of a run that ended early
            match catch_unwind(AssertUnwindSafe(|| state.make.take())) {
                Ok(iter) => state.iter = iter,
                Err(panic) => state.thrown = Some(panic),
            }
            Extent::Unknown
        })
    }

    fn pull(&self, place: u32, _: u64, size: usize) -> Pull {
        #[expect(unsafe_code, reason = "one owner at a time")]
        self.state.with_mut(|state| {
            // SAFETY: (1) of `Sync`.
            let state = unsafe { &mut *state };
            self.with_buffer(u64::from(place), |buffer| {
                buffer.drop_thrown();
                let Some(iter) = &mut state.iter else {
                    buffer.thrown = state.thrown.take();
                    return if buffer.thrown.is_some() { Pull::Last(0) } else { Pull::Nothing };
                };
                let items = &mut buffer.items;
                state.largest = state.largest.max(size.min(BATCH));
                if items.capacity() < size {
                    items.reserve(state.largest);
                }
                let outcome = catch_unwind(AssertUnwindSafe(|| items.extend(iter.by_ref().take(size))));
                let count = items.len();
                let items = count as u64;
                match outcome {
                    Err(panic) => {
                        buffer.thrown = Some(panic);
                        unwind::drop_value(state.iter.take());
                        Pull::Last(items)
                    }
                    Ok(()) if count == size => Pull::Loaded(items),
                    Ok(()) => {
                        unwind::drop_value(state.iter.take()); // its resources go with the last item
                        if items == 0 { Pull::Nothing } else { Pull::Last(items) }
                    }
                }
            })
        })
    }

    fn len(&self, parcel: Parcel) -> u64 {
        self.with_buffer(parcel.load, |buffer| buffer.items.len() as u64)
    }

    fn discard(&self, parcel: Parcel) -> u64 {
        self.with_buffer(parcel.load, |buffer| {
            let count = buffer.items.len() as u64;
            buffer.items.drain(..).for_each(unwind::drop_value);
            buffer.drop_thrown();
            count
        })
    }

    fn prepare(&mut self, capacity: Capacity) {
        let buffer = || UnsafeCell::new(Buffer { items: Vec::new(), thrown: None });
        self.buffers = (0..capacity.credits).map(|_| buffer()).collect();
    }

    fn is_ready(&self) -> bool {
        #[expect(unsafe_code, reason = "one owner at a time")]
        // SAFETY: asked while nothing runs.
        self.state.with(|state| unsafe { (*state).make.is_ready() })
    }

    fn clear(&mut self) -> u64 {
        let state = self.state.get_mut();
        unwind::drop_value(state.iter.take());
        if let Some(thrown) = state.thrown.take() {
            unwind::drop_payload(thrown);
        }
        let mut dropped = 0;
        for buffer in &mut self.buffers {
            let buffer = buffer.get_mut();
            dropped += buffer.items.len() as u64;
            buffer.items.drain(..).for_each(unwind::drop_value);
            buffer.drop_thrown();
        }
        dropped
    }
}

impl<O: MakeIter<Iter: Send + Iterator<Item: Send>>> Feed for Pulled<O> {
    type Item = Item<O>;
    #[inline]
    fn each(&self, parcel: Parcel, out: &mut impl FnMut(Item<O>)) {
        self.with_buffer(parcel.load, |buffer| {
            for item in unwind::Draining::new(&mut buffer.items) {
                out(item);
            }
            if let Some(thrown) = buffer.thrown.take() {
                resume_unwind(thrown);
            }
        });
    }
}

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
    /// Drops what a failed run left.
    fn clear(&mut self) {}
}

/// A batch of an indexed source, or several adjacent ones.
pub(crate) struct Batch {
    pub(super) range: Range<u64>,
}

impl Batch {
    pub(super) fn indices(&self) -> Range<usize> {
        let index = |place| usize::try_from(place).expect("within a slice");
        index(self.range.start)..index(self.range.end)
    }
}

/// A source known by number.
pub(crate) struct Numbered<C> {
    items: C,
    size: BatchSize,
    /// This run's length and batch length.
    len: AtomicU64,
    batch: AtomicU64,
    /// What asking for the length threw: thrown again by the one batch there is then.
    thrown: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<C> Numbered<C> {
    pub(crate) fn new(items: C) -> Self {
        Self {
            items,
            size: BatchSize::Growing,
            len: AtomicU64::new(0),
            batch: AtomicU64::new(1),
            thrown: Mutex::new(None),
        }
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

impl<C: Indexed> Head for Numbered<C> {
    fn begin(&self) -> Extent {
        let sizes = AssertUnwindSafe(|| (self.items.len(), self.items.batch(self.size))); // data's length is user code
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
        let batches = len.div_ceil(batch);
        self.items.begin();
        Extent::Batches(if self.thrown.lock().is_some() { 1 } else { batches })
    }
    fn len(&self, parcel: Parcel) -> u64 {
        self.items.count(&self.batch(parcel.ticket.number))
    }
    fn discard(&self, parcel: Parcel) -> u64 {
        self.items.discard(self.batch(parcel.ticket.number))
    }
    fn len_of(&self, numbers: &Range<u64>) -> u64 {
        self.items.count(&self.batches(numbers))
    }
    fn discard_all(&self, numbers: &Range<u64>) -> u64 {
        self.items.discard(self.batches(numbers))
    }
    fn prepare(&mut self, capacity: Capacity) {
        self.size = capacity.size;
    }
    fn is_ready(&self) -> bool {
        self.items.is_ready()
    }
    fn memory(&self) -> Vec<MemoryRange> {
        self.items.memory()
    }
    fn clear(&mut self) -> u64 {
        self.items.clear();
        if let Some(thrown) = self.thrown.get_mut().take() {
            unwind::drop_payload(thrown);
        }
        0
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

/// Integers of a range.
pub(crate) struct Integers<N>(pub(crate) Range<N>);

impl<N: Integer> Indexed for Integers<N> {
    type Item = N;
    fn len(&self) -> u64 {
        N::distance(self.0.start, self.0.end)
    }
    #[inline]
    fn each(&self, batch: Batch, out: &mut impl FnMut(N)) {
        batch.range.for_each(|i| out(self.0.start.plus(i)));
    }
}

/// References into a slice.
pub(crate) struct SliceItems<'env, T>(pub(crate) &'env [T]);

impl<'env, T: Sync> Indexed for SliceItems<'env, T> {
    type Item = &'env T;
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    #[inline]
    fn each(&self, batch: Batch, out: &mut impl FnMut(&'env T)) {
        for item in &self.0[batch.indices()] {
            out(item);
        }
    }
    fn memory(&self) -> Vec<MemoryRange> {
        vec![MemoryRange::of(self.0)]
    }
}

/// Clones of the items of a data.
pub(crate) struct DataItems<D>(pub(crate) Arc<Slot<D>>);

impl<T, D: Deref<Target = [T]> + Send + Sync> DataItems<D> {
    fn items(&self) -> &[T] {
        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        // SAFETY: (1) the stage's gate is open: whoever writes the data has finished, and its next writer waits for the
        // end of this stage; (2) `D: Sync`.
        let data = unsafe { self.0.read() };
        data.expect("the gate opens when the data is there")
    }
}

impl<T: Clone + Sync, D: Deref<Target = [T]> + Send + Sync> Indexed for DataItems<D> {
    type Item = T;
    fn len(&self) -> u64 {
        self.items().len() as u64
    }
    #[inline]
    fn each(&self, batch: Batch, out: &mut impl FnMut(T)) {
        for item in &self.items()[batch.indices()] {
            out(item.clone());
        }
    }
}

/// Byte records that end with a delimiter, of several buffers as if they were one. Batches are ranges of bytes; a record
/// belongs to the batch in which it begins.
pub(crate) struct Records<'env> {
    buffers: Vec<&'env [u8]>,
    /// Where each buffer begins, and where the last one ends.
    starts: Vec<u64>,
    delimiter: u8,
}

/// Bytes in a batch of records, unless the user says otherwise.
const RECORD_BYTES: RangeInclusive<u64> = 4 * 1024..=64 * 1024;

impl<'env> Records<'env> {
    pub(crate) fn new(buffers: Vec<&'env [u8]>, delimiter: u8) -> Self {
        let mut end = 0;
        let ends = buffers.iter().map(|buffer| {
            end += buffer.len() as u64;
            end
        });
        Self { starts: std::iter::once(0).chain(ends).collect(), buffers, delimiter }
    }

    /// The records of one buffer that begin in a range of it.
    #[inline]
    fn each_of(&self, buffer: &'env [u8], range: Range<usize>, out: &mut impl FnMut(&'env [u8])) {
        let mut start = match range.start.checked_sub(1) {
            None => 0,
            Some(before) => match memchr::memchr(self.delimiter, &buffer[before..range.end]) {
                Some(place) => before + place + 1,
                None => return, // in the middle of a record
            },
        };
        if start >= range.end {
            return;
        }
        let base = start;
        for place in memchr::memchr_iter(self.delimiter, &buffer[base..]) {
            out(&buffer[start..base + place]);
            start = base + place + 1;
            if start >= range.end {
                return;
            }
        }
        out(&buffer[start..]);
    }
}

impl<'env> Indexed for Records<'env> {
    type Item = &'env [u8];
    fn len(&self) -> u64 {
        *self.starts.last().expect("one more than buffers")
    }
    fn batch(&self, size: BatchSize) -> u64 {
        match size {
            BatchSize::Growing => {
                size.of(self.len()).max((self.len() / 4096).clamp(*RECORD_BYTES.start(), *RECORD_BYTES.end()))
            }
            BatchSize::Fixed(_) => size.of(self.len()),
        }
    }
    #[inline]
    fn each(&self, batch: Batch, out: &mut impl FnMut(&'env [u8])) {
        let Range { start, end } = batch.range;
        let first = self.starts.partition_point(|begin| *begin <= start) - 1;
        for (buffer, begin) in self.buffers[first..].iter().zip(&self.starts[first..]) {
            if *begin >= end {
                break;
            }
            let index = |place: u64| usize::try_from(place - begin).expect("within a buffer");
            self.each_of(buffer, index(start.max(*begin))..index(end).min(buffer.len()), out);
        }
    }
    fn memory(&self) -> Vec<MemoryRange> {
        self.buffers.iter().map(|buffer| MemoryRange::of(*buffer)).collect()
    }
    /// Nobody knows how many records there are.
    fn count(&self, _: &Batch) -> u64 {
        0
    }
}
