//! Sleep and wake for threads that look for jobs: no wake-up is lost, and none is spent while a thread searches anyway.
//!
//! The story, with the races and a sketch of the proof, stands on [the page of this folder](super). Here are the steps.
//!
//! This is an event count after Kaiser Zou's and Dmitry Vyukov's idea (sleep in two phases: announce, look again). It
//! counts searchers, as the schedulers of Go and tokio do. It differs from these in who may be woken: a thread that
//! waits for one group (a run or scope) sleeps here too, and only jobs of that group wake it.
//!
//! # State
//! ```text
//!  63 ... 48 47 ..... 32 31 ... 16 15 .... 0     active --search--> active+searching --found--> active
//! +---------+-----------+---------+----------+   active(+searching) --sleep--> sleeping
//! | unused  | searching | active  | sleeping |   sleeping --notify--> active(+searching)  (the notifier counts for it)
//! +---------+-----------+---------+----------+   sleeping --(work seen, latch)--> active(+searching)
//! ```
//! `active` counts all threads that are not asleep, guests too. At most `limit` are woken to be active at once. The
//! list says which threads sleep. It and the word change together under its lock; the word alone is read without it.
//!
//! # Protocol
//! **Notify**, after a job was made visible:
//! * (N1) Fence.
//! * (N2) Read the word. If as many threads search as jobs are in sight: done. If no sleeper may run the job, or
//!   `limit` are active: owe a look, also if one is owed already, and be done.
//! * (N3) Under the lock, take the last sleeper that may run the job. Count it as active, and as searching if it may
//!   run anything. (N4) Unpark it.
//!
//! **Owe** a look, when others cannot be woken for what is there:
//! * (O1) Make the note. (O2) Fence.
//! * (O3) Look again whether a thread can be woken. If so, act at once: a notifier goes back to N2, a worker that goes
//!   to sleep stays awake, a thread that has found something looks, an owner of jobs leaves the flag up by which others
//!   ask for them.
//!
//! **Pay**, when a thread may be woken that could not be woken before: a thread leaves (X1), waits for a group and goes
//! to sleep (S1), or lends its slot (L1); the limit is raised (R1); a searcher has a job (F1) and sees no more.
//! * (P1) Fence.
//! * (P2) If no look is owed, or nobody can be woken, or a thread searches: done.
//! * (P3) Take the note away. (P4) Fence.
//! * (P5) Look at everything. If there is something, owe a look again, and wake one.
//!
//! **Found**, when a searcher has a job:
//! * (F1) Stop counting as searching. (F2) Fence.
//! * Look at all queues, and notify for what is there: its pushers may have counted on this search. If nothing is
//!   there, pay. If nobody can be woken, do not look, and owe that.
//!
//! **Sleep**:
//! * (S1) Under the lock, enter the list and count as sleeping. (S2) Fence.
//! * (S3) Look again, and go on if there is a reason to. A thread that may run anything takes the note away (P3, P4),
//!   and looks at all queues; if `limit` are active it does not look, and owes that. A thread that waits for a group
//!   pays, and looks for what it may run.
//! * (S4) Park until woken. Leave the list, or, if a notifier has done that, spend its wake-up.
//! * (S5) A thread that waits for a group was woken for a job, and another thread has taken that one. It passes on what
//!   is in sight before it sleeps again or goes on: more jobs may lie there for which only this thread was woken.
//!
//! **Swap**, when a searcher makes way for a sleeper that may run anything too:
//! * (W1) Under the lock, enter the list in the other's place. The word stays as it is: the other one searches now.
//! * (W2) Unpark it. Then S2 to S4, without a look at the queues: the other one has that.
//!
//! **End**, when no job will come any more except from jobs under way:
//! * (E1) Say so, after the last job came. (E2) Wake everybody.
//! * (E3) Read it. A thread that reads that it is so, and finds no job after that, has seen all.
//!
//! # Edges
//! | edge | writer | reader | excludes | model |
//! |---|---|---|---|---|
//! | `event_count.pushed` | the job, then N1 | N2 | not (N2 misses the sleeper and S3 misses the job) | `loom_event_count_loses_no_wake_up` |
//! | `event_count.asleep` | S1, then S2 | S3 | the same | `loom_event_count_loses_no_wake_up`, `loom_event_count_search_changes_hands` |
//! | `event_count.end` | the job, then E1 | E3, then the look at the queues | not (E3 sees E1 and misses the job) | `loom_event_count_end_comes_after_all_jobs` |
//! | `event_count.ended` | the same | the same | the same | `loom_event_count_end_comes_after_all_jobs` |
//! | `event_count.owed` | O1, then O2 | O3 | not (O3 misses X1 and P2 misses O1) | `loom_event_count_exit_is_handed_on`, `loom_event_count_raise_is_handed_on`, `loom_event_count_search_at_the_limit_is_handed_on` |
//! | `event_count.freed` | X1, R1 or L1, then P1 | P2 | the same | `loom_event_count_exit_is_handed_on`, `loom_event_count_raise_is_handed_on`, `loom_event_count_search_at_the_limit_is_handed_on` |
//! | `event_count.paid` | P3, then P4 | P5 | not (P5 misses the job and the pusher sees the old note) | `loom_event_count_debt_is_paid_once` |
//! | `event_count.found` | F1, then F2 | the look at the queues | not (N2 counts the searcher and it misses the job) | `loom_event_count_search_is_handed_on`, `loom_event_count_search_at_the_limit_is_handed_on` |

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::parker::Parker;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{CachePadded, Mutex, edge, fence_edge};

