//! Groups that wait for one in which a task takes long.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::{Graph, Pool, reads};

/// Steps over strips, of which each reads its neighbours. One task of the first step waits for one of the last step that does
/// not wait for it, though its group does.
#[test]
fn what_waits_for_others_of_a_group_goes_on() {
    const STRIPS: usize = 32;
    for (workers, steps, times, nanos) in [
        (2, 2, 1, 0),
        (2, 2, 1, 60),
        (2, 4, 1, 60),
        (4, 4, 1, 200),
        (2, 3, 3, 200),
        (3, 2, 1, 20_000),
        (2, 2, 1, 40_000),
    ] {
        let pool = Pool::builder().workers(workers).build().expect("threads");
        let (waits, begun, came) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
        let g = Graph::new();
        let strips = [0, 1].map(|_| g.chunks(&g.data(vec![0_u64; STRIPS]), 1));
        g.repeat(times, |g| {
            for step in 0..steps {
                let (from, to) = (&strips[step % 2], &strips[(step + 1) % 2]);
                for (strip, out) in to.iter().enumerate() {
                    let near = &from[strip.saturating_sub(1)..STRIPS.min(strip + 2)];
                    let (waits, begun, came) = (&waits, &begun, &came);
                    g.task((reads(near), out.write()), move |(near, out)| {
                        out[0] = near.iter().map(|near| near[0]).sum::<u64>() % 1000 + 1;
                        if step == steps - 1 && strip == 0 {
                            came.fetch_add(1, Ordering::SeqCst);
                        }
                        if step == 0 && strip == steps + 1 {
                            let (time, start) = (begun.fetch_add(1, Ordering::SeqCst), Instant::now());
                            let has_come = || came.load(Ordering::SeqCst) > time || !waits.load(Ordering::SeqCst);
                            while !has_come() && start.elapsed() < Duration::from_secs(10) {
                                std::hint::spin_loop();
                            }
                        }
                    });
                }
            }
        });
        let mut plan = g.plan(&pool).expect("a sound graph");
        if nanos > 0 {
            plan.pretend(|| nanos);
        }
        for run in 0..10 {
            waits.store(run % 2 == 1, Ordering::SeqCst);
            let start = Instant::now();
            plan.run().expect("no task panics");
            let time = start.elapsed();
            assert!(time < Duration::from_secs(5), "{workers} workers, {steps} steps of {nanos} ns: it waited in vain");
        }
        assert_eq!(came.load(Ordering::SeqCst), 10 * u32::try_from(times).expect("few"), "each task once in each time");
    }
}

/// Steps over strips, of which each reads nine. A task of the first step takes long until one of the last step has begun, so that
/// what lies between goes task by task: each must see what all of those have written that it reads.
#[test]
fn what_was_loosened_waits_for_all_that_it_reads() {
    const STRIPS: usize = 48;
    const STEPS: usize = 4;
    const LONG: usize = 30;
    for (workers, nanos) in [(2, 60), (4, 200), (2, 20_000)] {
        let pool = Pool::builder().workers(workers).build().expect("threads");
        let (run, came) = (AtomicU32::new(0), AtomicU32::new(0));
        let g = Graph::new();
        let strips: Vec<_> = (0..=STEPS).map(|_| g.chunks(&g.data(vec![0_usize; STRIPS]), 1)).collect();
        for step in 0..STEPS {
            for (strip, out) in strips[step + 1].iter().enumerate() {
                let near = &strips[step][strip.saturating_sub(4)..STRIPS.min(strip + 5)];
                let (run, came) = (&run, &came);
                g.task((reads(near), out.write()), move |(near, out)| {
                    let now = run.load(Ordering::SeqCst) as usize * STEPS;
                    assert!(step == 0 || near.iter().all(|near| near[0] == now + step), "one was not written");
                    if step == STEPS - 1 && strip == 0 {
                        came.fetch_add(1, Ordering::SeqCst);
                    }
                    let start = Instant::now();
                    while step == 0
                        && strip == LONG
                        && came.load(Ordering::SeqCst) == 0
                        && start.elapsed() < Duration::from_secs(5)
                    {
                        std::hint::spin_loop();
                    }
                    out[0] = now + step + 1;
                });
            }
        }
        let mut plan = g.plan(&pool).expect("a sound graph");
        plan.pretend(|| nanos);
        for _ in 0..10 {
            run.fetch_add(1, Ordering::SeqCst);
            came.store(0, Ordering::SeqCst);
            plan.run().expect("each waits for what it reads");
        }
    }
}
