//! Streams that end in an input of another graph: in order, without a worker that waits, whatever ends either run.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use millstream::{Graph, InputOptions, Overflow, Pool, Receiver, RunErrorKind, Running, SendError, Sender};

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().expect("threads")
}

/// A graph that hands on what it is sent; it is started. `capacity` items may wait in it, and as many batches behind it.
fn echo(pool: &Pool, capacity: usize) -> (Sender<u64>, Receiver<u64>, Running) {
    let g = Graph::new();
    let (sender, numbers) = g.input_with(InputOptions::new().capacity(capacity));
    let received = numbers.credits(1).output();
    (sender, received, g.plan(pool).expect("no defect").start())
}

/// Waits until the input has `count` items in it.
fn wait_for(sender: &Sender<u64>, count: usize) {
    while sender.len() < count {
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn three_graphs_in_a_line_share_one_worker() {
    for (workers, capacity, items) in [(1, 1, 10_000), (1, 64, 100_000), (2, 1, 10_000), (2, 64, 100_000)] {
        let pool = pool(workers);
        let [first, second, third] = [(); 3].map(|()| Graph::new());
        let options = InputOptions::new().capacity(capacity);
        let (to_second, second_in) = second.input_with::<u64>(options);
        let (to_third, third_in) = third.input_with::<u64>(options);
        first.range(0..items).send_to(to_second);
        second_in.map(|x| x + 1).named("second").send_to(to_third);
        let all = third_in.collect();
        let third = third.plan(&pool).expect("no defect").start();
        let second = second.plan(&pool).expect("no defect").start();
        let first = first.plan(&pool).expect("no defect").start();
        let plan = first.join().expect("no failure");
        let report = plan.report();
        let sent = report.operators().last().expect("send_to");
        assert_eq!((sent.items_in(), sent.items_dropped()), (items, 0));
        drop(plan);
        drop(second.join().expect("no failure"));
        let all = third.join().expect("no failure").take(all);
        assert!(all.iter().copied().eq(1..=items), "in order, {capacity} in an input");
    }
}

/// Many parallel streams into graphs of one worker, which used to need one that waits for each of them.
#[test]
fn many_streams_may_end_in_one_input() {
    let pool = pool(1);
    let (sender, received, echo) = echo(&pool, 1);
    let graphs: Vec<_> = (0..20)
        .map(|from| {
            let g = Graph::new();
            g.range(from * 1000..(from + 1) * 1000).batch_size(7).send_to(sender.clone());
            g.plan(&pool).expect("no defect").start()
        })
        .collect();
    drop(sender);
    let feeder = std::thread::spawn(move || {
        graphs.into_iter().for_each(|g| drop(g.join().expect("no failure")));
    });
    let mut all: Vec<u64> = received.collect();
    for from in 0..20 {
        assert!(all.iter().filter(|x| **x / 1000 == from).is_sorted(), "each stream in its order");
    }
    all.sort_unstable();
    assert!(all.into_iter().eq(0..20_000));
    feeder.join().expect("no panic");
    echo.join().expect("no failure");
}

#[test]
fn a_run_that_is_over_refuses_items_and_says_how_many_it_was_sent() {
    for workers in [1, 2] {
        let pool = pool(workers);
        let (first, second) = (Graph::new(), Graph::new());
        let (sender, numbers) = second.input_with::<u64>(InputOptions::new().capacity(3));
        let taken = numbers.batch_size(1).credits(1).take(10).collect();
        let kept = sender.clone();
        first.range(0..1000_u64).batch_size(50).send_to(sender);
        let second = second.plan(&pool).expect("no defect").start();
        let error = pool.run(first).expect_err("only ten are wanted");
        let run = error.as_run().expect("it ran");
        assert!(matches!(run.kind(), RunErrorKind::Failed), "{error}");
        let sent = run.item().expect("in stream order");
        assert!(error.to_string().contains("the run of this input's graph is over"), "{error}");
        assert!(error.to_string().contains(&format!("it was sent {sent} items of this stream")), "{error}");
        let taken = second.join().expect("no failure").take(taken);
        assert!(taken.into_iter().eq(0..10));
        let left = kept.take_unsent();
        assert!(left.iter().copied().eq(sent - left.len() as u64..sent), "what was sent and not taken is there");
    }
}

#[test]
fn a_graph_that_was_not_started_refuses_items() {
    let (pool, first, second, empty) = (pool(1), Graph::new(), Graph::new(), Graph::new());
    let (sender, numbers) = second.input::<u64>();
    let taken = numbers.collect();
    empty.range(0..0_u64).send_to(sender.clone());
    first.range(0..10_u64).send_to(sender.clone());
    drop(pool.run(empty).expect("nothing was to be sent"));
    let error = pool.run(first).expect_err("nobody takes anything");
    assert_eq!(error.as_run().and_then(|run| run.item()), Some(0));
    assert!(error.to_string().contains("was not started"), "{error}");
    let second = second.plan(&pool).expect("no defect").start();
    sender.send(7).expect("it runs");
    drop(sender);
    assert_eq!(second.join().expect("no failure").take(taken), [7]);
}

/// Who fails while a batch waits for room still sends what comes before the failure, and nothing else.
#[test]
fn what_comes_before_a_failure_is_sent() {
    for workers in [1, 2] {
        for failing in [0, 1, 499, 500, 731] {
            let pool = pool(workers);
            let (sender, received, echo) = echo(&pool, 1);
            let g = Graph::new();
            let fail = move |x| if x == failing { Err("no") } else { Ok(x) };
            g.range(0..1000_u64).batch_size(50).try_map(fail).named("fails").send_to(sender);
            let running = g.plan(&pool).expect("no defect").start();
            let reader = std::thread::spawn(move || received.collect::<Vec<_>>());
            let error = running.join().expect_err("it fails");
            assert_eq!(error.operator(), Some("fails"));
            assert_eq!(error.item(), Some(failing));
            drop(error);
            assert!(reader.join().expect("no panic").into_iter().eq(0..failing));
            echo.join().expect("no failure");
        }
    }
}

/// Another stream of the graph fails while a batch waits for room that nobody makes.
#[test]
fn a_failure_elsewhere_ends_the_wait() {
    let pool = pool(2);
    let (sender, received, echo) = echo(&pool, 2);
    let (kept, g) = (sender.clone(), Graph::new());
    g.range(0..100_u64).batch_size(20).send_to(sender);
    let (fails, numbers) = g.input::<u64>();
    numbers.for_each(|_| panic!("elsewhere"));
    let running = g.plan(&pool).expect("no defect").start();
    wait_for(&kept, 2);
    fails.send(1).expect("it runs");
    let error = running.join().expect_err("it has failed");
    assert!(matches!(error.kind(), RunErrorKind::Panicked));
    drop(kept);
    let all: Vec<u64> = received.collect();
    assert!(all.iter().copied().eq(0..all.len() as u64) && all.len() >= 20, "the batch that waited was put in");
    echo.join().expect("no failure");
}

#[test]
fn either_run_may_be_cancelled_while_a_batch_waits() {
    for workers in [1, 2] {
        for way in ["first", "second", "drop first", "drop second", "deadline"] {
            let pool = pool(workers);
            let (sender, received, echo) = echo(&pool, 2);
            let (kept, g) = (sender.clone(), Graph::new());
            g.source(0_u64..).send_to(sender);
            let first = g.plan(&pool).expect("no defect").start();
            wait_for(&kept, 2);
            let (mut first, mut echo) = (Some(first), Some(echo));
            let running = |run: &Option<Running>| run.as_ref().and_then(Running::remote).expect("not dropped yet");
            match way {
                "first" => running(&first).cancel(),
                "second" => running(&echo).cancel(),
                "deadline" => running(&first).deadline(Duration::from_millis(1)),
                "drop first" => drop(first.take()),
                _ => drop(echo.take()),
            }
            let kind = |run: Running| run.join().expect_err("it never ends by itself").kind().clone();
            if way.ends_with("second") {
                assert!(matches!(first.map(kind), Some(RunErrorKind::Failed)), "{way}: it was refused");
                assert!(matches!(echo.map(kind), None | Some(RunErrorKind::Cancelled)), "{way}");
                assert!(matches!(kept.try_send(0), Err(SendError::Ended(0))));
            } else {
                let ended = first.map(kind);
                let is_right = match ended {
                    None => way == "drop first",
                    Some(RunErrorKind::Cancelled) => way == "first",
                    Some(RunErrorKind::DeadlineExceeded) => way == "deadline",
                    Some(_) => false,
                };
                assert!(is_right, "{way}: {ended:?}");
                drop(kept);
                let all: Vec<u64> = received.collect();
                assert!(all.iter().copied().eq(0..all.len() as u64), "{way}: what was sent comes out in order");
                echo.expect("not dropped").join().expect("all senders are gone");
            }
        }
    }
}

#[test]
fn a_pool_that_is_dropped_ends_both_runs() {
    let pool = pool(2);
    let (sender, received, echo) = echo(&pool, 1);
    let (kept, g) = (sender.clone(), Graph::new());
    g.source(0_u64..).send_to(sender);
    let first = g.plan(&pool).expect("no defect").start();
    wait_for(&kept, 1);
    drop(pool);
    assert!(matches!(first.join().expect_err("it never ends").kind(), RunErrorKind::Cancelled | RunErrorKind::Failed));
    assert!(matches!(echo.join().expect_err("it never ends").kind(), RunErrorKind::Cancelled));
    assert!(matches!(kept.try_send(1), Err(SendError::Ended(1))));
    drop(received);
}

/// Nobody waits where the input is to drop items.
#[test]
fn an_overflow_drops_what_the_input_says() {
    let pool = pool(1);
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let (first, second) = (Graph::new(), Graph::new());
        let (sender, numbers) = second.input_with::<u64>(InputOptions::new().capacity(2).overflow(overflow));
        let (received, kept) = (numbers.credits(1).output(), sender.clone());
        first.range(0..100_u64).batch_size(100).send_to(sender);
        let second = second.plan(&pool).expect("no defect").start();
        drop(pool.run(first).expect("it does not wait for the receiver"));
        let dropped = kept.dropped();
        drop(kept);
        let all: Vec<u64> = received.collect();
        assert_eq!(all.len() as u64 + dropped, 100);
        assert!(dropped > 90 && all.is_sorted());
        let is_oldest = matches!(overflow, Overflow::DropOldest);
        assert_eq!(if is_oldest { all.last() } else { all.first() }, Some(&if is_oldest { 99 } else { 0 }));
        second.join().expect("no failure");
    }
}

/// The sender belongs to the plan: it sends in every run.
#[test]
fn a_plan_sends_in_every_run() {
    let pool = pool(2);
    let (sender, received, echo) = echo(&pool, 3);
    let g = Graph::new();
    let calls = AtomicU64::new(0);
    g.range(0..100_u64).map(|x| x + 100 * calls.load(Relaxed)).send_to(sender);
    let reader = std::thread::spawn(move || received.collect::<Vec<_>>());
    let mut plan = g.plan(&pool).expect("no defect");
    for _ in 0..5 {
        plan.run().expect("no failure");
        calls.fetch_add(1, Relaxed);
    }
    drop(plan);
    assert!(reader.join().expect("no panic").into_iter().eq(0..500));
    echo.join().expect("no failure");
}

#[test]
fn a_cancel_drops_the_rest_of_the_first_batch() {
    let pool = pool(1);
    let (sender, received, echo) = echo(&pool, 2);
    let (kept, g) = (sender.clone(), Graph::new());
    g.source(0..5000_u64).batch_size(5000).send_to(sender);
    let first = g.plan(&pool).expect("no defect").start();
    wait_for(&kept, 2);
    first.cancel();
    assert_eq!(first.join().expect_err("it was cancelled").kind(), &RunErrorKind::Cancelled);
    drop(kept);
    let came = received.count();
    assert!(came < 5000, "all of the batch came though it was cancelled");
    echo.join().expect("all senders are gone");
}

/// Two graphs that hand all they get to each other: neither ever sees the end of its senders.
#[test]
fn graphs_in_a_ring_are_ended_by_a_cancel_or_a_deadline() {
    for workers in [1, 2] {
        for (way, sent) in [("cancel", 0), ("cancel", 5), ("deadline", 0), ("deadline", 5)] {
            let (pool, [one, two]) = (pool(workers), [(); 2].map(|()| Graph::new()));
            let options = InputOptions::new().capacity(4);
            let (to_one, in_one) = one.input_with::<u64>(options);
            let (to_two, in_two) = two.input_with::<u64>(options);
            let sender = to_one.clone();
            in_one.map(|x| x + 1).send_to(to_two);
            in_two.map(|x| x + 1).send_to(to_one);
            let runs = [one, two].map(|g| g.plan(&pool).expect("no defect").start());
            (0..sent).for_each(|x| sender.send(x).expect("it runs"));
            drop(sender);
            std::thread::sleep(Duration::from_millis(2));
            for run in &runs {
                let run = run.remote().expect("not over");
                assert!(!run.is_over());
                if way == "cancel" { run.cancel() } else { run.deadline(Duration::from_millis(1)) }
            }
            let kinds = runs.map(|run| run.join().err().map(|error| error.kind().clone()));
            let is_asked_for = |kind: &Option<RunErrorKind>| match kind {
                Some(RunErrorKind::Cancelled) => way == "cancel",
                Some(RunErrorKind::DeadlineExceeded) => way == "deadline",
                _ => false,
            };
            // If one was over first, the other one has lost its senders, or who takes what it sends.
            let may_follow = |kind: &Option<RunErrorKind>| matches!(kind, None | Some(RunErrorKind::Failed));
            assert!(kinds.iter().any(is_asked_for), "{way}: {kinds:?}");
            assert!(kinds.iter().all(|kind| is_asked_for(kind) || may_follow(kind)), "{way}: {kinds:?}");
        }
    }
}