const SLEEPING: u64 = 1;
const ACTIVE: u64 = 1 << 16;
const SEARCHING: u64 = 1 << 32;
const FIELD: u64 = (1 << 16) - 1;

/// The most threads that can share an event count.
pub(crate) const MAX_THREADS: usize = 1 << 15;
const _: () = assert!((MAX_THREADS as u64) < FIELD);

#[derive(Clone, Copy, Debug)]
struct Word(u64);

impl Word {
    fn sleeping(self) -> u64 {
        self.0 & FIELD
    }
    fn active(self) -> u64 {
        (self.0 / ACTIVE) & FIELD
    }
    fn searching(self) -> u64 {
        (self.0 / SEARCHING) & FIELD
    }
}

/// Where a thread works.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct At {
    /// The NUMA node, as the pool counts them.
    pub(crate) node: usize,
    /// The one CPU that it is bound to.
    pub(crate) cpu: Option<usize>,
}

/// Whom to wake rather than others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prefer<'a> {
    /// All nodes, the nearest to the jobs first; of one node none need be named.
    pub(crate) near: &'a [usize],
    /// The CPU of the waking thread: a sleeper that is bound to it would have to wait for it.
    pub(crate) busy: Option<usize>,
}

/// What a thread may be woken for: any job, or only those of one group.
pub(crate) type Only = Option<NonZeroUsize>;

#[derive(Debug)]
struct Sleeper {
    parker: Arc<Parker>,
    only: Only,
    at: At,
    /// It is a compensating thread that waits for a place.
    compensator: bool,
}

/// Sleep and wake for workers; see the module.
#[derive(Debug)]
pub(crate) struct EventCount {
    word: CachePadded<AtomicU64>,
    /// How often a thread has begun to be active.
    stirs: AtomicU64,
    sleepers: Mutex<Vec<Sleeper>>,
    /// A look is owed to the sleepers.
    owed: AtomicBool,
    limit: AtomicU64,
    /// The limit at the start: it may be lowered, and raised again.
    most: u64,
    /// How many jobs are there for which the limit does not hold.
    urgent: AtomicU64,
    /// How many slots are lent to compensating threads.
    lent: AtomicU64,
    /// How many compensating threads are about. One that sleeps, for want of work or of a slot, is not; one that waits
    /// for a group is. It changes under the lock of the list.
    compensators: AtomicU64,
    ending: AtomicBool,
}

impl EventCount {
    /// Nobody is active yet. At most `limit` are woken to be active at once, and at most `threads` sleep at once.
    pub(crate) fn new(limit: usize, threads: usize) -> Self {
        assert!(threads <= MAX_THREADS, "{threads} threads, at most {MAX_THREADS}");
        Self {
            word: CachePadded::new(AtomicU64::new(0)),
            stirs: AtomicU64::new(0),
            sleepers: Mutex::new(Vec::with_capacity(threads)),
            owed: AtomicBool::new(false),
            limit: AtomicU64::new(limit as u64),
            most: limit as u64,
            urgent: AtomicU64::new(0),
            lent: AtomicU64::new(0),
            compensators: AtomicU64::new(0),
            ending: AtomicBool::new(false),
        }
    }

