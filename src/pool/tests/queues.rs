//! No job is lost on its way from queue to queue, and none is kept back while its thread is busy for long.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::pool::loops::span::{Of, Span};
use crate::pool::work::job::{Job, Target};
use crate::pool::work::layout::Layout;
use crate::pool::work::worker::Worker;
use crate::pool::{Shared, without_threads};
use crate::sync::atomic::AtomicU64;

#[expect(unsafe_code, reason = "what runs a job is unsafe to call")]
unsafe fn nothing(_: NonNull<Target>, _: u64, _: &Worker<'_>) {}

/// These are more jobs than a ring holds, and more than may wait behind all others.
const JOBS: u64 = 3000;

/// Queues [`JOBS`] jobs with `push`, and then finds all it can. Returns the payloads that it found, and how many of the
/// jobs lay in the injector before.
fn found(push: impl Fn(&Worker<'_>, Job)) -> (Vec<u64>, usize) {
    let shared = Shared::new(Layout::flat(1), 1);
    let target = Target::new(nothing, Some(NonNull::from(&shared.detached)));
    Worker::at(&shared, &shared.seats[0], |worker| {
        (0..JOBS).for_each(|payload| push(worker, Job { target: NonNull::from(&target), payload }));
        let injected = shared.injectors[0].len();
        let next = || worker.find_here(None).or_else(|| worker.find_elsewhere(None));
        let mut found: Vec<u64> = std::iter::from_fn(next).map(|job| job.payload).collect();
        found.sort_unstable();
        (found, injected)
    })
}

#[test]
fn what_a_full_ring_spills_is_found() {
    let (found, injected) = found(|worker, job| worker.push_own(job));
    assert!(found.into_iter().eq(0..JOBS), "each job once");
    assert!(injected > 0, "a ring holds fewer");
}

#[test]
fn what_has_no_room_behind_all_others_is_found() {
    let (found, injected) = found(|worker, job| worker.push_last(job));
    assert!(found.into_iter().eq(0..JOBS), "each job once");
    assert!(injected > 0, "fewer may wait");
}

#[test]
fn what_a_full_ring_spills_beside_many_late_jobs_is_found() {
    let (found, injected) = found(|worker, job| {
        if job.payload < 600 {
            worker.push_last(job);
        } else {
            worker.make_room();
            worker.own.push(job);
        }
    });
    assert!(found.into_iter().eq(0..JOBS), "each job once");
    assert!(injected > 0, "a ring holds fewer");
}

#[test]
fn what_is_published_from_a_full_ring_is_found() {
    let (found, injected) = found(|worker, job| {
        worker.push_own(job);
        if job.payload % 900 == 899 {
            worker.hand_over();
        }
    });
    assert!(found.into_iter().eq(0..JOBS), "each job once");
    assert!(injected > 0, "fewer are public at a seat");
}

/// How many parts of a loop are public at least and at most, at its leaves from the third one to the last but eight,
/// where nobody asks for them.
fn public(workers: usize, leaf: Duration) -> (usize, usize) {
    const LEAVES: u64 = 40;
    let pool = without_threads(workers);
    let (least, most) = (AtomicUsize::new(usize::MAX), AtomicUsize::new(0));
    pool.for_each(0..LEAVES, |_| {}); // who comes new to a seat gives something even if nobody is there
    pool.for_each(0..LEAVES, |leaf_number| {
        if (2..LEAVES - 8).contains(&leaf_number) {
            let public = pool.shared.seats.iter().map(|seat| seat.stealer.len()).sum();
            least.fetch_min(public, Ordering::Relaxed);
            most.fetch_max(public, Ordering::Relaxed);
        }
        let start = Instant::now();
        while start.elapsed() < leaf {}
    });
    (least.into_inner(), most.into_inner())
}

#[test]
fn parts_of_a_loop_are_public_before_its_long_leaves() {
    let long = Duration::from_micros(50);
    assert_eq!(public(1, long), (0, 0), "nobody else is there");
    assert_eq!(public(2, long), (1, 1));
    let (least, most) = public(64, long);
    assert!(least >= 1 && (3..=6).contains(&most), "{least} to {most} parts");
    // The first leaf counts, and the system may have taken the CPU from this thread meanwhile.
    let is_short = (0..20).any(|_| public(64, Duration::ZERO) == (0, 0));
    assert!(is_short, "a short leaf ends before anybody takes a part");
}

#[test]
fn the_first_leaf_of_a_range_stays_before_it_is_begun() {
    let shared = Shared::new(Layout::flat(2), 2);
    let (target, pace) = (Target::new(nothing, Some(NonNull::from(&shared.detached))), AtomicU64::new(0));
    Worker::at(&shared, &shared.seats[0], |worker| {
        let span = Span::new(worker, Of { jobs: NonNull::from(&target), pace: &pace }, &(3..40));
        span.enter(worker);
        worker.hand_over(); // all that others may have is public
        assert!(!worker.seat.stealer.is_empty());
        assert_eq!(span.leave(worker), 3..4, "with its token the loop cannot end under this thread");
    });
}
