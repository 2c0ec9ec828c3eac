//! Issues the batches of a source, and no more of them at once than the source has credits.
//!
//! The run calls [`Source::start`] once; from then on the source keeps itself going with jobs.
//!
//! # Turn
//! Two workers could take items out of one iterator at the same time. The source's *turn* prevents that: at most one
//! *issue job* of a source exists, and the worker that runs it holds the turn. That worker loads a batch, or several if
//! other workers are idle. Before it works on them, it hands the turn on in one of two ways:
//! * It queues the issue job again, behind everything else in its queue.
//! * If no credit is left, it leaves the turn in the credit list, where the source sleeps. The worker that puts the
//!   next credit back queues the issue job.
//!
//! # Places
//! A credit is a place: a batch number, a count of live pieces, and (for pulled sources) a buffer with the items. The
//! batches of one turn form a chain of places, and one job carries the whole chain. The worker that takes the job
//! splits the chain in half until one place is left, and queues the other halves so that other workers can steal them.
//!
//! # Homes
//! A source may have one home, or a home for each of several equal parts. A chain goes to the home of its first batch.
//! A range of leaves is cut where the home changes. If the length of the source is not known, its chains go to the
//! homes in rotation. The issue job stays at the home of the source if there is only one.
//!
//! A free source ([`Supply::Free`]) has no places: all its numbers go out in one turn ([`super::leaves`]). A live source
//! may have nothing now; then it leaves its turn at a bell ([`crate::run::outside::wake`]).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{BATCH, BatchSize, Share};
use super::cx::Cx;
use super::leaves::FreeLeaves;
use super::order::{Origin, Ticket};
use super::stage::{BatchStage, Capacity, Stage};
use super::supply::{LiveItems, Load, Supply, Then};
use super::turn::{BatchInFlight, Bytes, Starved, TurnState};
use crate::pool::Shared;
use crate::pool::loops::span::pack;
use crate::pool::work::job::{Group, Job, Target, split_word, word};
use crate::pool::work::worker::Worker;
use crate::run::Run;
use crate::run::cancel::{Cause, Fault, Index};
use crate::run::outside::errand::come_in;
use crate::run::outside::wake::Wake;
use crate::run::tasks::parts::Home;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::credit::{Credits, IssueJob, SourceTurn};
use crate::sync::two_parts::TwoParts;
use crate::sync::{Arrival, CachePadded, Kind, UnsafeCell, has_named_calls, name_target, unwatched, will_call};

/// The largest number of batches that one turn issues.
const BURST: usize = 64;

/// A source of a run; see the module documentation.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Source<'env> {
    issue: Target,
    run: *const Run<'static>,
    pub(crate) stage: usize,
    size: BatchSize,
    /// The largest batch of an iterator by default.
    most: usize,
    /// So many batches are in flight at most, unless nothing else of the run can go on.
    soft: u32,
    /// So many at most, unless the run would stall.
    stalls_at: u32,
    /// How much they may weigh.
    bytes: Option<Bytes>,
    /// Whether nobody sees how it is cut into batches.
    unseen: bool,
    supply: Supply<'env>,
    places: TwoParts<BatchInFlight>,
    /// The homes of equal parts of the source; empty if it has none.
    homes: Box<[Home]>,
    /// What wakes the source, if it may have nothing now.
    wake: Option<Wake>,
    /// Whether a stage of the run feeds it. Then nobody outside wakes it.
    is_within: bool,
    /// Which share of the usual size the next batch has; whole if somebody sees how the source is cut.
    share: CachePadded<AtomicU32>,
    /// Every batch changes this and the turn. All workers read the fields above, so these lie on other cache lines.
    credits: CachePadded<Credits>,
    turn: CachePadded<UnsafeCell<TurnState>>,
}

#[expect(unsafe_code, reason = "the turn moves between workers")]
// SAFETY: (1) `turn` is touched only by the holder of the turn, and the turn goes from worker to worker through queues
// or the credit list; (2) `run` is the run that owns the source; (3) items and body are `Send` and `Sync`.
unsafe impl Sync for Source<'_> {}
#[expect(unsafe_code, reason = "the turn moves between workers")]
// SAFETY: see `Sync`.
unsafe impl Send for Source<'_> {}

