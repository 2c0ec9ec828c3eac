//! Threads from outside: where they work in a pool while they wait.
//!
//! A thread that calls the pool takes a *guest seat*, and works along. If all are taken, its call lies in an injector
//! until a worker makes it, or until a guest seat is free: then the thread takes the call back, and makes it itself.
//!
//! Two pools may call each other. Then all guests of both, and all workers, might wait for a seat or a worker of the
//! other pool, and nobody would go on. So a few seats are for visitors alone: threads that work in another pool, further
//! down on their stacks. Two pools can fill these only with threads that need nothing else of each other.

use std::sync::Arc;

use super::Shared;
use super::remote_call::RemoteCall;
use super::threads::blocking::Back;
use super::work::worker::Worker;
use crate::sync::claim::Claims;
use crate::sync::parker::Parker;

/// The seats of a pool for threads from outside.
#[derive(Debug)]
pub(super) struct Guests {
    /// For all of them.
    all: Claims,
    /// For visitors alone; their seats come behind the others.
    visitors: Claims,
}

/// How many seats there are for visitors alone.
const VISITORS: usize = 8;
/// No pool has more seats for guests and visitors.
pub(crate) const MOST_GUESTS: usize = 48 + VISITORS;

/// A seat for a thread from outside.
#[derive(Clone, Copy, Debug)]
enum Place {
    Guest(u32),
    Visitor(u32),
}

impl Guests {
    /// A guest is one thread more than the pool has cores for, so a few seats are enough: one for eight workers.
    pub(super) fn new(workers: usize) -> Self {
        let claims = |places| Claims::new(u32::try_from(places).expect("few"));
        Self { all: claims((workers / 8).clamp(8, MOST_GUESTS - VISITORS)), visitors: claims(VISITORS) }
    }

    /// How many seats there are.
    #[inline]
    pub(super) fn seats(&self) -> usize {
        self.all.places() + self.visitors.places()
    }

    #[inline]
    fn take(&self) -> Option<Place> {
        let visitor = || if Worker::is_anywhere() { self.visitors.take().map(Place::Visitor) } else { None };
        self.all.take().map(Place::Guest).or_else(visitor)
    }

    /// The same, and the parker is unparked when a seat may be free.
    fn take_or_wait(&self, parker: &Arc<Parker>) -> Option<Place> {
        if !Worker::is_anywhere() {
            return self.all.take_or_wait(parker).map(Place::Guest);
        }
        self.visitors.take_or_wait(parker).map(Place::Visitor).or_else(|| {
            let place = self.all.take()?;
            self.stop_waiting(parker);
            Some(Place::Guest(place))
        })
    }

    /// The caller has waited for a seat, and needs none any more.
    fn stop_waiting(&self, parker: &Arc<Parker>) {
        (if Worker::is_anywhere() { &self.visitors } else { &self.all }).stop_waiting(parker);
    }

    fn release(&self, place: Place) {
        match place {
            Place::Guest(place) => self.all.release(place),
            Place::Visitor(place) => self.visitors.release(place),
        }
    }
}

impl Shared {
    /// Does `work` at a seat of this pool. A thread that has a seat here uses it, also one further down on its stack.
    /// Any other thread takes a guest seat. If all are taken, it waits until there is one, or until a worker has done
    /// the work.
    pub(crate) fn on_worker<R: Send>(&self, work: impl FnOnce(&Worker<'_>) -> R + Send) -> R {
        if let Some(worker) = Worker::here(self) {
            return work(worker);
        }
        // The thread has a seat here, but it blocks in place, or is in the middle of a call of another pool.
        if let Some((seat, is_away)) = Worker::find_inside(self, |at| Some((at.seat.index, at.is_away()))) {
            return Worker::at(self, &self.seats[seat], |worker| {
                let _back = is_away.then(|| Back::new(worker));
                work(worker)
            });
        }
        self.check_process();
        match self.guests.take() {
            Some(place) => self.as_guest(place, work),
            None => self.elsewhere(work),
        }
    }

    /// Does `work` at a seat that this thread has claimed, and gives the seat back.
    fn as_guest<R>(&self, place: Place, work: impl FnOnce(&Worker<'_>) -> R) -> R {
        let leave = Leave { shared: self, place };
        self.sleep.enter();
        Worker::at(self, &self.seats[leave.seat()], |worker| {
            let _hand_over = HandOver(worker);
            worker.say_where();
            work(worker)
        })
    }

    /// Runs `work` on a worker, or at a guest seat as soon as one is free. It blocks this thread until that is done, and
    /// lends the slots that this thread has in other pools meanwhile.
    #[cold]
    fn elsewhere<R: Send>(&self, work: impl FnOnce(&Worker<'_>) -> R + Send) -> R {
        let parker = Arc::new(Parker::new());
        let begun = |worker: &Worker<'_>| {
            self.sleep.set_urgent(false);
            work(worker)
        };
        let call = RemoteCall::new(begun, Arc::clone(&parker));
        let id = call.job().id();
        self.sleep.set_urgent(true);
        self.inject(call.job());
        let is_done = || call.latch().is_set();
        let mut waits = false;
        while !is_done() {
            let place = self.guests.take_or_wait(&parker);
            waits = place.is_none();
            let Some(place) = place else {
                Worker::block_everywhere(|| parker.park());
                continue;
            };
            if let Some(job) = self.injectors.iter().find_map(|injector| injector.take(Some(id))) {
                self.as_guest(place, |worker| worker.execute(job));
            } else {
                self.guests.release(place); // a worker has begun it
                while !is_done() {
                    Worker::block_everywhere(|| parker.park());
                }
            }
        }
        if waits {
            self.guests.stop_waiting(&parker);
        }
        call.result()
    }
}

/// Gives a guest seat back.
struct Leave<'a> {
    shared: &'a Shared,
    place: Place,
}

impl Leave<'_> {
    fn seat(&self) -> usize {
        let guests = &self.shared.guests;
        self.shared.workers
            + match self.place {
                Place::Guest(place) => place as usize,
                Place::Visitor(place) => guests.all.places() + place as usize,
            }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.shared.guests.release(self.place);
        self.shared.sleep.exit(None);
        self.shared.pay(self.shared.seats[self.seat()].domain);
    }
}

/// Publishes everything that is private at a guest seat before the guest leaves it.
struct HandOver<'a, 'p>(&'a Worker<'p>);

impl Drop for HandOver<'_, '_> {
    fn drop(&mut self) {
        self.0.hand_over();
        self.0.say_gone();
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;
    use crate::pool::work::layout::Layout;

    #[test]
    fn a_large_pool_has_more_guest_seats() {
        for (workers, guests) in [(1, 8), (64, 8), (128, 16), (256, 32), (2000, 48)] {
            let shared = Shared::new(Layout::flat(workers), workers);
            assert_eq!(std::iter::from_fn(|| shared.guests.take()).count(), guests, "{workers} workers");
            let roles = shared.seats.iter().map(|seat| shared.has_slot(seat));
            assert_eq!(
                roles.filter(|has_slot| !has_slot).count(),
                guests + VISITORS,
                "the seats of guests have no slot"
            );
        }
    }
}
