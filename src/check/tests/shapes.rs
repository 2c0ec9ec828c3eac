//! Graphs whose streams part and meet again give the right answer, or an error that names what waits. The bugs that
//! random programs have found are here too.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::check::{Body, Order, drive, once, work};
use crate::sync::seam;
use crate::{Graph, Plan, Pool, RunErrorKind, Stream};

/// Workers and seeds that a shape is tried with.
fn everywhere(body: impl Fn(&Pool)) {
    for workers in [1, 2, 3, 64] {
        (0..8).for_each(|seed| once(workers, seed, &body));
    }
}

/// The stall of a plan, in words.
fn stall(plan: &mut Plan<'_>) -> String {
    let error = plan.run().expect_err("it stalls");
    assert!(matches!(error.kind(), RunErrorKind::Stalled), "{error}");
    error.to_string()
}

/// Numbers beside those of them that are left by a filter, paired: the unfiltered side is ahead.
fn beside(pool: &Pool, credits: usize, spooled: bool) -> (Plan<'_>, crate::Data<Vec<(u32, u32)>>) {
    let g = Graph::new();
    let (all, some) = g.source_fn(|| 0..100).named("numbers").batch_size(1).credits(credits).tee();
    let some = some.filter(|x| x % 10 == 9).named("some");
    let pairs = match spooled {
        true => all.spooled().zip(some).named("pairs").collect(),
        false => all.zip(some).named("pairs").collect(),
    };
    (g.plan(pool).expect("no defect"), pairs)
}

#[test]
fn tee_filter_zip_with_enough_credits() {
    everywhere(|pool| {
        let (mut plan, pairs) = beside(pool, 200, false);
        plan.run().expect("credits for all");
        assert!(plan.get(&pairs).iter().copied().eq((0..10).map(|i| (i, 10 * i + 9))));
    });
}

#[test]
fn tee_filter_zip_stalls_with_few_credits_and_says_who_waits() {
    everywhere(|pool| {
        let (mut plan, pairs) = beside(pool, 9, false);
        for _ in 0..2 {
            let error = stall(&mut plan);
            assert!(error.contains("'numbers' has used up its 9 credits"), "{error}");
            assert!(error.contains("'pairs: left'") && error.contains("wait"), "{error}");
            assert!(plan.try_get(&pairs).is_none());
        }
    });
}

#[test]
fn tee_filter_zip_spooled_needs_one_credit() {
    everywhere(|pool| {
        let (mut plan, pairs) = beside(pool, 1, true);
        plan.run().expect("what is ahead is kept");
        assert_eq!(plan.get(&pairs).len(), 10);
    });
}

#[test]
fn the_credits_that_suffice_are_the_same_in_every_schedule() {
    let needed = |pool: &Pool| (1..).find(|credits| beside(pool, *credits, false).0.run().is_ok());
    let expected = once(1, 0, needed);
    for workers in [2, 3, 64] {
        (0..4).for_each(|seed| assert_eq!(once(workers, seed, needed), expected));
    }
}

#[test]
fn partition_merge_needs_one_credit() {
    everywhere(|pool| {
        let g = Graph::new();
        let (small, large) = g.source(0..100_u64).batch_size(3).credits(1).partition(|x| *x < 30);
        let sum = small.map(|x| x * 2).merge(large).sum::<u64>();
        assert_eq!(pool.run(g).expect("nothing waits").take(sum), (0..100).sum::<u64>() + (0..30).sum::<u64>());
    });
}

#[test]
fn partition_chain_from_one_source_is_a_defect() {
    once(1, 0, |pool| {
        let g = Graph::new();
        let (small, large) = g.range(0..100).named("numbers").partition(|x| *x < 30);
        let all = small.chain(large).named("small, then large").collect();
        let error = g.plan(pool).map(|_| all).expect_err("all of large would be kept").to_string();
        assert!(error.contains("small, then large") && error.contains("spooled"), "{error}");
    });
}

#[test]
fn two_streams_that_wait_for_each_others_end_are_a_defect() {
    once(1, 0, |pool| {
        let g = Graph::new();
        let (a, a_later) = g.range(0..100_u64).named("a").tee();
        let (b, b_later) = g.range(0..100_u64).named("b").tee();
        let (a_sum, b_sum) = (a.sum::<u64>(), b.sum::<u64>());
        let one = a_later.map_with(&b_sum, |sum, x| sum + x).count();
        let two = b_later.map_with(&a_sum, |sum, x| sum + x).count();
        let error = g.plan(pool).map(|_| (one, two)).expect_err("each is held for the other").to_string();
        assert!(error.contains("held until"), "{error}");
    });
}

