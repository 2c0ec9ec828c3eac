//! Going through the tasks of a group, or through a part of them.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::learn::{CLOSE, SLOW};
use super::loose::Cut;
use super::{Dag, LONG};
use crate::pool::work::worker::Worker;
use crate::run::Run;
use crate::run::cancel::{Cause, Failure, Site};
use crate::run::tasks::span::{Cursor, Span};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Arrival, Instant};
#[cfg(feature = "check")]
use crate::sync::{Call, watched_call};

/// A group whose time is known is timed in one run of so many, unless it takes [`LONG`].
const SAMPLE: u32 = 64;
/// A single chain that is known to take so many nanoseconds is not looked at by others, unless it takes much longer now. The plan
/// has chosen its groups so that little waits for it, and what it would gain is about what a raid costs.
const FORESEEN: Range<u64> = SLOW..1_000_000;
/// So many tasks fire before their worker looks whether others ask for some, if nobody knows how long they take.
const FEW: u32 = 8;

/// What a worker has brought to an end.
pub(super) enum Held {
    /// A part of a group, of which others hold the rest.
    Part,
    /// A whole group, and how many nanoseconds that takes, if that was measured now.
    Ended(Option<u64>),
    /// A loose group, of which these places of the list wait that know nothing of it yet.
    EndedLoosely(Vec<u32>),
}

/// What a worker goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole group.
    Whole,
    /// A part of a group that was cut.
    Part,
    /// A task of a loose group.
    Loose,
}

