//! How many items have come out of operators when so many have gone in.

use crate::run::flow::makes::Makes;

/// Of the first `x` items come `max(0, (x + ahead) / of)` out, rounded down. `ahead < of`, so nothing comes of nothing.
///
/// Operators of known rates, one behind the other, are such a rate again: with `y = (x + a) / n` and `(y + b) / m`,
/// both rounded down, that is `(x + a + b n) / (n m)`. Where `y` would be below 0, `b < m` makes 0 of it as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) ahead: i128,
    pub(super) of: i128,
}

impl Rate {
    pub(super) const ONE: Self = Self { ahead: 0, of: 1 };

    /// The rate of an operator, if it is known.
    fn of(makes: Makes) -> Option<Self> {
        match makes {
            Makes::One => Some(Self::ONE),
            Makes::Every { first, step } => {
                let (first, step) = (i128::from(first), i128::from(step));
                Some(Self { ahead: step - first, of: step })
            }
            Makes::AtMostOne | Makes::Any => None,
        }
    }

    /// The rate with an operator behind it, if that is known, and not beyond all numbers.
    pub(super) fn then(self, makes: Makes) -> Option<Self> {
        let Self { ahead, of } = Self::of(makes)?;
        let ahead = self.ahead.checked_add(ahead.checked_mul(self.of)?)?;
        Some(Self { ahead, of: self.of.checked_mul(of)? })
    }
}

/// A side of a meeting that is ahead holds what has come of so many of the last items of a source, at most, while no more
/// of them come.
///
/// `first` is the rate of that side, `second` that of the other one, with the same `of`. `from` tells whose credits what
/// waits has: it is the rate that the first side would have if all its items came when the batches do whose credits they
/// hold. Batches end at multiples of `batch`.
///
/// After `x` items there are `p` pairs, which is `(x + second.ahead) / of` rounded down, with a rest of `r`.
/// * The first side has one more if `r + first.ahead - second.ahead` is `of` at least.
/// * That one holds the credits of a batch with items behind `of (p + 1) - 1 - from.ahead`, and so do all behind it: of
///   `from.ahead + 1 - of - second.ahead + r` items.
/// * At ends of batches `r` is like `second.ahead`, modulo the greatest common divisor of `of` and `batch`; the largest
///   one counts.
pub(super) fn held(first: Rate, from: Rate, second: Rate, batch: i128) -> i128 {
    let step = gcd(first.of, batch);
    let rest = first.of - step + second.ahead.rem_euclid(step);
    if rest + first.ahead - second.ahead < first.of {
        return 0;
    }
    from.ahead + 1 - first.of - second.ahead + rest
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Rate {
        fn at(self, items: i128) -> i128 {
            (items + self.ahead).div_euclid(self.of).max(0)
        }
    }

    /// What an operator makes of the first `items` items, by what it does.
    fn counted(makes: Makes, items: u64) -> u64 {
        match makes {
            Makes::One => items,
            Makes::Every { first, step } => {
                (1..=items).filter(|x| *x >= first && (x - first).is_multiple_of(step)).count() as u64
            }
            _ => unreachable!("not drawn"),
        }
    }

    fn operators() -> impl Strategy<Value = Vec<Makes>> {
        let every = (1..6_u64, 1..5_u64).prop_map(|(first, step)| Makes::Every { first, step });
        prop::collection::vec(prop_oneof![1 => Just(Makes::One), 3 => every], 0..4)
    }

    fn rate(operators: &[Makes]) -> Rate {
        operators.iter().try_fold(Rate::ONE, |rate, makes| rate.then(*makes)).expect("all are known")
    }

    proptest! {
        #[test]
        fn operators_in_a_line_have_one_rate(operators in operators(), items in 0..500_u64) {
            let made = operators.iter().fold(items, |items, makes| counted(*makes, items));
            let rate = rate(&operators);
            prop_assert!(rate.ahead < rate.of);
            prop_assert_eq!(rate.at(i128::from(items)), i128::from(made));
        }

        /// Items are held from the batch on which the first one that waits comes from.
        #[test]
        fn what_is_held_is_what_a_walk_over_all_batches_finds(
            (first, second) in (operators(), operators()),
            older in 0..4_u64,
            batch in 1..9_i128,
        ) {
            let (first, second) = (rate(&first), rate(&second));
            prop_assume!(first.of == second.of);
            let from = Rate { ahead: first.ahead + i128::from(older), of: first.of };
            let mut most = 0;
            for x in (0..2000).step_by(usize::try_from(batch).expect("small")).map(i128::from) {
                let pairs = second.at(x);
                if first.at(x) > pairs {
                    let free = (0..=x).rev().find(|before| from.ahead + before < from.of * (pairs + 1));
                    most = most.max(x - free.unwrap_or(0));
                }
            }
            let held = held(first, from, second, batch);
            prop_assert!(held >= most, "{held} {most}");
            prop_assert!(held == most || older > 0, "{held} {most}");
        }
    }

    #[test]
    fn rates_beyond_all_numbers_are_not_known() {
        let huge = Makes::Every { first: u64::MAX, step: u64::MAX };
        let rate = (0..9).try_fold(Rate::ONE, |rate, _| rate.then(huge));
        assert_eq!(rate, None);
    }
}
