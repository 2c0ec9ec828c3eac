//! User code that panics where one does not expect it, and pools that are dropped or full at odd moments: nothing hangs,
//! nothing aborts. What could is run in a process of its own.

mod alone;

use std::fmt;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use alone::alone;
use millstream::{Graph, Pool, RunErrorKind};

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).oversubscribe(true).build().expect("threads")
}

/// Panics when it is dropped, but not while unwinding.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a drop that panics");
    }
}

struct Opaque;

impl Deref for Opaque {
    type Target = [u64];
    fn deref(&self) -> &[u64] {
        panic!("a length that panics")
    }
}

#[test]
fn the_length_of_data_panics() {
    alone("the_length_of_data_panics", || {
        let pool = pool(2);
        let g = Graph::new();
        let data = g.data(Opaque);
        let sum = g.items(&data).named("opaque").sum::<u64>();
        let error = pool.run(g).map(|mut run| run.take(sum)).expect_err("its length panics");
        let error = error.as_run().expect("no defect");
        assert_eq!((error.operator(), error.kind()), (Some("opaque"), &RunErrorKind::Panicked));
    });
}

/// Counts, for ever, and panics when it is dropped.
struct Endless(u64, Bomb);

impl Iterator for Endless {
    type Item = u64;
    fn next(&mut self) -> Option<u64> {
        self.0 += 1;
        Some(self.0)
    }
}

/// Has a length, but not at first.
struct Late(Vec<u64>, AtomicBool);

impl Deref for Late {
    type Target = [u64];
    fn deref(&self) -> &[u64] {
        assert!(self.1.load(Ordering::Relaxed), "too early");
        &self.0
    }
}

#[test]
fn what_nobody_asked_for_is_not_kept_for_the_next_run() {
    let pool = pool(2);
    let all = AtomicBool::new(false);
    let g = Graph::new();
    let data = g.data(Late((0..100).collect(), AtomicBool::new(false)));
    let left = g.source_fn(|| if all.load(Ordering::Relaxed) { 0..100_u64 } else { 0..0 });
    let gate = g.task((), |()| thread::sleep(Duration::from_millis(50))); // the left side has ended by then
    let count = left.zip(g.items(&data).batch_size(10).map_with(&gate, |(), x| x)).count();
    let mut plan = g.plan(&pool).expect("no defect");
    let _ = plan.run(); // whether the right side is asked at all is open
    plan.get(&data).1.store(true, Ordering::Relaxed);
    all.store(true, Ordering::Relaxed);
    plan.run().expect("now it has a length");
    assert_eq!(plan.take(count), 100);
}

/// Panics when it is dropped, even while unwinding.
struct Mine(u32);

impl Drop for Mine {
    fn drop(&mut self) {
        assert!(self.0 == 0, "a drop that panics");
    }
}

#[test]
fn the_rest_of_a_batch_panics_while_unwinding() {
    alone("the_rest_of_a_batch_panics_while_unwinding", || {
        let pool = pool(2);
        let g = Graph::new();
        let fails = |item: Mine| {
            assert!(item.0 > 0, "an operator that panics");
            std::mem::forget(item);
        };
        let count = g.source((0..10).map(Mine)).batch_size(10).map(fails).named("fails").count();
        let error = pool.run(g).map(|mut run| run.take(count)).expect_err("item 0");
        assert_eq!(error.as_run().and_then(millstream::RunError::operator), Some("fails"));
    });
}

#[test]
fn an_operator_drops_its_pool_through_another_one() {
    alone("an_operator_drops_its_pool_through_another_one", || {
        let (other, own) = (pool(1), pool(1));
        let place = Mutex::new(None);
        let g = Graph::new();
        let done = g.task((), |()| other.scope(|_| drop(place.lock().expect("no panic").take())));
        let mut plan = g.plan(&own).expect("no defect");
        *place.lock().expect("no panic") = Some(own);
        assert_eq!(plan.run().expect_err("its pool was dropped").kind(), &RunErrorKind::Cancelled);
        drop(done);
    });
}

