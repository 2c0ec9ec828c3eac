use std::fmt::Debug;
use std::sync::Mutex;

use super::{Explored, Outcome, Schedule, exhaustive, explore, random, replay};
use crate::engine::pipe::Pipe;
use crate::graph::{Graph, Stream};
use crate::plan::Data;
use crate::pool::Pool;

/// The orders in which tasks of a wavefront were called.
fn wavefront(side: usize, orders: &Mutex<Vec<Vec<usize>>>) -> impl Fn(&Pool) {
    move |pool| {
        let seen = Mutex::new(Vec::new());
        let see = |code| seen.lock().expect("no panic").push(code);
        let g = Graph::new();
        let mut above: Vec<Data<()>> = Vec::new();
        for i in 0..side {
            let mut row: Vec<Data<()>> = Vec::new();
            for j in 0..side {
                let (code, see) = (i * side + j, &see);
                let done = match (above.get(j), row.last()) {
                    (None, None) => g.task((), move |()| see(code)),
                    (Some(one), None) | (None, Some(one)) => g.task(one.read(), move |()| see(code)),
                    (Some(a), Some(b)) => g.task((a.read(), b.read()), move |_| see(code)),
                };
                row.push(done);
            }
            above = row;
        }
        drop(pool.run(g).expect("runs"));
        orders.lock().expect("no panic").push(seen.into_inner().expect("no panic"));
    }
}

/// Explores, and counts the orders that were seen.
fn orders(side: usize, tries_all: bool) -> (Explored<()>, usize) {
    let orders = Mutex::new(Vec::new());
    let options = if tries_all { explore().tries_all() } else { explore() };
    let explored = options.run(wavefront(side, &orders)).expect("no value");
    let mut orders = orders.into_inner().expect("no panic");
    orders.sort_unstable();
    orders.dedup();
    (explored, orders.len())
}

#[test]
fn a_wavefront_has_as_many_schedules_as_orders() {
    for (side, expected) in [(1, 1), (2, 2), (3, 42)] {
        let (explored, orders) = orders(side, false);
        assert!(explored.is_complete());
        assert_eq!((explored.schedules(), orders), (expected, usize::try_from(expected).expect("few")), "{side}");
    }
}

#[test]
fn the_reduction_leaves_no_order_out() {
    for side in [1, 2] {
        let (all, reduced) = (orders(side, true), orders(side, false));
        assert!(all.0.is_complete() && all.0.schedules() >= reduced.0.schedules());
        assert_eq!(all.1, reduced.1, "orders of a wavefront of {side}");
    }
}

#[test]
fn a_stream_has_as_many_schedules_as_orders_of_its_batches() {
    for (items, expected) in [(1, 1), (2, 2), (3, 6), (4, 24)] {
        let squares = |pool: &Pool| {
            let g = Graph::new();
            let sum = g.source(0..items).batch_size(1).map(|x| x * x).fold(0_u64, |sum, x| sum * 7 + x);
            pool.run(g).expect("runs").take(sum)
        };
        let explored = exhaustive(squares).expect("a fold is in stream order");
        assert!(explored.is_complete());
        assert_eq!(explored.schedules(), expected, "{items} items");
        let pure = explore().pure().run(squares).expect("the same");
        assert!(pure.is_complete() && pure.schedules() == 1, "{} schedules", pure.schedules());
    }
}

fn two<'env>(g: &Graph<'env>, from: u32) -> Stream<'env, u32, impl Pipe<Out = u32> + use<'env>> {
    g.source(from..from + 2).batch_size(1).map(|x| x)
}

/// Explores calls that share nothing, and returns the value of all schedules.
fn pure<R: PartialEq + Debug>(body: impl Fn(&Pool) -> R) -> R {
    let explored = explore().pure().run(body).expect("one value");
    assert!(explored.is_complete());
    explored.value
}

#[test]
fn shapes_give_one_value() {
    let zip = |pool: &Pool| {
        let g = Graph::new();
        let out = two(&g, 0).zip(two(&g, 10)).map(|(a, b)| a * 10 + b).fold(0, |all, x| all * 100 + x);
        pool.run(g).expect("runs").take(out)
    };
    assert_eq!(pure(zip), 1021);
    let chain = |pool: &Pool| {
        let g = Graph::new();
        let out = two(&g, 0).chain(two(&g, 2)).fold(0, |all, x| all * 10 + x);
        pool.run(g).expect("runs").take(out)
    };
    assert_eq!(pure(chain), 123);
    let tee = |pool: &Pool| {
        let g = Graph::new();
        let (a, b) = two(&g, 0).tee();
        let (x, y) = (a.fold(0, |all, x| all * 10 + x), b.map(|x| x + 1).sum::<u32>());
        let mut plan = pool.run(g).expect("runs");
        (plan.take(x), plan.take(y))
    };
    assert_eq!(pure(tee), (1, 3));
    let parts = |pool: &Pool| {
        let g = Graph::new();
        let (even, odd) = g.source(0..3_u32).batch_size(1).partition(|x| x % 2 == 0);
        let (x, y) = (even.fold(0, |all, x| all * 10 + x), odd.sum::<u32>());
        let mut plan = pool.run(g).expect("runs");
        (plan.take(x), plan.take(y))
    };
    assert_eq!(pure(parts), (2, 1));
    let leaves = |pool: &Pool| {
        let g = Graph::new();
        let sum = g.range(0..3_u32).batch_size(1).map(|x| x + 1).sum::<u32>();
        pool.run(g).expect("runs").take(sum)
    };
    assert_eq!(pure(leaves), 6);
}

