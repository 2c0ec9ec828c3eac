//! A thread that waits for a half which was taken runs parts of it, wherever they are.
//!
//! While a thief runs a half, the joins in it make halves too, and other thieves take those: they are *parts* of the first one,
//! and their parts are. Whoever waits for the first one may run any of them, as it waits for them all.
//!
//! # How parts are known
//! (T1) A half that is made public while a taken one runs at its seat remembers that one, its *ancestor*: what lies on the
//! stack above the call of the ancestor is a part of it. No older half of the seat is private then: a thread runs a taken half
//! on an empty stack, or where it waits for a half of its own, which was taken (H2). (T2) An ancestor is there as long as a part
//! of it is not done: its thread has not left the join that the part is of. So whoever has a part in hand may follow it to its
//! ancestor, and to the ancestor of that. (T3) That tells exactly whether a stolen job may be run by who waits for a half. (T4)
//! A seat also signals which ancestors it is in the middle of: hints, so that nobody steals what it may not run.

use std::num::NonZeroUsize;
use std::ptr;

use super::half::Head;
use crate::pool::work::job::{Job, pointer};
use crate::pool::work::worker::Worker;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::event_count::Only;

/// So many ancestors of what a seat publishes are seen by others, the smallest ones.
const SEEN: usize = 6;

/// The ancestors of what a seat publishes: addresses, 0 behind the last. (T4)
#[derive(Debug)]
pub(in crate::pool) struct Lineage([AtomicUsize; SEEN]);

impl Lineage {
    pub(in crate::pool) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicUsize::new(0)))
    }

    // Relaxed, all of them: hints.
    pub(in crate::pool) fn has(&self, ancestor: NonZeroUsize) -> bool {
        let ancestors = self.0.iter().map(|ancestor| ancestor.load(Ordering::Relaxed));
        ancestors.take_while(|other| *other != 0).any(|other| other == ancestor.get())
    }

    fn get(&self) -> [usize; SEEN] {
        std::array::from_fn(|place| self.0[place].load(Ordering::Relaxed))
    }

    fn set(&self, ancestors: [usize; SEEN]) {
        self.0.iter().zip(ancestors).for_each(|(place, ancestor)| place.store(ancestor, Ordering::Relaxed));
    }
}

/// The ancestors of this one, itself first.
///
/// # Safety
/// (1) It was made public, and is not done as long as the result is used.
#[expect(unsafe_code, reason = "follows parts to their ancestors")]
unsafe fn ancestors<'a>(half: *const Head) -> impl Iterator<Item = &'a Head> {
    let mut next = half;
    std::iter::from_fn(move || {
        // SAFETY: null, or alive by (1) and (T2).
        let ancestor = unsafe { next.as_ref() }?;
        // SAFETY: (1) it was taken, so it was made public; (2) alive by (T2).
        next = unsafe { ancestor.linked() }.ancestor;
        Some(ancestor)
    })
}

/// Whether a job that was stolen from a seat is a part of the half `ancestor`. (T3)
pub(in crate::pool) fn is_part(job: &Job, ancestor: Only) -> bool {
    let Some(ancestor) = ancestor else { return false };
    if job.group().is_some() {
        return false;
    }
    #[expect(unsafe_code, reason = "follows parts to their ancestors")]
    // SAFETY: (1) what lies in public deques without a group is a half; it is in hand, so it is not done.
    let mut ancestors = unsafe { ancestors(pointer(job.payload)) };
    ancestors.any(|half| ptr::from_ref(half).addr() == ancestor.get())
}

