//! Whatever is queued is begun soon by a worker that has nothing else to do, whatever its owner does meanwhile.
//!
//! In each shape two closures are to run at the same time, of which one is queued by the thread that runs the other one, and
//! calls nothing of the pool until both have met. The time between the two beginnings is printed.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use millstream::{Graph, Idle, Pool, PoolHandle};

/// One test at a time: each keeps all CPUs busy.
static ALONE: Mutex<()> = Mutex::new(());

const ROUNDS: usize = 10;
/// Neither of two that are to meet waits for longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The median of the times in a shape, on a machine that has more to do: some slices of the system's scheduler.
const SOON: Duration = Duration::from_millis(20);

/// Two closures that wait for each other.
struct Meeting {
    begun: AtomicUsize,
    start: Instant,
    /// When each began, in nanoseconds since the start.
    times: [AtomicU64; 2],
}

impl Meeting {
    fn new() -> Self {
        let times = [(); 2].map(|()| AtomicU64::new(0));
        Self { begun: AtomicUsize::new(0), start: Instant::now(), times }
    }

    /// Takes long, without a call into the pool: until the other one has begun.
    fn long(&self) {
        let now = self.start.elapsed();
        let one = self.begun.fetch_add(1, Ordering::SeqCst);
        if let Some(time) = self.times.get(one) {
            time.store(u64::try_from(now.as_nanos()).expect("a few seconds"), Ordering::SeqCst);
        }
        while self.begun.load(Ordering::SeqCst) < 2 && self.start.elapsed() < PATIENCE {
            thread::yield_now();
        }
    }

    /// How long after the first the second one began; none: it did not come in time.
    fn apart(&self) -> Option<Duration> {
        let [first, second] = [0, 1].map(|one: usize| self.times[one].load(Ordering::SeqCst));
        let met = self.start.elapsed() < PATIENCE && self.begun.load(Ordering::SeqCst) >= 2;
        met.then(|| Duration::from_nanos(second.abs_diff(first)))
    }
}

type Shape = fn(&Pool, &Meeting);

fn for_about(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Always the same join in the same join.
#[inline(never)]
fn nested(pool: &Pool, first: &(dyn Fn() + Sync), second: &(dyn Fn() + Sync)) {
    pool.join(|| pool.join(first, second), || ());
}

fn tasks(pool: &Pool, meeting: &Meeting, tiny: usize) {
    let g = Graph::new();
    let before = g.data(0);
    g.task(before.write(), |before| *before = 1);
    for _ in 0..2 {
        g.task(before.read(), |_| meeting.long());
    }
    for _ in 0..tiny {
        let own = g.data(0);
        g.task(own.write(), |own| *own = 1);
    }
    pool.run(g).expect("runs");
}

/// So many tasks that were short in all runs before, and all workers asleep. Now the first one and one other take long.
fn tasks_again(pool: &Pool, meeting: &Meeting, count: usize, other: usize) {
    let meets = AtomicBool::new(false);
    let g = Graph::new();
    for i in 0..count {
        let meets = &meets;
        g.task((), move |()| {
            if (i == 0 || i == other) && meets.load(Ordering::SeqCst) {
                meeting.long();
            }
        });
    }
    let mut plan = g.plan(pool).expect("a sound graph");
    (0..20).for_each(|_| plan.run().expect("runs"));
    thread::sleep(Duration::from_millis(2));
    meets.store(true, Ordering::SeqCst);
    plan.run().expect("runs");
}

/// Calls `long` for two of `count` items.
fn two_of(count: usize, meeting: &Meeting) -> impl Fn(usize) + Sync + '_ {
    move |i| {
        if i == 0 || i == count / 3 {
            meeting.long();
        }
    }
}

const SHAPES: &[(&str, Shape)] = &[
    ("join in a join", |p, m| _ = p.join(|| p.join(|| m.long(), || m.long()), || ())),
    ("join in a join, beside 50 us", |p, m| {
        p.join(|| p.join(|| m.long(), || m.long()), || for_about(Duration::from_micros(50)));
    }),
    ("join in a join, beside 1 ms", |p, m| {
        p.join(|| p.join(|| m.long(), || m.long()), || for_about(Duration::from_millis(1)));
    }),
    ("three joins deep, the outer ones beside nothing", |p, m| {
        p.join(|| p.join(|| p.join(|| m.long(), || m.long()), || ()), || ());
    }),
    ("join in the second closure of a join", |p, m| {
        p.join(|| (), || p.join(|| m.long(), || m.long()));
    }),
    ("the second closure of a join outside a loop", |p, m| {
        p.join(
            || {
                p.for_each(0..10, |i| {
                    if i == 0 {
                        m.long();
                    }
                });
            },
            || m.long(),
        );
    }),
    ("loop in a join", |p, m| _ = p.join(|| p.for_each(0..2, |_| m.long()), || ())),
    ("items of one loop", |p, m| p.for_each(0..1000, two_of(1000, m))),
    ("items of one loop, few", |p, m| p.for_each(0..4, two_of(4, m))),
    ("items of a loop in a loop", |p, m| {
        p.for_each(0..100, |i| {
            if i == 7 {
                p.for_each(0..30, two_of(30, m));
            }
        });
    }),
    ("items of a collection", |p, m| _ = p.map_collect(0..5000, two_of(5000, m))),
    ("items of a reduction in a join", |p, m| {
        p.join(|| p.aggregate(0..100, || (), |(), i| two_of(100, m)(i), |(), ()| ()), || ());
    }),
    ("join in a scope", |p, m| {
        p.scope(|s| {
            s.spawn(|_| ());
            p.join(|| m.long(), || m.long());
        });
    }),
    ("join in a loop, first item", |p, m| {
        p.for_each(0..1000, |i| {
            if i == 0 {
                _ = p.join(|| m.long(), || m.long());
            }
        });
    }),
    ("join in a loop, last item", |p, m| {
        p.for_each(0..1000, |i| {
            if i == 999 {
                _ = p.join(|| m.long(), || m.long());
            }
        });
    }),
    ("scope in a join, body and spawned", |p, m| {
        p.join(
            || {
                p.scope(|s| {
                    s.spawn(|_| m.long());
                    m.long();
                });
            },
            || (),
        );
    }),
    ("spawned into an outer scope from a join", |p, m| {
        p.scope(|s| {
            p.join(
                || {
                    s.spawn(|_| m.long());
                    m.long();
                },
                || (),
            );
        });
    }),
    ("spawned by what was spawned", |p, m| {
        p.scope(|s| {
            s.spawn(|s| {
                s.spawn(|_| ());
                s.spawn(|_| m.long());
                s.spawn(|_| ());
                m.long();
            });
        });
    }),
    ("tasks beside tiny ones", |p, m| tasks(p, m, 3)),
    ("tasks beside many tiny ones", |p, m| tasks(p, m, 300)),
    ("tasks that were short before", |p, m| tasks_again(p, m, 16, 1)),
    ("three tasks that were short before, the first and the last", |p, m| tasks_again(p, m, 3, 2)),
    ("items of a range", |p, m| {
        let g = Graph::new();
        g.range(0..1000_usize).for_each(two_of(1000, m));
        p.run(g).expect("runs");
    }),
    ("join in an item of a range", |p, m| {
        let g = Graph::new();
        g.range(0..1000_usize).for_each(|i| {
            if i == 0 {
                _ = p.join(|| m.long(), || m.long());
            }
        });
        p.run(g).expect("runs");
    }),
    ("joins that were short 20 times", |p, m| {
        (0..20).for_each(|_| nested(p, &|| (), &|| ()));
        nested(p, &|| m.long(), &|| m.long());
    }),
    ("a run in a join", |p, m| {
        p.join(|| tasks(p, m, 3), || ());
    }),
];

