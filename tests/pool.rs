//! What a pool promises, seen from outside: it costs nothing when idle, ends with its threads, and stands nesting, panics
//! and many users at once.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use millstream::{Error, Graph, Pool, RunErrorKind};

#[path = "patience/mod.rs"]
mod patience;
use patience::{PATIENCE, within_patience};

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).oversubscribe(true).build().expect("a pool")
}

/// What a panic of `work` throws, as text.
fn panic_text<R>(work: impl FnOnce() -> R) -> &'static str {
    let Err(payload) = catch_unwind(AssertUnwindSafe(work)) else { panic!("it should panic") };
    payload.downcast::<&'static str>().map_or("another payload", |text| *text)
}

#[test]
fn a_pool_may_be_used_where_a_panic_is_caught() {
    let pool = pool(2);
    let text = catch_unwind(|| pool.join(|| 1, || panic!("a half"))).expect_err("it panics");
    assert_eq!(text.downcast_ref(), Some(&"a half"));
    assert_eq!(catch_unwind(|| pool.join(|| 1, || 2)).ok(), Some((1, 2)));
}

/// The sum of `0..n` by joins all the way down.
fn sum_by_joins(pool: &Pool, start: u64, end: u64) -> u64 {
    if end - start <= 4 {
        return (start..end).sum();
    }
    let middle = start.midpoint(end);
    let (left, right) = pool.join(|| sum_by_joins(pool, start, middle), || sum_by_joins(pool, middle, end));
    left + right
}

/// The sum of `0..n` by a loop.
fn sum_by_a_loop(pool: &Pool, n: u64) -> u64 {
    pool.aggregate(0..n, || 0, |sum, i| sum + i, |a, b| a + b)
}

/// Shows that a pool still does all it should.
fn assert_usable(pool: &Pool) {
    assert_eq!(sum_by_joins(pool, 0, 1000), 499_500);
    assert_eq!(sum_by_a_loop(pool, 1000), 499_500);
    let count = AtomicUsize::new(0);
    pool.scope(|s| {
        for _ in 0..10 {
            s.spawn(|_| _ = count.fetch_add(1, Ordering::Relaxed));
        }
    });
    assert_eq!(count.into_inner(), 10);
    let g = Graph::new();
    let sum = g.range(0..1000_u64).map(|x| 2 * x).sum::<u64>();
    assert_eq!(pool.run(g).expect("a good run").take(sum), 999_000);
}

#[cfg(target_os = "linux")]
mod threads {
    //! The process's threads, as the kernel counts them.

    use super::*;

