//! A thread that waits for a stolen join runs descendants of it meanwhile. This is leapfrogging: Wagner and Calder,
//! "Leapfrogging: A Portable Technique for Implementing Efficient Futures", 1993.
//!
//! A thief runs the closure that it took. The joins in that closure queue pending joins too, and other thieves take
//! those: they are *descendants* of the first pending join, and it is their *ancestor*. The thread that waits for the
//! first one may run any of its descendants, because it waits for all of them.
//!
//! # How descendants are known
//! * T1: When a seat publishes a pending join while it runs a stolen one, the pending join records the stolen one as
//!   its parent. Everything above the stolen closure's call on the stack belongs to it. No older pending join of the
//!   seat is private then: the thread runs what it stole on an empty stack, or where it waits for a pending join of its
//!   own that was taken (H2).
//! * T2: An ancestor outlives its descendants: its thread cannot leave the join that a descendant belongs to before the
//!   descendant is done. So a thread that has a descendant in hand may follow it to its parent, and on from there.
//! * T3: These links tell exactly whether a thread that waits for some ancestor may run a stolen job.
//! * T4: A seat also signals which ancestors its public jobs descend from. These are hints: they keep a waiting thread
//!   from stealing what it may not run.

use std::num::NonZeroUsize;
use std::ptr;

use super::pending::PendingHead;
use crate::pool::work::job::{Job, pointer};
use crate::pool::work::worker::Worker;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::event_count::Only;

/// How many ancestors of what it publishes a seat signals at most: the nearest ones.
const SEEN: usize = 6;

/// The ancestors of what a seat publishes: their addresses, and 0 behind the last. (T4)
#[derive(Debug)]
pub(in crate::pool) struct Ancestors([AtomicUsize; SEEN]);

impl Ancestors {
    pub(in crate::pool) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicUsize::new(0)))
    }

    // Relaxed, all of them: hints.
    pub(in crate::pool) fn has(&self, ancestor: NonZeroUsize) -> bool {
        self.iter().any(|other| other == ancestor)
    }

    /// The ancestors, the nearest first.
    pub(in crate::pool) fn iter(&self) -> impl Iterator<Item = NonZeroUsize> {
        self.0.iter().map_while(|ancestor| NonZeroUsize::new(ancestor.load(Ordering::Relaxed)))
    }

    fn get(&self) -> [usize; SEEN] {
        std::array::from_fn(|place| self.0[place].load(Ordering::Relaxed))
    }

    fn set(&self, ancestors: [usize; SEEN]) {
        self.0.iter().zip(ancestors).for_each(|(place, ancestor)| place.store(ancestor, Ordering::Relaxed));
    }
}

/// A pending join and its ancestors, the nearest first.
///
/// # Safety
/// (1) The pending join was published, and is not done as long as the result is used.
#[expect(unsafe_code, reason = "follows descendants to their ancestors")]
unsafe fn ancestors<'a>(pending: *const PendingHead) -> impl Iterator<Item = &'a PendingHead> {
    let mut next = pending;
    std::iter::from_fn(move || {
        // SAFETY: null, or alive by (1) and (T2).
        let ancestor = unsafe { next.as_ref() }?;
        // SAFETY: (1) it was taken, so it was published; (2) alive by (T2).
        next = unsafe { ancestor.linked() }.ancestor;
        Some(ancestor)
    })
}

/// Whether a job that was taken from a public deque descends from the pending join `ancestor`. (T3)
pub(in crate::pool) fn is_descendant(job: &Job, ancestor: Only) -> bool {
    let Some(ancestor) = ancestor else { return false };
    if job.group().is_some() {
        return false;
    }
    #[expect(unsafe_code, reason = "follows descendants to their ancestors")]
    // SAFETY: (1) a job without a group in a public deque is a pending join; this one is in hand, so it is not done.
    let mut ancestors = unsafe { ancestors(pointer(job.payload)) };
    ancestors.any(|pending| ptr::from_ref(pending).addr() == ancestor.get())
}

