//! Guesses which joins are too short to be worth offering to others. Those run as two plain calls.
//!
//! When a thief takes a pending join over, thief and victim lose about a microsecond together. So a join whose closures
//! take less than [`SHORT`] is better called than offered. The seat measures how long they take:
//! * It times one in [`SAMPLE`] queued joins. A time counts unless a pending join was taken from this thread meanwhile.
//! * It learns per *site*, the code of the join. When [`SURE`] timed joins of a site were short, with at least [`MANY`]
//!   joins inside each, it sets a mark at the deepest of them on the stack. It takes joins of this site for short that
//!   lie at the mark or deeper: in a recursion they are like the timed ones, or inside them. Where there are only a few
//!   joins a guess is not worth it.
//! * From then on, a timed join that was short moves the mark to where it lies, and one that was not short moves the
//!   mark deeper. So the upper joins of a recursion are queued, and the many below them cost a look at a few words.
//! * If a join that was taken for short took [`WRONG`], the seat forgets the mark. Then twice as many must be short.
//!
//! The guess is wrong where the same code does something else at the same depth. Then it hides a little work for a
//! while ([`super::shield`]). Joins that lie more than [`SPAN`] deeper than the mark are queued and timed again.
//! Results do not depend on the guess.
//!
//! After the idea of Acar, Aksenov, Charguéraud, Rainey, "Provably and practically efficient granularity control",
//! 2019: to predict from measured times. Here the depth of the stack stands for the size of the input.

use crate::sync::Instant;
use std::cell::Cell;
use std::time::Duration;

/// A join that takes less time is not worth offering.
pub(in crate::pool) const SHORT: Duration = Duration::from_micros(4);
/// If a join that was taken for short takes this long, the guess was wrong.
pub(super) const WRONG: Duration = Duration::from_micros(64);
/// A short join counts for a guess only if this many joins were queued inside it.
const MANY: usize = 16;
/// One in this many queued joins is timed.
const SAMPLE: usize = 8;
/// How many timed joins must have been short before others are taken for short: at first, and at most.
const SURE: u32 = 16;
const MOST_SURE: u32 = 1024;
/// Joins at the mark, or fewer than this many bytes of stack deeper, are taken for short.
const SPAN: usize = 4096;
/// Bytes by which the mark moves deeper when a timed join was not short.
const STEP: usize = 256;
/// Joins of a site that lie less than this many bytes of stack apart count as one recursion.
const REACH: usize = 1 << 20;

/// Where a join is: its code and its depth in one number. The numbers of two sites lie so far apart that no depth of a
/// stack takes one for the other.
#[derive(Clone, Copy, Debug)]
pub(in crate::pool) struct JoinSite(usize);

impl JoinSite {
    /// A join whose code is at `site` and whose frame is at `frame`.
    #[inline]
    pub(in crate::pool) fn new(site: usize, frame: usize) -> Self {
        Self((site << (usize::BITS / 2)).wrapping_add(frame))
    }

    /// Whether it is of the same recursion as the join at `other`.
    fn is_near(self, other: usize) -> bool {
        self.0.abs_diff(other) < REACH
    }

    /// Whether a join here is taken for short by a seat whose word is `word`. Every join asks this, so it is one
    /// subtraction and one comparison.
    #[inline]
    pub(in crate::pool) fn is_short(self, word: usize) -> bool {
        word.wrapping_sub(self.0) < SPAN
    }
}

/// What a seat knows about the joins made there; see the module.
#[derive(Debug)]
pub(in crate::pool) struct Grain {
    /// Where a join lies that was short. Deeper joins of its site have smaller numbers.
    mark: Cell<usize>,
    /// Of short joins that a mark may come from: the deepest, how many there were, and how many there must be.
    candidate: Cell<usize>,
    count: Cell<u32>,
    needed: Cell<u32>,
    /// How many pending joins were taken from this seat.
    taken: Cell<u32>,
}

/// When a join began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    begin: Instant,
    /// How many pending joins had been taken by then, and how many joins had been queued.
    taken: u32,
    queued: usize,
}

impl Grain {
    pub(in crate::pool) const fn new() -> Self {
        Self {
            mark: Cell::new(1),
            candidate: Cell::new(0),
            count: Cell::new(0),
            needed: Cell::new(SURE),
            taken: Cell::new(0),
        }
    }

    /// What the seat knows, in one word that is not zero: see [`JoinSite::is_short`].
    pub(in crate::pool) fn word(&self) -> usize {
        self.mark.get().max(1)
    }

    /// A join is queued, the `queued`th of its seat. Gives the time at which it begins, if it is to be timed.
    #[inline]
    pub(super) fn begin(&self, queued: usize) -> Option<Timing> {
        queued.is_multiple_of(SAMPLE).then(|| Timing { begin: Instant::now(), taken: self.taken.get(), queued })
    }

    /// A pending join was taken from this seat.
    pub(super) fn was_taken(&self) {
        self.taken.set(self.taken.get().wrapping_add(1));
    }

