//! How a run fails or is cancelled, and which of several failures the user sees.
//!
//! # The rule
//! The earliest failure in stream order wins. A failure behind the end of a stream is no failure.
//!
//! An operator that fails on an item ends its piece there. The failure travels on with the piece, in place of the
//! missing items, through stage boundaries and shapes. It counts only when it reaches a sink. On its way
//! * an earlier item of the piece may fail in a later operator; that failure replaces the first one;
//! * a stage that has ended (a `scan` that gave `None`, a `zip` whose other side has ended) drops the failure, because
//!   a sequential program would not have asked for that item;
//! * an ordered operator in the middle, such as `scan`, `zip` or `merge_by_key`, lets the failure through in its turn,
//!   and ends.
//!
//! A failure that reaches a sink cuts the sink's sequence. Workers drop the batches behind the cut where they meet
//! them, and go on with the batches before it. So an ordered sink has seen exactly the items before the failure. Of two
//! failures, the one that lies earlier in the order of the sink wins.
//!
//! The other cases:
//! * `merge` and `unordered` give up the order, so a failure counts there at once, in the order of the input;
//! * among tasks, the failure of the task that was added first wins, and tasks added before that one still run; but one that
//!   waits for a stream does not run if another task fails while that stream goes on, for a failure ends all streams;
//! * between sinks that do not share an order, the earlier item wins if one operator has failed on both, else the first
//!   failure in time;
//! * between streams and tasks, the first failure in time wins.
//!
//! A failure that counts stops all sources from issuing more batches. What is in flight ends as above, and then the run
//! is quiescent. A worker drops a range of numbers behind the failure by arithmetic, and item by item only if items
//! must be dropped ([`super::flow::leaves`]). So the end of a run does not take longer the more is left.
//!
//! Which failure a run has, and what an ordered sink has seen before it, do not depend on the schedule but where the first in time
//! wins, also through `zip`, `chain` and `scan`. What a source throws while a batch is pulled is thrown again when that batch is driven.
//! Which item failed is exact, because counts are kept by place in the stream ([`super::flow::ledger`]).

use std::any::Any;
use std::cmp::Reverse;
use std::error::Error;
use std::sync::Arc;

use super::Run;
use super::flow::order::{Key, Sequence};
use super::flow::source::Source;
use super::outside::errand::Errand;
use crate::sync::Mutex;
use crate::sync::atomic::Ordering;
use crate::unwind;

/// An error of the user's.
pub(crate) type BoxedError = Box<dyn Error + Send + Sync>;

/// What went wrong in user code.
#[derive(Debug)]
pub(crate) enum Cause {
    Panic(Box<dyn Any + Send>),
    Error(BoxedError),
}

/// Where in a batch an operator failed.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The operator, by its position in the stage.
    pub(crate) op: usize,
    pub(crate) index: Index,
    pub(crate) cause: Cause,
}

/// The index of the item on which an operator failed: how many items it was given before that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Index {
    /// In the whole stream.
    Stream(u64),
    /// In this batch; the stage's ledger knows how many there were in the batches before.
    Batch(u64),
    /// The failure belongs to no item.
    None,
}

/// Where a failure counts: the place in an order, by which two failures are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// At the place `at` of a sink's sequence. `op` is the operator that failed. If it takes several items of a piece at
    /// once, `nth` is the item's place in the piece; `u64::MAX` if it does not.
    Stream { sequence: usize, at: Key, op: usize, nth: u64 },
    /// In the task of this rank.
    Task { rank: u32 },
}

impl Site {
    /// Whether this failure comes before `other`, and so wins; None if they share no order. Of two failures at one place,
    /// the one of the operator that was added to the graph later comes first; of two of one operator, the one on the
    /// earlier item.
    fn precedes(self, other: Self) -> Option<bool> {
        match (self, other) {
            (
                Self::Stream { sequence, at, op, nth },
                Self::Stream { sequence: others, at: there, op: that, nth: other },
            ) if sequence == others => Some((at, Reverse(op), nth) < (there, Reverse(that), other)),
            (Self::Task { rank }, Self::Task { rank: other }) => Some(rank < other),
            _ => None,
        }
    }
}

