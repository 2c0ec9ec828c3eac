//! Pulled sources: one worker at a time takes a batch out of a supplier, into the buffer of a place.
//!
//! Two workers could call the supplier at once. The source's turn ([`crate::run::flow::source`]) prevents that: only
//! its holder calls `begin` and `pull`. Two workers could use one buffer at once. Credits prevent that: a place belongs
//! to the holder of the turn until its batch is issued, and then to the batch, until its last piece gives the credit
//! back.
//!
//! [`Iterate`] supplies the items of an iterator, which the sources in [`crate::sources`] make ([`MakeIter`]);
//! [`crate::engine::outside`] supplies those of a source that may have nothing now. [`Pulled`] is both the supply of the run
//! ([`PulledItems`]) and the head of the stage's pipe ([`Feed`]).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::engine::pipe::{Feed, Head, Parcel, Weigh};
use crate::run::cancel::{BoxedError, Carried, Cause};
use crate::run::flow::batch::{BATCH, most_absorbed};
use crate::run::flow::order::Origin;
use crate::run::flow::stage::Capacity;
use crate::run::flow::supply::{LiveItems, Load, PulledItems, Then};
use crate::run::outside::wake::{Hears, Wake};
use crate::sync::two_parts::TwoParts;
use crate::sync::{CachePadded, UnsafeCell};
use crate::unwind;

/// Where a pulled source's items come from. Only the holder of the source's turn calls it, or somebody while nothing runs.
pub(crate) trait Supplier: Send {
    type Item: Send;
    /// Begins a run, and returns how many items there are, if that is known; 0 if not. It may call user code.
    fn begin(&mut self) -> u64;
    /// Puts the next items into `items`, at most `size`, and says what comes after them. It may call user code.
    ///
    /// # Errors
    /// The source fails behind these items.
    fn supply(&mut self, items: &mut Vec<Self::Item>, size: usize) -> Result<Then, BoxedError>;
    /// Frees what it needs for a run, as nothing more is wanted in this one. Drops go no further if they panic.
    fn end(&mut self);
    /// Whether it can begin again.
    fn is_ready(&self) -> bool;
    /// For a live source: the methods of [`LiveItems`] with these names.
    fn link(&mut self, _wake: Wake) {}
    fn open(&mut self) {}
    fn close(&mut self) {}
    fn done(&mut self, _items: u64) {}
    /// For a source that a stage of the same run feeds: the failure that came behind the items supplied last; and the origins
    /// of pieces that were used up since it was asked last.
    fn carried(&mut self) -> Option<Carried> {
        None
    }
    fn used(&mut self) -> Vec<Origin> {
        Vec::new()
    }
}

/// What makes an iterator for a run.
pub(crate) trait MakeIter: Send {
    type Iter: Iterator;
    /// The iterator for a run. None if it was used up by an earlier run. It may call user code.
    fn take(&mut self) -> Option<Self::Iter>;
    fn is_ready(&self) -> bool;
}

/// Supplies the items of an iterator.
pub(crate) struct Iterate<M: MakeIter> {
    make: M,
    iter: Option<M::Iter>,
}

impl<M: MakeIter> Iterate<M> {
    pub(crate) fn new(make: M) -> Self {
        Self { make, iter: None }
    }
}

impl<M: MakeIter<Iter: Send + Iterator<Item: Send>>> Supplier for Iterate<M> {
    type Item = <M::Iter as Iterator>::Item;

    fn begin(&mut self) -> u64 {
        self.end(); // left by a run that ended early
        self.iter = self.make.take();
        self.iter.as_ref().map_or(0, exact_len)
    }
    fn supply(&mut self, items: &mut Vec<Self::Item>, size: usize) -> Result<Then, BoxedError> {
        let Some(iter) = &mut self.iter else { return Ok(Then::Ended) };
        items.extend(iter.by_ref().take(size));
        Ok(if items.len() == size { Then::More } else { Then::Ended })
    }
    fn end(&mut self) {
        unwind::drop_value(self.iter.take());
    }
    fn is_ready(&self) -> bool {
        self.make.is_ready()
    }
}

/// How many items an iterator says that it has; 0 if it does not know.
fn exact_len(iter: &impl Iterator) -> u64 {
    let (least, most) = iter.size_hint();
    if most == Some(least) { least as u64 } else { 0 }
}

/// A pulled source; see the module documentation.
pub(crate) struct Pulled<S: Supplier> {
    /// Every batch changes it, and all workers read where the buffers are.
    state: CachePadded<UnsafeCell<PulledState<S>>>,
    buffers: UnsafeCell<Buffers<S::Item>>,
    /// For a source that may have nothing now: whether it wants to hear what has been done.
    hears: Option<Hears>,
    /// Whether a stage of the same run feeds it.
    is_within: bool,
}

/// A buffer for each place.
type Buffers<T> = TwoParts<UnsafeCell<Buffer<T>>>;

