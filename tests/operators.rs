//! Operators that end a stream early, what they make at its end, and those that are tried again.

use std::error::Error as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use millstream::{Graph, Operator, Pool, RunErrorKind};

/// Each of these has its answer early, and the source, which never ends, stops.
#[test]
fn an_answer_ends_a_stream_without_end() {
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let g = Graph::new();
    let first = g.source(7_u64..).first();
    let found = g.source(0_u64..).map(|x| x * 3).find(|x| *x > 10_000);
    let any = g.range(0..u64::MAX).any(|x| x == 12_345);
    let all = g.range(0..u64::MAX).all(|x| x < 12_345);
    let some = g.source(0_u64..).take(3).chunks(2).collect();
    let none = g.source(0_u64..).take(0).count();
    let mut run = pool.run(g).expect("no failure");
    assert_eq!((run.take(first), run.take(found)), (Some(7), Some(10_002)));
    assert_eq!((run.take(any), run.take(all)), (true, false));
    assert_eq!((run.take(some), run.take(none)), (vec![vec![0, 1], vec![2]], 0));
}

/// What an operator makes at the end comes behind everything else, and fails under its own name.
#[test]
fn an_ending_may_fail() {
    struct Ends(bool);
    impl Operator for Ends {
        type In = u64;
        type Out = u64;
        fn on_item(&mut self, item: u64, out: &mut dyn FnMut(u64)) {
            out(item);
        }
        fn on_end(&mut self, out: &mut dyn FnMut(u64)) {
            out(99);
            assert!(!self.0, "at the end");
        }
    }
    let pool = Pool::builder().workers(2).build().expect("a pool");
    for fails in [false, true] {
        for items in [0, 1, 5000] {
            let g = Graph::new();
            let seen = AtomicU64::new(0);
            let ends = g.range(0..items).batch_size(16).apply(Ends(fails)).named("ends");
            let all = ends.inspect(|_| _ = seen.fetch_add(1, Relaxed)).collect();
            match pool.run(g) {
                Ok(mut run) => {
                    assert!(!fails);
                    let all = run.take(all);
                    assert!(all.iter().copied().eq((0..items).chain([99])), "{items} items, and the last one");
                }
                Err(error) => {
                    assert!(fails);
                    assert_eq!(error.as_run().and_then(|run| run.operator()), Some("ends"));
                    assert_eq!(seen.load(Relaxed), items + 1, "what came before the failure");
                }
            }
        }
    }
}

/// What `docs/iterator.md` says of methods that have another name here.
#[test]
fn other_methods_of_iterators() {
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let items = [3_i64, 1, -4, 1, 5, -9, 2, 6];
    let g = Graph::new();
    let all = || g.slice(&items).copied();
    let find_map = all().filter_map(|x| (x < 0).then_some(-x)).first();
    let sorted = all().window(2, 1).all(|pair| pair[0] <= pair[1]);
    let map_while = all().scan((), |(), x| (x > -5).then_some(x * 2)).collect();
    let nth = all().skip(2).first();
    let position = all().enumerate().find(|(_, x)| *x == 5);
    let product = all().reduce(|a, b| a * b);
    let skip_while = all()
        .scan(false, |begun, x| {
            *begun |= x < 0;
            Some(begun.then_some(x))
        })
        .filter_map(|x| x)
        .collect();
    let step_by = all().enumerate().filter_map(|(i, x)| (i % 3 == 0).then_some(x)).collect();
    let mut run = pool.run(g).expect("no failure");
    assert_eq!(run.take(find_map), items.iter().find_map(|x| (*x < 0).then_some(-x)));
    assert_eq!(run.take(sorted), items.is_sorted());
    assert_eq!(run.take(map_while), items.iter().map_while(|x| (*x > -5).then_some(x * 2)).collect::<Vec<_>>());
    assert_eq!(run.take(nth), items.get(2).copied());
    assert_eq!(run.take(position).map(|(i, _)| i), Some(4));
    assert_eq!(run.take(product), Some(items.iter().product()));
    assert_eq!(run.take(skip_while), items.iter().copied().skip_while(|x| *x >= 0).collect::<Vec<_>>());
    assert_eq!(run.take(step_by), items.iter().copied().step_by(3).collect::<Vec<_>>());
}

/// The batch of a heavy item goes on in parts. The last part may overtake the others in a stage where pieces do not wait for
/// each other; the stage behind that one must not take it for the last of all.
#[test]
fn parts_that_overtake_each_other_all_arrive() {
    let pool = Pool::builder().workers(2).oversubscribe(true).build().expect("threads");
    let g = Graph::new();
    let many = g.source([()]).flat_map(|()| 0..10_000_u64);
    let slow_first = many.map_batch(|batch| {
        if batch[0] == 0 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        batch
    });
    let count = slow_first.map_batch(|batch| batch).count();
    assert_eq!(pool.run(g).expect("no failure").take(count), 10_000);
}

/// The item that fails is tried as often as was said, with all other items behind it dropped; a panic is not tried again.
#[test]
fn what_fails_is_tried_again() {
    let pool = Pool::builder().workers(2).build().expect("a pool");
    for (trap, panics) in [(0, false), (700, false), (999, false), (700, true)] {
        let calls = AtomicU64::new(0);
        let g = Graph::new();
        let ask = g.range(0..1000_u64).batch_size(10).try_map_ref(|x| {
            if *x != trap {
                return Ok(2 * x);
            }
            let call = calls.fetch_add(1, Relaxed);
            assert!(!panics, "no answer");
            Err(format!("call {call}"))
        });
        let seen = AtomicU64::new(0);
        ask.named("ask").retry(1).retry(4).for_each_ordered(|_| _ = seen.fetch_add(1, Relaxed));
        let error = pool.run(g).expect_err("the trap always fails");
        let run = error.as_run().expect("it ran");
        assert_eq!((run.operator(), run.item()), (Some("ask"), Some(trap)));
        let (kind, tries) = if panics { (RunErrorKind::Panicked, 1) } else { (RunErrorKind::Failed, 5) };
        assert_eq!(*run.kind(), kind);
        assert_eq!(run.source().map(ToString::to_string), (!panics).then(|| "call 4".to_owned()));
        assert_eq!((calls.load(Relaxed), seen.load(Relaxed)), (tries, trap));
        assert_eq!(run.report().operator("ask").map(millstream::OperatorReport::retries), Some(tries - 1));
    }
}

/// Each run counts its own retries, and the table of the report shows them.
#[test]
fn retries_are_counted_anew_in_every_run() {
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let calls = AtomicU64::new(0);
    let g = Graph::new();
    let flaky = |x: &u64| if calls.fetch_add(1, Relaxed).is_multiple_of(2) { Err("busy") } else { Ok(*x) };
    let sum = g.range(0..100_u64).batch_size(100).try_map_ref(flaky).named("ask").retry(1).sum::<u64>();
    let mut plan = g.plan(&pool).expect("no defect");
    for _ in 0..2 {
        plan.run().expect("the second call succeeds");
        assert_eq!(*plan.get(&sum), 4950);
        let report = plan.report();
        assert_eq!(report.operator("ask").map(millstream::OperatorReport::retries), Some(100));
        assert!(report.to_string().contains("ask (100 retries)"), "{report}");
    }
}
