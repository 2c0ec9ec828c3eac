//! Loops in any order: every index comes once, answers depend on the index alone, the first panic comes out, and
//! nothing is kept or lost.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use proptest::prelude::*;

use super::silence_traps;
use super::steps::{BODY, check, judge};
use crate::check::{Body, Dice, Order, drive, makespan, once, work};
use crate::pool::Pool;

/// Tries a body at several worker counts; all give the same.
fn same_everywhere<R: PartialEq + std::fmt::Debug>(seed: u64, body: impl Fn(&Pool) -> R) -> R {
    let alone = once(1, seed, &body);
    for (workers, seed) in [(2, seed), (2, !seed), (3, seed), (64, seed)] {
        assert_eq!(once(workers, seed, &body), alone, "on {workers} workers");
    }
    alone
}

/// Calls `work`, and says what it throws.
fn thrown<R>(work: impl FnOnce() -> R) -> Result<R, u64> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| *panic.downcast().expect("a number"))
}

/// A few rounds of work or none, by index.
fn some_work(i: u64) {
    let rounds = Dice::new(i).roll(8);
    if (1..4).contains(&rounds) {
        work(rounds);
    }
}

fn place(i: u64) -> usize {
    usize::try_from(i).expect("a small number")
}

/// The tree of a reduction, written down with a plain recursion.
fn shape(leaves: &[String]) -> String {
    match leaves {
        [one] => one.clone(),
        more => {
            let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
            format!("({} {})", shape(left), shape(right))
        }
    }
}

/// What a reduction of `0..n` writes down: leaves as `start+length`.
fn written(n: u64) -> String {
    let size = (n / 1024).max(1);
    let leaves: Vec<String> = (0..n).step_by(place(size)).map(|i| format!("{i}+{}", size.min(n - i))).collect();
    if leaves.is_empty() { String::new() } else { shape(&leaves) }
}

/// A part of a reduction that says what it was made of.
fn add(part: (u64, u64), i: u64) -> (u64, u64) {
    some_work(i);
    if part.1 == 0 { (i, 1) } else { (part.0, part.1 + 1) }
}

/// How many of these there are, all in all.
#[derive(Default)]
struct Census(AtomicI64);

/// Is counted; its drop panics now and then, unless it is unwinding.
struct Counted<'a> {
    census: &'a Census,
    bad: bool,
}

impl Census {
    fn one(&self, bad: bool) -> Counted<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted { census: self, bad }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.census.0.fetch_sub(1, Ordering::Relaxed);
        if self.bad && !std::thread::panicking() {
            panic_any(u64::MAX);
        }
    }
}

