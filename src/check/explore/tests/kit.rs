//! Operators alone, and what user code shares.

use std::sync::Arc;

use crate::check;
use crate::graph::{Graph, Stream};
use crate::pool::Pool;

#[test]
fn an_operator_is_tried_alone() {
    check::operator(|numbers| numbers.window(2, 1).map(|pair| pair.iter().sum::<u32>()).boxed())
        .feed(1..4)
        .feed([4])
        .expect(&[3, 5, 7]);
    check::operator(|numbers| numbers.try_map(|x: u32| if x == 2 { Err("two") } else { Ok(x) }).boxed())
        .feed(1..4)
        .expect_error("two");
}

#[test]
#[should_panic(expected = "batches of 1: [1, 2] came out, not [2, 1]")]
fn what_else_comes_out_of_an_operator_is_told() {
    check::operator(|numbers| numbers.map(|x: u32| x).boxed()).feed([1, 2]).expect(&[2, 1]);
}

#[test]
#[should_panic(expected = "batches of 1: one schedule gives")]
fn an_operator_that_depends_on_the_schedule_is_found() {
    check::operator(|numbers| numbers.map(|x: u32| x).unordered().boxed()).feed([1, 2]).expect(&[1, 2]);
}

#[test]
#[should_panic(expected = "batches of 1: one schedule gives")]
fn what_an_operator_shares_by_types_of_others_is_seen_by_chance() {
    let op = |numbers: Stream<'static, u32>| {
        let next = Arc::new(std::sync::atomic::AtomicU32::new(0));
        numbers.map(move |_| next.fetch_xor(1, std::sync::atomic::Ordering::Relaxed)).boxed()
    };
    check::operator(op).feed(0..4).expect(&[0, 1, 0, 1]);
}

#[test]
fn an_operator_may_be_fed_twenty_items() {
    let scan = |numbers: Stream<'static, u32>| numbers.scan(0, |sum, x| Some(std::mem::replace(sum, *sum + x))).boxed();
    check::operator(scan).feed([1; 20]).expect(&(0..20).collect::<Vec<_>>());
}

#[test]
fn a_channel_keeps_the_order_of_its_sender() {
    let received = check::explore().pure().run(|pool: &Pool| {
        let numbers = check::Channel::new();
        pool.scope(|s| {
            s.spawn(|_| (1..=2).for_each(|x| numbers.send(x)));
            s.spawn(|_| numbers.send(3));
        });
        let all = [numbers.recv(), numbers.recv(), numbers.recv()];
        (all.iter().position(|x| *x == 1) < all.iter().position(|x| *x == 2), numbers.try_recv())
    });
    assert_eq!(*received.expect("one's items stay in order").value(), (true, None));
}

#[test]
#[should_panic(expected = "when it ran again")]
fn an_operator_that_keeps_something_of_a_run_is_found() {
    let runs = || {
        check::operator(|numbers| {
            let mut first = true;
            numbers.scan((), move |(), x: u32| Some(if std::mem::replace(&mut first, false) { 0 } else { x })).boxed()
        })
    };
    runs().feed([1, 2]).expect(&[0, 2]);
}

/// A fault between the first two of many items: the first schedules in a row differ in the last ones.
#[test]
#[should_panic(expected = "batches of 1: one schedule gives")]
fn a_fault_among_many_items_is_found() {
    let op = |numbers: Stream<'static, u32>| {
        let has_come = Arc::new(check::Atomic::new(false));
        let is_late = move |x| match x {
            0 => has_come.swap(true),
            1 => !has_come.swap(false),
            _ => false,
        };
        numbers.map(move |x| if is_late(x) { 100 } else { x }).boxed()
    };
    check::operator(op).feed(0..8).expect(&[0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_story_tells_in_which_order_items_come() {
    let sum = |pool: &Pool| {
        let g = Graph::new();
        let sum = g.source(0..3_u32).batch_size(1).map(|x| x + 1).unordered().fold(0, |sum, x| sum * 10 + x);
        pool.run(g).expect("runs").take(sum)
    };
    let found = check::explore().pure().run(sum).expect_err("it depends on the order of arrival");
    let comes: Vec<_> = found.story().iter().filter(|line| line.contains(" comes, and is number ")).collect();
    assert_eq!(comes.len(), 3, "{found}");
}

#[test]
fn a_closure_that_goes_by_something_else_is_told() {
    let calls = std::cell::Cell::new(0);
    let found = check::exhaustive(|pool: &Pool| {
        _ = pool.join(|| 1, || 2);
        calls.replace(calls.get() + 1)
    });
    let text = found.expect_err("another value in each").to_string();
    assert!(text.contains("goes by something else as well"), "{text}");
}

#[test]
fn what_other_threads_do_is_refused() {
    let told = std::sync::Mutex::new(String::new());
    let sends = |pool: &Pool| {
        let g = Graph::new();
        let (sender, items) = g.input::<u32>();
        let count = items.count();
        let running = g.plan(pool).expect("a plan").start();
        if let Err(panic) = std::thread::spawn(move || _ = sender.send(1)).join() {
            crate::unwind::text(&*panic).clone_into(&mut told.lock().expect("no panic"));
        }
        drop((running.join(), count));
    };
    drop(check::random(1, 20, sends)); // the run may have no end without that job
    let told = told.into_inner().expect("no panic");
    assert!(told.contains("cannot explore what other threads do"), "{told}");
}

/// Nobody sends, and nobody says so: the run has no end.
#[test]
fn a_started_run_that_waits_for_ever_is_told() {
    let forgets = |pool: &Pool| {
        let g = Graph::new();
        let (sender, items) = g.input::<u32>();
        let count = items.count();
        let mut plan = g.plan(pool).expect("a plan").start().join().expect("ends");
        drop(sender);
        plan.take(count)
    };
    let found = check::exhaustive(forgets).expect_err("nobody can go on");
    assert_eq!(*found.outcome(), check::Outcome::Stuck);
    assert!(found.to_string().contains("cannot go on: it waits for the end of the run"), "{found}");
}
