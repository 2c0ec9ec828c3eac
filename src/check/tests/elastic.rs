//! The limit of active workers changes while they work: nothing is lost, and workers beyond the limit park.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::check::{Dice, Order, drive, once, work};
use crate::graph::Graph;
use crate::pool::Pool;

/// Changes the limit to something from 1 to `workers`.
fn change(pool: &Pool, workers: usize, dice: u64) {
    let active = 1 + usize::try_from(Dice::new(dice).roll(workers as u64)).expect("few");
    pool.shared.set_active(active);
}

#[test]
fn runs_end_whatever_the_limit_does() {
    for seed in 0..300 {
        let workers = 1 + usize::try_from(seed % 6).expect("few");
        let sum = once(workers, seed, |pool| {
            let g = Graph::new();
            let squares = g.range(0..60_u64).batch_size(3).map(|x| {
                change(pool, workers, seed + x);
                let (a, b) = pool.join(|| x, || x);
                a * b
            });
            let sum = squares.scan(0, |_, x| Some(x)).sum::<u64>();
            let more = g.task(sum.read(), |sum| {
                change(pool, workers, seed);
                sum + 1
            });
            pool.run(g).expect("a good run").take(more)
        });
        assert_eq!(sum, (0..60).map(|x| x * x).sum::<u64>() + 1);
    }
}

#[test]
fn who_is_too_many_parks_after_its_job() {
    const WORKERS: usize = 8;
    for seed in 0..20 {
        let (begun, now) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (lowered, too_many) = (AtomicBool::new(false), AtomicUsize::new(0));
        let body = |pool: &Pool| {
            pool.scope(|s| {
                for _ in 0..WORKERS {
                    // Each has more jobs of its own.
                    s.spawn(|s| {
                        for _ in 0..30 {
                            s.spawn(|_| {
                                let at_once = now.fetch_add(1, Ordering::Relaxed) + 1;
                                let before = lowered.load(Ordering::Relaxed);
                                if begun.fetch_add(1, Ordering::Relaxed) == 60 {
                                    pool.shared.set_active(1);
                                    lowered.store(true, Ordering::Relaxed);
                                }
                                // One worker, and the guest.
                                too_many.fetch_add(usize::from(before && at_once > 2), Ordering::Relaxed);
                                work(3);
                                now.fetch_sub(1, Ordering::Relaxed);
                            });
                        }
                    });
                }
            });
        };
        drive(WORKERS, Order::Clock(seed), vec![Box::new(body)]);
        let too_many = too_many.into_inner();
        assert!(too_many <= WORKERS, "{too_many} jobs of 240 begun by workers that should have parked, seed {seed}");
    }
}
