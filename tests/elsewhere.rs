//! Items that are worked on elsewhere: futures, and calls that may block.

use std::collections::BTreeSet;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

mod give_way;

use give_way::give_way;
use millstream::{Error, Graph, Pool, Retry, RunError, RunErrorKind};

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).oversubscribe(true).build().expect("threads")
}

fn failed<T>(ran: Result<T, Error>) -> RunError {
    match ran.map(drop) {
        Err(Error::Run(error)) => error,
        other => panic!("it does not fail: {other:?}"),
    }
}

/// Counts how many are there at once.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Here<'a>(&'a Crowd);

impl Crowd {
    fn enter(&self) -> Here<'_> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Here(self)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A future that is done when a thread says so, some time later.
struct Slept(Duration, Option<Arc<AtomicBool>>);

impl Future for Slept {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &self.1 {
            Some(done) if done.load(Ordering::Acquire) => Poll::Ready(()),
            Some(_) => Poll::Pending,
            None => {
                let (done, time, waker) = (Arc::new(AtomicBool::new(false)), self.0, context.waker().clone());
                self.1 = Some(Arc::clone(&done));
                thread::spawn(move || {
                    thread::sleep(time);
                    done.store(true, Ordering::Release);
                    waker.wake();
                });
                Poll::Pending
            }
        }
    }
}

fn slept(millis: u64) -> Slept {
    Slept(Duration::from_millis(millis), None)
}

#[test]
fn as_many_futures_as_allowed_are_under_way_and_results_are_in_order() {
    for (workers, limit) in [(1, 1), (1, 8), (2, 8), (2, 100)] {
        let (pool, crowd) = (pool(workers), Crowd::default());
        let g = Graph::new();
        let made = g.range(0..60_u64).map_async(limit, |x| {
            let here = crowd.enter();
            async move {
                let here = here;
                slept(x % 4).await;
                drop(here);
                x
            }
        });
        let all = made.collect();
        assert_eq!(pool.run(g).expect("no failure").take(all), (0..60).collect::<Vec<_>>());
        let most = crowd.most.load(Ordering::SeqCst);
        assert!(most <= limit && (limit > 8 || most == limit), "{most} of {limit}");
    }
}