    /// The folders of the threads whose names begin with `prefix`.
    fn named(prefix: &str) -> Vec<std::path::PathBuf> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("a Linux").map(|task| task.expect("an entry").path());
        // A thread may end between the two looks.
        let is_named = |path: &std::path::PathBuf| {
            std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with(prefix))
        };
        tasks.filter(is_named).collect()
    }

    /// CPU time so far, and how often the threads went to sleep.
    fn spent(prefix: &str) -> (Duration, u64) {
        let (mut time, mut sleeps) = (0, 0);
        for thread in named(prefix) {
            let read = |file| std::fs::read_to_string(thread.join(file)).expect("a thread of a living pool");
            let nanos = |text: String| text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
            time += nanos(read("schedstat")).expect("nanoseconds on a CPU come first");
            let status = read("status");
            let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            sleeps += switches.and_then(|count| count.trim().parse::<u64>().ok()).expect("a count");
        }
        (Duration::from_nanos(time), sleeps)
    }

    #[test]
    fn an_idle_pool_uses_no_cpu() {
        let pool = Pool::builder().workers(4).oversubscribe(true).name("idle-cpu").build().expect("a pool");
        assert_usable(&pool);
        assert_eq!(named("idle-cpu").len(), 4);
        let deadline = Instant::now() + *PATIENCE;
        let mut before = spent("idle-cpu");
        loop {
            // The workers spin for some microseconds before they sleep, or longer if the machine is busy.
            thread::sleep(Duration::from_millis(20));
            let now = spent("idle-cpu");
            if now == before {
                break;
            }
            assert!(Instant::now() < deadline, "the workers do not go to sleep");
            before = now;
        }
        thread::sleep(Duration::from_secs(2));
        assert_eq!(spent("idle-cpu"), before, "CPU time, and sleeps, before and after 2 s");
        assert_usable(&pool);
    }

    thread_local! {
        /// Has a destructor that takes a while.
        static LAST_WORDS: std::cell::Cell<Option<Last<'static>>> = const { std::cell::Cell::new(None) };
    }
    static SPOKEN: AtomicUsize = AtomicUsize::new(0);

    struct Last<'a>(&'a AtomicUsize);

    impl Drop for Last<'_> {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(50));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_dropped_pool_has_no_threads_left() {
        let pool = Pool::builder().workers(3).oversubscribe(true).name("drop-ends").build().expect("a pool");
        // Three threads at the same time: this one and two workers at least.
        let barrier = Barrier::new(3);
        let touched = Mutex::new(HashSet::new());
        let g = Graph::new();
        for _ in 0..3 {
            g.task((), |()| {
                barrier.wait();
                if thread::current().name().is_some_and(|name| name.starts_with("drop-ends")) {
                    LAST_WORDS.set(Some(Last(&SPOKEN)));
                    touched.lock().expect("no panic").insert(thread::current().id());
                }
            });
        }
        pool.run(g).expect("a good run");
        drop(pool);
        let spoken = SPOKEN.load(Ordering::SeqCst);
        let touched = touched.into_inner().expect("no panic").len();
        assert!(touched >= 2, "{touched} workers");
        assert_eq!(spoken, touched, "thread-locals of the workers that were dropped by then");
        // The kernel tells the joiner that a thread has ended a moment before it takes it out of the list.
        let deadline = Instant::now() + *PATIENCE;
        while !named("drop-ends").is_empty() {
            assert!(Instant::now() < deadline, "threads left: {:?}", named("drop-ends"));
            thread::yield_now();
        }
    }
}

#[test]
fn dropping_a_pool_cancels_its_streams() {
    within_patience(|| {
        let pool = pool(2);
        let (begun, begins) = mpsc::channel();
        let g = Graph::new();
        g.source_fn(|| 0_u64..).for_each(move |x| {
            if x == 1000 {
                begun.send(()).expect("somebody waits");
            }
        });
        let mut plan = g.plan(&pool).expect("a sound graph");
        let run = thread::spawn(move || {
            let first = plan.run().expect_err("an endless source");
            (first, plan.run().expect_err("a closed pool"))
        });
        begins.recv().expect("the run gets there");
        drop(pool);
        let (first, second) = run.join().expect("no panic");
        assert_eq!(*first.kind(), RunErrorKind::Cancelled);
        assert_eq!(first.operator(), None);
        let made = &first.report().operators()[0]; // batches before the one that item 1000 is in may have been dropped
        assert!(made.items_in() + made.items_dropped() > 1000, "{}", first.report());
        assert_eq!(*second.kind(), RunErrorKind::Closed);
    });
}

#[test]
fn dropping_a_pool_waits_for_tasks_and_begins_no_more() {
    within_patience(|| {
        let pool = pool(2);
        let (begun, begins) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel();
        let g = Graph::new();
        let first = g.task((), move |()| {
            begun.send(()).expect("somebody waits");
            goes_on.recv().expect("it will be told");
        });
        let second = g.task(first.read(), |()| ());
        let mut plan = g.plan(&pool).expect("a sound graph");
        let mut probe = Graph::new().plan(&pool).expect("a sound graph");
        let run = thread::spawn(move || {
            let error = plan.run().expect_err("it is cancelled");
            (error, plan.try_get(&first).is_some(), plan.try_get(&second).is_some())
        });
        begins.recv().expect("the run gets there");
        let dropping = thread::spawn(move || drop(pool));
        while probe.run().is_ok() {} // once this fails the pool is closing
        assert!(!dropping.is_finished(), "a task is under way");
        go_on.send(()).expect("the task waits");
        let (error, first, second) = run.join().expect("no panic");
        assert_eq!(*error.kind(), RunErrorKind::Cancelled);
        assert!(first, "a task that had begun ends");
        assert!(!second, "a task that had not begun does not");
        dropping.join().expect("no panic");
    });
}

