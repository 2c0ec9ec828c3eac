//! A box that the first one who wants it makes. No thread waits for another one.
//!
//! Two threads may want it at once, and then both make one. The race is for whose box it is: a compare-and-swap of null
//! decides. The loser drops its own box, and uses the other one.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `once_box.put` | the winner: CAS, Release | both below | what is in the box | `loom_once_box_comes_with_what_is_in_it` |
//! | `once_box.seen` | the winner | later ones: load, Acquire | the same | `loom_once_box_comes_with_what_is_in_it` |
//! | `once_box.lost` | the winner | the loser: failed CAS, Acquire | the same | `loom_once_box_comes_with_what_is_in_it` |

#![expect(unsafe_code, reason = "a box behind an atomic pointer")]

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::edge;

/// A box that may be there; see the module. It is null, or the pointer of a box that stays until this is dropped.
#[derive(Debug)]
pub(crate) struct OnceBox<T>(AtomicPtr<T>, PhantomData<Box<T>>);

impl<T> OnceBox<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()), PhantomData)
    }

    /// Whether there is a box: a hint, unless nobody makes one now.
    pub(crate) fn is_there(&self) -> bool {
        !self.0.load(Ordering::Relaxed).is_null()
    }

    /// The content, if there is a box.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: null, or of a box that stays; borrowed exclusively for as long as the reference lives.
        unsafe { self.0.load(Ordering::Relaxed).as_mut() }
    }
}

/// `Send`: the loser drops what another thread made, or another thread drops what the winner made.
impl<T: Send> OnceBox<T> {
    /// The content. Makes a box if there is none.
    #[inline]
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> Box<T>) -> &T {
        // Acquire: what is in the box is seen.
        let there = self.0.load(edge!("once_box.seen", Acquire));
        let there = NonNull::new(there).unwrap_or_else(|| self.put(make()));
        // SAFETY: of a box that stays for as long as `self` is borrowed. Its content is seen: `once_box.seen`, or `put`.
        unsafe { there.as_ref() }
    }

    /// Puts this box there, unless there is one by now. Gives the one that is there.
    #[cold]
    fn put(&self, made: Box<T>) -> NonNull<T> {
        let made = NonNull::from(Box::leak(made));
        // Release: all see what is in the box. Acquire: so does the loser.
        let orders = (edge!("once_box.put", Release), edge!("once_box.lost", Acquire));
        match self.0.compare_exchange(ptr::null_mut(), made.as_ptr(), orders.0, orders.1) {
            Ok(_) => made,
            Err(there) => {
                // SAFETY: from a box, above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(made.as_ptr()) });
                NonNull::new(there).expect("the swap failed because it is not null")
            }
        }
    }
}

impl<T> Drop for OnceBox<T> {
    #[inline]
    fn drop(&mut self) {
        let there = self.0.load(Ordering::Relaxed);
        if !there.is_null() {
            // SAFETY: of a box, and not looked at again.
            drop(unsafe { Box::from_raw(there) });
        }
    }
}
