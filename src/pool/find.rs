//! Where a worker finds its next job: at its own seat, at its node, at others; [`super::worker`] tells the order.

use super::injector::Injector;
use super::job::Job;
use super::lineage::is_part;
use super::seat::{Counts, Local};
use super::victims::AFAR;
use super::worker::{FAIRNESS, Worker, may_hold, may_hold_parts};
use crate::sync::deque::Steal;
use crate::sync::event_count::Only;
use crate::sync::seam::Point;

impl Worker<'_> {
    /// The newest job of this seat that may be run.
    pub(super) fn find_here(&self, only: Only) -> Option<Job> {
        let unfair = self.local(|local| {
            local.finds = local.finds.wrapping_add(1);
            !local.finds.is_multiple_of(FAIRNESS)
        });
        if !unfair && let Some(job) = self.injector().take(only) {
            return Some(job);
        }
        match self.local(|local| local.ring.newest()) {
            Some(job) if job.is_for(only) => self.local(|local| local.ring.pop_newest()),
            Some(_) if only.is_some() => None,
            _ => {
                let job = self.pop_public()?;
                if job.is_for(only) {
                    return Some(job);
                }
                self.local(|local| local.public.push(job));
                None
            }
        }
    }

    /// A job from the own node's injector, from another seat, or from another node's injector.
    pub(super) fn find_elsewhere(&self, only: Only) -> Option<Job> {
        let injected = self.injector().take(only);
        let found = injected.or_else(|| self.steal(only)).or_else(|| self.take_from_afar(only))?;
        self.point(Point::Steal);
        Some(found)
    }

    /// What is at home on another node, the nearest first: nobody there has come for it.
    fn take_from_afar(&self, only: Only) -> Option<Job> {
        let near = self.shared.layout.near(self.seat.at.node);
        let job = near[1..].iter().find_map(|node| self.shared.injectors[*node].take(only))?;
        Counts::bump(&self.seat.counts.steals[AFAR]);
        Some(job)
    }

    fn steal(&self, only: Only) -> Option<Job> {
        let in_use = self.shared.seats_in_use();
        let random = self.local(Local::random);
        for (victim, ring) in self.shared.victims.of(self.seat.index, random) {
            let Some(victim) = in_use.get(victim) else { continue };
            let shows_halves = only.is_none() || may_hold_parts(victim, only);
            if shows_halves && self.watch.spares(victim) {
                continue;
            }
            while may_hold(victim, only) {
                self.point(Point::Race);
                match victim.stealer.steal() {
                    Steal::Success(job) if job.is_for(only) || is_part(&job, only) => {
                        Counts::bump(&self.seat.counts.steals[ring]);
                        if victim.stealer.is_empty() {
                            victim.shown.request.ask();
                        }
                        return Some(job);
                    }
                    Steal::Success(job) => {
                        self.point(Point::Race);
                        self.shared.inject_at(victim.at.node, job); // the hint was old: not ours to run
                    }
                    Steal::Empty => break,
                    Steal::Retry => {}
                }
            }
            if shows_halves {
                victim.shown.request.ask();
            }
        }
        None
    }

    /// The injector of this seat's node.
    pub(super) fn injector(&self) -> &Injector {
        &self.shared.injectors[self.seat.at.node]
    }

    /// After a search that found something: wakes up to two others if more jobs are in sight than threads look for any.
    ///
    /// Pushes that relied on this search woke nobody: so it looks everywhere. Two and not more: those who are woken wake
    /// two each in turn, and so 64 workers are at work after six steps of that, while a single job more wakes one.
    pub(super) fn wake_for_rest(&self) {
        if !self.shared.idle.can_wake() && !self.shared.misses_spare() {
            return;
        }
        let shown: usize = self.shared.seats_in_use().iter().map(|seat| seat.stealer.len()).sum();
        let injected: usize = self.shared.injectors.iter().map(Injector::len).sum();
        let jobs = shown + injected;
        if jobs > 0 {
            self.shared.pass_on_jobs(self.nearest_with_work(), jobs, 2);
        }
    }

    /// The nearest node where there is something in sight.
    fn nearest_with_work(&self) -> usize {
        let (near, shared) = (self.shared.layout.near(self.seat.at.node), self.shared);
        let shows =
            |node: usize| shared.seats_in_use().iter().any(|seat| seat.at.node == node && !seat.stealer.is_empty());
        let has_work = |node: usize| !shared.injectors[node].is_empty() || shows(node);
        let alone = near.len() == 1;
        near.iter().copied().find(|node| alone || has_work(*node)).unwrap_or(self.seat.at.node)
    }
}
