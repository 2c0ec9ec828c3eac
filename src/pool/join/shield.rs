//! Shields short joins from thieves, and from the cost of a join, for as long as a short join takes.
//!
//! A thief that takes over a join of 2 us gains nothing. Thief and joining thread pay about a microsecond for it, and
//! if the thief loses its CPU, the joining thread waits until the thief has one again. But that a join is short is a
//! guess ([`super::grain`]), and a wrong guess must not hide work. So:
//! * Z1: The outermost short join queues its pending join as every join does, so that it can be raided. It publishes
//!   the pending join only if all hungry threads are asleep. The joins inside are two plain calls: they look at a word
//!   of the seat that holds the mark of what is short. While there is no shield the word is zero, and no join is short
//!   by it.
//! * Z2: A stamp says that the seat is shielded, and whether all that it has published belongs to the short join. Each
//!   shield has another stamp.
//! * Z3: If all that a shielded seat has published belongs to the short join, a thief leaves it alone, and remembers
//!   the stamp. If it sees the same stamp [`SHORT`] later, the guess was wrong: the thief sets the word to zero, and
//!   takes what is public. If it sees the same stamp [`WRONG`] later, it also says so by the word. A thread that is
//!   about to sleep, and asks the seat for jobs, sets the word to zero at once.
//! * Z4: When the join ends the shield ends. If a thief has said that the guess was wrong, the seat drops the guess.
//!
//! So a wrong guess hides only joins inside the one that was taken for short, and only those that begin before a thief
//! has noticed. Stamps and the word are hints. A thief that reads an old one takes a pending join too early, or ends
//! the next shield.

use std::cell::Cell;
use std::ptr;
use std::time::Duration;

use super::grain::{Grain, JoinSite, SHORT, WRONG};
use crate::pool::work::seat::Seat;
use crate::pool::work::worker::Worker;
use crate::sync::Instant;

/// The word of a shield that was up for far too long: no join is short by it.
const BY_FAR: usize = 1;
/// The bit of a stamp that says: all that is published belongs to the short join.
const ALL_IS_SHORT: u64 = 1;

impl Worker<'_> {
    /// Begins a shield for a join at `spot` that was just queued, if the join is short and the seat has no shield yet.
    /// Gives whether it did. (Z1), (Z2)
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

    /// Ends the shield. (Z4)
    #[inline]
    pub(in crate::pool) fn end_shield(&self) {
        let shield = &self.seat.signals.shield;
        if shield.word() == BY_FAR {
            self.grain(Grain::was_wrong);
        }
        shield.set_word(0);
        shield.set_stamp(0);
    }

    /// Publishes the pending join of a short join, if no awake thread looks for jobs: such a thread would see that the
    /// join is not short. (Z1), (Z2)
    #[cold]
    #[inline(never)]
    pub(super) fn answer_shielded(&self) {
        if self.shared.sleep.has_only_sleepers(self.seat.domain) {
            let shield = &self.seat.signals.shield;
            if self.seat.stealer.is_empty() {
                shield.set_stamp(shield.stamp() | ALL_IS_SHORT);
            }
            self.answer();
        }
    }
}

/// The shield that a thief remembers, and since when it has seen it.
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

    /// Whether to leave alone what `seat` has published. Lowers the seat's shield if it is up for too long. (Z3)
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

    /// For how long this thread has seen this shield. Remembers it, unless another one that it remembers is still up
    /// and is younger than [`SHORT`].
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