/// The items of a batch.
struct Buffer<T> {
    items: Vec<T>,
    /// How the supplier failed behind these items.
    failed: Option<Cause>,
    /// The failure that came to the supplier in place of further items.
    carried: Option<Carried>,
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self { items: Vec::new(), failed: None, carried: None }
    }
}

struct PulledState<S: Supplier> {
    supplier: S,
    /// How much an item weighs, if they are weighed; and a place for the one that is.
    weigh: Option<Weigh<S::Item>>,
    weighed: Vec<S::Item>,
    /// The supplier has failed, or has said that nothing more comes.
    ended: bool,
    /// The payload of a panic while it began.
    thrown: Option<Box<dyn Any + Send>>,
    /// The largest batch so far, in any run, but at most [`BATCH`]. A buffer that must grow gets at least this much
    /// more room, so that it seldom has to grow again.
    largest: usize,
}

#[expect(unsafe_code, reason = "the holder of the source's turn pulls, the holder of a place reads its buffer")]
// SAFETY: (1) `state` is touched only by the holder of the source's turn (`begin`, `pull`, `done`), and while no
// job runs (`is_ready`, `clear`, `link`, `open`, `close`, `weigh`); (2) a buffer is touched only by the holder of the turn before the batch is issued, then by the
// one piece that owns the place, and while nothing runs (`clear`); (3) the list of buffers does not change after
// `prepare`, which is called before anything runs; (4) all of it is `Send`, and what is live is `Sync`.
unsafe impl<S: Supplier> Sync for Pulled<S> {}

impl<S: Supplier> Pulled<S> {
    pub(crate) fn new(supplier: S) -> Self {
        let state = PulledState { supplier, weigh: None, weighed: Vec::new(), ended: false, thrown: None, largest: 0 };
        let state = CachePadded::new(UnsafeCell::new(state));
        Self { state, buffers: UnsafeCell::new(TwoParts::new(0, 0)), hears: None, is_within: false }
    }

    /// A source that may have nothing now.
    pub(crate) fn live(supplier: S, hears: Hears) -> Self {
        Self { hears: Some(hears), ..Self::new(supplier) }
    }

    /// A source that a stage of the same run feeds.
    pub(crate) fn within(supplier: S) -> Self {
        Self { is_within: true, ..Self::live(supplier, Hears::new(false)) }
    }

    /// Works on the buffer of a place.
    #[inline]
    fn with_buffer<R>(&self, place: u64, work: impl FnOnce(&mut Buffer<S::Item>) -> R) -> R {
        let place = usize::try_from(place).expect("an index of a buffer");
        #[expect(unsafe_code, reason = "one owner at a time")]
        // SAFETY: (2) of `Sync`.
        self.buffers()[place].with_mut(|buffer| work(unsafe { &mut *buffer }))
    }

    #[inline]
    fn buffers(&self) -> &Buffers<S::Item> {
        #[expect(unsafe_code, reason = "written once, before anything runs")]
        // SAFETY: (3) of `Sync`.
        self.buffers.with(|buffers| unsafe { &*buffers })
    }

    /// Drops what is in the buffer of a place, and returns the number of items.
    fn empty(&self, place: u64) -> u64 {
        self.with_buffer(place, |buffer| {
            let count = buffer.items.len() as u64;
            buffer.items.drain(..).for_each(unwind::drop_value);
            drop_cause(buffer.failed.take());
            buffer.carried = None;
            count
        })
    }

    /// Works on the state that belongs to the holder of the turn.
    fn with_state<R>(&self, work: impl FnOnce(&mut PulledState<S>) -> R) -> R {
        #[expect(unsafe_code, reason = "one owner at a time")]
        // SAFETY: (1) of `Sync`.
        self.state.with_mut(|state| work(unsafe { &mut *state }))
    }
}

impl<S: Supplier> PulledState<S> {
    /// Puts the next items into `items`, at most `size`; if they are weighed, until they weigh `quota`.
    fn supply(
        &mut self,
        items: &mut Vec<S::Item>,
        size: usize,
        quota: u64,
        weight: &mut u64,
    ) -> Result<Then, BoxedError> {
        let Some(weigh) = &self.weigh else { return self.supplier.supply(items, size) };
        while items.len() < size && *weight < quota {
            let then = self.supplier.supply(&mut self.weighed, 1)?;
            let Some(item) = self.weighed.pop() else { return Ok(then) };
            items.push(item); // before it is weighed, which is user code
            *weight = weight.saturating_add(weigh(items.last().expect("just put there")));
            if then != Then::More {
                return Ok(then);
            }
        }
        Ok(Then::More)
    }
}

fn drop_cause(cause: Option<Cause>) {
    match cause {
        Some(Cause::Panic(payload)) => unwind::drop_payload(payload),
        error => unwind::drop_value(error),
    }
}

