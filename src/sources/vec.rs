//! `vec`: the items of a vector, moved out of it.
//!
//! When a run begins, the vector gives its items up: each item belongs to its batch, and the one piece that the batch
//! is driven as moves them out. Two workers could move the same item. Batches prevent that, because each is asked for
//! once.
//!
//! An item could also be forgotten. Batches are issued from the first one on, and all that were issued have been asked
//! for when the run is over. So the items that are left then are those behind the last batch; `clear` or the drop of
//! the source drops them.

use std::mem::needs_drop;
use std::ops::Range;

use crate::engine::heads::numbered::{Batch, ByNumber};
use crate::engine::pipe::Pipe;
use crate::graph::{Graph, Stream};
use crate::run::flow::supply::MemoryRange;
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::unwind;

impl<'env> Graph<'env> {
    /// Makes a stream of the items of a vector, in order, and moves them out of it. All workers take items at once.
    ///
    /// One run uses the vector up; another run is [`NotReady`](crate::RunErrorKind::NotReady).
    #[track_caller]
    pub fn vec<T: Send + 'env>(&self, items: Vec<T>) -> Stream<'env, T, impl Pipe<Out = T> + use<'env, T>> {
        self.add_numbered("vec", Moved::new(items))
    }
}

/// The items of a vector, moved out.
pub(crate) struct Moved<T> {
    /// The vector. Its length is 0 once the run has begun, because each item belongs to its batch then.
    items: UnsafeCell<Vec<T>>,
    /// How many items there were at first.
    len: usize,
    /// The index behind the last item that was asked for. It stays 0 if items need no drop.
    asked: AtomicUsize,
    /// Whether a run has begun.
    used: AtomicBool,
}

#[expect(unsafe_code, reason = "each batch is moved out once")]
// SAFETY: (1) the vector itself is changed only in `begin` (by the holder of the source's turn, before the first batch)
// and through `&mut`; (2) the items of a batch are touched only by the one piece that the batch is driven as; (3) items
// are `Send`.
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

    /// Drops the items that no batch has asked for. Called while nothing runs.
    fn drop_rest(&self) {
        if needs_drop::<T>() && self.used.load(Ordering::Relaxed) {
            let first = self.asked.swap(self.len, Ordering::Relaxed); // a second call finds nothing left
            #[expect(unsafe_code, reason = "each batch is moved out once")]
            // SAFETY: (1) `used` says so; (2) these items lie behind those of all batches that were asked for.
            drop(unsafe { self.take(first..self.len) });
        }
    }

    /// Takes items out of the vector. Those that the returned iterator still has are dropped with it.
    ///
    /// # Safety
    /// (1) The run has begun. (2) The items in `range` are taken once.
    #[expect(unsafe_code, reason = "each batch is moved out once")]
    unsafe fn take(&self, range: Range<usize>) -> Moving<T> {
        // SAFETY: (1) of `Sync`: nothing changes the vector itself now.
        let items = self.items.with(|items| unsafe { &*items }).as_ptr();
        debug_assert!(range.start <= range.end, "the right way round");
        // SAFETY: `range` lies within the allocation.
        let next = unsafe { items.add(range.start) };
        Moving { next: next.cast_mut(), left: range.len() }
    }

    /// Takes the items of a batch.
    fn take_batch(&self, batch: &Batch) -> Moving<T> {
        if needs_drop::<T>() {
            // Relaxed: it is read when the run is over, which orders it.
            self.asked.fetch_max(batch.indices().end, Ordering::Relaxed);
        }
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: (1) batches are asked for after `begin`; (2) each batch is asked for once, by one piece.
        unsafe {
            self.take(batch.indices())
        }
    }
}

/// Moves items out one by one. Dropping it drops the items that are left.
struct Moving<T> {
    next: *mut T,
    left: usize,
}

#[expect(unsafe_code, reason = "moves items out of a vector")]
impl<T> Iterator for Moving<T> {
    type Item = T;
    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        let item = self.next;
        // SAFETY: an item was left, so this stays within the vector's allocation or points right behind it.
        self.next = unsafe { item.add(1) };
        // SAFETY: the item is initialised, belongs to this batch alone by (2) of `Sync`, and is never read again.
        Some(unsafe { item.read() })
    }
}

impl<T> Drop for Moving<T> {
    fn drop(&mut self) {
        self.by_ref().for_each(unwind::drop_value);
    }
}

impl<T: Send> ByNumber for Moved<T> {
    type Item = T;
    const IS_FIXED: bool = true;
    fn len(&self) -> u64 {
        self.len as u64
    }
    fn begin(&self) {
        self.used.store(true, Ordering::Relaxed);
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: (1) of `Sync`: the holder of the turn calls this before the first batch.
        let items = self.items.with_mut(|items| unsafe { &mut *items });
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: the length only shrinks. The items belong to the batches now; each is asked for, or dropped by
        // `drop_rest`.
        unsafe {
            items.set_len(0);
        }
    }
    #[inline(always)]
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
        // SAFETY: (1) of `Sync`: nothing runs when this is asked.
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
