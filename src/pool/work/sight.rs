//! What is there for others: looked at once, by who wakes others for it.

use super::injector::Injector;
use super::raid::may_hide;
use super::seat::Seat;
use super::worker::{Worker, may_hold};
use crate::pool::Shared;
use crate::sync::event_count::Only;

/// So many seats are remembered; of more all are looked at again for who waits for one thing only.
const REMEMBERED: usize = 16;

/// What a look at everything has seen.
struct Sight<'p> {
    shared: &'p Shared,
    /// Seats with public jobs, how many there are, and the first of them.
    seats: usize,
    first: [Option<&'p Seat>; REMEMBERED],
    /// Public jobs, and those that no seat holds.
    pub(in crate::pool) jobs: usize,
    has_injected: bool,
    /// Some seat seems to have private jobs: who may run anything would raid it.
    has_private: bool,
}

impl Shared {
    /// Looks at everything.
    fn look(&self) -> Sight<'_> {
        let injected: usize = self.injectors.iter().map(Injector::len).sum();
        let mut sight = Sight {
            shared: self,
            seats: 0,
            first: [None; REMEMBERED],
            jobs: injected,
            has_injected: injected > 0,
            has_private: false,
        };
        for seat in self.seats_in_use() {
            let public = seat.stealer.len();
            if public > 0 {
                sight.jobs += public;
                if let Some(place) = sight.first.get_mut(sight.seats) {
                    *place = Some(seat);
                }
                sight.seats += 1;
            }
            sight.has_private |= seat.hides();
        }
        sight
    }

    /// Pays what is owed to sleepers, if somebody may be woken now who could not be before ([`crate::sync::event_count`]): asks
    /// all seats for jobs, and wakes one, the nearest to `node` first, if there are any.
    pub(in crate::pool) fn pay(&self, node: usize) {
        if !self.idle.pays(self.misses_spare()) {
            return;
        }
        self.ask_all();
        let sight = self.look();
        if sight.is_something() {
            self.idle.owe();
            self.pass_on(&sight, node, 1);
        }
    }

    /// Wakes up to `most` threads that may run what was seen, as long as fewer look for work than there are jobs; the nearest
    /// to `node` first.
    fn pass_on(&self, sight: &Sight<'_>, node: usize, most: u32) {
        let is_missed = self.idle.pass_on(self.prefer(node), sight.jobs.max(1), most, |only| sight.suits(only));
        if is_missed && sight.jobs > 0 {
            self.miss_spare();
        }
    }
}

impl Sight<'_> {
    fn is_something(&self) -> bool {
        self.jobs > 0 || self.has_private
    }

    /// Whether there is something for a thread that waits for `only`.
    fn suits(&self, only: Only) -> bool {
        if only.is_none() {
            return self.is_something();
        }
        let holds = |seat: &Seat| may_hold(seat, only);
        let is_public = match self.seats <= REMEMBERED {
            true => self.first.iter().flatten().any(|seat| holds(seat)),
            false => self.shared.seats_in_use().iter().any(holds),
        };
        let is_injected = || self.has_injected && self.shared.injectors.iter().any(|injector| injector.has(only));
        let is_private = || self.has_private && self.shared.seats_in_use().iter().any(|seat| may_hide(seat, only));
        is_public || is_injected() || is_private()
    }

    /// Whether there is something at a node.
    fn is_at(&self, node: usize) -> bool {
        !self.shared.injectors[node].is_empty() || self.first.iter().flatten().any(|seat| seat.node == node)
    }
}

impl Worker<'_> {
    /// After a search that found something: wakes up to two others if more jobs are in sight than threads look for any.
    ///
    /// Pushes that relied on this search woke nobody: so it looks everywhere. Two and not more: those who are woken wake
    /// two each in turn, and so 64 workers are at work after six steps of that, while a single job more wakes one.
    pub(in crate::pool) fn wake_for_rest(&self) {
        let shared = self.shared;
        if !self.can_pass_on() {
            return;
        }
        let sight = shared.look();
        if sight.jobs == 0 {
            return shared.pay(self.seat.node);
        }
        let near = shared.layout.near(self.seat.node);
        let nearest = if near.len() == 1 { None } else { near.iter().copied().find(|node| sight.is_at(*node)) };
        shared.pass_on(&sight, nearest.unwrap_or(self.seat.node), 2);
    }

    /// Passes on what is in sight: it was woken for a job, and takes none.
    pub(in crate::pool) fn pass_on(&self) {
        if self.can_pass_on() {
            self.shared.pass_on(&self.shared.look(), self.seat.node, 1);
        }
    }

    /// Whether somebody can be woken for what is in sight, or made. If not a look is owed: those who pushed it have counted on
    /// this thread, and whoever frees a place, or lends one, must know.
    fn can_pass_on(&self) -> bool {
        let Shared { idle, .. } = self.shared;
        let can = || idle.can_wake() || self.shared.misses_spare();
        can() || {
            idle.owe();
            can() // (O3)
        }
    }
}