#[test]
fn a_plan_whose_pool_was_dropped_is_closed() {
    let pool = pool(1);
    let g = Graph::new();
    let sum = g.range(0..10_u32).sum::<u32>();
    let mut plan = g.plan(&pool).expect("a sound graph");
    plan.run().expect("a good run");
    drop(pool);
    let error = plan.run().expect_err("the pool is gone");
    assert_eq!(*error.kind(), RunErrorKind::Closed);
    assert!(error.to_string().contains("pool"), "{error}");
    assert!(plan.try_get(&sum).is_none(), "the result of the run before is no result of this one");
}

/// More threads from outside than can work in a pool at once.
#[test]
fn many_threads_use_one_pool() {
    within_patience(|| {
        const THREADS: u64 = 20;
        let pool = pool(2);
        let barrier = Barrier::new(20);
        thread::scope(|threads| {
            for thread in 0..THREADS {
                let (pool, barrier) = (&pool, &barrier);
                threads.spawn(move || {
                    let n = 500 + thread;
                    let g = Graph::new();
                    let odd = g.source_fn(|| 0..n).filter(|x| x % 2 == 1).fold(0, |sum, x| sum + x);
                    let squares = g.task(odd.read(), |odd| odd * odd);
                    let mut plan = g.plan(pool).expect("a sound graph");
                    barrier.wait();
                    for _ in 0..5 {
                        assert_eq!(sum_by_joins(pool, 0, n), n * (n - 1) / 2);
                        assert_eq!(sum_by_a_loop(pool, 10 * n), 5 * n * (10 * n - 1));
                        let mut places = vec![0; 50];
                        pool.scope(|s| {
                            for (i, place) in places.iter_mut().enumerate() {
                                s.spawn(move |_| *place = i);
                            }
                        });
                        assert!(places.iter().enumerate().all(|(i, place)| i == *place));
                        plan.run().expect("a good run");
                        let expected = (0..n).filter(|x| x % 2 == 1).sum::<u64>();
                        assert_eq!((*plan.get(&odd), *plan.get(&squares)), (expected, expected * expected));
                        assert_eq!(panic_text(|| pool.join(|| panic_any("here"), || ())), "here");
                    }
                });
            }
        });
    });
}

#[test]
fn a_graph_runs_inside_an_operator() {
    within_patience(|| {
        let pool = pool(2);
        let g = Graph::new();
        let sums = g
            .range(1..50_u64)
            .map(|n| {
                let inner = Graph::new();
                let sum = inner.source(0..n).map(|x| x + 1).sum::<u64>();
                pool.run(inner).expect("a good run").take(sum)
            })
            .collect();
        let nested = g.task(sums.read(), |sums| {
            let inner = Graph::new();
            let sum = inner.slice(sums).map(|x| *x).sum::<u64>();
            pool.run(inner).expect("a good run").take(sum)
        });
        let mut run = pool.run(g).expect("a good run");
        let expected: Vec<u64> = (1..50).map(|n| n * (n + 1) / 2).collect();
        assert_eq!(run.take(nested), expected.iter().sum::<u64>());
        assert_eq!(run.take(sums), expected);
    });
}

#[test]
fn joins_and_scopes_inside_each_other_and_in_operators() {
    within_patience(|| {
        let pool = pool(2);
        let g = Graph::new();
        let sum = g
            .range(0..64_u64)
            .map(|n| {
                let spawned = AtomicUsize::new(0);
                let (joined, ()) = pool.join(
                    || sum_by_joins(&pool, 0, n + 1),
                    || {
                        pool.scope(|s| {
                            for _ in 0..4 {
                                s.spawn(|s| {
                                    s.spawn(|_| _ = spawned.fetch_add(1, Ordering::Relaxed));
                                    let (a, b) = pool.join(|| 1, || 2);
                                    spawned.fetch_add(a + b, Ordering::Relaxed);
                                });
                            }
                        });
                    },
                );
                assert_eq!(spawned.into_inner(), 16);
                joined
            })
            .sum::<u64>();
        assert_eq!(pool.run(g).expect("a good run").take(sum), (0..64).map(|n| n * (n + 1) / 2).sum());
    });
}

