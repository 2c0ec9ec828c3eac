//! Runs of a real pool, recorded and made again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::soundness::CASES;
use crate::check::{self, Recording};
use crate::sync::thread;
use crate::{Graph, Pool};

/// Pools of this many workers that record.
fn recording(workers: usize) -> Pool {
    Pool::builder().workers(workers).oversubscribe(true).record(true).build().expect("a pool")
}

/// Runs `body` on pools that record, and then what they have recorded: the value is the same.
fn comes_again<R: PartialEq + std::fmt::Debug>(body: impl Fn(&Pool) -> R) {
    for workers in [1, 2, 4] {
        let pool = recording(workers);
        for _ in 0..20 {
            let value = body(&pool);
            let recording = pool.take_recording();
            assert!(recording.is_complete());
            let again: Recording = recording.to_string().parse().expect("its own text");
            assert_eq!(again, recording);
            assert_eq!(check::replay(&recording, &body), value, "{recording}");
        }
    }
}

/// The graphs of the other tests of the search.
#[test]
fn calls_come_in_the_order_of_the_record() {
    for (name, _, case) in CASES {
        for workers in [2, 3] {
            let pool = recording(workers);
            let end = |pool: &Pool| {
                let order = check::Mutex::new(Vec::new());
                let value = case(pool, &|x| {
                    order.lock().push(x);
                    dawdle(u64::from(x));
                    x
                });
                (value, order.into_inner())
            };
            for _ in 0..30 {
                let recorded = end(&pool);
                let recording = pool.take_recording();
                assert_eq!(check::replay(&recording, end), recorded, "{name}: {recording}");
            }
        }
    }
}

/// Gives others the chance to come in.
fn dawdle(x: u64) {
    (0..x.wrapping_mul(0x9e37_79b9) >> 8 & 63).for_each(|_| thread::yield_now());
}

#[test]
fn batches_of_a_map_come_in_the_order_of_the_record() {
    comes_again(|pool| {
        let log = check::Mutex::new(Vec::new());
        let g = Graph::new();
        let sum = g.source(0..12_u64).batch_size(1).map(|x| {
            dawdle(x);
            log.lock().push(x);
            x
        });
        let sum = sum.fold(0, |sum, x| {
            log.lock().push(100 + x);
            sum + x
        });
        let sum = pool.run(g).expect("runs").take(sum);
        (sum, log.into_inner())
    });
}

#[test]
fn batches_by_number() {
    comes_again(|pool| {
        let log = check::Mutex::new(Vec::new());
        let g = Graph::new();
        g.range(0..20_u64).batch_size(2).for_each(|x| log.lock().push(x));
        drop(pool.run(g).expect("runs"));
        log.into_inner()
    });
}

#[test]
fn tasks() {
    comes_again(|pool| {
        let log = check::Mutex::new(Vec::new());
        let g = Graph::new();
        let log = &log;
        let firsts: Vec<_> = (0..6_u64).map(|at| g.task((), move |()| dawdle(at))).collect();
        for (at, first) in (0..).zip(&firsts) {
            g.task(first.read(), move |()| log.lock().push(at));
        }
        drop(pool.run(g).expect("runs"));
        log.lock().clone()
    });
}

#[test]
fn arrivals() {
    comes_again(|pool| {
        let g = Graph::new();
        let slow = |x: u64| {
            dawdle(x);
            x
        };
        let (a, b) = (g.source(0..5).batch_size(1).map(slow), g.source(10..15).batch_size(1).map(slow));
        let all = a.merge(b).collect();
        pool.run(g).expect("runs").take(all)
    });
}

#[test]
fn joins_scopes_and_loops() {
    comes_again(|pool| {
        let log = check::Mutex::new(Vec::new());
        let note = |x: u64| {
            dawdle(x);
            log.lock().push(x);
        };
        pool.join(|| pool.join(|| note(0), || note(1)), || pool.join(|| note(2), || note(3)));
        pool.scope(|scope| (4..8).for_each(|x| scope.spawn(move |_| note(x))));
        pool.for_each(8..14, note);
        log.into_inner()
    });
}

#[test]
fn a_run_that_is_cancelled() {
    comes_again(|pool| {
        let seen = Arc::new(check::Atomic::new(0));
        let g = Graph::new();
        let sees = Arc::clone(&seen);
        g.source(0..20_u64).batch_size(1).map(dawdle).for_each(move |()| _ = sees.update(|seen| seen + 1));
        let run = g.plan(pool).expect("sound").start();
        run.cancel();
        let is_ok = run.join().is_ok();
        (is_ok, seen.load())
    });
}

#[test]
fn a_fault_that_comes_once_in_a_while_comes_again() {
    // A sum that is read and written in two steps loses what others add in between.
    let lossy = |pool: &Pool| {
        let sum = check::Atomic::new(0);
        let g = Graph::new();
        g.range(0..16_u64).batch_size(1).for_each(|x| {
            let before = sum.load();
            dawdle(x);
            sum.store(before + x);
        });
        drop(pool.run(g).expect("runs"));
        assert_eq!(sum.load(), 120);
    };
    let pool = recording(4);
    let failed = |work: &dyn Fn()| catch_unwind(AssertUnwindSafe(work)).is_err();
    let recording = (0..10_000).find_map(|_| {
        let fails = failed(&|| lossy(&pool));
        let recording = pool.take_recording();
        fails.then_some(recording)
    });
    let recording = recording.expect("it fails now and then");
    assert!(failed(&|| check::replay(&recording, lossy)), "{recording}");
}

