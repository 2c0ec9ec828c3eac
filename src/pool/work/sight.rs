//! A look at what others could take. A thread looks, the nearest seats first, and wakes others for what it has seen.

use std::num::NonZeroUsize;

use super::injector::Injector;
use super::publish::tag;
use super::seat::Seat;

use super::worker::Worker;
use crate::pool::Shared;
use crate::sync::atomic::Ordering;

/// What a look has seen.
#[derive(Clone, Copy, Debug)]
struct Sight {
    /// How many jobs are public at seats or lie in injectors, as far as the look went.
    jobs: usize,
    /// The L3 domain of the nearest ones.
    nearest: Option<usize>,
}

impl Shared {
    /// Looks at everything, the seats nearest to `domain` first, until it has seen more than `enough` jobs.
    fn look(&self, domain: usize, enough: usize) -> Sight {
        let mut sight = Sight { jobs: 0, nearest: None };
        let mut see = |jobs: usize, domain: usize| {
            if jobs > 0 {
                sight.jobs += jobs;
                sight.nearest.get_or_insert(domain);
            }
            sight.jobs > enough
        };
        let is_enough = self.showing(domain).any(|seat| see(seat.stealer.len(), seat.domain));
        if !is_enough {
            let injected = self.injectors.iter().map(Injector::len);
            injected.enumerate().for_each(|(node, jobs)| _ = see(jobs, self.layout.first_domain(node)));
        }
        sight
    }

    /// A thread may be woken now that could not be woken before. If the sleepers are owed a look, this pays it
    /// ([`crate::sync::event_count`]).
    pub(in crate::pool) fn pay(&self, domain: usize) {
        if self.sleep.pays(domain, self.misses_compensator()) {
            self.pay_now(domain);
        }
    }

    /// Asks all seats for jobs, and looks at everything. If there is something, it wakes one sleeper, the nearest to
    /// `domain` first, and a look is owed again.
    fn pay_now(&self, domain: usize) {
        self.ask_all();
        let sight = self.look(domain, 0);
        if self.is_something(sight) {
            self.sleep.owes_more();
            self.pass_on(sight, domain);
        }
    }

    /// The thread at this seat goes on with jobs that it could give away only at a cost. If one of them takes long, somebody must
    /// be awake who raids it: wakes a thread, unless one near looks for work anyway.
    pub(crate) fn be_watched(&self, seat: &Seat) {
        if !self.is_searched_near(seat) {
            self.pass_on(Sight { jobs: 0, nearest: None }, seat.domain);
        }
    }

    /// Whether there is a job, or a seat seems to have private ones: a thread that may run anything would raid it.
    fn is_something(&self, sight: Sight) -> bool {
        sight.jobs > 0 || self.seats_in_use().iter().any(Seat::hides)
    }

    /// Wakes one thread that may run what is in sight, the nearest to `domain` first, unless as many threads look for
    /// work there as there are jobs.
    fn pass_on(&self, sight: Sight, domain: usize) {
        let is_missed = self.sleep.pass_on(self.prefer(domain), sight.jobs.max(1), 1, || self.wanted_here());
        if is_missed && sight.jobs > 0 {
            self.miss_compensator();
        }
    }

    /// What a thread that waits for it could do now.
    fn wanted_here(&self) -> impl Iterator<Item = NonZeroUsize> {
        let at_seats = self.seats_in_use().iter().flat_map(|seat| {
            let (is_public, hides) = (!seat.stealer.is_empty(), seat.hides());
            let ancestors = (is_public || hides).then(|| seat.signals.ancestors.iter());
            // Relaxed: a hint.
            let serves = hides.then(|| NonZeroUsize::new(seat.signals.serves.load(Ordering::Relaxed))).flatten();
            let public = is_public.then(|| tag(seat)).flatten();
            public.into_iter().chain(serves).chain(ancestors.into_iter().flatten())
        });
        let is_injected = move |id: &NonZeroUsize| self.injectors.iter().any(|injector| injector.has(Some(*id)));
        let has_injected = self.injectors.iter().any(|injector| !injector.is_empty());
        let injected = has_injected.then(|| self.sleep.waited_for().filter(is_injected));
        at_seats.chain(injected.into_iter().flatten())
    }
}

impl Worker<'_> {
    /// This thread has searched and found a job, and others count on that. If more jobs are in sight than threads look
    /// for one, it wakes up to two others.
    ///
    /// A push that counted on this search woke nobody. So this thread looks. It wakes two threads and not more, because
    /// each of these wakes two in turn. That way 64 workers are at work after six steps, and one job more wakes only
    /// one thread.
    pub(in crate::pool) fn wake_for_rest(&self) {
        let (shared, domain) = (self.shared, self.seat.domain);
        if shared.sleep.has_taken_over() {
            shared.pay_now(domain);
        }
        if !self.can_pass_on() {
            return;
        }
        let sight = shared.look(domain, shared.sleep.searching(domain) + MOST as usize);
        let Some(nearest) = sight.nearest else { return shared.pay(domain) };
        if shared.sleep.pass_on(shared.prefer(nearest), sight.jobs, MOST, std::iter::empty) {
            shared.miss_compensator();
        }
    }

    /// This thread was woken for a job. It wakes another one for what is in sight.
    pub(in crate::pool) fn pass_on(&self) {
        let (shared, domain) = (self.shared, self.seat.domain);
        if shared.sleep.can_wake(domain) || self.can_pass_on() {
            let sight = shared.look(domain, 0);
            if shared.is_something(sight) {
                shared.pass_on(sight, domain);
            }
        }
    }

    /// Whether a thread that may run anything can be woken, or a compensating thread be made. If not, this thread owes a
    /// look, because pushers have counted on it. So the thread that frees or lends a slot knows that it must look.
    /// After the note this thread tries once more (O3).
    fn can_pass_on(&self) -> bool {
        let (Shared { sleep, .. }, domain) = (self.shared, self.seat.domain);
        let can = || sleep.can_wake_any(domain) || self.shared.misses_compensator();
        can() || {
            sleep.owes_rest();
            can() // (O3)
        }
    }
}

/// A thread that has found a job wakes so many others.
const MOST: u32 = 2;
