//! A span: a range of leaves that one thread goes through, and from whose end others take.
//!
//! A job may be a range of leaves, of a loop or of a source. The thread that runs it goes through the range from its
//! front. Meanwhile the span is an entry in the ring of the thread's seat. So a thread that publishes what is private
//! there, the seat's occupant or a raider, takes the upper half of the leaves that are left, again and again if more
//! is wanted. An occupant that answers others keeps a half that would take less than [`WORTH`], judged by the leaves
//! before. A raider takes such a half too, and an occupant that is about to block gives it away.
//!
//! A range of leaves holds a token of its group for each leaf ([`crate::sync::quiescence`]). So a range is cut in two
//! without a look at the group, and a thread gives back the tokens of all leaves that it has gone through at once.
//!
//! This costs next to nothing where nobody is hungry. The one leaf that runs is all that cannot be taken. And what is
//! stolen is the largest part there is. The first leaf of a range cannot be taken even before it is begun: if others had
//! all leaves, and so all tokens, the loop or run might end while this thread still looks at it.
//!
//! # Protocol
//! The race is for a leaf that the occupant begins while a raider takes it away.
//! * The occupant begins a leaf: (B1) advance `next`. (B2) Light fence. (B3) If a raider has claimed the entry of the
//!   span, wait until the raider is done. (B4) The leaf is the occupant's if it lies before `end`.
//! * A raider has claimed the entry: (G1) heavy fence. (G2) Lower `end`, but not below `next`.
//!
//! If B3 misses the claim, then B2 comes before G1 in the order of the fences. So G2 sees B1, and leaves the leaf to
//! the occupant. Otherwise the occupant has waited, and B4 sees G2.

use std::cell::Cell;
use std::ops::Range;
use std::ptr::NonNull;

use crate::pool::work::injector::Injector;
use crate::pool::work::job::{Job, Published, Target, Wanted, pointer, split_word, word};
use crate::pool::work::seat::{Public, Seat};
use crate::pool::work::worker::Worker;
use crate::sync::Instant;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A half that takes fewer nanoseconds is not worth giving away: giving it away moves some ten cache lines, which takes
/// about as long between sockets.
const WORTH: u64 = 2000;
/// Before a leaf that takes so many nanoseconds its thread publishes parts of the range though nobody asks: who asks
/// later would wait for the end of the leaf. To publish a part and to take it back takes a few hundredths of that.
const LONG: u64 = 4 * WORTH;

/// What the jobs that go through the leaves have in common: their target and their pace. The pace is the nanoseconds that
/// a leaf took when that was last measured, or 0 if it never was: a hint.
#[derive(Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) jobs: NonNull<Target>,
    pub(crate) pace: &'a AtomicU64,
}

/// A range of leaves under way, on the stack of the thread that goes through it; see the module.
pub(crate) struct Span<'a> {
    /// The first leaf that was not begun. Written by the occupant of the seat.
    next: AtomicU32,
    /// Behind the last leaf of the range. Written by the thread that has the far end of the seat's ring.
    end: AtomicU32,
    of: Of<'a>,
    /// There if its worker has nothing else under way. Then it may leave the rest of the range for later, if jobs here
    /// are overdue.
    stops_for: Option<&'a Injector>,
    /// Its place in the ring, while it is there.
    place: Cell<Option<usize>>,
    /// Whether a leaf takes [`LONG`], as far as the occupant knows: by the pace at the start, or by its first leaves.
    is_long: Cell<bool>,
    /// When the occupant began the first leaf, or the second one. Virtual workers have no time.
    began: Cell<Option<Instant>>,
    /// The first leaf.
    start: u32,
    /// Which leaves were not timed yet: when the first of them began, and its number. For the thread that has the far
    /// end. Virtual workers have no time.
    since: Cell<Option<Instant>>,
    first: Cell<u32>,
}

impl<'a> Span<'a> {
    const TARGET: &'static Target = &Target { run: Self::run, group: None, publish: Some(Self::publish) };

    pub(crate) fn new(worker: &'a Worker<'a>, of: Of<'a>, leaves: &Range<u32>) -> Self {
        let may_stop = worker.number.is_some() && worker.waits.get() == 0 && !worker.timeless;
        let now = worker.clock();
        Self {
            next: AtomicU32::new(leaves.start),
            end: AtomicU32::new(leaves.end),
            of,
            stops_for: may_stop.then(|| worker.injector()),
            place: Cell::new(None),
            is_long: Cell::new(of.pace.load(Ordering::Relaxed) >= LONG),
            began: Cell::new(now),
            start: leaves.start,
            since: Cell::new(now),
            first: Cell::new(leaves.start),
        }
    }

    /// Makes it an entry of the seat's ring, if more than one leaf is there. It must stay in place until
    /// [`leave`](Self::leave).
    pub(crate) fn enter(&self, worker: &Worker<'_>) {
        if self.end.load(Ordering::Relaxed) - self.next() > 1 {
            self.place.set(Some(worker.push_entry(Job::about(Self::TARGET, self))));
        }
    }

