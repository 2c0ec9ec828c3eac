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
        debug_assert!(!self.local(|local| local.halves.has_fresh()), "it would be taken for a part of this");
        let mut seen = [0; SEEN];
        // What is shown before would be taken first, and is no part of this.
        if self.local(|local| local.public.is_empty()) {
            #[expect(unsafe_code, reason = "follows parts to their wholes")]
            // SAFETY: (1) it was taken to be run by this thread, and is not done before that.
            let wholes = unsafe { wholes(half) };
            seen.iter_mut().zip(wholes).for_each(|(seen, whole)| *seen = ptr::from_ref(whole).addr());
        }
        self.within(half, seen, run)
    }

    /// Runs what is no part of anything, though a taken half may be under way here: a call of a broadcast.
    pub(super) fn outside<R>(&self, run: impl FnOnce() -> R) -> R {
        self.within(ptr::null(), [0; SEEN], run)
    }

    /// `run` does not unwind.
    fn within<R>(&self, whole: *const Head, seen: [usize; SEEN], run: impl FnOnce() -> R) -> R {
        let lineage = &self.seat.shown.lineage;
        let (outer, outer_seen) = (self.local(|local| local.halves.replace_whole(whole)), lineage.get());
        lineage.set(seen);
        let result = run();
        self.local(|local| local.halves.replace_whole(outer));
        lineage.set(outer_seen);
        result
    }
}

#[cfg(all(test, not(loom)))]
#[expect(unsafe_code, reason = "sets up seats by hand")]
mod tests {
    use std::ptr::NonNull;

    use super::*;
    use crate::pool::Shared;
    use crate::pool::halves::Halves;
    use crate::pool::job::Target;
    use crate::pool::seat::Seat;
    use crate::pool::victims::Layout;
    use crate::sync::latch::Latch;

    unsafe fn nothing(_: NonNull<Target>, _: u64, _: &Worker<'_>) {}

    /// A half that is shown by this seat.
    fn shown(seat: &Seat, head: &Head, halves: &Halves) -> Job {
        // SAFETY: (1) just made; (2) it stays until the end of the test.
        unsafe { halves.push(head) };
        halves.show_oldest(seat).expect("one is there")
    }

    #[test]
    fn a_call_of_a_broadcast_is_no_part_of_what_it_interrupts() {
        let shared = Shared::new(Layout::flat(1), 1);
        let (seat, halves) = (&shared.seats[0], Halves::new());
        let half = Head::new(nothing, &halves);
        let id = shown(seat, &half, &halves).id();
        Worker::at(&shared, seat, |worker| {
            let seen = || (seat.shown.lineage.has(id), worker.runs_half());
            worker.inside(&half, || {
                assert_eq!(seen(), (true, true));
                worker.outside(|| assert_eq!(seen(), (false, false)));
                assert_eq!(seen(), (true, true));
            });
            assert_eq!(seen(), (false, false));
        });
    }

    /// Two wait for what one seat shows, and are woken for one part, which is taken back. A job from outside, for which nobody
    /// else was woken, must not be forgotten.
    #[test]
    fn who_is_woken_in_vain_passes_on() {
        let shared = Shared::new(Layout::flat(5), 5);
        let [shows, one, two, free, finds] = [0, 1, 2, 3, 4].map(|seat| &shared.seats[seat]);
        let wholes = [1, 2].map(|whole| NonZeroUsize::new(whole << 12));
        (0..5).for_each(|_| shared.idle.enter());
        shared.idle.search();
        shared.idle.announce(&free.parker, free.at, None, false);
        shared.idle.announce(&one.parker, one.at, wholes[0], false);
        shared.idle.announce(&two.parker, two.at, wholes[1], false);
        shows.shown.lineage.set([1 << 12, 2 << 12, 0, 0, 0, 0]);
        let halves = Halves::new();
        let part = Head::new(nothing, &halves);
        let job = shown(shows, &part, &halves);
        // SAFETY: (1) nobody else is there; (2) it only pushes.
        unsafe { shows.local(|local| local.public.push(job)) };
        shared.idle.search();
        let target = Target { run: nothing, group: Some(NonNull::from(&shared.detached)) };
        shared.inject(Job { target: NonNull::from(&target), payload: 0 });
        shared.idle.found(); // something else
        Worker::at(&shared, finds, Worker::wake_for_rest);
        assert!(one.parker.try_take() && two.parker.try_take() && !free.parker.try_take());
        // SAFETY: (1) nobody else is there; (2) it only pops.
        unsafe { shows.local(|local| local.public.pop()) };
        for (seat, whole) in [one, two].into_iter().zip(wholes) {
            seat.parker.unpark(); // it does not sleep long
            Worker::at(&shared, seat, |worker| worker.sleep_for(&Latch::new(), whole, true));
        }
        assert!(free.parker.try_take(), "it sleeps though there is a job that nobody looks for");
        shared.injectors[0].take(None).expect("the job");
    }
}