#[test]
fn the_drop_of_an_iterator_that_was_left_panics() {
    alone("the_drop_of_an_iterator_that_was_left_panics", || {
        let pool = pool(2);
        let g = Graph::new();
        let some = g.source_fn(|| Endless(0, Bomb)).scan((), |(), x| (x < 10).then_some(x)).collect();
        let mut plan = g.plan(&pool).expect("no defect");
        for _ in 0..3 {
            plan.run().expect("it ends before the iterator does");
            assert_eq!(plan.take(some.clone()).len(), 9);
        }
        let _ = catch_unwind(AssertUnwindSafe(|| drop(plan)));
    });
}

#[derive(Debug)]
struct Loaded(Bomb);

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("loaded")
    }
}

impl std::error::Error for Loaded {}

#[test]
fn the_drop_of_a_later_error_panics() {
    alone("the_drop_of_a_later_error_panics", || {
        let pool = pool(2);
        let g = Graph::new();
        let both = Barrier::new(2);
        let fails = |_| -> Result<u64, Loaded> {
            both.wait();
            Err(Loaded(Bomb))
        };
        let sum = g.range(0..2_u64).batch_size(1).try_map(fails).sum::<u64>();
        let error = pool.run(g).map(|mut run| run.take(sum)).expect_err("both fail");
        assert_eq!(error.as_run().and_then(millstream::RunError::item), Some(0));
        std::mem::forget(error);
    });
}

#[test]
fn the_drop_of_a_broken_part_panics() {
    alone("the_drop_of_a_broken_part_panics", || {
        let pool = pool(1);
        let g = Graph::new();
        let keep_first = |a, b| {
            std::mem::forget(b);
            a
        };
        let fails = |x| if x == 5 { Err("five") } else { Ok((x, Bomb)) };
        let first = g.range(0..8_u64).batch_size(8).try_map(fails).reduce(keep_first);
        assert!(pool.run(g).map(|mut run| std::mem::forget(run.take(first))).is_err());
    });
}

#[derive(Debug)]
struct Mute;

impl fmt::Display for Mute {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("a text that panics")
    }
}

impl std::error::Error for Mute {}

#[test]
fn the_text_of_an_error_panics() {
    let pool = pool(2);
    let fails = AtomicBool::new(true);
    let g = Graph::new();
    let sum = g
        .source_fn(|| if fails.load(Ordering::Relaxed) { 0..100_u64 } else { 0..10 })
        .batch_size(1)
        .try_map(|x| if x == 99 && fails.load(Ordering::Relaxed) { Err(Mute) } else { Ok(x) })
        .sum::<u64>();
    let mut plan = g.plan(&pool).expect("no defect");
    let error = plan.run().expect_err("item 99");
    assert_eq!((error.kind(), error.item()), (&RunErrorKind::Failed, Some(99)));
    fails.store(false, Ordering::Relaxed);
    plan.run().expect("mended");
    assert_eq!(*plan.get(&sum), 45, "nothing is left of the failed run");
}

#[derive(Debug)]
struct NoFives(u64);

impl Clone for NoFives {
    fn clone(&self) -> Self {
        assert!(self.0 != 5, "no clone of 5");
        Self(self.0)
    }
}

#[test]
fn the_clone_of_an_item_panics() {
    let pool = pool(1);
    let g = Graph::new();
    let data = g.data((0..10).map(NoFives).collect::<Vec<_>>());
    let sum = g.items(&data).batch_size(10).map(|item| item.0).sum::<u64>();
    let error = pool.run(g).map(|mut run| run.take(sum)).expect_err("the fifth");
    assert_eq!(error.as_run().and_then(millstream::RunError::item), Some(5));
}

#[test]
fn an_operator_drops_its_own_pool() {
    alone("an_operator_drops_its_own_pool", || {
        let own = pool(2);
        let place = Mutex::new(None);
        let g = Graph::new();
        let sum = g.range(0..1000_u64).inspect(|_| drop(place.lock().expect("no panic").take())).sum::<u64>();
        let mut plan = g.plan(&own).expect("no defect");
        *place.lock().expect("no panic") = Some(own);
        let error = plan.run().expect_err("its pool was dropped");
        assert_eq!(error.kind(), &RunErrorKind::Cancelled);
        assert!(plan.try_get(&sum).is_none());
        assert_eq!(plan.run().expect_err("closed").kind(), &RunErrorKind::Closed);
    });
}

