//! Short joins are kept from thieves, for as long as a short join takes.
//!
//! To take over a half that takes 2 us gains nothing: thief and joiner pay about a microsecond for it, and if the thief loses
//! its CPU the joiner waits until it has one again. But that a join is short is a guess ([`super::grain`]), and while somebody
//! is hungry a guess must not hide work. So the seat of a short join is *quiet* for its time:
//!
//! (Z1) A stamp says so, another one each time, and whether what the seat shows is just the second half of this join. The joins
//! inside look at a second flag, the *alarm*, in place of the one that is up whenever somebody asks. The alarm is taken down,
//! and then the seat looks whether anybody is hungry: if so it shows what it has, if nothing else this half.
//! (Z2) While the alarm is down short joins are two plain calls.
//! (Z3) A thief that finds the seat quiet leaves that half alone, and remembers the stamp. If the stamp is the same [`SHORT`]
//! later the guess was wrong: it raises the alarm, and takes what is shown. Who goes to sleep raises it in any case.
//! (Z4) The join ends, and so does the quiet.
//!
//! So a wrong guess costs some microseconds as long as a thief is awake, or is woken for what is shown. Stamps are hints: a
//! thief that reads an old one takes a half too early, or raises the alarm in the next quiet.

use std::cell::Cell;
use std::ptr;
use std::time::Instant;

use super::grain::{Grain, SHORT, Spot};
use super::seat::Seat;
use super::worker::Worker;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What others see of a seat's quiet: zero, or a number, and whether only the half of a short join is shown.
#[derive(Debug)]
pub(super) struct Stamp(AtomicU64);

const SHOWS_THIS: u64 = 1;
const NEXT: u64 = 2;

impl Stamp {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    // Relaxed, all of them: hints.
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, stamp: u64) {
        self.0.store(stamp, Ordering::Relaxed);
    }
}

/// The quiet of a seat, until it is dropped.
#[derive(Debug)]
pub(super) struct Quiet<'a, 'p> {
    worker: &'a Worker<'p>,
    /// Thieves have something, or nobody is hungry: the second half need not be shown.
    pub(super) is_enough_shown: bool,
}

impl<'a, 'p> Quiet<'a, 'p> {
    /// For a join at `spot`, if it is short and its seat is not quiet already. (Z1)
    pub(super) fn for_short(worker: &'a Worker<'p>, spot: Spot) -> Option<Self> {
        let (seat, mark) = (worker.seat, worker.grain(Grain::word));
        if !spot.is_short(mark) || seat.shown.quiet.get() != 0 {
            return None;
        }
        let (number, has_more) = worker.local(|local| {
            local.quiets += NEXT;
            (local.quiets, !local.ring.is_empty() || !local.halves.is_empty())
        });
        let shows = !seat.stealer.is_empty();
        seat.shown.quiet.set(number + if shows || has_more { 0 } else { SHOWS_THIS });
        worker.look_at_alarm(true);
        let is_enough_shown = !seat.shown.alarm.lower_and_look(mark, || worker.shared.idle.is_hungry()) || shows;
        Some(Self { worker, is_enough_shown })
    }
}

impl Drop for Quiet<'_, '_> {
    fn drop(&mut self) {
        self.worker.seat.shown.quiet.set(0); // (Z4)
        self.worker.look_at_alarm(false);
    }
}

/// The quiet that a thief has seen last, and since when.
#[derive(Debug)]
pub(super) struct Watch(Cell<Option<Seen>>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    seat: *const Seat,
    stamp: u64,
    since: Instant,
}

impl Watch {
    pub(super) const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Whether what `seat` shows is to be left alone; raises its alarm if it is quiet for too long. (Z3)
    pub(super) fn spares(&self, seat: &Seat) -> bool {
        let stamp = seat.shown.quiet.get();
        if stamp == 0 {
            return false;
        }
        let is_over = self.is_over(seat, stamp);
        if is_over {
            seat.shown.alarm.ask();
        }
        !is_over && stamp & SHOWS_THIS != 0
    }

    /// Whether this quiet was seen [`SHORT`] ago. It is remembered, unless another one still holds, and is not over, that was.
    fn is_over(&self, seat: &Seat, stamp: u64) -> bool {
        let Some(seen) = self.0.get() else { return self.remember(seat, stamp) };
        if ptr::eq(seen.seat, seat) && seen.stamp == stamp {
            return seen.since.elapsed() >= SHORT;
        }
        #[expect(unsafe_code, reason = "another seat of this pool")]
        // SAFETY: seats live as long as their pool, and this thread works there.
        let holds = unsafe { &*seen.seat }.shown.quiet.get() == seen.stamp;
        (!holds || seen.since.elapsed() >= SHORT) && self.remember(seat, stamp)
    }

    fn remember(&self, seat: &Seat, stamp: u64) -> bool {
        self.0.set(Some(Seen { seat, stamp, since: Instant::now() }));
        false
    }
}
