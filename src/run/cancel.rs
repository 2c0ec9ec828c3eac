//! Failure, cancel, and what they leave to be done.
//!
//! # The rule
//! The earliest failure in stream order wins. A failure of batch *n* of a numbering sets that numbering's cut: batches
//! after it are dropped where they are met, batches before it go on, and so does the part of *n* that came before the
//! item that failed; any of these may fail too, and is then the earlier one. Two failures at the same place of the order
//! come from two stages of which one feeds the other, or from two branches: the later-built operator wins, which on one
//! path is the one that failed on the earlier item. Among tasks the one first added wins, and tasks added before it
//! still run. Between streams that share no source, and between streams and tasks, the first in time wins.
//!
//! Any failure stops all sources from issuing more; what is in flight ends as above, and the run is quiet soon.

use std::any::Any;
use std::cmp::Reverse;
use std::error::Error;

use super::Run;
use super::batch::Key;
use crate::sync::atomic::Ordering;
use crate::unwind;

/// What went wrong in user code.
#[derive(Debug)]
pub(crate) enum Cause {
    Panic(Box<dyn Any + Send>),
    Error(Box<dyn Error + Send + Sync>),
}

/// Where in a batch an operator failed.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The operator, by its position in the stage.
    pub(crate) op: usize,
    pub(crate) index: Index,
    pub(crate) cause: Cause,
}

/// How many items the operator was given before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Index {
    /// In the whole stream.
    Stream(u64),
    /// In this batch; the stage's ledger knows the batches before.
    Batch(u64),
    /// The failure belongs to no item.
    None,
}

/// Where in the order a failure lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// In a stage, at a place of its numbering.
    Stream { numbering: usize, at: Key, stage: usize, op: usize },
    /// In a task.
    Task { node: u32, op: usize },
}

/// Which item of its stream an operator failed on, as far as it is known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) index: Index,
    /// The pieces before this place belong before the item.
    pub(crate) before: Key,
    /// The count of items given to the operator.
    pub(crate) column: usize,
}

/// The failure of a run, as far as it is known yet.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) site: Site,
    /// None where the order depends on timing.
    pub(crate) item: Option<Item>,
    pub(crate) cause: Cause,
}

impl Failure {
    /// Whether this one is earlier than `other`.
    fn precedes(&self, other: &Self) -> bool {
        match (self.site, other.site) {
            (Site::Stream { numbering, at, op, .. }, Site::Stream { numbering: others, at: there, op: that, .. })
                if numbering == others =>
            {
                (at, Reverse(op)) < (there, Reverse(that))
            }
            (Site::Task { node, .. }, Site::Task { node: other, .. }) => node < other,
            _ => false,
        }
    }
}

impl Run<'_> {
    /// Whether the run has failed or was cancelled: sources issue no more.
    #[inline]
    pub(crate) fn ending(&self) -> bool {
        // Relaxed: a hint; what must not go on is held back by the cuts.
        self.ending.load(Ordering::Relaxed)
    }

    /// Notes a failure, and stops what comes after it.
    pub(crate) fn fail(&self, failure: Failure) {
        let site = failure.site;
        let mut first = self.failure.lock();
        let late = match &*first {
            Some(known) if !failure.precedes(known) => Some(failure),
            _ => first.replace(failure),
        };
        match site {
            Site::Stream { numbering, at, .. } => {
                self.numberings[numbering].cut_after(at);
                self.dag.stop_from(0);
            }
            Site::Task { node, .. } => self.dag.stop_from(node),
        }
        self.ending.store(true, Ordering::Relaxed);
        drop(first);
        match late.map(|late| late.cause) {
            Some(Cause::Panic(payload)) => unwind::drop_payload(payload),
            error => unwind::drop_value(error),
        }
    }

    /// Stops everything that has not begun.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.numberings.iter().for_each(|numbering| numbering.cut_after(Key::FIRST));
        self.dag.stop_from(0);
        self.ending.store(true, Ordering::Relaxed);
    }
}