    /// A thread begins to work here.
    pub(crate) fn enter(&self) {
        self.stir();
        self.add(ACTIVE);
    }

    /// If nobody is active: a number that changes as soon as a thread becomes active. Entering adds one to it.
    pub(crate) fn rest(&self) -> Option<u64> {
        let stirs = self.stirs.load(Ordering::Relaxed);
        (self.load().active() == 0).then_some(stirs)
    }

    fn stir(&self) {
        self.stirs.fetch_add(1, Ordering::Relaxed);
    }

    /// A compensating thread begins to work here, in a lent slot.
    pub(crate) fn enter_compensator(&self) {
        let _list = self.sleepers.lock();
        self.count_compensator(true);
        self.enter();
    }

    /// A compensating thread stops working here, or could not begin; see [`exit`](Self::exit).
    pub(crate) fn exit_compensator(&self, searching: bool) {
        let _list = self.sleepers.lock();
        self.count_compensator(false);
        self.exit(searching);
    }

    /// A thread that blocks lends its slot to a compensating thread, and pays after this (L1); or it takes the slot
    /// back.
    pub(crate) fn lend(&self, more: bool) {
        // Relaxed: the fences order it, as they order the jobs.
        if more {
            self.lent.fetch_add(1, Ordering::Relaxed);
        } else {
            self.lent.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many slots are lent.
    pub(crate) fn lent(&self) -> u64 {
        self.lent.load(Ordering::Relaxed)
    }

    /// Whether more compensating threads are about than slots are lent.
    pub(crate) fn has_too_many_compensators(&self) -> bool {
        self.compensators.load(Ordering::Relaxed) > self.lent()
    }

    fn has_slot_for_compensator(&self) -> bool {
        self.compensators.load(Ordering::Relaxed) < self.lent()
    }

    fn count_compensator(&self, more: bool) {
        self.compensators.fetch_add(if more { 1 } else { u64::MAX }, Ordering::Relaxed);
    }

    /// Whether no job will come any more except from jobs under way. If so, all jobs that came before are visible. (E3)
    pub(crate) fn is_ending(&self) -> bool {
        // Acquire: pairs with E1.
        self.ending.load(edge!("event_count.ended", Acquire))
    }

    /// No job will come any more except from jobs under way. (E1), (E2)
    pub(crate) fn end(&self) {
        // Release: a worker that sees it sees the jobs that came before.
        self.ending.store(true, edge!("event_count.end", Release));
        self.wake_all();
    }

    /// A thread stops working here, and pays after this. `searching`: pushers may have counted on its search. (X1)
    pub(crate) fn exit(&self, searching: bool) {
        if searching {
            self.note(true); // before it stops searching
            self.sub(ACTIVE + SEARCHING);
        } else {
            self.sub(ACTIVE);
        }
    }

    fn note(&self, owed: bool) {
        // Relaxed: the fences order it, as they order the jobs. Threads look first, and so do not take the cache line
        // from each other.
        if self.has_debt() != owed {
            self.owed.store(owed, Ordering::Relaxed);
        }
    }

    fn has_debt(&self) -> bool {
        self.owed.load(Ordering::Relaxed)
    }

    /// Notes that a look is owed. The caller then checks whether a thread can be woken by now. It does so also where a
    /// look is owed already: the thread that owes that may not have passed O2 yet. (O1), (O2)
    pub(crate) fn owe(&self) {
        self.note(true); // (O1)
        fence_edge!("event_count.owed"); // (O2)
    }

    /// The calling thread, which may run anything, goes to sleep at the limit without a look, and owes one. `true`: a
    /// slot is free now, and it looks itself.
    pub(crate) fn owes_me(&self) -> bool {
        self.owe();
        !self.is_at_limit() // (O3)
    }

    /// The caller has taken down the flag by which others ask for jobs. If threads sleep all the same, it owes them a
    /// look. `true`: one of them is hungry now.
    pub(crate) fn owes_sleepers(&self) -> bool {
        self.load().sleeping() > 0 && {
            self.owe();
            self.is_hungry() // (O3)
        }
    }

    /// A thread may be woken now that could not be before, or there can be one more compensating thread
    /// (`misses_compensator`). `true`: a look was owed, and the note is taken away. Then the caller looks at
    /// everything; if there is something it owes a look again, and wakes one. (P1) to (P4)
    pub(crate) fn pays(&self, misses_compensator: bool) -> bool {
        fence_edge!("event_count.freed"); // (P1)
        let word = self.load();
        let can = word.searching() == 0 && (misses_compensator || (word.sleeping() > 0 && !self.is_full(word)));
        let pays = can && self.has_debt(); // (P2)
        if pays {
            self.settle();
        }
        pays
    }

    /// A look at everything comes next. (P3), (P4)
    pub(crate) fn settle(&self) {
        self.note(false); // (P3)
        fence_edge!("event_count.paid"); // (P4)
    }

    /// Whether a thread could take a job now: [`available`](Self::available) is not zero.
    #[inline]
    pub(crate) fn is_hungry(&self) -> bool {
        let word = self.load();
        word.0 >= SEARCHING || (word.sleeping() > 0 && word.active() < self.limit())
    }

    /// Whether nobody searches, and a sleeper may be woken: a hint.
    pub(crate) fn has_only_sleepers(&self) -> bool {
        let word = self.load();
        word.searching() == 0 && word.sleeping() > 0 && word.active() < self.limit()
    }

    /// How many threads could take a job now, because they search or may be woken: a hint, one relaxed load.
    #[inline]
    pub(crate) fn available(&self) -> usize {
        let word = self.load();
        let available = word.searching() + word.sleeping().min(self.limit().saturating_sub(word.active()));
        usize::try_from(available).expect("two 16-bit fields")
    }

    /// Whether a thread is active: a hint.
    pub(crate) fn is_anybody_active(&self) -> bool {
        self.load().active() > 0
    }

    /// Whether `limit` threads are active, or more, and the limit holds.
    pub(crate) fn is_at_limit(&self) -> bool {
        self.is_full(self.load())
    }

    /// Whether more than `limit` threads are active, and the limit holds.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.load().active() > self.limit() && !self.is_urgent()
    }

    /// Whether more than `limit` threads are active, and the limit was lowered. If it was not, this is one load from a
    /// cache line that hardly changes.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.limit() < self.most && self.is_over_limit()
    }

