//! How long a nap takes.

use std::sync::mpsc;

use crate::pool::Pool;

/// The timer slack: how many nanoseconds longer than asked for the system may let this thread sleep.
#[expect(unsafe_code, reason = "the system's call")]
fn slack() -> libc::c_int {
    // SAFETY: it reads a number of this thread.
    unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }
}

/// A nap takes 50 us. With the system's usual slack it would take up to twice that.
#[test]
fn threads_of_a_pool_wake_on_time() {
    let (send, slacks) = mpsc::channel();
    let start = move |thread| send.send((thread, slack())).expect("somebody waits");
    let pool = Pool::builder().workers(1).on_thread_start(start).build().expect("a pool");
    let (open, gate) = mpsc::channel::<()>();
    let (handle, (done, is_done)) = (pool.handle(), mpsc::channel());
    pool.spawn(move || {
        handle.spawn(move || drop(open)).expect("it is open");
        // The worker blocks until a compensating thread calls that closure.
        done.send(handle.block_in_place(|| gate.recv())).expect("somebody waits");
    });
    is_done.recv().expect("it is called").expect("an open pool").expect_err("the sender goes");
    let slacks: Vec<_> = slacks.try_iter().collect();
    assert_eq!(slacks, [(0, 1000), (1, 1000)], "a worker and a compensator");
    assert_ne!(slack(), 1000, "threads of the user are left alone");
}