    /// A timed join has ended. By now `queued` joins were queued.
    pub(super) fn end(&self, timing: Timing, queued: usize, spot: JoinSite) {
        let took = timing.begin.elapsed();
        if timing.taken != self.taken.get() {
            return; // a thief did a part of it at the same time
        }
        let is_known = spot.is_short(self.word());
        if took < SHORT {
            if !is_known {
                self.was_short(spot, queued.wrapping_sub(timing.queued));
            }
        } else if is_known && took >= WRONG {
            self.was_wrong();
        } else {
            self.was_long(spot, is_known);
        }
    }

    /// A join was taken for short, and took far longer.
    pub(super) fn was_wrong(&self) {
        self.mark.set(1);
        self.count.set(0);
        self.needed.set((2 * self.needed.get()).min(MOST_SURE));
    }

    /// Sets the mark as if enough joins there had been short.
    #[cfg(all(test, not(any(loom, coherence))))]
    pub(in crate::pool) fn take_for_short(&self, spot: JoinSite) {
        self.mark.set(spot.0);
    }

    /// A join that was not taken for short was short; this many joins were queued inside it.
    fn was_short(&self, spot: JoinSite, inside: usize) {
        let (candidate, count) = (self.candidate.get(), self.count.get());
        if spot.is_near(self.mark.get()) {
            self.mark.set(spot.0);
        } else if inside < MANY {
            // too few joins: nothing is learnt
        } else if count == 0 {
            self.candidate.set(spot.0);
            self.count.set(1);
        } else if spot.is_near(candidate) {
            self.candidate.set(candidate.min(spot.0));
            self.count.set(count + 1);
            if count + 1 >= self.needed.get() {
                self.mark.set(self.candidate.get());
                self.count.set(0);
            }
        } else {
            self.count.set(count - 1); // the site with the most joins wins
        }
    }

    fn was_long(&self, spot: JoinSite, is_known: bool) {
        let (mark, candidate) = (self.mark.get(), self.candidate.get());
        if is_known || spot.0.wrapping_sub(mark) < REACH {
            self.mark.set(mark.min(spot.0).saturating_sub(STEP));
        }
        if spot.is_near(candidate) && spot.0 <= candidate {
            self.count.set(0);
        }
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;

    fn spot(site: usize, frame: usize) -> JoinSite {
        JoinSite::new(site << 4, frame)
    }

    impl Grain {
        fn is_short(&self, site: usize, frame: usize) -> bool {
            spot(site, frame).is_short(self.word())
        }

        /// Ends a join that took this long, or longer if this thread loses its CPU just here.
        fn takes(&self, took: Duration, site: usize, frame: usize) {
            let begin = Instant::now().checked_sub(took).expect("the clock has run for a while");
            self.end(Timing { begin, taken: self.taken.get(), queued: 0 }, MANY, spot(site, frame));
        }

        fn learn(&self, site: usize, frame: usize) -> u32 {
            let tries = (1..10_000).find(|_| {
                self.takes(Duration::ZERO, site, frame);
                self.is_short(site, frame)
            });
            tries.expect("it learns")
        }
    }

    const LONG: Duration = Duration::from_micros(10);

    #[test]
    fn joins_below_a_short_one_are_short() {
        let grain = Grain::new();
        assert!(!grain.is_short(1, 9000));
        assert!(grain.learn(1, 9000) >= SURE);
        assert!(grain.is_short(1, 8000));
        assert!(!grain.is_short(1, 9001) && !grain.is_short(2, 9000) && !grain.is_short(1, 9000 - SPAN));
        assert!(grain.learn(1, 9500) < SURE, "of the same recursion");
    }

    #[test]
    fn a_long_one_moves_the_mark_deeper() {
        let grain = Grain::new();
        grain.mark.set(spot(1, 9000).0);
        grain.takes(LONG, 1, 9500);
        assert!(!grain.is_short(1, 9000) && grain.is_short(1, 9000 - STEP));
        grain.takes(LONG, 2, 9500);
        assert!(grain.is_short(1, 9000 - STEP), "of another site: nothing was learnt");
        grain.takes(LONG, 1, 9000 - 2 * STEP);
        assert!(!grain.is_short(1, 9000 - 2 * STEP), "it was thought to be short");
    }

    #[test]
    fn a_guess_that_was_wrong_is_not_made_again_soon() {
        let grain = Grain::new();
        grain.learn(1, 9000);
        grain.takes(WRONG, 1, 8000);
        assert!(!grain.is_short(1, 8000));
        assert!(grain.learn(1, 9000) >= 2 * SURE);
    }

    #[test]
    fn what_ran_on_two_threads_does_not_count() {
        let grain = Grain::new();
        for _ in 0..10 * SURE {
            let timing = Timing { begin: Instant::now(), taken: grain.taken.get(), queued: 0 };
            grain.was_taken();
            grain.end(timing, MANY, spot(1, 9000));
        }
        assert!(!grain.is_short(1, 9000));
    }

    #[test]
    fn a_few_joins_are_no_recursion() {
        let grain = Grain::new();
        for _ in 0..100 * SURE {
            let timing = Timing { begin: Instant::now(), taken: 0, queued: 0 };
            grain.end(timing, MANY - 1, spot(1, 9000));
        }
        assert!(!grain.is_short(1, 9000));
    }

    #[test]
    fn one_in_a_few_is_timed() {
        let grain = Grain::new();
        let timed = (0..10 * SAMPLE).filter(|queued| grain.begin(*queued).is_some()).count();
        assert_eq!(timed, 10);
    }
}
