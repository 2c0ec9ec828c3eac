//! Joins, scopes, loops, spawned closures, started runs, and what threads outside do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::check::{self, exhaustive, explore};
use crate::error::RunErrorKind;
use crate::graph::Graph;
use crate::plan::Running;
use crate::pool::Pool;
use crate::report::OperatorProgress;

/// Joins of this depth. Each leaf calls `leaf` with its number.
fn joins(pool: &Pool, depth: u32, number: u32, leaf: &(impl Fn(u32) + Sync)) {
    if depth == 0 {
        return leaf(number);
    }
    pool.join(|| joins(pool, depth - 1, 2 * number, leaf), || joins(pool, depth - 1, 2 * number + 1, leaf));
}

#[test]
fn joins_have_as_many_schedules_as_orders_of_their_leaves() {
    for (depth, expected) in [(0, 1), (1, 2), (2, 24)] {
        let orders = std::sync::Mutex::new(Vec::new());
        let explored = explore().pure().run(|pool| {
            let log = check::Mutex::new(Vec::new());
            joins(pool, depth, 0, &|number| log.lock().push(number));
            orders.lock().expect("no panic").push(log.into_inner());
        });
        let explored = explored.expect("no value");
        let mut orders = orders.into_inner().expect("no panic");
        orders.sort_unstable();
        orders.dedup();
        assert!(explored.is_complete());
        assert_eq!(
            (explored.schedules(), orders.len()),
            (expected, usize::try_from(expected).expect("few")),
            "{depth}"
        );
        let pure = explore().pure().run(|pool| joins(pool, depth, 0, &|_| {})).expect("no value");
        assert_eq!(pure.schedules(), 1, "{depth}");
    }
    // Each closure is a call, and so is what comes behind a join: two closures of four calls each, of which two may come in any order.
    let visible = exhaustive(|pool: &Pool| joins(pool, 2, 0, &|_| {})).expect("no value");
    assert_eq!((visible.is_complete(), visible.schedules()), (true, 280));
}

#[test]
fn a_panic_in_a_join_comes_out_in_every_schedule() {
    let caught = exhaustive(|pool: &Pool| {
        let dropped = Arc::new(());
        let (first, second) = (Arc::clone(&dropped), Arc::clone(&dropped));
        let joined = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.join(
                move || {
                    drop(first);
                    panic!("first")
                },
                move || drop(second),
            )
        }));
        let text = crate::unwind::text(&*joined.expect_err("the first closure panics")).to_owned();
        (text, Arc::strong_count(&dropped))
    });
    assert_eq!(*caught.expect("the same in all").value(), ("first".to_owned(), 1));
}

#[test]
fn scopes_and_loops_have_all_orders() {
    let spawned = |calls: u32| {
        explore().pure().run(move |pool| {
            let log = check::Mutex::new(0);
            pool.scope(|s| {
                for _ in 0..calls {
                    s.spawn(|_| *log.lock() += 1);
                }
            });
            log.into_inner()
        })
    };
    for (calls, expected) in [(1, 1), (2, 2), (3, 6)] {
        let explored = spawned(calls).expect("all were called");
        assert_eq!((explored.is_complete(), explored.schedules(), *explored.value()), (true, expected, calls));
    }
    let looped = explore().pure().run(|pool| {
        let log = check::Mutex::new(0);
        pool.for_each(0..3_u32, |x| *log.lock() += x);
        log.into_inner()
    });
    let looped = looped.expect("a sum");
    assert_eq!((looped.is_complete(), looped.schedules(), *looped.value()), (true, 6, 3));
    let folded =
        exhaustive(|pool: &Pool| pool.aggregate(0..3_u32, String::new, |text, x| text + &x.to_string(), |a, b| a + &b));
    assert_eq!(*folded.expect("in order").value(), "012");
}

#[test]
fn spawned_closures_may_come_at_any_time() {
    let seen = exhaustive(|pool: &Pool| {
        let flag = Arc::new(check::Atomic::new(false));
        let of_closure = Arc::clone(&flag);
        pool.spawn(move || of_closure.store(true));
        flag.load()
    });
    let seen = seen.expect_err("it may have been called before, or not");
    assert_ne!(seen.value(), seen.other_value());
    let blocks = exhaustive(|pool: &Pool| pool.join(|| pool.block_in_place(|| 1), || 2));
    assert_eq!(*blocks.expect("plain calls").value(), (1, 2));
}

