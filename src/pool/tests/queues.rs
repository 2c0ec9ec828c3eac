//! No job is lost on its way from queue to queue.

use std::ptr::NonNull;

use crate::pool::Shared;
use crate::pool::work::job::{Job, Target};
use crate::pool::work::layout::Layout;
use crate::pool::work::worker::Worker;

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
