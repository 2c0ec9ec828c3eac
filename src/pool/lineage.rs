//! A thread that waits for a half which was taken runs parts of it, wherever they are.
//!
//! While a thief runs a half, the joins in it make halves too, and other thieves take those: they are *parts* of the first one,
//! and their parts are. Whoever waits for the first one may run any of them, as it waits for them all.
//!
//! # How parts are known
//! (T1) A half that is linked while a taken one runs at its seat remembers that one, its *whole*: what lies on the stack above
//! the call of the whole is a part of it, and no older half is fresh then, for a thread runs taken halves on an empty stack, or
//! where it waits for a half of its own, which is linked, and so all older ones are (H1). (T2) A whole is there as long as a
//! part of it is not done: its thread has not left the join that the part is of. So whoever has a part in hand may follow it to
//! its whole, and to the whole of that. (T3) That tells exactly whether a stolen job may be run by who waits for a half. (T4) A
//! seat also shows which wholes it is in the middle of: hints, so that nobody steals what it may not run.

use std::num::NonZeroUsize;
use std::ptr;

use super::halves::Head;
use super::job::Job;
use super::worker::Worker;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::event_count::Only;

/// So many wholes of what a seat shows are seen by others, the smallest ones.
const SEEN: usize = 6;

/// The wholes of which a seat shows parts: addresses, 0 behind the last. (T4)
#[derive(Debug)]
pub(super) struct Lineage([AtomicUsize; SEEN]);

impl Lineage {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicUsize::new(0)))
    }

    // Relaxed, all of them: hints.
    pub(super) fn has(&self, whole: NonZeroUsize) -> bool {
        let wholes = self.0.iter().map(|whole| whole.load(Ordering::Relaxed));
        wholes.take_while(|whole| *whole != 0).any(|other| other == whole.get())
    }

    fn get(&self) -> [usize; SEEN] {
        std::array::from_fn(|place| self.0[place].load(Ordering::Relaxed))
    }

    fn set(&self, wholes: [usize; SEEN]) {
        self.0.iter().zip(wholes).for_each(|(place, whole)| place.store(whole, Ordering::Relaxed));
    }
}

/// The wholes of this one, itself first.
///
/// # Safety
/// (1) It is linked, and not done as long as the result is used.
#[expect(unsafe_code, reason = "follows parts to their wholes")]
unsafe fn wholes<'a>(half: *const Head) -> impl Iterator<Item = &'a Head> {
    let mut next = half;
    std::iter::from_fn(move || {
        // SAFETY: null, or alive by (1) and (T2).
        let whole = unsafe { next.as_ref() }?;
        // SAFETY: (1) it was taken, so it was linked; (2) alive by (T2).
        next = unsafe { whole.linked() }.whole;
        Some(whole)
    })
}

/// Whether a job that was stolen from a seat is a part of the half `whole`. (T3)
pub(super) fn is_part(job: &Job, whole: Only) -> bool {
    let Some(whole) = whole else { return false };
    if job.group().is_some() {
        return false;
    }
    let half: *const Head = job.target.as_ptr().cast_const().cast();
    #[expect(unsafe_code, reason = "follows parts to their wholes")]
    // SAFETY: (1) what seats show without a group is a linked half; it is in hand, so it is not done.
    let mut wholes = unsafe { wholes(half) };
    wholes.any(|half| ptr::from_ref(half).addr() == whole.get())
}

impl Worker<'_> {
    /// Whether this thread is in the middle of a taken half, as a guest may be too: then others may wait for it.
    pub(super) fn runs_half(&self) -> bool {
        self.local(|local| local.halves.are_parts())
    }

    /// Runs a taken half. (T1)
    pub(super) fn inside<R>(&self, half: &Head, run: impl FnOnce() -> R) -> R {
        let lineage = &self.seat.shown.lineage;
        let (outer, is_alone) = self.local(|local| (local.halves.replace_whole(half), local.public.is_empty()));
        let outer_lineage = lineage.get();
        let mut seen = [0; SEEN];
        // What is shown before would be taken first, and is no part of this.
        if is_alone {
            #[expect(unsafe_code, reason = "follows parts to their wholes")]
            // SAFETY: (1) it was taken to be run by this thread, and is not done before that.
            let wholes = unsafe { wholes(half) };
            seen.iter_mut().zip(wholes).for_each(|(seen, whole)| *seen = ptr::from_ref(whole).addr());
        }
        lineage.set(seen);
        let result = run();
        self.local(|local| local.halves.replace_whole(outer));
        lineage.set(outer_lineage);
        result
    }
}
