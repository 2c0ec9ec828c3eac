//! W7: a parallel reduction, bound by memory or by what a call costs.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use lace_ws::{Worker, lace_run, lace_task};
use rayon::prelude::*;

use super::Workload;
use crate::byhand::Crew;
use crate::cli::Options;
use crate::measure::{Figures, Lineup, Metric, milliseconds, ns_per, time};
use crate::peers::{self, Peer};
use crate::shape::Shape;

pub fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("W7-64M", "sum of the square roots of 64 Mi f64", |options| {
            lineup(options, options.size(64 << 20, 1 << 16), 2)
        })
        .with_efficiency(),
        Workload::new("W7-64K", "sum of the square roots of 64 Ki f64, 2000 times", |options| {
            lineup(options, 64 << 10, options.size(2000, 5))
        })
        .with_efficiency(),
    ]
}

fn sum(items: &[f64]) -> f64 {
    items.iter().map(|item| item.sqrt()).sum()
}

/// Where the splitting by hand ends.
fn leaf(items: usize) -> usize {
    (items / 1024).max(1024)
}

fn chili(scope: &mut chili::Scope<'_>, items: &[f64], leaf: usize) -> f64 {
    if items.len() <= leaf {
        return sum(items);
    }
    let (left, right) = items.split_at(items.len() / 2);
    let (left, right) = scope.join(|scope| chili(scope, left, leaf), |scope| chili(scope, right, leaf));
    left + right
}

#[lace_task]
fn lace(items: &[f64], leaf: usize) -> f64 {
    if items.len() <= leaf {
        sum(items)
    } else {
        let (left, right) = items.split_at(items.len() / 2);
        let (left, right) = join!(lace(left, leaf), lace(right, leaf));
        left + right
    }
}

/// Once without a clock, then `times` with.
fn measure(items: &[f64], expected: f64, times: u64, mut call: impl FnMut(&[f64]) -> f64) -> Figures {
    let mut checked = || {
        let sum = call(black_box(items));
        assert!((sum - expected).abs() < 1e-9 * expected, "{sum} is not {expected}");
    };
    checked();
    let (time, ()) = time(|| (0..times).for_each(|_| checked()));
    vec![
        (Metric::NsPerItem, ns_per(items.len() as u64 * times, time)),
        (Metric::WallMs, milliseconds(time) / times as f64),
    ]
}

fn lineup(options: &Options, count: usize, times: u64) -> Lineup {
    let items: Arc<[f64]> = (0..count).map(|item| (item % 1000) as f64).collect();
    let expected = sum(&items);
    let leaf = leaf(count);
    let mut lineup = Lineup::new(options);
    let own = Arc::clone(&items);
    lineup.serial(move |_| measure(&own, expected, times, sum));
    lineup.each(Peer::Millstream, |threads| {
        let (options, items) = (options.clone(), Arc::clone(&items));
        move |_| {
            let pool = options.millstream(threads);
            let sum = |items: &[f64]| pool.aggregate(items, || 0.0, |sum, item| sum + item.sqrt(), |a, b| a + b);
            measure(&items, expected, times, sum)
        }
    });
    lineup.each(Peer::Rayon, |threads| {
        let items = Arc::clone(&items);
        move |_| {
            let sum = |items: &[f64]| items.par_iter().map(|item| item.sqrt()).sum();
            peers::rayon_pool(threads).install(|| measure(&items, expected, times, sum))
        }
    });
    lineup.each(Peer::Chili, |threads| {
        let items = Arc::clone(&items);
        move |_| {
            let pool = peers::chili_pool(threads);
            let mut scope = pool.scope();
            measure(&items, expected, times, |items| chili(&mut scope, items, leaf))
        }
    });
    lineup.each(Peer::LaceWs, |threads| {
        let items = Arc::clone(&items);
        move |_| {
            let mut pool = lace_ws::Lace::init(threads);
            measure(&items, expected, times, |items| lace_run!(pool, lace(items, leaf)))
        }
    });
    lineup.each(Peer::ByHand, |threads| {
        let items = Arc::clone(&items);
        move |_| by_hand(threads, &items, expected, times, leaf)
    });
    #[cfg(feature = "tbb")]
    lineup.each(Peer::Tbb, |threads| {
        let items = Arc::clone(&items);
        move |_| {
            let pool = crate::tbb::Pool::new(threads);
            measure(&items, expected, times, |items| pool.sum_of_roots(items))
        }
    });
    lineup
}

/// A task for each leaf, which leaves its part of the sum in a place of its own.
fn by_hand(threads: usize, items: &Arc<[f64]>, expected: f64, times: u64, leaf: usize) -> Figures {
    let leaves = items.len().div_ceil(leaf);
    let parts: Arc<[CachePadded<AtomicU64>]> = (0..leaves).map(|_| CachePadded::new(AtomicU64::new(0))).collect();
    let (theirs, places) = (Arc::clone(items), Arc::clone(&parts));
    let crew = Crew::new(threads, &Shape::independent(leaves), move |task| {
        let begin = task as usize * leaf;
        let sum = sum(&theirs[begin..theirs.len().min(begin + leaf)]);
        places[task as usize].store(sum.to_bits(), Ordering::Relaxed);
    });
    measure(items, expected, times, |_| {
        crew.run();
        parts.iter().map(|part| f64::from_bits(part.swap(0, Ordering::Relaxed))).sum()
    })
}
