//! Sleep and wake for threads that look for jobs: no wake-up is lost, and none is spent while a thread searches anyway.
//!
//! The story, with the races and a sketch of the proof, stands on [the page of this folder](super). Here are the steps.
//!
//! This is an event count after Kaiser Zou's and Dmitry Vyukov's idea (announce, look again). It counts searchers, as
//! the schedulers of Go and tokio do. It differs in who may be woken: only jobs of its group wake a thread that waits.
//!
//! # State
//! ```text
//!     active --search--> active, searching --found--> active
//!     active(, searching) --sleep--> sleeping --notify, or work seen--> active(, searching)
//! ```
//! All threads that are not asleep are active, guests too. At most `limit` are woken to be active at once. A thread
//! that may run anything sleeps in the list of its L3 domain, and searches there: each domain counts its sleepers and
//! its searchers. A thread that waits for one thing sleeps in a table, by that thing, and never counts as searching.
//!
//! # Protocol
//! **Notify**, after a job was made visible:
//! * (N1) Fence.
//! * (N2) If as many threads search in the domain of the job as jobs are in sight there: done. If no sleeper may run
//!   the job, or `limit` are active: owe a look, also if one is owed already, and be done.
//! * (N3) Take the last sleeper that may run anything, of the nearest domain where one sleeps and whose list is free;
//!   if there is none, one that waits for this job. Count it as active. (N4) Unpark it.
//! * If a thread that waits for this very job sleeps, and another one than that is to come for it: hand on (H1).
//!
//! **Owe** a look, when others cannot be woken for what is there:
//! * (O1) Make a note. (O2) Fence.
//! * (O3) Look again whether a thread can be woken. If so, act at once: a notifier goes back to N2, a worker that goes
//!   to sleep stays awake, a thread that has found something looks, an owner of jobs leaves the flag up by which others
//!   ask for them.
//!
//! **Hand on**, when a thread searches that will stop some time, and is to look at everything then:
//! * (H1) Make a note of that. (H2) Fence. (H3) Look again whether a thread searches.
//!
//! **Pay**, when a thread may be woken that could not be woken before: a thread leaves (X1), waits for a group and goes
//! to sleep (S1), or lends its slot (L1); the limit is raised (R1); a searcher has a job (F1) and sees no more.
//! * (P1) Fence.
//! * (P2) If no look is owed, or nobody can be woken: done. If a thread searches in this domain: hand on.
//! * (P3) Take the notes away. (P4) Fence.
//! * (P5) Look at everything. If there is something, owe a look again, and wake one.
//!
//! **Found**, when a searcher has a job:
//! * (F1) Stop counting as searching. (F2) Fence. If others search in this domain, and this thread was not woken for
//!   the job: done, for one of them will be the last.
//! * (F3) If others have handed on: P3 to P5. Look for jobs, the nearest first, and notify for what is there: its
//!   pushers may have counted on this search. If nothing is there, pay. If nobody can be woken, do not look, and owe
//!   that.
//!
//! **Sleep**:
//! * (S1) Count as sleeping, and enter the list. (S2) Fence.
//! * (S3) Look again, and go on if there is a reason to. A thread that may run anything takes the notes away (P3, P4),
//!   looks at all queues, and hands on (H1) if there is a job; if `limit` are active it does not look, and owes that. A
//!   thread that waits for a group pays, and looks for what it may run.
//! * (S4) Park until woken. Leave the list, or, if a notifier has done that, spend its wake-up.
//! * (S5) A thread that waits for a group was woken for a job, and another thread has taken that one. It passes on what
//!   is in sight before it sleeps again or goes on: more jobs may lie there for which only this thread was woken.
//!
//! **Swap**, when a searcher makes way for a sleeper that may run anything too:
//! * (W1) Take the other one out of its list, and enter the own one. The other one searches now.
//! * (W2) Unpark it. Then S2. (W3) While somebody searches in the domain of the other one, S4 without a look at the
//!   queues: the last searcher there has that. Else S3.
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
//! | `event_count.owed` | O1, then O2; H1, then H2 | O3; H3 | not (O3 misses X1 and P2 misses O1), not (H3 misses F1 and F3 misses H1) | `loom_event_count_payer_hands_on`, `loom_event_count_exit_is_handed_on`, `loom_event_count_raise_is_handed_on`, `loom_event_count_search_at_the_limit_is_handed_on` |
//! | `event_count.freed` | X1, R1 or L1, then P1 | P2 | the same | `loom_event_count_exit_is_handed_on`, `loom_event_count_raise_is_handed_on`, `loom_event_count_search_at_the_limit_is_handed_on` |
//! | `event_count.paid` | P3, then P4 | P5 | not (P5 misses the job and the pusher sees the old note) | `loom_event_count_debt_is_paid_once` |
//! | `event_count.found` | F1, then F2 | the look at the queues | not (N2 counts the searcher and it misses the job) | `loom_event_count_last_searcher_looks`, `loom_event_count_payer_hands_on`, `loom_event_count_search_is_handed_on`, `loom_event_count_search_at_the_limit_is_handed_on`, `loom_event_count_search_changes_hands` |

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::census::Census;
pub(crate) use super::census::MAX_THREADS;
use super::domains::{Busy, Domains, Sleeper};
use super::notes::{HANDED_ON, NO_SLOT, NOBODY, Notes};
use super::parker::Parker;
use super::slots::Slots;
use super::waiters::Waiters;
use crate::sync::atomic::AtomicBool;
use crate::sync::{CachePadded, edge, fence_edge, thread};

