//! Failure, cancel, and what they leave to be done.
//!
//! # The rule
//! The earliest failure in stream order wins, and one behind the end of a stream is none.
//!
//! An operator that fails on an item ends its piece there. The failure travels on with the piece, in the place of the items
//! that are not there, through stage boundaries and shapes, until it comes to a sink: only then does it count. On its way
//! * an earlier item of the piece may fail in a later operator: that failure takes its place;
//! * a stage that has ended (a `scan` that gave `None`, a `zip` whose other side has ended) drops it: nobody would have
//!   asked for that item;
//! * an ordered operator in the middle, such as `scan` or `zip`, lets it through in its turn, and ends.
//!
//! A failure that has come to a sink cuts the sink's sequence: batches behind it are dropped where they are met, batches
//! before it go on. So an ordered sink has seen exactly the items before the failure, and of two failures the one that lies
//! earlier in the order of the sink wins. Where an order is given up, in `merge` and `unordered`, a failure counts at once,
//! in the order of what comes in. Among tasks the one first added wins, and tasks added before it still run. Between sinks
//! that do not share an order, and between streams and tasks, the first in time wins.
//!
//! A failure that counts stops all sources from issuing more; what is in flight ends as above, and the run is quiescent soon.
//! A range of numbers that lies behind the failure is dropped by arithmetic, item by item only if items must be dropped: so
//! the end of a run takes no longer the more is left ([`super::flow::leaves`]).
//!
//! So which failure a run has, and what an ordered sink has seen before it, do not depend on the schedule, through `zip`,
//! `chain` and `scan` too. What a source throws while a batch is pulled is thrown again when that batch is driven.
//! Which item failed is exact, because counts are kept by place in the stream
//! ([`super::flow::ledger`]).

use std::any::Any;
use std::cmp::Reverse;
use std::error::Error;
use std::sync::Arc;

use super::Run;
use super::flow::order::Key;
use crate::sync::Mutex;
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

/// Where in the order a failure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// At a place of a sink's sequence; the operator that failed.
    Stream { sequence: usize, at: Key, op: usize },
    /// In a task.
    Task { node: u32 },
}

impl Site {
    /// Whether this one is earlier than `other`. At one place the later-built operator is.
    fn precedes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Stream { sequence, at, op }, Self::Stream { sequence: others, at: there, op: that })
                if sequence == others =>
            {
                (at, Reverse(op)) < (there, Reverse(that))
            }
            (Self::Task { node }, Self::Task { node: other }) => node < other,
            _ => false,
        }
    }
}

/// Which item of its stream an operator failed on, as far as it is known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) stage: usize,
    pub(crate) index: Index,
    /// The pieces before this place belong before the item.
    pub(crate) before: Key,
    /// The count of items given to the operator.
    pub(crate) column: usize,
}

/// A failure of a run, or what may become one.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The operator.
    pub(crate) op: usize,
    /// None where the order depends on timing.
    pub(crate) item: Option<Item>,
    cause: Mutex<Option<Cause>>,
}

/// A failure on its way to a sink, perhaps to several.
pub(crate) type Carried = Arc<Failure>;

impl Failure {
    pub(crate) fn new(op: usize, item: Option<Item>, cause: Cause) -> Carried {
        Arc::new(Self { op, item, cause: Mutex::new(Some(cause)) })
    }

    /// What went wrong; asked once.
    pub(crate) fn take_cause(&self) -> Option<Cause> {
        self.cause.lock().take()
    }
}

impl Drop for Failure {
    fn drop(&mut self) {
        match self.cause.get_mut().take() {
            Some(Cause::Panic(payload)) => unwind::drop_payload(payload),
            error => unwind::drop_value(error),
        }
    }
}

impl Run<'_> {
    /// Whether the run has failed or was cancelled: sources issue no more.
    #[inline]
    pub(crate) fn ending(&self) -> bool {
        self.ending.is_given() // a hint; what must not go on is held back by the cuts
    }

    /// The same, for who goes by the cuts: it sees those that were made before.
    pub(crate) fn ending_with_cuts(&self) -> bool {
        self.ending.is_given_with_all()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Notes that a failure has come to a sink, or that a task has failed, and stops what comes after it.
    pub(crate) fn fail(&self, site: Site, failure: Carried) {
        let mut first = self.failure.lock();
        if first.as_ref().is_none_or(|(known, _)| site.precedes(*known)) {
            let late = first.replace((site, failure));
            drop(first);
            drop(late); // user code: not under the lock
        }
        match site {
            Site::Stream { sequence, at, .. } => {
                self.sequences[sequence].cut_after(at);
                self.dag.stop_from(0);
            }
            Site::Task { node } => self.dag.stop_from(node),
        }
        self.ending.give(); // after the cuts
    }

    /// Stops everything that has not begun.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.sequences.iter().for_each(|sequence| sequence.cut_after(Key::FIRST));
        self.dag.stop_from(0);
        self.ending.give(); // after the cuts
    }
}
