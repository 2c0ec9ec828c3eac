//! What a pending join looks like to the threads that may take it.
//!
//! The second closure of a join waits on the stack of its join, and is queued as an entry of the seat's ring. Nothing
//! else is set up, because the joining thread takes most of them back and no other thread ever hears of them. When the
//! seat's occupant or a raider publishes one, it also writes what a thief needs ([`Linked`]).
//!
//! # Invariants
//! * H1: A pending join stays in place until its thread has taken it back from the ring or from a queue, or has waited
//!   for it.
//! * H2: The pending joins of a seat are published in the order in which they were queued. So while a thread waits for
//!   one that a thief has taken, no older one of its seat is private.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crate::pool::work::job::{Published, Wanted, pointer};
use crate::pool::work::seat::{Public, Seat};
use crate::sync::UnsafeCell;
use crate::sync::latch::Latch;

/// What lies at the beginning of a pending join.
#[derive(Debug)]
pub(in crate::pool) struct PendingHead(UnsafeCell<MaybeUninit<Linked>>);

/// What a pending join needs only if it is published.
#[derive(Debug)]
pub(super) struct Linked {
    /// Set when a thief is done with it.
    pub(in crate::pool) latch: Latch,
    /// Where the joining thread sits. A seat lives as long as its pool, longer than any thief works there.
    pub(in crate::pool) seat: NonNull<Seat>,
    /// The taken pending join from which it descends. Null: none. See [`super::leapfrog`].
    pub(in crate::pool) ancestor: *const PendingHead,
}

impl PendingHead {
    #[inline]
    pub(in crate::pool) fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// What was set up when the pending join was published.
    ///
    /// # Safety
    /// (1) The pending join was published, and this happened before. (2) It is in place.
    #[expect(unsafe_code, reason = "set up when it is made public")]
    pub(super) unsafe fn linked(&self) -> &Linked {
        self.0.with(|linked| {
            // SAFETY: (2); from then on it is written through atomics only.
            let linked = unsafe { &*linked };
            // SAFETY: (1).
            unsafe { linked.assume_init_ref() }
        })
    }

    /// Publishes a pending join: it is its [`Target::publish`](crate::pool::work::job::Target::publish).
    ///
    /// # Safety
    /// (1), (2) of [`crate::pool::work::job::Publish`]. (3) The payload is the address of a pending join, which begins
    /// with a head.
    #[expect(unsafe_code, reason = "reaches a pending join by pointer")]
    pub(in crate::pool) unsafe fn publish(payload: u64, seat: &Seat, public: &Public, _: Wanted) -> Published {
        // SAFETY: (3), and it is in place by H1: its entry is in the ring by (1), (2).
        let head: &Self = unsafe { &*pointer(payload) };
        let new = Linked { latch: Latch::new(), seat: NonNull::from(seat), ancestor: public.ancestor };
        head.0.with_mut(|linked| {
            // SAFETY: only the thread that has the far end reaches the head, and the join waits for the far end.
            let linked = unsafe { &mut *linked };
            linked.write(new);
        });
        Published::Whole
    }
}
