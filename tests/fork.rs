//! A pool in the child of a fork has no threads: nothing hangs there, and what was asked is said to be in vain.
#![cfg(unix)]
#![expect(unsafe_code, reason = "forks")]
#![expect(clippy::print_stderr, reason = "what a child has to say")]

mod alone;

use std::panic::{self, AssertUnwindSafe, catch_unwind};

use alone::alone;
use millstream::{Closed, Graph, Plan, Pool, PoolHandle, RunErrorKind};

/// Calls `work` in a child, which ends well if it comes back in time.
fn in_child(work: impl FnOnce()) {
    // SAFETY: (1) the child calls what the test is about; (2) glibc's allocator may be used there.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no child");
    if child == 0 {
        // SAFETY: ends the child if it hangs.
        unsafe { libc::alarm(10) };
        let done = catch_unwind(AssertUnwindSafe(work));
        if let Err(panic) = &done {
            let text = panic.downcast_ref::<String>().cloned();
            eprintln!(
                "in the child: {:?}",
                text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            );
        }
        // SAFETY: the child is not to run the rest of the tests.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    let mut status = 0;
    // SAFETY: the status lives while the call does.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "in the child");
}

/// `call` panics, and says why.
fn is_in_vain<R>(what: &str, call: impl FnOnce() -> R) {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(call()))).expect_err(what);
    let text = panic.downcast_ref::<&'static str>().expect(what);
    assert!(text.contains("fork"), "{what}: {text}");
}

fn sum(g: &Graph<'_>) -> millstream::Data<u64> {
    g.range(0..1000_u64).sum()
}

fn asks_from_outside(pool: &Pool, handle: &PoolHandle, plan: &mut Plan<'_>) {
    is_in_vain("spawn", || pool.spawn(|| unreachable!()));
    is_in_vain("broadcast", || pool.broadcast(|_| ()));
    is_in_vain("join", || pool.join(|| (), || ()));
    is_in_vain("scope", || pool.scope(|s| s.spawn(|_| ())));
    is_in_vain("for_each", || pool.for_each(0..1000, |_| ()));
    is_in_vain("aggregate", || pool.aggregate(0..1000, || 0, |a, b| a + b, |a, b| a + b));
    assert_eq!(pool.block_in_place(|| 7), 7);
    let g = Graph::new();
    let _ = sum(&g);
    let error = pool.run(g).expect_err("no threads");
    assert_eq!(error.as_run().map(millstream::RunError::kind), Some(&RunErrorKind::Forked), "{error}");
    assert!(error.to_string().contains("fork"), "{error}");
    assert_eq!(plan.run().expect_err("no threads").kind(), &RunErrorKind::Forked);
    assert_eq!(handle.join(|| 1, || 2), Err(Closed));
    assert_eq!(handle.spawn(|| unreachable!()), Err(Closed));
    assert!(Closed.to_string().contains("fork"));
}

#[test]
fn a_pool_is_of_no_use_in_a_child() {
    alone("a_pool_is_of_no_use_in_a_child", || {
        panic::set_hook(Box::new(|_| ()));
        let build = |elastic| Pool::builder().workers(2).oversubscribe(true).elastic(elastic).build();
        for elastic in [false, true] {
            let pool = build(elastic).expect("threads");
            pool.for_each(0..1000, |_| ());
            pool.broadcast(|_| ());
            let g = Graph::new();
            let of_all = sum(&g);
            let again = g.task(of_all.read(), |sum| *sum);
            let mut plan = g.plan(&pool).expect("no defect");
            plan.run().expect("a good run");
            let handle = pool.handle();
            let mut own = Some((pool, plan));
            in_child(|| {
                let (pool, mut plan) = own.take().expect("the child's own");
                asks_from_outside(&pool, &handle, &mut plan);
                assert!(plan.try_get(&of_all).is_none() && plan.try_get(&again).is_none());
                drop(plan);
                drop(pool);
                drop(handle.clone());
                let new = build(elastic).expect("threads of the child's");
                assert_eq!(new.join(|| 1, || 2), (1, 2));
                assert_eq!(new.broadcast(|worker| worker), [0, 1]);
                new.spawn(|| ());
                in_child(|| is_in_vain("a grandchild", || new.join(|| 1, || 2)));
                drop(new);
            });
            let (pool, mut plan) = own.take().expect("the parent's own");
            plan.run().expect("it goes on in the parent");
            assert_eq!(plan.take(of_all), 499_500);
            // A worker forks: in its child it works alone.
            let forks = |worker: usize| {
                if worker == 0 {
                    in_child(|| {
                        is_in_vain("spawn", || pool.spawn(|| unreachable!()));
                        is_in_vain("broadcast", || pool.broadcast(|_| ()));
                        assert_eq!(pool.join(|| 1, || 2), (1, 2));
                        pool.scope(|s| (0..10).for_each(|_| s.spawn(|_| ())));
                        assert_eq!(handle.join(|| 1, || 2), Err(Closed));
                    });
                }
            };
            pool.broadcast(forks);
            drop(plan);
            drop(pool);
        }
    });
}
