//! The source that moves the items out of a vector.
//!
//! When a run begins the items belong to their batches: each batch is moved out by the one piece that is asked for it, and
//! what nobody asks for is dropped with the source.

use super::source::{Batch, Indexed};
use crate::run::source::Piece;
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::unwind;

/// The items of a vector, moved out.
pub(crate) struct Moved<T> {
    /// Length 0 once the run has begun: each item belongs to its batch.
    items: UnsafeCell<Vec<T>>,
    len: usize,
    /// The batches that have not been asked for, in this run.
    untaken: UnsafeCell<Vec<AtomicBool>>,
    batch: AtomicU64,
    used: AtomicBool,
}

#[expect(unsafe_code, reason = "each batch is moved out once")]
// SAFETY: (1) the vectors themselves are changed only in `begin` (holder of the source's turn, before the first batch) and
// through `&mut`; (2) the items of a batch are touched only by the one piece whose batch it is; (3) items are `Send`.
unsafe impl<T: Send> Sync for Moved<T> {}

impl<T> Moved<T> {
    pub(crate) fn new(items: Vec<T>) -> Self {
        Self {
            len: items.len(),
            items: UnsafeCell::new(items),
            untaken: UnsafeCell::new(Vec::new()),
            batch: AtomicU64::new(1),
            used: AtomicBool::new(false),
        }
    }

    /// Drops the items of the batches that were not asked for.
    fn drop_untaken(&mut self) {
        let untaken = std::mem::take(self.untaken.get_mut());
        let batch = self.batch.load(Ordering::Relaxed);
        for (number, _) in untaken.iter().enumerate().filter(|(_, untaken)| untaken.load(Ordering::Relaxed)) {
            let first = number as u64 * batch;
            let range = first..first.saturating_add(batch).min(self.len as u64);
            let indices = Batch { number: 0, range }.indices();
            #[expect(unsafe_code, reason = "each batch is moved out once")]
            // SAFETY: this batch was not asked for, so its items are still there.
            let next = unsafe { self.items.get_mut().as_mut_ptr().add(indices.start) };
            drop(Rest { next, left: indices.len() });
        }
    }

    /// Takes the items of a batch: the rest of them is dropped with what this gives.
    fn take(&self, batch: &Batch) -> Rest<T> {
        let range = batch.indices();
        let number = usize::try_from(batch.number).expect("an index of a batch");
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: (1) of `Sync`: nobody changes the vector of flags now.
        let untaken = self.untaken.with(|untaken| unsafe { &*untaken });
        untaken[number].store(false, Ordering::Relaxed);
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: (1) of `Sync`: nobody changes the vector itself now.
        let items = self.items.with(|items| unsafe { &*items }).as_ptr();
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: within the allocation.
        let next = unsafe { items.add(range.start) };
        Rest { next: next.cast_mut(), left: range.len() }
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
    fn begin(&self, batches: u64, batch: u64) {
        self.batch.store(batch, Ordering::Relaxed);
        self.used.store(true, Ordering::Relaxed);
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: (1) of `Sync`: the first act of the source.
        let untaken = self.untaken.with_mut(|untaken| unsafe { &mut *untaken });
        untaken.extend((0..batches).map(|_| AtomicBool::new(true)));
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: (1) of `Sync`: the first act of the source.
        let items = self.items.with_mut(|items| unsafe { &mut *items });
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: shorter; the items are now the batches', each of which is taken or dropped by `drop_untaken`.
        unsafe {
            items.set_len(0);
        }
    }
    #[inline]
    fn each(&self, batch: Batch, out: &mut impl FnMut(T)) {
        for item in self.take(&batch) {
            out(item);
        }
    }
    fn discard(&self, batch: Batch) -> u64 {
        self.take(&batch).left as u64
    }
    fn memory(&self) -> Vec<Piece> {
        #[expect(unsafe_code, reason = "each batch is moved out once")]
        // SAFETY: (1) of `Sync`: asked while nothing runs.
        let items = self.items.with(|items| unsafe { &*items });
        vec![Piece::of(&items[..])]
    }
    fn is_ready(&self) -> bool {
        !self.used.load(Ordering::Relaxed)
    }
    fn clear(&mut self) {
        self.drop_untaken();
    }
}

impl<T> Drop for Moved<T> {
    fn drop(&mut self) {
        self.drop_untaken();
    }
}