#[test]
fn what_comes_in_any_order_differs_and_is_played_again() {
    let first = |pool: &Pool| {
        let g = Graph::new();
        let merged = g.source(0..2_u64).batch_size(1).merge(g.source(10..12_u64).batch_size(1));
        let first = merged.fold(None, |first, x| first.or(Some(x)));
        pool.run(g).expect("runs").take(first)
    };
    let difference = exhaustive(first).expect_err("it depends on the schedule");
    assert_ne!(difference.value(), difference.other_value());
    assert!(!difference.story().is_empty(), "{difference}");
    let text = difference.schedule().to_string();
    assert_eq!(replay(&text.parse::<Schedule>().expect("a schedule"), first), *difference.value());
    assert!("1:2 3".parse::<Schedule>().is_err());
}

/// Counts in two steps.
fn lossy(pool: &Pool) -> u32 {
    let hits = super::Mutex::new(0_u32);
    let g = Graph::new();
    g.source(0..3_u32).batch_size(1).for_each(|_| {
        let seen = *hits.lock();
        *hits.lock() = seen + 1;
    });
    drop(pool.run(g).expect("runs"));
    hits.into_inner()
}

#[test]
fn updates_in_two_steps_are_lost() {
    let lost = explore().run(lossy).expect_err("an update is lost in some schedule");
    assert_ne!(lost.value(), lost.other_value());
    assert_eq!(replay(lost.schedule(), lossy), *lost.value());
}

#[test]
fn preemptions_are_bounded() {
    let none = explore().preemptions(0).run(lossy).expect("each count is one step of two then");
    assert!(!none.is_complete());
    assert!(explore().preemptions(1).run(lossy).is_err());
    let all = explore().preemptions(1000).run(|pool: &Pool| pool.join(|| 1, || 2)).expect("the same");
    assert!(all.is_complete());
}

#[test]
fn panics_and_circles_are_found() {
    let panics = exhaustive(|pool: &Pool| {
        let turns = super::Atomic::new(0);
        let g = Graph::new();
        let [a, b] = [1, 2].map(|own| {
            g.task((), {
                let turns = &turns;
                move |()| turns.swap(own)
            })
        });
        let mut plan = pool.run(g).expect("runs");
        assert_ne!((plan.take(a), plan.take(b)), (2, 0), "the second task came first");
    });
    let panics = panics.expect_err("one of the two orders");
    assert!(matches!(panics.outcome(), Outcome::Panicked(text) if text.contains("came first")), "{panics}");

    let circle = exhaustive(|pool: &Pool| {
        let (one, two) = (super::Mutex::new(()), super::Mutex::new(()));
        let g = Graph::new();
        let (one, two) = (&one, &two);
        let both = |first: &super::Mutex<()>, second: &super::Mutex<()>| drop((first.lock(), second.lock()));
        drop(g.task((), move |()| both(one, two)));
        drop(g.task((), move |()| both(two, one)));
        drop(pool.run(g).expect("runs"));
    });
    let circle = circle.expect_err("each has one and waits for the other");
    assert_eq!(*circle.outcome(), Outcome::Stuck);
    let waits: Vec<_> = circle
        .story()
        .iter()
        .filter(|line| line.contains("cannot go on: it waits for the Mutex made at src/check/"))
        .collect();
    assert_eq!(waits.len(), 2, "{circle}");
}

#[test]
fn who_asks_for_ever_is_told() {
    let asks = |pool: &Pool| {
        let came = super::Atomic::new(false);
        pool.join(|| while !came.load() {}, || came.store(true));
    };
    let endless = exhaustive(asks).expect_err("the second closure comes too late");
    assert_eq!(*endless.outcome(), Outcome::Endless);
    assert!(endless.story()[0].contains("loads the Atomic made at src/check/"), "{endless}");
    assert!(random(1, 10, asks).is_err());
}

#[test]
fn a_schedule_keeps_whether_calls_were_pure() {
    let last = |pool: &Pool| {
        let last = super::Atomic::new(0);
        let g = Graph::new();
        g.source(0..3_u32).batch_size(1).map(|x| x + 1).for_each(|x| last.store(x));
        drop(pool.run(g).expect("runs"));
        last.load()
    };
    let found = explore().pure().run(last).expect_err("it depends on the schedule");
    let schedule: Schedule = found.schedule().to_string().parse().expect("its own text");
    assert_eq!((&schedule, replay(&schedule, last)), (found.schedule(), *found.value()));
}

#[test]
#[should_panic(expected = "is not one of this closure")]
fn a_schedule_of_another_closure_is_noticed() {
    replay(&"999999:1".parse::<Schedule>().expect("a schedule"), |pool: &Pool| _ = pool.join(|| 1, || 2));
}

#[test]
#[should_panic(expected = "millstream::check cannot explore broadcasts")]
fn what_cannot_be_explored_says_so() {
    _ = exhaustive(|pool: &Pool| pool.broadcast(|_| 1));
}

mod closures;
mod contract;
mod fine;
mod kit;
mod models;
mod recorded;
mod soundness;
