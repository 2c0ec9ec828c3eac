//! Where several things go wrong at once one panic goes on, and the others, and what nobody will ask for any more, are
//! dropped: also if those drops panic in turn, nothing aborts.

mod alone;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, mpsc};

use alone::alone;
use millstream::{Graph, Pool};

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).oversubscribe(true).build().expect("threads")
}

/// A pool whose only worker is busy until the other result is dropped: nobody takes a join from this thread.
fn pool_without_help() -> (Pool, mpsc::Sender<()>) {
    let (pool, (busy, until), (begins, begun)) = (pool(1), mpsc::channel(), mpsc::channel());
    pool.spawn(move || {
        begins.send(()).expect("the other end waits");
        _ = until.recv();
    });
    begun.recv().expect("it begins");
    (pool, busy)
}

static DROPS: AtomicU32 = AtomicU32::new(0);

/// Panics when it is dropped, also while unwinding, with one more of its kind while there is a fuse left.
#[derive(Debug)]
struct Mine(u32);

impl Drop for Mine {
    fn drop(&mut self) {
        DROPS.fetch_add(1, Ordering::Relaxed);
        match self.0.checked_sub(1) {
            Some(fuse) => panic_any(Self(fuse)),
            None => panic!("a drop that panics"),
        }
    }
}

impl fmt::Display for Mine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mine")
    }
}

impl std::error::Error for Mine {}

/// What `work` throws; `drops` mines have gone off by then.
fn throws(drops: u32, work: impl FnOnce()) -> Box<dyn Any + Send> {
    let before = DROPS.load(Ordering::Relaxed);
    let thrown = catch_unwind(AssertUnwindSafe(work)).expect_err("it panics");
    assert_eq!(DROPS.load(Ordering::Relaxed) - before, drops, "each is dropped once");
    thrown
}

