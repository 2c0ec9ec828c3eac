//! Every end of small graphs, in every schedule: a panic at each call, a cancel and a stall at any point.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::soundness::{CASES, Case};
use crate::check::{explore, random};
use crate::error::{Error, RunErrorKind};
use crate::graph::Graph;
use crate::pool::Pool;
use crate::unwind;

/// So many schedules are tried for each graph and end.
const SCHEDULES: u64 = 200;

/// The items of which calls are made when nothing fails.
fn calls(case: Case) -> BTreeSet<u32> {
    let calls = Mutex::new(BTreeSet::new());
    let see = |call| {
        calls.lock().expect("no panic").insert(call);
        call
    };
    let options = explore().pure().max_schedules(1);
    options.run(|pool| drop(case(pool, &see))).expect("no value");
    calls.into_inner().expect("no panic")
}

/// What a case comes to whose call for an item panics.
fn with_a_panic(case: Case, pool: &Pool, bad: u32) -> String {
    let see = |call| {
        assert_ne!(call, bad, "the call for {bad} fails");
        call
    };
    match catch_unwind(AssertUnwindSafe(|| case(pool, &see))) {
        Ok(made) => made,
        Err(panic) => unwind::text(&*panic).to_owned(),
    }
}

/// Larger graphs, for faults that take more than the smallest: with their names, and what they come to.
const LARGER: [(&str, &str, Case); 6] = [
    ("four items, two credits", "123", |pool, see| {
        let g = Graph::new();
        let sum = g.source(0..4_u32).batch_size(1).credits(2).map(see).fold(0, |sum, x| sum * 10 + x);
        pool.run(g).expect("runs").take(sum).to_string()
    }),
    ("runs of one plan", "[13, 14] [13, 14]", |pool, see| {
        let g = Graph::new();
        let table = g.source_fn(|| 1..3_u32).batch_size(1).map(see).sum::<u32>();
        let all = g.source_fn(|| 10..12_u32).batch_size(1).map_with(&table, move |table, x| see(x) + table).collect();
        let mut plan = g.plan(pool).expect("a plan");
        let [one, two] = [1, 2].map(|_| {
            plan.run().expect("runs");
            plan.take(all.clone())
        });
        format!("{one:?} {two:?}")
    }),
    ("parts", "[0, 1, 2, 3, 4, 5, 6, 7]", |pool, see| {
        let g = Graph::new();
        let four = g.source(0..2_u32).batch_size(1).flat_map(|x| [4 * x, 4 * x + 1, 4 * x + 2, 4 * x + 3]);
        let all = four.map(see).scan((), |(), x| Some(x)).collect();
        format!("{:?}", pool.run(g).expect("runs").take(all))
    }),
    ("halves", "Some(\"abcd\")", |pool, see| {
        let g = Graph::new();
        let words = g.source(0..4_u32).batch_size(1).map(|x| String::from(["a", "b", "c", "d"][see(x) as usize]));
        let all = words.reduce(|a, b| a + &b);
        format!("{:?}", pool.run(g).expect("runs").take(all))
    }),
    ("lanes", "[(0, 3), (1, 3), (2, 1)]", |pool, see| {
        let g = Graph::new();
        let pairs = g.source(0..5_u32).batch_size(1).map(|x| (see(x) % 3, 1 + x / 3)).key_by(|pair| pair.0);
        let sums = pairs.fold(0, |sum, pair| sum + pair.1);
        let mut sums: Vec<_> = pool.run(g).expect("runs").take(sums).into_iter().collect();
        sums.sort_unstable();
        format!("{sums:?}")
    }),
    ("a tee into a zip", "11223", |pool, see| {
        let g = Graph::new();
        let (one, other) = g.source(0..3_u32).batch_size(1).map(see).tee();
        let sum = one.zip(other.map(|x| x + 1)).fold(0, |sum, (a, b)| sum * 100 + a * 10 + b);
        pool.run(g).expect("runs").take(sum).to_string()
    }),
];

/// So many schedules are tried with calls that are told apart, one after the other, and by chance. Where calls are pure, all are: but
/// then the search goes by what the engine says of itself.
const VISIBLE: u64 = 60;

#[test]
fn every_graph_comes_to_the_same_as_in_sequence() {
    let mut before = 0;
    for (name, usual, case) in CASES.into_iter().chain(LARGER) {
        let body = |pool: &Pool| {
            let made = case(pool, &|call| call);
            assert!(usual.is_empty() || made == usual, "{made}, not {usual}");
        };
        let searches: [&dyn Fn() -> _; 3] = [
            &|| explore().pure().max_schedules(2000).run(body),
            &|| explore().max_schedules(VISIBLE).run(body),
            &|| random(1, VISIBLE, body),
        ];
        for search in searches {
            let explored = search()
                .unwrap_or_else(|found| panic!("{name}, after {} schedules: {found}", before + found.schedules()));
            before += explored.schedules();
        }
    }
}

#[test]
fn a_panic_at_any_call_ends_all_schedules_alike() {
    for (name, usual, case) in CASES {
        let calls = calls(case);
        let first = *calls.first().expect("a call");
        for bad in calls.into_iter().filter(|_| !usual.is_empty()) {
            let options = explore().pure().max_schedules(SCHEDULES);
            let ended = options.run(|pool| with_a_panic(case, pool, bad));
            let ended = ended.unwrap_or_else(|difference| panic!("{name}, panic at {bad}: {difference}"));
            // Later calls may be for items that nobody wants.
            assert!(bad != first || ended.value().contains("fails"), "{name}, panic at {bad}: {}", ended.value());
        }
    }
}

#[test]
fn what_cannot_go_on_stalls_in_every_schedule() {
    let stalled = explore().pure().run(|pool: &Pool| {
        let g = Graph::new();
        let (all, few) = g.source(0..4_u32).batch_size(1).credits(2).tee();
        let pairs = all.zip(few.filter(|x| *x == 3)).count();
        match pool.run(g) {
            Ok(mut plan) => Ok(plan.take(pairs)),
            Err(error) => Err(matches!(error, Error::Run(error) if *error.kind() == RunErrorKind::Stalled)),
        }
    });
    let stalled = stalled.expect("the same in all");
    assert_eq!((stalled.is_complete(), *stalled.value()), (true, Err(true)));
}