#[test]
fn a_started_run_goes_on_beside_its_caller() {
    let joined = exhaustive(|pool: &Pool| {
        let g = Graph::new();
        let sum = g.source(0..2_u32).batch_size(1).map(|x| x + 1).fold(0, |sum, x| sum + x);
        let running = g.plan(pool).expect("a graph").start();
        let mut plan = running.join().expect("runs");
        plan.take(sum)
    });
    let joined = joined.expect("the same sum");
    assert_eq!((joined.is_complete(), *joined.value()), (true, 3));
}

/// How a run ends that is cancelled or comes to its end, and how many calls it made.
fn ends(stop: impl Fn(&Running)) -> Vec<(Result<u32, RunErrorKind>, u32)> {
    let ends = std::sync::Mutex::new(Vec::new());
    let explored = explore().pure().run(|pool: &Pool| {
        let g = Graph::new();
        let calls = Arc::new(check::Atomic::new(0));
        let counted = Arc::clone(&calls);
        let made = g.source(0..3_u32).batch_size(1).map(move |x| {
            counted.update(|calls| calls + 1);
            x + 1
        });
        let sum = made.fold(0, |sum, x| sum * 10 + x);
        let running = g.plan(pool).expect("a graph").start();
        stop(&running);
        let ended = running.join().map(|mut plan| plan.take(sum)).map_err(|error| error.kind().clone());
        ends.lock().expect("no panic").push((ended, calls.load()));
    });
    assert!(explored.expect("no value").is_complete());
    let mut ends = ends.into_inner().expect("no panic");
    ends.sort_by_key(|(ended, calls)| (ended.is_ok(), *calls));
    ends.dedup();
    ends
}

#[test]
fn a_cancel_or_a_deadline_comes_at_any_point() {
    let calls = |kind: RunErrorKind| (0..=3).map(move |calls| (Err(kind.clone()), calls)).chain([(Ok(123), 3)]);
    assert_eq!(ends(Running::cancel), calls(RunErrorKind::Cancelled).collect::<Vec<_>>());
    let deadline = |running: &Running| running.deadline(Duration::from_secs(1));
    assert_eq!(ends(deadline), calls(RunErrorKind::DeadlineExceeded).collect::<Vec<_>>());
}

#[test]
fn a_sender_outside_comes_in_at_any_time() {
    let sent = exhaustive(|pool: &Pool| {
        let g = Graph::new();
        let (sender, items) = g.input::<u32>();
        let sum = items.map(|x| x + 1).fold(0, |sum, x| sum * 10 + x);
        let mut plan = g.plan(pool).expect("a graph");
        plan.run_while(|_| {
            sender.send(1).expect("open");
            sender.send(2).expect("open");
            drop(sender);
        })
        .expect("runs");
        plan.take(sum)
    });
    let sent = sent.expect("in order");
    assert_eq!((sent.is_complete(), *sent.value()), (true, 23));
}

#[test]
fn a_look_at_a_run_comes_before_and_behind_each_batch() {
    let seen = std::sync::Mutex::new(BTreeSet::new());
    let explored = explore().pure().run(|pool: &Pool| {
        let g = Graph::new();
        g.source(0..2_u32).batch_size(1).map(|x| x + 1).for_each(|_| ());
        let run = g.plan(pool).expect("sound").start();
        let items = run.progress().operators().first().map(OperatorProgress::items);
        run.join().expect("runs");
        seen.lock().expect("no panic").insert(items);
    });
    assert!(explored.expect("the same end").is_complete());
    let over = None;
    assert_eq!(seen.into_inner().expect("no panic"), BTreeSet::from([over, Some(0), Some(1), Some(2)]));
}

#[test]
fn what_comes_out_is_received_in_every_schedule() {
    let received = explore().pure().run(|pool: &Pool| {
        let g = Graph::new();
        let mut items = g.source(0..2_u32).batch_size(1).map(|x| x + 1).output();
        g.plan(pool).expect("a graph").run_while(|_| items.by_ref().collect::<Vec<_>>()).expect("runs")
    });
    let received = received.expect("in order");
    assert_eq!((received.is_complete(), &**received.value()), (true, &[1, 2][..]));
}