#[test]
#[should_panic(expected = "of the 7 calls of the recording 3 could be made in their order, and then not 'batch:0:9'")]
fn a_recording_of_something_else_is_refused() {
    let recording: Recording =
        "ask:test batch:0:0 batch:0:1 batch:0:9 batch:0:2 batch:0:3 batch:0:4".parse().expect("sound");
    check::replay(&recording, |pool: &Pool| {
        let g = Graph::new();
        g.source(0..5).batch_size(1).for_each(|_| ());
        drop(pool.run(g).expect("runs"));
    });
}

#[test]
fn texts_that_are_no_recordings() {
    for text in ["batch", "batch:1", "batch:x:1", "task:1:2", "use:", "test:1", "leaf:", "batch:1:2:3:4", "any"] {
        let error = text.parse::<Recording>().expect_err(text);
        assert!(error.to_string().starts_with(&format!("'{text}' is no call of a recording")), "{error}");
    }
    let empty = Recording::default();
    assert!(empty.is_empty() && "cut".parse() == Ok(empty));
}

/// What a thread has begun before is not in the names of what it gives away, and a loop is over when its caller goes on.
#[test]
fn one_recording_after_the_other() {
    let body = |pool: &Pool| {
        let sum = check::Atomic::new(0);
        let add = |x: u64| _ = sum.update(|sum| sum + x);
        pool.join(|| add(1), || add(2));
        pool.scope(|scope| (0..100).for_each(|x| scope.spawn(move |_| add(x))));
        let all = pool.aggregate(0..40_u64, || 0, |sum, x| sum + x, |a, b| a + b);
        add(all);
        pool.for_each(0..40_u64, add);
        (sum.load(), sum.load())
    };
    let pool = recording(2);
    for _ in 0..3 {
        body(&pool);
        drop(pool.take_recording());
    }
    let value = body(&pool);
    assert_eq!(check::replay(&pool.take_recording(), body), value);
}

#[test]
fn operators_behind_a_boundary_and_plans_that_run_often() {
    comes_again(|pool| {
        let log = check::Mutex::new(Vec::new());
        let g = Graph::new();
        g.source(0..4_u64).batch_size(1).for_each_ordered(|x| log.lock().push(x));
        let other = g.source(10..13_u64).batch_size(1).map(|x| x + 1);
        let all = g.source(20..23_u64).batch_size(1).merge(other).fold(0, |sum, x| {
            log.lock().push(x);
            sum + x
        });
        drop(all);
        let log = &log;
        let mut above: Vec<crate::Data<()>> = Vec::new();
        for at in 0..36_usize {
            let (up, left) = (at.checked_sub(6), (at % 6).checked_sub(1).map(|_| at - 1));
            let note = move || log.lock().push(100 + at as u64);
            let data = match (up, left) {
                (None, None) => g.task((), move |()| note()),
                (Some(one), None) | (None, Some(one)) => g.task(above[one].read(), move |()| note()),
                (Some(up), Some(left)) => g.task((above[up].read(), above[left].read()), move |((), ())| note()),
            };
            above.push(data);
        }
        let mut plan = g.plan(pool).expect("sound");
        drop(above);
        plan.run().expect("runs");
        drop(plan);
        log.lock().clone()
    });
}

/// A plan that has learnt how long its tasks take notes several with one reading of the clock.
#[test]
fn short_tasks_of_several_runs() {
    let pool = recording(2);
    let body = |pool: &Pool| {
        let last = check::Atomic::new(0);
        let g = Graph::new();
        let mut all: Vec<crate::Data<u64>> = Vec::new();
        let spin = |x: u64| (0..300).fold(x | 1, |x, _| x.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ x >> 7);
        for at in 0..100_usize {
            let (up, left) = (at.checked_sub(10), (at % 10).checked_sub(1).map(|_| at - 1));
            all.push(match (up, left) {
                (None, None) => g.task((), move |()| spin(1)),
                (Some(one), None) | (None, Some(one)) => g.task(all[one].read(), move |x| spin(*x)),
                (Some(up), Some(left)) => g.task((all[up].read(), all[left].read()), move |(x, y)| spin(x ^ y)),
            });
        }
        let mut plan = g.plan(pool).expect("sound");
        for round in 0..8 {
            plan.run().expect("runs");
            last.store(round);
        }
        (plan.take(all.pop().expect("there are some")), last.load())
    };
    for _ in 0..5 {
        let value = body(&pool);
        assert_eq!(check::replay(&pool.take_recording(), body), value);
    }
}

/// Elsewhere batches get smaller where items take long.
#[test]
fn batches_are_not_cut_by_time() {
    let pool = recording(2);
    let sum = |pool: &Pool| {
        let g = Graph::new();
        let slow = g.range(0..1 << 16).map(|x| {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_micros(4) {}
            x
        });
        let sum = slow.fold(0, |sum, x| sum + x);
        pool.run(g).expect("runs").take(sum)
    };
    let value = sum(&pool);
    let recording = pool.take_recording();
    assert_eq!(recording.len(), 1025, "a run, and batches of 64 items");
    assert_eq!(check::replay(&recording, sum), value);
}

#[test]
fn thousands_of_batches() {
    let pool = recording(2);
    let sum = |pool: &Pool| {
        let last = check::Atomic::new(0);
        let g = Graph::new();
        let sum = g.source(0..3000_u64).batch_size(1).map(|x| {
            last.store(x);
            x
        });
        let sum = sum.fold(0, |sum, x| sum + x);
        (pool.run(g).expect("runs").take(sum), last.load())
    };
    let value = sum(&pool);
    assert_eq!(check::replay(&pool.take_recording(), sum), value);
}
