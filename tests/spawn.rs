//! Closures that nobody waits for, handles, broadcasts, and threads that block.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use millstream::{Closed, Error, Graph, Pool, Scope};

#[path = "patience/mod.rs"]
mod patience;
use patience::within_patience;

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().expect("a pool")
}

/// A closure that counts, for use again and again.
fn counter() -> (Arc<AtomicUsize>, impl Fn() + Clone + Send + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    (count, move || _ = counted.fetch_add(1, Ordering::Relaxed))
}

// ---------------------------------------------------------------------------------------------------------------------
// spawn

#[test]
fn all_that_was_spawned_is_called_before_the_pool_ends() {
    within_patience(|| {
        for workers in [1, 2, 4] {
            for round in 0..200 {
                let (count, call) = counter();
                let pool = pool(workers);
                (0..round).for_each(|_| pool.spawn(call.clone()));
                pool.scope(|s| (0..round).for_each(|_| s.spawn(|_| pool.spawn(call.clone()))));
                drop(pool);
                assert_eq!(count.load(Ordering::Relaxed), 2 * round);
            }
        }
    });
}

#[test]
fn a_panic_of_a_spawned_closure_goes_to_the_handler_and_no_further() {
    within_patience(|| {
        let (send, panics) = mpsc::channel();
        let handler = move |payload| {
            let _ = send.send(payload);
            panic_any("a handler that panics");
        };
        let pool = Pool::builder().workers(1).panic_handler(handler).build().expect("a pool");
        pool.spawn(|| panic_any("spawned"));
        assert_eq!(panics.recv().expect("one").downcast_ref(), Some(&"spawned"));
        assert_eq!(pool.broadcast(|worker| worker), [0]);
        drop(pool);
        assert!(panics.recv().is_err(), "one panic");
    });
}

/// Without a handler what a panic throws is dropped, and what that throws too.
#[test]
fn a_payload_that_panics_when_it_is_dropped_harms_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any("a payload's drop");
        }
    }
    within_patience(|| {
        let pool = pool(1);
        (0..10).for_each(|_| pool.spawn(|| panic_any(Bomb)));
        assert_eq!(pool.broadcast(|worker| worker), [0]);
    });
}

#[test]
fn a_closure_spawns_more_until_the_pool_closes() {
    within_patience(|| {
        fn again(handle: &millstream::PoolHandle, refused: &mpsc::Sender<Closed>) {
            let (next, told) = (handle.clone(), refused.clone());
            if let Err(closed) = handle.spawn(move || again(&next, &told)) {
                refused.send(closed).expect("somebody waits");
            }
        }
        for workers in [1, 3] {
            let pool = pool(workers);
            let (refused, refusals) = mpsc::channel();
            for _ in 0..3 {
                let (handle, refused) = (pool.handle(), refused.clone());
                pool.spawn(move || again(&handle, &refused));
            }
            drop(pool);
            drop(refused);
            assert_eq!(refusals.iter().count(), 3, "each chain is refused once, at its end");
        }
    });
}

/// Threads spawn while the pool closes: what was not refused is called.
#[test]
fn each_closure_is_called_or_refused() {
    within_patience(|| {
        for round in 0..300 {
            let pool = pool(1 + round % 3);
            let (count, call) = counter();
            let barrier = Arc::new(Barrier::new(3));
            let spawners: Vec<_> = (0..2)
                .map(|_| {
                    let (handle, call, barrier) = (pool.handle(), call.clone(), Arc::clone(&barrier));
                    thread::spawn(move || {
                        barrier.wait();
                        (0..50).filter(|_| handle.spawn(call.clone()).is_ok()).count()
                    })
                })
                .collect();
            barrier.wait();
            drop(pool);
            let accepted: usize = spawners.into_iter().map(|spawner| spawner.join().expect("no panic")).sum();
            assert_eq!(count.load(Ordering::Relaxed), accepted);
        }
    });
}

