//! Groups that are broken behind a task that takes long.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Graph, Pool};

/// Tasks of several levels were so short that they are one job. Now two of them wait for each other, and all other
/// workers are asleep.
#[test]
fn a_group_with_an_order_is_broken_behind_a_long_task() {
    for workers in [2, 4] {
        let pool = Pool::builder().workers(workers).build().expect("threads");
        let (meets, met) = (AtomicBool::new(false), AtomicU32::new(0));
        let g = Graph::new();
        let data = g.data(0_u64);
        g.task(data.write(), |data| *data += 1);
        for task in 0..8 {
            let (meets, met) = (&meets, &met);
            g.task(data.read(), move |_| {
                if meets.load(Ordering::SeqCst) && matches!(task, 1 | 4) {
                    met.fetch_add(1, Ordering::SeqCst);
                    let start = Instant::now();
                    while met.load(Ordering::SeqCst) < 2 && start.elapsed() < Duration::from_secs(10) {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        g.task(data.write(), |data| *data += 1);
        let mut plan = g.plan(&pool).expect("a sound graph");
        for time in 1..=10 {
            plan.pretend(|| 1);
            assert_eq!(plan.groups().len(), 1, "{:?}", plan.groups());
            meets.store(false, Ordering::SeqCst);
            plan.run().expect("no task panics");
            sleep(Duration::from_millis(2));
            met.store(0, Ordering::SeqCst);
            meets.store(true, Ordering::SeqCst);
            let start = Instant::now();
            plan.run().expect("no task panics");
            assert!(start.elapsed() < Duration::from_secs(5), "each waited in vain");
            assert_eq!(*plan.get(&data), 4 * time, "each task once in each run");
        }
    }
}
