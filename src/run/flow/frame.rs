//! What a worker notes while it drives a piece through a stage: counts, the operator that failed, and sometimes the
//! time of each operator.
//!
//! The counts of a piece are plain stores into the row of the seat that drives it ([`super::ledger`]), so no two threads
//! write the same words. The worker enters them into the row once, when the piece is done or has broken off
//! ([`super::cx::Cx::record`]).
//!
//! [`crate::engine::fused`] opens a frame for each piece; the operators in [`crate::engine::op`] write to it.

use std::any::Any;
use std::cell::Cell;
use std::error::Error;

use super::ledger::{Parts, Row};
use super::stage::Columns;
use crate::run::cancel::{Cause, Fault, Index};
use crate::sync::Instant;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::unwind;

/// One batch in 64 is timed operator by operator, until control has gone from one operator to another
/// [`SAMPLE_SWITCHES`] times. That costs about 1 us for reading the clock, however many items one item of the source
/// becomes. If a frame drives several batches in a row, the distance to the next timed batch doubles each time, so that
/// small batches stay cheap.
const SAMPLE_EVERY: u64 = 64;
/// How many switches between operators are timed in one batch.
const SAMPLE_SWITCHES: u32 = 32;

/// The notes on one piece, or on several adjacent batches that are driven in a row; see the module documentation.
pub(crate) struct Frame<'a> {
    /// The row that the frame lies on, and is entered into.
    pub(super) row: Row<'a>,
    /// The counts of the row's last island.
    pub(super) last: &'a [AtomicU64],
    columns: &'a [AtomicU64],
    /// The number of batches that this seat has driven in this run, then sampled nanoseconds by operator.
    samples: &'a [AtomicU64],
    /// The position of the operator out of which a panic unwound first.
    culprit: Cell<Option<usize>>,
    /// The first error of an operator.
    error: Cell<Option<Fault>>,
    has_error: Cell<bool>,
    /// The timer of the last piece that was timed.
    pub(crate) timer: Option<Timer<'a>>,
    /// How many pieces go untimed before the next timed one.
    untimed: u64,
    /// The distance from the next timed piece to the one after it.
    every: u64,
}

impl<'a> Frame<'a> {
    /// Opens a frame on the row of the calling thread's seat, and sets the counts to 0.
    pub(super) fn new(row: Row<'a>) -> Self {
        let Parts { samples, columns, last, .. } = row.parts();
        columns.iter().for_each(|column| column.store(0, Ordering::Relaxed));
        let untimed = samples[0].load(Ordering::Relaxed).wrapping_neg() % SAMPLE_EVERY;
        let (culprit, error, has_error) = (Cell::new(None), Cell::new(None), Cell::new(false));
        Self { row, last, columns, samples, culprit, error, has_error, timer: None, untimed, every: SAMPLE_EVERY }
    }

    /// Begins the next piece, and returns whether it is timed.
    #[inline]
    pub(crate) fn begin(&mut self) -> bool {
        let is_timed = self.untimed == 0;
        if is_timed {
            self.start_timer();
        }
        self.untimed -= 1;
        is_timed
    }

    #[cold]
    fn start_timer(&mut self) {
        self.timer = Some(Timer::new(&self.samples[1..]));
        self.untimed = self.every;
        self.every *= 2;
    }

    /// Notes that `pieces` more pieces were driven.
    pub(in crate::run) fn driven(&self, pieces: u64) {
        // Relaxed: only this seat writes the row.
        self.samples[0].store(self.samples[0].load(Ordering::Relaxed) + pieces, Ordering::Relaxed);
    }

    /// Whether an operator has failed on an item.
    #[inline]
    pub(crate) fn has_error(&self) -> bool {
        self.has_error.get()
    }

    /// Whether a panic has unwound out of an operator.
    pub(crate) fn has_culprit(&self) -> bool {
        self.culprit.get().is_some()
    }

    /// The count in a column so far.
    #[inline]
    pub(crate) fn count(&self, column: usize) -> u64 {
        self.columns[column].load(Ordering::Relaxed)
    }

    /// The counts, by column.
    pub(in crate::run) fn counts(&self) -> impl Iterator<Item = u64> {
        self.columns.iter().map(|column| column.load(Ordering::Relaxed))
    }

    /// Sets the count in a column. Called at the end of a piece, or when it breaks off.
    #[inline]
    pub(crate) fn set(&self, column: usize, count: u64) {
        // Relaxed: only this seat writes the row.
        self.columns[column].store(count, Ordering::Relaxed);
    }

    /// Notes that a panic unwinds out of the operator at `position`. Only the first call counts.
    #[cold]
    pub(crate) fn blame(&self, position: usize) {
        if self.culprit.get().is_none() {
            self.culprit.set(Some(position));
        }
    }

    /// Notes that the operator at `position` failed on its item `index` of this piece. Only the first call counts.
    #[cold]
    pub(crate) fn fail(&self, position: usize, index: u64, error: Box<dyn Error + Send + Sync>) {
        match self.error.take() {
            Some(first) => {
                self.error.set(Some(first));
                unwind::drop_value(error);
            }
            None => {
                let fault = Fault { op: position, index: Index::Batch(index), cause: Cause::Error(error) };
                self.error.set(Some(fault));
                self.has_error.set(true);
            }
        }
    }

    /// What went wrong with the piece: an error that an operator noted, or else `panic`. None if neither.
    pub(crate) fn fault(&self, panic: Option<Box<dyn Any + Send>>, ops: &[(usize, Columns)]) -> Option<Fault> {
        let error = self.error.take();
        let Some(panic) = panic else { return error };
        if error.is_some() {
            unwind::drop_payload(panic); // the panic came after the error
            return error;
        }
        let op = self.culprit.get().unwrap_or(0);
        let given = self.columns[ops[op].1.given].load(Ordering::Relaxed);
        // A head counts the items that it has handed on. All others count the items that they were given, which
        // includes the one they failed on.
        let before = if op == 0 { given } else { given.saturating_sub(1) };
        Some(Fault { op, index: Index::Batch(before), cause: Cause::Panic(panic) })
    }
}

/// Splits the time of the first items of a piece among the operators.
pub(crate) struct Timer<'a> {
    sums: &'a [AtomicU64],
    current: Cell<usize>,
    since: Cell<Instant>,
    left: Cell<u32>,
}

impl<'a> Timer<'a> {
    fn new(sums: &'a [AtomicU64]) -> Self {
        Self { sums, current: Cell::new(0), since: Cell::new(Instant::now()), left: Cell::new(SAMPLE_SWITCHES) }
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.left.get() > 0
    }

    /// Books the time since the last switch to the operator that worked until now; the one at `position` works from
    /// here on. Call only while the timer [is on](Self::is_on).
    #[inline(never)]
    pub(crate) fn switch(&self, position: usize) {
        self.left.set(self.left.get() - 1);
        let now = Instant::now();
        let spent = now - self.since.replace(now);
        let sum = &self.sums[self.current.replace(position)];
        let nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        sum.store(sum.load(Ordering::Relaxed).saturating_add(nanos), Ordering::Relaxed);
    }
}