#[test]
fn a_spawned_closure_drops_its_pool() {
    within_patience(|| {
        for workers in [1, 2] {
            let pool = Arc::new(pool(workers));
            let (done, ends) = mpsc::channel();
            let (kept, handle) = (Arc::clone(&pool), pool.handle());
            pool.spawn(move || {
                while Arc::strong_count(&kept) > 1 {
                    thread::yield_now();
                }
                drop(kept); // the last one: on a thread of the pool
                done.send(handle.spawn(|| ())).expect("somebody waits");
            });
            drop(pool);
            assert_eq!(ends.recv(), Ok(Err(Closed)));
        }
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Handles

#[test]
fn a_handle_has_what_the_pool_has_until_that_is_dropped() {
    within_patience(|| {
        let pool = pool(2);
        let handle = pool.handle();
        let use_all = {
            let handle = handle.clone();
            move || -> Result<(), Error> {
                assert_eq!(handle.join(|| 1, || 2)?, (1, 2));
                let mut places = [0; 8];
                handle.scope(|s| places.iter_mut().enumerate().for_each(|(i, p)| s.spawn(move |_| *p = i)))?;
                assert_eq!(places, [0, 1, 2, 3, 4, 5, 6, 7]);
                assert_eq!(handle.broadcast(|worker| worker)?, [0, 1]);
                assert_eq!(handle.block_in_place(|| 7)?, 7);
                assert_eq!(handle.with(Pool::workers)?, 2);
                let g = Graph::new();
                let sum = g.range(0..10_u32).sum::<u32>();
                assert_eq!(handle.run(g)?.take(sum), 45);
                let (send, receive) = mpsc::channel();
                handle.spawn(move || send.send(()).expect("somebody waits"))?;
                handle.block_in_place(|| receive.recv())?.expect("it is called");
                Ok(())
            }
        };
        use_all().expect("an open pool");
        let inside = pool.join(&use_all, &use_all);
        inside.0.expect("an open pool");
        inside.1.expect("an open pool");
        drop(pool);
        assert!(matches!(use_all(), Err(Error::Closed(Closed))));
        assert_eq!(handle.join(|| panic!("not called"), || ()).map(|((), ())| ()), Err(Closed));
        assert_eq!(handle.scope(|_| panic!("not called")), Err::<(), _>(Closed));
        assert_eq!(handle.spawn(|| panic!("not called")), Err(Closed));
        assert_eq!(handle.broadcast(|_| panic!("not called")), Err::<Vec<()>, _>(Closed));
        assert_eq!(handle.block_in_place(|| panic!("not called")), Err::<(), _>(Closed));
        assert!(matches!(handle.run(Graph::new()), Err(Error::Closed(Closed))));
    });
}

/// The pool waits for what handles have begun, and a visitor that drops it itself waits for nothing.
#[test]
fn a_visitor_may_drop_the_pool() {
    within_patience(|| {
        let pool = pool(2);
        let handle = pool.handle();
        let inside = handle.with(|open| {
            drop(pool);
            open.join(|| 1, || 2)
        });
        assert_eq!(inside, Ok((1, 2)));
        assert_eq!(handle.join(|| 1, || 2), Err(Closed));
    });
}

#[test]
fn dropping_the_pool_waits_for_visitors() {
    within_patience(|| {
        let pool = pool(1);
        let (handle, probe) = (pool.handle(), pool.handle());
        let (begun, begins) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel();
        let visitor = thread::spawn(move || {
            handle.with(|pool| {
                begun.send(()).expect("somebody waits");
                goes_on.recv().expect("it is told");
                pool.join(|| 1, || 2)
            })
        });
        begins.recv().expect("it begins");
        let dropping = thread::spawn(move || drop(pool));
        while probe.spawn(|| ()).is_ok() {}
        assert!(!dropping.is_finished(), "somebody is inside");
        go_on.send(()).expect("it waits");
        assert_eq!(visitor.join().expect("no panic"), Ok((1, 2)));
        dropping.join().expect("no panic");
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// broadcast

thread_local! {
    static MARK: Cell<Option<usize>> = const { Cell::new(None) };
}

#[test]
fn each_worker_calls_a_broadcast_on_its_own_thread() {
    within_patience(|| {
        for workers in [1, 2, 4] {
            let pool = pool(workers);
            let ids = pool.broadcast(|worker| {
                MARK.set(Some(worker));
                thread::current().id()
            });
            for round in 0..200 {
                let marks = pool.broadcast(|worker| (worker, MARK.get(), thread::current().id()));
                let expected: Vec<_> = (0..workers).map(|worker| (worker, Some(worker), ids[worker])).collect();
                assert_eq!(marks, expected, "round {round}");
            }
        }
    });
}

#[test]
fn broadcasts_from_everywhere_at_once() {
    within_patience(|| {
        for workers in [1, 2, 4] {
            let pool = pool(workers);
            let all: Vec<_> = (0..workers).collect();
            let check = || assert_eq!(pool.broadcast(|worker| worker), all);
            for _ in 0..30 {
                // From workers that are waited for by others, by threads that block, and by guests without a seat.
                pool.join(|| pool.join(check, check), || pool.scope(|s| (0..4).for_each(|_| s.spawn(|_| check()))));
                pool.scope(|s| (0..4).for_each(|_| s.spawn(|_| pool.block_in_place(check))));
                let g = Graph::new();
                g.range(0..8_u32).batch_size(1).for_each(|_| check());
                pool.run(g).expect("a good run");
                thread::scope(|threads| (0..10).for_each(|_| drop(threads.spawn(check))));
            }
        }
    });
}

/// Below what a worker does in another pool it is a worker of its own one all the same.
#[test]
fn a_worker_broadcasts_out_of_another_pool() {
    within_patience(|| {
        let (one, other) = (pool(2), pool(1));
        let (sums, ()) = one.join(
            || other.join(|| one.broadcast(|worker| worker).iter().sum::<usize>(), || 2),
            || assert_eq!(one.broadcast(|worker| worker), [0, 1]),
        );
        assert_eq!(sums, (1, 2));
    });
}

#[test]
fn a_panic_leaves_a_broadcast_after_all_have_called_it() {
    within_patience(|| {
        let pool = pool(4);
        let ended = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.broadcast(|worker| {
                ended.fetch_add(1, Ordering::Relaxed);
                if worker % 2 == 1 {
                    panic_any(worker);
                }
                Box::new(worker)
            })
        }));
        assert_eq!(result.expect_err("two panic").downcast_ref(), Some(&1_usize));
        assert_eq!(ended.into_inner(), 4);
        assert_eq!(pool.broadcast(|worker| worker), [0, 1, 2, 3]);
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Threads that block

/// Lets closures on `threads` threads of the pool block at the same time; what they do when all do is `then`.
fn block(pool: &Pool, threads: usize, then: impl FnOnce()) {
    let barrier = Arc::new(Barrier::new(threads + 1));
    let (over, ends) = mpsc::channel::<()>();
    let (open, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    for _ in 0..threads {
        let (handle, barrier, gate, over) = (pool.handle(), Arc::clone(&barrier), Arc::clone(&gate), over.clone());
        pool.spawn(move || {
            let opened = handle.block_in_place(|| {
                barrier.wait();
                gate.lock().expect("no panic").recv()
            });
            assert!(opened.expect("an open pool").is_err(), "the sender goes");
            drop(over);
        });
    }
    drop(over);
    barrier.wait();
    then();
    drop(open);
    assert!(ends.recv().is_err(), "all are back");
}

/// Waits until the pool has called a closure.
fn calls(pool: &Pool) {
    let (called, calls) = mpsc::channel();
    pool.spawn(move || called.send(()).expect("somebody waits"));
    calls.recv().expect("it is called");
}

#[test]
fn a_compensator_works_while_all_workers_block() {
    within_patience(|| {
        for workers in [1, 2, 4] {
            let pool = pool(workers);
            assert_eq!(pool.compensating_threads(), 0);
            for _ in 0..20 {
                calls(&pool);
                if workers > 1 {
                    block(&pool, 1, || calls(&pool)); // another worker does
                }
            }
            for _ in 0..20 {
                block(&pool, workers, || (0..10).for_each(|_| calls(&pool)));
                assert!((1..=workers).contains(&pool.compensating_threads()), "{}", pool.compensating_threads());
                assert_eq!(pool.join(|| 1, || 2), (1, 2));
                calls(&pool);
            }
            assert_eq!(pool.compensating_threads_refused(), 0);
        }
    });
}

#[test]
fn there_are_at_most_as_many_compensators_as_workers() {
    within_patience(|| {
        for workers in [1, 2, 4] {
            let pool = pool(workers);
            let (called, calls) = mpsc::channel();
            block(&pool, 2 * workers, || {
                assert_eq!(pool.compensating_threads(), workers);
                pool.spawn(move || called.send(()).expect("somebody waits"));
                assert!(calls.try_recv().is_err(), "nobody is left to call it");
            });
            calls.recv().expect("it is called");
            assert_eq!(pool.compensating_threads(), workers);
            drop(pool);
        }
    });
}

/// One worker waits for what another one does, and that one blocks without saying so: a compensating thread is there
/// for the rest.
#[test]
fn a_long_wait_lends_its_slot() {
    within_patience(|| {
        for _ in 0..10 {
            let pool = pool(2);
            let (handle, barrier) = (pool.handle(), Arc::new(Barrier::new(2)));
            let also = Arc::clone(&barrier);
            let (give, given) = mpsc::channel();
            let (over, ends) = mpsc::channel();
            pool.spawn(move || {
                let join = handle.join(
                    || _ = barrier.wait(),
                    move || {
                        also.wait();
                        given.recv()
                    },
                );
                over.send(join).expect("somebody waits");
            });
            pool.spawn(move || give.send(7).expect("somebody waits"));
            assert_eq!(ends.recv(), Ok(Ok(((), Ok(7)))));
            assert!(pool.compensating_threads() <= 1);
        }
    });
}

/// What a closure that blocks may call of the pool.
fn use_pool<'s>(pool: &Pool, s: &Scope<'s, '_>, spawned: &'s AtomicUsize) -> u32 {
    let (told, tells) = mpsc::channel();
    for i in 0..3 {
        let told = told.clone();
        pool.spawn(move || told.send(i).expect("somebody waits"));
    }
    s.spawn(|_| _ = spawned.fetch_add(1, Ordering::Relaxed));
    let g = Graph::new();
    let sum = g.range(0..100_u32).sum::<u32>();
    let sum = pool.run(g).expect("a good run").take(sum);
    let (a, b) = pool.join(|| pool.block_in_place(|| 1), || 2);
    sum + a + b + tells.iter().take(3).sum::<u32>()
}

#[test]
fn what_blocks_calls_the_pool_from_outside() {
    within_patience(|| {
        for workers in [1, 2] {
            let pool = pool(workers);
            let spawned = AtomicUsize::new(0);
            for _ in 0..20 {
                pool.scope(|s| {
                    // No more than that: if all workers and all compensating threads block, nobody is left.
                    for _ in 0..workers {
                        s.spawn(|s| assert_eq!(pool.block_in_place(|| use_pool(&pool, s, &spawned)), 4950 + 3 + 3));
                    }
                });
            }
            assert_eq!(spawned.load(Ordering::Relaxed), 20 * workers);
        }
    });
}

/// More threads from outside than there are seats for guests: each has its one seat, also for what it calls while it
/// blocks.
#[test]
fn guests_that_block_need_no_second_seat() {
    within_patience(|| {
        for workers in [1, 2] {
            let pool = pool(workers);
            thread::scope(|threads| {
                for _ in 0..20 {
                    let body = || {
                        let both = || pool.block_in_place(|| pool.join(|| 1, || pool.block_in_place(|| 2)));
                        (0..20)
                            .for_each(|_| pool.scope(|s| (0..3).for_each(|_| s.spawn(|_| assert_eq!(both(), (1, 2))))));
                    };
                    threads.spawn(body);
                }
            });
        }
    });
}

#[test]
fn a_panic_while_blocking_takes_the_place_back() {
    within_patience(|| {
        let pool = pool(1);
        for _ in 0..20 {
            let join =
                catch_unwind(AssertUnwindSafe(|| pool.join(|| pool.block_in_place(|| panic_any("blocked")), || ())));
            assert_eq!(join.map(|((), ())| ()).expect_err("it panics").downcast_ref(), Some(&"blocked"));
            assert_eq!(pool.broadcast(|worker| pool.block_in_place(|| worker)), [0]);
        }
    });
}

/// The pool closes while its workers block, and compensating threads are about.
#[test]
fn a_pool_with_compensators_ends_with_them() {
    within_patience(|| {
        for _ in 0..50 {
            let pool = pool(2);
            let (count, call) = counter();
            for _ in 0..4 {
                let (handle, call) = (pool.handle(), call.clone());
                pool.spawn(move || {
                    let _ = handle.block_in_place(thread::yield_now);
                    call();
                });
            }
            drop(pool);
            assert_eq!(count.load(Ordering::Relaxed), 4);
        }
    });
}