impl Worker<'_> {
    /// Whether this thread is in the middle of a taken half, as a guest may be too: then others may wait for it.
    pub(in crate::pool) fn runs_half(&self) -> bool {
        !self.own.far_end().ancestor.is_null()
    }

    /// Runs a taken half. (T1)
    pub(in crate::pool) fn inside<R>(&self, half: &Head, run: impl FnOnce() -> R) -> R {
        let mut seen = [0; SEEN];
        // What is public before would be taken first, and is no part of this.
        if self.seat.stealer.is_empty() {
            #[expect(unsafe_code, reason = "follows parts to their ancestors")]
            // SAFETY: (1) it was taken to be run by this thread, and is not done before that.
            let ancestors = unsafe { ancestors(half) };
            seen.iter_mut().zip(ancestors).for_each(|(seen, half)| *seen = ptr::from_ref(half).addr());
        }
        self.within(half, seen, run)
    }

    /// Runs what is no part of anything, though a taken half may be under way here: a call of a broadcast. All that is
    /// private goes first: so it keeps its ancestor.
    pub(in crate::pool) fn outside<R>(&self, run: impl FnOnce() -> R) -> R {
        self.publish_all();
        self.within(ptr::null(), [0; SEEN], run)
    }

    /// `run` does not unwind.
    fn within<R>(&self, half: *const Head, seen: [usize; SEEN], run: impl FnOnce() -> R) -> R {
        let lineage = &self.seat.signals.lineage;
        let replace = |half| std::mem::replace(&mut self.own.far_end().ancestor, half);
        let (outer, outer_seen) = (replace(half), lineage.get());
        lineage.set(seen);
        let result = run();
        replace(outer);
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
    use crate::pool::work::job::{Target, Wanted};
    use crate::pool::work::seat::Seat;
    use crate::pool::work::victims::Layout;
    use crate::sync::latch::Latch;

    unsafe fn nothing(_: NonNull<Target>, _: u64, _: &Worker<'_>) {}

    const HALF: &Target = &Target { run: nothing, group: None, publish: Some(Head::publish) };

    /// A half that this seat makes public, and nobody has yet.
    fn published(seat: &Seat, head: &Head) -> Job {
        // SAFETY: (1) nobody else is there; (2) nor was.
        let far = unsafe { seat.ring.owner() }.far_end();
        let job = Job::about(HALF, head);
        // SAFETY: (1) as if it was an entry; (2) the owner is the caller; (3) it is a head.
        unsafe { Head::publish(job.payload, seat, &far, Wanted::All) };
        job
    }

    #[test]
    fn a_call_of_a_broadcast_is_no_part_of_what_it_interrupts() {
        let shared = Shared::new(Layout::flat(1), 1);
        let (seat, half) = (&shared.seats[0], Head::new());
        let id = published(seat, &half).id();
        Worker::at(&shared, seat, |worker| {
            let seen = || (seat.signals.lineage.has(id), worker.runs_half());
            worker.inside(&half, || {
                assert_eq!(seen(), (true, true));
                worker.outside(|| assert_eq!(seen(), (false, false)));
                assert_eq!(seen(), (true, true));
            });
            assert_eq!(seen(), (false, false));
        });
    }

    /// A seat shows an ancestor that it is not in the middle of any more. What is there is stolen for who waits for that one; but
    /// only parts of it are run, and all else is given back.
    #[test]
    fn what_an_old_hint_has_promised_is_not_run() {
        let shared = Shared::new(Layout::flat(2), 2);
        let [shows, waits] = [0, 1].map(|seat| &shared.seats[seat]);
        let [ancestor, part, other] = [(); 3].map(|()| Head::new());
        let target = Target::new(nothing, Some(NonNull::from(&shared.detached)));
        let id = published(shows, &ancestor).id();
        // SAFETY: (1) nobody else is there; (2) nor was.
        let own = unsafe { shows.ring.owner() };
        shows.signals.lineage.set([id.get(), 0, 0, 0, 0, 0]);
        let finds = |job: Job| {
            own.far_end().deque.push(job);
            Worker::at(&shared, waits, |worker| worker.find_elsewhere(Some(id))).map(|job| job.payload)
        };
        for foreign in [published(shows, &other), Job { target: NonNull::from(&target), payload: 0 }] {
            assert_eq!(finds(foreign), None, "it is not what is waited for");
            let back = shared.injectors[0].take(Some(foreign.id())).map(|job| job.payload);
            assert_eq!(back, Some(foreign.payload), "it is for others");
        }
        own.far_end().ancestor = &raw const ancestor;
        let part = published(shows, &part);
        assert_eq!(finds(part), Some(part.payload));
    }

    /// Two wait for what one seat has published, and are woken for one part, which is taken back. A job from outside, for which
    /// nobody else was woken, must not be forgotten.
    #[test]
    fn who_is_woken_in_vain_passes_on() {
        let shared = Shared::new(Layout::flat(5), 5);
        let [shows, one, two, free, finds] = [0, 1, 2, 3, 4].map(|seat| &shared.seats[seat]);
        let ancestors = [1, 2].map(|ancestor| NonZeroUsize::new(ancestor << 12));
        (0..5).for_each(|_| shared.idle.enter());
        shared.idle.search();
        shared.idle.announce(&free.parker, free.at(), None, false);
        shared.idle.announce(&one.parker, one.at(), ancestors[0], false);
        shared.idle.announce(&two.parker, two.at(), ancestors[1], false);
        shows.signals.lineage.set([1 << 12, 2 << 12, 0, 0, 0, 0]);
        let part = Head::new();
        let job = published(shows, &part);
        // SAFETY: (1) nobody else is there; (2) nor was.
        let own = unsafe { shows.ring.owner() };
        own.far_end().deque.push(job);
        shared.idle.search();
        let target = Target::new(nothing, Some(NonNull::from(&shared.detached)));
        shared.inject(Job { target: NonNull::from(&target), payload: 0 });
        shared.idle.found(); // something else
        Worker::at(&shared, finds, Worker::wake_for_rest);
        assert!(one.parker.try_take() && two.parker.try_take() && !free.parker.try_take());
        own.far_end().deque.pop();
        for (seat, ancestor) in [one, two].into_iter().zip(ancestors) {
            seat.parker.unpark(); // it does not sleep long
            Worker::at(&shared, seat, |worker| worker.sleep_for(&Latch::new(), ancestor, true));
        }
        assert!(free.parker.try_take(), "it sleeps though there is a job that nobody looks for");
        shared.injectors[0].take(None).expect("the job");
    }
}
