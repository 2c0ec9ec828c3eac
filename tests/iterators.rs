//! Parallel iterators on a pool: the answers of plain ones on any number of workers, from any thread, whoever is busy; and
//! every item given away or dropped once, whatever panics. Needs the feature `iterators`.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use millstream::iterators::prelude::*;
use millstream::{Graph, Pool};

#[cfg(unix)]
mod alone;
#[path = "patience/mod.rs"]
mod patience;
#[cfg(unix)]
use alone::alone;
use patience::{PATIENCE, within_patience};

const WORKERS: [usize; 3] = [1, 2, 4];

/// Around one leaf, one item a leaf, and several.
const LENGTHS: [usize; 11] = [0, 1, 2, 63, 1000, 1023, 1024, 1025, 2047, 2048, 50_001];

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).oversubscribe(true).build().expect("a pool")
}

/// What a panic of `work` throws, as text.
#[track_caller]
fn panic_text<R>(work: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(work)) else { panic!("it should panic") };
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&'static str>().map(ToString::to_string)).expect("a text")
}

/// The sum of `0..n`, by an iterator.
fn sum(pool: &Pool, n: usize) -> usize {
    (0..n).into_par_iter().with_thread_pool(pool).sum::<usize>()
}

// ---------------------------------------------------------------------------------------------------------------------
// Answers

#[test]
fn answers_are_those_of_plain_iterators() {
    for workers in WORKERS {
        let pool = pool(workers);
        for n in LENGTHS {
            let numbers: Vec<usize> = (0..n).map(|i| i * 7919 % 1009).collect();
            let on = || numbers.par_iter().copied();
            assert_eq!(on().with_thread_pool(&pool).sum::<usize>(), numbers.iter().sum::<usize>());
            assert_eq!(on().with_thread_pool(&pool).min(), numbers.iter().copied().min());
            assert_eq!(on().with_thread_pool(&pool).max(), numbers.iter().copied().max());
            assert_eq!(on().with_thread_pool(&pool).all(|x| x < 1009), numbers.iter().all(|x| *x < 1009));
            assert_eq!(on().with_thread_pool(&pool).any(|x| x == 1008), numbers.contains(&1008));
            let thirds = on().filter(|x| x % 3 == 0).with_thread_pool(&pool);
            assert_eq!(thirds.sum::<usize>(), numbers.iter().filter(|x| *x % 3 == 0).sum::<usize>());
            let first = numbers.par_iter().enumerate().with_thread_pool(&pool).find_first(|(_, x)| **x > 1000);
            assert_eq!(first, numbers.iter().enumerate().find(|(_, x)| **x > 1000));
            let doubled: Vec<usize> = numbers.par_iter().map(|x| 2 * x).with_thread_pool(&pool).collect();
            assert_eq!(doubled, numbers.iter().map(|x| 2 * x).collect::<Vec<_>>());
        }
    }
}

#[test]
fn sums_of_floats_and_parts_are_the_same_on_any_number_of_workers() {
    for n in LENGTHS {
        let floats: Vec<f64> = (0..n).map(|i| (i as f64).sqrt()).collect();
        let answers = WORKERS.map(|workers| {
            let pool = pool(workers);
            let sum = floats.par_iter().copied().with_thread_pool(&pool).sum::<f64>();
            let parts: Vec<Vec<usize>> = (0..n).into_par_iter().with_thread_pool(&pool).collect_per_thread();
            (sum.to_bits(), parts)
        });
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{n} items");
        assert_eq!(answers[0].1.concat(), (0..n).collect::<Vec<_>>());
    }
}

#[test]
fn items_are_moved_in_order() {
    let pool = pool(2);
    let texts = || (0..5000).map(|i: usize| i.to_string());
    let moved: VecDeque<String> = texts().collect::<Vec<_>>().into_par_iter().with_thread_pool(&pool).collect();
    assert!(moved.into_iter().eq(texts()));
    let pairs = (texts().collect::<Vec<_>>().into_par_iter(), (0..5000_usize).into_par_iter()).zip_eq();
    let lengths: Vec<usize> = pairs.map(|(text, i)| text.len() + i).with_thread_pool(&pool).collect();
    assert!(lengths.into_iter().eq(texts().enumerate().map(|(i, text)| text.len() + i)));
}

#[test]
fn items_that_are_borrowed_are_changed_in_place() {
    let pool = pool(2);
    let mut numbers: Vec<usize> = (0..3000).collect();
    let by = 3;
    numbers.par_iter_mut().with_thread_pool(&pool).for_each(|x| *x *= by);
    assert!(numbers.into_iter().eq((0..3000).map(|x| 3 * x)));
}

// ---------------------------------------------------------------------------------------------------------------------
// Who does it

