//! Runs that were started, and are waited for in closures of the same pool.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use millstream::{Graph, Plan, Pool};

/// Each task of a graph starts another run on the same pool, and waits for that.
fn runs_in_tasks(workers: usize, wait: fn(Plan<'static>) -> Plan<'static>) {
    let pool = Pool::builder().workers(workers).oversubscribe(true).build().expect("a pool");
    let g = Graph::new();
    let sums: Vec<_> = (0..40_u32)
        .map(|n| {
            let pool = &pool;
            g.task((), move |()| {
                thread::sleep(Duration::from_micros(200));
                let g = Graph::new();
                let sum = g.range(0..n + 1).sum::<u32>();
                wait(g.plan(pool).expect("plans")).take(sum)
            })
        })
        .collect();
    let mut plan = g.plan(&pool).expect("plans");
    for _ in 0..10 {
        plan.run().expect("runs");
        assert!((0..40).zip(&sums).all(|(n, sum)| *plan.get(sum) == n * (n + 1) / 2));
    }
}

#[test]
fn tasks_start_runs_on_their_own_pool_and_wait_for_them() {
    let joins = |plan: Plan<'static>| plan.start().join().expect("runs");
    let goes_on = |mut plan: Plan<'static>| {
        plan.run_while(|_| ()).expect("runs");
        plan
    };
    let (send, receive) = mpsc::channel();
    let all = thread::spawn(move || {
        for workers in [1, 2, 4] {
            runs_in_tasks(workers, joins);
            runs_in_tasks(workers, goes_on);
        }
        send.send(()).expect("somebody waits");
    });
    match receive.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("they wait for each other"),
        _ => all.join().expect("all is well"),
    }
}