/// Where a thread works.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct At {
    /// The NUMA node, as the pool counts them.
    pub(crate) node: usize,
    /// The L3 domain, as the pool counts them.
    pub(crate) domain: usize,
    /// The one CPU that it is bound to.
    pub(crate) cpu: Option<usize>,
}

/// Whom to wake rather than others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prefer<'a> {
    /// All domains, that of the jobs first, and then the nearest; of one domain none need be named.
    pub(crate) near: &'a [usize],
    /// The CPU of the waking thread: a sleeper that is bound to it would have to wait for it.
    pub(crate) busy: Option<usize>,
}

impl Prefer<'_> {
    fn domain(self) -> usize {
        self.near.first().copied().unwrap_or(0)
    }
}

/// So often a thread that wants to wake another one goes through all lists, before it waits for a lock.
const TRIES: u32 = 64;

/// What a thread may be woken for: any job, or those of one group.
pub(crate) type Only = Option<NonZeroUsize>;

/// Sleep and wake for workers; see the module.
#[derive(Debug)]
pub(crate) struct EventCount {
    census: Census,
    domains: Domains,
    waiters: Waiters,
    notes: Notes,
    ending: CachePadded<AtomicBool>,
    slots: Slots,
}

impl EventCount {
    /// Nobody is active yet. At most `limit` are woken to be active at once. `domains` has the most threads of each
    /// domain that sleep at once.
    pub(crate) fn new(limit: usize, domains: &[usize]) -> Self {
        let threads: usize = domains.iter().sum();
        assert!(threads <= MAX_THREADS, "{threads} threads, at most {MAX_THREADS}");
        Self {
            census: Census::new(limit),
            domains: Domains::new(domains),
            waiters: Waiters::new(threads),
            notes: Notes::new(),
            ending: CachePadded::new(AtomicBool::new(false)),
            slots: Slots::new(),
        }
    }

    /// A thread begins to work here.
    pub(crate) fn enter(&self) {
        self.census.enter();
    }

    /// If nobody is active: a number that changes as soon as a thread becomes active. Entering adds one to it.
    pub(crate) fn rest(&self) -> Option<u64> {
        self.census.rest(&self.domains)
    }

    /// A compensating thread begins to work here, in a lent slot.
    pub(crate) fn enter_compensator(&self) {
        self.slots.come();
        self.enter();
    }

    /// A compensating thread stops working here, or could not begin; see [`exit`](Self::exit).
    pub(crate) fn exit_compensator(&self, searching: Option<usize>) {
        self.exit(searching);
        self.slots.go();
    }

    /// A thread that blocks lends its slot to a compensating thread, and pays after this (L1); or it takes the slot
    /// back.
    pub(crate) fn lend(&self, more: bool) {
        if more { self.slots.lend() } else { self.slots.take_back() }
    }

