//! W1: recursion with a join at every level and no cutoff.

use std::hint::black_box;

use lace_ws::{Worker, lace_run, lace_task};
use millstream::Pool;

use super::Workload;
use crate::cli::Options;
use crate::measure::{Figures, Lineup, Metric, ns_per, time};
use crate::peers::{self, Peer};

pub fn workloads() -> Vec<Workload> {
    vec![Workload::new("W1", "fib(35) with a join at every level", lineup)]
}

fn serial(n: u64) -> u64 {
    if n < 2 { n } else { serial(n - 1) + serial(n - 2) }
}

fn millstream(pool: &Pool, n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = pool.join(|| millstream(pool, n - 1), || millstream(pool, n - 2));
    a + b
}

fn rayon(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = rayon::join(|| rayon(n - 1), || rayon(n - 2));
    a + b
}

fn chili(scope: &mut chili::Scope<'_>, n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = scope.join(|scope| chili(scope, n - 1), |scope| chili(scope, n - 2));
    a + b
}

#[lace_task]
fn lace(n: u64) -> u64 {
    if n < 2 {
        n
    } else {
        let (a, b) = join!(lace(n - 1), lace(n - 2));
        a + b
    }
}

/// A short call, then the one that counts.
fn measure(n: u64, mut fib: impl FnMut(u64) -> u64) -> Figures {
    fib(black_box(n / 2));
    let (time, value) = time(|| fib(black_box(n)));
    let (mut previous, mut expected) = (1, 0);
    for _ in 0..n {
        (previous, expected) = (expected, previous + expected);
    }
    assert_eq!(value, expected, "fib({n})");
    let joins = previous + expected - 1; // calls with 2 or more: fib(n + 1) - 1
    vec![(Metric::NsPerJoin, ns_per(joins, time))]
}

fn lineup(options: &Options) -> Lineup {
    let n = options.size(35, 16);
    let mut lineup = Lineup::new(options);
    lineup.serial(move |_| measure(n, serial));
    lineup.each(Peer::Millstream, |threads| {
        let options = options.clone();
        move |_| {
            let pool = options.millstream(threads);
            measure(n, |n| millstream(&pool, n))
        }
    });
    lineup.each(Peer::Rayon, |threads| {
        move |_| {
            let pool = peers::rayon_pool(threads);
            measure(n, |n| pool.install(|| rayon(n)))
        }
    });
    lineup.each(Peer::Chili, |threads| {
        move |_| {
            let pool = peers::chili_pool(threads);
            let mut scope = pool.scope();
            measure(n, |n| chili(&mut scope, n))
        }
    });
    lineup.each(Peer::LaceWs, |threads| {
        move |_| {
            let mut pool = lace_ws::Lace::init(threads);
            measure(n, |n| lace_run!(pool, lace(n)))
        }
    });
    #[cfg(feature = "tbb")]
    lineup.each(Peer::Tbb, |threads| {
        move |_| {
            let pool = crate::tbb::Pool::new(threads);
            measure(n, |n| pool.fib(n))
        }
    });
    lineup
}
