//! Which joins are too short to be worth offering: those run as two plain calls.
//!
//! To take a half over costs a thief and its victim about a microsecond together, so a join whose closures take less than
//! [`SHORT`] is better called than offered. Nobody says how long a closure takes: it is measured. One in [`SAMPLE`] offered
//! joins is timed. Joins of the same code (its *site*) that lie at least as deep on the stack as one that was short are
//! taken for short, too: in a recursion they are parts of such a one, or like it. A timed join that was not short moves the
//! mark deeper. So the upper joins of a recursion are offered, and the many below them cost a look at a few words.
//!
//! The guess may be wrong, when the same code does something else at the same depth. It does not hide much: while somebody
//! is hungry a short join is offered, or what lies around it, for thieves to take if it turns out to be longer
//! ([`super::quiet`]); and joins more than [`SPAN`] deeper than the mark are offered and timed again. Results do not depend on
//! any of it.
//!
//! After the idea of Acar, Aksenov, Charguéraud, Rainey, "Provably and practically efficient granularity control", 2019:
//! to predict from measured times. Here the depth of the stack stands for the size of the input.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A join that takes less is not worth offering.
pub(super) const SHORT: Duration = Duration::from_micros(4);
/// One offered join of so many is timed.
const SAMPLE: u32 = 8;
/// Bytes of stack below the mark in which joins are taken for short.
const SPAN: usize = 4096;
/// Bytes by which the mark moves deeper when a join was not short.
const STEP: usize = 256;
/// Bytes of stack above the mark in which a join counts as one of the same recursion.
const REACH: usize = 1 << 20;

/// Where a join is: its code and its depth in one number. Two sites could be taken for each other only if they lay as far
/// apart as frames do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot(usize);

impl Spot {
    /// Of a join whose code is at `site` and whose frame is at `frame`.
    #[inline]
    pub(super) fn new(site: usize, frame: usize) -> Self {
        Self(site.wrapping_add(frame))
    }

    /// Whether a join here is taken for short by a seat whose word is `word`. As cheap as it can be.
    #[inline]
    pub(super) fn is_short(self, word: usize) -> bool {
        word.wrapping_sub(self.0) < SPAN
    }
}

/// What a seat knows about the joins made there; see the module.
#[derive(Debug)]
pub(super) struct Grain {
    /// The spot of a join that was short; deeper ones of its site have smaller numbers.
    mark: Cell<usize>,
    offered: Cell<u32>,
}

impl Grain {
    pub(super) const fn new() -> Self {
        Self { mark: Cell::new(1), offered: Cell::new(0) }
    }

    /// What is known, in one word that is not zero: see [`Spot::is_short`].
    pub(super) fn word(&self) -> usize {
        self.mark.get().max(1)
    }

    /// A join is offered: when it begins, if it is to be timed.
    pub(super) fn begin(&self) -> Option<Instant> {
        let offered = self.offered.get().wrapping_add(1);
        self.offered.set(offered);
        offered.is_multiple_of(SAMPLE).then(Instant::now)
    }

    /// A timed join has ended.
    pub(super) fn end(&self, begin: Instant, spot: Spot) {
        let (mark, is_known) = (self.mark.get(), spot.is_short(self.word()));
        if begin.elapsed() < SHORT {
            if !is_known {
                self.mark.set(spot.0);
            }
        } else if is_known || spot.0.wrapping_sub(mark) < REACH {
            self.mark.set(mark.min(spot.0).saturating_sub(STEP));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn spot(site: usize, frame: usize) -> Spot {
        Spot::new(site << 30, frame)
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(Duration::from_millis(1)).expect("the clock has run for a while")
    }

    #[test]
    fn joins_below_a_short_one_are_short() {
        let grain = Grain::new();
        let is_short = |site, frame| spot(site, frame).is_short(grain.word());
        assert!(!is_short(1, 9000));
        while !is_short(1, 9000) {
            grain.end(Instant::now(), spot(1, 9000));
        }
        assert!(is_short(1, 8000));
        assert!(!is_short(1, 9001) && !is_short(2, 9000) && !is_short(1, 9000 - SPAN));
    }

    #[test]
    fn a_long_one_moves_the_mark_deeper() {
        let grain = Grain::new();
        grain.mark.set(spot(1, 9000).0);
        let is_short = |frame| spot(1, frame).is_short(grain.word());
        grain.end(long_ago(), spot(1, 9500));
        assert!(!is_short(9000) && is_short(9000 - STEP));
        grain.end(long_ago(), spot(2, 9500));
        assert!(is_short(9000 - STEP), "of another site: nothing was learnt");
        grain.end(long_ago(), spot(1, 9000 - 2 * STEP));
        assert!(!is_short(9000 - 2 * STEP), "it was thought to be short");
    }

    #[test]
    fn one_in_a_few_is_timed() {
        let grain = Grain::new();
        let timed = (0..10 * SAMPLE).filter(|_| grain.begin().is_some()).count();
        assert_eq!(timed, 10);
    }
}
