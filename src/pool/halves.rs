//! The second halves of the joins that a seat is in the middle of: two lists through the stacks they lie on.
//!
//! Joins are nested, so the newest half is always the one of the innermost join. What nearly every half sees is that it is
//! queued and taken back by its own join: three plain stores, a compare and a store. Such halves are *fresh*: each knows
//! the one before it, and nothing else about them is set up. When halves are to be shown to thieves all fresh ones become
//! *linked*: they get a neighbour on the other side, a latch and what else a job needs. The oldest linked half, the largest
//! part of the work, is the first that is shown, as a job like any other. Each half is linked at most once, so to show one
//! costs the same however many there are.
//!
//! # Invariants
//! * H1: Every fresh half is newer than every linked one.
//! * H2: A half stays where it is until its join has taken it back from here, or from a queue of jobs, or has waited for it.

use std::cell::Cell;
use std::mem::{MaybeUninit, offset_of};
use std::ptr::{self, NonNull};

use super::job::{Group, Job, Run, Target};
use super::seat::Seat;
use crate::sync::UnsafeCell;
use crate::sync::latch::Latch;

/// What lies at the beginning of a half. Begins as a [`Target`] does, once it is linked.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Head {
    run: Run,
    linked: UnsafeCell<MaybeUninit<Linked>>,
    /// The fresh or linked half before it; null: there was none.
    older: *const Head,
}

/// What only a linked half needs.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Linked {
    /// None: a half looks after itself.
    group: Option<NonNull<Group>>,
    /// Set for all linked halves but the newest one.
    newer: Cell<*const Head>,
    /// Set when a thief is done with it.
    pub(super) latch: Latch,
    /// Where the joining thread sits: a seat lives as long as its pool, longer than any thief works there.
    pub(super) seat: NonNull<Seat>,
    /// The taken half that it is a part of; null: none. See [`super::lineage`].
    pub(super) whole: *const Head,
}

const _: () = assert!(
    offset_of!(Head, run) == offset_of!(Target, run)
        && offset_of!(Head, linked) + offset_of!(Linked, group) == offset_of!(Target, group)
);

impl Head {
    /// To be pushed as the next one.
    #[inline]
    pub(super) fn new(run: Run, halves: &Halves) -> Self {
        Self { run, linked: UnsafeCell::new(MaybeUninit::uninit()), older: halves.fresh.get() }
    }

    /// What was set up when it was linked.
    ///
    /// # Safety
    /// (1) The half was linked. (2) It is in place.
    #[expect(unsafe_code, reason = "set up when it is linked")]
    pub(super) unsafe fn linked(&self) -> &Linked {
        self.linked.with(|linked| {
            // SAFETY: (2); from the linking on nobody writes it but through cells and atomics.
            let linked = unsafe { &*linked };
            // SAFETY: (1).
            unsafe { linked.assume_init_ref() }
        })
    }

    /// The job of this half, which is linked.
    fn job(&self) -> Job {
        Job { target: NonNull::from(self).cast(), payload: 0 }
    }
}

/// The halves of a seat; see the module. All in memory of the thread that sits there.
#[derive(Debug)]
pub(crate) struct Halves {
    /// The newest of the fresh ones; none: null.
    fresh: Cell<*const Head>,
    /// The newest of the linked ones; none: null.
    newest: Cell<*const Head>,
    /// The oldest of the linked ones, if there are any.
    oldest: Cell<*const Head>,
    /// The taken half that runs here now; null: none.
    whole: Cell<*const Head>,
}

