//! Issues the batches of a source, as far as its credits go.
//!
//! # Turn
//! At most one *issue job* of a source exists: whoever runs it holds the source's turn. It loads a batch, or several if
//! workers are hungry, and before it works on them it hands the turn on: the job is queued again behind everything else
//! this worker has, or, when no credit is left, sleeps in the credit list, and whoever puts the next credit back queues it.
//!
//! # Places
//! A credit is a place: a number, a count of live pieces, and (for sources that are pulled) a buffer with the items. The
//! batches of one turn form a chain of places, and the job for them is the chain: whoever takes it splits it in half as
//! long as it is longer than one, so that the other half can be stolen.
//!
//! # Homes
//! A source may be at home in one place, or have homes for equal parts of it. Batches go to the home of their part; a chain
//! or range goes to the home of its first batch, and a range is cut where the home changes. Of a source whose length is
//! not known the chains are dealt out in turn. The issue job stays where the source is, if that is one place.
//!
//! # Without credits
//! A source whose batches are known by number alone, and whose stage ends in a parallel sink, keeps nothing. Its numbers are
//! cut into leaves, as few numbers in each as 32 bits allow: one. Its jobs are ranges of leaves, and whoever runs one goes
//! through the numbers in it ([`Numbers`]), as one piece for the books, while others take leaves from its end
//! ([`crate::pool::span`]). What is not wanted any more, as the sequence was cut, is dropped by arithmetic: a run ends in time
//! that does not depend on what is left. What is left for later, as something else has waited for too long, goes to a list.

use std::ops::Range;
use std::ptr::NonNull;

use super::Run;
use super::batch::BatchSize;
use super::dag::Home;
use super::order::{Key, Origin, Sequence, Ticket};
use super::stage::{Cx, Extent, Parcel, Pull};
use crate::pool::job::{Group, Job, Target, halves, word};
use crate::pool::span::{Span, pack, unpack};
use crate::pool::worker::Worker;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::credit::Credits;
use crate::sync::reference_count::ReferenceCount;
use crate::sync::{Mutex, UnsafeCell};

/// Batches that one turn issues at most.
const BURST: usize = 64;

/// A source of a run; see the module.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Source {
    issue: Target,
    run: *const Run<'static>,
    pub(crate) stage: usize,
    pub(crate) size: BatchSize,
    /// Whether its batches need no credits.
    pub(crate) free: bool,
    credits: Credits,
    places: Box<[Place]>,
    /// The homes of equal parts of it; empty if it has none.
    homes: Box<[Home]>,
    turn: UnsafeCell<Turn>,
    /// Of a source without credits.
    numbers: AllNumbers,
}

/// What is known of the numbers of a source without credits.
#[derive(Debug, Default)]
struct AllNumbers {
    /// How many there are; set before the first of them is worked on.
    count: AtomicU64,
    /// See [`crate::pool::span::Of`].
    pace: AtomicU64,
    /// What was left for later.
    rests: Mutex<Vec<Range<u64>>>,
}

/// The job that goes on with a rest.
const REST: Range<u32> = u32::MAX..u32::MAX;

impl AllNumbers {
    fn count(&self) -> u64 {
        // Relaxed: the job that asks was handed on after it was set.
        self.count.load(Ordering::Relaxed)
    }

    /// The numbers in a leaf, as a power of two.
    fn bits(&self) -> u32 {
        let leaves = u64::from(u32::MAX);
        (0..).find(|bits| self.count().div_ceil(1 << bits) < leaves).expect("of 64 bits, half will do")
    }
}

/// A piece of memory that is only spoken of, never read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryRange {
    pub(crate) start: *const u8,
    pub(crate) bytes: usize,
}

impl MemoryRange {
    pub(crate) fn of<T: ?Sized>(value: &T) -> Self {
        Self { start: std::ptr::from_ref(value).cast(), bytes: size_of_val(value) }
    }
}

/// One batch in flight.
#[derive(Debug, Default)]
struct Place {
    number: AtomicU64,
    live: ReferenceCount,
}

/// What the holder of the turn knows.
#[derive(Debug, Default)]
struct Turn {
    begun: bool,
    ended: bool,
    extent: Option<u64>,
    next: u64,
    /// Chains that were issued.
    chains: u64,
    taken: u64,
    /// Free places that were taken out of the credit list: the first, linked.
    free: Option<u32>,
}

#[expect(unsafe_code, reason = "the turn moves between workers")]
// SAFETY: (1) `turn` is touched only by the holder of the turn, which goes from worker to worker through queues or the
// credit list; (2) `run` is the run that owns the source.
unsafe impl Sync for Source {}
#[expect(unsafe_code, reason = "the turn moves between workers")]
// SAFETY: see `Sync`.
unsafe impl Send for Source {}