    /// How many slots are lent.
    pub(crate) fn lent(&self) -> u64 {
        self.slots.lent()
    }

    /// Whether more compensating threads are about than that.
    pub(crate) fn has_too_many_compensators(&self) -> bool {
        self.slots.about() > self.lent()
    }

    /// Whether no job will come any more except from jobs under way. If so, all jobs that came before are visible. (E3)
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(edge!("event_count.ended", Acquire))
    }

    /// No job will come any more except from jobs under way. (E1), (E2)
    pub(crate) fn end(&self) {
        // Release: a worker that sees it sees the jobs that came before.
        self.ending.store(true, edge!("event_count.end", Release));
        self.wake_all();
    }

    /// A thread stops working here, and pays after this. Pushers of `searching` may have counted on its search. (X1)
    pub(crate) fn exit(&self, searching: Option<usize>) {
        if let Some(domain) = searching {
            self.notes.leave(NO_SLOT | NOBODY); // before it stops searching
            self.domains.end_search(domain);
        }
        self.census.leave();
    }

    /// Notes that a look is owed. The caller then checks whether a thread can be woken by now, also where a look is owed
    /// already: the thread that owes that may not have passed O2 yet. (O1), (O2)
    fn owe(&self, notes: u32) {
        self.notes.leave(notes); // (O1)
        fence_edge!("event_count.owed"); // (O2)
    }

    /// The caller has seen something for which it wakes one thread at most, and so a look is owed again.
    pub(crate) fn owes_more(&self) {
        self.owe(NO_SLOT | NOBODY);
    }

    /// The caller has stopped a search on which pushers may have counted, and can wake nobody.
    pub(crate) fn owes_rest(&self) {
        self.owe(NO_SLOT | NOBODY);
    }

    /// The calling thread, which may run anything, goes to sleep at the limit without a look, and owes one. `true`: a
    /// slot is free now, and it looks itself.
    pub(crate) fn owes_me(&self, domain: usize) -> bool {
        self.owe(NO_SLOT | NOBODY);
        !self.is_at_limit(domain) // (O3)
    }

    /// The caller has taken down the flag by which others ask for jobs. If threads sleep all the same, it owes them a
    /// look. `true`: one of them is hungry now.
    pub(crate) fn owes_sleepers(&self, domain: usize) -> bool {
        self.has_asleep() && {
            self.owe(NO_SLOT | NOBODY);
            self.is_hungry(domain) // (O3)
        }
    }

    /// A thread may be woken now that could not be before, or there can be one more compensating thread
    /// (`misses_compensator`). `true`: a look was owed, and the note is taken away. Then the caller looks at
    /// everything; if there is something it owes a look again, and wakes one. (P1) to (P4)
    pub(crate) fn pays(&self, domain: usize, misses_compensator: bool) -> bool {
        fence_edge!("event_count.freed"); // (P1)
        let notes = if misses_compensator { NO_SLOT | NOBODY } else { NO_SLOT };
        let is_owed = self.notes.has(notes) && (misses_compensator || self.can_wake(domain)); // (P2)
        let pays = is_owed && !self.hands_on(domain);
        if pays {
            self.settle();
        }
        pays
    }

    /// If a thread searches here, the caller leaves to it what it owes.
    fn hands_on(&self, domain: usize) -> bool {
        self.searching(domain) > 0 && {
            self.hand_on();
            self.searching(domain) > 0 // (H3)
        }
    }

    /// The next search that ends is to end with a look at everything.
    pub(crate) fn hand_on(&self) {
        self.owe(HANDED_ON); // (H1), (H2)
    }

    /// The calling thread has stopped its search, as the last one of its domain. Whether a payer has counted on it: then
    /// the caller looks at everything, as that one would have done. (F3)
    pub(crate) fn has_taken_over(&self) -> bool {
        let has = self.notes.has(HANDED_ON);
        if has {
            self.settle();
        }
        has
    }

    /// A look at everything comes next. (P3), (P4)
    pub(crate) fn settle(&self) {
        self.notes.take_all_away(); // (P3)
        fence_edge!("event_count.paid"); // (P4)
    }

    /// Whether a thread could take a job now, because it searches in this domain or may be woken.
    pub(crate) fn is_hungry(&self, domain: usize) -> bool {
        self.can_wake(domain) || self.searching(domain) > 0 // in this order: see `domains`
    }

    /// Whether nobody searches in this domain, and a sleeper may be woken: a hint.
    pub(crate) fn has_only_sleepers(&self, domain: usize) -> bool {
        self.searching(domain) == 0 && self.can_wake(domain)
    }

    /// How many threads could take a job now, because they search in this domain or may be woken: a hint.
    #[inline]
    pub(crate) fn available(&self, domain: usize) -> usize {
        self.searching(domain) + self.wakeable()
    }

    /// As [`available`](Self::available), with those that search in any domain.
    pub(crate) fn available_anywhere(&self) -> usize {
        self.domains.all_searching() + self.wakeable()
    }

    fn wakeable(&self) -> usize {
        let asleep = self.domains.all_asleep();
        let all = asleep + self.waiters.count() as u64;
        usize::try_from(all.min(self.census.room(asleep))).expect("few threads")
    }

    /// Whether a thread is active: a hint.
    pub(crate) fn is_anybody_active(&self) -> bool {
        self.census.active(&self.domains) > 0
    }

    /// Whether `limit` threads are active, or more, and the limit holds. The look begins at a domain.
    pub(crate) fn is_at_limit(&self, domain: usize) -> bool {
        self.census.is_full(&self.domains, domain)
    }

    /// Whether more than `limit` threads are active, and the limit holds. The look begins at a domain.
    pub(crate) fn is_over_limit(&self, domain: usize) -> bool {
        self.census.is_over(&self.domains, domain)
    }

    /// More than `limit` threads are active. Whether the caller is to leave: one thread at a time, until it
    /// [has left](Self::has_left). Otherwise all that see it would leave.
    pub(crate) fn begin_to_leave(&self) -> bool {
        self.census.begin_to_leave()
    }

    /// The caller counts as asleep, or stays after all.
    pub(crate) fn has_left(&self) {
        self.census.has_left();
    }

    /// Whether more than `limit` threads are active, and the limit was lowered: one load from a still line if it was not.
    #[inline]
    pub(crate) fn is_crowded(&self, domain: usize) -> bool {
        self.census.limit().is_lowered() && self.is_over_limit(domain)
    }

    /// Changes the limit, at most to that at the start. If it is lowered, threads that are one too many find out by
    /// themselves. If it is raised, the caller pays. (R1)
    pub(crate) fn set_limit(&self, limit: usize) {
        self.census.limit().set(limit); // (R1)
    }

    /// A thread blocks for a job that only a worker may run (`more`), or a worker has begun such a job. While one is
    /// left, the limit does not hold: the active threads may all be blocked in code of the user's.
    pub(crate) fn set_urgent(&self, more: bool) {
        self.census.limit().set_urgent(more);
    }

    /// Whether a thread that may run anything sleeps: a hint.
    pub(crate) fn has_sleepers(&self) -> bool {
        self.domains.has_sleepers()
    }

    /// Whether a thread sleeps, whatever it waits for.
    fn has_asleep(&self) -> bool {
        self.domains.has_sleepers() || self.waiters.count() > 0
    }

    /// How many threads search in this domain: a hint.
    pub(crate) fn searching(&self, domain: usize) -> usize {
        self.domains.searching(domain)
    }

    /// The calling thread begins to search, in this domain.
    pub(crate) fn search(&self, domain: usize) {
        self.domains.begin_search(domain);
    }

    /// The calling thread has a job. Whether it was the last one that searched in this domain. Pushers may have counted
    /// on it: the last one looks at all queues after this, and notifies for what it sees. (F1), (F2)
    pub(crate) fn found(&self, domain: usize) -> bool {
        let is_last = self.domains.end_search(domain); // (F1)
        fence_edge!("event_count.found"); // (F2)
        is_last
    }

    /// Whether a thread sleeps and may be woken: a hint. The look begins at a domain.
    pub(crate) fn can_wake(&self, domain: usize) -> bool {
        self.has_asleep() && !self.is_at_limit(domain)
    }

    /// Whether a thread that may run anything sleeps and may be woken: a hint. The look begins at a domain.
    pub(crate) fn can_wake_any(&self, domain: usize) -> bool {
        self.domains.has_sleepers() && !self.is_at_limit(domain)
    }

    /// Wakes at most `most` sleepers that may run a job of `group`, while fewer threads search than `jobs` are in
    /// sight. `true`: one more may be active, but no sleeper may run the job. Call it after the jobs are visible.
    pub(crate) fn notify(&self, prefer: Prefer<'_>, group: Only, jobs: usize, most: u32) -> bool {
        self.pass_on(prefer, jobs, most, || group.into_iter())
    }

    /// Wakes one that may run anything, even at the limit. `false`: none sleeps.
    pub(crate) fn wake_one_more(&self, prefer: Prefer<'_>) -> bool {
        self.take_sleeper(prefer).inspect(|parker| parker.unpark()).is_some()
    }

    /// Wakes the thread that waits for this very job, whatever the limit: it may hold what others wait for. Call it after
    /// the job is there for it.
    pub(crate) fn give_back(&self, id: NonZeroUsize) {
        fence_edge!("event_count.pushed"); // (N1)
        if let Some(parker) = self.take_waiter(id) {
            parker.unpark();
        }
    }

    /// As [`notify`](Self::notify), for `jobs` that are in sight, and sleepers that wait for one of `ids`.
    pub(crate) fn pass_on<I>(&self, prefer: Prefer<'_>, jobs: usize, most: u32, ids: impl Fn() -> I) -> bool
    where
        I: Iterator<Item = NonZeroUsize>,
    {
        fence_edge!("event_count.pushed"); // (N1)
        let (mut woken, mut owes, mut hands_on) = (0, false, false);
        let domain = prefer.domain();
        while woken < most {
            let is_searched = self.searching(domain) >= jobs; // (N2)
            let waits = self.waiters.count() > 0 && ids().any(|id| self.waiters.has(id));
            if is_searched && !waits {
                return false;
            }
            let (is_full, has_sleepers) = (self.is_at_limit(domain), self.domains.has_sleepers());
            if waits && !hands_on && (has_sleepers || is_full) {
                // Another thread than the one that waits for this very job is to come for it, and may find another one.
                self.hand_on();
                hands_on = true;
                continue; // (H3)
            }
            if is_searched && (has_sleepers || is_full) {
                return false;
            }
            let any = || if has_sleepers { self.take_sleeper(prefer) } else { None };
            let waiter = || if waits { ids().find_map(|id| self.take_waiter(id)) } else { None };
            let sleeper = if is_full { None } else { any().or_else(waiter) }; // (N3)
            match sleeper {
                Some(parker) => {
                    parker.unpark(); // (N4)
                    woken += 1;
                }
                None if is_searched => return false,
                None if owes => return !is_full,
                None => {
                    self.owe(if is_full { NO_SLOT | NOBODY } else { NOBODY });
                    owes = true; // and goes back to N2 (O3)
                }
            }
        }
        false
    }

    /// What threads wait for that sleep now.
    pub(crate) fn waited_for(&self) -> impl Iterator<Item = NonZeroUsize> {
        self.waiters.ids()
    }

    /// Wakes all sleepers.
    pub(crate) fn wake_all(&self) {
        fence_edge!("event_count.pushed");
        self.domains.drain(|sleeper| {
            self.slots.come_if(sleeper.compensator);
            sleeper.parker.unpark();
        });
        self.waiters.drain(|parker| {
            self.enter();
            parker.unpark();
        });
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
        self.sleep_on(parker, at, only, must_stay)
    }

    /// As [`fall_asleep`](Self::fall_asleep), for a compensating thread, which needs a slot to be woken. `must_stay` is
    /// told whether one is lent for it now.
    pub(crate) fn fall_asleep_as_compensator(
        &self,
        parker: &Arc<Parker>,
        at: At,
        must_stay: impl FnOnce(bool) -> bool,
    ) -> bool {
        self.announce(parker, at, None, true); // (S1)
        self.sleep_on(parker, at, None, || must_stay(self.slots.about() < self.slots.lent()))
    }

    /// The calling thread, which may run anything and searches, goes to sleep. A sleeper that `suits` searches in its
    /// place. `false`: there is none. `must_stay`: as for [`fall_asleep`](Self::fall_asleep); it is told whether a
    /// thread searches that has the last look.
    pub(crate) fn swap(
        &self,
        parker: &Arc<Parker>,
        at: At,
        suits: impl Fn(&At) -> bool,
        must_stay: impl FnOnce(bool) -> bool,
    ) -> bool {
        let suits = |sleeper: &Sleeper| !sleeper.compensator && suits(&sleeper.at);
        let other = self.domains.with_sleepers(at.domain, |domain| self.domains.take(domain, suits)); // (W1)
        let Some(other) = other else { return false };
        self.domains.put(Sleeper { parker: Arc::clone(parker), at, compensator: false });
        other.parker.unpark(); // (W2)
        self.sleep_on(parker, at, None, || must_stay(self.searching(other.at.domain) > 0)); // (W3)
        true
    }

    /// (S2) to (S4). Whether the thread was woken for a job.
    fn sleep_on(&self, parker: &Arc<Parker>, at: At, only: Only, must_stay: impl FnOnce() -> bool) -> bool {
        fence_edge!("event_count.asleep"); // (S2)
        if !must_stay() {
            parker.park(); // (S3), (S4)
        }
        let was_there = match only {
            None => {
                let me = self.domains.take(at.domain, |sleeper| Arc::ptr_eq(&sleeper.parker, parker));
                me.inspect(|me| self.slots.come_if(me.compensator)).is_some()
            }
            Some(id) => {
                let me = self.waiters.take(id, |other| Arc::ptr_eq(other, parker));
                me.inspect(|_| self.enter()).is_some()
            }
        };
        if !was_there {
            parker.try_take(); // spends a wake-up that came after S3 had seen work
        }
        !was_there
    }

    /// Enters the list of sleepers. (S1)
    pub(crate) fn announce(&self, parker: &Arc<Parker>, at: At, only: Only, compensator: bool) {
        let parker = Arc::clone(parker);
        if let Some(id) = only {
            self.waiters.put(id, parker);
            return self.census.leave();
        }
        self.domains.put(Sleeper { parker, at, compensator });
        if compensator {
            self.slots.go();
        }
    }

    /// Takes the last sleeper that may run anything. One in the nearest domain comes first, and one that is not bound to
    /// the CPU of the waking thread.
    fn take_sleeper(&self, prefer: Prefer<'_>) -> Option<Arc<Parker>> {
        let is_free = |sleeper: &Sleeper| prefer.busy.is_none() || sleeper.at.cpu != prefer.busy;
        self.take_that(prefer, is_free).or_else(|| prefer.busy.and_then(|_| self.take_that(prefer, |_| true)))
    }

    fn take_that(&self, prefer: Prefer<'_>, suits: impl Fn(&Sleeper) -> bool) -> Option<Arc<Parker>> {
        // A sleeper that is no compensating thread needs no slot of its own.
        let may = &|sleeper: &Sleeper| suits(sleeper) && (!sleeper.compensator || self.slots.try_come());
        // Where another thread is at a list, that one wakes somebody there: this one goes on to the next list. If it
        // waited for the lock, as many others do, it would fall asleep itself.
        let all = if prefer.near.is_empty() { &[0] } else { prefer.near };
        let tries = if all.len() > 1 { TRIES } else { 0 };
        for _ in 0..tries {
            let mut is_busy = false;
            for domain in all {
                match self.domains.try_take(*domain, may) {
                    Ok(Some(sleeper)) => return Some(sleeper.parker),
                    Ok(None) => {}
                    Err(Busy) => is_busy = true,
                }
            }
            if !is_busy {
                return None;
            }
            thread::spin_loop();
        }
        all.iter().find_map(|domain| self.domains.take(*domain, may)).map(|sleeper| sleeper.parker)
    }

    /// Takes a sleeper that waits for this.
    fn take_waiter(&self, id: NonZeroUsize) -> Option<Arc<Parker>> {
        self.waiters.take(id, |_| true).inspect(|_| self.enter())
    }
}
