//! What is in flight is bounded without options: by a few batches for each worker, and by time where nobody sees how a
//! stream is cut into batches.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use millstream::{Graph, OnStall, Pool, Stream};

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
fn heavy_items_before_a_slow_sink_by_key_are_few() {
    let pool = Pool::builder().workers(2).build().expect("threads");
    let living = Living::default();
    let g = Graph::new();
    let keyed = g.range(0..3000_u64).map(|x| (x % 100, living.heavy())).key_by(|item| item.0);
    let counts = keyed.fold(0, |count, item| {
        thread::sleep(Duration::from_micros(50));
        drop(item);
        count + 1
    });
    let counts = pool.run(g).expect("no failure").take(counts);
    assert!(counts.len() == 100 && counts.iter().all(|(_, count)| *count == 30));
    let most = living.most.into_inner();
    assert!(living.now.into_inner() == 0 && most <= 512, "{most} items at once");
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
        // What the machine does elsewhere may make one batch look long: so the best of three runs counts.
        let most = (0..3).map(|_| most(source)).min().expect("three");
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

/// An item that says how much it weighs.
struct Weighty<'a>(&'a Living, usize);

impl Living {
    fn weighty(&self, bytes: usize) -> Weighty<'_> {
        self.most.fetch_max(self.now.fetch_add(bytes, Relaxed) + bytes, Relaxed);
        Weighty(self, bytes)
    }
}

impl Drop for Weighty<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(self.1, Relaxed);
    }
}

#[test]
fn what_is_in_flight_weighs_no_more_than_allowed() {
    const LIMIT: usize = 64 << 20;
    let pool = Pool::builder().workers(4).oversubscribe(true).build().expect("threads");
    // Items of a megabyte, of all sizes, and one that weighs more than all may.
    let sizes: [fn(usize) -> usize; 3] =
        [|_| 1 << 20, |n| (n * 7919) % (3 << 20), |n| if n == 77 { 2 * LIMIT } else { 1 << 19 }];
    for size in sizes {
        for parallel in [false, true] {
            let living = Living::default();
            let largest = (0..500).map(size).max().expect("some");
            let g = Graph::new();
            let items = g.source((0..500).map(|n| living.weighty(size(n))));
            let items = items.credits_bytes(LIMIT as u64, |item| item.1 as u64);
            if parallel {
                items.for_each(|_| thread::sleep(Duration::from_micros(100)));
            } else {
                items.map(|item| item).for_each_ordered(|_| thread::sleep(Duration::from_micros(100)));
            }
            pool.run(g).expect("no failure");
            assert_eq!(living.now.load(Relaxed), 0);
            let most = living.most.load(Relaxed);
            assert!(most <= LIMIT.max(largest) + largest, "{most} bytes at once, of {LIMIT}");
            assert!(most >= LIMIT / 4 || parallel, "{most} bytes at once, of {LIMIT}");
        }
    }
}

#[test]
fn a_graph_that_must_keep_more_than_it_may_stalls_and_says_so() {
    for workers in [1, 2, 4] {
        let pool = Pool::builder().workers(workers).oversubscribe(true).build().expect("threads");
        for (bytes, stalls) in [(64_000, true), (99_000, true), (110_000, false)] {
            // The right side waits for the last item of the left one: 100 items of 1000 bytes.
            let g = Graph::new();
            let (left, right) = g.source(0..100).credits_bytes(bytes, |_| 1000).tee();
            let pairs = left.filter(|x| *x == 99).zip(right).collect();
            let mut plan = g.plan(&pool).expect("no defect");
            match plan.run() {
                Ok(()) => assert!(!stalls && plan.take(pairs) == [(99, 0)]),
                Err(error) => {
                    assert!(stalls, "{workers} workers, {bytes} bytes: {error}");
                    assert!(error.to_string().contains(&format!("used up its {bytes} bytes")), "{error}");
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_weighed_is_said_when_it_is_planned() {
    let pool = Pool::builder().workers(1).build().expect("threads");
    let g = Graph::new();
    g.range(0..9_u64).credits_bytes(10, |_| 1).for_each(|_| ());
    g.source(0..9_u64).map(|x| x).credits_bytes(10, |_| 1).for_each(|_| ());
    g.source(0..9_u64).credits_bytes(0, |_| 1).for_each(|_| ());
    let error = g.plan(&pool).map(drop).expect_err("three defects");
    assert_eq!(error.defects().len(), 3, "{error}");
    let g = Graph::new();
    let panics = |x: &u64| if *x == 5 { panic!("trap") } else { 1 };
    g.source(0..9_u64).credits_bytes(1000, panics).for_each(|_| ());
    let error = g.plan(&pool).expect("no defect").run().expect_err("it panics");
    assert!(error.to_string().contains("source at") && error.to_string().contains("trap"), "{error}");
}

#[test]
fn a_source_gets_more_credits_only_where_its_graph_would_stall() {
    for workers in [1, 2] {
        let pool = Pool::builder().workers(workers).oversubscribe(true).build().expect("threads");
        for (max, stalls) in [(100, true), (999, true), (1000, false), (5000, false)] {
            // The right side waits with all batches for the last one of the left side.
            let g = Graph::new();
            let numbers = g.range(0..1000_u64).batch_size(1).credits(10).on_stall(OnStall::Grow { max });
            let (left, right) = numbers.tee();
            let pairs = left.filter(|x| *x == 999).zip(right).collect();
            let mut plan = g.plan(&pool).expect("no defect");
            match plan.run() {
                Ok(()) => assert!(!stalls && plan.take(pairs) == [(999, 0)], "{max}"),
                Err(error) => assert!(stalls && error.to_string().contains(&format!("its {max} credits")), "{error}"),
            }
        }
        // Nothing waits here: it stays at ten.
        let living = Living::default();
        let g = Graph::new();
        let items = g.source(0..500).batch_size(1).credits(10).on_stall(OnStall::Grow { max: 1000 });
        items.map(|_| living.heavy()).for_each_ordered(|_| thread::sleep(Duration::from_micros(50)));
        pool.run(g).expect("no failure");
        assert!(living.most.load(Relaxed) <= 10, "{}", living.most.load(Relaxed));
        // Neither does a receiver that takes its time make it more.
        let g = Graph::new();
        let items = g.source(0..500).batch_size(1).credits(10).on_stall(OnStall::Grow { max: 1000 });
        let living = Living::default();
        let mut slow = items.map(|_| living.heavy()).output();
        let mut plan = g.plan(&pool).expect("no defect");
        plan.run_while(|_| {
            for _ in 0..20 {
                thread::sleep(Duration::from_millis(1));
                drop(slow.next());
            }
            drop(slow);
        })
        .expect("no failure");
        assert!(living.most.load(Relaxed) <= 12, "{}", living.most.load(Relaxed));
    }
}

#[test]
fn weights_may_be_as_large_as_numbers_are() {
    for workers in [1, 4] {
        let pool = Pool::builder().workers(workers).oversubscribe(true).build().expect("threads");
        for bytes in [1, 1 << 63, u64::MAX] {
            for heavy in [1 << 63, u64::MAX] {
                let g = Graph::new();
                let items = g.source(0..300_u64).credits_bytes(bytes, move |x| if x % 3 == 0 { 1 } else { heavy });
                let all = items.map(|x| x).collect();
                assert_eq!(pool.run(g).expect("no failure").take(all), (0..300).collect::<Vec<_>>());
            }
        }
    }
}
