//! The span of a group: which of its tasks are left, while a worker goes through them and others take some away.
//!
//! A worker calls the records of a group one after the other. One of them may take long, and what lies behind it could
//! wait beside idle workers. So the span is an entry in the ring of the worker's seat, as the leaves of a loop are
//! ([`crate::pool::loops::span`]). Whoever publishes what is private there, the worker itself or a raider, takes the upper
//! half of what is left, and again half of that. It cuts only before a task that waits for none of its group. The first task
//! stays with the worker, begun or not: otherwise workers could hand a task round, and none begin it.
//!
//! A task may take a nanosecond. So the worker says where it is by one store, and looks at one word, before each
//! ([`crate::sync::stretch`]). A second word tells that some task has failed.
//!
//! # When all of a group has ended
//! A group that was cut has several holders, and its successors wait for all of them. Whoever cuts announces one more
//! holder in the name of the one that it takes from, which has not ended ([`crate::sync::countdown`]).

use std::cell::Cell;
use std::ops::Range;
use std::ptr::NonNull;

use super::dag::Dag;
#[cfg(feature = "check")]
use super::parts::Tasks;
use crate::pool::work::job::{Job, Published, Target, Wanted, pointer};
use crate::pool::work::seat::{Public, Seat};
use crate::pool::work::worker::Worker;
#[cfg(feature = "check")]
use crate::sync::Call;
use crate::sync::asymmetric::is_one_sided;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
#[cfg(feature = "check")]
use crate::sync::recorder;
use crate::sync::stretch::Stretch;

/// A group takes so many nanoseconds at least if a half of it is worth giving away; see [`crate::pool::loops::span`].
const WORTH: u64 = 4000;

/// What is left of a group, or of a part of one, on the stack of the worker that goes through it; see the module.
pub(super) struct Span<'a, 'env> {
    dag: &'a Dag<'env>,
    group: u32,
    start: u32,
    /// The positions that are left. The lock of the takers is the one of the far end of the seat's ring.
    stretch: Stretch,
    /// Whether some of it was taken away. Written under that lock.
    was_cut: AtomicBool,
    /// The first of its tasks, if it was said that its worker is in that for long; else [`u32::MAX`]. Written under that lock.
    stuck: AtomicU32,
    /// Its number, if it is or was [foreseen](Seat::foreseen) to take long.
    foreseen: AtomicU32,
    /// Whether somebody has taken some of it away, and nobody has looked since. Written under that lock.
    is_just_cut: AtomicBool,
    /// Its place in the ring, while it is there.
    place: Cell<Option<usize>>,
    /// The limit that a worker heeds which looks at the real one itself.
    no_limit: AtomicU32,
}

impl<'a, 'env> Span<'a, 'env> {
    const TARGET: &'static Target = &Target { run: Self::run, group: None, publish: Some(Self::publish) };

    pub(super) fn new(dag: &'a Dag<'env>, group: u32, positions: Range<u32>) -> Self {
        let start = positions.start;
        let (stretch, no_limit) = (Stretch::new(positions), AtomicU32::new(u32::MAX));
        let [was_cut, is_just_cut] = [false; 2].map(AtomicBool::new);
        let stuck = AtomicU32::new(u32::MAX);
        let (place, foreseen) = (Cell::new(None), AtomicU32::new(0));
        Self { dag, group, start, stretch, was_cut, is_just_cut, stuck, foreseen, place, no_limit }
    }

    /// Makes it an entry of the seat's ring; `is_foreseen`: it takes long as a rule. It must stay in place until
    /// [`leave`](Self::leave).
    pub(super) fn enter(&self, worker: &Worker<'_>, is_foreseen: bool) {
        if is_foreseen {
            self.foreseen.store(worker.seat.foresee(), Ordering::Relaxed);
        }
        self.place.set(Some(worker.push_entry(Job::about(Self::TARGET, self))));
    }

    /// The number of this entry, as long as it is foreseen to take long.
    fn foreseen(&self, seat: &Seat) -> Option<u32> {
        // Relaxed: a hint, under the lock of the far end.
        seat.foreseen().filter(|number| *number == self.foreseen.load(Ordering::Relaxed))
    }

    /// Ends the taking of parts.
    pub(super) fn leave(&self, worker: &Worker<'_>) {
        if let Some(place) = self.place.take() {
            worker.take_entry(place);
            if let Some(number) = self.foreseen(worker.seat) {
                worker.seat.expire(number);
            }
        }
    }

    /// Behind the last position that is left. It is final when the span has left the ring.
    pub(super) fn end(&self) -> u32 {
        self.stretch.end()
    }

    /// Whether some of it was taken away. Asked when it has left the ring.
    pub(super) fn was_cut(&self) -> bool {
        self.was_cut.load(Ordering::Relaxed)
    }

    /// The task in which this worker was for long, if somebody has said so. Asked when it has left the ring.
    pub(super) fn stuck(&self) -> Option<u32> {
        let stuck = self.stuck.load(Ordering::Relaxed);
        (stuck != u32::MAX).then_some(stuck)
    }

    /// Says that this worker is in the task before `next` for long, and goes on with those before `end`.
    fn say_stuck(&self, next: u32, end: u32) -> Published {
        let start = next.saturating_sub(1).max(self.start);
        self.stuck.store(start, Ordering::Relaxed);
        Published::Part(self.dag.stuck(self.group, &(start..end)))
    }

