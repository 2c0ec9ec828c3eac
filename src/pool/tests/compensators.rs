//! Compensating threads that the system refuses. A test from outside the crate cannot bring this about.

use std::io;
use std::sync::mpsc;

use crate::pool::Pool;

#[test]
fn a_refused_compensator_is_counted_and_not_needed() {
    let pool = Pool::builder().workers(1).build().expect("a pool");
    pool.shared.compensators.crew.lock().make = Some(Box::new(|_| Err(io::Error::other("no threads left"))));
    let (handle, shared) = (pool.handle(), std::sync::Arc::clone(&pool.shared));
    let (begun, begins) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    pool.spawn(move || {
        let blocked = handle.block_in_place(|| {
            begun.send(()).expect("somebody waits");
            gate.recv()
        });
        assert!(blocked.expect("an open pool").is_err(), "the sender goes");
    });
    begins.recv().expect("it begins");
    let (called, calls) = mpsc::channel();
    pool.spawn(move || called.send(()).expect("somebody waits"));
    assert_eq!((pool.compensating_threads(), pool.compensating_threads_refused()), (0, 1));
    drop(open);
    calls.recv().expect("the worker calls it when it is back");
    assert_eq!(pool.join(|| 1, || 2), (1, 2));
    drop(pool);
    assert_eq!(shared.sleep.available(0), 0, "all counts are back at zero");
}