#[test]
fn a_stream_that_ends_early_ends_its_inputs_once() {
    everywhere(|pool| {
        let g = Graph::new();
        let (one, two) = g.source(0..100).batch_size(1).tee();
        let first = one.scan((), |(), x| (x < 10).then_some(x)).scan((), |(), x| (x < 5).then_some(x)).collect();
        let all = two.collect();
        let mut run = pool.run(g).expect("runs");
        assert_eq!((run.take(first).len(), run.take(all).len()), (5, 100));
    });
}

/// A guest that waits for the run may steal the pending join that it must not run: the joining worker gets it back.
#[test]
fn a_join_gets_back_what_a_waiting_guest_has_stolen() {
    for seed in 0..500 {
        once(1, seed, |pool| {
            let g = Graph::new();
            let sum = g.range(0..12_u64).batch_size(1).map(|x| pool.join(|| x, || x).0).sum::<u64>();
            assert_eq!(pool.run(g).expect("runs").take(sum), 66);
        });
    }
}

/// The joining worker holds a lock and sleeps. A guest that has stolen its pending join gives it back, and goes on with
/// a job that needs the lock. Then as many threads are active as the limit allows, and all of them wait for the
/// sleeper.
#[test]
fn who_sleeps_in_a_join_is_woken_though_all_who_are_active_wait_for_it() {
    for seed in 0..50 {
        let (entered, held, stolen) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        let set = |flag: &AtomicBool| flag.store(true, Ordering::Relaxed);
        let wait = |flag: &AtomicBool, value| assert!(seam::block(&|| flag.load(Ordering::Relaxed) == value));
        let pause = || (0..200).for_each(|_| work(1));
        let joins: Body<'_, ()> = Box::new(|pool: &Pool| {
            pool.shared.on_worker(|_| {
                wait(&entered, true);
                pause(); // the worker goes to sleep: two guests are active, one is the limit
                set(&held);
                pool.join(|| wait(&stolen, true), || ());
                held.store(false, Ordering::Relaxed);
            });
        });
        let steals: Body<'_, ()> = Box::new(|pool: &Pool| {
            pool.shared.on_worker(|_| {
                set(&entered);
                let job = loop {
                    if let Some(job) = pool.shared.seats.iter().find_map(|seat| seat.stealer.steal().success()) {
                        break job;
                    }
                    work(1);
                };
                set(&stolen);
                pause(); // the joining worker goes to sleep
                pool.shared.inject(job);
                wait(&held, false); // its next job
            });
        });
        drop(drive(1, Order::Random(seed), vec![joins, steals]));
    }
}

#[test]
fn a_stream_that_has_ended_does_not_stall() {
    everywhere(|pool| {
        let g = Graph::new();
        let (tenth, all) = g.source(0..100).batch_size(2).credits(8).tee();
        let pairs = tenth.filter(|x| x % 10 == 0).zip(all).scan((), |(), (a, b)| {
            (0..50).for_each(|_| work(1));
            (b > 0).then_some((a, b))
        });
        let pairs = pairs.collect();
        // All credits may be in the queue of the zip when the first pair ends it all.
        assert_eq!(pool.run(g).expect("it has ended").take(pairs), []);
    });
}

#[test]
fn a_chain_runs_again_and_again() {
    everywhere(|pool| {
        let broken = AtomicBool::new(true);
        let g = Graph::new();
        let first = g.source_fn(|| 0..20).batch_size(2).try_map(|x| {
            let fails = x == 15 && broken.swap(false, Ordering::Relaxed);
            if fails { Err("broken") } else { Ok(x) }
        });
        let all = first.chain(g.source_fn(|| 20..40).batch_size(2)).collect();
        let mut plan = g.plan(pool).expect("no defect");
        plan.run().expect_err("broken once");
        for _ in 0..3 {
            plan.run().expect("mended");
            assert!(plan.take(all.clone()).into_iter().eq(0..40));
        }
    });
}

#[test]
fn whether_a_spooled_stream_stalls_does_not_depend_on_who_came_first() {
    let outcome = |pool: &Pool| {
        let g = Graph::new();
        let (left, right) = g.source(0..7).batch_size(4).credits(1).partition(|x| x % 3 == 1);
        let late = g.source(0..0).chain(right.spooled());
        let pairs = left.zip(late).collect();
        pool.run(g).map(|mut run| run.take(pairs)).map_err(|error| error.to_string())
    };
    let expected = once(1, 0, outcome);
    for workers in [1, 2, 3] {
        (0..20).for_each(|seed| assert_eq!(once(workers, seed, outcome), expected));
    }
}