    /// The position of the task that was begun last.
    pub(super) fn current(&self) -> u32 {
        self.stretch.next() - 1
    }

    /// Goes from task to task, until some task has failed.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        self.with_limit(self.dag.limit())
    }

    /// Goes from task to task, for a worker that looks itself whether the next one may fire.
    pub(super) fn careful(&self) -> Cursor<'_> {
        self.with_limit(&self.no_limit)
    }

    fn with_limit<'s>(&'s self, limit: &'s AtomicU32) -> Cursor<'s> {
        Cursor {
            stretch: &self.stretch,
            limit,
            #[cfg(feature = "check")]
            tasks: self.dag.by_position(),
            #[cfg(feature = "check")]
            are_short: self.dag.are_short(self.group),
        }
    }

    #[expect(unsafe_code, reason = "a target's code is unsafe to call")]
    unsafe fn run(_: NonNull<Target>, _: u64, _: &Worker<'_>) {
        unreachable!("an entry of the ring, taken back by whoever has made it")
    }

    /// Gives about half of the tasks that are left, to be published.
    ///
    /// # Safety
    /// (1), (2) of [`crate::pool::work::job::Publish`]. (3) The payload is the address of a span.
    #[expect(unsafe_code, reason = "reaches a span by pointer")]
    unsafe fn publish(payload: u64, seat: &Seat, _: &Public, wanted: Wanted) -> Published {
        // SAFETY: (3); it is in place as its entry is in the ring, by (1) and (2).
        let span: &Self = unsafe { &*pointer(payload) };
        let cut = |next: u32, end| span.dag.cut(span.group, next.max(span.start + 1), end);
        // Its tasks were short in the runs before. If one of them is not now, a thread that searches raids it; one that
        // sleeps would not know.
        let is_short = || span.dag.takes(span.group).is_some_and(|time| time < WORTH);
        let (is_ordered, is_one) = (span.dag.is_ordered(span.group), span.dag.is_one(span.group));
        // Jobs of the task that its worker is in now come behind it.
        let has_more = seat.has_several();
        if let Some(number) = span.foreseen(seat) {
            // What the task itself has queued is to be found, and a task that blocks takes longer than foreseen.
            if has_more || wanted == Wanted::All {
                seat.expire(number);
            }
            return if has_more { Published::Empty } else { Published::Kept };
        }
        let taken = match wanted {
            _ if span.stuck().is_some() => return Published::Empty,
            Wanted::Surplus if (is_ordered || is_one) && !has_more => {
                if is_ordered || !is_short() {
                    span.dag.pool().be_watched(seat);
                }
                return Published::Kept;
            }
            Wanted::Surplus if !is_ordered && !is_one && is_short() && span.dag.pool().is_searched_near(seat) => {
                return Published::Kept;
            }
            Wanted::Surplus => span.stretch.take_own(cut), // only the worker itself asks for that
            Wanted::All => span.stretch.take(cut),
        };
        match (taken, wanted) {
            (Some(taken), _) if is_ordered => span.say_stuck(taken.start, taken.start),
            (Some(taken), _) => {
                span.was_cut.store(true, Ordering::Relaxed);
                span.is_just_cut.store(true, Ordering::Relaxed);
                Published::Part(span.dag.part(span.group, taken))
            }
            (None, Wanted::Surplus) if !is_ordered && !is_one && (has_more || !span.dag.may_be_late(span.group)) => {
                Published::Empty
            }
            // Only the task that comes next is left. If it takes long, what waits for it may have to be loosened.
            (None, Wanted::Surplus) if !is_ordered && !is_one => {
                span.foreseen.store(seat.foresee(), Ordering::Relaxed);
                Published::Kept
            }
            // All but this task was taken a moment ago. If it takes long, somebody comes again.
            (None, _) if span.is_just_cut.swap(false, Ordering::Relaxed) && !has_more => Published::Kept,
            (None, _) => span.say_stuck(span.stretch.next(), span.stretch.end()),
        }
    }
}

/// Says before each task of a span whether it may begin.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    stretch: &'a Stretch,
    /// Tasks of this rank and of higher ones must not fire.
    limit: &'a AtomicU32,
    /// What is at each position.
    #[cfg(feature = "check")]
    tasks: &'a Tasks,
    /// Whether its tasks are so short that a reading of the clock for each would cost much.
    #[cfg(feature = "check")]
    are_short: bool,
}

impl Cursor<'_> {
    /// Whether it goes on from task to task by itself. If not, [`may_begin`](Self::may_begin) comes before each.
    pub(super) fn goes_on() -> bool {
        is_one_sided()
    }

    /// Whether the task at this position, the next one, is this worker's.
    pub(super) fn may_begin(&self, position: u32) -> bool {
        self.stretch.begins(position)
    }

    /// Begins the task at this position, the next one. `false`: it may be another's, or a failure may forbid it.
    #[inline]
    pub(super) fn begins(&self, position: u32) -> bool {
        let begins = self.passes(position);
        #[cfg(feature = "check")]
        if begins {
            recorder::begins_in_row(Call::task(self.tasks.op_at(position)), self.are_short);
        }
        begins
    }

    /// Passes the task at this position, the next one, which is not called. `false`: it may be another's.
    #[inline]
    pub(super) fn passes(&self, position: u32) -> bool {
        self.stretch.begins_one_sided(position)
            && (self.limit.load(Ordering::Relaxed) == u32::MAX || self.stretch.turns_back(position))
    }
}
