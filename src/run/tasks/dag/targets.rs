//! The targets of jobs of the task graph: fields of the graph, by which a job finds it.

use std::ptr::NonNull;

use super::Dag;
use crate::pool::work::job::{Target, split_word};
use crate::pool::work::worker::Worker;
use crate::run::Run;

impl Dag<'_> {
    /// One of the graph's targets.
    pub(super) fn within(&self, offset: usize) -> NonNull<Target> {
        #[expect(unsafe_code, reason = "a target is reached from the whole")]
        // SAFETY: it is a field of this graph.
        let target = unsafe { NonNull::from(self).byte_add(offset) };
        target.cast()
    }
}

/// The graph that a job is about, by its target, and the run.
///
/// # Safety
/// (1) The target is the field at this offset of a linked graph, whose run is alive.
#[expect(unsafe_code, reason = "jobs reach the task graph by pointer")]
unsafe fn of_target<'a>(target: NonNull<Target>, offset: usize) -> (&'a Dag<'a>, &'a Run<'static>) {
    // SAFETY: (1).
    let dag = unsafe { target.byte_sub(offset) };
    // SAFETY: (1).
    let dag: &Dag<'_> = unsafe { dag.cast().as_ref() };
    // SAFETY: `link` set the run that owns the graph.
    (dag, unsafe { &*dag.run })
}

#[expect(unsafe_code, reason = "jobs reach the task graph by pointer")]
pub(super) unsafe fn fire<const HOMES: bool>(target: NonNull<Target>, range: u64, worker: &Worker<'_>) {
    // SAFETY: (1) the job's token keeps the run alive.
    let (dag, run) = unsafe { of_target(target, std::mem::offset_of!(Dag<'_>, target)) };
    let (first, end) = split_word(range);
    dag.fire::<HOMES>(first, end, run, worker);
}

#[expect(unsafe_code, reason = "jobs reach the task graph by pointer")]
pub(super) unsafe fn fire_part<const HOMES: bool>(target: NonNull<Target>, range: u64, worker: &Worker<'_>) {
    // SAFETY: (1) the job's token keeps the run alive.
    let (dag, run) = unsafe { of_target(target, std::mem::offset_of!(Dag<'_>, parts)) };
    let (start, end) = split_word(range);
    dag.fire_part::<HOMES>(start..end, run, worker);
}

#[expect(unsafe_code, reason = "jobs reach the task graph by pointer")]
pub(super) unsafe fn fire_loosened<const HOMES: bool>(target: NonNull<Target>, task: u64, worker: &Worker<'_>) {
    // SAFETY: (1) the job's token keeps the run alive.
    let (dag, run) = unsafe { of_target(target, std::mem::offset_of!(Dag<'_>, loosened)) };
    let (position, group) = split_word(task);
    dag.fire_loosened::<HOMES>(group, position, run, worker);
}

#[expect(unsafe_code, reason = "jobs reach the task graph by pointer")]
pub(super) unsafe fn fire_stuck<const HOMES: bool>(target: NonNull<Target>, range: u64, worker: &Worker<'_>) {
    // SAFETY: (1) the job's token keeps the run alive.
    let (dag, run) = unsafe { of_target(target, std::mem::offset_of!(Dag<'_>, stuck)) };
    let (start, end) = split_word(range);
    dag.fire_stuck::<HOMES>(start..end, run, worker);
}

#[expect(unsafe_code, reason = "jobs reach the task graph by pointer")]
pub(super) unsafe fn fire_ticket(target: NonNull<Target>, tickets: u64, worker: &Worker<'_>) {
    // SAFETY: (1) the job's token keeps the run alive.
    let (dag, run) = unsafe { of_target(target, std::mem::offset_of!(Dag<'_>, tickets)) };
    let (node, count) = split_word(tickets);
    dag.fire_ticket(node, count, run, worker);
}
