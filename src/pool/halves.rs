//! The second halves of the joins that a seat is in the middle of: a list through the stacks they lie on.
//!
//! Joins are nested, so the newest half is always the one of the innermost join: to queue a half is to link it, to take it
//! back is to compare and unlink, a few plain loads and stores each. The oldest half, the largest part of the work, is what
//! is shown to thieves: it is taken from the other end, and becomes a job like any other.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use super::job::{Job, Target};

/// What lies at the beginning of a half: its job's target, and its neighbours.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Head {
    target: Target,
    older: Cell<*const Head>,
    newer: Cell<*const Head>,
}

impl Head {
    #[inline]
    pub(super) fn new(target: Target) -> Self {
        Self { target, older: Cell::new(ptr::null()), newer: Cell::new(ptr::null()) }
    }

    /// The job of this half.
    fn job(&self) -> Job {
        Job { target: NonNull::from(self).cast(), payload: 0 }
    }
}

/// The halves of a seat, from the oldest to the newest; see the module. All in memory of the thread that sits there.
#[derive(Debug)]
pub(crate) struct Halves {
    /// None while the list is empty.
    newest: Cell<*const Head>,
    oldest: Cell<*const Head>,
}

impl Halves {
    pub(super) const fn new() -> Self {
        Self { newest: Cell::new(ptr::null()), oldest: Cell::new(ptr::null()) }
    }

    /// Puts a half in as the newest.
    ///
    /// # Safety
    /// (1) It stays where it is until it was popped or shown.
    #[expect(unsafe_code, reason = "a list through stacks")]
    #[inline]
    pub(super) unsafe fn push(&self, half: &Head) {
        let newest = self.newest.replace(half);
        half.older.set(newest);
        if newest.is_null() {
            self.oldest.set(half);
        } else {
            // SAFETY: in the list, so in place: (1) of its own push.
            unsafe { &*newest }.newer.set(half);
        }
    }

    /// Takes the newest half out, if it is this one; `false`: it was shown.
    #[inline]
    pub(super) fn pop(&self, half: &Head) -> bool {
        let own = ptr::eq(self.newest.get(), half);
        if own {
            self.newest.set(half.older.get());
        }
        own
    }

    /// Takes the oldest half out, as a job.
    pub(super) fn show_oldest(&self) -> Option<Job> {
        let newest = self.newest.get();
        if newest.is_null() {
            return None;
        }
        #[expect(unsafe_code, reason = "a list through stacks")]
        // SAFETY: in the list, so in place: (1) of `push`.
        let oldest = unsafe { &*self.oldest.get() };
        if ptr::eq(oldest, newest) {
            self.newest.set(ptr::null());
            return Some(oldest.job());
        }
        let next = oldest.newer.get();
        self.oldest.set(next);
        #[expect(unsafe_code, reason = "a list through stacks")]
        // SAFETY: in the list, so in place: (1) of `push`. The neighbour of one that is not the newest was set by its push.
        unsafe { &*next }.older.set(ptr::null());
        Some(oldest.job())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::{Halves, Head, Target};
    use crate::pool::worker::Worker;

    #[expect(unsafe_code, reason = "a target's code is unsafe to call")]
    unsafe fn nothing(_: std::ptr::NonNull<Target>, _: u64, _: &Worker<'_>) {}

    fn heads(count: usize) -> Vec<Head> {
        (0..count).map(|_| Head::new(Target { run: nothing, group: None })).collect()
    }

    proptest! {
        #[test]
        fn joins_get_back_what_was_not_shown(steps in prop::collection::vec(0..3_u8, 0..60)) {
            let (heads, halves) = (heads(60), Halves::new());
            let (mut stack, mut shown) = (Vec::new(), 0);
            for (i, step) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        #[expect(unsafe_code, reason = "a list through stacks")]
                        // SAFETY: (1) the heads stay where they are.
                        unsafe { halves.push(&heads[i]) };
                        stack.push(i);
                    }
                    1 => if let Some(top) = stack.pop() {
                        prop_assert_eq!(halves.pop(&heads[top]), stack.len() >= shown);
                        shown = shown.min(stack.len());
                    },
                    _ => {
                        let job = halves.show_oldest();
                        let expected = stack.get(shown).map(|place| heads[*place].job().target);
                        prop_assert_eq!(job.map(|job| job.target), expected);
                        shown += usize::from(job.is_some());
                    }
                }
                prop_assert_eq!(halves.newest.get().is_null(), stack.len() == shown);
            }
        }
    }
}