impl<S: Supplier> PulledItems for Pulled<S> {
    fn prepare(&self, capacity: Capacity) {
        let made = capacity.places();
        #[expect(unsafe_code, reason = "written once, before anything runs")]
        // SAFETY: (3) of `Sync`.
        self.buffers.with_mut(|buffers| unsafe { *buffers = made });
    }

    fn begin(&self) -> u64 {
        self.with_state(|state| {
            state.ended = false;
            catch_unwind(AssertUnwindSafe(|| state.supplier.begin())).unwrap_or_else(|panic| {
                state.supplier.end();
                state.thrown = Some(panic);
                0
            })
        })
    }

    fn pull(&self, place: u32, size: usize, quota: u64) -> Load {
        self.with_state(|state| {
            self.with_buffer(u64::from(place), |buffer| {
                drop_cause(buffer.failed.take());
                buffer.carried = None;
                if let Some(thrown) = state.thrown.take() {
                    (state.ended, buffer.failed) = (true, Some(Cause::Panic(thrown)));
                    return Load { items: Some(0), weight: 0, then: Then::Ended };
                }
                if state.ended {
                    return Load { items: None, weight: 0, then: Then::Ended };
                }
                let items = &mut buffer.items;
                state.largest = state.largest.max(size.min(BATCH));
                if items.capacity() < size {
                    items.reserve(state.largest);
                }
                let mut weight = 0;
                let supplied = catch_unwind(AssertUnwindSafe(|| state.supply(items, size, quota, &mut weight)));
                let then = supplied.map_err(Cause::Panic).and_then(|then| then.map_err(Cause::Error));
                let then = then.unwrap_or_else(|cause| {
                    buffer.failed = Some(cause);
                    Then::Ended
                });
                if then == Then::Ended {
                    state.ended = true;
                    state.supplier.end(); // frees its resources right after the last item
                }
                if buffer.failed.is_none() {
                    buffer.carried = state.supplier.carried();
                }
                let has_batch = !buffer.items.is_empty() || buffer.failed.is_some() || buffer.carried.is_some();
                Load { items: has_batch.then_some(buffer.items.len() as u64), weight, then }
            })
        })
    }

    fn most_absorbed(&self) -> usize {
        if self.hears.is_some() { BATCH } else { most_absorbed::<S::Item>() }
    }

    fn live(&self) -> Option<&dyn LiveItems> {
        self.hears.as_ref().map(|_| self as &dyn LiveItems)
    }

    fn is_ready(&self) -> bool {
        self.with_state(|state| state.supplier.is_ready())
    }

    fn clear(&self) -> u64 {
        self.with_state(|state| {
            state.supplier.end();
            if let Some(thrown) = state.thrown.take() {
                unwind::drop_payload(thrown);
            }
        });
        (0..self.buffers().made_len() as u64).map(|place| self.empty(place)).sum()
    }
}

impl<S: Supplier> LiveItems for Pulled<S> {
    fn link(&self, wake: Wake) {
        self.with_state(|state| state.supplier.link(wake));
    }
    fn open(&self) {
        self.with_state(|state| state.supplier.open());
    }
    fn close(&self) {
        self.with_state(|state| state.supplier.close());
    }
    fn is_within(&self) -> bool {
        self.is_within
    }
    fn used(&self, stopped: bool) -> Vec<Origin> {
        self.with_state(|state| {
            if stopped {
                state.supplier.end();
            }
            state.supplier.used()
        })
    }
    fn hears(&self) -> bool {
        self.hears.as_ref().is_some_and(Hears::get)
    }
    fn done(&self, items: u64) {
        self.with_state(|state| state.supplier.done(items));
    }
}

impl<S: Supplier> Head for Pulled<S> {
    fn holds(&self, parcel: Parcel) -> (u64, Option<Carried>) {
        self.with_buffer(parcel.load, |buffer| (buffer.items.len() as u64, buffer.carried.take()))
    }
    fn discard(&self, parcel: Parcel) -> u64 {
        self.empty(parcel.load)
    }
}

impl<S: Supplier> Feed for Pulled<S> {
    type Item = S::Item;
    const CALLS: bool = false; // the source's turn has made them
    fn weigh(&self, weigh: Weigh<S::Item>) -> bool {
        self.with_state(|state| state.weigh = Some(weigh));
        true
    }
    #[inline]
    fn each(&self, parcel: Parcel, out: &mut impl FnMut(S::Item)) {
        self.with_buffer(parcel.load, |buffer| {
            for item in unwind::Draining::new(&mut buffer.items) {
                out(item);
            }
            if let Some(Cause::Panic(payload)) = buffer.failed.take_if(|cause| matches!(cause, Cause::Panic(_))) {
                resume_unwind(payload);
            }
        });
    }
    fn error(&self, parcel: Parcel) -> Option<BoxedError> {
        self.with_buffer(parcel.load, |buffer| {
            let Some(Cause::Error(error)) = buffer.failed.take() else { return None };
            Some(error)
        })
    }
}
