//! Short joins are shielded from thieves, and from what a join costs, for as long as a short join takes.
//!
//! A thief that takes over a join of 2 us gains nothing: thief and joiner pay about a microsecond for it, and if the thief loses
//! its CPU the joiner waits until the thief has one again. But that a join is short is a guess ([`super::grain`]), and a
//! guess must not hide work. So:
//! * Z1: The outermost short join queues its pending join as every join does, so that it can be raided. It publishes it only if
//!   all threads that are hungry are asleep. The joins inside are two plain calls: they look at a word of the thread that
//!   holds the mark of what is short. While nothing is short the word is zero.
//! * Z2: A stamp says that the seat is shielded, and whether all that it has published is of this join. It is another one each
//!   time.
//! * Z3: A thief that finds the seat shielded leaves the short join alone, and remembers the stamp. If it sees the same stamp
//!   [`SHORT`] later the guess was wrong: it sets the word to zero, and takes what is public. If it sees the same stamp
//!   [`WRONG`] later it also says so by the word. A thread that goes to sleep sets the word to zero in any case.
//! * Z4: When the join ends the shield ends. If a thief has said that the guess was wrong it is not made again soon.
//!
//! So a wrong guess hides the joins inside the one that was taken for short, those that begin before a thief has noticed.
//! Stamps and the word are hints: a thief that reads an old one takes a pending join too early, or ends the next shield.

use std::cell::Cell;
use std::ptr;
use std::time::{Duration, Instant};

use super::grain::{Grain, JoinSite, SHORT, WRONG};
use crate::pool::work::seat::Seat;
use crate::pool::work::worker::Worker;

/// The word of a shield that was there for far too long: no join is short by it.
const BY_FAR: usize = 1;
/// All that is published is of the short join.
const ALL_IS_SHORT: u64 = 1;

impl Worker<'_> {
    /// Begins a shield for a join at `spot` that was just queued, if the join is short and the seat has no shield yet; whether
    /// it did. (Z1), (Z2)
    #[inline]
    pub(in crate::pool) fn begin_shield(&self, spot: JoinSite) -> bool {
        let (shield, mark) = (&self.seat.signals.shield, self.grain(Grain::word));
        let begins = spot.is_short(mark) && shield.stamp() == 0;
        if begins {
            shield.set_stamp((self.own.beat() as u64) << 1 | 1 << 63);
            shield.set_word(mark);
        }
        begins
    }

    /// Ends it. (Z4)
    #[inline]
    pub(in crate::pool) fn end_shield(&self) {
        let shield = &self.seat.signals.shield;
        if shield.word() == BY_FAR {
            self.grain(Grain::was_wrong);
        }
        shield.set_word(0);
        shield.set_stamp(0);
    }

    /// Publishes the pending join of a short join, if nobody is awake who would see that it is not short. (Z1), (Z2)
    #[cold]
    #[inline(never)]
    pub(super) fn answer_shielded(&self) {
        if self.shared.idle.has_only_sleepers() {
            let shield = &self.seat.signals.shield;
            if self.seat.stealer.is_empty() {
                shield.set_stamp(shield.stamp() | ALL_IS_SHORT);
            }
            self.answer();
        }
    }
}

/// The shield that a thief has seen last, and since when.
#[derive(Debug)]
pub(in crate::pool) struct StampWatch(Cell<Option<SeenStamp>>);

#[derive(Clone, Copy, Debug)]
struct SeenStamp {
    seat: *const Seat,
    stamp: u64,
    since: Instant,
}

impl StampWatch {
    pub(in crate::pool) const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Whether what `seat` has published is to be left alone; ends its shield if that is there for too long. (Z3)
    pub(in crate::pool) fn spares(&self, seat: &Seat) -> bool {
        let stamp = seat.signals.shield.stamp();
        if stamp == 0 {
            return false;
        }
        let age = self.age(seat, stamp);
        if age >= WRONG {
            seat.signals.shield.set_word(BY_FAR);
        } else if age >= SHORT {
            seat.signals.shield.lower();
        }
        age < SHORT && stamp & ALL_IS_SHORT != 0
    }

    /// Since when this shield was seen. It is remembered, unless another one still holds that was, and is not over.
    fn age(&self, seat: &Seat, stamp: u64) -> Duration {
        let Some(seen) = self.0.get() else { return self.remember(seat, stamp) };
        let age = seen.since.elapsed();
        if ptr::eq(seen.seat, seat) && seen.stamp == stamp {
            return age;
        }
        #[expect(unsafe_code, reason = "another seat of this pool")]
        // SAFETY: seats live as long as their pool, and this thread works there.
        let holds = unsafe { &*seen.seat }.signals.shield.stamp() == seen.stamp;
        if holds && age < SHORT { Duration::ZERO } else { self.remember(seat, stamp) }
    }

    fn remember(&self, seat: &Seat, stamp: u64) -> Duration {
        self.0.set(Some(SeenStamp { seat, stamp, since: Instant::now() }));
        Duration::ZERO
    }
}
