//! The real engine on virtual workers, each on a core of a made-up machine, under a model of cache coherence
//! ([`crate::sync::coherence`]): how well it would do on many cores, and which words keep it from doing better.
//!
//! `ci/scale.sh` builds and runs this. [`loads`] has the loads, [`report`] prints what came of them.

mod loads;
mod report;

use std::cell::Cell;

use corosensei::stack::DefaultStack;

use super::actors::{Actor, Pause, pause};
use crate::pool::work::seat::Counts;
use crate::pool::work::worker::Worker;
use crate::pool::{Pool, without_threads_on};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::coherence::books::Books;
use crate::sync::coherence::costs::{Costs, Machine};
use crate::sync::coherence::{self, arenas};
use crate::sync::seam::{self, Driver, Point};

/// The most workers of a made-up machine.
const CORES: usize = 256;
const STACK: usize = 1 << 20;

/// Hands control to the loop, whose actors have a clock.
struct OnTime;

impl Driver for OnTime {
    fn has_clock(&self) -> bool {
        true
    }

    fn block(&self, _: &dyn Fn() -> bool) {
        panic!("virtual workers with a clock block at futexes");
    }

    fn point(&self, point: Point) {
        match point {
            Point::Find => coherence::spend(|costs| costs.find),
            Point::Steal => coherence::spend(|costs| costs.steal),
            Point::Publish => coherence::spend(|costs| costs.publish),
            Point::Race => pause(Pause::Busy(0)),
        }
    }
}

/// On what a load runs.
#[derive(Clone, Copy, Debug)]
struct Setup {
    workers: usize,
    machine: Machine,
    /// Shifts the times at which the workers begin.
    seed: u64,
    /// Nanoseconds between two points of the timeline.
    every: u64,
}

impl Setup {
    /// Sockets of 32 cores, with L3 domains of 8.
    fn new(workers: usize, seed: u64) -> Self {
        Self { workers, machine: Machine { l3: 8, socket: 32 }, seed, every: u64::MAX }
    }

    /// The machine in the language of [`crate::Topology::synthetic`].
    fn text(&self) -> String {
        let Machine { l3, socket } = self.machine;
        format!("numa:{} l3:{} core:{l3} pu:1", CORES.div_ceil(socket), socket / l3)
    }
}

/// What came of a load.
struct Outcome {
    /// Nanoseconds from its beginning to its end.
    time: u64,
    books: Books,
    /// Jobs, parks and steals by tier.
    engine: [u64; 5],
    /// The share of all workers that was at work, from point to point.
    timeline: Vec<f64>,
}

/// Measures a part of a body that [`simulate`] runs.
struct Meter<'a> {
    pool: &'a Pool,
    is_on: Cell<bool>,
    begin: Cell<(u64, [u64; 5])>,
    outcome: Cell<Option<Outcome>>,
}

impl Meter<'_> {
    /// What is measured begins here.
    fn begin(&self) {
        coherence::open_books();
        self.begin.set((coherence::now(), counts(self.pool)));
    }

    /// What is measured ends here.
    fn end(&self) {
        let (begin, before) = self.begin.get();
        let (time, books) = (coherence::now() - begin, coherence::close_books());
        let after = counts(self.pool);
        let engine = std::array::from_fn(|i| after[i] - before[i]);
        self.outcome.set(Some(Outcome { time, books, engine, timeline: Vec::new() }));
        self.is_on.set(false);
    }
}

fn counts(pool: &Pool) -> [u64; 5] {
    coherence::aside(|| {
        let sum = |count: fn(&Counts) -> &AtomicU64| -> u64 {
            pool.shared.seats.iter().map(|seat| count(&seat.counts).load(Ordering::Relaxed)).sum()
        };
        [
            sum(|counts| &counts.jobs),
            sum(|counts| &counts.parks),
            sum(|counts| &counts.steals[0]),
            sum(|counts| &counts.steals[1]),
            sum(|counts| &counts.steals[2]),
        ]
    })
}