impl Source {
    pub(crate) fn new(stage: usize, size: BatchSize, credits: u32, free: bool, homes: Box<[Home]>) -> Self {
        Self {
            issue: Target::new(issue, None),
            run: std::ptr::null(),
            stage,
            size,
            free,
            credits: Credits::new(if free { 0 } else { credits }),
            places: (0..if free { 0 } else { credits }).map(|_| Place::default()).collect(),
            homes,
            turn: UnsafeCell::new(Turn::default()),
            numbers: AllNumbers::default(),
        }
    }

    /// Lets jobs find the source; it does not move from now on.
    pub(crate) fn link(&mut self, run: *const Run<'_>, group: NonNull<Group>) {
        self.run = run.cast();
        self.issue.group = Some(group);
    }

    pub(crate) fn reset(&mut self) {
        self.credits.reset();
        *self.turn.get_mut() = Turn::default();
    }

    /// Jobs of it that may be queued at once: one per batch in flight, and the issue job.
    pub(crate) fn jobs(&self) -> usize {
        self.places.len() + 1
    }

    /// The job that issues the next batches.
    fn issue_job(&self) -> Job {
        Job { target: NonNull::from(self).cast(), payload: 0 }
    }

    /// Queues the first issue job of a run.
    pub(crate) fn start(&self, worker: &Worker<'_>) {
        worker.push_home(self.issue_job(), self.home());
    }

    /// Queues the issue job again, behind all else.
    fn restart(&self, worker: &Worker<'_>) {
        worker.push_last_home(self.issue_job(), self.home());
    }

    /// Where all of it is at home, if that is one place.
    fn home(&self) -> Option<usize> {
        if let [home] = *self.homes { home.map(usize::from) } else { None }
    }

    /// Nobody wants more items. If it sleeps for lack of credits it is started once more, and ends.
    pub(crate) fn stop(&self, worker: &Worker<'_>) {
        if self.credits.stop() {
            self.restart(worker);
        }
    }

    /// One more piece of the batch in `place` is live.
    pub(crate) fn share(&self, place: u32) {
        self.places[place as usize].live.share();
    }

    /// A piece of the batch in `place` has ended; the last one gives the credit back.
    pub(crate) fn release(&self, place: u32, worker: &Worker<'_>) {
        if self.places[place as usize].live.end() && self.credits.put(place) {
            self.restart(worker);
        }
    }

    /// How many credits there are, how many batches were issued, and whether it has ended. While nothing runs.
    pub(crate) fn progress(&self) -> (u32, u64, bool) {
        #[expect(unsafe_code, reason = "reads the turn while nobody holds it")]
        // SAFETY: the run is quiet: no job holds the turn.
        let turn = self.turn.with(|turn| unsafe { &*turn });
        (self.credits.len(), turn.next, turn.ended)
    }

    /// A job of the source's stage: a chain of places, or a range of leaves.
    pub(crate) fn fire(&self, cx: &Cx<'_>, payload: u64) {
        if self.free {
            return self.fire_leaves(cx, unpack(payload));
        }
        let (first, mut count) = halves(payload);
        while count > 1 {
            let kept = count.div_ceil(2);
            let after = |place| self.credits.after(place).expect("the chain has `count` places");
            let rest = (0..kept).fold(first, |place, _| after(place));
            cx.worker.push(cx.stage.fire_job(word(rest, count - kept)));
            count = kept;
        }
        cx.worker.before_long_job();
        let number = self.places[first as usize].number.load(Ordering::Relaxed);
        let ticket = Ticket::whole(number, Origin::new(self.index(cx), first));
        cx.stage.body.fire(cx, Parcel { ticket, load: u64::from(first) });
    }

    /// Goes through some leaves, but for those that others take; see the module.
    fn fire_leaves(&self, cx: &Cx<'_>, leaves: Range<u32>) {
        let rest = if leaves == REST { self.numbers.rests.lock().pop() } else { None };
        let (bits, count) = (self.numbers.bits(), self.numbers.count());
        let first = |leaf| first_of(leaf, bits, count);
        let rest = rest.unwrap_or_else(|| first(leaves.start)..first(leaves.end));
        let leaf = |number: u64| u32::try_from(number.div_ceil(1 << bits)).expect("fewer than 2^32 leaves");
        let leaves = leaf(rest.start)..leaf(rest.end); // the one that it begins within is under way
        let span = Span::new(cx.worker, cx.stage.jobs(&self.numbers.pace), &leaves);
        span.enter(cx.worker);
        let (next, end) = (rest.start, first(leaves.start));
        let Cx { worker, run, .. } = *cx;
        let mut numbers = Numbers { worker, run, sequence: cx.sequence(), span: &span, count, bits, next, end };
        cx.stage.body.fire_all(cx, &mut numbers);
        let Numbers { next, .. } = numbers;
        let is_wanted = numbers.is_wanted();
        let left = span.leave(cx.worker);
        let rest = next..first(left.end);
        if rest.is_empty() {
            return;
        }
        if is_wanted {
            self.numbers.rests.lock().push(rest);
            cx.worker.push(cx.stage.fire_job(pack(&REST)));
        } else {
            cx.drop_items(cx.stage.body.discard_all(&rest));
        }
    }

