//! Nobody starves, and nobody spins: what is to be begun is begun in time, however busy all others are.

#![expect(clippy::print_stdout, reason = "the figures are what the tests are for")]

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use millstream::{Graph, Pool, PoolHandle};

#[path = "alone/mod.rs"]
mod alone;
use alone::alone;

/// One test at a time: each keeps all CPUs busy.
static IN_TURNS: Mutex<()> = Mutex::new(());

/// What begins later than this does so by chance: 10 ms, the longest job, and what the system takes to run so many threads.
const IN_TIME: Duration = Duration::from_millis(500);
/// An item of the loops that keep others busy.
const ITEM: Duration = Duration::from_millis(2);

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Keeps `threads` threads from outside busy in the pool while `work` runs.
fn beside_guests<R>(pool: &Pool, threads: usize, work: impl FnOnce() -> R) -> R {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    pool.for_each(0..4, |_| spin(ITEM));
                }
            });
        }
        thread::sleep(Duration::from_millis(20));
        let result = work();
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// How long after being spawned a closure begins.
fn until_spawned_begins(pool: &Pool) -> Duration {
    let (send, receive) = mpsc::channel();
    let start = Instant::now();
    pool.spawn(move || send.send(start.elapsed()).expect("somebody waits"));
    receive.recv_timeout(Duration::from_secs(20)).expect("it begins")
}

fn check(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: {median:?} (median), {worst:?} (worst)");
    assert!(median < IN_TIME, "{what}: {times:?}");
}

#[test]
fn spawned_closures_begin_beside_any_number_of_guests() {
    let _turn = IN_TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = Pool::builder().workers(2).build().expect("a pool");
    for guests in [1, 2, 3, 8] {
        let times = beside_guests(&pool, guests, || (0..10).map(|_| until_spawned_begins(&pool)).collect());
        check(&format!("spawned beside {guests} guests"), times);
    }
}

/// Closures come as fast as one a millisecond, from outside and from the loops of guests: none waits for those before it.
#[test]
fn many_spawned_closures_begin_beside_guests() {
    let _turn = IN_TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    for inside in [false, true] {
        let pool = Pool::builder().workers(2).build().expect("a pool");
        let (handle, times) = (pool.handle(), Arc::new(Mutex::new(Vec::new())));
        let (times, spawn) = (Arc::clone(&times), || {
            let (start, times) = (Instant::now(), Arc::clone(&times));
            let begun = move || times.lock().unwrap_or_else(PoisonError::into_inner).push(start.elapsed());
            handle.spawn(begun).expect("it is open");
        });
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        pool.for_each(0..4000, |i| {
                            spin(Duration::from_micros(1));
                            if inside && i == 2000 {
                                spawn();
                            }
                        });
                    }
                });
            }
            for _ in 0..1000 {
                thread::sleep(Duration::from_millis(1));
                if !inside {
                    spawn();
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        drop(pool);
        let times = std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner));
        assert!(times.len() > 100, "{} closures", times.len());
        let last = times[times.len() - 50..].to_vec();
        let mut sorted = last.clone();
        sorted.sort_unstable();
        println!("of many, spawned inside a loop: {inside}: {:?} (median of the last 50)", sorted[25]);
        assert!(sorted[25] < Duration::from_millis(100), "spawned inside a loop: {inside}: {last:?}");
    }
}

/// There are eight seats for guests.
#[test]
fn the_ninth_thread_from_outside_begins_beside_eight_busy_ones() {
    let _turn = IN_TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let begun = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                pool.scope(|_| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    while !over.load(Ordering::Relaxed) {
                        pool.for_each(0..4, |_| spin(ITEM)); // and never leaves its seat
                    }
                });
            });
        }
        while begun.load(Ordering::SeqCst) < 8 {
            thread::yield_now();
        }
        let times = (0..10).map(|_| {
            let start = Instant::now();
            let join = pool.join(|| start.elapsed(), || ()).0;
            let g = Graph::new();
            let first = g.task((), move |()| start.elapsed());
            pool.run(g).expect("runs").take(first).max(join)
        });
        let times = times.collect();
        over.store(true, Ordering::Relaxed);
        check("a join and a run of a ninth thread", times);
    });
}

/// Each worker has a closure that spawns itself again for ever.
#[test]
fn closures_from_outside_begin_beside_closures_that_spawn_themselves() {
    fn again(handle: PoolHandle, over: Arc<AtomicBool>) {
        spin(ITEM);
        let next = handle.clone();
        if !over.load(Ordering::Relaxed) {
            let _ = next.spawn(move || again(handle, over));
        }
    }
    let _turn = IN_TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let over = Arc::new(AtomicBool::new(false));
    for _ in 0..4 {
        let (handle, over) = (pool.handle(), Arc::clone(&over));
        pool.spawn(move || again(handle, over));
    }
    let times = (0..10).map(|_| until_spawned_begins(&pool)).collect();
    check("spawned beside closures that spawn themselves", times);
    over.store(true, Ordering::Relaxed);
}

