//! The real pool, on virtual workers that may be interleaved before any access: faults that lie between two of them show.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::soundness::CASES;
use crate::check::{Body, Order, drive, until};
use crate::pool::Pool;
use crate::sync::footprint;
use crate::unwind;

/// So many runs of each shape.
const RUNS: u64 = 100;

/// All runs of `body`, by so many threads from outside at once, come to an end.
fn ends(name: &str, workers: usize, threads: usize, body: impl Fn(&Pool)) {
    for seed in 0..RUNS {
        let bodies = (0..threads).map(|_| Box::new(&body) as Body<'_, ()>).collect();
        let run = || footprint::at_every_access(|| drive(workers, Order::Random(seed), bodies));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            panic!("{name}, {workers} workers, after {} runs: {}", seed + 1, unwind::text(&*panic));
        }
    }
}

#[test]
fn joins_end() {
    let nested = |pool: &Pool| {
        let both = || pool.join(|| 1, || 2);
        assert_eq!(pool.join(both, both), ((1, 2), (1, 2)));
    };
    ends("joins", 2, 1, nested);
    ends("joins of two threads", 3, 2, nested);
}

#[test]
fn scopes_end() {
    let spawns = |pool: &Pool| {
        for _ in 0..2 {
            pool.scope(|s| (0..4).for_each(|_| s.spawn(|_| {}))); // between the two the workers sleep
        }
    };
    ends("scopes", 2, 1, spawns);
    ends("scopes of two threads", 2, 2, spawns);
}

/// The thread from outside does nothing meanwhile: so a worker that sleeps must hear of each closure.
#[test]
fn spawned_closures_are_called() {
    let spawns = |pool: &Pool| {
        for _ in 0..3 {
            let is_called = Arc::new(AtomicBool::new(false));
            let call = Arc::clone(&is_called);
            pool.spawn(move || call.store(true, Ordering::Relaxed));
            until(&|| is_called.load(Ordering::Relaxed));
        }
    };
    ends("spawned closures", 1, 1, spawns);
    ends("spawned closures", 2, 1, spawns);
    ends("spawned closures of two threads", 2, 2, spawns);
}

#[test]
fn loops_end() {
    ends("loops", 3, 1, |pool| {
        for _ in 0..2 {
            assert_eq!(pool.aggregate(0..4_u32, || 0, |sum, x| sum + x, |a, b| a + b), 6);
        }
    });
}

#[test]
fn graphs_end() {
    for (name, usual, case) in CASES {
        ends(name, 2, 1, |pool| {
            let made = case(pool, &|call| call);
            assert!(usual.is_empty() || made == usual, "{made}, not {usual}");
        });
    }
}