    /// Changes the limit; it may not exceed that at the start. If it is lowered, threads that are one too many find out
    /// by themselves. If it is raised, the caller pays. (R1)
    pub(crate) fn set_limit(&self, limit: usize) {
        debug_assert!(limit as u64 <= self.most, "the limit of {} is raised to {limit}", self.most);
        // Relaxed: the fences order it, as they order the jobs.
        self.limit.store(limit as u64, Ordering::Relaxed); // (R1)
    }

    fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// A thread blocks for a job that only a worker may run (`more`), or a worker has begun such a job. While one is
    /// left, the limit does not hold: the active threads may all be blocked in code of the user's.
    pub(crate) fn set_urgent(&self, more: bool) {
        // Relaxed: the fences order it, as they order the jobs.
        if more {
            self.urgent.fetch_add(1, Ordering::Relaxed);
        } else {
            self.urgent.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed) > 0
    }

    fn is_full(&self, word: Word) -> bool {
        word.active() >= self.limit() && !self.is_urgent()
    }

    /// The calling thread begins to search.
    pub(crate) fn search(&self) {
        self.add(SEARCHING);
    }

    /// The calling thread has a job. Pushers may have counted on its search: after this it looks at all queues, and
    /// notifies for what it sees. (F1), (F2)
    pub(crate) fn found(&self) {
        self.sub(SEARCHING); // (F1)
        fence_edge!("event_count.found"); // (F2)
    }

    /// Whether a thread sleeps and may be woken: a hint.
    pub(crate) fn can_wake(&self) -> bool {
        let word = self.load();
        word.sleeping() > 0 && !self.is_full(word)
    }

