//! The failure of a run, and what its sinks have seen, do not depend on the schedule.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::silence_traps;
use crate::check::{makespan, once, work};
use crate::graph::Graph;
use crate::pool::Pool;
use crate::{RunControl, RunErrorKind};

/// The results of `body` in many schedules, and how often each came.
fn outcomes<R: Ord>(body: impl Fn(&Pool) -> R) -> BTreeMap<R, usize> {
    silence_traps();
    let mut all = BTreeMap::new();
    for workers in [1, 2, 4] {
        for seed in 0..60 {
            *all.entry(once(workers, seed, &body)).or_default() += 1;
        }
    }
    all
}

/// The one outcome in all schedules.
fn the_outcome<R: Ord + Clone + std::fmt::Debug>(body: impl Fn(&Pool) -> R) -> R {
    let all = outcomes(body);
    assert_eq!(all.len(), 1, "it depends on the schedule: {all:?}");
    all.into_keys().next().expect("one")
}

/// Fails at one item, after some time.
fn fails_at(at: u64) -> impl Fn(u64) -> Result<u64, String> + Send + Sync {
    move |x| {
        work(3);
        if x == at { Err(format!("at {at}")) } else { Ok(x) }
    }
}

/// The operator and item of the failure of a run.
fn failure(pool: &Pool, g: Graph<'_>) -> (String, Option<u64>) {
    let error = pool.run(g).map(drop).expect_err("it fails");
    let error = error.as_run().expect("no defect");
    (error.operator().expect("an operator").to_owned(), error.item())
}

#[test]
fn a_later_operator_that_fails_on_an_earlier_item_wins_through_a_chain() {
    let outcome = the_outcome(|pool| {
        let g = Graph::new();
        let first = g.source(0..100).batch_size(1).try_map(fails_at(20)).named("upstream");
        drop(first.chain(g.source(100..200)).try_map(fails_at(3)).named("downstream").collect());
        failure(pool, g)
    });
    assert_eq!(outcome, ("downstream".to_owned(), Some(3)));
}

#[test]
fn a_later_operator_that_fails_on_an_earlier_item_wins_through_a_zip() {
    let outcome = the_outcome(|pool| {
        let g = Graph::new();
        let first = g.source(0..100).batch_size(1).try_map(fails_at(20)).named("upstream");
        let pairs = first.zip(g.source(100..200_u64)).map(|(x, _)| x);
        drop(pairs.try_map(fails_at(3)).named("downstream").collect());
        failure(pool, g)
    });
    assert_eq!(outcome, ("downstream".to_owned(), Some(3)));
}

#[test]
fn the_side_of_a_zip_that_fails_first_wins_and_the_left_one_at_the_same_place() {
    for (left, right, expected) in [(20, 10, ("right", 10)), (10, 20, ("left", 10)), (15, 15, ("left", 15))] {
        let outcome = the_outcome(|pool| {
            let g = Graph::new();
            let one = g.source(0..100).batch_size(1).credits(4).try_map(fails_at(left)).named("left");
            let two = g.source(0..100).batch_size(3).credits(4).try_map(fails_at(right)).named("right");
            drop(one.zip(two).count());
            failure(pool, g)
        });
        assert_eq!(outcome, (expected.0.to_owned(), Some(expected.1)));
    }
}

/// A merge asks for the next item of both sides, of the left one first.
#[test]
fn the_side_of_a_merge_that_fails_first_wins_and_the_left_one_at_the_same_place() {
    for (left, right, expected) in [
        (20, 10, ("right", 10, 20)),
        (10, 20, ("left", 10, 19)),
        (15, 15, ("left", 15, 29)),
        (15, 14, ("right", 14, 28)),
    ] {
        let outcome = the_outcome(|pool| {
            let seen = AtomicU64::new(0);
            let g = Graph::new();
            let one = g.source(0..100).batch_size(1).credits(4).try_map(fails_at(left)).named("left");
            let two = g.source(0..100).batch_size(3).credits(4).try_map(fails_at(right)).named("right");
            let merged = one.map(|x| 2 * x).merge_by_key(two.map(|x| 2 * x + 1), |x| *x);
            drop(merged.for_each_ordered(|_| _ = seen.fetch_add(1, Ordering::Relaxed)));
            let (operator, item) = failure(pool, g);
            (operator, item, seen.load(Ordering::Relaxed))
        });
        assert_eq!(outcome, (expected.0.to_owned(), Some(expected.1), expected.2));
    }
}

/// A key that panics when it is compared with the trap.
#[derive(PartialEq, Eq)]
struct Touchy(u64);

