//! How many rounds of the virtual clock a graph takes on 64 workers, against what is possible.

use crate::check::{Body, Order, drive, makespan, work};
use crate::{Graph, Pool};

const WORKERS: u64 = 64;
/// The number of rounds for which a body occupies its worker.
pub(super) const BODY: u64 = 100;
const SEEDS: u64 = 15;

/// At most 1.15 × the larger of work / workers and the critical path, and 50 rounds.
fn bar(bodies: u64, longest: u64) -> u64 {
    let ideal = (bodies * BODY).div_ceil(WORKERS).max(longest * BODY);
    ideal + ideal * 15 / 100 + 50
}

/// Every seed's makespan is within the bar.
pub(super) fn check(name: &str, bodies: u64, longest: u64, body: impl Fn(&Pool)) {
    let rounds = (1..=SEEDS).map(|seed| makespan(64, seed, &body)).collect();
    judge(name, bar(bodies, longest), rounds);
}

#[expect(clippy::print_stdout, reason = "the figures are what the test is for")]
pub(super) fn judge(name: &str, bar: u64, mut rounds: Vec<u64>) {
    rounds.sort_unstable();
    let (median, worst) = (rounds[rounds.len() / 2], rounds[rounds.len() - 1]);
    println!("{name}: {median} rounds (median), {worst} (worst of {} seeds), bar {bar}", rounds.len());
    assert!(worst <= bar, "{name}: {rounds:?} rounds, the bar is {bar}");
}

#[test]
fn independent_items() {
    check("64 items", 64, 1, |pool| {
        let g = Graph::new();
        g.source(0..64).batch_size(1).map(|_| work(BODY)).for_each(drop);
        pool.run(g).expect("runs");
    });
    check("64 items of a range", 64, 1, |pool| {
        let g = Graph::new();
        g.range(0..64).map(|_| work(BODY)).for_each(drop);
        pool.run(g).expect("runs");
    });
}

/// Keys come to 16 lanes by their hashes, not all equally often, so eight workers take twice their share at most.
#[test]
fn keys_are_folded_on_all_workers_at_once() {
    for (name, batch) in [("keyed fold", 64), ("keyed fold of small batches", 4)] {
        let fold = |seed| {
            makespan(8, seed, |pool| {
                let g = Graph::new();
                let keyed = g.source(0..2000_u64).batch_size(batch).key_by(|x| x % 1000);
                drop(keyed.fold(0, |sum, x| {
                    work(BODY);
                    sum + x
                }));
                pool.run(g).expect("runs");
            })
        };
        judge(name, 2 * 2000 * BODY / 8, (1..=SEEDS).map(fold).collect());
    }
}

#[test]
fn wavefront() {
    check("wavefront", 64 * 64, 127, wavefront_on);
}

fn wavefront_on(pool: &Pool) {
    let g = Graph::new();
    let mut above: Vec<crate::Data<()>> = Vec::new();
    for _ in 0..64 {
        let mut row: Vec<crate::Data<()>> = Vec::new();
        for j in 0..64 {
            let done = match (above.get(j), row.last()) {
                (None, None) => g.task((), |()| work(BODY)),
                (Some(one), None) | (None, Some(one)) => g.task(one.read(), |()| work(BODY)),
                (Some(a), Some(b)) => g.task((a.read(), b.read()), |_| work(BODY)),
            };
            row.push(done);
        }
        above = row;
    }
    pool.run(g).expect("runs");
}

#[test]
fn tree() {
    check("tree", (1 << 12) - 1, 12, |pool| {
        let g = Graph::new();
        let mut level = vec![g.task((), |()| work(BODY))];
        for _ in 1..12 {
            level = level.iter().flat_map(|parent| [(); 2].map(|()| g.task(parent.read(), |()| work(BODY)))).collect();
        }
        pool.run(g).expect("runs");
    });
}

fn heavy(x: u64) -> u64 {
    work(BODY);
    x
}

#[test]
fn stream_with_two_parallel_maps() {
    check("stream", 2 * 1024, 2, |pool| {
        let g = Graph::new();
        let maps = g.source(0..1024).batch_size(1).map(heavy).map(heavy);
        let order = maps.collect();
        let got = pool.run(g).expect("runs").take(order);
        assert!(got.into_iter().eq(0..1024));
    });
}

/// A loop that splits in half down to its leaves.
fn halving(pool: &Pool, leaves: u64) {
    if leaves == 1 {
        return work(BODY);
    }
    pool.join(|| halving(pool, leaves / 2), || halving(pool, leaves - leaves / 2));
}

#[test]
fn halving_loop() {
    let joins = |leaves| {
        move |pool: &Pool| {
            work(10); // until the workers of the new pool have gone to sleep: no worker is hungry before
            halving(pool, leaves);
        }
    };
    check("joins down to 64 leaves", 64, 1, joins(64));
    check("joins down to 4096 leaves", 4096, 1, joins(4096));
    // Four leaves for each worker. A worker that waits and has nothing to take costs a row of leaves, and then there
    // are five.
    let rounds = (1..=SEEDS).map(|seed| makespan(64, seed, joins(256))).collect();
    judge("joins down to 256 leaves", 650, rounds);
}

#[test]
fn two_runs_at_once() {
    let body = |pool: &Pool| {
        let g = Graph::new();
        g.source(0..1024).batch_size(1).map(|_| work(BODY)).for_each(drop);
        pool.run(g).expect("runs");
    };
    let bar = bar(2 * 1024, 1);
    let mut all = Vec::new();
    for seed in 1..=SEEDS {
        let bodies: Vec<Body<'_, ()>> = vec![Box::new(body), Box::new(body)];
        let rounds = drive(64, Order::Clock(seed), bodies).rounds;
        all.extend(rounds.iter().max());
        let (first, last) = (rounds.iter().min().expect("two"), rounds.iter().max().expect("two"));
        assert!(*first * 2 >= *last, "neither starves: {rounds:?}");
    }
    judge("two runs of 1024 items", bar, all);
}
