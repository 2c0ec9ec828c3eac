//! A thread that waits for a run, scope or join goes on working at its seat, but only for what it waits for: *a waiting
//! thread runs only jobs that belong to what it waits for.*
//!
//! The jobs of its group belong to a run or scope. The pending join and its descendants belong to a join
//! ([`crate::pool::join::leapfrog`]). There is one exception: if a job of the pool itself makes a broadcast, a waiting
//! worker makes its call of it ([`crate::pool::broadcast`]).

use super::patience::Patience;
use super::seat::Counts;
use super::worker::Worker;
use crate::sync::event_count::Only;
use crate::sync::latch::Latch;
use crate::sync::seam::Point;

impl Worker<'_> {
    /// Works for what `only` names until `latch` is set. While there is nothing to do for it, the thread sleeps.
    pub(crate) fn wait(&self, latch: &Latch, only: Only) {
        debug_assert!(only.is_some(), "a waiting stack runs only what it waits for");
        self.queue_next();
        self.waits.set(self.waits.get() + 1);
        let outer = self.local(|local| std::mem::take(&mut local.token_cache));
        let mut patience = Patience::new(self.shared.patience);
        let mut owes = false; // this thread was woken for a job, and has found none
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
                }
                None => {
                    let is_patient = !self.timeless && patience.waits(|| latch.is_set());
                    if latch.is_set() {
                    } else if self.look_for_private(only, !is_patient) {
                        self.had_work(&mut patience);
                    } else if !is_patient {
                        owes = self.sleep_for(latch, only, owes);
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
    /// thread was woken for a job before, and has taken none. Returns whether it was woken for a job now.
    pub(in crate::pool) fn sleep_for(&self, latch: &Latch, only: Only, owes: bool) -> bool {
        self.publish_all();
        self.say_gone();
        Counts::bump(&self.seat.counts.parks);
        let woken = self.shared.sleep.fall_asleep(&self.seat.parker, self.seat.at(), only, || {
            self.shared.pay(self.seat.domain);
            if owes {
                self.pass_on();
            }
            let stays = latch.is_set() || self.shared.has_work(only) || self.has_call(true);
            stays || {
                self.shared.ask_for_descendants(only);
                let (sleep, domain) = (&self.shared.sleep, self.seat.domain);
                // A worker lends its slot soon, a guest has none.
                let is_full = !self.lends && sleep.is_at_limit(domain) && !sleep.owes_me(domain);
                self.nap(only, is_full) || self.park_lending()
            }
        });
        self.say_where();
        woken
    }
}
