//! W10: sums by key.

use std::hint::black_box;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use millstream::{Graph, Pool, Table};
use rayon::prelude::*;

use super::Workload;
use crate::cli::Options;
use crate::measure::{Figures, Lineup, Metric, ns_per, time};
use crate::peers::{self, Peer};

/// What millstream's tables have inside, as a map.
type Sums = HashMap<u64, u64, RandomState>;

pub fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("W10-1K", "sums by key of 10 M numbers, 1000 keys", |options| lineup(options, 1000))
            .with_efficiency(),
        Workload::new("W10-1M", "sums by key of 10 M numbers, 1 000 000 keys", |options| {
            lineup(options, options.size(1_000_000, 10_000))
        })
        .with_efficiency(),
    ]
}

/// A key below `keys`. All are about as frequent, and those of adjacent items far from each other.
fn key(item: u64, keys: u64) -> u64 {
    ((item.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) * keys) >> 32
}

fn value(item: u64) -> u64 {
    item + 1
}

fn add(mut sums: Sums, item: u64, keys: u64) -> Sums {
    *sums.entry(key(item, keys)).or_default() += value(item);
    sums
}

fn merged(one: Sums, other: Sums) -> Sums {
    let (mut sums, smaller) = if one.len() < other.len() { (other, one) } else { (one, other) };
    smaller.into_iter().for_each(|(key, sum)| *sums.entry(key).or_default() += sum);
    sums
}

fn millstream(pool: &Pool, items: u64, keys: u64) -> Table<u64, u64> {
    let g = Graph::new();
    let sums = g.range(0..items).key_by(|item| key(*item, keys)).map_values(value).sum::<u64>();
    pool.run(g).expect("nothing fails").take(sums)
}

/// A hundredth without a clock, then all with. `sum` looks a key up.
fn measure<M>(
    items: u64,
    expected: &[u64],
    mut run: impl FnMut(u64) -> M,
    sum: impl Fn(&M, u64) -> Option<u64>,
) -> Figures {
    drop(run(items / 100));
    let (time, sums) = time(|| run(black_box(items)));
    for (key, expected) in (0..).zip(expected) {
        assert_eq!(sum(&sums, key).unwrap_or(0), *expected, "the sum of key {key}");
    }
    vec![(Metric::NsPerItem, ns_per(items, time))]
}

fn lineup(options: &Options, keys: u64) -> Lineup {
    let items = options.size(10_000_000, 10_000);
    let mut sums = vec![0; usize::try_from(keys).expect("they fit into memory")];
    (0..items).for_each(|item| sums[key(item, keys) as usize] += value(item));
    let expected: Arc<[u64]> = sums.into();
    let of_map = |sums: &Sums, key| sums.get(&key).copied();

    let mut lineup = Lineup::new(options);
    let theirs = Arc::clone(&expected);
    lineup.serial(move |_| {
        let run = |items| (0..items).fold(Sums::default(), |sums, item| add(sums, item, keys));
        measure(items, &theirs, run, of_map)
    });
    lineup.each(Peer::Millstream, |threads| {
        let (options, expected) = (options.clone(), Arc::clone(&expected));
        move |_| {
            let pool = options.millstream(threads);
            let run = |items| millstream(&pool, items, keys);
            measure(items, &expected, run, |sums, key| sums.get(&key).copied())
        }
    });
    lineup.each(Peer::Rayon, |threads| {
        let expected = Arc::clone(&expected);
        move |_| {
            let pool = peers::rayon_pool(threads);
            let sums = |items| {
                let numbers = (0..items).into_par_iter();
                numbers.fold(Sums::default, |sums, item| add(sums, item, keys)).reduce(Sums::default, merged)
            };
            measure(items, &expected, |items| pool.install(|| sums(items)), of_map)
        }
    });
    lineup
}