fn says(thrown: &(dyn Any + Send), text: &str) {
    assert_eq!(thrown.downcast_ref::<&'static str>(), Some(&text));
}

#[test]
fn body_and_closures_of_a_scope() {
    alone("body_and_closures_of_a_scope", || {
        for workers in [1, 2] {
            let pool = pool(workers);
            let thrown = throws(4, || {
                pool.scope(|s| {
                    (0..4).for_each(|_| s.spawn(|_| panic_any(Mine(0))));
                    panic!("the body")
                });
            });
            says(&*thrown, "the body");
            let thrown = throws(2, || {
                std::mem::forget(pool.scope(|s| {
                    s.spawn(|_| panic!("a closure"));
                    Mine(1)
                }));
            });
            says(&*thrown, "a closure");
            assert_eq!(pool.scope(|_| 7), 7, "it goes on");
        }
    });
}

/// A tree of joins. Its last leaf panics, if any; all nodes before it are done, and have what nobody will ask for.
fn tree(pool: &Pool, depth: u32, leaf: u32, panics: u32) -> Armed {
    if depth == 0 {
        assert!(leaf != panics, "a leaf");
        return Armed(true);
    }
    let half = |right| move || tree(pool, depth - 1, 2 * leaf + right, panics);
    let (left, right) = pool.join(half(0), half(1));
    left.disarm();
    right.disarm();
    Armed(true)
}

/// Panics when it is dropped unless it was disarmed.
struct Armed(bool);

impl Armed {
    fn look(&self) {
        assert!(self.0, "never disarmed");
    }

    fn disarm(mut self) {
        self.0 = false;
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        if self.0 {
            drop(Mine(0));
        }
    }
}

#[test]
fn results_of_joins() {
    alone("results_of_joins", || {
        let (pool, _busy) = pool_without_help();
        let few = |panics| tree(&pool, 6, 0, panics);
        // The rightmost leaf: each join above it has what its first closure gave.
        says(&*throws(6, || few(63).disarm()), "a leaf");
        // Until joins are known to be short, and are plain calls.
        (0..10_000).for_each(|_| few(64).disarm());
        says(&*throws(6, || few(63).disarm()), "a leaf");
    });
}

#[test]
fn closures_of_joins() {
    fn nest(pool: &Pool, depth: u32, panics: bool) {
        let kept = Armed(true);
        if depth == 0 {
            kept.disarm();
            return assert!(!panics, "the innermost");
        }
        // Uncalled if the first one panics.
        pool.join(|| nest(pool, depth - 1, panics), move || kept.disarm());
    }
    alone("closures_of_joins", || {
        let (pool, _busy) = pool_without_help();
        says(&*throws(20, || nest(&pool, 20, true)), "the innermost");
        (0..10_000).for_each(|_| nest(&pool, 20, false));
        says(&*throws(20, || nest(&pool, 20, true)), "the innermost");
    });
}

#[test]
fn both_halves_of_a_join() {
    alone("both_halves_of_a_join", || {
        let pool = pool(2);
        let both = Barrier::new(2); // the second one is taken by another worker
        let thrown = throws(1, || {
            let first = || {
                both.wait();
                panic!("the first one")
            };
            let second = || {
                both.wait();
                panic_any(Mine(0))
            };
            let ((), ()) = pool.join(first, second);
        });
        says(&*thrown, "the first one");
    });
}

#[test]
fn what_a_call_was_given() {
    alone("what_a_call_was_given", || {
        let pool = pool(2);
        let mine = || Armed(true);
        let (kept, thrown) = (mine(), |_: &Armed| panic!("a call"));
        says(&*throws(1, || _ = pool.broadcast(move |_| thrown(&kept))), "a call");
        let kept = mine();
        says(&*throws(1, || pool.for_each(0..10, move |_| thrown(&kept))), "a call");
        let kept = mine();
        says(&*throws(1, || pool.for_each_mut(&mut [0; 10], move |_, _| thrown(&kept))), "a call");
        let kept = mine();
        says(&*throws(1, || _ = pool.map_collect(0..10, move |_| thrown(&kept))), "a call");
        let (one, two, three) = (mine(), mine(), mine());
        let identity = move || one.look();
        let combine = move |(), ()| three.look();
        says(&*throws(3, || pool.aggregate(0..10, identity, move |(), _| thrown(&two), combine)), "a call");
    });
}

#[test]
fn all_calls_of_a_broadcast() {
    alone("all_calls_of_a_broadcast", || {
        let pool = pool(4);
        let thrown = throws(3, || {
            pool.broadcast(|worker| if worker == 0 { panic!("the first") } else { panic_any(Mine(0)) });
        });
        says(&*thrown, "the first");
    });
}

#[test]
fn all_parts_of_a_loop() {
    alone("all_parts_of_a_loop", || {
        let pool = pool(4);
        let all = Barrier::new(4);
        let thrown = throws(3, || {
            pool.for_each(0..4, |i| {
                all.wait();
                if i == 0 { panic!("the first") } else { panic_any(Mine(0)) }
            });
        });
        says(&*thrown, "the first");
    });
}

#[test]
fn two_errors_of_one_batch() {
    alone("two_errors_of_one_batch", || {
        let pool = pool(1);
        let g = Graph::new();
        let early = |x| if x == 5 { Err(Mine(0)) } else { Ok(x) };
        let late = |x: u64| if x == 3 { Err("three") } else { Ok(x) };
        let sum = g.range(0..10_u64).batch_size(10).try_map(early).try_map(late).named("late").sum::<u64>();
        let error = pool.run(g).map(|mut run| run.take(sum)).expect_err("both fail");
        let run = error.as_run().expect("no defect");
        assert_eq!((run.operator(), run.item()), (Some("late"), Some(3)));
        assert_eq!(DROPS.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn parts_that_are_left_when_two_cannot_be_combined() {
    alone("parts_that_are_left_when_two_cannot_be_combined", || {
        let pool = pool(1);
        let g = Graph::new();
        // Of 7 blocks three parts are left over in the end: the last two of them cannot be combined.
        let combine = |a: (u64, Armed), b: (u64, Armed)| {
            a.1.disarm();
            b.1.disarm();
            assert!(b.0 < 6, "two parts");
            (a.0, Armed(true))
        };
        let items = (0..7).map(|x| (x, Armed(true)));
        let _ = g.source(items).batch_size(1).reduce(combine);
        let mut plan = g.plan(&pool).expect("no defect");
        let error = plan.run().expect_err("the last two");
        assert!(error.operator().is_some_and(|name| name.starts_with("reduce")) && error.item().is_none());
        assert_eq!(DROPS.load(Ordering::Relaxed), 1, "the part of the first four blocks");
    });
}

/// An item that is a mine if it is the one.
struct Item(u64, Armed);

impl Item {
    fn new(number: u64, mine: u64) -> Self {
        Self(number, Armed(number == mine))
    }
}

/// Which operator a run puts a panic down to, and which item.
fn blames(g: Graph<'_>, operator: &str, item: u64) {
    let run = pool(2).run(g).expect_err("an item that panics when it is dropped");
    let run = run.as_run().expect("no defect");
    assert_eq!((run.operator(), run.item()), (Some(operator), Some(item)));
}

#[test]
fn an_item_that_an_operator_drops() {
    alone("an_item_that_an_operator_drops", || {
        let items = |g: &Graph<'static>| g.range(0..100_u64).batch_size(10);
        let odd = |item: &Item| item.0 % 2 == 1;
        // Number 57 is the 28th odd number.
        let g = Graph::new();
        let _ = items(&g).map(|x| Item::new(x, 58)).filter(odd).named("filter").map(forget).count();
        blames(g, "filter", 58);
        let g = Graph::new();
        let _ = items(&g).filter(|x| x % 2 == 1).map(|x| Item::new(x, 57)).key_by(|item| item.0).count();
        blames_method(g, "count", 28);
        let g = Graph::new();
        let small = |item: Item| if item.0 < 50 { Ok(item) } else { Err("50") };
        let _ = items(&g).map(|x| Item::new(x, 57)).try_map(small).named("try_map").map(forget).count();
        blames(g, "try_map", 50);
        let g = Graph::new();
        let _ = items(&g).map(|x| Item::new(x, 57)).filter(|_| true).count();
        blames_method(g, "count", 57);
    });
}

/// What an operator drops while its own panic unwinds.
#[test]
fn an_item_at_which_an_operator_panics() {
    alone("an_item_at_which_an_operator_panics", || {
        let fails = |item: &Item| assert!(item.0 != 57, "an operator that panics");
        let source = |g: &Graph<'static>| g.range(0..100_u64).batch_size(10).map(|x| Item::new(x, 57));
        let g = Graph::new();
        let _ = source(&g).inspect(fails).named("inspect").count();
        blames(g, "inspect", 57);
        let g = Graph::new();
        let pred = move |item: &Item| {
            fails(item);
            true
        };
        let _ = source(&g).filter(pred).named("filter").count();
        blames(g, "filter", 57);
        let g = Graph::new();
        let _ = source(&g).key_by(fails).count();
        blames_method(g, "key_by", 57);
        let g = Graph::new();
        let (left, right) = source(&g).partition(pred);
        let _ = (left.count(), right.count());
        blames_method(g, "partition", 57);
    });
}

fn forget(item: Item) {
    item.1.disarm();
}

/// As [`blames`], for an operator that has no name.
fn blames_method(g: Graph<'_>, method: &str, item: u64) {
    let run = pool(2).run(g).expect_err("an item that panics when it is dropped");
    let run = run.as_run().expect("no defect");
    assert!(run.operator().is_some_and(|name| name.starts_with(method)), "{run}");
    assert_eq!(run.item(), Some(item));
}
