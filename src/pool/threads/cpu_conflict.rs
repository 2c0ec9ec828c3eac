//! A CPU conflict: a guest is on the one CPU that a worker is bound to. The worker makes way.
//!
//! A guest is where the system puts it. If that is the CPU that a worker is bound to, the two take turns there, while
//! another CPU, and the worker that is bound to it, may have nothing to do. The system parts them late, because it can
//! move only the guest. And the system brings them together: it wakes a thread near the thread that wakes it. Under KVM
//! this is the very same CPU, because a halted CPU looks to the guest system like one that another machine has taken.
//!
//! So a guest says where it is when it sits down and when it was woken, until it sleeps or leaves. A worker that is
//! about to look for jobs at other seats, and finds a guest on its CPU, gives its search to another worker: to one that
//! sleeps and is bound to a CPU without a guest.

use crate::pool::work::seat::Counts;
use crate::pool::work::worker::Worker;
use crate::pool::{MOST_GUESTS, Shared};
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::event_count::At;
use crate::topology::bind;

/// The CPU of each guest, or [`NOWHERE`].
#[derive(Debug)]
pub(in crate::pool) struct Whereabouts {
    guests: usize,
    at: CachePadded<[AtomicUsize; MOST_GUESTS]>,
}

const NOWHERE: usize = usize::MAX;

impl Whereabouts {
    pub(in crate::pool) fn new(guests: usize) -> Self {
        Self { guests, at: CachePadded::new(std::array::from_fn(|_| AtomicUsize::new(NOWHERE))) }
    }

    // Relaxed: hints, and usually old ones.
    fn set(&self, guest: usize, cpu: usize) {
        self.at[guest].store(cpu, Ordering::Relaxed);
    }

    fn has(&self, cpu: usize) -> bool {
        self.at[..self.guests].iter().any(|guest| guest.load(Ordering::Relaxed) == cpu)
    }
}

impl Worker<'_> {
    /// The number of this thread's guest seat, if it has one and workers are bound.
    fn bound_guest(&self) -> Option<usize> {
        let is_bound = self.shared.layout.is_bound() && !self.has_slot();
        is_bound.then(|| self.seat.index - self.shared.workers)
    }

    /// A guest says where it is now.
    pub(in crate::pool) fn say_where(&self) {
        if let Some(guest) = self.bound_guest() {
            self.shared.whereabouts.set(guest, bind::current_cpu().unwrap_or(NOWHERE));
        }
    }

    /// A guest leaves, or is about to sleep: it is on no CPU.
    pub(in crate::pool) fn say_gone(&self) {
        if let Some(guest) = self.bound_guest() {
            self.shared.whereabouts.set(guest, NOWHERE);
        }
    }

    /// If a guest is on the CPU that this worker is bound to, this worker sleeps while another worker looks for jobs in
    /// its place. `false`: there is no such guest, or no such worker.
    pub(in crate::pool) fn makes_way(&self) -> bool {
        let Shared { whereabouts, sleep, .. } = self.shared;
        let is_free = |at: &At| at.cpu.is_some_and(|cpu| !whereabouts.has(cpu));
        if self.seat.at().cpu.is_none() || is_free(&self.seat.at()) {
            return false;
        }
        let must_stay = |is_searched| if is_searched { self.is_called() } else { self.stays_awake() };
        let swapped = sleep.swap(&self.seat.parker, self.seat.at(), is_free, must_stay);
        if swapped {
            Counts::bump(&self.seat.counts.parks);
            self.heeds_call();
        }
        swapped
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;
    use crate::pool::work::layout::Layout;

    /// Two workers are bound to these CPUs, and the second one sleeps. Whether the first makes way for these guests.
    fn makes_way(cpus: [Option<usize>; 2], guests: &[usize]) -> bool {
        let shared = Shared::new(Layout::flat(2).bound_to(cpus.to_vec()), 2);
        (0..).zip(guests).for_each(|(guest, cpu)| shared.whereabouts.set(guest, *cpu));
        let [first, second] = [&shared.seats[0], &shared.seats[1]];
        for _ in 0..2 {
            shared.sleep.enter();
            shared.sleep.search(0);
        }
        shared.sleep.announce(&second.parker, second.at(), None, false);
        first.parker.unpark(); // it does not sleep long
        let makes_way = Worker::at(&shared, first, Worker::makes_way);
        assert_eq!(second.parker.try_take(), makes_way, "who makes way wakes the other one");
        assert_eq!(first.counts.parks.load(Ordering::Relaxed), u64::from(makes_way), "and says that it has slept");
        makes_way
    }

    #[test]
    fn a_worker_that_was_moved_makes_way_where_it_is_now() {
        let shared = Shared::new(Layout::flat(2).bound_to(vec![Some(4), Some(7)]), 2);
        let [first, second] = [&shared.seats[0], &shared.seats[1]];
        shared.whereabouts.set(0, 4);
        for _ in 0..2 {
            shared.sleep.enter();
            shared.sleep.search(0);
        }
        shared.sleep.announce(&second.parker, second.at(), None, false);
        let makes_way = || Worker::at(&shared, first, Worker::makes_way);
        first.move_to(Some(5));
        assert!(!makes_way(), "the guest is where it was before");
        first.move_to(None);
        assert!(!makes_way(), "it is anywhere");
        first.move_to(Some(4));
        first.parker.unpark(); // it does not sleep long
        assert!(makes_way());
    }

    #[test]
    fn a_worker_makes_way_for_a_guest_on_its_cpu() {
        assert!(makes_way([Some(4), Some(7)], &[4]));
        assert!(!makes_way([Some(4), Some(7)], &[]), "there is none");
        assert!(!makes_way([Some(4), Some(7)], &[7]), "it is on another CPU");
        assert!(!makes_way([Some(4), Some(7)], &[7, 4]), "one is on the other worker's CPU too");
        assert!(!makes_way([None, None], &[0]), "they are bound to nothing");
    }
}
