//! The loads: shapes that users have, with bodies that take virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Meter;
use crate::sync::coherence;
use crate::{Data, Graph, Pool, reads};

/// A body of so many nanoseconds.
fn work(nanos: u64) {
    if coherence::is_on() {
        coherence::work(nanos);
    }
}

/// A load: what it does, and how long a greedy schedule takes at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    run: fn(&Pool, &Meter<'_>),
    /// Nanoseconds of work in all, nanoseconds of the longest path, and pieces of work.
    work: u64,
    path: u64,
    pub(super) pieces: u64,
    /// In so many equal rounds, one after the other.
    rounds: u64,
}

impl Load {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|load| load.name == name)
    }

    /// Does it once. What is measured begins when the preparations are over, and ends before anything is dropped.
    pub(super) fn run(&self, pool: &Pool, meter: &Meter<'_>) {
        (self.run)(pool, meter);
    }

    /// The nanoseconds that the best schedule takes at least: no worker waits while there is work.
    pub(super) fn ideal(&self, workers: u64) -> u64 {
        let piece = self.work / self.pieces;
        let even = (self.pieces / self.rounds).div_ceil(workers) * piece * self.rounds;
        even.max(self.path)
    }
}

const US: u64 = 1_000;

/// A load whose pieces are independent of each other within a round.
const fn flat(
    name: &'static str,
    about: &'static str,
    run: fn(&Pool, &Meter<'_>),
    (rounds, pieces, piece): (u64, u64, u64),
) -> Load {
    Load { name, about, run, work: rounds * pieces * piece, path: rounds * piece, pieces: rounds * pieces, rounds }
}

pub(super) static ALL: &[Load] = &[
    Load {
        path: 255 * US,
        ..flat(
            "w3f",
            "wavefront of 128 x 128 tasks of 1 us",
            |pool, meter| wavefront(pool, meter, (128, 0), |_| US),
            (1, 128 * 128, US),
        )
    },
    Load {
        path: 255 * US,
        ..flat(
            "w3f-again",
            "the same, run again",
            |pool, meter| wavefront(pool, meter, (128, 5), |_| US),
            (1, 128 * 128, US),
        )
    },
    Load {
        path: 255 * US,
        ..flat(
            "w3f-long",
            "the same, where one in a hundred takes 200 us, run again",
            |pool, meter| wavefront(pool, meter, (128, 5), now_and_then_long),
            (1, 128 * 128, 3 * US), // just as long in all: 164 take 201 us
        )
    },
    Load {
        path: 1_000_000,
        ..flat(
            "w4c",
            "stream of 1 M items, two maps of 200 ns, ordered sink",
            |pool, meter| stream(pool, meter, 1_000_000, 200),
            (1, 1_000_000, 402),
        )
    },
    flat("w9-64", "20 loops of 64 x 2 us", |pool, meter| bursts(pool, meter, 64), (20, 64, 2 * US)),
    flat("w9", "20 loops of 1024 x 2 us", |pool, meter| bursts(pool, meter, 1024), (20, 1024, 2 * US)),
    flat("sum-2", "10 sums of 1024 leaves of 2 us", |pool, meter| sums(pool, meter, 2 * US), (10, 1024, 2 * US)),
    flat("sum-20", "10 sums of 1024 leaves of 20 us", |pool, meter| sums(pool, meter, 20 * US), (10, 1024, 20 * US)),
    flat(
        "sum-100",
        "10 sums of 1024 leaves of 100 us",
        |pool, meter| sums(pool, meter, 100 * US),
        (10, 1024, 100 * US),
    ),
    flat("fork-1", "fork-join, 65 536 leaves of 1 us", |pool, meter| forks(pool, meter, 16, US), (1, 1 << 16, US)),
    flat(
        "fork-10",
        "fork-join, 8192 leaves of 10 us",
        |pool, meter| forks(pool, meter, 13, 10 * US),
        (1, 1 << 13, 10 * US),
    ),
    flat(
        "fork-100",
        "fork-join, 8192 leaves of 100 us",
        |pool, meter| forks(pool, meter, 13, 100 * US),
        (1, 1 << 13, 100 * US),
    ),
    flat(
        "fork-1000",
        "fork-join, 4096 leaves of 1 ms",
        |pool, meter| forks(pool, meter, 12, 1000 * US),
        (1, 1 << 12, 1000 * US),
    ),
    flat("tasks", "65 536 independent tasks of 1 us", |pool, meter| tasks(pool, meter, 1 << 16), (1, 1 << 16, US)),
    flat("steps", "256 strips of 20 us, 20 times 2 steps", |pool, meter| steps(pool, meter, 20, 2), (40, 256, 20 * US)),
    flat("ahead", "256 strips of 20 us, 3 times 16 steps", |pool, meter| steps(pool, meter, 3, 16), (48, 256, 20 * US)),
    flat(
        "keys",
        "key_by and count, 2 M items of 20 ns, 125 000 keys",
        |pool, meter| keys(pool, meter, 2_000_000),
        (1, 2_000_000, 20),
    ),
    flat("spawn", "4096 closures of 10 us, spawned from outside", spawned, (1, 4096, 10 * US)),
    flat("runs", "100 runs of a plan with one task of 1 us", runs, (100, 1, US)),
];

/// One in a hundred takes 201 us: which ones seems to follow no rule.
fn now_and_then_long(task: u64) -> u64 {
    US + if task.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & 0xFFFF < 656 { 200 * US } else { 0 }
}

/// A wavefront of so many tasks on each side, and so many runs before. `nanos` tells how long a task takes.
fn wavefront(pool: &Pool, meter: &Meter<'_>, (side, before): (usize, usize), nanos: impl Fn(u64) -> u64) {
    let g = Graph::new();
    let (mut above, mut tasks): (Vec<Data<()>>, u64) = (Vec::new(), 0);
    for _ in 0..side {
        let mut row: Vec<Data<()>> = Vec::new();
        for column in 0..side {
            let nanos = nanos(tasks);
            tasks += 1;
            row.push(match (above.get(column), row.last()) {
                (None, None) => g.task((), move |()| work(nanos)),
                (Some(one), None) | (None, Some(one)) => g.task(one.read(), move |()| work(nanos)),
                (Some(up), Some(left)) => g.task((up.read(), left.read()), move |_| work(nanos)),
            });
        }
        above = row;
    }
    let mut plan = g.plan(pool).expect("plans");
    (0..before).for_each(|_| plan.run().expect("runs"));
    meter.begin();
    plan.run().expect("runs");
    meter.end();
}

fn stream(pool: &Pool, meter: &Meter<'_>, items: u64, nanos: u64) {
    let g = Graph::new();
    let sum = Arc::new(AtomicU64::new(0));
    let into = Arc::clone(&sum);
    let body = move |x| {
        work(nanos);
        x
    };
    let source = (0..items).inspect(|_| work(1));
    g.source(source).map(body).map(body).for_each_ordered(move |x| {
        work(1);
        into.fetch_add(x, Ordering::Relaxed);
    });
    let mut plan = g.plan(pool).expect("plans");
    meter.begin();
    plan.run().expect("runs");
    meter.end();
    assert_eq!(sum.load(Ordering::Relaxed), items * (items - 1) / 2);
}

fn bursts(pool: &Pool, meter: &Meter<'_>, items: u64) {
    meter.begin();
    for _ in 0..20 {
        pool.for_each(0..items, |_| work(2 * US));
    }
    meter.end();
}

/// Two items a leaf.
fn sums(pool: &Pool, meter: &Meter<'_>, leaf: u64) {
    let items: u64 = 2048;
    meter.begin();
    for _ in 0..10 {
        let add = |sum: u64, x: u64| {
            work(leaf / 2);
            sum + x
        };
        let sum = pool.aggregate(0..items, || 0, add, |a, b| a + b);
        assert_eq!(sum, items * (items - 1) / 2);
    }
    meter.end();
}

fn forks(pool: &Pool, meter: &Meter<'_>, depth: u32, nanos: u64) {
    meter.begin();
    assert_eq!(fork(pool, depth, nanos), 1 << depth);
    meter.end();
}

fn fork(pool: &Pool, depth: u32, nanos: u64) -> u64 {
    if depth == 0 {
        work(nanos);
        return 1;
    }
    let (left, right) = pool.join(|| fork(pool, depth - 1, nanos), || fork(pool, depth - 1, nanos));
    left + right
}

fn tasks(pool: &Pool, meter: &Meter<'_>, count: u64) {
    let g = Graph::new();
    for _ in 0..count {
        g.task((), |()| work(US));
    }
    let mut plan = g.plan(pool).expect("plans");
    meter.begin();
    plan.run().expect("runs");
    meter.end();
}

/// A stencil on strips of a field, as solvers have it.
fn steps(pool: &Pool, meter: &Meter<'_>, times: u64, in_one: usize) {
    const STRIPS: usize = 256;
    let g = Graph::new();
    let strips = [0, 1].map(|_| g.chunks(&g.data(vec![0_u8; STRIPS]), 1));
    g.repeat(times, |g| {
        for step in 0..in_one {
            let (from, to) = (&strips[step % 2], &strips[(step + 1) % 2]);
            for (strip, out) in to.iter().enumerate() {
                let near = &from[strip.saturating_sub(1)..STRIPS.min(strip + 2)];
                g.task((reads(near), out.write()), |_| work(20 * US));
            }
        }
    });
    let mut plan = g.plan(pool).expect("plans");
    meter.begin();
    plan.run().expect("runs");
    meter.end();
}

fn keys(pool: &Pool, meter: &Meter<'_>, items: u64) {
    let g = Graph::new();
    let key = move |x: u64| {
        work(20);
        (x.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % (items / 16)
    };
    let table = g.range(0..items).map(key).key_by(|key| *key).count();
    let mut plan = g.plan(pool).expect("plans");
    meter.begin();
    plan.run().expect("runs");
    meter.end();
    drop(table);
}

fn spawned(pool: &Pool, meter: &Meter<'_>) {
    meter.begin();
    let left = Arc::new(crate::sync::atomic::AtomicU64::new(4096));
    for _ in 0..4096 {
        let left = Arc::clone(&left);
        pool.spawn(move || {
            work(10 * US);
            left.fetch_sub(1, Ordering::Relaxed);
        });
    }
    while left.load(Ordering::Relaxed) > 0 {
        work(US);
    }
    meter.end();
}

fn runs(pool: &Pool, meter: &Meter<'_>) {
    let g = Graph::new();
    g.task((), |()| work(US));
    let mut plan = g.plan(pool).expect("plans");
    meter.begin();
    for _ in 0..100 {
        plan.run().expect("runs");
    }
    meter.end();
}