#[test]
fn an_idle_worker_runs_what_is_ready_while_futures_wait() {
    // One worker: the graph waits for all futures at once, so it takes as long as the longest one.
    let pool = pool(1);
    let g = Graph::new();
    let count = g
        .range(0..100_u64)
        .map_async(100, |x| async move {
            slept(50).await;
            x
        })
        .count();
    let start = Instant::now();
    assert_eq!(pool.run(g).expect("no failure").take(count), 100);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn results_go_on_before_their_batch_is_complete() {
    let pool = pool(1);
    let g = Graph::new();
    let open = Arc::new(Mutex::new(Vec::<Waker>::new()));
    let is_open = Arc::new(AtomicBool::new(false));
    let (wakers, opened) = (Arc::clone(&open), Arc::clone(&is_open));
    let made = g.source(0..10).batch_size(10).map_async(10, move |x| {
        let (wakers, opened) = (Arc::clone(&wakers), Arc::clone(&opened));
        poll_fn(move |context| {
            wakers.lock().expect("no panic").push(context.waker().clone());
            if x < 5 || opened.load(Ordering::SeqCst) { Poll::Ready(x) } else { Poll::Pending }
        })
    });
    let mut out = made.output();
    let running = g.plan(&pool).expect("no defect").start();
    assert_eq!(out.by_ref().take(5).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    is_open.store(true, Ordering::SeqCst);
    open.lock().expect("no panic").drain(..).for_each(Waker::wake);
    assert_eq!(out.collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
    running.join().expect("no failure");
}

#[test]
fn what_is_not_needed_any_more_is_dropped() {
    for workers in [1, 2] {
        let (pool, crowd) = (pool(workers), Crowd::default());
        // Item 3 is never done.
        let endless = |x: u64| {
            let here = crowd.enter();
            async move {
                let here = here;
                if x == 3 {
                    pending::<()>().await;
                }
                drop(here);
                x
            }
        };
        // The stream ends before it.
        let g = Graph::new();
        let three = g.range(0..1000).map_async(16, endless).take(3).collect();
        assert_eq!(pool.run(g).expect("no failure").take(three), [0, 1, 2]);
        // An earlier item fails.
        let g = Graph::new();
        let made = g.range(0..1000).map_async(16, endless).try_map(|x| if x == 2 { Err("two") } else { Ok(x) });
        made.for_each(|_| ());
        let error = failed(pool.run(g));
        assert_eq!((error.kind(), error.item()), (&RunErrorKind::Failed, Some(2)));
        // The run is cancelled, or its time is up.
        for deadline in [false, true] {
            let g = Graph::new();
            let sum = g.range(0..1000).map_async(16, endless).sum::<u64>();
            let mut plan = g.plan(&pool).expect("no defect");
            let ended = plan.run_while(|run| {
                if deadline {
                    run.deadline(Duration::from_millis(20));
                } else {
                    thread::sleep(Duration::from_millis(20));
                    run.cancel();
                }
            });
            let kind = if deadline { RunErrorKind::DeadlineExceeded } else { RunErrorKind::Cancelled };
            assert_eq!(ended.expect_err("it does not end by itself").kind(), &kind);
            assert!(plan.try_get(&sum).is_none());
        }
        assert_eq!(crowd.now.load(Ordering::SeqCst), 0, "every future is gone");
    }
}

#[test]
fn a_future_fails_in_its_place() {
    for workers in [1, 2] {
        let pool = pool(workers);
        // The later one fails first.
        let seen = Mutex::new(Vec::new());
        let g = Graph::new();
        let made = g.range(0..100_u64).batch_size(7).try_map_async(20, |x| async move {
            slept(if x == 23 { 20 } else { 0 }).await;
            if x == 23 || x == 30 { Err(format!("item {x}")) } else { Ok(x) }
        });
        made.for_each_ordered(|x| seen.lock().expect("no panic").push(x));
        let error = failed(pool.run(g));
        assert_eq!((error.item(), error.to_string().contains("item 23")), (Some(23), true), "{error}");
        assert_eq!(*seen.lock().expect("no panic"), (0..23).collect::<Vec<_>>());
        // It panics when it is made, when it is polled, and when it is dropped.
        for way in 0..2 {
            let g = Graph::new();
            let count = g.range(0..50_u64).map_async(4, move |x| {
                assert!(way != 0 || x != 7, "trap");
                async move { assert!(way != 1 || x != 7, "trap") }
            });
            count.for_each(|()| ());
            let error = failed(pool.run(g));
            assert_eq!((error.kind(), error.item()), (&RunErrorKind::Panicked, Some(7)), "{error}");
        }
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("trap");
            }
        }
        let g = Graph::new();
        let count = g.range(0..50_u64).map_async(4, |x| {
            let bomb = Bomb;
            poll_fn(move |_| {
                let _ = &bomb;
                Poll::Ready(x)
            })
        });
        count.for_each(|_| ());
        assert_eq!(failed(pool.run(g)).item(), Some(0), "it is dropped when it is done, as part of it");
    }
}

#[test]
fn what_waits_for_futures_is_bounded() {
    // A source of big items and a slow operator that takes four at once: most items are not made before they are needed.
    let (pool, crowd) = (pool(2), Crowd::default());
    let g = Graph::new();
    let items = g.source(0..2000_u32).map(|_| crowd.enter());
    let done = items.map_async(4, |here| async move {
        slept(1).await;
        drop(here);
    });
    done.for_each_ordered(|()| ());
    pool.run(g).expect("no failure");
    let most = crowd.most.load(Ordering::SeqCst);
    assert!(most <= 200, "{most} of 2000 items at once");
}

#[test]
fn an_attempt_is_repeated_and_has_its_time() {
    let pool = pool(1);
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let run = |retry: Retry, good: usize| {
        attempts.lock().expect("no panic").clear();
        let (g, noted) = (Graph::new(), Arc::clone(&attempts));
        let made = g.source([9_u32]).try_map_async_with(1, retry, move |x| {
            let (x, noted) = (*x, Arc::clone(&noted));
            async move {
                let nth = {
                    let mut noted = noted.lock().expect("no panic");
                    noted.push(Instant::now());
                    noted.len()
                };
                if nth == 2 {
                    pending::<()>().await;
                }
                if nth > good { Ok(x) } else { Err("busy") }
            }
        });
        let all = made.collect();
        pool.run(g).map(|mut plan| plan.take(all))
    };
    let times = |n| Retry::times(n).backoff(Duration::from_millis(10)).timeout(Duration::from_millis(30));
    assert_eq!(run(times(3), 3).expect("the fourth is good"), [9]);
    let noted = attempts.lock().expect("no panic").clone();
    let waits: Vec<_> = noted.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] >= Duration::from_millis(10) && waits[1] >= Duration::from_millis(30 + 20), "{waits:?}");
    assert!(waits[2] >= Duration::from_millis(40), "{waits:?}");
    let error = run(times(2), 9).expect_err("never good");
    assert!(error.to_string().contains("busy"), "{error}");
    let error = run(times(1), 9).expect_err("the last attempt takes too long");
    assert!(error.to_string().contains("took longer than 30ms"), "{error}");
    assert_eq!(attempts.lock().expect("no panic").len(), 2);
}