/// Batches behind the end of a stream are empty, and how many there are depends on the schedule. The blocks of what comes
/// behind them in a chain must not: else a sum of floats would differ in its last bits.
#[test]
fn what_is_chained_behind_an_early_end_adds_up_the_same_way() {
    let sums = RefCell::new(BTreeSet::new());
    everywhere(|pool| {
        let g = Graph::new();
        let first = g.source(0_u64..).batch_size(1).take_while(|x| *x < 50);
        let both = first.chain(g.range(0..300).batch_size(1));
        let sum = both.map(|x| 1.0 / (x as f64 + 0.3)).sum::<f64>();
        let mut run = pool.run(g).expect("ends");
        sums.borrow_mut().insert(run.take(sum).to_bits());
    });
    assert_eq!(sums.borrow().len(), 1, "{sums:?}");
}

/// The numbers of a source in batches of `batch`, of which `keep` are left: some batches are empty.
fn sorted<'env>(g: &Graph<'env>, batch: usize, credits: usize, keep: fn(&u32) -> bool) -> Stream<'env, u32> {
    g.source_fn(|| 0..60).batch_size(batch).credits(credits).filter(keep).boxed()
}

#[test]
fn sorted_streams_become_one_sorted_stream_however_they_are_cut() {
    type Keep = fn(&u32) -> bool;
    let keeps: [(Keep, Keep); 4] = [
        (|_| true, |_| true),
        (|x| x % 10 < 2, |x| x % 3 == 0),
        (|x| *x < 20, |x| *x > 40),
        (|_| false, |x| *x % 7 > 3),
    ];
    everywhere(|pool| {
        for (left, right) in keeps {
            for (batches, credits) in [((1, 1), 1), ((3, 7), 2), ((60, 2), 1)] {
                let g = Graph::new();
                let one = sorted(&g, batches.0, credits, left).map(|x| (x / 2, 'l', x));
                let two = sorted(&g, batches.1, credits, right).map(|x| (x / 2, 'r', x));
                let all = one.merge_by_key(two, |item| item.0).collect();
                let mut plan = g.plan(pool).expect("no defect");
                let items = |side: char, keep: Keep| (0..60).filter(keep).map(move |x| (x / 2, side, x));
                let mut expected: Vec<_> = items('l', left).chain(items('r', right)).collect();
                expected.sort_by_key(|item| item.0); // it is stable: of equal keys the left ones come first
                for _ in 0..2 {
                    plan.run().expect("one credit on each side will do");
                    assert_eq!(*plan.get(&all), expected);
                }
            }
        }
    });
}

#[test]
fn a_merge_of_which_little_is_wanted_stops_both_sources() {
    everywhere(|pool| {
        let g = Graph::new();
        let merged = g.source((0_u64..).step_by(2)).merge_by_key(g.source((1_u64..).step_by(2)), |x| *x);
        let some = merged.take(9).collect();
        assert!(pool.run(g).expect("ends").take(some).into_iter().eq(0..9));
    });
}

#[test]
fn a_merge_of_one_source_with_itself_stalls_with_few_credits_and_says_who_waits() {
    everywhere(|pool| {
        for (spooled, credits) in [(false, 9), (true, 2), (false, 200)] {
            let g = Graph::new();
            let (all, some) = g.source_fn(|| 0..100).named("numbers").batch_size(1).credits(credits).tee();
            let all = if spooled { all.spooled() } else { all };
            let some = some.filter(|x| x % 50 == 49);
            let both = all.merge_by_key(some, |x| *x).named("both").collect();
            let mut plan = g.plan(pool).expect("no defect");
            if credits == 9 {
                let error = stall(&mut plan);
                assert!(error.contains("'numbers' has used up its 9 credits"), "{error}");
                assert!(error.contains("'both: left'") && error.contains("wait"), "{error}");
            } else {
                plan.run().expect("what is ahead may wait");
                assert_eq!((plan.get(&both).len(), plan.get(&both).is_sorted()), (102, true));
            }
        }
    });
}

/// Where the batches end that come out of a merge is seen by a sum of floats.
#[test]
fn a_merge_is_cut_the_same_way_in_every_schedule() {
    let sums = RefCell::new(BTreeSet::new());
    everywhere(|pool| {
        let g = Graph::new();
        let left = g.source(0..200_u64).batch_size(3).filter(|x| x % 5 != 0);
        let right = g.source(0..200_u64).batch_size(11).filter(|x| x % 7 != 0);
        let sum = left.merge_by_key(right, |x| x / 4).map(|x| 1.0 / (x as f64 + 0.3)).sum::<f64>();
        sums.borrow_mut().insert(pool.run(g).expect("runs").take(sum).to_bits());
    });
    assert_eq!(sums.borrow().len(), 1, "{sums:?}");
}