impl<'env> Source<'env> {
    /// A source that feeds the stage `stage`. `capacity` says how large its batches are, and how many may be in flight.
    pub(crate) fn new(stage: usize, mut supply: Supply<'env>, capacity: Capacity, homes: Box<[Home]>) -> Self {
        supply.prepare(capacity);
        let is_within = supply.live().is_some_and(LiveItems::is_within);
        let places = if supply.is_free() { 0 } else { u32::try_from(capacity.credits).expect("at most `MAX_CREDITS`") };
        let most = match &supply {
            Supply::Pulled { items, .. } if capacity.absorbed => items.most_absorbed(),
            _ => BATCH,
        };
        Self {
            issue: Target::new(issue, None),
            run: std::ptr::null(),
            stage,
            size: capacity.size,
            most,
            soft: capacity.soft,
            stalls_at: capacity.stalls_at,
            bytes: capacity.bytes,
            unseen: capacity.unseen,
            share: CachePadded::new(AtomicU32::new(Share::WHOLE.word())),
            supply,
            credits: CachePadded::new(Credits::new(places, capacity.soft.min(places))),
            places: TwoParts::new(places as usize, capacity.soft as usize),
            homes,
            wake: None,
            is_within,
            turn: CachePadded::new(UnsafeCell::new(TurnState::default())),
        }
    }

    /// The typed part of the stage that works on the items.
    pub(crate) fn body(&self) -> &(dyn Stage + 'env) {
        self.supply.body()
    }

    /// Whether the source can run again.
    pub(crate) fn is_ready(&self) -> bool {
        self.supply.is_ready()
    }

    /// Stores the pointers by which jobs find the run. The source must not move after this.
    pub(crate) fn link(&mut self, run: *const Run<'_>, group: NonNull<Group>, pool: &Arc<Shared>) {
        self.run = run.cast();
        name_target(&raw const self.issue);
        self.issue.group = Some(group);
        if let Some(live) = self.supply.live() {
            let wake = Wake::new(pool, self.issue_job());
            live.link(wake.clone());
            self.wake = Some(wake);
        }
    }

    /// Whether the source may have nothing until somebody outside wakes it.
    pub(crate) fn is_live(&self) -> bool {
        self.supply.live().is_some() && !self.is_within
    }

    pub(crate) fn reset(&mut self) {
        self.credits.reset();
        *self.turn.get_mut() = TurnState { soft: self.soft, ..TurnState::default() };
        let share = if self.unseen { Share::FIRST } else { Share::WHOLE };
        self.share.store(share.word(), Ordering::Relaxed);
        self.supply.reset();
        if let Some(wake) = &self.wake {
            wake.bell().answer(); // a run that has failed may have left it asleep: then a ring would queue a second issue job
        }
        if let Some(live) = self.supply.live() {
            live.open();
        }
    }

    /// The run has ended, or fails or is cancelled. If it is a live source that sleeps, it is woken to see that.
    pub(crate) fn end_early(&self) {
        if let (Some(wake), false) = (&self.wake, self.is_within) {
            wake.wake();
        }
    }

    /// The run is over. A live source takes nothing more.
    pub(crate) fn close(&self) {
        if let Some(live) = self.supply.live() {
            live.close();
        }
    }

    /// Drops what a failed run left, and returns the number of items dropped.
    pub(crate) fn clear(&mut self) -> u64 {
        self.supply.clear()
    }

    /// How many jobs of the source are planned for: one per batch that is usually in flight, and the issue job.
    pub(crate) fn jobs(&self) -> usize {
        self.places.first_len() + 1
    }

    /// The job that issues the next batches.
    fn issue_job(&self) -> Job {
        Job { target: NonNull::from(self).cast(), payload: 0 }
    }

    /// Queues the first issue job of a run.
    pub(crate) fn start(&self, worker: &Worker<'_>) {
        worker.push_home(self.issue_job(), self.home());
    }