/// Runs a shape some times, on this thread or on a worker; how far apart the two began.
fn times(pool: &Pool, shape: Shape, on_worker: bool) -> Vec<Option<Duration>> {
    let round = |_| {
        let once = move |pool: &Pool| {
            let meeting = Meeting::new();
            shape(pool, &meeting);
            meeting.apart()
        };
        if !on_worker {
            return once(pool);
        }
        let (send, receive) = mpsc::channel();
        let handle: PoolHandle = pool.handle();
        pool.spawn(move || send.send(handle.with(once).expect("it is open")).expect("somebody waits"));
        receive.recv().expect("it is called")
    };
    (0..ROUNDS).map(round).collect()
}

#[expect(clippy::print_stdout, reason = "the figures are what the test is for")]
fn all_meet(workers: usize, idle: Idle) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = Pool::builder().workers(workers).oversubscribe(true).idle(idle).build().expect("a pool");
    for (name, shape) in SHAPES {
        for on_worker in [false, true] {
            let times = times(&pool, *shape, on_worker);
            let met: Vec<Duration> = times.iter().flatten().copied().collect();
            let place = if on_worker { "on a worker" } else { "from outside" };
            assert_eq!(
                met.len(),
                ROUNDS,
                "{workers} workers, {name}, {place}: one waited beside an idle worker, of {ROUNDS}"
            );
            let mut sorted = met;
            sorted.sort_unstable();
            let (median, worst) = (sorted[ROUNDS / 2], sorted[ROUNDS - 1]);
            println!("{workers} workers, {idle:?}, {place}: {median:>9.1?} {worst:>9.1?}  {name}");
            assert!(median < SOON, "{workers} workers, {name}, {place}: {sorted:?}");
        }
    }
}

#[test]
fn two_workers_meet() {
    all_meet(2, Idle::Balanced);
}

#[test]
fn four_workers_meet() {
    all_meet(4, Idle::Balanced);
}

#[test]
fn eight_workers_meet() {
    all_meet(8, Idle::Balanced);
}

#[test]
fn workers_that_look_for_long_meet() {
    all_meet(4, Idle::Latency);
}

#[test]
fn workers_that_do_not_look_meet() {
    all_meet(4, Idle::Frugal);
}

/// A closure that a worker has spawned is called while that one is busy.
#[test]
fn spawned_closures_do_not_wait_for_the_worker_that_spawned_them() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = Pool::builder().workers(2).oversubscribe(true).build().expect("a pool");
    for _ in 0..ROUNDS {
        let (handle, (done, is_done)) = (pool.handle(), mpsc::channel());
        pool.spawn(move || {
            let (send, receive) = mpsc::channel();
            handle.spawn(move || _ = send.send(())).expect("it is open");
            done.send(receive.recv_timeout(PATIENCE)).expect("somebody waits");
        });
        assert_eq!(is_done.recv().expect("it is called"), Ok(()));
    }
}

/// All of a worker's jobs are found, not only the oldest, while it is busy for as long as they take.
#[test]
fn everything_that_a_busy_worker_has_is_found() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = &Pool::builder().workers(2).oversubscribe(true).build().expect("a pool");
    for count in [1, 10, 100, 2000] {
        let (left, late) = (AtomicUsize::new(count), AtomicBool::new(false));
        pool.scope(|s| {
            for _ in 0..count {
                s.spawn(|_| _ = left.fetch_sub(1, Ordering::Relaxed));
            }
            let start = Instant::now();
            while left.load(Ordering::Relaxed) > 0 && !late.load(Ordering::Relaxed) {
                late.store(start.elapsed() > PATIENCE, Ordering::Relaxed);
                thread::yield_now();
            }
        });
        assert!(!late.into_inner(), "of {count} some waited");
    }
}
