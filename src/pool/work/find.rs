//! Where a worker finds its next job: at its own seat, at its node, at other seats. [`super::worker`] gives the order.

use super::injector::Injector;
use super::job::Job;
use super::publish::tag;
use super::seat::{Counts, Local, Seat};
use super::victims::AFAR;
use super::worker::{FAIRNESS, Worker, may_hold, may_hold_descendants};
use crate::pool::join::leapfrog::is_descendant;
use crate::sync::deque::Steal;
use crate::sync::event_count::Only;
use crate::sync::seam::Point;
use crate::sync::thread;

/// So many pauses for each thread that looks for work near by: some 100 ns, in which one of them gets a cache line.
const PAUSES: u64 = 4;
/// No thread pauses more often: half a microsecond, which a steal takes anyway.
const MOST_PAUSES: u64 = 20;

impl Worker<'_> {
    /// The newest job of this seat, if this thread may run it. Every [`FAIRNESS`]th find begins at the injector, at the late
    /// jobs and at the oldest job of the seat instead. So does every find of a thread that waits for nothing while the injector
    /// has an overdue job, but for the oldest.
    pub(in crate::pool) fn find_here(&self, only: Only) -> Option<Job> {
        let unfair = self.local(|local| {
            local.finds = local.finds.wrapping_add(1);
            !local.finds.is_multiple_of(FAIRNESS)
        });
        let may = |job: &Job| job.is_for(only);
        if (!unfair || (only.is_none() && self.owes_injected()))
            && let Some(job) = self.injector().take(only).or_else(|| self.pop_late(may))
        {
            return Some(job);
        }
        if !unfair && let Some(job) = self.take_oldest(only) {
            return Some(job);
        }
        if self.own.is_empty() { self.pop_public(may) } else { self.own.pop_if(may) }
    }

    /// The oldest job of this seat, if this thread may run it. A loop of tasks always makes a newer one: without this, older ones
    /// would wait as long as it goes on.
    fn take_oldest(&self, only: Only) -> Option<Job> {
        let may_take_public = !self.seat.stealer.is_empty() && (only.is_none() || tag(self.seat) == only);
        let public = || if let Steal::Success(job) = self.seat.stealer.steal() { Some(job) } else { None };
        if may_take_public && let Some(job) = public() {
            if job.is_for(only) {
                return Some(job);
            }
            self.shared.inject_at(self.seat.node, job); // it was published a moment ago, in the place of others
        }
        let mut far = self.own.far_end();
        let job = far.oldest().filter(|job| !job.is_entry() && job.is_for(only))?;
        far.advance();
        Some(job)
    }

    /// A job from the injector of this seat's node, from another seat, or from another node's injector.
    pub(in crate::pool) fn find_elsewhere(&self, only: Only) -> Option<Job> {
        let injected = self.injector().take(only);
        let found = injected.or_else(|| self.steal(only)).or_else(|| self.take_from_afar(only))?;
        self.point(Point::Steal);
        Some(found)
    }

    /// A job that is at home on another node, and that no worker there has come for. The nearest node comes first. The
    /// thread takes none while a raid seems likely to bring jobs of this node.
    fn take_from_afar(&self, only: Only) -> Option<Job> {
        let afar = &self.shared.layout.near(self.seat.node)[1..];
        let has_any = afar.iter().any(|node| !self.shared.injectors[*node].is_empty());
        if !has_any || (only.is_none() && self.raids_here_soon()) {
            return None;
        }
        let job = afar.iter().find_map(|node| self.shared.injectors[*node].take(only))?;
        Counts::bump(&self.seat.counts.steals[AFAR]);
        Some(job)
    }

    /// A job of another seat, the nearest first. Where another thief was faster, this one goes on to the next seat: if it
    /// stayed, all thieves would wait for each other at the same one.
    fn steal(&self, only: Only) -> Option<Job> {
        let random = self.local(Local::random);
        let mut showing = self.shared.victims.showing(self.seat.index, random);
        let found = showing.find_map(|(victim, tier)| self.steal_from(victim, tier, only, random));
        if found.is_none() {
            self.ask_others(only, random);
        }
        found
    }

    /// A job of a seat in this L3 domain that shows one.
    pub(super) fn steal_near(&self) -> Option<Job> {
        let random = self.local(Local::random);
        let showing = self.shared.victims.showing(self.seat.index, random);
        showing.take_while(|(_, tier)| *tier == 0).find_map(|(victim, _)| self.steal_from(victim, 0, None, random))
    }

    fn steal_from(&self, victim: usize, tier: usize, only: Only, random: u64) -> Option<Job> {
        let victim = &self.shared.seats[victim];
        if (only.is_none() || may_hold_descendants(victim, only)) && self.watch.spares(victim) {
            return None;
        }
        if tier > 0 && may_hold(victim, only) && self.is_overtaken(victim, random) {
            return None;
        }
        while may_hold(victim, only) {
            self.point(Point::Race);
            match victim.stealer.steal() {
                Steal::Success(job) if job.is_for(only) || is_descendant(&job, only) => {
                    Counts::bump(&self.seat.counts.steals[tier]);
                    if victim.stealer.is_empty() {
                        victim.signals.request.ask();
                    }
                    return Some(job);
                }
                Steal::Success(job) => {
                    self.point(Point::Race);
                    self.shared.inject_at(victim.node, job); // the hint was old: this thread may not run the job
                }
                Steal::Empty | Steal::Retry => break,
            }
        }
        None
    }

    /// Many threads that look for work see the same public job at once. If all tried to take it, each would take the
    /// cache line from all others, and with 64 of them one steal would take 10 us. So each waits for a random time
    /// first, unless the line has a short way, within an L3 domain. Whether another one was faster meanwhile: then what
    /// is there now is for those who wait still.
    fn is_overtaken(&self, victim: &Seat, random: u64) -> bool {
        let others = self.shared.sleep.searching(self.seat.domain).saturating_sub(1) as u64;
        others > 0 && {
            let before = victim.stealer.len();
            (0..(random >> 32) % (others * PAUSES).min(MOST_PAUSES)).for_each(|_| thread::spin_loop());
            victim.stealer.len() != before
        }
    }

    /// Asks all other seats for jobs that have some for this thread.
    fn ask_others(&self, only: Only, random: u64) {
        let to_ask = self.shared.victims.to_ask(self.seat.index, random);
        for victim in to_ask.filter_map(|victim| self.shared.seats_in_use().get(victim)) {
            if (only.is_none() || may_hold_descendants(victim, only)) && !self.watch.spares(victim) {
                victim.signals.request.ask();
            }
        }
    }

    /// The injector of this seat's node.
    pub(in crate::pool) fn injector(&self) -> &Injector {
        &self.shared.injectors[self.seat.node]
    }
}
