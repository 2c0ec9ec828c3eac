//! A look at everything that others could take. A thread looks once, and wakes others for what it has seen.

use super::injector::Injector;
use super::raid::may_hide;
use super::seat::Seat;
use super::worker::{Worker, may_hold};
use crate::pool::Shared;
use crate::sync::event_count::Only;

/// A look remembers this many seats. If more have public jobs, and a sleeper waits for one thing only, the thread looks
/// at all seats again.
const REMEMBERED: usize = 16;

/// What a look at everything has seen.
struct Sight<'p> {
    shared: &'p Shared,
    /// How many seats have public jobs, and the first of them.
    seats: usize,
    first: [Option<&'p Seat>; REMEMBERED],
    /// How many jobs are public at seats or lie in injectors.
    pub(in crate::pool) jobs: usize,
    has_injected: bool,
    /// A seat seems to have private jobs. A thread that may run anything would raid it.
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

    /// A thread may be woken now that could not be woken before. If the sleepers are owed a look, this pays it
    /// ([`crate::sync::event_count`]): it asks all seats for jobs, and looks at everything. If there is something, it
    /// wakes one sleeper, the nearest to `node` first.
    pub(in crate::pool) fn pay(&self, node: usize) {
        if !self.sleep.pays(self.misses_compensator()) {
            return;
        }
        self.ask_all();
        let sight = self.look();
        if sight.is_something() {
            self.sleep.owe();
            self.pass_on(&sight, node, 1);
        }
    }

    /// Wakes up to `most` threads that may run what this look has seen, the nearest to `node` first. It stops when as
    /// many threads look for work as there are jobs.
    fn pass_on(&self, sight: &Sight<'_>, node: usize, most: u32) {
        let is_missed = self.sleep.pass_on(self.prefer(node), sight.jobs.max(1), most, |only| sight.suits(only));
        if is_missed && sight.jobs > 0 {
            self.miss_compensator();
        }
    }
}

impl Sight<'_> {
    fn is_something(&self) -> bool {
        self.jobs > 0 || self.has_private
    }

    /// Whether the look has seen something for a thread that waits for `only`.
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

    /// Whether the look has seen something at a node that others could take.
    fn is_at(&self, node: usize) -> bool {
        !self.shared.injectors[node].is_empty() || self.first.iter().flatten().any(|seat| seat.node == node)
    }
}

impl Worker<'_> {
    /// This thread has searched and found a job. If more jobs are in sight than threads look for one, it wakes up to
    /// two others.
    ///
    /// A push that counted on this search woke nobody. So this thread looks everywhere. It wakes two threads and not
    /// more, because each of these wakes two in turn. That way 64 workers are at work after six steps, and one job more
    /// wakes only one thread.
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

    /// This thread was woken for a job, and takes none. It wakes another one for what is in sight.
    pub(in crate::pool) fn pass_on(&self) {
        if self.can_pass_on() {
            self.shared.pass_on(&self.shared.look(), self.seat.node, 1);
        }
    }

    /// Whether a thread can be woken for what is in sight, or a compensating thread be made. If not, this thread owes a
    /// look, because pushers have counted on it. So the thread that frees or lends a slot knows that it must look.
    /// After the note this thread tries once more (O3).
    fn can_pass_on(&self) -> bool {
        let Shared { sleep, .. } = self.shared;
        let can = || sleep.can_wake() || self.shared.misses_compensator();
        can() || {
            sleep.owe();
            can() // (O3)
        }
    }
}