/// How long a loop is: mostly about as long as it has leaves.
fn length() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, 0..300_u64, 1000..1100_u64, 1500..5000_u64]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_index_comes_once(n in length(), start in any::<i32>(), seed in any::<u64>()) {
        let range = i64::from(start)..i64::from(start) + n.cast_signed();
        same_everywhere(seed, |pool| {
            let counts: Vec<AtomicU64> = (0..n).map(|_| AtomicU64::new(0)).collect();
            pool.for_each(range.clone(), |i| {
                some_work(i.cast_unsigned());
                counts[place(i.abs_diff(range.start))].fetch_add(1, Ordering::Relaxed);
            });
            pool.for_each(&counts, |count| _ = count.fetch_add(10, Ordering::Relaxed));
            let mut counts = counts;
            pool.for_each_mut(&mut counts, |i, count| *count.get_mut() += 100 * (i as u64 + 1));
            assert!(counts.into_iter().enumerate().all(|(i, count)| count.into_inner() == 100 * (i as u64 + 1) + 11));
        });
    }

    #[test]
    fn parts_are_combined_in_order_as_one_tree(n in length(), seed in any::<u64>()) {
        let texts = same_everywhere(seed, |pool| {
            let shape = pool.aggregate(
                0..n,
                || (String::new(), (0, 0)),
                |(_, part), i| {
                    let part = add(part, i);
                    (format!("{}+{}", part.0, part.1), part)
                },
                |(left, _), (right, _)| (format!("({left} {right})"), (0, 0)),
            );
            // Large parts live elsewhere.
            let large = pool.aggregate(0..n, || [0; 64], |mut a, i| { a[0] += i; a }, |mut a, b| { a[0] = 3 * a[0] + b[0]; a });
            let floats = pool.aggregate(0..n, || 0.0, |sum, i| sum + (i as f64).sqrt(), |a, b| a + b);
            (shape.0, large[0], f64::to_bits(floats))
        });
        prop_assert_eq!(texts.0, written(n));
    }

    #[test]
    fn what_is_made_is_collected_in_order(n in length(), seed in any::<u64>()) {
        same_everywhere(seed, |pool| {
            let made = pool.map_collect(0..n, |i| { some_work(i); Box::new(i) });
            assert!(made.iter().map(|i| **i).eq(0..n));
            assert_eq!(pool.map_collect(&made, |_| ()).len() as u64, n);
        });
    }

    #[test]
    fn the_first_panic_comes_out(n in length(), traps in prop::collection::btree_set(0..5000_u64, 1..6), seed in any::<u64>()) {
        silence_traps();
        let first = traps.iter().find(|i| **i < n).copied();
        let trap = |i: u64| if traps.contains(&i) { panic_any(i) };
        same_everywhere(seed, |pool| {
            let done: Vec<AtomicU64> = (0..n).map(|_| AtomicU64::new(0)).collect();
            let result = thrown(|| pool.for_each(0..n, |i| {
                some_work(i);
                trap(i);
                done[place(i)].fetch_add(1, Ordering::Relaxed);
            }));
            assert_eq!(result.err(), first);
            let done: Vec<u64> = done.into_iter().map(AtomicU64::into_inner).collect();
            assert!(done[..place(first.unwrap_or(n))].iter().all(|count| *count == 1), "all before it");
            assert!(done.iter().all(|count| *count <= 1));

            let census = Census::default();
            let make = |i| { some_work(i); let one = census.one(i % 7 == 0); trap(i); one };
            let result = thrown(|| pool.map_collect(0..n, make));
            assert_eq!(result.as_ref().err().copied(), first);
            if let Ok(made) = result {
                assert_eq!((made.len() as u64, census.0.load(Ordering::Relaxed)), (n, n.cast_signed()));
                made.into_iter().for_each(|mut one| one.bad = false);
            }
            assert_eq!(census.0.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn a_reduction_drops_what_it_made(
        n in length(),
        in_fold in prop::collection::btree_set(0..5000_u64, 0..3),
        in_combine in prop::option::of((0..9_u64, 9..500_u64)),
        seed in any::<u64>(),
    ) {
        silence_traps();
        let in_combine = |right: u64| in_combine.is_some_and(|(rest, modulus)| right % modulus == rest);
        let result = same_everywhere(seed, |pool| {
            let census = Census::default();
            // A part is what it was made of; bad ones panic when they are dropped for the panic of another one.
            let result = thrown(|| pool.aggregate(
                0..n,
                || (census.one(false), 0..0),
                |(mut one, items), i| {
                    some_work(i);
                    if in_fold.contains(&i) { panic_any(i) }
                    one.bad = false;
                    drop(one);
                    (census.one(i % 7 == 0), if items.is_empty() { i..i + 1 } else { items.start..i + 1 })
                },
                |(mut one, left), (mut other, right)| {
                    (one.bad, other.bad) = (false, false);
                    assert_eq!(left.end, right.start);
                    if in_combine(right.start) { panic_any(right.end - 1 + 10_000 * right.start) }
                    (census.one(right.end % 5 == 0), left.start..right.end)
                },
            ));
            let result = result.map(|(mut one, items)| {
                one.bad = false;
                drop(one);
                items
            });
            assert_eq!(census.0.load(Ordering::Relaxed), 0);
            result
        });
        let first = in_fold.iter().find(|i| **i < n).copied();
        prop_assert!(result.is_err() || first.is_none());
        prop_assert!(result.is_err() || result == Ok(0..n));
    }

    #[test]
    fn loops_nest(outer in 0..20_u64, inner in length(), seed in any::<u64>()) {
        let sum = same_everywhere(seed, |pool| {
            let inner_sum = |i: u64| pool.aggregate(0..inner, || 0, |sum, j| { some_work(i ^ j); sum + j }, |a, b| a + b);
            let (a, b) = pool.join(
                || pool.aggregate(0..outer, || 0, |sum, i| sum + inner_sum(i), |a, b| a + b),
                || pool.map_collect(0..outer, inner_sum).iter().sum::<u64>(),
            );
            a + b
        });
        prop_assert_eq!(sum, 2 * outer * (0..inner).sum::<u64>());
    }

    #[test]
    fn many_threads_loop_at_once(n in length(), seed in any::<u64>()) {
        let threads = 1 + Dice::new(seed).roll(11); // more than there are guest seats
        for workers in [1, 2, 3] {
            let body = |_| Box::new(|pool: &Pool| {
                let sum = pool.aggregate(0..n, || 0, |sum, i| { some_work(i); sum + i }, |a, b| a + b);
                assert_eq!(sum, (0..n).sum::<u64>());
            }) as Body<'_, ()>;
            drive(workers, Order::Random(seed), (0..threads).map(body).collect());
        }
    }
}

/// Items that are only numbers: the count may be as large as it can be.
#[test]
fn lengths_may_be_extreme() {
    silence_traps();
    let calls = AtomicU64::new(0);
    let stop = |i: u64| {
        calls.fetch_add(1, Ordering::Relaxed);
        panic_any(i)
    };
    for n in [u64::from(u32::MAX) + 5, u64::MAX / 2, u64::MAX] {
        let result = once(3, n, |pool| thrown(|| pool.for_each(0..n, stop)));
        assert_eq!(result.err(), Some(0));
    }
    let result = once(3, 1, |pool| thrown(|| pool.for_each(i64::MIN..i64::MAX, |i| stop(i.abs_diff(i64::MIN)))));
    assert_eq!(result.err(), Some(0));
    assert!(calls.into_inner() < 4 * 64, "at most the first of each leaf that was begun");
    let zeros = [(); usize::MAX / 2];
    once(2, 1, |pool| {
        let result = thrown(|| pool.for_each(&zeros[..], |()| panic_any(7_u64)));
        assert_eq!(result.err(), Some(7));
        #[expect(clippy::reversed_empty_ranges, reason = "it is what is tried")]
        pool.for_each(5..3, |_: i32| panic!("there is nothing in it"));
    });
}

#[test]
fn loops_use_all_workers() {
    for n in [64, 256] {
        check(&format!("loop of {n}"), n, 1, |pool| {
            work(10); // until the workers of the new pool have gone to sleep
            pool.for_each(0..n, |_| work(BODY));
        });
        check(&format!("reduction of {n}"), n, 1, |pool| {
            work(10);
            pool.aggregate(0..n, || (), |(), _| work(BODY), |(), ()| ());
        });
    }
}

#[test]
fn nested_loops_use_all_workers() {
    for (outer, inner) in [(8, 64), (64, 8), (512, 1), (4, 160)] {
        check(&format!("{outer} loops of {inner}"), outer * inner, 1, |pool| {
            work(10);
            pool.for_each(0..outer, |_| pool.for_each(0..inner, |_| work(BODY)));
        });
    }
}

/// Every seed's makespan of a loop with these costs is within 1.15 × the ideal, and 50 rounds.
fn within_bar(name: &str, costs: &[u64]) {
    let ideal = costs.iter().sum::<u64>().div_ceil(64).max(*costs.iter().max().expect("some"));
    let run = |seed| makespan(64, seed, |pool| pool.for_each(costs, |rounds| work(*rounds)));
    judge(name, ideal + ideal * 15 / 100 + 50, (1..=15).map(run).collect());
}

#[test]
fn uneven_loops_are_balanced() {
    let mut dice = Dice::new(1);
    within_bar("10 000 of 1 to 7 rounds", &(0..10_000).map(|_| 1 + dice.roll(7)).collect::<Vec<_>>());
    within_bar("1000 rising", &(0..1000).collect::<Vec<_>>());
    within_bar("1500 falling", &(0..1500).rev().collect::<Vec<_>>());
}