    fn index(&self, cx: &Cx<'_>) -> usize {
        cx.stage.source.expect("a source's stage knows it")
    }

    /// Runs the issue job. The turn is the caller's until it is handed on.
    fn issue(&self, cx: &Cx<'_>) {
        #[expect(unsafe_code, reason = "the issue job holds the turn")]
        // SAFETY: (1) only the issue job comes here, and there is one; (2) the reference is not used after the turn is
        // handed on.
        let issued = self.turn.with_mut(|turn| self.take_turn(unsafe { &mut *turn }, cx));
        if let Some(total) = issued.total {
            cx.run.total(cx.stage.sequence, total, cx.worker);
        }
        if issued.again {
            self.hand_on(cx);
        }
        if self.free {
            return self.push_leaves(issued.total.unwrap_or(0), cx);
        }
        let Some((first, count)) = issued.chain else { return };
        let job = cx.stage.fire_job(word(first, count));
        if self.homes.is_empty() {
            cx.worker.continue_with(job);
        } else {
            cx.worker.push_home(job, issued.home.map(usize::from));
        }
    }

    /// Queues so many batches of a source without credits, at the homes of their parts.
    fn push_leaves(&self, batches: u64, cx: &Cx<'_>) {
        let leaves = batches.div_ceil(1 << self.numbers.bits());
        let leaves = u32::try_from(leaves).expect("that is what the bits are for");
        if self.homes.is_empty() && leaves > 0 {
            return cx.worker.continue_with(cx.stage.fire_job(pack(&(0..leaves))));
        }
        let mut part = 0;
        for same in self.homes.chunk_by(|home, next| home == next) {
            let range = self.part_start(part, leaves)..self.part_start(part + same.len(), leaves);
            part += same.len();
            if !range.is_empty() {
                cx.worker.push_home(cx.stage.fire_job(pack(&range)), same[0].map(usize::from));
            }
        }
    }

    /// The first of `count` leaves that is in a part, or behind all before it.
    fn part_start(&self, part: usize, count: u32) -> u32 {
        let start = (part as u64 * u64::from(count)).div_ceil(self.homes.len() as u64);
        u32::try_from(start).expect("at most `count`")
    }

    /// The home of the chain that begins with the next batch.
    fn next_home(&self, turn: &Turn) -> Home {
        let homes = self.homes.len() as u64;
        let part = match turn.extent {
            _ if homes == 0 => return None,
            Some(batches) => turn.next.saturating_mul(homes) / batches.max(1), // none left: behind the last part
            None => turn.chains % homes,
        };
        self.homes.get(usize::try_from(part).ok()?).copied().flatten()
    }

    /// Queues the issue job again, or leaves the turn in the credit list.
    fn hand_on(&self, cx: &Cx<'_>) {
        #[expect(unsafe_code, reason = "the issue job holds the turn")]
        // SAFETY: still this job's turn.
        let spare = self.turn.with(|turn| unsafe { (*turn).free.is_some() });
        if spare || self.credits.any() || !self.credits.sleep() {
            self.restart(cx.worker);
        }
    }

    fn take_turn(&self, turn: &mut Turn, cx: &Cx<'_>) -> Issued {
        if cx.run.ending() {
            return Issued::default(); // no total: the sinks do not end
        }
        if !turn.begun {
            turn.begun = true;
            if let Extent::Batches(batches) = cx.stage.body.begin() {
                turn.extent = Some(batches);
            }
        }
        if self.free {
            let batches = turn.extent.expect("a free source knows its batches");
            turn.ended = true;
            turn.next = batches;
            self.numbers.count.store(batches, Ordering::Relaxed);
            return Issued { total: Some(batches), ..Issued::default() };
        }
        self.load_chain(turn, cx)
    }

    /// Takes the places that came back: they are used before those that were left over, because their buffers are in the
    /// cache, and no more buffers than needed come into use.
    fn take_places(&self, turn: &mut Turn) {
        if !self.credits.any() {
            return;
        }
        let Some(first) = self.credits.take_all() else { return };
        let mut last = first;
        while let Some(next) = self.credits.after(last) {
            last = next;
        }
        self.credits.link(last, turn.free.replace(first));
    }

