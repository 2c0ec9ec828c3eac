//! Pools that come and go leave nothing behind. A binary of its own: it counts the threads and the memory of its process.

#![cfg(target_os = "linux")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use millstream::{Graph, Pool};

/// Pools that were made before the first look: by then the allocator and the kernel have what they keep.
const FIRST: usize = 200;
const LAST: usize = 2000;
/// How much memory may have come since then: pages that the allocator keeps, 60 to 170 KiB where this was measured. A pool
/// takes more than 150 KiB; if each left 300 bytes behind, that would be more than this.
const SLACK_KIB: usize = 512;

/// A number of `/proc/self/status`.
fn status(field: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("a field of every Linux");
    line.trim_start_matches(':').split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Threads and resident KiB, once the kernel has taken ended threads out of its list: it tells the joiner a moment before.
fn threads_and_memory(expected: usize) -> (usize, usize) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while status("Threads") > expected && Instant::now() < deadline {
        thread::yield_now();
    }
    (status("Threads"), status("VmRSS"))
}

/// Makes a pool, uses all of it, and drops it.
fn make_and_drop(round: u64) {
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let (a, b) = pool.join(|| round, || round + 1);
    let g = Graph::new();
    let sum = g.source([a, b]).map(|x| x + 1).sum::<u64>();
    let again = g.task(sum.read(), |sum| sum + 1);
    assert_eq!(pool.run(g).expect("a good run").take(again), 2 * round + 4);
    pool.scope(|s| s.spawn(|s| s.spawn(|_| ())));
}

#[test]
fn pools_that_come_and_go_leave_nothing() {
    let before = status("Threads");
    (0..FIRST).for_each(|round| make_and_drop(round as u64));
    let (threads, memory) = threads_and_memory(before);
    assert_eq!(threads, before, "threads after {FIRST} pools");
    (FIRST..LAST).for_each(|round| make_and_drop(round as u64));
    let (threads, later) = threads_and_memory(before);
    assert_eq!(threads, before, "threads after {LAST} pools");
    assert!(later <= memory + SLACK_KIB, "{memory} KiB after {FIRST} pools, {later} KiB after {LAST}");
}