/// What all schedules of `body` come to.
fn all_ends<R: Ord + Send>(body: impl Fn(&Pool) -> R) -> BTreeSet<R> {
    let ends = std::sync::Mutex::new(BTreeSet::new());
    let explored = explore().pure().run(|pool: &Pool| {
        let end = body(pool);
        ends.lock().expect("no panic").insert(end);
    });
    assert!(explored.expect("ends differ, and are no values here").is_complete());
    ends.into_inner().expect("no panic")
}

#[test]
fn who_waits_for_a_while_gets_it_or_gives_up() {
    let received = all_ends(|pool| {
        let g = Graph::new();
        let mut items = g.source(0..1_u32).batch_size(1).map(|x| x + 7).output();
        g.plan(pool).expect("a graph").run_while(|_| items.recv_timeout(Duration::from_secs(1)).ok()).expect("runs")
    });
    assert_eq!(received, BTreeSet::from([None, Some(7)]));
    let sent = all_ends(|pool| {
        let g = Graph::new();
        let (sender, items) = g.input_with::<u32>(crate::InputOptions::new().capacity(1));
        items.batch_size(1).map(|x| x + 1).for_each(|_| ());
        let send = |_: &_| {
            let sent = [0, 1].map(|x| sender.send_timeout(x, Duration::from_secs(1)).is_ok());
            drop(sender);
            sent
        };
        g.plan(pool).expect("a graph").run_while(send).expect("runs")
    });
    assert_eq!(sent, BTreeSet::from([[true, false], [true, true]]));
}

#[test]
fn a_lock_of_the_users_own_that_blocks_the_thread_is_named() {
    const NAME: &str = "check::explore::tests::closures::a_lock_of_the_users_own_that_blocks_the_thread_is_named";
    if std::env::var_os("MILLSTREAM_TEST_BLOCKS").is_some() {
        _ = exhaustive(|pool: &Pool| {
            let (lock, word) = (std::sync::Mutex::new(()), check::Atomic::new(0));
            let g = Graph::new();
            for name in ["one", "other"] {
                let (lock, word) = (&lock, &word);
                g.task((), move |()| {
                    let _guard = lock.lock();
                    word.update(|word| word + 1);
                })
                .named(name);
            }
            drop(pool.run(g));
        });
        return;
    }
    let this = std::env::current_exe().expect("a test has a file");
    let output = std::process::Command::new(this)
        .args(["--exact", NAME, "--nocapture"])
        .env("MILLSTREAM_TEST_BLOCKS", "")
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("has blocked the one thread"), "{text}");
    assert!(text.contains("'one'") || text.contains("'other'"), "{text}");
}

/// The closure that was spawned sets its word as one of many steps that are free beside a join.
#[test]
fn what_was_spawned_comes_before_or_after_a_join_that_another_one_ends() {
    let seen = |pool: &Pool| {
        let word = Arc::new(check::Atomic::new(0));
        let shared = Arc::clone(&word);
        pool.spawn(move || shared.store(1));
        pool.join(|| {}, || {});
        word.load()
    };
    let found = explore().pure().run(seen).expect_err("both orders");
    assert_eq!(*found.value() + *found.other_value(), 1);
}

#[test]
#[should_panic(expected = "as that is outside of the closure that is explored")]
fn what_is_shared_must_be_made_in_the_closure() {
    let word = check::Atomic::new(0);
    _ = exhaustive(|pool: &Pool| _ = pool.join(|| word.store(1), || word.load()));
}

#[test]
fn calls_that_may_block_are_made_at_any_time() {
    let order = |pool: &Pool| {
        let log = check::Mutex::new(Vec::new());
        let g = Graph::new();
        let called = g.source(0..2_u32).batch_size(1).map_blocking(2, |x| log.lock().push(x));
        let count = called.count();
        let count = pool.run(g).expect("runs").take(count);
        (count, log.into_inner())
    };
    let found = explore().pure().run(order).expect_err("each of the two may be first");
    assert_eq!((found.value().0, found.other_value().0), (2, 2));
    let sum = explore().pure().run(|pool: &Pool| {
        let g = Graph::new();
        let sum = g.source(0..2_u32).batch_size(1).map_blocking(1, |x| x + 1).fold(0, |sum, x| sum * 10 + x);
        pool.run(g).expect("runs").take(sum)
    });
    let sum = sum.expect("in stream order");
    assert_eq!((*sum.value(), sum.is_complete()), (12, true));
}
