//! Which calls of user code there are, and in which order they begin, in runs of a pool that records.
//!
//! Each seat of the pool has a log. The thread that sits there notes each call when it begins, each use of a thing that calls share
//! ([`crate::check`]), and when. Together, by time, they are the order of all. A call that begins because another one has ended has a
//! later time, as the clock of the system never goes back from one thread to the next. Calls that run side by side come in the order
//! in which they began. A use is noted while its thing is locked, so two uses of one thing stand in their order.
//!
//! A call is named by what it is in every run of the same graph: a batch by its stage and number, a task by its node. So the explorer of
//! schedules can make the same calls in the same order.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_utils::CachePadded;

use super::call::Call;
use super::footprint::{explores, user_call};

/// So many calls and uses a pool keeps at most, in all of its logs; 40 bytes each.
const MOST: usize = 1 << 22;

/// What a call does that is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Does {
    Begin,
    /// It uses what calls share.
    Use,
    /// It calls the library.
    Ask,
}

/// A call, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Act {
    pub(crate) does: Does,
    pub(crate) call: Call,
}

/// What a thread has noted.
#[derive(Debug)]
struct Log {
    /// None: the pool is gone.
    acts: Mutex<Option<Vec<(Instant, Act)>>>,
    most: usize,
    end: Arc<Mutex<Option<Instant>>>,
}

impl Log {
    /// Adds what a thread has noted. Returns whether the pool is still there.
    fn add(&self, noted: &mut Vec<(Instant, Act)>) -> bool {
        let mut acts = lock(&self.acts);
        let Some(acts) = &mut *acts else {
            noted.clear();
            return false;
        };
        let room = self.most - acts.len();
        if let Some((time, _)) = noted.get(room) {
            let mut end = lock(&self.end);
            *end = Some(end.map_or(*time, |end| end.min(*time)));
        }
        acts.extend(noted.drain(..).take(room));
        true
    }
}

/// The logs of a pool.
#[derive(Debug)]
pub(crate) struct Records {
    /// One for each seat, and behind them the one of the thread that has made the pool, while it sits nowhere.
    logs: Box<[CachePadded<Arc<Log>>]>,
    /// From when on something is missing, because a log is full.
    end: Arc<Mutex<Option<Instant>>>,
}

impl Records {
    /// For so many seats, and for this thread.
    pub(crate) fn new(seats: usize) -> Self {
        let end = Arc::new(Mutex::new(None));
        let most = MOST / (seats + 1);
        let log =
            |_| CachePadded::new(Arc::new(Log { acts: Mutex::new(Some(Vec::new())), most, end: Arc::clone(&end) }));
        let logs: Box<[_]> = (0..=seats).map(log).collect();
        let here = Some(Arc::clone(&logs[seats]));
        NOTES.with_borrow_mut(|notes| notes.go_to(here));
        HAS_LOG.set(true);
        CURRENT.set(Current::TEST);
        Self { logs, end }
    }

    /// Takes what was noted so far, in order. The second: whether nothing is missing.
    pub(crate) fn take(&self) -> (Vec<Act>, bool) {
        hand_over();
        CURRENT.set(Current::TEST); // closures that the test gives away are counted anew
        let take = |log: &CachePadded<Arc<Log>>| lock(&log.acts).as_mut().map(std::mem::take).unwrap_or_default();
        let mut acts: Vec<_> = self.logs.iter().flat_map(take).collect();
        let end = lock(&self.end).take();
        acts.sort_by_key(|(time, _)| *time); // in one log two acts of one time stay in their order
        if let Some(end) = end {
            acts.truncate(acts.partition_point(|(time, _)| *time < end));
        }
        (acts.into_iter().map(|(_, act)| act).collect(), end.is_none())
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.logs.iter().for_each(|log| *lock(&log.acts) = None); // a thread may still have its log
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static NOTES: RefCell<Notes> = RefCell::new(Notes { log: None, acts: Vec::new(), last: (Instant::now(), ROW) });
    static HAS_LOG: Cell<bool> = const { Cell::new(false) };
    /// The call that this thread is in, and how many closures that has queued.
    static CURRENT: Cell<Current> = const { Cell::new(Current::TEST) };
}

/// A thread keeps so many before it puts them into its log.
const MOST_NOTES: usize = 1024;

/// What a thread notes: it takes no lock for each.
#[derive(Debug)]
struct Notes {
    log: Option<Arc<Log>>,
    acts: Vec<(Instant, Act)>,
    /// The last reading of the clock, and how many calls have come since.
    last: (Instant, u32),
}

/// So many short calls of one job have one reading of the clock.
const ROW: u32 = 8;

impl Notes {
    #[inline]
    fn push(&mut self, act: Act) {
        self.acts.push((self.last.0, act));
        if self.acts.len() == MOST_NOTES {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        if let Some(log) = self.log.as_ref().filter(|_| !self.acts.is_empty())
            && !log.add(&mut self.acts)
        {
            self.log = None;
            HAS_LOG.set(false);
        }
    }

    /// From now on it notes for this log. Returns the one before.
    fn go_to(&mut self, log: Option<Arc<Log>>) -> Option<Arc<Log>> {
        self.hand_over();
        std::mem::replace(&mut self.log, log)
    }
}

/// The call that a thread or a process is in.
#[derive(Clone, Copy)]
pub(crate) struct Current {
    call: Call,
    /// How many closures it has given to others.
    given: u32,
}

impl Current {
    /// The closure of a test, or what else is no call of the library's.
    pub(crate) const TEST: Self = Self { call: Call::TEST, given: 0 };
    /// A job, before it calls anything.
    pub(crate) const JOB: Self = Self { call: Call::ANY, given: 0 };

