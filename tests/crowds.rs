//! More threads than seats, and closures that wait for each other: all of them go on.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use millstream::Pool;

/// Far longer than anything here takes.
const NEVER: Duration = Duration::from_secs(60);

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().expect("a pool")
}

fn spin(micros: u64) {
    let end = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < end {}
}

/// Calls `work` on a thread of its own, and panics if that does not end.
fn ends(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _done = done;
        work();
    });
    assert_ne!(is_done.recv_timeout(NEVER), Err(RecvTimeoutError::Timeout), "it hangs");
    thread.join().expect("no panic");
}

/// Guests hold all seats of both pools, and their workers and guests call the other one.
#[test]
fn two_pools_that_call_each_other_go_on() {
    for (threads, workers) in [(9, 1), (20, 1), (40, 2)] {
        ends(move || {
            let pools = [pool(workers), pool(workers)];
            thread::scope(|scope| {
                for number in 0..threads {
                    let [p, q] = &pools;
                    let (p, q) = if number % 2 == 0 { (p, q) } else { (q, p) };
                    scope.spawn(move || {
                        for _ in 0..50 {
                            p.join(|| q.join(|| spin(20), || spin(20)), || q.join(|| spin(20), || spin(20)));
                        }
                    });
                }
            });
        });
    }
}

/// Guests keep the pool at its limit for as long as this lives.
struct Guests {
    leave: Arc<Barrier>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Guests {
    fn new(pool: &Arc<Pool>, guests: usize) -> Self {
        let (came, leave) = (Arc::new(Barrier::new(guests + 1)), Arc::new(Barrier::new(guests + 1)));
        let threads = (0..guests).map(|_| {
            let (pool, came, leave) = (Arc::clone(pool), Arc::clone(&came), Arc::clone(&leave));
            thread::spawn(move || {
                pool.scope(|_| {
                    came.wait();
                    leave.wait();
                });
            })
        });
        let threads = threads.collect();
        came.wait();
        Self { leave, threads }
    }

    fn leave(self) {
        self.leave.wait();
        self.threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}

/// The first closure waits for the second one, with or without saying that it blocks. Both begin beside guests that
/// leave no room, though a worker has to begin the second one while another is in the first.
#[test]
fn closures_that_wait_for_each_other_begin_beside_guests() {
    for (workers, guests, says_so) in [(2, 2, false), (2, 1, false), (2, 2, true), (4, 8, true), (1, 1, true)] {
        ends(move || {
            let pool = Arc::new(pool(workers));
            let guests = Guests::new(&pool, guests);
            let (send, receive) = mpsc::channel();
            let (done, is_done) = mpsc::channel();
            let blocks = says_so.then(|| pool.handle());
            pool.spawn(move || {
                let received = match blocks {
                    Some(pool) => pool.block_in_place(|| receive.recv()).expect("the pool is there"),
                    None => receive.recv(),
                };
                done.send(received).expect("the test waits");
            });
            pool.spawn(move || send.send(7).expect("it waits"));
            assert_eq!(is_done.recv_timeout(NEVER), Ok(Ok(7)), "{workers} workers, says so: {says_so}");
            guests.leave();
        });
    }
}
