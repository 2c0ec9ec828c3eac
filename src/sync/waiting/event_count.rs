//! Sleep and wake for workers that wait for jobs: no wake-up is lost, and none is spent while somebody is looking.
//!
//! An event count after Kaiser Zou's and Dmitry Vyukov's idea (two-phase wait: announce, look again, sleep), with counted
//! searchers as in Go's and tokio's schedulers. It differs from both in who may be woken: a thread that waits for one
//! group (a run or scope) sleeps here too, and is woken only by jobs of that group.
//!
//! # State
//! ```text
//!  63 ... 48 47 ..... 32 31 ... 16 15 .... 0     active --search--> active+searching --found--> active
//! +---------+-----------+---------+----------+   active(+searching) --sleep--> sleeping
//! | unused  | searching | active  | sleeping |   sleeping --notify--> active(+searching)   (the notifier counts for it)
//! +---------+-----------+---------+----------+   sleeping --(work seen, latch)--> active(+searching)
//! ```
//! `active` counts threads that are not asleep, guests too; at most `limit` are woken to be active at once. The list of
//! sleepers says who sleeps: it and the word change together under its lock; the word alone is read without it.
//!
//! # Protocol
//! * notify, after a job was made visible: (N1) fence. (N2) As many searchers as jobs in sight: done. Nobody asleep who may
//!   run it, or `limit` active: it owes a look, and is done. (N3) Under the lock take the last sleeper that may run the job, and count it active
//!   and searching. (N4) Unpark it.
//! * owe a look, for work that others cannot be woken for: (O1) note it. (O2) Fence. (O3) If somebody can be woken now, do what
//!   follows at once. Pushers do that at N2; so does a thread that may run anything and goes to sleep without a look, as
//!   `limit` are active, or as it is a spare whose place was taken back; one that was to look behind F2 or at S5, and can wake nobody; and an owner that takes down the flag by which others ask, though somebody sleeps.
//! * pay, when somebody may be woken who could not be before: a thread leaves (X1), or goes to sleep (S1), or lends its place
//!   (L1), or the limit is raised (R1), or a searcher has found something (F1). (P1) Fence. (P2) If no look is owed, or
//!   nobody can be woken, or somebody searches: done. (P3) Take the note away. (P4) Fence. (P5) Look at everything. If there
//!   is something, put the note back, and wake one.
//! * found, when a searcher has a job: (F1) it searches no more. (F2) Fence. Then it looks at all queues, and notifies for
//!   what it sees, as those who pushed it may have counted on this search. If it sees nothing it pays. If nobody can be woken
//!   it does not look, and owes that.
//! * end, when no job will come any more but from those under way: (E1) say so, after the last job came. (E2) Wake everybody.
//!   Who reads it at (E3) and finds no job after that has seen all.
//! * swap, when a searcher makes way for a sleeper that may run anything too: (W1) under the lock one enters the list in the
//!   other's place, so the word stays as it is: the other one searches now. (W2) Unpark it; then S2 to S4.
//! * sleep: (S1) under the lock enter the list and count as sleeping. (S2) Fence. (S3) Take the note away, and look at all queues
//!   again; if there is work for this thread leave the list, or take the wake-up that came. (S4) Park until woken, leave the
//!   list. (S5) One that may not run all work, was woken for a job, and takes none, as somebody else has taken it, passes on
//!   what is in sight before it sleeps again or goes on: of several that were in sight it may have been woken for this one.
//!
//! # Why no wake-up is lost
//! The notifier's job is visible before N1, the sleeper's word before S2. If N1 comes first in the order of the fences,
//! S3 sees the job. Else N2 sees the sleeper. If it then wakes nobody because somebody searches, that one will pass S1 to
//! S3, or F1 and F2, itself or the one that it gave its search to: if N1 comes before F2 it sees the job, else N2 does not
//! count it any more. If it wakes nobody because `limit` are active, the note is there. Who frees a place afterwards either
//! sees the note, or passes P1 before O2: then O3 sees the free place. Whoever takes the note away looks after P4: if it misses
//! the job, P4 comes before N1, and the notifier does not see the old note but makes a new one. A note that nobody acts on at
//! P2, because somebody searches, is acted on by that one, at F1 or at S3.
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
//! | `event_count.paid` | P3, then P4 | P5 | not (P5 misses the job and the pusher takes the note for there) | `loom_event_count_debt_is_paid_once` |
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

/// At most so many threads share an event count.
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
    /// The CPU of the waking thread: who is bound to it would have to wait for it.
    pub(crate) busy: Option<usize>,
}

/// What a thread may be woken for: any job, or only those of one group.
pub(crate) type Only = Option<NonZeroUsize>;

#[derive(Debug)]
struct Sleeper {
    parker: Arc<Parker>,
    only: Only,
    at: At,
    /// It is a spare that waits for a place.
    spare: bool,
}