    pub(crate) fn call(self) -> Call {
        self.call
    }

    pub(crate) fn swap_in(self) -> Self {
        CURRENT.replace(self)
    }
}

/// Whether calls of this thread are recorded.
#[inline]
pub(crate) fn records() -> bool {
    HAS_LOG.get()
}

/// The thread sits down at a seat of a pool until the result is dropped.
pub(crate) fn sit(records: Option<&Records>, seat: usize) -> Option<Sits> {
    let log = records.map(|records| Arc::clone(&records.logs[seat]));
    let changes = log.is_some() || HAS_LOG.get();
    changes.then(|| {
        let had_log = HAS_LOG.replace(log.is_some());
        Sits { had_log, log: NOTES.with_borrow_mut(|notes| notes.go_to(log)) }
    })
}

/// See [`sit`].
pub(crate) struct Sits {
    had_log: bool,
    log: Option<Arc<Log>>,
}

impl Drop for Sits {
    fn drop(&mut self) {
        HAS_LOG.set(self.had_log);
        NOTES.with_borrow_mut(|notes| notes.go_to(self.log.take()));
    }
}

/// This thread runs a job until the result is dropped. Then it is in the call again that it is in now.
#[inline]
pub(crate) fn runs_job() -> Nested {
    let nested = keep_call();
    runs_next_job();
    nested
}

/// The thread is in another call until this is dropped.
pub(crate) struct Nested(Current);

impl Drop for Nested {
    #[inline]
    fn drop(&mut self) {
        hand_over();
        CURRENT.set(self.0);
    }
}

/// The call that this thread or process is in.
pub(crate) fn current() -> Call {
    CURRENT.get().call
}

/// This call goes on.
#[inline]
pub(crate) fn goes_on(call: Call) {
    CURRENT.set(Current { call, given: 0 });
}

/// This call begins.
#[inline]
pub(crate) fn begins(call: Call) {
    goes_on(call);
    if records() && call.has_name() {
        note(Does::Begin, call);
    }
}

/// As [`begins`], for one of several calls of a job, one behind the other. If they are short, not each reads the clock.
#[inline]
pub(crate) fn begins_in_row(call: Call, are_short: bool) {
    goes_on(call);
    if records() {
        if are_short { note_in_row(call) } else { note(Does::Begin, call) }
    }
}

/// The thread is in the call that it is in now when the result is dropped.
pub(crate) fn keep_call() -> Nested {
    Nested(CURRENT.get())
}

/// Another job comes on the heels of the one before.
#[inline]
pub(crate) fn runs_next_job() {
    if records() {
        NOTES.with_borrow_mut(|notes| notes.last.1 = ROW); // its first call reads the clock
    }
    CURRENT.set(Current::JOB);
}

/// Does `work`, which gives this its place among others of its kind. They are noted in that order.
pub(crate) fn in_order<R>(call: Call, work: impl FnOnce() -> R) -> R {
    static ORDER: Mutex<()> = Mutex::new(());
    if !records() {
        return work();
    }
    let order = lock(&ORDER);
    let result = work();
    note(Does::Begin, call);
    drop(order);
    result
}

/// The call under way does this.
#[inline]
pub(crate) fn notes(does: Does) {
    if records() && current().has_name() {
        note(does, current());
    }
}

/// Whether calls are to be the same in every run, and named by what they are: schedules are explored, or the pool records.
#[inline]
pub(crate) fn has_named_calls() -> bool {
    records() || explores()
}

/// A closure that a call gives to others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closure(Call);

impl Closure {
    /// The one that the call under way gives to others now.
    #[inline]
    pub(crate) fn new() -> Self {
        let Current { call, given } = CURRENT.get();
        CURRENT.set(Current { call, given: given + 1 });
        Self(call.closure(given))
    }

    pub(crate) fn call(self) -> Call {
        self.0
    }

    /// This thread calls it inside of another call, until the result is dropped.
    #[inline]
    pub(crate) fn begins_here(self, what: &'static str) -> Nested {
        let nested = Nested(CURRENT.get());
        user_call(self.0, || what.to_owned());
        nested
    }
}

#[inline(never)]
fn note(does: Does, call: Call) {
    NOTES.with_borrow_mut(|notes| {
        notes.last = (Instant::now(), 0);
        notes.push(Act { does, call });
    });
}

#[inline(never)]
fn note_in_row(call: Call) {
    NOTES.with_borrow_mut(|notes| {
        notes.last = match notes.last {
            (_, ROW..) => (Instant::now(), 0),
            (time, since) => (time, since + 1),
        };
        notes.push(Act { does: Does::Begin, call });
    });
}

/// Puts what this thread has noted into its log. It does so before others can hear that a job of it has ended.
#[inline]
pub(crate) fn hand_over() {
    if records() {
        NOTES.with_borrow_mut(Notes::hand_over);
    }
}