/// Runs `body` as a thread from outside with a pool of virtual workers, twice. It says what is measured, and the second
/// time counts.
fn simulate(setup: Setup, body: impl Fn(&Pool, &Meter<'_>)) -> Outcome {
    let _open = arenas::open();
    let Setup { workers, machine, seed, every } = setup;
    let starts: Vec<u64> = (0..=workers as u64).map(|who| who * 10 + who * 7919 * seed % 97).collect();
    // The thread from outside shares the core of the first worker: it waits most of the time.
    let cores = std::iter::once(0).chain(0..workers).collect();
    coherence::begin(Costs::default(), machine, cores, &starts);
    let outer = arenas::switch(Some(0));
    let pool = without_threads_on(&setup.text(), workers);
    arenas::switch(outer);
    let stack = || DefaultStack::new(STACK).expect("memory for a stack");
    let meter = &Meter { pool: &pool, is_on: Cell::new(false), begin: Cell::default(), outcome: Cell::new(None) };
    let mut actors = vec![Actor::on(stack(), move || {
        body(meter.pool, meter);
        coherence::work(REST);
        meter.is_on.set(true);
        body(meter.pool, meter);
    })];
    for worker in 0..workers {
        let shared = &*pool.shared;
        actors.push(Actor::on(stack(), move || Worker::at(shared, &shared.seats[worker], Worker::live)));
    }
    let (mut point, mut worked, mut timeline) = (0, 0, Vec::new());
    seam::drive(&OnTime, || {
        while !actors[0].is_done() {
            if meter.is_on.get() && coherence::now() / every > point {
                let (now, skipped) = (coherence::worked(), coherence::now() / every - point - 1);
                timeline.extend((0..skipped).map(|_| 0.0)); // one thread alone went on for long
                timeline.push(now.saturating_sub(worked) as f64 / (every * workers as u64) as f64);
                (point, worked) = (point + skipped + 1, now);
            }
            let who = coherence::next().expect("deadlock: nobody can go on");
            coherence::run(who, || {
                actors[who].resume();
                actors[who].is_done()
            });
        }
    });
    // The workers sleep or search for ever: nobody resumes them.
    std::mem::forget(actors);
    let mut outcome = meter.outcome.take().expect("the body has ended");
    std::mem::forget(pool);
    let points = usize::try_from(outcome.time / every).expect("few");
    outcome.timeline = timeline.split_off(timeline.len().saturating_sub(points));
    outcome
}

/// The pause before what is measured: long enough for all workers to fall asleep.
const REST: u64 = 300_000;

#[test]
fn a_simulation_can_be_repeated() {
    let load = loads::Load::named("w9-64").expect("a load");
    let once = || simulate(Setup::new(8, 3), |pool, meter| load.run(pool, meter));
    let (first, second) = (once(), once());
    assert_eq!((first.time, first.engine, first.books.misses), (second.time, second.engine, second.books.misses));
}

#[test]
fn repeated_strips_stay_where_their_data_is() {
    use std::sync::Arc;
    const STRIPS: usize = 64;
    const TIMES: u64 = 40;
    let ran_at: Arc<Vec<_>> = Arc::new((0..STRIPS).map(|_| AtomicU64::new(0)).collect());
    let moved = Arc::new(AtomicU64::new(0));
    simulate(Setup::new(8, 1), |pool, meter| {
        let g = crate::Graph::new();
        let strips = g.chunks(&g.data(vec![0_u8; STRIPS]), 1);
        g.repeat(TIMES, |g| {
            for (number, strip) in strips.iter().enumerate() {
                let (shared, ran_at, moved) = (&pool.shared, ran_at.clone(), moved.clone());
                g.task(strip.write(), move |_| {
                    coherence::work(20_000);
                    coherence::aside(|| {
                        let seat = Worker::here(shared).map_or(0, |worker| worker.seat.index as u64);
                        let is_elsewhere = ran_at[number].swap(seat, Ordering::Relaxed) != seat;
                        moved.fetch_add(is_elsewhere.into(), Ordering::Relaxed);
                    });
                });
            }
        });
        let mut plan = g.plan(pool).expect("plans");
        moved.store(0, Ordering::Relaxed);
        meter.begin();
        plan.run().expect("runs");
        meter.end();
    });
    let (moved, all) = (moved.load(Ordering::Relaxed), TIMES * STRIPS as u64);
    println!("{moved} of {all} strips ran elsewhere than the time before");
    assert!(moved * 5 < all, "{moved} of {all}: if nobody chooses, it is more than half");
}

#[test]
fn one_word_for_all_is_the_collapse_that_it_is_known_to_be() {
    use crate::sync::CachePadded;
    const JOBS: u64 = 5000;
    // A shared counter for all jobs of 1 us, and one for each worker.
    let share = |own: bool| {
        let words: Vec<CachePadded<AtomicU64>> = (0..64).map(|_| CachePadded::default()).collect();
        let outcome = simulate(Setup::new(64, 1), |pool, meter| {
            meter.begin();
            pool.broadcast(|worker| {
                for _ in 0..JOBS {
                    coherence::work(1000);
                    words[if own { worker } else { 0 }].fetch_add(1, Ordering::Relaxed);
                }
            });
            meter.end();
        });
        (JOBS * 1000) as f64 / outcome.time as f64
    };
    let (shared, own) = (share(false), share(true));
    assert!(shared < 0.4 && own > 0.8, "one word: {shared:.2} of the ideal, a word each: {own:.2}");
}

/// Each worker goes through jobs of its own while all others do too: what a job costs in accesses to lines that others
/// touch as well does not depend on how many workers there are.
#[test]
#[expect(clippy::print_stdout, reason = "the figures are what the test is for")]
fn jobs_that_stay_at_home_touch_few_shared_lines() {
    /// A piece of work that is too long for others to be hungry still.
    fn body() {
        coherence::work(20_000);
    }
    // Of 200 jobs the 100 in the middle count: before them others still look for work, and behind them some do again.
    let accesses = |workers: usize, what: fn(&Pool)| {
        let all = AtomicU64::new(0);
        _ = simulate(Setup::new(workers, 1), |pool, meter| {
            coherence::aside(|| all.store(0, Ordering::Relaxed));
            meter.begin();
            pool.broadcast(|_| {
                let jobs = |count| (0..count).for_each(|_| what(pool));
                jobs(50);
                let before = coherence::shared_accesses();
                jobs(100);
                let more = coherence::shared_accesses() - before;
                coherence::aside(|| all.fetch_add(more, Ordering::Relaxed));
                jobs(50);
            });
            meter.end();
        });
        all.load(Ordering::Relaxed) as f64 / (100 * workers) as f64
    };
    let cases: [(&str, fn(&Pool)); 3] = [
        ("a join", |pool| _ = pool.join(body, body)),
        ("a loop", |pool| pool.for_each(0..2, |_| body())),
        ("a blocking call", |pool| pool.block_in_place(body)),
    ];
    for (name, what) in cases {
        let each = [8, 64, 256].map(|workers| accesses(workers, what));
        println!("{name}: {each:.2?} accesses to shared lines, with 8, 64 and 256 workers");
        assert!(
            each[2] <= 1.25 * each[0], // 32 times as many workers
            "{name}: {each:.2?}"
        );
    }
}