#[test]
fn calls_that_block_hold_no_worker() {
    let (pool, crowd) = (pool(1), Crowd::default());
    let workers = Mutex::new(BTreeSet::new());
    let g = Graph::new();
    let made = g.range(0..40_u64).map_blocking(8, |x| {
        let _here = crowd.enter();
        workers.lock().expect("no panic").insert(thread::current().name().map(str::to_owned));
        thread::sleep(Duration::from_millis(10));
        x
    });
    let all = made.collect();
    let mut plan = g.plan(&pool).expect("no defect");
    let start = Instant::now();
    plan.run().expect("no failure");
    assert_eq!(plan.take(all), (0..40).collect::<Vec<_>>());
    assert_eq!(crowd.most.load(Ordering::SeqCst), 8);
    assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
    assert_eq!(*workers.lock().expect("no panic"), BTreeSet::from([Some("millstream-side".to_owned())]));
}

#[test]
fn a_call_that_blocks_ends_before_what_it_borrows() {
    let pool = pool(2);
    for _ in 0..20 {
        let (begun, text, crowd) = (AtomicUsize::new(0), "borrowed".to_owned(), Crowd::default());
        let g = Graph::new();
        let made = g.range(0..100_u64).try_map_blocking(4, |x| {
            begun.fetch_add(1, Ordering::SeqCst);
            let _here = crowd.enter();
            thread::sleep(Duration::from_millis(if x == 5 { 1 } else { 3 }));
            assert_eq!(text, "borrowed");
            if x == 5 { Err("five") } else { Ok(x) }
        });
        made.for_each(|_| ());
        let error = failed(pool.run(g));
        assert_eq!(error.item(), Some(5));
        assert_eq!(crowd.now.load(Ordering::SeqCst), 0, "no call is under way when the run is over");
        let then = begun.load(Ordering::SeqCst);
        drop(text);
        thread::sleep(Duration::from_millis(2));
        assert_eq!(begun.load(Ordering::SeqCst), then, "none begins later");
    }
}

#[test]
fn what_cannot_work_is_said_when_it_is_planned() {
    let pool = pool(1);
    let g = Graph::new();
    g.range(0..9_u64).map_async(0, |x| async move { x }).for_each(|_| ());
    let retry = Retry::times(1).timeout(Duration::from_secs(1));
    g.range(0..9_u64).try_map_blocking_with(1, retry, |x| Ok::<_, &str>(*x)).for_each(|_| ());
    let text = g.plan(&pool).map(drop).expect_err("two defects").to_string();
    assert!(text.contains("a limit of 0") && text.contains("cannot be stopped"), "{text}");
}

#[test]
fn a_waker_outlives_its_run_and_its_pool() {
    let wakers = Arc::new(Mutex::new(Vec::<Waker>::new()));
    {
        let pool = pool(2);
        for _ in 0..50 {
            let (g, kept) = (Graph::new(), Arc::clone(&wakers));
            let made = g.range(0..20_u64).map_async(4, move |x| {
                let (kept, mut polls) = (Arc::clone(&kept), 0);
                poll_fn(move |context| {
                    kept.lock().expect("no panic").push(context.waker().clone());
                    context.waker().wake_by_ref();
                    polls += 1;
                    if polls < 3 { Poll::Pending } else { Poll::Ready(x) }
                })
            });
            let sum = made.sum::<u64>();
            assert_eq!(pool.run(g).expect("no failure").take(sum), 190);
            wakers.lock().expect("no panic").iter().for_each(Waker::wake_by_ref);
        }
    }
    wakers.lock().expect("no panic").drain(..).for_each(Waker::wake);
}

#[test]
fn a_future_that_wakes_itself_lets_others_have_the_worker() {
    for batch in [1, 2] {
        let (pool, begun) = (pool(1), AtomicBool::new(false));
        let begun = &begun;
        let g = Graph::new();
        let answers = g.source(0..2_u64).batch_size(batch).map_async(2, move |x| async move {
            begun.fetch_or(x == 1, Ordering::SeqCst);
            while !begun.load(Ordering::SeqCst) {
                give_way().await;
            }
            x
        });
        let all = answers.collect();
        assert_eq!(pool.run(g).expect("no failure").take(all), [0, 1]);
    }
    // What was spawned has its turn, too.
    let (pool, is_set) = (pool(1), Arc::new(AtomicBool::new(false)));
    let (g, sees) = (Graph::new(), Arc::clone(&is_set));
    let polled = Arc::new(AtomicBool::new(false));
    let polls = Arc::clone(&polled);
    g.source(0..1_u64)
        .map_async(1, move |_| {
            let (sees, polls) = (Arc::clone(&sees), Arc::clone(&polls));
            async move {
                while !sees.load(Ordering::SeqCst) {
                    polls.store(true, Ordering::SeqCst);
                    give_way().await;
                }
            }
        })
        .for_each(|()| ());
    let running = g.plan(&pool).expect("no defect").start();
    while !polled.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    pool.spawn(move || is_set.store(true, Ordering::SeqCst));
    running.join().expect("no failure");
}