    /// Ends the taking of parts, and gives the leaves that are left.
    pub(crate) fn leave(&self, worker: &Worker<'_>) -> Range<u32> {
        if let Some(place) = self.place.take() {
            worker.take_entry(place);
        }
        self.next()..self.end.load(Ordering::Relaxed)
    }

    /// The first leaf that was not begun.
    #[inline]
    pub(crate) fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// Whether to queue the rest of the range again, because something else has waited for too long.
    #[inline]
    pub(crate) fn stops(&self, worker: &Worker<'_>) -> bool {
        self.stops_for.is_some_and(|injector| !injector.is_empty()) && worker.owes_injected()
    }

    /// Begins this leaf, the next one, if nobody has taken it. Then gives others what they ask for, or may ask for while
    /// it runs. (B1) to (B4)
    #[inline]
    pub(crate) fn begin(&self, leaf: u32, worker: &Worker<'_>) -> bool {
        self.next.store(leaf + 1, Ordering::Relaxed); // (B1)
        if let Some(place) = self.place.get() {
            worker.pass_entry(place); // (B2), (B3)
        }
        let is_there = leaf < self.end.load(Ordering::Relaxed); // (B4)
        if !is_there {
            self.next.store(leaf, Ordering::Relaxed);
            return false;
        }
        worker.publish_surplus();
        let done = leaf - self.start;
        if done == 1 || (done == 2 && self.is_long.get()) {
            self.is_long.set(self.was_long());
        }
        if self.is_long.get() {
            worker.publish_ahead();
        }
        true
    }

    /// Whether the leaf before this one took [`LONG`]. The system may have taken the CPU from this thread meanwhile: so the
    /// pace must not say otherwise, and the first two leaves are looked at.
    fn was_long(&self) -> bool {
        let Some(began) = self.began.get() else { return false };
        let now = Instant::now();
        self.began.set(Some(now));
        // Relaxed: a hint.
        (now - began).as_nanos() >= u128::from(LONG) && !(1..LONG).contains(&self.of.pace.load(Ordering::Relaxed))
    }

    #[expect(unsafe_code, reason = "a target's code is unsafe to call")]
    unsafe fn run(_: NonNull<Target>, _: u64, _: &Worker<'_>) {
        unreachable!("an entry of the ring, taken back by whoever has made it")
    }

    /// Gives the upper half of the leaves that are left, to be published.
    ///
    /// # Safety
    /// (1), (2) of [`crate::pool::work::job::Publish`]. (3) The payload is the address of a span.
    #[expect(unsafe_code, reason = "reaches a span by pointer")]
    unsafe fn publish(payload: u64, _: &Seat, _: &Public, wanted: Wanted) -> Published {
        // SAFETY: (3); it is in place as its entry is in the ring, by (1) and (2).
        let span: &Self = unsafe { &*pointer(payload) };
        // The first leaf stays, begun or not.
        let (next, end) = (span.next().max(span.start + 1), span.end.load(Ordering::Relaxed));
        if next >= end {
            return Published::Empty;
        }
        if wanted == Wanted::Surplus && !span.is_worth_it(next, end) {
            return Published::Kept;
        }
        let middle = middle(next, end);
        span.end.store(middle, Ordering::Relaxed); // (G2)
        Published::Part(Job { target: span.of.jobs, payload: pack(&(middle..end)) })
    }

    /// Whether half of these leaves, which were not begun, is worth giving away. If their pace is not known it is.
    fn is_worth_it(&self, next: u32, end: u32) -> bool {
        let half = u64::from(end - next).div_ceil(2);
        self.time(next).is_none_or(|leaf| leaf.saturating_mul(half) >= WORTH)
    }

    /// Nanoseconds that a leaf takes, if that is known. The last leaf before `next` has just begun, so it is not timed.
    fn time(&self, next: u32) -> Option<u64> {
        let done = next.saturating_sub(self.first.get() + 1);
        if let Some(since) = self.since.get()
            && done > 0
        {
            let now = Instant::now();
            let spent = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
            let (new, known) = ((spent / u64::from(done)).max(1), self.of.pace.load(Ordering::Relaxed));
            if new.abs_diff(known) > known / 4 {
                self.of.pace.store(new, Ordering::Relaxed); // otherwise the line stays in all caches
            }
            self.since.set(Some(now));
            self.first.set(next - 1);
        }
        let known = self.of.pace.load(Ordering::Relaxed);
        (known > 0).then_some(known)
    }
}

/// Where to cut some leaves in two: at a round number, so that few parts of a tree lie on both sides. A single leaf has
/// no lower half.
fn middle(next: u32, end: u32) -> u32 {
    let count = end - next;
    if count == 1 {
        return next;
    }
    let round = 1 << (count / 4).max(1).ilog2();
    (next.midpoint(end + 1) + round / 2) & !(round - 1)
}

/// A range of leaves as the payload of a job.
pub(crate) fn pack(leaves: &Range<u32>) -> u64 {
    word(leaves.start, leaves.end)
}

pub(crate) fn unpack(payload: u64) -> Range<u32> {
    let (start, end) = split_word(payload);
    start..end
}
