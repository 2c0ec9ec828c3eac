//! A run that fails, is cancelled or loses its pool ends at once, however much is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use millstream::{Error, Graph, Pool, RunErrorKind};

/// Far less than a walk over what is left would take, and far more than the end takes.
const SOON: Duration = Duration::from_secs(10);

/// Runs a graph that fails at once; how long that took.
fn fails(pool: &Pool, build: impl for<'g> FnOnce(&'g Graph<'_>)) -> Duration {
    let g = Graph::new();
    build(&g);
    let start = Instant::now();
    let item = failure(pool.run(g).expect_err("it fails"));
    assert_eq!(item, Some(5));
    start.elapsed()
}

/// The item that a run has failed on.
fn failure(error: Error) -> Option<u64> {
    let Error::Run(error) = error else { panic!("{error}") };
    error.item()
}

fn unless_five(x: u64) -> Result<u64, &'static str> {
    if x == 5 { Err("five") } else { Ok(x) }
}

fn pools() -> impl Iterator<Item = Pool> {
    [1, 2, 8].into_iter().map(|workers| Pool::builder().workers(workers).oversubscribe(true).build().expect("a pool"))
}

#[test]
fn a_range_that_fails() {
    for pool in pools() {
        for end in [1 << 36, 1 << 48, u64::MAX] {
            let took = fails(&pool, |g| _ = g.range(0..end).try_map(unless_five).count());
            assert!(took < SOON, "{end}: {took:?}");
            let took = fails(&pool, |g| _ = g.range(0..end).try_map(unless_five).reduce(u64::wrapping_add));
            assert!(took < SOON, "{end}: {took:?}");
            let took = fails(&pool, |g| _ = g.range(0..end).try_map(unless_five).key_by(|x| x % 7).count());
            assert!(took < SOON, "{end}: {took:?}");
            let took = fails(&pool, |g| _ = g.range(0..end).try_map(unless_five).collect());
            assert!(took < SOON, "{end}: {took:?}");
        }
    }
}

#[test]
fn a_range_beside_one_that_fails() {
    for pool in pools() {
        let took = fails(&pool, |g| {
            g.range(0..u64::MAX).for_each(|_| ());
            _ = g.range(0..u64::MAX).map(|x| x / 3).sum::<u64>();
            g.range(0..100).try_map(unless_five).for_each(|_| ());
        });
        assert!(took < SOON, "{took:?}");
    }
}

/// What must be dropped is dropped, once.
#[test]
fn a_vector_that_fails() {
    struct Counted<'a>(u64, &'a AtomicUsize);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    for pool in pools() {
        // Units are all alike. If one failed for its place in time, a thread could be at it in the upper half of them,
        // and then all of the lower half would have to be gone through. So each of them fails, and the first is named.
        let start = Instant::now();
        let g = Graph::new();
        let _count = g.vec(vec![(); usize::MAX]).try_map(|()| Err::<(), _>("each")).count();
        assert_eq!(failure(pool.run(g).expect_err("it fails")), Some(0));
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        let took = fails(&pool, |g| _ = g.vec((0..1 << 24).collect::<Vec<u64>>()).try_map(unless_five).count());
        assert!(took < SOON, "{took:?}");
        for batch in [1, 3, 100, 1 << 20] {
            let dropped = AtomicUsize::new(0);
            let items = (0..10_000).map(|x| Counted(x, &dropped)).collect::<Vec<_>>();
            let g = Graph::new();
            let _count = g.vec(items).batch_size(batch).try_map(|x| unless_five(x.0)).count();
            pool.run(g).expect_err("it fails");
            assert_eq!(dropped.into_inner(), 10_000, "batches of {batch}");
        }
    }
}

#[test]
fn records_that_fail() {
    let bytes = "abcdefg\n".repeat(1 << 23);
    for pool in pools() {
        let g = Graph::new();
        let _count = g.split(bytes.as_bytes(), b'\n').try_map(|_| Err::<(), _>("the first")).count();
        let start = Instant::now();
        assert_eq!(failure(pool.run(g).expect_err("it fails")), Some(0));
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    }
}

#[test]
fn a_pool_that_is_dropped() {
    for pool in pools() {
        let g = Graph::new();
        let count = g.range(0..1_u64 << 40).filter(|x| x % 3 == 0).count();
        let mut plan = g.plan(&pool).expect("sound");
        let run = thread::spawn(move || {
            let error = plan.run().expect_err("its pool is dropped");
            drop(count);
            error
        });
        thread::sleep(Duration::from_millis(20));
        let start = Instant::now();
        drop(pool);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(run.join().expect("no panic").kind(), &RunErrorKind::Cancelled);
    }
}

/// How many items a source has handed on, and how many went with nobody having worked on them.
fn books(result: Result<(), Error>) -> [u64; 2] {
    let Err(Error::Run(error)) = result else { panic!("it fails") };
    let source = &error.report().operators()[0];
    [source.items_out(), source.items_dropped()]
}

#[test]
fn what_lies_behind_a_failure_is_accounted_for() {
    for pool in pools() {
        for _ in 0..20 {
            let g = Graph::new();
            let _count = g.range(0..3000).batch_size(3).try_map(|x| if x == 100 { Err("no") } else { Ok(x) }).count();
            let [out, dropped] = books(pool.run(g).map(|_| ()));
            assert_eq!(out + dropped, 3000, "{out} and {dropped}");
        }
    }
}

/// The value that an aggregate begins a batch with is made by user code.
#[test]
fn a_batch_that_cannot_begin_is_dropped() {
    struct Third<'a>(&'a AtomicUsize);
    impl Clone for Third<'_> {
        fn clone(&self) -> Self {
            assert_ne!(self.0.fetch_add(1, Ordering::Relaxed), 3, "a clone");
            Self(self.0)
        }
    }
    for pool in pools() {
        for _ in 0..20 {
            let (clones, live) = (AtomicUsize::new(0), Arc::new(()));
            let g = Graph::new();
            let items = g.vec(vec![Arc::clone(&live); 300]).batch_size(3);
            let _all = items.aggregate(Third(&clones), |all, _| all, |all, _| all);
            let [out, dropped] = books(pool.run(g).map(|_| ()));
            assert_eq!(out + dropped, 300, "{out} and {dropped}");
            assert_eq!(Arc::strong_count(&live), 1, "each is dropped once");
        }
    }
}