#[test]
fn what_never_comes_to_an_end_can_be_cancelled() {
    for retries in [false, true] {
        let (pool, g, polled) = (pool(1), Graph::new(), Arc::new(AtomicBool::new(false)));
        let polls = Arc::clone(&polled);
        if retries {
            let retry = Retry::times(u32::MAX);
            let made = g.source(0..2_u64).try_map_async_with(1, retry, move |_| {
                polls.store(true, Ordering::SeqCst);
                async { Err::<u64, _>("busy") }
            });
            made.for_each(|_| ());
        } else {
            let made = g.source(0..2_u64).map_async(1, move |_| {
                polls.store(true, Ordering::SeqCst);
                async {
                    loop {
                        give_way().await;
                    }
                }
            });
            made.for_each(|()| ());
        }
        let running = g.plan(&pool).expect("no defect").start();
        while !polled.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        running.cancel();
        assert_eq!(running.join().expect_err("it was cancelled").kind(), &RunErrorKind::Cancelled);
    }
}

#[test]
fn a_failure_behind_a_part_of_a_batch_ends_the_rest_of_it() {
    for workers in [1, 2] {
        let (pool, g) = (pool(workers), Graph::new());
        let made = g.source(0..10_u64).batch_size(5).map_async(3, |x| async move {
            if x > 6 {
                pending::<()>().await;
            }
            x
        });
        made.for_each_ordered(|x| assert!(x != 6, "trap"));
        let error = failed(pool.run(g));
        assert_eq!((error.kind(), error.item()), (&RunErrorKind::Panicked, Some(6)), "{error}");
    }
}

#[test]
fn a_failure_drops_the_later_futures_of_its_batch() {
    let (pool, g) = (pool(1), Graph::new());
    let made = g.source(0..4_u64).batch_size(4).try_map_async(4, |x| async move {
        if x > 0 {
            pending::<()>().await;
        }
        slept(20).await; // all of them are under way
        Err::<(), _>("none")
    });
    made.for_each(|()| ());
    assert_eq!(failed(pool.run(g)).item(), Some(0));
}

/// The stream ends while a future of the same batch is under way that is never done: it is dropped.
#[test]
fn an_early_end_is_heard_by_futures_that_wait() {
    for workers in [1, 2] {
        let (pool, waits) = (pool(workers), AtomicBool::new(false));
        let g = Graph::new();
        let made = g.source(0..10).batch_size(10).map_async(10, |x| {
            let waits = &waits;
            poll_fn(move |context| {
                if x == 3 {
                    waits.store(true, Ordering::SeqCst);
                } else if waits.load(Ordering::SeqCst) {
                    return Poll::Ready(x);
                }
                if x != 3 {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            })
        });
        let three = made.take(3).output();
        let running = thread::scope(|scope| {
            let mut plan = g.plan(&pool).expect("no defect");
            let ran = scope.spawn(move || three.collect::<Vec<_>>());
            plan.run_while(|_| assert_eq!(ran.join().expect("no panic"), [0, 1, 2]))
        });
        running.expect("no failure");
    }
}

/// A future that is woken several times before it is polled is polled once.
#[test]
fn a_future_hears_of_many_wake_ups_at_once() {
    let pool = pool(1);
    let polls = Arc::new(AtomicUsize::new(0));
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let is_open = Arc::new(AtomicBool::new(false));
    let g = Graph::new();
    let (count, known, opened) = (Arc::clone(&polls), Arc::clone(&waker), Arc::clone(&is_open));
    let made = g.source(0..2).batch_size(2).map_async(2, move |x| {
        let (count, known, opened) = (Arc::clone(&count), Arc::clone(&known), Arc::clone(&opened));
        poll_fn(move |context| {
            if x == 1 {
                // On the only worker, so the other future is not polled meanwhile.
                let waker = known.lock().expect("no panic").clone().expect("the first one was polled");
                (0..3).for_each(|_| waker.wake_by_ref());
                return Poll::Ready(x);
            }
            count.fetch_add(1, Ordering::SeqCst);
            *known.lock().expect("no panic") = Some(context.waker().clone());
            if opened.load(Ordering::SeqCst) { Poll::Ready(x) } else { Poll::Pending }
        })
    });
    let all = made.collect();
    let running = g.plan(&pool).expect("no defect").start();
    while polls.load(Ordering::SeqCst) < 2 {
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(20));
    assert_eq!(polls.load(Ordering::SeqCst), 2, "once more for all three");
    is_open.store(true, Ordering::SeqCst);
    let waker = waker.lock().expect("no panic").take().expect("polled");
    waker.wake();
    assert_eq!(running.join().expect("no failure").take(all), [0, 1]);
}
