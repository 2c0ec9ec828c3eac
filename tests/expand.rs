//! Items that become many: no more of it is made than is needed.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use millstream::{Error, Graph, Live, Pool, Pull, RunError, RunErrorKind, Wake};

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).oversubscribe(true).build().expect("threads")
}

fn failed<T>(ran: Result<T, Error>) -> RunError {
    match ran.map(drop) {
        Err(Error::Run(error)) => error,
        other => panic!("it does not fail: {other:?}"),
    }
}

#[test]
fn what_comes_out_is_what_flat_map_makes() {
    for workers in [1, 2, 4] {
        let pool = pool(workers);
        for items in [0, 1, 7, 3000_u64] {
            let g = Graph::new();
            let made = |x: u64| (0..x % 5).map(move |y| 10 * x + y);
            let one = g.range(0..items).expand(made).collect();
            let other = g.range(0..items).flat_map(made).collect();
            let sums = g.range(0..items).expand(made).map(|x| 1.0 / (1 + x) as f64).reduce(|a, b| a + b);
            let mut plan = g.plan(&pool).expect("no defect");
            let mut seen = None;
            for _ in 0..3 {
                plan.run().expect("no failure");
                assert_eq!(plan.get(&one), plan.get(&other));
                let sum = plan.get(&sums).map(f64::to_bits);
                assert_eq!(*seen.get_or_insert(sum), sum, "how it is bracketed depends on the stream alone");
            }
        }
    }
}

#[test]
fn an_item_that_becomes_billions_takes_no_more_memory_than_a_few_batches() {
    let pool = pool(2);
    let made = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    let ahead = AtomicU64::new(0);
    let g = Graph::new();
    let numbers = g.source([1_u64, 2, 3]).expand(|from| {
        (0..u64::MAX).map({
            let made = &made;
            move |x| {
                made.fetch_add(1, Relaxed);
                from.wrapping_mul(x)
            }
        })
    });
    let some = numbers.take(100_000).map(|x| x ^ 1);
    some.for_each_ordered(|_| {
        let done = done.fetch_add(1, Relaxed);
        ahead.fetch_max(made.load(Relaxed) - done, Relaxed);
        if done.is_multiple_of(1000) {
            thread::sleep(Duration::from_micros(500));
        }
    });
    pool.run(g).expect("no failure");
    assert_eq!(done.load(Relaxed), 100_000);
    assert!(ahead.load(Relaxed) <= 32 * 1024, "{} items ahead", ahead.load(Relaxed));
}

#[test]
fn what_feeds_it_is_held_back_too() {
    let pool = pool(2);
    let (begun, done, ahead) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let g = Graph::new();
    let items = g.source(0..2000_u64).map(|x| {
        begun.fetch_add(1, Relaxed);
        x
    });
    items.expand(|x| (0..1000).map(move |y| (x, y))).for_each_ordered(|(x, y)| {
        if y == 999 {
            assert_eq!(x, done.fetch_add(1, Relaxed));
            ahead.fetch_max(begun.load(Relaxed) - x, Relaxed);
        }
    });
    pool.run(g).expect("no failure");
    assert_eq!(done.load(Relaxed), 2000);
    assert!(ahead.load(Relaxed) < 1000, "{} of 2000 items ahead", ahead.load(Relaxed));
}

#[test]
fn a_graph_that_needs_more_credits_than_there_are_stalls() {
    for workers in [1, 2] {
        let pool = pool(workers);
        for credits in [2, 200] {
            // The right side waits for the last of 1000 items of the left one.
            let g = Graph::new();
            let expanded = g.source([0_u64]).expand(|_| 0..1000_u64).batch_size(10).credits(credits);
            let (left, right) = expanded.tee();
            let pairs = left.filter(|x| *x == 999).zip(right).collect();
            let mut plan = g.plan(&pool).expect("no defect");
            match plan.run() {
                Ok(()) => assert_eq!((credits, plan.take(pairs)), (200, vec![(999, 0)])),
                Err(error) => {
                    assert_eq!((credits, error.kind()), (2, &RunErrorKind::Stalled), "{error}");
                    assert!(
                        error.to_string().contains("expand at") && error.to_string().contains("2 credits"),
                        "{error}"
                    );
                }
            }
        }
    }
}

#[test]
fn failures_before_in_and_behind_it_are_the_earliest() {
    for workers in [1, 2] {
        let pool = pool(workers);
        for fails in ["before", "in f", "in next", "behind", "nothing"] {
            let seen = Mutex::new(Vec::new());
            let g = Graph::new();
            let items = g.source(0..100_u64).batch_size(3).map(|x| {
                assert!(fails != "before" || x != 40, "trap");
                x
            });
            let many = items.expand(|x| {
                assert!(fails != "in f" || x != 40, "trap");
                (0..10).map(move |y| {
                    assert!(fails != "in next" || (x, y) != (40, 0), "trap");
                    10 * x + y
                })
            });
            let many = many.named("many").map(|x| {
                assert!(fails != "behind" || x != 400, "trap");
                x
            });
            many.named("behind").for_each_ordered(|x| seen.lock().expect("no panic").push(x));
            let ran = pool.run(g);
            if fails == "nothing" {
                ran.expect("no failure");
                assert_eq!(*seen.lock().expect("no panic"), (0..1000).collect::<Vec<_>>());
                continue;
            }
            let error = failed(ran);
            let item = if fails == "in next" || fails == "behind" { 400 } else { 40 };
            assert_eq!((error.kind(), error.item()), (&RunErrorKind::Panicked, Some(item)), "{fails}: {error}");
            assert!(
                error.operator().is_some_and(|name| (name == "many: out" || name == "many") == fails.starts_with("in"))
            );
            assert_eq!(*seen.lock().expect("no panic"), (0..400).collect::<Vec<_>>(), "{fails}");
        }
    }
}

