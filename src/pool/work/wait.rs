//! A thread that waits for a run, scope or join goes on working at its seat, but only for what it waits for: *a waiting
//! thread runs only jobs that belong to what it waits for.*
//!
//! The jobs of its group belong to a run or scope. The pending join and its descendants belong to a join
//! ([`crate::pool::join::leapfrog`]). There is one exception: if a job of the pool itself makes a broadcast, a waiting
//! worker makes its call of it ([`crate::pool::broadcast`]).

use std::time::Duration;

use super::patience::Patience;
use super::raid::may_be_for;
use super::seat::Counts;
use super::worker::Worker;
use crate::pool::Shared;
use crate::sync::Instant;
use crate::sync::event_count::Only;
use crate::sync::latch::Latch;
use crate::sync::seam::{self, Point};

/// How long a guest works along, before it leaves the work to the workers: ten times as long as that takes at least, one
/// wake-up there, and another one when all is done. Work that is over sooner is done where its caller is.
const STINT: Duration = Duration::from_millis(1);
/// After so many jobs a guest looks whether it is to leave: the look reads lines that threads without work write.
const FEW: u32 = 8;

impl Worker<'_> {
    /// Works for what `only` names until `latch` is set. While there is nothing to do for it, the thread sleeps.
    pub(crate) fn wait(&self, latch: &Latch, only: Only) {
        debug_assert!(only.is_some(), "a waiting stack runs only what it waits for");
        self.queue_next();
        self.waits.set(self.waits.get() + 1);
        let outer = self.local(|local| std::mem::take(&mut local.token_cache));
        if self.explores() {
            seam::block(&|| latch.is_set());
            latch.join();
        }
        let mut patience = Patience::new(self.shared.patience);
        let mut owes = false; // this thread was woken for a job, and has found none
        let mut jobs = 0_u32;
        let mut stint = STINT;
        let mut since = None; // when it first had nothing to do, or was one of as many as may be active
        while !latch.is_set() {
            self.point(Point::Find);
            let mut job = self.take_call(true).or_else(|| self.find_here(only));
            if job.is_none() {
                self.settle();
                if latch.is_set() {
                    break;
                }
                job = self.find_elsewhere(only);
                if job.is_some() && std::mem::take(&mut owes) {
                    self.pass_on(); // more may be there for which only this thread was woken
                }
            }
            match job {
                Some(job) => {
                    self.execute(job);
                    self.had_work(&mut patience);
                    jobs = jobs.wrapping_add(1);
                    if jobs.is_multiple_of(FEW) && self.may_make_room(only) && self.is_long(&mut since, stint) {
                        self.settle();
                        if self.begins_to_leave() {
                            owes = self.sleep_for(latch, only, owes, true);
                            (since, stint) = (None, stint.saturating_mul(2)); // it was of no use, unless all is done
                        }
                    }
                }
                None => {
                    let is_patient = !self.timeless && patience.waits(|| latch.is_set());
                    if latch.is_set() {
                    } else if self.look_for_private(only, !is_patient) {
                        self.had_work(&mut patience);
                    } else if !is_patient {
                        owes = self.sleep_for(latch, only, owes, self.is_long(&mut since, STINT));
                    }
                }
            }
        }
        self.settle();
        if owes {
            self.pass_on();
        }
        self.waits.set(self.waits.get() - 1);
        self.say_serves(outer.group);
        self.local(|local| local.token_cache = outer);
    }

    /// Sleeps until there is something that a thread that waits for `only` may run, or the latch is set. `owes`: this
    /// thread was woken for a job before, and has taken none. `is_long`: it has waited for [`STINT`]; a guest then leaves
    /// the work to the workers. Returns whether it was woken for a job now.
    pub(in crate::pool) fn sleep_for(&self, latch: &Latch, only: Only, owes: bool, is_long: bool) -> bool {
        self.publish_all();
        self.say_gone();
        Counts::bump(&self.seat.counts.parks);
        let leaves = self.leaves.get();
        let woken = self.shared.sleep.fall_asleep(&self.seat.parker, self.seat.at(), only, || {
            self.has_left();
            self.shared.pay(self.seat.domain);
            if owes {
                self.pass_on();
            }
            let stays = latch.is_set() || !leaves && self.shared.has_work(only) || self.has_call(true);
            stays || {
                self.shared.ask_for_descendants(only);
                let (sleep, domain) = (&self.shared.sleep, self.seat.domain);
                // A worker lends its slot soon, a guest has none. Where a worker sleeps, that one is to come.
                let is_full = || sleep.is_at_limit(domain) && !sleep.owes_me(domain);
                let is_full = |is_long| !self.lends && (is_long && sleep.has_sleepers() || is_full());
                self.nap(only, is_long && !self.lends, is_full) || self.park_lending()
            }
        });
        self.say_where();
        woken
    }

    /// Whether this thread is a guest that others can do without: as many threads are active as may be, or more, and a worker
    /// sleeps, or works for the same. Workers have their CPUs, and a guest is where the system puts it: on that of a worker,
    /// if there is no other.
    fn may_make_room(&self, only: Only) -> bool {
        let Shared { sleep, .. } = self.shared;
        let is_worked_for =
            || self.shared.seats_in_use().iter().any(|seat| seat.index != self.seat.index && may_be_for(seat, only));
        !self.lends && sleep.is_at_limit(self.seat.domain) && (sleep.has_sleepers() || is_worked_for())
    }

    /// Whether this thread leaves now: one does so at a time.
    fn begins_to_leave(&self) -> bool {
        let leaves = self.shared.sleep.begin_to_leave();
        if leaves {
            self.leaves.set(true);
        }
        leaves
    }

    /// Whether a `stint` has passed since `since`, which is now if it was not set.
    fn is_long(&self, since: &mut Option<Instant>, stint: Duration) -> bool {
        self.clock().is_none_or(|now| now - *since.get_or_insert(now) >= stint)
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::pool::work::layout::Layout;
    use crate::sync::atomic::Ordering;

    /// So many threads are active of two that may be, the one at this seat among them, and one works for the same.
    fn may_make_room(seat: usize, active: usize, is_worked_for: bool) -> bool {
        let shared = Shared::new(Layout::flat(2), 2);
        (0..active).for_each(|_| shared.sleep.enter());
        let something = NonZeroUsize::new(64);
        let serves = if is_worked_for { 64 } else { 0 };
        shared.seats[1].signals.serves.store(serves, Ordering::Relaxed);
        Worker::at(&shared, &shared.seats[seat], |worker| worker.may_make_room(something))
    }

    #[test]
    fn a_guest_makes_room_if_others_can_do_without() {
        let (worker, guest) = (0, 2);
        assert!(may_make_room(guest, 2, true) && may_make_room(guest, 3, true));
        assert!(!may_make_room(guest, 1, true), "there is room for a worker");
        assert!(!may_make_room(guest, 3, false), "all workers do other things");
        assert!(!may_make_room(worker, 3, true), "a worker is no guest");
    }
}