impl Dag<'_> {
    /// Goes through the tasks of a group, or through a part of them.
    pub(super) fn hold(
        &self,
        group: u32,
        positions: Range<u32>,
        kind: Kind,
        run: &Run<'static>,
        worker: &Worker<'_>,
    ) -> Held {
        let start = positions.start;
        let known = self.takes(group);
        let is_due = || group.wrapping_add(self.round).is_multiple_of(SAMPLE);
        let is_to_be_timed = || self.times_all || known.is_none_or(|known| known >= LONG || is_due());
        let timed = kind != Kind::Whole || is_to_be_timed();
        let begin = if timed { worker.clock() } else { None };
        let is_entered = match self.cuts[group as usize] {
            Cut::Never => false,
            Cut::Ahead => kind == Kind::Whole,
            // A part of one task, too: what waits for it may have to be loosened.
            Cut::InTwo | Cut::Open => positions.len() > 1 || kind == Kind::Part && self.may_be_late(group),
        };
        let is_foreseen = match self.cuts[group as usize] {
            Cut::Ahead => known.is_some_and(|known| FORESEEN.contains(&known)),
            _ => positions.len() == 1,
        };
        let span = Span::new(self, group, positions);
        if is_entered {
            span.enter(worker, is_foreseen);
            worker.publish_surplus();
        }
        let closely = self.closely(group);
        let most = match known {
            _ if closely.is_some() => 1,
            None if is_entered => FEW,
            _ => u32::MAX,
        };
        let (mut at, mut before) = (start, begin);
        loop {
            while at < span.end() {
                let first = at;
                at = self.fire_some(group, at..span.end().min(at.saturating_add(most)), &span, run);
                if let Some(times) = closely.filter(|_| at > first) {
                    let now = worker.clock();
                    note(&times[first as usize], before.zip(now));
                    before = now;
                }
                if most != u32::MAX {
                    worker.publish_surplus();
                }
            }
            span.leave(worker);
            if at >= span.end() {
                break;
            }
        }
        let time = begin.map(|begin| u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX).clamp(2, 1 << 60));
        let stuck = span.stuck();
        if kind == Kind::Whole && !span.was_cut() && stuck.is_none() {
            return Held::Ended(time);
        }
        // Relaxed, both: a time, read by whoever is the last of those that hold it.
        self.shares[group as usize].fetch_add(time.unwrap_or(LONG), Ordering::Relaxed);
        if time.is_none() {
            self.is_surprised.store(true, Ordering::Relaxed);
        }
        if kind == Kind::Loose {
            return self.arrive_loosely(group, start, worker);
        }
        if let Some(from) = stuck {
            return self.arrive_from_stuck(group, from..at, worker);
        }
        let is_last = self.arrives(group);
        if !is_last && self.loose.is_any() {
            self.look_for_stuck(group, worker);
        }
        if is_last { Held::Ended(self.take_shares(group)) } else { Held::Part }
    }

    /// Whether a task of this group that is alone is looked at if it takes very long. Where tasks are tiny, or nobody knows how
    /// long they take, each task costs too much by that.
    pub(in crate::run::tasks) fn may_be_late(&self, group: u32) -> bool {
        self.takes(group).is_some_and(|time| time / (self.positions(group).len() as u64) >= CLOSE)
    }

    /// Where to note how long each task of a group takes, by position, if this run looks closely at it.
    fn closely(&self, group: u32) -> Option<&[AtomicU32]> {
        let times = self.closely.as_deref()?;
        self.is_worth_a_look(group, self.took(group)).then_some(times)
    }

    /// Whoever holds a part of a group is done with it. Returns whether it was the last one.
    pub(super) fn arrives(&self, group: u32) -> bool {
        let holders = &self.holders[group as usize];
        let is_last = holders.arrive() == Arrival::Last;
        if is_last {
            holders.restart(1);
        }
        is_last
    }

    /// Fires tasks at these positions until one panics, or others may have the next one, or one must be skipped. Returns the
    /// position behind.
    fn fire_some(&self, group: u32, mut positions: Range<u32>, span: &Span<'_, '_>, run: &Run<'static>) -> u32 {
        let at = positions.start;
        let mut cursor = span.cursor();
        if self.is_limited() {
            cursor = span.careful();
            positions.end = at + 1;
            if self.tasks.rank(self.tasks.order[at as usize]) >= self.limit.load(Ordering::Relaxed) {
                if (Cursor::goes_on() || cursor.may_begin(at)) && cursor.passes(at) {
                    self.skip(at);
                    return at + 1;
                }
                return at;
            }
        }
        if !Cursor::goes_on() {
            positions.end = at + 1;
            if !cursor.may_begin(at) {
                return at;
            }
        }
        #[cfg(feature = "check")]
        {
            let op = self.tasks.op_at(at);
            watched_call(Call::task(op), || format!("'{}'", run.names.get(op as usize)));
        }
        let fired = catch_unwind(AssertUnwindSafe(|| {
            #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
            // SAFETY: (1) the predecessors of these tasks have finished, and their successors have not begun, or stand
            // behind them here. Every access that excludes one of a task's accesses is made by a predecessor or a
            // successor. (2) The span gives each task to one worker.
            unsafe {
                self.code.fire(group, positions, cursor)
            }
        }));
        fired.unwrap_or_else(|panic| {
            let failed = span.current();
            #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
            // SAFETY: (1), (2) as above.
            let gone = unsafe { self.code.torn(group, failed) };
            self.skip(failed);
            let task = self.tasks.order[failed as usize];
            let (op, rank) = (self.tasks.op(task), self.tasks.rank(task));
            self.gone.lock().extend(gone.iter().map(|address| (address, op)));
            run.fail(Site::Task { rank }, Failure::new(op as usize, None, Cause::Panic(panic)));
            failed + 1
        })
    }

    /// Notes that a task did not come to its end in this run.
    fn skip(&self, position: u32) {
        // Relaxed: asked for when the run is over.
        self.skipped[position as usize / 64].fetch_or(1 << (position % 64), Ordering::Relaxed);
    }
}

/// Notes the nanoseconds between two readings of the clock.
fn note(time: &AtomicU32, readings: Option<(Instant, Instant)>) {
    let Some((before, now)) = readings else { return };
    let nanos = u32::try_from((now - before).as_nanos()).unwrap_or(u32::MAX);
    time.store(nanos.max(1), Ordering::Relaxed); // relaxed: asked for when the run is over
}