impl PartialOrd for Touchy {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Touchy {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        assert!(self.0 != 41 && other.0 != 41, "trap");
        self.0.cmp(&other.0)
    }
}

#[test]
fn keys_that_panic_are_put_down_to_their_merge() {
    let merge = |in_key: bool| {
        the_outcome(|pool| {
            let seen = AtomicU64::new(0);
            let g = Graph::new();
            let one = g.source((0..100_u64).step_by(2)).batch_size(4).inspect(|_| work(1));
            let two = g.source((1..100_u64).step_by(2)).batch_size(3).inspect(|_| work(1));
            let merged = one.merge_by_key(two, move |x| {
                assert!(*x != 41 || !in_key, "trap");
                Touchy(*x)
            });
            drop(merged.named("merged").for_each_ordered(|_| _ = seen.fetch_add(1, Ordering::Relaxed)));
            let error = pool.run(g).map(drop).expect_err("41");
            let error = error.as_run().expect("no defect");
            assert!(matches!(error.kind(), RunErrorKind::Panicked), "{error}");
            (error.operator().map(str::to_owned), error.item(), seen.load(Ordering::Relaxed))
        })
    };
    // 40 is compared with 41, and 41 is the item with number 20 of the right stream. What is before that goes on: 0 to
    // 39, or to 40.
    assert_eq!(merge(false), (Some("merged".to_owned()), None, 40));
    assert_eq!(merge(true), (Some("merged: the key of the right stream".to_owned()), Some(20), 40));
}

/// A batch that breaks off before or in the operator: what was before it has gone through, and the earlier failure
/// wins.
#[test]
fn a_panic_on_a_batch_names_its_operator_and_keeps_its_place() {
    for (before, inside, expected) in [(20, 99, ("before", Some(20), 20)), (20, 16, ("batch", None, 16))] {
        let outcome = the_outcome(|pool| {
            let seen = AtomicU64::new(0);
            let g = Graph::new();
            let items = g.source(0..100).batch_size(4).try_map(fails_at(before)).named("before");
            let doubled = items.map_batch(|items| {
                assert!(!items.contains(&inside), "trap");
                items.into_iter().flat_map(|x| [x, x])
            });
            drop(doubled.named("batch").for_each_ordered(|_| _ = seen.fetch_add(1, Ordering::Relaxed)));
            let (operator, item) = failure(pool, g);
            (operator, item, seen.load(Ordering::Relaxed))
        });
        assert_eq!(outcome, (expected.0.to_owned(), expected.1, 2 * expected.2));
    }
}

#[test]
fn a_combine_that_panics_has_one_place() {
    let outcome = the_outcome(|pool| {
        let seen = AtomicU64::new(0);
        let count = |_| {
            seen.fetch_add(1, Ordering::Relaxed);
        };
        let g = Graph::new();
        let (one, two) = g.source(0..20_u64).batch_size(1).tee();
        let slow = one.inspect(|x| work(if *x < 2 { 5 } else { 0 }));
        drop(slow.aggregate(0, |a, x| a + x, |_, _| panic!("trap")));
        drop(two.try_map(fails_at(1)).named("two").for_each_ordered(count));
        let failure = failure(pool, g);
        (failure, seen.load(Ordering::Relaxed))
    });
    assert_eq!(outcome, (("two".to_owned(), Some(1)), 1));
}

/// Owns memory. Whether it panics when it is cloned.
struct Dud(Box<bool>);

impl Clone for Dud {
    fn clone(&self) -> Self {
        assert!(!*self.0, "trap");
        Self(Box::new(false))
    }
}

/// Values that own memory are made of several batches each. What fails has one place all the same.
#[test]
fn a_value_of_several_batches_fails_at_one_place() {
    let outcome = |items: u64, at: u64, is_dud: bool, trap: bool| {
        the_outcome(|pool| {
            let g = Graph::new();
            let items = g.range(0..items).try_map(fails_at(at)).named("items");
            let combine = move |all: Dud, _| {
                assert!(!trap, "trap");
                all
            };
            drop(items.aggregate(Dud(Box::new(is_dud)), |all, _| all, combine).named("all"));
            failure(pool, g)
        })
    };
    let all = || ("all".to_owned(), None);
    let item = |at| ("items".to_owned(), Some(at));
    assert_eq!(outcome(100, 99, false, false), item(99));
    assert_eq!(outcome(100, 200, false, true), all());
    assert_eq!(outcome(100, 200, true, false), all());
    assert_eq!(outcome(100, 0, true, false), all());
    // Three values, of the batches 0 and 1, 2 and 3, and 4: the first two come together before item 4.
    assert_eq!(outcome(5, 4, false, true), all());
    assert_eq!(outcome(5, 3, false, true), item(3));
}