/// What is known so far of the item on which an operator failed. Its index in the stream is found when the run is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailedItem {
    pub(crate) stage: usize,
    pub(crate) index: Index,
    /// The items of all pieces before this place come before the item.
    pub(crate) before: Key,
    /// The column of the ledger that counts the items given to the operator.
    pub(crate) column: usize,
}

/// A failure of a run, or one that may still be dropped or replaced on its way to a sink.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The operator.
    pub(crate) op: usize,
    /// None if the order at this operator depends on timing: then an index would mean nothing.
    pub(crate) item: Option<FailedItem>,
    cause: Mutex<Option<Cause>>,
}

/// A failure on its way to a sink, perhaps to several.
pub(crate) type Carried = Arc<Failure>;

impl Failure {
    pub(crate) fn new(op: usize, item: Option<FailedItem>, cause: Cause) -> Carried {
        Arc::new(Self { op, item, cause: Mutex::new(Some(cause)) })
    }

    /// Whether this is a failure of the same operator as `other`, on an earlier item. It may have come to another sink: a
    /// failure that is carried to several is dropped before one of them if an earlier part of its piece has made a cut
    /// elsewhere.
    fn is_on_earlier_item(&self, other: &Self) -> bool {
        let at = |failure: &Self| failure.item.map(|item| (item.before, item.index));
        self.op == other.op && at(self).zip(at(other)).is_some_and(|(own, others)| own < others)
    }

    /// Takes out what went wrong; only the first call finds it.
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

/// Why a run was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    None,
    PoolDropped,
    Asked,
    Deadline,
}

impl Cancel {
    fn of(word: u32) -> Self {
        [Self::None, Self::PoolDropped, Self::Asked, Self::Deadline][word as usize]
    }
}

impl Run<'_> {
    /// Whether the run has failed or was cancelled, so that sources issue no more batches.
    #[inline]
    pub(crate) fn ending(&self) -> bool {
        self.ending.is_given() // a hint: the cuts hold back what must not go on
    }

    /// As [`ending`](Self::ending). If it returns `true`, the caller also sees the cuts that were made before.
    pub(crate) fn ending_with_cuts(&self) -> bool {
        self.ending.is_given_with_all()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel_reason() != Cancel::None
    }

    pub(super) fn cancel_reason(&self) -> Cancel {
        Cancel::of(self.cancelled.load(Ordering::Relaxed))
    }

    /// Notes that a failure has reached a sink or that a task has failed, and stops everything that comes after it.
    pub(crate) fn fail(&self, site: Site, failure: Carried) {
        let mut first = self.failure.lock();
        let wins = |(known, other): &(Site, Carried)| {
            site.precedes(*known).unwrap_or_else(|| failure.is_on_earlier_item(other))
        };
        if first.as_ref().is_none_or(wins) {
            let late = first.replace((site, failure));
            drop(first);
            drop(late); // runs user code, so not under the lock
        }
        match site {
            Site::Stream { sequence, at, .. } => {
                self.sequences[sequence].cut_after(at);
                self.dag.stop_from(0);
            }
            Site::Task { rank } => self.dag.stop_from(rank),
        }
        self.end_early();
    }

    /// Stops everything that has not begun.
    pub(crate) fn cancel(&self, reason: Cancel) {
        // Relaxed: read when the run is over. The first reason counts.
        let none = Cancel::None as u32;
        _ = self.cancelled.compare_exchange(none, reason as u32, Ordering::Relaxed, Ordering::Relaxed);
        self.sequences.iter().for_each(|sequence| sequence.cut_after(Key::FIRST));
        self.dag.stop_from(0);
        self.end_early();
    }

    /// Says that the run is ending, also to what waits for the world outside.
    fn end_early(&self) {
        self.ending.give(); // after the cuts: see `ending_with_cuts`
        if self.meets_outside {
            self.sources.iter().for_each(Source::end_early);
            for stage in &self.stages {
                if let Some(job) = self.body(stage.index).end_early() {
                    Errand::new(&self.pool, stage.own.job(job)).go();
                }
            }
        }
    }

    /// Whether no sequence was cut.
    pub(crate) fn is_whole(&self) -> bool {
        self.sequences.iter().all(Sequence::is_whole)
    }
}
