//! What an item costs in a fused stream, beside the plain loop in the same group: source, map, filter, map, sum.
//!
//! `iterator`: the items are pulled out of an iterator by one worker at a time. `range`: every worker makes its own.
//! Plans are made once and run again; every run's result is checked.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millstream::{Graph, Pool};

const ITEMS: u64 = 10_000_000;
const MASK: u64 = 0x05DE_ECE6;

fn triple(x: u64) -> u64 {
    x * 3
}

fn wanted(x: &u64) -> bool {
    !x.is_multiple_of(5)
}

fn mixed(x: u64) -> u64 {
    x ^ MASK
}

/// The same as a plain loop.
fn plain(items: u64) -> u64 {
    let mut sum = 0;
    for x in 0..items {
        let x = triple(x);
        if wanted(&x) {
            sum += mixed(x);
        }
    }
    sum
}

/// Measures one way to feed the stream: the plain loop, then one worker and two.
macro_rules! compare {
    ($criterion:ident, $group:literal, $graph:ident => $source:expr) => {
        let expected = plain(ITEMS);
        let mut group = $criterion.benchmark_group($group);
        group.throughput(Throughput::Elements(ITEMS)).sample_size(10);
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
        group.bench_function("plain loop", |b| {
            b.iter(|| assert_eq!(plain(black_box(ITEMS)), expected));
        });
        for workers in [1, 2] {
            let pool = Pool::builder().workers(workers).build().expect("a pool");
            let $graph = Graph::new();
            let sum = $source.map(triple).filter(wanted).map(mixed).sum::<u64>();
            let mut plan = $graph.plan(&pool).expect("a sound graph");
            group.bench_function(BenchmarkId::new("workers", workers), |b| {
                b.iter(|| {
                    plan.run().expect("a good run");
                    assert_eq!(*plan.get(&sum), expected);
                });
            });
        }
        group.finish();
    };
}

fn iterator(criterion: &mut Criterion) {
    compare!(criterion, "iterator", g => g.source_fn(|| 0..black_box(ITEMS)));
}

fn range(criterion: &mut Criterion) {
    compare!(criterion, "range", g => g.range(0..black_box(ITEMS)));
}

criterion_group!(benches, iterator, range);
criterion_main!(benches);
