//! Pulled sources: one worker at a time takes a batch out of an iterator, into the buffer of a place.
//!
//! Two workers could call the iterator at once. The source's turn ([`crate::run::flow::source`]) prevents that: only
//! its holder calls `begin` and `pull`. Two workers could use one buffer at once. Credits prevent that: a place belongs
//! to the holder of the turn until its batch is issued, and then to the batch, until its last piece gives the credit
//! back.
//!
//! The sources in [`crate::sources`] implement [`MakeIter`]. [`Pulled`] is both the supply of the run ([`PulledItems`])
//! and the head of the stage's pipe ([`Feed`]).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::pipe::{Feed, Head, Parcel};
use crate::run::cancel::Carried;
use crate::run::flow::batch::BATCH;
use crate::run::flow::supply::{Pull, PulledItems};
use crate::sync::{CachePadded, UnsafeCell};
use crate::unwind;

/// Where a pulled source's iterator comes from.
pub(crate) trait MakeIter: Send {
    type Iter: Iterator;
    /// The iterator for a run. None if it was used up by an earlier run. It may call user code.
    fn take(&mut self) -> Option<Self::Iter>;
    fn is_ready(&self) -> bool;
}

/// A pulled source; see the module documentation.
pub(crate) struct Pulled<O: MakeIter> {
    /// Every batch changes it, and all workers read where the buffers are.
    state: CachePadded<UnsafeCell<PulledState<O>>>,
    buffers: UnsafeCell<Buffers<Item<O>>>,
}

/// A buffer for each place.
type Buffers<T> = Box<[UnsafeCell<Buffer<T>>]>;

/// The items of a batch.
struct Buffer<T> {
    items: Vec<T>,
    /// The payload of a panic of the iterator. It is thrown again after the items that came before it.
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

struct PulledState<O: MakeIter> {
    make: O,
    iter: Option<O::Iter>,
    /// The payload of a panic while the iterator was made.
    thrown: Option<Box<dyn Any + Send>>,
    /// The largest batch so far, in any run, but at most [`BATCH`]. A buffer that must grow gets at least this much
    /// more room, so that it seldom has to grow again.
    largest: usize,
}

#[expect(unsafe_code, reason = "the holder of the source's turn pulls, the holder of a place reads its buffer")]
// SAFETY: (1) `state` is touched only by the holder of the source's turn (`begin`, `pull`), and while nothing runs
// (`is_ready`, `clear`); (2) a buffer is touched only by the holder of the turn before the batch is issued, then by the
// one piece that owns the place, and while nothing runs (`clear`); (3) the list of buffers does not change after
// `prepare`, which is called before anything runs; (4) all of it is `Send`.
unsafe impl<O: MakeIter<Iter: Send + Iterator<Item: Send>>> Sync for Pulled<O> {}

impl<O: MakeIter> Pulled<O> {
    pub(crate) fn new(make: O) -> Self {
        Self {
            state: CachePadded::new(UnsafeCell::new(PulledState { make, iter: None, thrown: None, largest: 0 })),
            buffers: UnsafeCell::new(Box::default()),
        }
    }

    /// Works on the buffer of a place.
    #[inline]
    fn with_buffer<R>(&self, place: u64, work: impl FnOnce(&mut Buffer<Item<O>>) -> R) -> R {
        let place = usize::try_from(place).expect("an index of a buffer");
        #[expect(unsafe_code, reason = "one owner at a time")]
        // SAFETY: (2) of `Sync`.
        self.buffers()[place].with_mut(|buffer| work(unsafe { &mut *buffer }))
    }

    #[inline]
    fn buffers(&self) -> &[UnsafeCell<Buffer<Item<O>>>] {
        #[expect(unsafe_code, reason = "written once, before anything runs")]
        // SAFETY: (3) of `Sync`.
        self.buffers.with(|buffers| unsafe { &**buffers })
    }

    /// Drops what is in the buffer of a place, and returns the number of items.
    fn empty(&self, place: u64) -> u64 {
        self.with_buffer(place, |buffer| {
            let count = buffer.items.len() as u64;
            buffer.items.drain(..).for_each(unwind::drop_value);
            buffer.drop_thrown();
            count
        })
    }

    /// Works on the state that belongs to the holder of the turn.
    fn with_state<R>(&self, work: impl FnOnce(&mut PulledState<O>) -> R) -> R {
        #[expect(unsafe_code, reason = "one owner at a time")]
        // SAFETY: (1) of `Sync`.
        self.state.with_mut(|state| work(unsafe { &mut *state }))
    }
}

/// How many items an iterator says that it has; 0 if it does not know.
fn exact_len(iter: &impl Iterator) -> u64 {
    let (least, most) = iter.size_hint();
    if most == Some(least) { least as u64 } else { 0 }
}

impl<O: MakeIter<Iter: Send + Iterator<Item: Send>>> PulledItems for Pulled<O> {
    fn prepare(&self, places: usize) {
        let buffer = || UnsafeCell::new(Buffer { items: Vec::new(), thrown: None });
        let made = (0..places).map(|_| buffer()).collect();
        #[expect(unsafe_code, reason = "written once, before anything runs")]
        // SAFETY: (3) of `Sync`.
        self.buffers.with_mut(|buffers| unsafe { *buffers = made });
    }

    fn begin(&self) -> u64 {
        self.with_state(|state| {
            unwind::drop_value(state.iter.take()); // left by a run that ended early
            let made = catch_unwind(AssertUnwindSafe(|| {
                state.iter = state.make.take();
                state.iter.as_ref().map_or(0, exact_len)
            }));
            made.unwrap_or_else(|panic| {
                unwind::drop_value(state.iter.take());
                state.thrown = Some(panic);
                0
            })
        })
    }

    fn pull(&self, place: u32, size: usize) -> Pull {
        self.with_state(|state| {
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
                        unwind::drop_value(state.iter.take()); // frees its resources right after the last item
                        if items == 0 { Pull::Nothing } else { Pull::Last(items) }
                    }
                }
            })
        })
    }

    fn is_ready(&self) -> bool {
        self.with_state(|state| state.make.is_ready())
    }

    fn clear(&self) -> u64 {
        self.with_state(|state| {
            unwind::drop_value(state.iter.take());
            if let Some(thrown) = state.thrown.take() {
                unwind::drop_payload(thrown);
            }
        });
        (0..self.buffers().len() as u64).map(|place| self.empty(place)).sum()
    }
}

impl<O: MakeIter<Iter: Send + Iterator<Item: Send>>> Head for Pulled<O> {
    fn holds(&self, parcel: Parcel) -> (u64, Option<Carried>) {
        (self.with_buffer(parcel.load, |buffer| buffer.items.len() as u64), None)
    }
    fn discard(&self, parcel: Parcel) -> u64 {
        self.empty(parcel.load)
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
