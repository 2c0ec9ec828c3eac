//! Tails: where the items of a stage go.
//!
//! A tail drives the pipe, not the other way round: it is given each piece as a [`Drive`]. So the tail can first check
//! whether the piece may go in, and then put the items where they belong: into a table of its own, or straight into an
//! operator. An ordered sink needs no buffer for a piece whose turn it is.
//!
//! [`super::fused`] calls tails, from many workers at once, each with a piece of its own.

use std::cell::Cell;

use super::drive::{Broken, BrokenBy, Drive, DriveAll};
use crate::run::flow::cx::Cx;
use crate::run::flow::order::Ticket;
use crate::run::flow::stage::{Capacity, Ended, OwnJob, TailKind};
use crate::run::slot::Slot;
use crate::unwind;

/// Takes what comes out of a pipe.
pub(crate) trait Tail<T>: Send + Sync {
    const KIND: TailKind;
    /// Whether it calls closures of the user from many workers at once.
    const CALLS: bool = true;
    /// What it queues for itself.
    type Own: OwnJob;
    /// Takes the items of one piece, which `drive` drives. It must retire the piece, or send it on and let it arrive.
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>);
    /// Runs a job that it has queued for itself.
    fn own(&self, cx: &Cx<'_>, job: Self::Own);
    /// Ends the stage, after the last piece has retired.
    fn end(&self, _cx: &Cx<'_>) -> Ended {
        Ended::Now
    }
    fn prepare(&mut self, _capacity: Capacity) {}
    fn reset(&mut self) {}
    /// Drops what a failed run left, and returns how many items of the stage's input were dropped.
    fn clear(&mut self) -> u64 {
        0
    }
    /// The run has failed or was cancelled; see [`Stage::end_early`](crate::run::flow::stage::Stage::end_early).
    fn end_early(&self) -> Option<Self::Own> {
        None
    }
    /// The run is over; see [`Stage::close`](crate::run::flow::stage::Stage::close).
    fn close(&self) {}
    fn waiting(&self) -> Option<String> {
        None
    }
    /// The numbers of items that a serial operator was given, made, and dropped.
    fn serial_counts(&self) -> Option<[u64; 3]> {
        None
    }
}

/// A tail for which the order of batches makes no difference, and which keeps none of them. A free source may feed it.
pub(crate) trait ParallelTail<T>: Tail<T> {
    /// Whether it makes something of each leaf of the source that may be dear.
    const FEW_LEAVES: bool = false;
    /// Takes the items of adjacent batches, which `drive` drives one after the other.
    fn run_all(&self, cx: &Cx<'_>, drive: impl DriveAll<T>);
}

/// Puts the result of a sink into its slot.
pub(crate) fn put<T>(slot: &Slot<T>, value: Option<T>) {
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    // SAFETY: (1) only the end of the sink's stage calls this, and the task graph puts it before every other access to
    // the slot.
    let old = unsafe { slot.replace(value) };
    unwind::drop_value(old);
}

/// Gives the items of a piece to `each`, which takes them into `state`, lets a failure count, and retires the piece.
pub(crate) fn consume<A, T>(cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>, state: A, each: impl FnMut(&mut A, T)) {
    let (_, failure) = drive.drive(state, each);
    if let Some(failure) = failure {
        cx.fail(&ticket, failure);
    }
    cx.retire(&ticket);
}

/// Does the same for adjacent batches of a free source. The state goes from batch to batch.
pub(crate) fn consume_all<A, T>(cx: &Cx<'_>, drive: impl DriveAll<T>, state: A, each: impl FnMut(&mut A, T)) {
    let (mut count, state) = (0, Cell::new(Some(state)));
    let start = || {
        count += 1;
        state.take().expect("the last batch has given it back")
    };
    let broken = drive.drive_all(start, each, |_, _, left| state.set(Some(left)));
    if let Some(Broken { number, cause: BrokenBy::Operator(failure) }) = broken {
        cx.fail(&Ticket::at(number, 0), failure);
    }
    cx.arrive_all(count);
}