#[test]
fn a_ninth_thread_is_served_while_eight_are_blocked() {
    alone("a_ninth_thread_is_served_while_eight_are_blocked", || {
        let pool = pool(1);
        let (inside, done) = (Barrier::new(9), Barrier::new(9));
        let block = || {
            inside.wait();
            done.wait();
        };
        thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| pool.join(block, || ()));
            }
            inside.wait();
            assert_eq!(pool.join(|| 1, || 2), (1, 2), "a worker is free");
            done.wait();
        });
    });
}

/// A key whose hash, or comparison, panics for one value.
#[derive(Clone, Debug)]
struct Key {
    value: u64,
    hash_fails: bool,
    eq_fails: bool,
}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        assert!(!self.hash_fails || self.value != 5, "no hash of 5");
        self.value.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        assert!(!self.eq_fails || self.value != 5, "5 is like no other");
        self.value == other.value
    }
}

impl Eq for Key {}

/// Adds a stream with a sink to a graph.
type Sink<'a> = &'a dyn Fn(&Graph<'_>);

#[test]
fn the_hash_and_the_comparison_of_a_key_panic() {
    for (workers, hash_fails) in [(1, true), (1, false), (2, true), (2, false)] {
        let pool = pool(workers);
        let key = move |x: &u64| Key { value: x % 10, hash_fails, eq_fails: !hash_fails };
        let sinks: [(&str, Sink<'_>); 8] = [
            ("count", &|g| _ = g.range(0..1000_u64).key_by(key).count()),
            ("sum", &|g| _ = g.range(0..1000_u64).key_by(key).sum::<u64>()),
            ("max", &|g| _ = g.range(0..1000_u64).key_by(key).max()),
            ("fold", &|g| _ = g.range(0..1000_u64).key_by(key).fold(0, |sum, x| sum + x)),
            ("collect", &|g| _ = g.range(0..1000_u64).key_by(key).collect()),
            ("top_k", &|g| _ = g.range(0..1000_u64).key_by(key).top_k(3)),
            ("distinct", &|g| _ = g.range(0..1000_u64).map(move |x| key(&x)).distinct().for_each(|_| ())),
            ("scan", &|g| {
                let sums = g.range(0..1000_u64).key_by(key).scan(0, |sum, x| {
                    *sum += x;
                    Some(*sum)
                });
                sums.for_each(|_| ());
            }),
        ];
        for (name, sink) in sinks {
            let g = Graph::new();
            sink(&g);
            let mut plan = g.plan(&pool).expect("no defect");
            for _ in 0..2 {
                let error = plan.run().expect_err(name);
                assert_eq!(*error.kind(), RunErrorKind::Panicked, "{name}: {error}");
                assert!(error.operator().is_some_and(|operator| operator.contains(name)), "{name}: {error}");
            }
        }
    }
}

/// Pieces wait at a gate for data that a task is to write, and the task panics: nobody sees the data.
#[test]
fn what_is_held_for_data_never_sees_it_if_its_task_panics() {
    for workers in [1, 2, 4] {
        let pool = Pool::builder().workers(workers).build().expect("threads");
        let seen = AtomicU64::new(0);
        let g = Graph::new();
        let made = g.task((), |()| -> String {
            thread::sleep(Duration::from_millis(3));
            panic!("no string");
        });
        let numbers = g.source(0..2000_u32).batch_size(10).scan(0, |sum, x| {
            *sum += x;
            Some(*sum)
        });
        let count = numbers
            .map_with(&made, |made, x| {
                seen.fetch_add(1, Ordering::Relaxed);
                made.len() + x as usize
            })
            .count();
        let mut plan = g.plan(&pool).expect("plans");
        for _ in 0..5 {
            plan.run().expect_err("the task panics");
            assert_eq!(seen.load(Ordering::Relaxed), 0);
            assert!(plan.try_get(&count).is_none());
        }
    }
}