/// Panics when it is dropped, if it is a clone.
struct CloneBomb(bool);

impl Clone for CloneBomb {
    fn clone(&self) -> Self {
        Self(true)
    }
}

impl Drop for CloneBomb {
    fn drop(&mut self) {
        assert!(!self.0 || std::thread::panicking(), "trap");
    }
}

#[test]
fn the_end_of_a_scan_is_no_failure() {
    let outcome = the_outcome(|pool| {
        let g = Graph::new();
        let first = g.source(0..10).batch_size(1).scan(CloneBomb(false), |_, x| Some(x));
        let all = first.chain(g.source(0..40).batch_size(1));
        drop(all.try_map(fails_at(3)).named("down").for_each_ordered(drop));
        failure(pool, g)
    });
    assert_eq!(outcome, ("down".to_owned(), Some(3)));
}

#[test]
fn behind_the_end_of_a_stream_there_is_no_failure() {
    let outcome = the_outcome(|pool| {
        let g = Graph::new();
        let items = g.source(0..100).batch_size(1).try_map(fails_at(9));
        let some = items.scan((), |(), x| (x < 5).then_some(x)).collect();
        pool.run(g).map(|mut run| run.take(some)).map_err(|error| error.to_string())
    });
    assert_eq!(outcome, Ok(vec![0, 1, 2, 3, 4]));
}

#[test]
fn an_ordered_sink_sees_exactly_the_items_before_the_failure() {
    for (shape, expected) in [("zip", 20), ("chain", 120), ("scan", 20), ("merge", 20), ("plain", 20)] {
        let outcome = the_outcome(|pool| {
            let seen = AtomicU64::new(0);
            let count = |_| {
                seen.fetch_add(1, Ordering::Relaxed);
            };
            let g = Graph::new();
            let left = g.source(0..100).batch_size(1).credits(4).try_map(fails_at(20)).named("left");
            let right = g.source(100..200).batch_size(1).credits(4).inspect(|_| work(10));
            match shape {
                "zip" => drop(left.zip(right).map(|(x, _)| x).for_each_ordered(count)),
                "chain" => drop(right.chain(left).for_each_ordered(count)),
                "merge" => drop(left.merge_by_key(right, |x| *x).for_each_ordered(count)),
                "scan" => drop(left.scan((), |(), x| Some(x)).chain(right).for_each_ordered(count)),
                _ => drop(left.chain(right).for_each_ordered(count)),
            }
            assert_eq!(failure(pool, g), ("left".to_owned(), Some(20)));
            seen.load(Ordering::Relaxed)
        });
        assert_eq!(outcome, expected, "{shape}");
    }
}

#[test]
fn the_items_of_a_failed_run_are_accounted_for() {
    let lost = the_outcome(|pool| {
        let g = Graph::new();
        let items = g.source(0..200_u64).batch_size(4).inspect(|x| work(x % 7)).named("made");
        drop(items.for_each_ordered(|x| assert!(x != 30, "trap")).named("sink"));
        let error = pool.run(g).map(drop).expect_err("item 30");
        let report = error.as_run().expect("no defect").report();
        let (made, sink) = (report.operator("made").expect("named"), report.operator("sink").expect("named"));
        made.items_out() - sink.items_in() - sink.items_dropped()
    });
    assert_eq!(lost, 0);
}

#[test]
fn the_items_of_a_batch_that_breaks_off_are_accounted_for() {
    let lost = the_outcome(|pool| {
        let g = Graph::new();
        let (one, two) = g.range(0..200_u64).batch_size(10).tee();
        drop(two.count());
        drop(one.named("one").inspect(|x| assert!(*x != 33, "trap")).count());
        let error = pool.run(g).map(drop).expect_err("item 33");
        let report = error.as_run().expect("no defect").report();
        let tee = report.operators().iter().find(|operator| operator.name().starts_with("tee at")).expect("there");
        let one = report.operator("one").expect("named");
        tee.items_out() - one.items_in() - one.items_dropped()
    });
    assert_eq!(lost, 0);
}

/// The keys of a batch are folded when all of it has gone through the operators before: those have failed by then.
#[test]
fn a_fold_that_fails_before_the_item_on_which_an_operator_in_front_of_it_has_failed_wins() {
    let outcome = the_outcome(|pool| {
        let g = Graph::new();
        let source = g.source(0..200_u64).batch_size(20).try_map(fails_at(97)).named("upstream");
        let fold = |sum, x| {
            work(x % 5);
            assert!(x != 93, "trap");
            sum + x
        };
        drop(source.key_by(|x| x % 20).fold(0, fold).named("sink"));
        failure(pool, g)
    });
    assert_eq!(outcome, ("sink".to_owned(), Some(93)));
}