impl Halves {
    pub(super) const fn new() -> Self {
        Self {
            fresh: Cell::new(ptr::null()),
            newest: Cell::new(ptr::null()),
            oldest: Cell::new(ptr::null()),
            whole: Cell::new(ptr::null()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.get().is_null() && self.newest.get().is_null()
    }

    /// From now on new ones are parts of this one, or of none; what was it before.
    pub(super) fn replace_whole(&self, whole: *const Head) -> *const Head {
        self.whole.replace(whole)
    }

    pub(super) fn has_fresh(&self) -> bool {
        !self.fresh.get().is_null()
    }

    /// Whether a taken half runs here.
    pub(super) fn are_parts(&self) -> bool {
        !self.whole.get().is_null()
    }

    /// Puts a half in as the newest.
    ///
    /// # Safety
    /// (1) It was made for this, and none was pushed or popped since. (2) It stays where it is as H2 says.
    #[expect(unsafe_code, reason = "whoever shows it reaches it by pointer")]
    #[inline]
    pub(super) unsafe fn push(&self, half: &Head) {
        self.fresh.set(half);
    }

    /// Takes this half out, if it is still fresh. All newer ones were taken out: so if there is a fresh one it is this.
    #[inline]
    pub(super) fn pop_fresh(&self, half: &Head) -> bool {
        let fresh = self.fresh.get();
        debug_assert!(fresh.is_null() || ptr::eq(fresh, half), "a join takes its half back after all newer ones");
        if !fresh.is_null() {
            self.fresh.set(half.older);
        }
        !fresh.is_null()
    }

    /// Takes this half out, if it is linked and not shown. There is no fresh one.
    pub(super) fn pop_linked(&self, half: &Head) -> bool {
        let own = ptr::eq(self.newest.get(), half);
        if own {
            let last = ptr::eq(self.oldest.get(), half);
            self.newest.set(if last { ptr::null() } else { half.older });
        }
        own
    }

    /// Takes the oldest half out, as a job that wakes whoever sits at `seat`.
    pub(super) fn show_oldest(&self, seat: &Seat) -> Option<Job> {
        if self.newest.get().is_null() {
            self.link_fresh(seat);
        }
        let newest = self.newest.get();
        if newest.is_null() {
            return None;
        }
        #[expect(unsafe_code, reason = "lists through stacks")]
        // SAFETY: in place by H2.
        let oldest = unsafe { &*self.oldest.get() };
        if ptr::eq(oldest, newest) {
            self.newest.set(ptr::null());
        } else {
            #[expect(unsafe_code, reason = "lists through stacks")]
            // SAFETY: (1) it is in the list of linked ones; (2) in place by H2.
            self.oldest.set(unsafe { oldest.linked() }.newer.get());
        }
        Some(oldest.job())
    }

    /// Makes all fresh halves linked ones. There are no linked ones.
    fn link_fresh(&self, seat: &Seat) {
        let mut next = self.fresh.replace(ptr::null());
        self.newest.set(next);
        let mut newer: *const Head = ptr::null();
        while !next.is_null() {
            #[expect(unsafe_code, reason = "lists through stacks")]
            // SAFETY: in place by H2.
            let half = unsafe { &*next };
            half.linked.with_mut(|linked| {
                #[expect(unsafe_code, reason = "set up when it is linked")]
                // SAFETY: only this thread knows the half before it is shown.
                let linked = unsafe { &mut *linked };
                linked.write(Linked {
                    group: None,
                    newer: Cell::new(newer),
                    latch: Latch::new(),
                    seat: NonNull::from(seat),
                    whole: self.whole.get(),
                });
            });
            self.oldest.set(next);
            newer = next;
            next = half.older;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::{Halves, Head, Target};
    use crate::pool::seat::Seat;
    use crate::pool::worker::Worker;
    use crate::sync::event_count::At;

    #[expect(unsafe_code, reason = "a target's code is unsafe to call")]
    unsafe fn nothing(_: std::ptr::NonNull<Target>, _: u64, _: &Worker<'_>) {}

    proptest! {
        #[test]
        fn joins_get_back_what_was_not_shown(steps in prop::collection::vec(0..4_u8, 0..60)) {
            let (halves, seat) = (Halves::new(), Seat::new(0, At::default(), 1));
            let mut heads: Vec<Head> = Vec::with_capacity(60);
            let (mut stack, mut shown) = (Vec::new(), 0);
            for step in steps {
                match step {
                    0 | 1 => {
                        stack.push(heads.len());
                        heads.push(Head::new(nothing, &halves));
                        #[expect(unsafe_code, reason = "lists through stacks")]
                        // SAFETY: (1) just made; (2) the vector does not grow beyond its capacity.
                        unsafe { halves.push(&heads[heads.len() - 1]) };
                    }
                    2 => if let Some(top) = stack.pop() {
                        let back = halves.pop_fresh(&heads[top]) || halves.pop_linked(&heads[top]);
                        prop_assert_eq!(back, stack.len() >= shown);
                        shown = shown.min(stack.len());
                    },
                    _ => {
                        let job = halves.show_oldest(&seat);
                        let expected = stack.get(shown).map(|place| heads[*place].job().target);
                        prop_assert_eq!(job.map(|job| job.target), expected);
                        shown += usize::from(job.is_some());
                    }
                }
            }
        }
    }
}
