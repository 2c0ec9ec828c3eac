//! A type with synchronisation of its own, and how it is checked beside the library.
//!
//! Three tools each see a part. loom tries what the memory model allows for the type alone: it takes loom's atomics in place of the
//! real ones under `--cfg loom`, and the library stays as it is. `millstream::check` tries every order of the calls of a graph that
//! uses the type, as one of steps that all threads see alike. A plain run shows that both are about the same code.
//!
//! ```text
//! cargo test --test own_sync                                        # the graph, on threads
//! cargo test --test own_sync --features check                       # the graph, in every schedule
//! RUSTFLAGS="--cfg loom" cargo test --profile loom --test own_sync  # the type, in every execution
//! ```

#![allow(clippy::tests_outside_test_module, reason = "an integration test")]

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A number that one thread sets once, and others read if it is there.
struct Found {
    number: AtomicU64,
    is_there: AtomicBool,
}

impl Found {
    fn new() -> Self {
        Self { number: AtomicU64::new(0), is_there: AtomicBool::new(false) }
    }

    fn set(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
        self.is_there.store(true, Ordering::Release); // with Relaxed the model fails
    }

    fn get(&self) -> Option<u64> {
        self.is_there.load(Ordering::Acquire).then(|| self.number.load(Ordering::Relaxed))
    }
}

#[cfg(loom)]
#[test]
fn who_finds_it_finds_the_number() {
    loom::model(|| {
        let found = loom::sync::Arc::new(Found::new());
        let other = found.clone();
        let setter = loom::thread::spawn(move || other.set(7));
        assert!(matches!(found.get(), None | Some(7)));
        setter.join().expect("no panic");
        assert_eq!(found.get(), Some(7));
    });
}

/// The first multiple of 7 is kept, and what comes later may see it.
#[cfg(not(loom))]
fn search(pool: &millstream::Pool) -> (u64, Option<u64>) {
    let found = Found::new();
    let g = millstream::Graph::new();
    let all = g.source(5..9_u64).batch_size(1).inspect(|x| {
        if x % 7 == 0 {
            found.set(*x);
        }
        assert!(matches!(found.get(), None | Some(7)));
    });
    let count = all.count();
    let count = pool.run(g).expect("runs").take(count);
    (count, found.get())
}

#[cfg(not(loom))]
#[test]
fn a_graph_uses_it_on_threads() {
    let pool = millstream::Pool::builder().workers(2).build().expect("a pool");
    assert_eq!(search(&pool), (4, Some(7)));
}

#[cfg(all(feature = "check", not(loom)))]
#[test]
fn a_graph_uses_it_in_every_schedule() {
    let explored = millstream::check::exhaustive(search).expect("the same in every schedule");
    assert!(explored.is_complete());
    assert_eq!(*explored.value(), (4, Some(7)));
}