#[test]
fn iterators_nest_in_all_that_a_pool_does() {
    within_patience(|| {
        for workers in WORKERS {
            let pool = pool(workers);
            let expected: usize = (0..100).map(|n| n * (n + 1) / 2).sum();

            let nested = (0..100_usize).into_par_iter().with_thread_pool(&pool);
            assert_eq!(nested.map(|n| sum(&pool, n + 1)).sum::<usize>(), expected);

            let g = Graph::new();
            let total = g.range(0..100_usize).map(|n| sum(&pool, n + 1)).sum::<usize>();
            let task = g.task(total.read(), |total| total + sum(&pool, 10));
            let mut run = pool.run(g).expect("a good run");
            assert_eq!((run.take(total), run.take(task)), (expected, expected + 45));

            let counted = AtomicUsize::new(0);
            let count = |n| _ = counted.fetch_add(sum(&pool, n + 1), Ordering::Relaxed);
            pool.scope(|s| (0..100).for_each(|n| s.spawn(move |_| count(n))));
            pool.for_each(0..100_usize, count);
            assert_eq!(counted.into_inner(), 2 * expected);

            let handle = pool.handle();
            let (done, answer) = mpsc::channel();
            pool.spawn(move || done.send(handle.with(|pool| sum(pool, 1000))).expect("somebody waits"));
            assert_eq!(answer.recv_timeout(*PATIENCE).expect("it is called"), Ok(499_500));
        }
    });
}

#[test]
fn a_caller_does_all_of_it_while_every_worker_is_busy() {
    within_patience(|| {
        for workers in WORKERS {
            let pool = pool(workers);
            let (busy, is_busy) = mpsc::channel();
            let (open, gates): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel::<()>()).unzip();
            for gate in gates {
                let busy = busy.clone();
                pool.spawn(move || {
                    busy.send(()).expect("somebody waits");
                    gate.recv().expect("somebody opens it");
                });
            }
            (0..workers).for_each(|_| is_busy.recv_timeout(*PATIENCE).expect("every worker takes one"));

            let here = thread::current().id();
            let numbers: Vec<usize> = (0..5000).collect();
            let on = || numbers.par_iter().copied().inspect(|_| assert_eq!(thread::current().id(), here));
            assert_eq!(on().with_thread_pool(&pool).sum::<usize>(), 12_497_500);
            assert_eq!(on().with_thread_pool(&pool).find_first(|x| *x > 4000), Some(4001));
            open.into_iter().for_each(|gate| gate.send(()).expect("it waits"));
        }
    });
}

#[test]
fn many_threads_use_one_pool() {
    within_patience(|| {
        let pool = pool(2);
        // More than there are seats for guests.
        thread::scope(|s| {
            for n in 0..12 {
                let pool = &pool;
                s.spawn(move || {
                    (0..50).for_each(|i| assert_eq!(sum(pool, 100 * n + i), (0..100 * n + i).sum::<usize>()));
                });
            }
        });
    });
}

#[test]
fn only_the_caller_and_the_workers_do_it() {
    let pool = pool(2);
    let mut known: HashSet<_> = pool.broadcast(|_| thread::current().id()).into_iter().collect();
    known.insert(thread::current().id());
    let seen = Mutex::new(HashSet::new());
    let note = |_| _ = seen.lock().expect("no panic").insert(thread::current().id());
    (0..5000_usize).into_par_iter().with_thread_pool(&pool).for_each(note);
    let seen = seen.into_inner().expect("no panic");
    assert!(!seen.is_empty() && seen.is_subset(&known), "{seen:?} of {known:?}");
}

/// A thread inherits the name of the one that makes it, as far as the kernel keeps it, unless it gets another one.
#[cfg(target_os = "linux")]
#[test]
fn no_thread_is_made() {
    let pool = Pool::builder().workers(2).oversubscribe(true).name("no_thread").build().expect("a pool");
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("a Linux").map(|task| task.expect("an entry").path());
        let name = |path: std::path::PathBuf| std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        tasks.map(name).filter(|name| name.starts_with("no_thread")).count()
    };
    let name = std::fs::read_to_string("/proc/thread-self/comm").expect("a Linux");
    pool.broadcast(|_| ());
    assert_eq!(threads(), 2 + usize::from(name.starts_with("no_thread")));
    let before = threads();
    let most = (0..100_usize).into_par_iter().with_thread_pool(&pool).map(|_| threads()).max();
    assert_eq!(most, Some(before));
}

// ---------------------------------------------------------------------------------------------------------------------
// Panics

/// Counts how many of its kind there are.
struct Counted<'a>(usize, &'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(number: usize, alive: &'a AtomicUsize) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(number, alive)
    }

    fn vec(n: usize, alive: &'a AtomicUsize) -> Vec<Self> {
        (0..n).map(|number| Self::new(number, alive)).collect()
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        // Twice dropped would wrap around.
        assert_ne!(self.1.fetch_sub(1, Ordering::Relaxed), 0);
    }
}