#[test]
fn of_the_keys_that_fail_in_one_batch_the_one_on_the_earliest_item_counts() {
    let outcome = the_outcome(|pool| {
        let g = Graph::new();
        let keyed = g.source(0..200_u64).batch_size(20).key_by(|x| x % 20);
        let fold = |sum, x| {
            work(x % 5);
            assert!(x < 93, "trap");
            sum + x
        };
        drop(keyed.fold(0, fold).named("sink"));
        failure(pool, g)
    });
    assert_eq!(outcome, ("sink".to_owned(), Some(93)));
}

#[test]
fn a_key_that_panics_counts_behind_the_items_before_it() {
    #[derive(PartialEq, Eq)]
    struct Trap(u64);
    impl std::hash::Hash for Trap {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            assert!(self.0 != 93, "trap");
            (self.0 % 20).hash(state);
        }
    }
    for (fails, expected) in [(91, 91), (95, 93)] {
        let outcome = the_outcome(|pool| {
            let g = Graph::new();
            let keyed = g.source(0..200_u64).batch_size(20).key_by(|x| Trap(*x));
            let fold = move |sum, x| {
                work(x % 5);
                assert!(x != fails, "trap");
                sum + x
            };
            drop(keyed.fold(0, fold).named("sink"));
            failure(pool, g)
        });
        assert_eq!(outcome, ("sink".to_owned(), Some(expected)));
    }
}

#[test]
fn the_items_of_a_failed_keyed_run_are_accounted_for() {
    let lost = the_outcome(|pool| {
        let g = Graph::new();
        let items = g.source(0..200_u64).batch_size(4).inspect(|x| work(x % 7)).named("made");
        let fold = |sum, x| {
            assert!(x != 30, "trap");
            sum + x
        };
        drop(items.key_by(|x| x % 20).named("key").fold(0, fold).named("sink"));
        let error = pool.run(g).map(drop).expect_err("item 30");
        let report = error.as_run().expect("no defect").report();
        let (key, sink) = (report.operator("key").expect("named"), report.operator("sink").expect("named"));
        key.items_out() - sink.items_in() - sink.items_dropped()
    });
    assert_eq!(lost, 0);
}

/// How many of 200 tasks begin beside one that fails, which was added before or behind them all.
fn begun(workers: usize, seed: u64, is_first: bool) -> u64 {
    silence_traps();
    let begun = AtomicU64::new(0);
    makespan(workers, seed, |pool| {
        let g = Graph::new();
        let fails = || drop(g.task((), |()| -> () { panic!("trap") }));
        if is_first {
            fails();
        }
        for _ in 0..200 {
            drop(g.task((), |()| {
                begun.fetch_add(1, Ordering::Relaxed);
                work(10);
            }));
        }
        if !is_first {
            fails();
        }
        assert!(pool.run(g).is_err());
    });
    begun.into_inner()
}

#[test]
fn tasks_behind_one_that_failed_do_not_begin_but_those_before_it_do() {
    for workers in [1, 2, 4] {
        for seed in 0..5 {
            let behind = begun(workers, seed, true);
            assert!(behind <= 2 * (workers as u64 + 1), "{behind} tasks have begun beside {workers} workers");
            assert_eq!(begun(workers, seed, false), 200);
        }
    }
}

/// Batches that were issued already, and that nobody has begun, are dropped.
#[test]
fn a_cancelled_run_calls_nobody_for_what_waits() {
    for workers in [1, 2, 4] {
        for seed in 0..10 {
            let control = Mutex::new(None::<RunControl>);
            let is_cancelled = AtomicBool::new(false);
            let behind = AtomicU64::new(0);
            once(workers, seed, |pool| {
                let g = Graph::new();
                g.source(0..400_u32).batch_size(1).credits(100).for_each(|_| {
                    work(2);
                    if let Some(control) = control.lock().expect("no panic").take() {
                        control.cancel();
                        is_cancelled.store(true, Ordering::Relaxed);
                    } else if is_cancelled.load(Ordering::Relaxed) {
                        behind.fetch_add(1, Ordering::Relaxed);
                    }
                });
                let mut plan = g.plan(pool).expect("a plan");
                drop(plan.run_while(|run| *control.lock().expect("no panic") = Some(run.clone())));
            });
            let behind = behind.into_inner();
            assert!(behind <= workers as u64 + 1, "{behind} calls behind the cancel, {workers} workers, seed {seed}");
        }
    }
}