impl Worker<'_> {
    /// Whether this thread is in the middle of a stolen join. Then others may wait for it, also if it is a guest.
    pub(in crate::pool) fn runs_taken(&self) -> bool {
        !self.own.far_end().ancestor.is_null()
    }

    /// Runs a stolen join. (T1)
    pub(in crate::pool) fn inside<R>(&self, pending: &PendingHead, run: impl FnOnce() -> R) -> R {
        let mut seen = [0; SEEN];
        // Public jobs are taken first, and those that are public already do not descend from this: it signals nothing.
        if self.seat.stealer.is_empty() {
            #[expect(unsafe_code, reason = "follows descendants to their ancestors")]
            // SAFETY: (1) it was taken to be run by this thread, and is not done before that.
            let ancestors = unsafe { ancestors(pending) };
            seen.iter_mut().zip(ancestors).for_each(|(seen, pending)| *seen = ptr::from_ref(pending).addr());
        }
        self.within(pending, seen, run)
    }

    /// Runs a call of a broadcast. It descends from nothing, though a stolen join may be under way here. All private
    /// jobs are published first, so that they keep their ancestor.
    pub(in crate::pool) fn outside<R>(&self, run: impl FnOnce() -> R) -> R {
        self.publish_all();
        self.within(ptr::null(), [0; SEEN], run)
    }

    /// Runs `run` with this ancestor, and puts the outer one back. `run` does not unwind.
    fn within<R>(&self, pending: *const PendingHead, seen: [usize; SEEN], run: impl FnOnce() -> R) -> R {
        let lineage = &self.seat.signals.ancestors;
        let replace = |pending| std::mem::replace(&mut self.own.far_end().ancestor, pending);
        let (outer, outer_seen) = (replace(pending), lineage.get());
        lineage.set(seen);
        let result = run();
        replace(outer);
        lineage.set(outer_seen);
        result
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
#[expect(unsafe_code, reason = "sets up seats by hand")]
mod tests {
    use std::ptr::NonNull;

    use super::*;
    use crate::pool::Shared;
    use crate::pool::work::job::{Target, Wanted};
    use crate::pool::work::layout::Layout;
    use crate::pool::work::seat::Seat;
    use crate::sync::latch::Latch;

    unsafe fn nothing(_: NonNull<Target>, _: u64, _: &Worker<'_>) {}

    const PENDING: &Target = &Target { run: nothing, group: None, publish: Some(PendingHead::publish) };

    /// A pending join that this seat has published, and that nobody has taken yet.
    fn published(seat: &Seat, head: &PendingHead) -> Job {
        // SAFETY: (1) no other thread is there; (2) nor was.
        let far = unsafe { seat.ring.owner() }.far_end();
        let job = Job::about(PENDING, head);
        // SAFETY: (1) as if it was an entry; (2) the owner is the caller; (3) it is a head.
        unsafe { PendingHead::publish(job.payload, seat, &far, Wanted::All) };
        job
    }

    #[test]
    fn a_call_of_a_broadcast_does_not_descend_from_what_it_interrupts() {
        let shared = Shared::new(Layout::flat(1), 1);
        let (seat, pending) = (&shared.seats[0], PendingHead::new());
        let id = published(seat, &pending).id();
        Worker::at(&shared, seat, |worker| {
            let seen = || (seat.signals.ancestors.has(id), worker.runs_taken());
            worker.inside(&pending, || {
                assert_eq!(seen(), (true, true));
                worker.outside(|| assert_eq!(seen(), (false, false)));
                assert_eq!(seen(), (true, true));
            });
            assert_eq!(seen(), (false, false));
        });
    }

    /// A seat still signals an ancestor, though it is not in the middle of that any more. A thread that waits for this
    /// ancestor steals what is there, runs only descendants, and gives everything else back.
    #[test]
    fn what_an_old_hint_has_promised_is_not_run() {
        let shared = Shared::new(Layout::flat(2), 2);
        let [publisher, waits] = [0, 1].map(|seat| &shared.seats[seat]);
        let [ancestor, descendant, other] = [(); 3].map(|()| PendingHead::new());
        let target = Target::new(nothing, Some(NonNull::from(&shared.detached)));
        let id = published(publisher, &ancestor).id();
        // SAFETY: (1) no other thread is there; (2) nor was.
        let own = unsafe { publisher.ring.owner() };
        publisher.signals.ancestors.set([id.get(), 0, 0, 0, 0, 0]);
        let finds = |job: Job| {
            publisher.show(&mut own.far_end(), job);
            Worker::at(&shared, waits, |worker| worker.find_elsewhere(Some(id))).map(|job| job.payload)
        };
        for foreign in [published(publisher, &other), Job { target: NonNull::from(&target), payload: 0 }] {
            assert_eq!(finds(foreign), None, "it is not what is waited for");
            let back = shared.injectors[0].take(Some(foreign.id())).map(|job| job.payload);
            assert_eq!(back, Some(foreign.payload), "it is for others");
        }
        own.far_end().ancestor = &raw const ancestor;
        let descendant = published(publisher, &descendant);
        assert_eq!(finds(descendant), Some(descendant.payload));
    }

    /// Two threads wait for what one seat has published. They are woken for one descendant, which the seat takes back.
    /// A job from outside must not be forgotten, though no other thread was woken for it.
    #[test]
    fn who_is_woken_in_vain_passes_on() {
        let shared = Shared::new(Layout::flat(5), 5);
        let [publisher, one, two, free] = [0, 1, 2, 3].map(|seat| &shared.seats[seat]);
        let ancestors = [1, 2].map(|ancestor| NonZeroUsize::new(ancestor << 12));
        (0..4).for_each(|_| shared.sleep.enter());
        shared.sleep.announce(&one.parker, one.at(), ancestors[0], false);
        shared.sleep.announce(&two.parker, two.at(), ancestors[1], false);
        publisher.signals.ancestors.set([1 << 12, 2 << 12, 0, 0, 0, 0]);
        let descendant = PendingHead::new();
        let job = published(publisher, &descendant);
        // SAFETY: (1) no other thread is there; (2) nor was.
        let own = unsafe { publisher.ring.owner() };
        publisher.show(&mut own.far_end(), job);
        (0..2).for_each(|_| shared.notify_descendants(publisher, 1));
        assert!(one.parker.try_take() && two.parker.try_take());
        (0..2).for_each(|_| shared.sleep.search(0));
        shared.sleep.announce(&free.parker, free.at(), None, false);
        let target = Target::new(nothing, Some(NonNull::from(&shared.detached)));
        shared.inject(Job { target: NonNull::from(&target), payload: 0 });
        assert!(!free.parker.try_take(), "one searches");
        shared.sleep.found(0); // something else, and it has not looked yet
        own.far_end().deque.pop();
        for (seat, ancestor) in [one, two].into_iter().zip(ancestors) {
            seat.parker.unpark(); // it does not sleep long
            Worker::at(&shared, seat, |worker| worker.sleep_for(&Latch::new(), ancestor, true, false));
        }
        assert!(free.parker.try_take(), "it sleeps though there is a job that nobody looks for");
        shared.injectors[0].take(None).expect("the job");
    }
}