/// Sleep and wake for workers; see the module.
#[derive(Debug)]
pub(crate) struct EventCount {
    word: CachePadded<AtomicU64>,
    /// How often a thread has begun to be active.
    stirs: AtomicU64,
    sleepers: Mutex<Vec<Sleeper>>,
    /// A look is owed to those who sleep.
    owed: AtomicBool,
    limit: AtomicU64,
    /// The limit at the start: it may be lowered, and raised again.
    most: u64,
    /// Jobs for which the limit does not hold.
    urgent: AtomicU64,
    /// Places that are there for spares.
    lent: AtomicU64,
    /// Spares that are not asleep for want of work or of a place. Changes under the lock of the list.
    spares: AtomicU64,
    ending: AtomicBool,
}

impl EventCount {
    /// Nobody active yet; at most `limit` are woken to be active at once; `threads` will ever sleep at once.
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
            spares: AtomicU64::new(0),
            ending: AtomicBool::new(false),
        }
    }

    /// A thread begins to work here.
    pub(crate) fn enter(&self) {
        self.stir();
        self.add(ACTIVE);
    }

    /// If nobody is active, a number that will be another one once somebody was; entering adds one to it.
    pub(crate) fn rest(&self) -> Option<u64> {
        let stirs = self.stirs.load(Ordering::Relaxed);
        (self.load().active() == 0).then_some(stirs)
    }

    fn stir(&self) {
        self.stirs.fetch_add(1, Ordering::Relaxed);
    }

    /// A spare begins to work here, in a lent place.
    pub(crate) fn enter_spare(&self) {
        let _list = self.sleepers.lock();
        self.count_spare(true);
        self.enter();
    }

    /// A spare ends to work here, or could not begin; see [`exit`](Self::exit).
    pub(crate) fn exit_spare(&self, searching: bool) {
        let _list = self.sleepers.lock();
        self.count_spare(false);
        self.exit(searching);
    }

    /// A thread that blocks lends its place to a spare, and pays after this (L1), or takes it back.
    pub(crate) fn lend(&self, more: bool) {
        // Relaxed: ordered by the fences, as the jobs are.
        if more {
            self.lent.fetch_add(1, Ordering::Relaxed);
        } else {
            self.lent.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many places are lent.
    pub(crate) fn lent(&self) -> u64 {
        self.lent.load(Ordering::Relaxed)
    }

    /// Whether more spares are about than places are lent.
    pub(crate) fn has_too_many_spares(&self) -> bool {
        self.spares.load(Ordering::Relaxed) > self.lent()
    }

    fn has_place_for_spare(&self) -> bool {
        self.spares.load(Ordering::Relaxed) < self.lent()
    }

    fn count_spare(&self, more: bool) {
        self.spares.fetch_add(if more { 1 } else { u64::MAX }, Ordering::Relaxed);
    }

    /// Whether no job will come any more but from those under way; the jobs that came before it was so are visible. (E3)
    pub(crate) fn is_ending(&self) -> bool {
        // Acquire: pairs with E1.
        self.ending.load(edge!("event_count.ended", Acquire))
    }

    /// No job will come any more but from those under way. (E1), (E2)
    pub(crate) fn end(&self) {
        // Release: who sees it sees the jobs that came before.
        self.ending.store(true, edge!("event_count.end", Release));
        self.wake_all();
    }

    /// A thread ends to work here, and pays after this; `searching`: it was looking for work, and pushes may have counted on
    /// that. (X1)
    pub(crate) fn exit(&self, searching: bool) {
        if searching {
            self.note(true); // before it searches no more
            self.sub(ACTIVE + SEARCHING);
        } else {
            self.sub(ACTIVE);
        }
    }

    fn note(&self, owed: bool) {
        // Relaxed: ordered by the fences, as the jobs are. It is looked at first so that many do not take the line from each other.
        if self.has_debt() != owed {
            self.owed.store(owed, Ordering::Relaxed);
        }
    }

    fn has_debt(&self) -> bool {
        self.owed.load(Ordering::Relaxed)
    }

    /// Notes that a look is owed. The caller then looks whether somebody can be woken by now. (O1), (O2)
    pub(crate) fn owe(&self) {
        self.note(true); // (O1)
        fence_edge!("event_count.owed"); // (O2)
    }

    /// A thread that may run anything sleeps without a look, as enough are active, and is owed one; `true`: it can look now.
    pub(crate) fn owes_me(&self) -> bool {
        self.owe();
        !self.is_at_limit() // (O3)
    }

    /// A thread that has found something, or was woken for something, can wake nobody for what else is in sight, and owes a look;
    /// `false`: that was owed already. (O1), (O2)
    pub(crate) fn owes_for_rest(&self) -> bool {
        let owes = !self.has_debt();
        if owes {
            self.owe();
        }
        owes
    }

    /// The flag by which others ask was taken down though somebody sleeps, and is owed a look for that; `true`: it is hungry now.
    pub(crate) fn owes_sleepers(&self) -> bool {
        let owes = self.load().sleeping() > 0 && !self.has_debt();
        if owes {
            self.owe();
        }
        owes && self.is_hungry() // (O3)
    }

    /// Somebody may be woken now who could not be before, or there may be a spare if one `misses_spare`: whether a look is owed.
    /// The caller looks at everything; if there is something it owes a look again, and wakes one. (P1) to (P4)
    pub(crate) fn pays(&self, misses_spare: bool) -> bool {
        fence_edge!("event_count.freed"); // (P1)
        let word = self.load();
        let can = word.searching() == 0 && (misses_spare || (word.sleeping() > 0 && !self.is_full(word)));
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

    /// Whether anybody could take a job now: [`idle`](Self::idle) is not zero.
    #[inline]
    pub(crate) fn is_hungry(&self) -> bool {
        let word = self.load();
        word.0 >= SEARCHING || (word.sleeping() > 0 && word.active() < self.limit())
    }

    /// Whether nobody looks for a job, and somebody may be woken for one: a hint.
    pub(crate) fn has_only_sleepers(&self) -> bool {
        let word = self.load();
        word.searching() == 0 && word.sleeping() > 0 && word.active() < self.limit()
    }

    /// How many could take a job now, because they look for one or may be woken: a hint, one relaxed load.
    #[inline]
    pub(crate) fn idle(&self) -> usize {
        let word = self.load();
        let idle = word.searching() + word.sleeping().min(self.limit().saturating_sub(word.active()));
        usize::try_from(idle).expect("two 16-bit fields")
    }

    /// Whether a thread is active: a hint.
    pub(crate) fn is_anybody_active(&self) -> bool {
        self.load().active() > 0
    }

    /// Whether as many threads are active as are to be at once.
    pub(crate) fn is_at_limit(&self) -> bool {
        self.is_full(self.load())
    }

    /// Whether more are.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.load().active() > self.limit() && !self.is_urgent()
    }

    /// Whether more are because the limit was lowered. One load from a line that hardly changes, as long as it was not.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.limit() < self.most && self.is_over_limit()
    }

    /// Changes how many are to be active at once: at most as many as at the start. Who is too many finds out by itself;
    /// after it was raised the caller pays. (R1)
    pub(crate) fn set_limit(&self, limit: usize) {
        debug_assert!(limit as u64 <= self.most, "the limit of {} is raised to {limit}", self.most);
        // Relaxed: ordered by the fences, as the jobs are.
        self.limit.store(limit as u64, Ordering::Relaxed); // (R1)
    }

    fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// There is one more job that only a worker may run, and a thread blocks for it (`more`), or one less: while there are
    /// any the limit does not hold, for who is active may be blocked in code of the user's.
    pub(crate) fn set_urgent(&self, more: bool) {
        // Relaxed: ordered by the fences, as the jobs are.
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

    /// The calling thread begins to look for work.
    pub(crate) fn search(&self) {
        self.add(SEARCHING);
    }

    /// The calling thread has found work. Pushes may have counted on its search: it looks at all queues after this, and
    /// notifies for what it sees. (F1), (F2)
    pub(crate) fn found(&self) {
        self.sub(SEARCHING); // (F1)
        fence_edge!("event_count.found"); // (F2)
    }

    /// Whether somebody sleeps and may be woken: a hint.
    pub(crate) fn can_wake(&self) -> bool {
        let word = self.load();
        word.sleeping() > 0 && !self.is_full(word)
    }

    /// Wakes at most `most` sleepers that may run a job of `group`, as long as fewer threads look for work than there are
    /// `jobs` in sight; `true`: there is a place for one more, but nobody sleeps who may. Call it after the jobs are visible.
    pub(crate) fn notify(&self, prefer: Prefer<'_>, group: Only, jobs: usize, most: u32) -> bool {
        self.wake(prefer, jobs, most, |only| only.is_none() || only == group)
    }

    /// Wakes one that may run anything, however many are active; `false`: none sleeps.
    pub(crate) fn wake_one_more(&self, prefer: Prefer<'_>) -> bool {
        let sleeper = self.take_sleeper(prefer, |only| only.is_none());
        sleeper.inspect(|parker| parker.unpark()).is_some()
    }

    /// Wakes the one that sleeps for this very thing, whoever searches and however many are active: those may all be blocked
    /// by what it holds. Call it after the thing is there for it.
    pub(crate) fn give_back(&self, id: NonZeroUsize) {
        fence_edge!("event_count.pushed"); // (N1)
        if self.load().sleeping() > 0
            && let Some(parker) = self.take_sleeper(Prefer::default(), |only| only == Some(id))
        {
            parker.unpark();
        }
    }

    /// There are `jobs` in sight for others: wakes at most `most` sleepers for which `has_work` sees one; `true`: there is a
    /// place for one more, but nobody sleeps who may.
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
            } else if owes || self.has_debt() {
                return !is_full;
            } else {
                self.owe();
                owes = true; // and looks once more (O3)
            }
        }
        false
    }

    /// Wakes everybody, whatever they wait for.
    pub(crate) fn wake_all(&self) {
        fence_edge!("event_count.pushed");
        let mut sleepers = self.sleepers.lock();
        for sleeper in sleepers.drain(..) {
            self.wakes(&sleeper);
            sleeper.parker.unpark();
        }
    }

    /// Sleeps until a job for this thread is pushed or its parker is unparked. `only`: what it may run; `must_stay`: whether
    /// there is work for it, or another reason not to sleep, now that pushes see it asleep. A thread that may run anything is
    /// searching before and after; one that waits for something is neither, and pays first of all. `true`: it was woken for a
    /// job, and if it takes none it passes on what is in sight. (S5)
    pub(crate) fn sleep(&self, parker: &Arc<Parker>, at: At, only: Only, must_stay: impl FnOnce() -> bool) -> bool {
        self.announce(parker, at, only, false); // (S1)
        self.sleep_on(parker, must_stay)
    }

    /// Sleeps as [`sleep`](Self::sleep) does, as a spare that may run anything once a place is lent; `must_stay`: whether
    /// there is work, if there is a place.
    pub(crate) fn sleep_spare(&self, parker: &Arc<Parker>, at: At, must_stay: impl FnOnce(bool) -> bool) -> bool {
        self.announce(parker, at, None, true); // (S1)
        self.sleep_on(parker, || must_stay(self.has_place_for_spare()))
    }

    /// The calling thread, which may run anything and searches, goes to sleep, and one that `suits` searches in its place;
    /// `false`: none of them sleeps. `must_stay` as for [`sleep`](Self::sleep).
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

    /// Enters the list of sleepers in the place of one that `suits`, if there is one. (W1), (W2)
    pub(in crate::sync) fn give_search(&self, parker: &Arc<Parker>, at: At, suits: impl Fn(&At) -> bool) -> bool {
        let mut sleepers = self.sleepers.lock();
        let may = |sleeper: &Sleeper| sleeper.only.is_none() && !sleeper.spare && suits(&sleeper.at);
        let Some(place) = sleepers.iter().rposition(may) else { return false };
        let other = sleepers.remove(place); // (W1)
        sleepers.push(Sleeper { parker: Arc::clone(parker), only: None, at, spare: false });
        drop(sleepers);
        self.stir();
        other.parker.unpark(); // (W2)
        true
    }

    /// Whether it was woken for a job.
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
            parker.try_take(); // a wake-up that came after S3 saw work is spent
            true
        }
    }

    /// Enters the list of sleepers.
    pub(crate) fn announce(&self, parker: &Arc<Parker>, at: At, only: Only, spare: bool) {
        let mut sleepers = self.sleepers.lock();
        sleepers.push(Sleeper { parker: Arc::clone(parker), only, at, spare });
        if spare {
            self.count_spare(false);
        }
        self.add(SLEEPING.wrapping_sub(Self::awake(only)));
    }

    /// Takes the last that went to sleep and may wake, on the nearest node where there is one, and on another CPU if there
    /// is one.
    fn take_sleeper(&self, prefer: Prefer<'_>, may: impl Fn(Only) -> bool) -> Option<Arc<Parker>> {
        let mut sleepers = self.sleepers.lock();
        let has_place = |sleeper: &Sleeper| !sleeper.spare || self.has_place_for_spare();
        let may = |sleeper: &Sleeper| has_place(sleeper) && may(sleeper.only);
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

    /// This one was taken out of the list.
    fn wakes(&self, sleeper: &Sleeper) {
        if sleeper.spare {
            self.count_spare(true);
        }
        self.stir();
        self.word.fetch_add(Self::awake(sleeper.only).wrapping_sub(SLEEPING), Ordering::Relaxed);
    }

    /// What a thread counts as when it is not asleep.
    fn awake(only: Only) -> u64 {
        if only.is_none() { ACTIVE + SEARCHING } else { ACTIVE }
    }

    #[inline]
    fn load(&self) -> Word {
        // Relaxed: a hint, or after N1.
        Word(self.word.load(Ordering::Relaxed))
    }

    fn add(&self, count: u64) {
        // Relaxed: the word counts; what it decides is ordered by the fences.
        self.word.fetch_add(count, Ordering::Relaxed);
    }

    fn sub(&self, count: u64) {
        self.word.fetch_sub(count, Ordering::Relaxed);
    }
}