    /// Queues the issue job again, behind everything else in the queue.
    fn restart(&self, worker: &Worker<'_>) {
        worker.push_last_home(self.issue_job(), self.home());
    }

    /// The home of the whole source, if there is only one.
    fn home(&self) -> Option<usize> {
        if let [home] = *self.homes { home.map(usize::from) } else { None }
    }

    /// Stops the source, because no stage wants more of its items. If it sleeps for lack of credits, its issue job runs
    /// once more, and ends it.
    pub(crate) fn stop(&self, worker: &Worker<'_>) {
        if self.credits.stop() == IssueJob::Slept {
            self.restart(worker);
        }
        self.ring(worker);
    }

    /// Wakes the source if it has nothing now.
    pub(super) fn ring(&self, worker: &Worker<'_>) {
        match &self.wake {
            Some(wake) if wake.ring() == IssueJob::Slept => {}
            _ => return,
        }
        if self.is_within {
            return worker.push(self.issue_job());
        }
        come_in(&self.issue_job()); // what lay outside with the bell
        worker.push_counted(self.issue_job());
    }

    /// Nothing else of the run can go on. If the source sleeps because as many batches are in flight as may, though it has
    /// credits, twice as many may from now on. Whether it goes on. `stalls`: the run ends if no source does.
    pub(crate) fn lift(&self, worker: &Worker<'_>, stalls: bool) -> bool {
        if self.credits.rouse() == IssueJob::Awake {
            return false;
        }
        #[expect(unsafe_code, reason = "this thread has the turn")]
        // SAFETY: (1) of `Sync`: it lay in the credit list, and this thread has taken it out.
        let turn = self.turn.with_mut(|turn| unsafe { &mut *turn });
        let limit = if stalls { self.credits.len() } else { self.stalls_at };
        let are_more = turn.soft < limit && (turn.free.is_some() || !turn.all_open && self.soft < self.credits.len());
        let goes_on = if !turn.ended && are_more && turn.has_room(self.bytes) {
            turn.soft = turn.soft.saturating_mul(2).min(limit);
            if !std::mem::replace(&mut turn.all_open, true) {
                turn.free = self.credits.open_others(turn.free);
            }
            true
        } else if turn.ended {
            self.credits.sleep_to_hear() == SourceTurn::Kept
        } else {
            self.credits.sleep() == SourceTurn::Kept
        };
        if goes_on {
            self.restart(worker);
        }
        goes_on
    }

    /// Counts one more live piece of the batch in `place`.
    pub(crate) fn share(&self, place: u32) {
        self.places[place as usize].live.share();
    }

    /// Notes that a piece of the batch in `place` has ended. The last one gives the credit back, and wakes the source
    /// if it sleeps.
    pub(crate) fn release(&self, place: u32, worker: &Worker<'_>) {
        if self.places[place as usize].live.end() == Arrival::Earlier {
            return;
        }
        if self.credits.put(place) == IssueJob::Slept {
            self.restart(worker);
        } else if self.hears() {
            self.ring(worker);
        }
    }

    /// Whether the source wants to hear soon what has been done.
    fn hears(&self) -> bool {
        self.wake.is_some() && self.supply.live().is_some_and(LiveItems::hears)
    }

    /// A piece of the batch in `place` took so long.
    #[inline]
    pub(crate) fn took(&self, place: u32, time: Duration) {
        if self.unseen {
            // Relaxed: what it says is a guess.
            let share = Share::of_word(self.places[place as usize].share.load(Ordering::Relaxed));
            if let Some(less) = share.shrunk(time) {
                self.share.fetch_min(less.word(), Ordering::Relaxed);
            }
        }
    }

    /// The share that the batch in `place` gets.
    fn next_share(&self, place: u32) -> Share {
        let word = if has_named_calls() { Share::WHOLE.word() } else { self.share.load(Ordering::Relaxed) };
        if self.unseen {
            self.places[place as usize].share.store(word, Ordering::Relaxed);
        }
        Share::of_word(word)
    }