#[test]
fn an_early_end_lets_go_of_what_feeds_it() {
    for workers in [1, 2] {
        let pool = pool(workers);
        // A live source is over only when all of its credits have come back.
        let g = Graph::new();
        let (sender, numbers) = g.input::<u64>();
        let some = numbers.expand(std::iter::repeat).take(5).collect();
        let mut plan = g.plan(&pool).expect("no defect");
        plan.run_while(|_| {
            for x in 0..50 {
                let _ = sender.send(x); // it may have ended
            }
        })
        .expect("no failure");
        assert_eq!(plan.take(some), [0; 5]);
        // The well holds all credits there are when the stream ends. A live source hears that all has been done.
        let (given, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let g = Graph::new();
        let numbers = g.live(Numbers { given: &given, done: &done }).batch_size(1).credits(4);
        let some = numbers.expand(std::iter::repeat).take(5000).count();
        assert_eq!(pool.run(g).expect("no failure").take(some), 5000);
        assert_eq!(done.load(Relaxed), given.load(Relaxed));
    }
}

/// Counts, and hears what has been done.
struct Numbers<'a> {
    given: &'a AtomicU64,
    done: &'a AtomicU64,
}

impl Live for Numbers<'_> {
    type Item = u64;
    fn pull(&mut self, _: &Wake) -> Result<Pull<u64>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Pull::Item(self.given.fetch_add(1, Relaxed)))
    }
    fn done(&mut self, items: u64) {
        self.done.store(items, Relaxed);
    }
}

#[test]
fn a_request_gets_all_of_its_answers_at_once() {
    for workers in [1, 2] {
        let pool = pool(workers);
        let g = Graph::new();
        let (sender, requests) = g.input::<u64>();
        let mut answers = requests.expand(|x| (0..3).map(move |y| (x, y))).output();
        let running = g.plan(&pool).expect("no defect").start();
        for x in 0..2000 {
            sender.send(x).expect("it runs");
            for y in 0..3 {
                assert_eq!(answers.next(), Some((x, y)));
            }
        }
        drop(sender);
        assert_eq!(answers.next(), None);
        running.join().expect("no failure");
    }
}

#[test]
fn an_endless_source_before_it_ends_with_it() {
    for workers in [1, 2] {
        let (pool, g) = (pool(workers), Graph::new());
        let some = g.source(1_u64..).expand(|x| 0..x).take(6).collect();
        assert_eq!(pool.run(g).expect("no failure").take(some), [0, 0, 1, 0, 1, 2]);
    }
}

/// What waits, spooled, for the other half of its stream is no matter of credits: only iterators wait.
#[test]
fn a_spooled_stream_waits_for_its_data_without_credits() {
    for workers in [1, 2] {
        let pool = pool(workers);
        let g = Graph::new();
        let (one, other) = g.source(0..100_u64).batch_size(1).credits(2).tee();
        let sum = one.sum::<u64>();
        let many = other.expand(|x| [x, x]).spooled().map_with(&sum, |sum, x| sum + x).count();
        assert_eq!(pool.run(g).expect("two credits are enough").take(many), 200);
    }
}

/// A run that fails may leave the source behind expand asleep. The next one must not have it woken twice.
#[test]
fn a_run_after_one_that_has_failed_is_as_good() {
    let pool = pool(2);
    for _ in 0..100 {
        let fails = AtomicU64::new(1);
        let g = Graph::new();
        let ones = g.source_fn(|| 0..3_u64).batch_size(1).map(|x| {
            assert!(fails.load(Relaxed) == 0 || x != 1, "trap");
            thread::yield_now();
            x
        });
        let all = ones.expand(|x| [x, x]).map(|x| x + 1).collect();
        let mut plan = g.plan(&pool).expect("no defect");
        for _ in 0..3 {
            fails.store(1, Relaxed);
            plan.run().expect_err("it panics");
            fails.store(0, Relaxed);
            plan.run().expect("no failure");
            assert_eq!(*plan.get(&all), [1, 1, 2, 2, 3, 3]);
        }
    }
}

/// The failure of an iterator waits until it counts. Meanwhile nothing is drawn in vain out of what feeds it.
#[test]
fn an_iterator_that_fails_stops_what_feeds_it_though_its_failure_waits() {
    for workers in [1, 2] {
        let (pool, g, drawn) = (pool(workers), Graph::new(), Arc::new(AtomicU64::new(0)));
        let (sender, left) = g.input::<u64>();
        let counts = Arc::clone(&drawn);
        let endless = (0_u64..).inspect(move |_| _ = counts.fetch_add(1, Relaxed));
        let fails = |x| (0..1).inspect(move |_| assert!(x != 3, "trap"));
        let right = g.source(endless).batch_size(1).expand(fails);
        let pairs = left.zip(right).count();
        let running = g.plan(&pool).expect("no defect").start();
        (0..3).for_each(|x| sender.send(x).expect("it runs"));
        thread::sleep(Duration::from_millis(100)); // the failure waits for a fourth item on the left
        let before = drawn.load(Relaxed);
        thread::sleep(Duration::from_millis(50));
        assert_eq!(drawn.load(Relaxed), before, "it still draws");
        sender.send(3).expect("it runs");
        let error = running.join().map(|mut plan| plan.take(pairs)).expect_err("it panics");
        assert_eq!(error.kind(), &RunErrorKind::Panicked);
    }
}
