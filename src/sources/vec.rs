//! `vec`: the items of a vector, moved out of it.
//!
//! When a run begins the items belong to their batches: each batch is moved out by the one piece that is asked for it. Batches
//! are issued from the first one on, and all that were issued have been asked for when the run is over. So what is left then is
//! all that lies behind the last one, and goes with the source.

use std::mem::needs_drop;
use std::ops::Range;

use crate::engine::numbered::{Batch, Indexed};
use crate::engine::pipe::Pipe;
use crate::graph::{Graph, Stream};
use crate::run::flow::supply::MemoryRange;
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::unwind;

impl<'env> Graph<'env> {
    /// The items of a vector, moved out of it, from all workers at once. One run uses it up.
    #[track_caller]
    pub fn vec<T: Send + 'env>(&self, items: Vec<T>) -> Stream<'env, T, impl Pipe<Out = T> + use<'env, T>> {
        self.add_numbered("vec", Moved::new(items))
    }
}

/// The items of a vector, moved out.
pub(crate) struct Moved<T> {
    /// Length 0 once the run has begun: each item belongs to its batch.
    items: UnsafeCell<Vec<T>>,
    len: usize,
    /// Behind the last item that was asked for.
    asked: AtomicUsize,
    used: AtomicBool,
}

#[expect(unsafe_code, reason = "each batch is moved out once")]
// SAFETY: (1) the vector itself is changed only in `begin` (holder of the source's turn, before the first batch) and
// through `&mut`; (2) the items of a batch are touched only by the one piece whose batch it is; (3) items are `Send`.
unsafe impl<T: Send> Sync for Moved<T> {}

impl<T> Moved<T> {
    pub(crate) fn new(items: Vec<T>) -> Self {
        Self {
            len: items.len(),
            items: UnsafeCell::new(items),
            asked: AtomicUsize::new(0),
            used: AtomicBool::new(false),
        }
    }

    /// Drops the items that nobody was asked for; while nothing runs.
    fn drop_rest(&self) {
        if needs_drop::<T>() && self.used.load(Ordering::Relaxed) {
            let first = self.asked.swap(self.len, Ordering::Relaxed); // once
            #[expect(unsafe_code, reason = "each batch is moved out once")]
            // SAFETY: (1) it has; (2) these are of later batches than all that were asked for.
            drop(unsafe { self.take(first..self.len) });
        }
    }

    /// Takes items out: the rest of them is dropped with what this gives.
    ///
    /// # Safety
    /// (1) The run has begun. (2) They are the items of batches whose items nobody has taken or takes.
    #[expect(unsafe_code, reason = "each batch is moved out once")]
    unsafe fn take(&self, range: Range<usize>) -> Rest<T> {
        // SAFETY: (1) of `Sync`: nobody changes the vector itself now.
        let items = self.items.with(|items| unsafe { &*items }).as_ptr();
        debug_assert!(range.start <= range.end, "the right way round");
        // SAFETY: within the allocation.
        let next = unsafe { items.add(range.start) };
        Rest { next: next.cast_mut(), left: range.len() }
    }

    /// Takes the items of a batch.
    fn take_batch(&self, batch: &Batch) -> Rest<T> {
        if needs_drop::<T>() {
            // Relaxed: looked at when the run is over.
            self.asked.fetch_max(batch.indices().end, Ordering::Relaxed);
        }
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: (1) a batch is asked for after `begin`; (2) each one once, by one piece.
        unsafe {
            self.take(batch.indices())
        }
    }
}

/// Items that are moved out one by one; those left are dropped with it.
struct Rest<T> {
    next: *mut T,
    left: usize,
}

#[expect(unsafe_code, reason = "moves items out of a vector")]
impl<T> Iterator for Rest<T> {
    type Item = T;
    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        let item = self.next;
        // SAFETY: within the vector's allocation: `left` items follow.
        self.next = unsafe { item.add(1) };
        // SAFETY: initialised, and this batch's alone: (2) of `Sync`; never read again.
        Some(unsafe { item.read() })
    }
}

impl<T> Drop for Rest<T> {
    fn drop(&mut self) {
        self.by_ref().for_each(unwind::drop_value);
    }
}

impl<T: Send> Indexed for Moved<T> {
    type Item = T;
    fn len(&self) -> u64 {
        self.len as u64
    }
    fn begin(&self) {
        self.used.store(true, Ordering::Relaxed);
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: (1) of `Sync`: the first act of the source.
        let items = self.items.with_mut(|items| unsafe { &mut *items });
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: shorter; the items are now the batches', each of which is asked for, or dropped with the rest.
        unsafe {
            items.set_len(0);
        }
    }
    #[inline]
    fn each(&self, batch: Batch, out: &mut impl FnMut(T)) {
        for item in self.take_batch(&batch) {
            out(item);
        }
    }
    fn discard(&self, batch: Batch) -> u64 {
        let count = self.count(&batch);
        if needs_drop::<T>() {
            drop(self.take_batch(&batch));
        }
        count
    }
    fn memory(&self) -> Vec<MemoryRange> {
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: (1) of `Sync`: asked while nothing runs.
        let items = self.items.with(|items| unsafe { &*items });
        vec![MemoryRange::of(&items[..])]
    }
    fn is_ready(&self) -> bool {
        !self.used.load(Ordering::Relaxed)
    }
    fn clear(&self) {
        self.drop_rest();
    }
}

impl<T> Drop for Moved<T> {
    fn drop(&mut self) {
        self.drop_rest();
    }
}