#[test]
fn the_first_panic_reaches_the_caller_and_every_item_is_dropped_once() {
    within_patience(|| {
        for workers in WORKERS {
            let pool = pool(workers);
            for (n, at) in [(1, 0), (2, 1), (700, 0), (700, 350), (700, 699), (5000, 0), (5000, 1023), (5000, 4999)] {
                let alive = AtomicUsize::new(0);
                // All from there on, so that later ones panic on other workers.
                let check = |item: &Counted<'_>| assert!(item.0 < at, "item {}", item.0);
                let pass = |item: Counted<'_>| {
                    check(&item);
                    Counted::new(item.0, &alive)
                };
                let items = || Counted::vec(n, &alive).into_par_iter();
                let texts = [
                    panic_text(|| items().with_thread_pool(&pool).for_each(|item| check(&item))),
                    panic_text(|| items().map(pass).with_thread_pool(&pool).collect::<Vec<_>>()),
                    panic_text(|| items().with_thread_pool(&pool).map(pass).collect_per_thread::<Vec<_>>()),
                    panic_text(|| items().with_thread_pool(&pool).reduce(|| Counted::new(0, &alive), |_, b| pass(b))),
                    panic_text(|| {
                        items().with_thread_pool(&pool).find_first(|item| pass(Counted::new(item.0, &alive)).0 > n)
                    }),
                ];
                assert_eq!(texts, [(); 5].map(|()| format!("item {at}")), "{workers} workers, {n} items");
                assert_eq!(alive.into_inner(), 0, "{workers} workers, {n} items, panic at {at}");
                assert_eq!(sum(&pool, 1000), 499_500);
            }
        }
    });
}

#[test]
fn items_that_are_not_come_to_are_dropped_once() {
    within_patience(|| {
        for workers in WORKERS {
            let pool = pool(workers);
            let alive = AtomicUsize::new(0);
            let on = || Counted::vec(5000, &alive).into_par_iter().with_thread_pool(&pool);
            assert_eq!(on().find_first(|item| item.0 >= 2000).map(|item| item.0), Some(2000));
            assert!(on().find_any(|item| item.0 == 2000).is_some());
            assert_eq!(on().try_for_each(|item| if item.0 == 2000 { Err(item.0) } else { Ok(()) }), Err(2000));
            assert!(
                Counted::vec(5000, &alive).into_par_iter().skip(100).take(50).with_thread_pool(&pool).any(|_| true)
            );
            assert_eq!(alive.into_inner(), 0);
        }
    });
}

#[test]
fn a_panic_while_parts_are_put_together_reaches_the_caller() {
    let pool = pool(2);
    let alive = AtomicUsize::new(0);
    let on = Counted::vec(5000, &alive).into_par_iter().with_thread_pool(&pool);
    let fold = || on.fold_per_thread(|| 0, |n, item| n + item.0, |_| 0, |_: usize, _| panic!("in the end"));
    assert_eq!(panic_text(fold), "in the end");
    assert_eq!(alive.into_inner(), 0);
    assert_eq!(sum(&pool, 1000), 499_500);
}

/// Panics when it is dropped, but not while unwinding.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a drop that panics");
    }
}

#[test]
fn what_was_made_before_a_panic_may_panic_when_it_is_dropped() {
    for workers in WORKERS {
        let pool = pool(workers);
        let on = (0..5000_usize).into_par_iter().with_thread_pool(&pool);
        let fold = |bomb: Bomb, i| {
            assert_ne!(i, 4999, "the last item");
            bomb
        };
        let text = panic_text(|| on.fold_per_thread(|| Bomb, fold, |_| (), |(), bomb| std::mem::forget(bomb)));
        assert!(text.contains("the last item"), "{text}");
        assert_eq!(sum(&pool, 1000), 499_500);
    }
}

/// Else what was collected so far would be dropped with places in it that nothing was written to.
#[cfg(unix)]
#[test]
fn a_drop_that_panics_among_items_not_come_to_aborts() {
    let name = "a_drop_that_panics_among_items_not_come_to_aborts";
    let text = panic_text(|| {
        alone(name, || {
            let pool = pool(2);
            let bombs: Vec<(usize, Bomb)> = (0..5000).map(|i| (i, Bomb)).collect();
            let pass = |(i, bomb): (usize, Bomb)| {
                std::mem::forget(bomb);
                assert_ne!(i, 10, "item");
                if i > 2500 {
                    thread::sleep(Duration::from_millis(50)); // else all may be through before that has been unwound
                }
                i.to_string()
            };
            _ = bombs.into_par_iter().map(pass).with_thread_pool(&pool).collect::<Vec<_>>();
        });
    });
    assert!(text.contains("SIGABRT"), "{text}");
}
