//! What can be told of an error without its text: of what kind it is, and where the one is who has made it.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use millstream::memory::NodeMemory;
use millstream::{
    Error, Graph, MemoryErrorKind, Pool, PoolBuilder, PoolErrorKind, RunControl, RunError, RunErrorKind, Topology,
    TopologyErrorKind,
};

fn topology_kind(made: Result<Topology, Error>) -> TopologyErrorKind {
    match made {
        Err(Error::Topology(error)) => error.kind(),
        other => panic!("no machine, not {other:?}"),
    }
}

fn memory_kind(made: Result<NodeMemory<u64>, Error>) -> MemoryErrorKind {
    match made {
        Err(Error::Memory(error)) => error.kind(),
        other => panic!("no memory, not {:?}", other.map(|memory| memory.len())),
    }
}

fn pool_kind(builder: PoolBuilder) -> PoolErrorKind {
    match builder.build() {
        Err(Error::Pool(error)) => error.kind(),
        other => panic!("no pool, not {other:?}"),
    }
}

#[test]
fn machines() {
    let empty = std::env::temp_dir().join(format!("millstream-errors-{}", std::process::id()));
    fs::create_dir_all(&empty).expect("a folder");
    assert_eq!(topology_kind(Topology::read(&empty)), TopologyErrorKind::NoCpus);
    fs::remove_dir(&empty).expect("it is empty");
    assert_eq!(topology_kind(Topology::read(Path::new("/nowhere/at/all"))), TopologyErrorKind::Unreadable);
    assert_eq!(topology_kind(Topology::synthetic("numa:0")), TopologyErrorKind::Description);
    #[cfg(feature = "hwloc")]
    assert_eq!(topology_kind(Topology::from_hwloc_xml("no xml")), TopologyErrorKind::Hwloc);
}

#[test]
fn memory() {
    assert_eq!(memory_kind(NodeMemory::on_node(1, 12_345)), MemoryErrorKind::NoNode);
    assert_eq!(memory_kind(NodeMemory::interleaved(usize::MAX / 8)), MemoryErrorKind::OutOfMemory);
}

#[test]
fn pools() {
    assert_eq!(pool_kind(Pool::builder().workers(0)), PoolErrorKind::Workers);
    assert_eq!(pool_kind(Pool::builder().workers(32_713)), PoolErrorKind::Workers);
    assert_eq!(pool_kind(Pool::builder().workers(1).name("ren\0der")), PoolErrorKind::Name);
    let hook = |_| std::panic::panic_any("no");
    assert_eq!(pool_kind(Pool::builder().workers(1).on_thread_start(hook)), PoolErrorKind::Hook);
}

/// The largest number that the documentation names.
#[test]
fn the_text_says_how_many_workers_there_may_be() {
    let Err(Error::Pool(error)) = Pool::builder().workers(32_713).build() else { panic!("too many") };
    assert!(error.to_string().contains("1 to 32712 workers"), "{error}");
}

/// Absent data is the fault of who asks for it.
#[test]
fn who_asks_for_absent_data_is_named() {
    let pool = Pool::builder().workers(1).build().expect("a pool");
    let g = Graph::new();
    let sum = g.range(0..10).sum::<u32>();
    let mut plan = g.plan(&pool).expect("no defect"); // which has not run
    let (lines, me) = (Arc::new(Mutex::new(Vec::new())), thread::current().id());
    let noted = Arc::clone(&lines);
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().id() == me {
            let at = info.location().expect("a panic has a place");
            noted.lock().expect("no panic").push((at.file().to_owned(), at.line()));
        } else {
            others(info);
        }
    }));
    let first = line!() + 1;
    assert!(catch_unwind(AssertUnwindSafe(|| _ = plan.get(&sum))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| _ = plan.get_mut(&sum))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| _ = plan.take(sum.clone()))).is_err());
    drop(std::panic::take_hook());
    let places: Vec<_> = (first..first + 3).map(|line| (file!().to_owned(), line)).collect();
    assert_eq!(*lines.lock().expect("no panic"), places);
}

/// An error of the caller's, which cannot be cloned.
#[derive(Debug, PartialEq)]
struct TooLarge(u32);

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is too large", self.0)
    }
}

impl std::error::Error for TooLarge {}

/// Who returns an error gets that one back, and nothing in its place if the run has failed in another way.
#[test]
fn the_callers_own_error_comes_back() {
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let failure = |check: fn(u32) -> Result<u32, TooLarge>| -> RunError {
        let g = Graph::new();
        drop(g.range(0..100).batch_size(3).try_map(check).collect());
        match pool.run(g).map(drop) {
            Err(Error::Run(error)) => error,
            other => panic!("a failure of the run, not {other:?}"),
        }
    };
    let failed = failure(|x| if x < 70 { Ok(x) } else { Err(TooLarge(x)) });
    let own = failed.into_source().expect("an error").downcast::<TooLarge>().expect("of that type");
    assert_eq!(*own, TooLarge(70), "the first one in stream order");
    let panicked = failure(|_| std::panic::panic_any(7));
    assert_eq!(panicked.kind(), &RunErrorKind::Panicked);
    assert!(panicked.into_source().is_none());
}

/// A cancel drops batches before the failure: how many items came before it is not known then.
#[test]
fn a_failure_in_a_run_that_was_cancelled_has_no_item() {
    let pool = Pool::builder().workers(2).oversubscribe(true).build().expect("a pool");
    let (control, step) = (Arc::new(OnceLock::<RunControl>::new()), AtomicU32::new(0));
    let own = Arc::clone(&control);
    let g = Graph::new();
    let fails = move |x: u64| {
        let wait_for = |wanted| {
            let patience = Instant::now() + Duration::from_secs(10);
            while step.load(Ordering::Acquire) < wanted || own.get().is_none() {
                assert!(Instant::now() < patience, "the other worker takes its part of the range");
                thread::yield_now();
            }
        };
        if x == 0 {
            step.store(1, Ordering::Release);
            return wait_for(2);
        }
        wait_for(1);
        own.get().expect("it was set").cancel();
        step.store(2, Ordering::Release);
        panic!("it fails far behind the first item");
    };
    drop(g.range(0..100).batch_size(1).for_each(fails).named("fails"));
    let running = g.plan(&pool).expect("no defect").start();
    control.set(running.remote().expect("it begins")).expect("once");
    let error = running.join().map(drop).expect_err("it panicked");
    assert_eq!((error.kind(), error.operator()), (&RunErrorKind::Panicked, Some("fails")));
    assert_eq!(error.item(), None, "items before it were dropped");
}
