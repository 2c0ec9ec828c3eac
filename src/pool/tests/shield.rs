//! A join that is wrongly taken for short is offered to others all the same.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::pool::join::grain::JoinSite;
use crate::pool::join::shield::StampWatch;
use crate::pool::work::job::Job;
use crate::pool::work::worker::Worker;
use crate::pool::{Idle, Pool, without_threads};

type Half<'a> = &'a (dyn Fn() + Sync);

/// This is always the same join, and at the same depth if the test calls it from one place.
#[inline(never)]
fn pair(pool: &Pool, first: Half<'_>, second: Half<'_>) {
    pool.join(first, second);
}

fn wait_for(flag: &AtomicBool) {
    let start = Instant::now();
    while !flag.load(Ordering::Acquire) {
        assert!(start.elapsed() < Duration::from_secs(60), "nobody has come");
        std::thread::yield_now();
    }
}

/// Calls `pair` a thousand times with nothing to do, so that the join is taken for short. Then it calls `pair` with
/// these two closures.
fn after_short_ones(pool: &Pool, first: Half<'_>, second: Half<'_>) {
    for call in 0..=1000 {
        if call < 1000 { pair(pool, &|| (), &|| ()) } else { pair(pool, first, second) }
    }
}

/// Begins a shield, as if for a join that is taken for short.
fn begin_shield(worker: &Worker<'_>) -> bool {
    let spot = JoinSite::new(1 << 40, 1 << 20);
    worker.grain(|grain| grain.take_for_short(spot));
    worker.own.push(Job { target: NonNull::dangling(), payload: 0 });
    worker.own.pop();
    worker.begin_shield(spot)
}

/// If two short joins had the same stamp, a thief could take them for one long join.
#[test]
fn each_shield_has_a_stamp_of_its_own() {
    without_threads(1).shared.on_worker(|worker| {
        let mut seen = Vec::new();
        while seen.len() < 10 {
            assert!(begin_shield(worker));
            let stamp = worker.seat.signals.shield.stamp();
            assert!(stamp != 0 && !seen.contains(&stamp), "{stamp} after {seen:?}");
            assert!(!begin_shield(worker), "there is one already");
            seen.push(stamp);
            worker.end_shield();
            assert_eq!(worker.seat.signals.shield.stamp(), 0);
        }
    });
}

/// A thief watches the shield of one seat, and that shield stays. The thief takes from another seat with a shield all
/// the same.
#[test]
fn two_long_shields_at_once_are_taken() {
    let pool = without_threads(3);
    let (shared, start) = (&pool.shared, Instant::now());
    let watch = StampWatch::new();
    let [first, second] = [0, 1].map(|seat| {
        Worker::at(shared, &shared.seats[seat], |worker| assert!(begin_shield(worker)));
        &shared.seats[seat]
    });
    watch.spares(first);
    while watch.spares(second) {
        assert!(start.elapsed() < Duration::from_secs(60), "it is spared for ever");
    }
}

#[test]
fn a_join_that_is_long_for_once_is_taken() {
    for idle in [Idle::Latency, Idle::Balanced, Idle::Frugal] {
        let pool = &Pool::builder().workers(2).idle(idle).build().expect("two workers");
        for pause in [0, 0, 5] {
            // The other worker, awake or asleep, must come for the second half. No other thread would.
            pool.scope(|_| {
                std::thread::sleep(Duration::from_millis(pause));
                let begun = AtomicBool::new(false);
                after_short_ones(pool, &|| wait_for(&begun), &|| begun.store(true, Ordering::Release));
            });
        }
    }
}

#[test]
fn joins_inside_one_that_is_long_for_once_are_taken() {
    let pool = &Pool::builder().workers(2).build().expect("two workers");
    for _ in 0..3 {
        pool.scope(|_| {
            let (begun, inner) = (AtomicBool::new(false), AtomicBool::new(false));
            let first = || {
                wait_for(&begun); // a thief has seen by now that this takes long
                pair(pool, &|| wait_for(&inner), &|| inner.store(true, Ordering::Release));
            };
            after_short_ones(pool, &first, &|| begun.store(true, Ordering::Release));
        });
    }
}