/// A waiting stack that runs other work deadlocks here: that work takes the lock too (rayon#592).
#[test]
fn loops_inside_each_other_and_in_operators() {
    within_patience(|| {
        let pool = pool(2);
        let sums = |n: u64| pool.map_collect(0..n, |i| sum_by_a_loop(&pool, 100 * i));
        let g = Graph::new();
        let made = g.range(0..40).map(sums).collect();
        let mut run = pool.run(g).expect("a good run");
        let expected: Vec<u64> = (0..40_u64).map(|i| 100 * i * (100 * i).saturating_sub(1) / 2).collect();
        assert!(run.take(made).iter().enumerate().all(|(n, sums)| *sums == expected[..n]));

        let mut table = vec![[0; 300]; 300];
        pool.for_each_mut(&mut table, |i, row| pool.for_each_mut(row, |j, place| *place = i * j));
        assert!((0..300).all(|i| (0..300).all(|j| table[i][j] == i * j)));
    });
}

/// The answer of a reduction depends on nothing but its items.
#[test]
fn floats_add_up_to_the_same_bits() {
    let items: Vec<f64> = (0..100_000).map(|i| f64::from(i).sqrt()).collect();
    let sum = |workers| {
        let pool = pool(workers);
        (0..20)
            .map(|_| pool.aggregate(&items, || 0.0, |sum, x| sum + x, |a, b| a + b).to_bits())
            .collect::<HashSet<_>>()
    };
    let alone = sum(1);
    assert_eq!((alone.len(), sum(2), sum(5)), (1, alone.clone(), alone));
}

#[test]
fn a_panic_leaves_a_loop_after_all_have_ended() {
    let pool = pool(2);
    let under_way = AtomicUsize::new(0);
    for _ in 0..20 {
        let text = panic_text(|| {
            pool.for_each(0..10_000, |i| {
                under_way.fetch_add(1, Ordering::Relaxed);
                let end = if i == 700 { Some("first") } else { (i > 700 && i % 100 == 0).then_some("later") };
                under_way.fetch_sub(1, Ordering::Relaxed);
                if let Some(text) = end {
                    panic_any(text);
                }
            });
        });
        assert_eq!((text, under_way.load(Ordering::Relaxed)), ("first", 0));
        let text = panic_text(|| {
            pool.aggregate(0..10_000, || (), |(), _| (), |(), ()| panic_any("combine"));
        });
        assert_eq!(text, "combine");
    }
    assert_usable(&pool);
}

#[test]
fn a_lock_held_across_a_join_is_safe() {
    within_patience(|| {
        let pool = pool(4);
        let lock = Mutex::new(0);
        let hold = |_| {
            let mut held = lock.lock().expect("no panic");
            let (a, b) = pool.join(|| sum_by_joins(&pool, 0, 40), || sum_by_joins(&pool, 0, 50));
            *held += a + b;
        };
        let g = Graph::new();
        g.range(0..300).batch_size(1).for_each(hold);
        pool.run(g).expect("a good run");
        pool.scope(|s| {
            for i in 0..300 {
                s.spawn(move |_| hold(i));
            }
        });
        thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| (0..100).for_each(hold));
            }
        });
        assert_eq!(*lock.lock().expect("no panic"), 1000 * (780 + 1225));
    });
}

#[test]
fn the_first_closure_of_a_join_panics() {
    let pool = pool(2);
    let text = panic_text(|| pool.join(|| panic_any("first"), || 2));
    assert_eq!(text, "first");
    assert_usable(&pool);
    // The second one runs elsewhere already: the join does not end before it.
    let (barrier, ended) = (Barrier::new(2), AtomicBool::new(false));
    let text = panic_text(|| {
        pool.join(
            || {
                barrier.wait();
                panic_any("first")
            },
            || {
                barrier.wait();
                thread::sleep(Duration::from_millis(20));
                ended.store(true, Ordering::Relaxed);
            },
        )
    });
    assert_eq!((text, ended.into_inner()), ("first", true));
    assert_usable(&pool);
}

#[test]
fn the_second_closure_of_a_join_panics() {
    let pool = pool(2);
    let text = panic_text(|| pool.join(|| 1, || panic_any("second")));
    assert_eq!(text, "second");
    let barrier = Barrier::new(2);
    let text = panic_text(|| {
        pool.join(
            || _ = barrier.wait(),
            || {
                barrier.wait();
                panic_any("second, elsewhere")
            },
        )
    });
    assert_eq!(text, "second, elsewhere");
    assert_usable(&pool);
}

