//! A worker that never runs out of work of its own still comes to the jobs of others. Virtual workers have no time, so
//! nothing is overdue here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::PoolHandle;
use crate::check::once;
use crate::sync::seam;

/// More calls than there are in a fair pool.
const MANY: usize = 2000;

/// A closure that spawns itself again until it is told to end.
struct Again {
    calls: AtomicUsize,
    is_over: AtomicBool,
}

fn again(state: Arc<Again>, handle: PoolHandle) {
    let calls = state.calls.fetch_add(1, Ordering::Relaxed);
    let next = handle.clone();
    if calls < MANY && !state.is_over.load(Ordering::Relaxed) {
        handle.spawn(move || again(state, next)).expect("an open pool");
    }
}

#[test]
fn a_worker_with_jobs_of_its_own_looks_at_the_injector() {
    for seed in 0..10 {
        let state = Arc::new(Again { calls: AtomicUsize::new(0), is_over: AtomicBool::new(false) });
        let calls = || state.calls.load(Ordering::Relaxed);
        let between = once(1, seed, |pool| {
            let (first, handle) = (Arc::clone(&state), pool.handle());
            pool.spawn(move || again(first, handle));
            assert!(seam::block(&|| calls() > 0));
            let (ends, before) = (Arc::clone(&state), calls());
            pool.spawn(move || ends.is_over.store(true, Ordering::Relaxed));
            assert!(seam::block(&|| state.is_over.load(Ordering::Relaxed) || calls() > MANY));
            calls() - before
        });
        assert!(between < 200, "{between} closures of its own came first");
    }
}