    /// Wakes at most `most` sleepers that may run a job of `group`, while fewer threads search than `jobs` are in
    /// sight. `true`: one more may be active, but no sleeper may run the job. Call it after the jobs are visible.
    pub(crate) fn notify(&self, prefer: Prefer<'_>, group: Only, jobs: usize, most: u32) -> bool {
        self.wake(prefer, jobs, most, |only| only.is_none() || only == group)
    }

    /// Wakes one that may run anything, even at the limit. `false`: none sleeps.
    pub(crate) fn wake_one_more(&self, prefer: Prefer<'_>) -> bool {
        let sleeper = self.take_sleeper(prefer, |only| only.is_none());
        sleeper.inspect(|parker| parker.unpark()).is_some()
    }

    /// Wakes the thread that waits for this very job, even at the limit and beside searchers: it may hold what all of
    /// these wait for. Call it after the job is there for it.
    pub(crate) fn give_back(&self, id: NonZeroUsize) {
        fence_edge!("event_count.pushed"); // (N1)
        if self.load().sleeping() > 0
            && let Some(parker) = self.take_sleeper(Prefer::default(), |only| only == Some(id))
        {
            parker.unpark();
        }
    }

    /// As [`notify`](Self::notify), for `jobs` that are in sight, and sleepers for which `has_work` sees one of them.
    pub(crate) fn pass_on(&self, prefer: Prefer<'_>, jobs: usize, most: u32, has_work: impl Fn(Only) -> bool) -> bool {
        self.wake(prefer, jobs, most, has_work)
    }

    fn wake(&self, prefer: Prefer<'_>, jobs: usize, most: u32, may: impl Fn(Only) -> bool) -> bool {
        fence_edge!("event_count.pushed"); // (N1)
        let (mut woken, mut owes) = (0, false);
        while woken < most {
            let word = self.load(); // (N2)
            if word.searching() >= jobs as u64 {
                return false;
            }
            let is_full = self.is_full(word);
            let sleeper = if is_full || word.sleeping() == 0 { None } else { self.take_sleeper(prefer, &may) }; // (N3)
            if let Some(parker) = sleeper {
                parker.unpark(); // (N4)
                woken += 1;
            } else if owes {
                return !is_full;
            } else {
                self.owe();
                owes = true; // and goes back to N2 (O3)
            }
        }
        false
    }

    /// Wakes all sleepers.
    pub(crate) fn wake_all(&self) {
        fence_edge!("event_count.pushed");
        let mut sleepers = self.sleepers.lock();
        for sleeper in sleepers.drain(..) {
            self.wakes(&sleeper);
            sleeper.parker.unpark();
        }
    }

    /// Sleeps until a job for this thread is pushed or its parker is unparked. `only`: what it may run. `must_stay` is
    /// asked when pushers see the thread asleep: whether there is a job for it, or another reason not to sleep.
    ///
    /// A thread that may run anything counts as searching before and after. One that waits for something never does,
    /// and pays in `must_stay` first of all. `true`: it was woken for a job. One that waits for something, and takes
    /// none, passes on what is in sight. (S5)
    pub(crate) fn fall_asleep(
        &self,
        parker: &Arc<Parker>,
        at: At,
        only: Only,
        must_stay: impl FnOnce() -> bool,
    ) -> bool {
        self.announce(parker, at, only, false); // (S1)
        self.sleep_on(parker, must_stay)
    }

    /// As [`fall_asleep`](Self::fall_asleep), for a compensating thread. A notifier wakes it only if a slot is lent for it.
    /// `must_stay` is told whether that is so now.
    pub(crate) fn fall_asleep_as_compensator(
        &self,
        parker: &Arc<Parker>,
        at: At,
        must_stay: impl FnOnce(bool) -> bool,
    ) -> bool {
        self.announce(parker, at, None, true); // (S1)
        self.sleep_on(parker, || must_stay(self.has_slot_for_compensator()))
    }

    /// The calling thread, which may run anything and searches, goes to sleep. A sleeper that `suits` searches in its
    /// place. `false`: there is none. `must_stay`: as for [`fall_asleep`](Self::fall_asleep).
    pub(crate) fn swap(
        &self,
        parker: &Arc<Parker>,
        at: At,
        suits: impl Fn(&At) -> bool,
        must_stay: impl FnOnce() -> bool,
    ) -> bool {
        let swapped = self.give_search(parker, at, suits);
        if swapped {
            self.sleep_on(parker, must_stay);
        }
        swapped
    }

