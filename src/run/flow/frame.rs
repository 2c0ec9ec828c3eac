//! What is known of one piece while it is driven through a stage: counts, who is to blame, and, now and then, whose time it
//! is.
//!
//! The counts of a piece are plain stores into the row of the seat that drives it. They are entered into the stage's books
//! once, when the piece is through or has broken off.

use std::any::Any;
use std::cell::Cell;
use std::error::Error;
use std::time::Instant;

use super::stage::Columns;
use crate::run::cancel::{Cause, Fault, Index};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::unwind;

/// One batch in so many is timed operator by operator, until control has gone from one to another [`SAMPLE_SWITCHES`] times:
/// some 1 us for reading the clock, however many items one item of the source becomes. Of batches that are driven in one go
/// each one that is timed has twice as many before the next one, so that small ones stay cheap.
const SAMPLE_EVERY: u64 = 64;
const SAMPLE_SWITCHES: u32 = 32;

/// What a stage keeps while it drives a piece, or several: counts, and who is to blame.
pub(crate) struct Frame<'a> {
    columns: &'a [AtomicU64],
    /// The number of batches, then nanoseconds by operator.
    samples: &'a [AtomicU64],
    culprit: Cell<Option<usize>>,
    error: Cell<Option<Fault>>,
    has_error: Cell<bool>,
    /// Of the last piece that was timed.
    pub(crate) timer: Option<Timer<'a>>,
    /// How many pieces are begun until the next one that is timed, and of how many that is one.
    untimed: u64,
    every: u64,
}

impl<'a> Frame<'a> {
    /// The seat's own rows.
    pub(in crate::run) fn new(columns: &'a [AtomicU64], samples: &'a [AtomicU64]) -> Self {
        columns.iter().for_each(|column| column.store(0, Ordering::Relaxed));
        let untimed = samples[0].load(Ordering::Relaxed).wrapping_neg() % SAMPLE_EVERY;
        let (culprit, error, has_error) = (Cell::new(None), Cell::new(None), Cell::new(false));
        Self { columns, samples, culprit, error, has_error, timer: None, untimed, every: SAMPLE_EVERY }
    }

    /// The next piece is driven; whether it is timed.
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

    /// So many pieces were driven.
    pub(in crate::run) fn driven(&self, pieces: u64) {
        // Relaxed: this seat's own row.
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

    /// A count so far.
    #[inline]
    pub(crate) fn count(&self, column: usize) -> u64 {
        self.columns[column].load(Ordering::Relaxed)
    }

    /// The counts, by column.
    pub(in crate::run) fn counts(&self) -> impl Iterator<Item = u64> {
        self.columns.iter().map(|column| column.load(Ordering::Relaxed))
    }

    /// Sets a count, at the end of the piece or when it breaks off.
    #[inline]
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
