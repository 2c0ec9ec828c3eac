//! Every end of small graphs, in every schedule: a panic at each call, a cancel and a stall at any point.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::soundness::{CASES, Case};
use crate::check::explore;
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

#[test]
fn every_graph_comes_to_the_same_as_in_sequence() {
    let mut before = 0;
    for (name, usual, case) in CASES {
        let explored = explore().pure().run(|pool| {
            let made = case(pool, &|call| call);
            assert!(usual.is_empty() || made == usual, "{made}, not {usual}");
        });
        let explored =
            explored.unwrap_or_else(|found| panic!("{name}, after {} schedules: {found}", before + found.schedules()));
        assert!(explored.is_complete(), "{name}");
        before += explored.schedules();
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
