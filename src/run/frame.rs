//! What is known of one piece while it is driven through a stage: counts, who is to blame, and, now and then, whose time it
//! is.
//!
//! The counts of a piece are plain stores into the row of the seat that drives it. They are entered into the stage's books
//! once, when the piece is through or has broken off.

use std::any::Any;
use std::cell::Cell;
use std::error::Error;
use std::time::Instant;

use super::cancel::{Cause, Fault, Index};
use super::stage::Columns;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::unwind;

/// One batch in 64 is timed operator by operator, until control has gone from one to another so many times: some 1 us
/// for reading the clock, however many items one item of the source becomes.
pub(super) const SAMPLE_EVERY: u64 = 64;
const SAMPLE_SWITCHES: u32 = 32;

/// What a stage keeps while it drives one piece: counts, and who is to blame.
pub(crate) struct Frame<'a> {
    columns: &'a [AtomicU64],
    culprit: Cell<Option<usize>>,
    error: Cell<Option<Fault>>,
    pub(crate) timer: Option<Timer<'a>>,
}

impl<'a> Frame<'a> {
    /// `columns`: the seat's own row; `samples`: likewise, if the time of operators is to be measured.
    pub(super) fn new(columns: &'a [AtomicU64], samples: Option<&'a [AtomicU64]>) -> Self {
        Self { columns, culprit: Cell::new(None), error: Cell::new(None), timer: samples.map(Timer::new) }
    }

    /// The counts, by column.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> {
        self.columns.iter().map(|column| column.load(Ordering::Relaxed))
    }

    /// Sets a count, at the end of the piece or when it breaks off.
    pub(crate) fn set(&self, column: usize, count: u64) {
        // Relaxed: this seat's own row.
        self.columns[column].store(count, Ordering::Relaxed);
    }

    /// A panic unwinds out of the operator at `position`; the first to say so is the one.
    #[cold]
    pub(crate) fn blame(&self, position: usize) {
        if self.culprit.get().is_none() {
            self.culprit.set(Some(position));
        }
    }

    /// The operator at `position` failed on its item `index` of this piece; the first to say so is the one.
    #[cold]
    pub(crate) fn fail(&self, position: usize, index: u64, error: Box<dyn Error + Send + Sync>) {
        let first = self.error.take();
        let fault = Fault { op: position, index: Index::Batch(index), cause: Cause::Error(error) };
        self.error.set(Some(first.unwrap_or(fault)));
    }

    /// What went wrong with the piece, if `panic` or an error ended it.
    pub(crate) fn fault(&self, panic: Option<Box<dyn Any + Send>>, ops: &[(usize, Columns)]) -> Option<Fault> {
        let error = self.error.take();
        let Some(panic) = panic else { return error };
        if error.is_some() {
            unwind::drop_payload(panic); // came after the error
            return error;
        }
        let op = self.culprit.get().unwrap_or(0);
        let given = self.columns[ops[op].1.given].load(Ordering::Relaxed);
        // A head counts what it has handed on, all others what they were given, the item they failed on too.
        let before = if op == 0 { given } else { given.saturating_sub(1) };
        Some(Fault { op, index: Index::Batch(before), cause: Cause::Panic(panic) })
    }
}

/// Splits the time of a few items among the operators.
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

    /// From now on the operator at `position` works. While it is on.
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