#[test]
fn both_closures_of_a_join_panic() {
    let pool = pool(2);
    let barrier = Barrier::new(2);
    let text = panic_text(|| {
        pool.join(
            || {
                barrier.wait();
                panic_any("first")
            },
            || {
                barrier.wait();
                panic_any("second")
            },
        )
    });
    assert_eq!(text, "first");
    assert_usable(&pool);
}

#[test]
fn a_panic_leaves_a_scope_after_all_have_ended() {
    let pool = pool(2);
    let ended = AtomicUsize::new(0);
    let text = panic_text(|| {
        pool.scope(|s| {
            for _ in 0..20 {
                s.spawn(|_| _ = ended.fetch_add(1, Ordering::Relaxed));
            }
            panic_any("body")
        })
    });
    assert_eq!((text, ended.swap(0, Ordering::Relaxed)), ("body", 20));
    assert_usable(&pool);

    let text = panic_text(|| {
        pool.scope(|s| {
            for i in 0..20 {
                let ended = &ended;
                s.spawn(move |s| {
                    s.spawn(|_| _ = ended.fetch_add(1, Ordering::Relaxed));
                    if i % 2 == 0 {
                        panic_any("spawned");
                    }
                });
            }
        });
    });
    assert_eq!((text, ended.load(Ordering::Relaxed)), ("spawned", 20));
    assert_usable(&pool);
}

#[test]
fn a_panic_of_an_operator_is_an_answer() {
    let pool = pool(2);
    let g = Graph::new();
    g.range(0..1000_u32).map(|x| if x == 77 { panic_any("odd one") } else { x }).named("picky").for_each(drop);
    let Error::Run(error) = pool.run(g).expect_err("it panics") else { panic!("a failure of the run") };
    assert_eq!((error.kind(), error.operator(), error.item()), (&RunErrorKind::Panicked, Some("picky"), Some(77)));
    let payload = error.into_panic().expect("it carries the payload");
    assert_eq!(payload.downcast_ref(), Some(&"odd one"));
    assert_usable(&pool);
}

#[test]
fn a_pool_that_cannot_be_says_why() {
    let why = |builder: millstream::PoolBuilder| match builder.build() {
        Err(Error::Pool(error)) => error.to_string(),
        other => panic!("a pool error, not {other:?}"),
    };
    let none = why(Pool::builder().workers(0));
    assert!(none.contains("not 0") && none.contains("worker"), "{none}");
    let most = why(Pool::builder().workers(1 << 20));
    assert!(most.contains("not 1048576"), "{most}");
    let most = why(Pool::builder().workers(usize::MAX));
    assert!(most.contains(&usize::MAX.to_string()), "{most}");
    let zero = why(Pool::builder().workers(1).name("ren\0der"));
    assert!(zero.contains(r#""ren\0der""#) && zero.contains("zero byte"), "{zero}");
}

/// What a thief has made lies where the closure was, or on the heap: by its size and its alignment.
#[test]
fn results_of_any_size_come_back_from_thieves() {
    #[derive(Debug, PartialEq)]
    #[repr(align(64))]
    struct Aligned(u8);

    fn stolen<R: Send>(pool: &Pool, make: impl FnOnce() -> R + Send) -> R {
        let both = Barrier::new(2);
        let second = || {
            both.wait();
            make()
        };
        pool.join(|| _ = both.wait(), second).1
    }
    let pool = Pool::builder().workers(2).oversubscribe(true).build().expect("threads");
    for round in 0..100 {
        stolen(&pool, || ());
        assert_eq!(stolen(&pool, || round), round);
        assert_eq!(stolen(&pool, || round.to_string()), round.to_string());
        assert_eq!(stolen(&pool, || [round; 1000]), [round; 1000]);
        assert_eq!(stolen(&pool, || Aligned(7)), Aligned(7));
        let large = || stolen(&pool, || if round < 100 { panic!("a large one") } else { [round; 1000] });
        let panic = catch_unwind(AssertUnwindSafe(large)).expect_err("it panics");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"a large one"));
    }
}