    /// Loads as many batches as somebody could work on now.
    fn load_chain(&self, turn: &mut Turn, cx: &Cx<'_>) -> Issued {
        self.take_places(turn);
        let wanted = 1 + cx.worker.shared.idle.idle().min(BURST - 1);
        let mut chain: Option<(u32, u32)> = None;
        let mut last = None;
        let home = self.next_home(turn);
        let mut ended = self.credits.is_stopped(); // seen late it costs some batches
        for _ in 0..wanted {
            if ended {
                break;
            }
            let Some(place) = turn.free else { break };
            let after = self.credits.after(place);
            let ticket = Ticket::whole(turn.next, Origin::new(self.index(cx), place));
            let (items, loaded) = match self.pull(turn, place, cx) {
                Pull::Loaded(items) => (items, true),
                Pull::Last(items) => {
                    ended = true;
                    (items, true)
                }
                Pull::Nothing => {
                    ended = true;
                    (0, false)
                }
            };
            if !loaded {
                turn.free = Some(place);
                break;
            }
            turn.free = after;
            turn.taken += items;
            turn.next += 1;
            let slot = &self.places[place as usize];
            slot.number.store(ticket.number, Ordering::Relaxed);
            slot.live.begin();
            self.credits.link(place, None);
            if let Some(last) = last.replace(place) {
                self.credits.link(last, Some(place));
            }
            chain = Some(chain.map_or((place, 1), |(first, count)| (first, count + 1)));
        }
        turn.ended = ended;
        turn.chains += u64::from(chain.is_some());
        Issued { total: ended.then_some(turn.next), again: !ended, chain, home }
    }

    fn pull(&self, turn: &Turn, place: u32, cx: &Cx<'_>) -> Pull {
        match turn.extent {
            Some(batches) if turn.next >= batches => Pull::Nothing,
            Some(batches) if turn.next + 1 == batches => Pull::Last(0),
            Some(_) => Pull::Loaded(0),
            None => cx.stage.body.pull(place, turn.next, self.size.at(turn.taken)),
        }
    }
}

/// What a turn has issued.
#[derive(Debug, Default)]
struct Issued {
    /// All numbers, if the source has ended.
    total: Option<u64>,
    again: bool,
    /// The first place, and how many.
    chain: Option<(u32, u32)>,
    /// Where the chain is at home.
    home: Home,
}

#[expect(unsafe_code, reason = "jobs reach a source by pointer")]
unsafe fn issue(target: NonNull<Target>, _: u64, worker: &Worker<'_>) {
    // SAFETY: the target is the first field of a linked source; the job's token keeps the run alive.
    let source: &Source = unsafe { target.cast().as_ref() };
    // SAFETY: `link` set the run that owns the source.
    let run = unsafe { &*source.run };
    source.issue(&Cx { worker, run, stage: &run.stages[source.stage] });
}

/// The numbers of some leaves of a source without credits, for whoever goes through them; see the module.
pub(crate) struct Numbers<'a> {
    worker: &'a Worker<'a>,
    run: &'a Run<'static>,
    sequence: &'a Sequence,
    span: &'a Span<'a>,
    /// How many the source has.
    count: u64,
    /// The numbers in a leaf, as a power of two.
    bits: u32,
    /// The first one that was not begun, and behind the last one of the leaf that is under way.
    next: u64,
    end: u64,
}

impl Numbers<'_> {
    /// The first one that was not begun.
    pub(crate) fn number(&self) -> u64 {
        self.next
    }

    /// Begins the next one, if there is one that is wanted, and this thread is to go on.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u64> {
        if !self.is_wanted() || self.span.stops(self.worker) || self.next == self.end && !self.begin_leaf() {
            return None;
        }
        let number = self.next;
        self.next += 1;
        Some(number)
    }

    /// Whether anybody wants the next one.
    #[inline]
    fn is_wanted(&self) -> bool {
        !self.run.ending() || self.is_before_cut()
    }

    /// Whether a failure at the next one would count. If another order has failed, none of this one ever will.
    #[cold]
    fn is_before_cut(&self) -> bool {
        // With the cuts: an order without one is then not the one that has failed.
        !self.run.ending_with_cuts() || (!self.sequence.is_whole() && self.sequence.wants(Key::new(self.next, 0)))
    }

    #[inline]
    fn begin_leaf(&mut self) -> bool {
        let leaf = self.span.next();
        let is_there = self.span.begin(leaf, self.worker);
        if is_there {
            self.end = first_of(leaf + 1, self.bits, self.count);
        }
        is_there
    }
}

/// The first number of a leaf.
#[inline]
fn first_of(leaf: u32, bits: u32, count: u64) -> u64 {
    (u64::from(leaf) << bits).min(count)
}