    /// Enters the list in the place of a sleeper that `suits`, and wakes that one. `false`: there is none. (W1), (W2)
    pub(in crate::sync) fn give_search(&self, parker: &Arc<Parker>, at: At, suits: impl Fn(&At) -> bool) -> bool {
        let mut sleepers = self.sleepers.lock();
        let may = |sleeper: &Sleeper| sleeper.only.is_none() && !sleeper.compensator && suits(&sleeper.at);
        let Some(place) = sleepers.iter().rposition(may) else { return false };
        let other = sleepers.remove(place); // (W1)
        sleepers.push(Sleeper { parker: Arc::clone(parker), only: None, at, compensator: false });
        drop(sleepers);
        self.stir();
        other.parker.unpark(); // (W2)
        true
    }

    /// (S2) to (S4). Whether the thread was woken for a job.
    fn sleep_on(&self, parker: &Arc<Parker>, must_stay: impl FnOnce() -> bool) -> bool {
        fence_edge!("event_count.asleep"); // (S2)
        if !must_stay() {
            parker.park(); // (S3), (S4)
        }
        let mut sleepers = self.sleepers.lock();
        if let Some(place) = sleepers.iter().position(|sleeper| Arc::ptr_eq(&sleeper.parker, parker)) {
            let sleeper = sleepers.swap_remove(place);
            self.wakes(&sleeper);
            false
        } else {
            drop(sleepers);
            parker.try_take(); // spends a wake-up that came after S3 had seen work
            true
        }
    }

    /// Enters the list of sleepers. (S1)
    pub(crate) fn announce(&self, parker: &Arc<Parker>, at: At, only: Only, compensator: bool) {
        let mut sleepers = self.sleepers.lock();
        sleepers.push(Sleeper { parker: Arc::clone(parker), only, at, compensator });
        if compensator {
            self.count_compensator(false);
        }
        self.add(SLEEPING.wrapping_sub(Self::awake(only)));
    }

    /// Takes the last sleeper that may wake. One on the nearest node comes first, and one that is not bound to the CPU
    /// of the waking thread.
    fn take_sleeper(&self, prefer: Prefer<'_>, may: impl Fn(Only) -> bool) -> Option<Arc<Parker>> {
        let mut sleepers = self.sleepers.lock();
        let has_slot = |sleeper: &Sleeper| !sleeper.compensator || self.has_slot_for_compensator();
        let may = |sleeper: &Sleeper| has_slot(sleeper) && may(sleeper.only);
        let last = |more: &dyn Fn(&At) -> bool| sleepers.iter().rposition(|sleeper| more(&sleeper.at) && may(sleeper));
        let is_free = |at: &At| prefer.busy.is_none() || at.cpu != prefer.busy;
        let place = match prefer.near {
            [] | [_] => last(&is_free),
            near => near.iter().find_map(|node| last(&|at| at.node == *node && is_free(at))),
        };
        let place = place.or_else(|| last(&|_| true))?;
        let sleeper = sleepers.remove(place);
        self.wakes(&sleeper);
        Some(sleeper.parker)
    }

    /// Counts a thread that was taken out of the list as awake.
    fn wakes(&self, sleeper: &Sleeper) {
        if sleeper.compensator {
            self.count_compensator(true);
        }
        self.stir();
        self.word.fetch_add(Self::awake(sleeper.only).wrapping_sub(SLEEPING), Ordering::Relaxed);
    }

    /// What a thread adds to the word when it is not asleep.
    fn awake(only: Only) -> u64 {
        if only.is_none() { ACTIVE + SEARCHING } else { ACTIVE }
    }

    #[inline]
    fn load(&self) -> Word {
        // Relaxed: a hint, or after N1.
        Word(self.word.load(Ordering::Relaxed))
    }

    fn add(&self, count: u64) {
        // Relaxed: the fences order what the word decides.
        self.word.fetch_add(count, Ordering::Relaxed);
    }

    fn sub(&self, count: u64) {
        self.word.fetch_sub(count, Ordering::Relaxed);
    }
}
