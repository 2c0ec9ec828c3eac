//! What is in flight is bounded without options: by a few batches for each worker, and by time where nobody sees how a
//! stream is cut into batches.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use millstream::{Graph, Pool, Stream};

/// Counts the items that are alive, and the most that were so at once.
#[derive(Default)]
struct Living {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Heavy<'a>(&'a Living);

impl Living {
    /// An item that takes as long to make as one of 64 KiB.
    fn heavy(&self) -> Heavy<'_> {
        thread::sleep(Duration::from_micros(5));
        self.most.fetch_max(self.now.fetch_add(1, Relaxed) + 1, Relaxed);
        Heavy(self)
    }
}

impl Drop for Heavy<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Relaxed);
    }
}

/// The most that live at once if items of `source` become heavy before an ordered sink that is slow.
fn most(source: for<'a> fn(&Graph<'a>) -> Stream<'a, u64>) -> usize {
    let pool = Pool::builder().workers(2).build().expect("threads");
    let living = Living::default();
    let g = Graph::new();
    source(&g).map(|_| living.heavy()).for_each_ordered(|_| thread::sleep(Duration::from_micros(50)));
    pool.run(g).expect("no failure");
    assert_eq!(living.now.load(Relaxed), 0);
    living.most.load(Relaxed)
}

#[test]
fn heavy_items_before_a_slow_sink_are_few() {
    let sources: [for<'a> fn(&Graph<'a>) -> Stream<'a, u64>; 4] = [
        |g| g.range(0..3000_u64).boxed(),
        |g| g.source(0..3000_u64).boxed(),
        |g| g.source((0..3000_u64).filter(|x| *x < 1 << 40)).boxed(),
        |g| g.range(0..1 << 40_u64).take(3000).boxed(),
    ];
    for (number, source) in sources.into_iter().enumerate() {
        let most = most(source);
        // 16 batches, each of a few items, and larger ones at the start, before it is known how long they take.
        assert!(most <= 512, "source {number}: {most} items at once");
    }
}

#[test]
fn more_batches_are_in_flight_only_if_nothing_else_goes_on() {
    let pool = Pool::builder().workers(2).build().expect("threads");
    // The left side of the pair needs a hundred batches before it has an item, the right side waits with as many.
    let g = Graph::new();
    let (left, right) = g.range(0..1000_u64).batch_size(10).tee();
    let pairs = left.filter(|x| *x == 999).zip(right).collect();
    let mut run = pool.run(g).expect("256 credits are enough");
    assert_eq!(run.take(pairs), [(999, 0)]);
}