/// How many credits the error of a stall says that a source needs at least.
fn needed_at_least(error: &str) -> usize {
    let (_, behind) = error.split_once("'numbers' needs ").expect("it says who needs them");
    let (credits, behind) = behind.split_once(" credits at least").expect("it says how many");
    for way in [".credits(n)", ".on_stall(OnStall::Grow { max })", ".spooled()"] {
        assert!(behind.contains(way), "{error}");
    }
    credits.parse().expect("a number")
}

/// Gives the source of a graph as many credits as the error of the stall before says, until it does not stall. Returns all
/// that it was given.
fn as_told(pool: &Pool, run: impl Fn(&Pool, usize) -> Result<(), String>) -> Vec<usize> {
    let mut given = vec![1];
    while let Err(error) = run(pool, given[given.len() - 1]) {
        given.push(needed_at_least(&error));
    }
    given
}

/// The least number that suffices is never left out.
#[test]
fn a_stall_says_how_many_credits_it_needs_at_least_and_never_too_many() {
    type Ends = fn(&Pool, usize) -> Result<(), String>;
    fn numbers<'env>(g: &Graph<'env>, credits: usize) -> [Stream<'env, u32>; 2] {
        let (one, two) = g.source_fn(|| 0..16).named("numbers").batch_size(1).credits(credits).tee();
        [one.boxed(), two.boxed()]
    }
    fn end<T>(pool: &Pool, g: Graph<'_>, _: T) -> Result<(), String> {
        pool.run(g).map(|_| ()).map_err(|error| error.to_string())
    }
    // Of 4 items each the last one makes a chunk; the pairs before have used up an item each.
    let chunks: Ends = |pool, credits| {
        let g = Graph::new();
        let [one, two] = numbers(&g, credits);
        let pairs = one.chunks(4).zip(two).count();
        end(pool, g, pairs)
    };
    let skip: Ends = |pool, credits| {
        let g = Graph::new();
        let [one, two] = numbers(&g, credits);
        let pairs = one.skip(5).zip(two).count();
        end(pool, g, pairs)
    };
    let filter: Ends = |pool, credits| {
        let g = Graph::new();
        let [one, two] = numbers(&g, credits);
        let pairs = one.zip(two.filter(|x| x % 8 == 7)).count();
        end(pool, g, pairs)
    };
    let merge: Ends = |pool, credits| {
        let g = Graph::new();
        let [one, two] = numbers(&g, credits);
        let all = one.merge_by_key(two.filter(|x| x % 8 == 7), |x| *x).count();
        end(pool, g, all)
    };
    for (ends, least) in [(chunks, 13), (skip, 6), (filter, 15), (merge, 8)] {
        for workers in [1, 2, 64] {
            once(workers, 0, |pool| assert_eq!(as_told(pool, ends), (1..=least).collect::<Vec<_>>()));
        }
    }
}

#[test]
fn a_stall_says_how_many_credits_are_enough_where_the_batches_are_counted() {
    everywhere(|pool| {
        let run = |credits| {
            let g = Graph::new();
            let (one, two) = g.range(0..100).named("numbers").batch_size(10).credits(credits).tee();
            let pairs = one.zip(two.filter(|x| *x == 99)).collect();
            pool.run(g).map(|mut run| run.take(pairs)).map_err(|error| error.to_string())
        };
        let error = run(3).expect_err("it stalls");
        assert!(error.contains("after 3 of 10 batches"), "{error}");
        assert!(error.contains("needs 4 credits at least, and never more than 10:"), "{error}");
        assert_eq!(run(10), Ok(vec![(0, 99)]));
    });
}

#[test]
fn a_stall_of_two_sources_blames_neither_alone() {
    everywhere(|pool| {
        let g = Graph::new();
        let (a, some_of_a) = g.source_fn(|| 0..20).batch_size(1).credits(2).named("a").tee();
        let (b, some_of_b) = g.source_fn(|| 0..20).batch_size(1).credits(2).named("b").tee();
        let left = a.zip(some_of_b.filter(|x| *x == 9)).count();
        let right = b.zip(some_of_a.filter(|x| *x == 9)).count();
        let mut plan = g.plan(pool).expect("no defect");
        let error = stall(&mut plan);
        assert!(error.contains("'a' has used up its 2") && error.contains("'b' has used up its 2"), "{error}");
        assert!(error.contains("one of these sources at least needs more: give credits by `.credits(n)`"), "{error}");
        drop((left, right));
    });
}