/// All workers are in one long loop of short items that nobody else calls.
#[test]
fn closures_begin_beside_one_long_loop() {
    let _turn = IN_TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = &Pool::builder().workers(2).oversubscribe(true).build().expect("a pool");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            pool.for_each(0..100_000, |_| {
                if !over.load(Ordering::Relaxed) {
                    spin(Duration::from_micros(200));
                }
            });
        });
        thread::sleep(Duration::from_millis(20));
        let times = (0..10).map(|_| until_spawned_begins(pool)).collect();
        over.store(true, Ordering::Relaxed);
        check("spawned beside one long loop", times);
    });
}

/// CPU time of this process, in microseconds.
#[cfg(unix)]
#[expect(unsafe_code, reason = "the system's call")]
fn cpu_time() -> u64 {
    // SAFETY: plain data, for which zeros are good.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is there.
    let answer = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    assert_eq!(answer, 0);
    let micros = |time: libc::timeval| time.tv_sec.cast_unsigned() * 1_000_000 + time.tv_usec.cast_unsigned();
    micros(usage.ru_utime) + micros(usage.ru_stime)
}

/// A pool that has more workers than there are CPUs, some of whom are too many.
#[test]
#[cfg(unix)]
fn broadcasts_come_to_workers_that_are_too_many() {
    alone("broadcasts_come_to_workers_that_are_too_many", || {
        let pool = Pool::builder().workers(64).elastic(true).build().expect("a pool");
        assert!(pool.placement().active() < 64, "a machine with fewer CPUs");
        let start = Instant::now();
        for _ in 0..100 {
            assert_eq!(pool.broadcast(|worker| worker), Vec::from_iter(0..64));
        }
        println!("100 broadcasts to 64 workers: {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        thread::sleep(Duration::from_millis(100));
        let (before, start) = (cpu_time(), Instant::now());
        thread::sleep(Duration::from_secs(1));
        let (used, wall) = (cpu_time() - before, start.elapsed());
        println!("idle for {wall:?}: {used} us of CPU time");
        assert!(used < 50_000, "an idle pool used {used} us of CPU time in {wall:?}");
    });
}

/// The time of a `block_in_place` with nothing to do, in nanoseconds: the least of many.
fn blocking(workers: usize) -> u64 {
    const CALLS: u32 = 200;
    let pool = Pool::builder().workers(workers).build().expect("a pool");
    let (handle, (send, receive)) = (pool.handle(), mpsc::channel());
    thread::sleep(Duration::from_millis(20)); // until the others sleep
    pool.spawn(move || {
        let least = handle.with(|pool| {
            let time = |_| {
                let start = Instant::now();
                (0..CALLS).for_each(|_| pool.block_in_place(|| ()));
                start.elapsed() / CALLS
            };
            (0..50).map(time).min()
        });
        send.send(least.expect("an open pool").expect("some")).expect("somebody waits");
    });
    u64::try_from(receive.recv().expect("it is called").as_nanos()).expect("short")
}

#[test]
fn blocking_costs_the_same_however_many_workers_there_are() {
    let _turn = IN_TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let (few, many) = (blocking(2), blocking(256));
    println!("block_in_place: {few} ns with 2 workers, {many} ns with 256");
    assert!(many <= 3 * few + 200, "{few} ns with 2 workers, {many} ns with 256");
}

/// Guests come and go at the limit, each time with a closure that blocks: nobody is forgotten.
#[test]
fn nobody_is_forgotten_while_places_come_and_go() {
    let _turn = IN_TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = &Pool::builder().workers(4).build().expect("a pool");
    let (called, waits) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for round in 0..300_u64 {
                    pool.scope(|s| {
                        for _ in 0..3 {
                            s.spawn(|_| _ = called.fetch_add(1, Ordering::Relaxed));
                        }
                        pool.join(
                            || pool.block_in_place(|| _ = waits.fetch_add(1, Ordering::Relaxed)),
                            || {
                                if round % 7 == 0 {
                                    spin(Duration::from_micros(50));
                                }
                            },
                        );
                    });
                }
            });
        }
    });
    assert_eq!((called.into_inner(), waits.into_inner()), (6 * 300 * 3, 6 * 300));
}

/// A loop that goes on until a flag is set, as often as there are workers, beside the tasks that set it.
fn waits_for_others_of_its_run(workers: usize, is_loop: bool) {
    let pool = Pool::builder().workers(workers).oversubscribe(true).build().expect("a pool");
    let count = AtomicU64::new(0);
    let g = Graph::new();
    if is_loop {
        g.repeat(500, |g| drop(g.task((), |()| count.fetch_add(1, Ordering::Relaxed))));
    } else {
        drop(g.task((), |()| count.store(500, Ordering::Relaxed)));
    }
    let loops: Vec<_> = (0..workers).map(|_| g.data(0_u64)).collect();
    for times in &loops {
        g.repeat_until(
            times,
            |_| count.load(Ordering::Relaxed) >= 500,
            |g| {
                g.task(times.write(), |times| *times += 1);
                drop(g.task(times.read(), |_| ()));
            },
        );
    }
    let mut plan = g.plan(&pool).expect("plans");
    for _ in 0..3 {
        count.store(0, Ordering::Relaxed);
        plan.run_while(|run| run.deadline(Duration::from_secs(20))).expect("the flag is set in the end");
    }
}

#[test]
fn loops_let_other_tasks_of_their_run_begin() {
    for workers in [1, 2, 4] {
        waits_for_others_of_its_run(workers, false);
        waits_for_others_of_its_run(workers, true);
    }
}
