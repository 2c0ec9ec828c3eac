//! `aggregate`: how many values it makes of a stream, and that these depend on the stream alone.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use millstream::{Graph, Pool, RunControl};

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).oversubscribe(true).build().expect("threads")
}

/// A value that owns memory, and counts how many of it were made, and how many there are.
struct Owner<'a> {
    sum: Box<u64>,
    made: &'a AtomicUsize,
    alive: &'a AtomicUsize,
}

impl<'a> Owner<'a> {
    fn new(made: &'a AtomicUsize, alive: &'a AtomicUsize) -> Self {
        alive.fetch_add(1, SeqCst);
        Self { sum: Box::new(0), made, alive }
    }

    fn add(mut self, item: u64) -> Self {
        *self.sum += item;
        self
    }
}

impl Clone for Owner<'_> {
    fn clone(&self) -> Self {
        self.made.fetch_add(1, SeqCst);
        Self::new(self.made, self.alive).add(*self.sum)
    }
}

impl Drop for Owner<'_> {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

#[test]
fn values_that_own_memory_are_few_and_as_many_for_any_number_of_workers() {
    let (made, alive) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for (items, expected) in [(0, 0), (1, 1), (100, 100), (2000, 512), (10_000, 512), (500_000, 512), (2_000_000, 512)]
    {
        let slice: Vec<u64> = (0..items).collect();
        for workers in [1, 3] {
            let pool = pool(workers);
            let init = || Owner::new(&made, &alive);
            let g = Graph::new();
            let sum = g.range(0..items).filter(|x| x % 3 > 0).aggregate(init(), Owner::add, |a, b| a.add(*b.sum));
            let whole = pool.run(g).expect("no failure").take(sum);
            assert_eq!(*whole.sum, (0..items).filter(|x| x % 3 > 0).sum::<u64>());
            let of_range = made.swap(0, SeqCst);
            let g = Graph::new();
            let sum = g.slice(&slice).aggregate(init(), |sum, x| sum.add(*x), |a, b| a.add(*b.sum));
            let whole = pool.run(g).expect("no failure").take(sum);
            assert_eq!(*whole.sum, (0..items).sum::<u64>());
            let of_slice = made.swap(0, SeqCst);
            let expected = expected.max(1); // of no items it makes one in the end
            assert_eq!([of_range, of_slice], [expected; 2], "{items} items, {workers} workers");
        }
    }
    assert_eq!(alive.load(SeqCst), 0);
}

/// Who sets the size of batches has a value for each.
#[test]
fn a_batch_size_is_kept() {
    let (made, alive) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let g = Graph::new();
    let items = g.range(0..10_000_u64).batch_size(2);
    let sum = items.aggregate(Owner::new(&made, &alive), Owner::add, |a, b| a.add(*b.sum));
    assert_eq!(*pool(2).run(g).expect("no failure").take(sum).sum, 49_995_000);
    assert_eq!(made.load(SeqCst), 5000);
}

#[test]
fn floats_add_up_to_the_same_bits_whatever_they_are_kept_in() {
    for items in [100, 5000, 500_000] {
        let sums = |workers: usize| {
            let pool = pool(workers);
            (0..if items < 500_000 { 50 } else { 2 }).map(move |_| {
                let g = Graph::new();
                let root = |x: u64| (x as f64).sqrt();
                let plain = g.range(0..items).aggregate(0.0, |sum, x| sum + root(x), |a, b| a + b);
                let boxed = g.range(0..items).aggregate(
                    Box::new(0.0),
                    |sum, x| Box::new(*sum + root(x)),
                    |a, b| Box::new(*a + *b),
                );
                let mut run = pool.run(g).expect("no failure");
                (run.take(plain).to_bits(), run.take(boxed).to_bits())
            })
        };
        let mut all: Vec<(u64, u64)> =
            [1, 2, 3, 8].into_iter().flat_map(|workers| sums(workers).collect::<Vec<_>>()).collect();
        all.dedup();
        assert_eq!(all.len(), 1, "{items} items: {all:?}");
    }
}

/// The one worker stops in the middle of what becomes one value, for a closure that has waited for too long. If it goes on
/// afterwards, it goes on with that value; if the closure cancels the run, the value is dropped.
#[test]
fn a_worker_that_stops_between_two_batches_of_a_value_goes_on_with_it() {
    for cancels in [false, true] {
        let pool = pool(1);
        let (made, alive): (&AtomicUsize, &AtomicUsize) = (Box::leak(Box::default()), Box::leak(Box::default()));
        let (seen, before) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let control: Arc<OnceLock<RunControl>> = Arc::default();
        let call = {
            let (seen, before, control) = (Arc::clone(&seen), Arc::clone(&before), Arc::clone(&control));
            move || {
                before.store(seen.load(SeqCst), SeqCst);
                if cancels {
                    control.wait().cancel();
                }
            }
        };
        let handle = pool.handle();
        let g = Graph::new();
        // 1024 batches of two items, and a value for each two batches.
        let items = g.range(0..2048_u64).inspect(move |x| {
            let first_run = seen.fetch_add(1, SeqCst) < 2048;
            if *x == 403 && first_run {
                let (handle, call) = (handle.clone(), call.clone());
                thread::spawn(move || handle.spawn(call).expect("an open pool")).join().expect("it only spawns");
            } else if *x == 404 && first_run {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let sum = items.aggregate(Owner::new(made, alive), Owner::add, |a, b| a.add(*b.sum));
        let running = g.plan(&pool).expect("no defect").start();
        assert!(control.set(running.remote().expect("it has begun")).is_ok());
        let (mut plan, ran) = running.finish();
        assert_eq!((ran.is_err(), before.load(SeqCst)), (cancels, 406));
        assert_eq!(alive.load(SeqCst), if cancels { 1 } else { 2 }, "the first value, and the result");
        if cancels {
            plan.run().expect("nobody cancels it");
        }
        assert_eq!(*plan.take(sum).sum, (0..2048).sum::<u64>());
    }
}