    /// A batch is done, and its pieces have said how long they took. The next ones may have a larger share.
    fn grow_share(&self) {
        let word = self.share.load(Ordering::Relaxed);
        let grown = Share::of_word(word).grown().word();
        if grown != word {
            _ = self.share.compare_exchange(word, grown, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// What holds the source up, if it has issued batches and has not ended. Asked while nothing runs.
    pub(crate) fn starved(&self) -> Option<Starved> {
        #[expect(unsafe_code, reason = "reads the turn while nobody holds it")]
        // SAFETY: the run is quiescent: no job holds the turn.
        let turn = self.turn.with(|turn| unsafe { &*turn });
        turn.starved(self.bytes, self.credits.len())
    }

    /// Runs a job of the source's stage: a chain of places, or a range of leaves.
    pub(crate) fn fire(&self, cx: &Cx<'_>, payload: u64) {
        match &self.supply {
            Supply::Pulled { body, .. } | Supply::Numbered { body, .. } => self.fire_chain(cx, payload, &**body),
            Supply::Free { items, body, leaves } => leaves.fire(cx, payload, &**items, &**body),
        }
    }

    fn chain_job(&self, cx: &Cx<'_>, first: u32, count: u32) -> Job {
        let number = || self.places[first as usize].number.load(Ordering::Relaxed);
        will_call(|| cx.call(Kind::Batch, &Ticket::whole(number(), Origin::NONE)));
        cx.stage.fire_job(word(first, count))
    }

    fn fire_chain(&self, cx: &Cx<'_>, payload: u64, body: &dyn BatchStage) {
        let (first, mut count) = split_word(payload);
        while count > 1 {
            let kept = count.div_ceil(2);
            let after = |place| self.credits.after(place).expect("the chain has `count` places");
            let rest = (0..kept).fold(first, |place, _| after(place));
            cx.worker.push(self.chain_job(cx, rest, count - kept));
            count = kept;
        }
        cx.worker.publish_before_long_job();
        let number = self.places[first as usize].number.load(Ordering::Relaxed);
        body.batch(cx, Ticket::whole(number, self.origin(cx, first)), first);
    }

    fn origin(&self, cx: &Cx<'_>, place: u32) -> Origin {
        Origin::new(cx.stage.source().expect("a source's stage knows it"), place)
    }

    /// Runs the issue job. The caller holds the turn until `hand_on`.
    fn issue(&self, cx: &Cx<'_>) {
        #[expect(unsafe_code, reason = "the issue job holds the turn")]
        // SAFETY: (1) of `Sync`: only the issue job comes here, and there is one. The reference ends before the turn is
        // handed on.
        let issued = self.turn.with_mut(|turn| self.take_turn(unsafe { &mut *turn }, cx));
        if let Some(total) = issued.total {
            cx.run.total(cx.stage.sequence, total, cx.worker);
        }
        if issued.again {
            self.hand_on(cx);
        }
        if let Supply::Free { leaves, .. } = &self.supply {
            return if issued.total.is_some() {
                self.push_leaves(leaves, cx);
            };
        }
        let Some((first, count)) = issued.chain else { return };
        let job = self.chain_job(cx, first, count);
        if self.homes.is_empty() {
            cx.worker.continue_with(job);
        } else {
            cx.worker.push_home(job, issued.home.map(usize::from));
        }
    }

    /// Queues all numbers of a free source, at the homes of their parts.
    fn push_leaves(&self, leaves: &FreeLeaves, cx: &Cx<'_>) {
        let leaves = leaves.len();
        if self.homes.is_empty() && leaves > 0 {
            cx.run.take_tokens(u64::from(leaves - 1)); // a range has a token for each leaf
            return cx.worker.continue_with(cx.stage.fire_job(pack(&(0..leaves))));
        }
        let mut part = 0;
        for same in self.homes.chunk_by(|home, next| home == next) {
            let range = self.part_start(part, leaves)..self.part_start(part + same.len(), leaves);
            part += same.len();
            if !range.is_empty() {
                let parts = u64::from(range.end - range.start);
                cx.worker.push_parts(cx.stage.fire_job(pack(&range)), parts, same[0].map(usize::from));
            }
        }
    }

    /// The first of `count` leaves that belongs to the part `part` or to a later one.
    fn part_start(&self, part: usize, count: u32) -> u32 {
        let start = (part as u64 * u64::from(count)).div_ceil(self.homes.len() as u64);
        u32::try_from(start).expect("at most `count`")
    }

    /// The home of the chain that begins with the next batch.
    fn next_home(&self, turn: &TurnState) -> Home {
        let homes = self.homes.len() as u64;
        let part = match turn.batches {
            _ if homes == 0 => return None,
            Some(batches) => turn.next.saturating_mul(homes) / batches.max(1), // behind the last part if none is left
            None => turn.chains % homes,
        };
        self.homes.get(usize::try_from(part).ok()?).copied().flatten()
    }

    /// Queues the issue job again, or leaves the turn in the credit list or at the bell.
    fn hand_on(&self, cx: &Cx<'_>) {
        #[expect(unsafe_code, reason = "the issue job holds the turn")]
        // SAFETY: (1) of `Sync`: this job still holds the turn.
        let turn = self.turn.with(|turn| unsafe { &*turn });
        let spare = turn.free.is_some() && turn.out < turn.soft && turn.has_room(self.bytes);
        let (pending, ended) = (turn.pending, turn.ended);
        if ended {
            // It only waits for places now, of which it hears.
            if self.credits.sleep_to_hear() == SourceTurn::Kept {
                self.restart(cx.worker);
            }
        } else if let (true, Some(wake)) = (pending, &self.wake) {
            if self.credits.any() && self.hears() {
                return self.restart(cx.worker);
            }
            if self.is_within {
                if wake.bell().sleep() == SourceTurn::Kept {
                    self.restart(cx.worker);
                }
                return;
            }
            cx.run.put_outside();
            if wake.bell().sleep() == SourceTurn::Kept {
                cx.run.take_back();
                self.restart(cx.worker);
            }
        } else if spare || self.credits.sleep() == SourceTurn::Kept {
            self.restart(cx.worker);
        }
    }

    fn take_turn(&self, turn: &mut TurnState, cx: &Cx<'_>) -> Issued {
        if let Some(wake) = &self.wake {
            wake.bell().answer(); // before the look for an end, which rings
        }
        if cx.run.ending() {
            return Issued::default(); // without a total, so that the sinks do not end
        }
        match &self.supply {
            Supply::Pulled { items, .. } if turn.ended => {
                self.take_places(turn);
                self.tell_done(turn, items.live(), cx);
                Issued { again: !turn.done.is_complete(), ..Issued::default() }
            }
            Supply::Pulled { items, .. } => {
                if !std::mem::replace(&mut turn.begun, true) {
                    turn.said = items.begin();
                }
                self.take_places(turn);
                self.tell_done(turn, items.live(), cx);
                if cx.run.ending() {
                    return Issued::default(); // it has failed in there
                }
                let issued = self.load_chain(turn, cx, |turn, place, share| {
                    let size = share.of(self.size.at(turn.taken, turn.said, self.most) as u64);
                    let quota = self.bytes.map_or(u64::MAX, Bytes::quota);
                    items.pull(place, usize::try_from(size).expect("no more than before"), quota)
                });
                if let (true, Some(live)) = (self.is_within, items.live()) {
                    live.used(turn.ended).into_iter().for_each(|origin| cx.release(origin));
                    if turn.ended {
                        cx.close(); // it may have failed before what feeds it: its failure need not count yet
                    }
                }
                issued
            }
            Supply::Numbered { items, .. } => {
                turn.batches.get_or_insert_with(|| items.begin(self.size));
                self.take_places(turn);
                self.load_chain(turn, cx, |_, place, share| items.next(place, share))
            }
            Supply::Free { items, body, leaves } => {
                let batches = items.begin(self.size);
                leaves.begin(batches, self.size == BatchSize::Growing && body.wants_few_leaves());
                (turn.ended, turn.next) = (true, batches);
                Issued { total: Some(batches), ..Issued::default() }
            }
        }
    }

    /// Takes the places that came back out of the credit list, and puts them before the free ones. So they are used
    /// first: their buffers are still in the cache, and no more buffers than needed come into use.
    fn take_places(&self, turn: &mut TurnState) {
        // If there is one, another free place is as good.
        if turn.free.is_some() { unwatched(|| self.take_places_now(turn)) } else { self.take_places_now(turn) }
    }

    fn take_places_now(&self, turn: &mut TurnState) {
        let Some(first) = self.credits.take_all() else { return };
        let mut last = first;
        self.is_back(turn, last);
        while let Some(next) = self.credits.after(last) {
            last = next;
            self.is_back(turn, last);
        }
        self.credits.link(last, turn.free.replace(first));
    }

    /// Notes that a place came back.
    fn is_back(&self, turn: &mut TurnState, place: u32) {
        if turn.next == 0 {
            return; // no batch was issued in this run
        }
        turn.out -= 1;
        turn.weight -= u128::from(self.places[place as usize].weight.load(Ordering::Relaxed));
        self.grow_share();
        if self.wake.is_some() {
            turn.done.done(self.places[place as usize].number.load(Ordering::Relaxed));
        }
    }

    /// Tells a live source what has been done, unless something was dropped behind a failure.
    fn tell_done(&self, turn: &mut TurnState, live: Option<&dyn LiveItems>, cx: &Cx<'_>) {
        if let Some(live) = live
            && cx.run.is_whole()
            && let Some(items) = turn.done.news()
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| live.done(items)))
        {
            let ticket = Ticket::behind_all();
            let fault = Fault { op: 0, index: Index::None, cause: Cause::Panic(panic) };
            cx.fail(&ticket, cx.failure(&ticket, fault));
        }
    }

    /// Loads one batch for this worker and one for each idle worker, at most [`BURST`]. `pull` loads each into a place.
    fn load_chain(&self, turn: &mut TurnState, cx: &Cx<'_>, pull: impl Fn(&TurnState, u32, Share) -> Load) -> Issued {
        let wanted = 1 + cx.worker.shared.sleep.available_anywhere().min(BURST - 1);
        let mut chain: Option<(u32, u32)> = None;
        let mut last = None;
        let home = self.next_home(turn);
        let mut then = if self.credits.is_stopped() { Then::Ended } else { Then::More }; // seen late: some in vain
        for _ in 0..wanted {
            let may = then == Then::More && turn.out < turn.soft && turn.has_room(self.bytes);
            let Some(place) = turn.free.filter(|_| may) else { break };
            let after = self.credits.after(place);
            let load = pull(turn, place, self.next_share(place));
            then = load.then;
            let Some(items) = load.items else { break };
            turn.free = after;
            turn.out += 1;
            turn.taken += items;
            turn.weight += u128::from(load.weight);
            let slot = &self.places[place as usize];
            slot.weight.store(load.weight, Ordering::Relaxed);
            slot.number.store(turn.next, Ordering::Relaxed);
            turn.next += 1;
            if self.wake.is_some() {
                turn.done.issued(turn.taken);
            }
            slot.live.begin();
            self.credits.link(place, None);
            if let Some(last) = last.replace(place) {
                self.credits.link(last, Some(place));
            }
            chain = Some(chain.map_or((place, 1), |(first, count)| (first, count + 1)));
        }
        (turn.pending, turn.ended) = (then == Then::Pending, then == Then::Ended);
        turn.chains += u64::from(chain.is_some());
        let again = !turn.ended || self.hears() && !turn.done.is_complete();
        Issued { total: turn.ended.then_some(turn.next), again, chain, home }
    }
}

/// What a turn has issued.
#[derive(Debug, Default)]
struct Issued {
    /// How many batches there are in all, if the source has ended.
    total: Option<u64>,
    /// Whether the turn is to be handed on.
    again: bool,
    /// The first place of the chain, and how many places it has.
    chain: Option<(u32, u32)>,
    /// The home of the chain.
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
