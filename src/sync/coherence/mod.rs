//! A model of cache coherence under the real engine: it tells which words would hurt on many cores.
//!
//! `--cfg coherence` swaps the door of [`crate::sync`] in test builds, as `--cfg loom` does. The types behind it are the
//! real ones, and each access takes virtual time here. The driver in `crate::check` lets the actor with the smallest
//! time go on, so all of them share one time line, and a run is the same whenever it is repeated.
//!
//! | file | what |
//! |---|---|
//! | [`costs`] | the table of costs, with its sources, and the machine |
//! | [`lines`] | cache lines |
//! | [`waits`] | locks, futexes, pauses, heavy fences |
//! | [`deque`] | a stand-in for `crossbeam-deque` |
//! | [`books`] | where the time went |
//! | [`arenas`] | memory at the same addresses each time |
//!
//! # What it does not see
//! Bandwidth, sibling hyper-threads, frequencies, preemption, deep sleep, on which node memory is. Plain data is seen
//! only in cells of the door. So the ranking of words is sturdier than a figure, and a figure is sturdier for few cores
//! than for many.

pub(crate) mod arenas;
pub(crate) mod books;
pub(crate) mod costs;
pub(crate) mod deque;
pub(crate) mod lines;
pub(crate) mod waits;

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use books::{Books, Map};
use costs::{Costs, Machine};
use lines::Lines;

use super::seam::{self, Point};

/// Instructions are taken together until an actor is so much ahead of others.
const SLACK: u64 = 200;

/// See the module.
#[derive(Debug)]
pub(crate) struct Model {
    costs: Costs,
    machine: Machine,
    /// The core of each actor.
    core: Vec<usize>,
    /// The time of the running actor.
    now: u64,
    /// The earliest time at which another one can go on.
    next: u64,
    who: usize,
    /// Whether the running actor has gone to sleep.
    sleeps: bool,
    /// When each actor goes on, with the ticket by which it was entered. An entry with an old ticket is void.
    turns: BinaryHeap<Reverse<(u64, u64, usize)>>,
    tickets: Vec<u64>,
    issued: u64,
    /// Who sleeps at which word.
    asleep: Map<usize, usize>,
    /// Who sleeps until a lock is free.
    locked_out: Map<usize, VecDeque<usize>>,
    lines: Lines,
    books: Books,
    /// When the books were opened.
    opened: u64,
}

thread_local! {
    static MODEL: RefCell<Option<Model>> = const { RefCell::new(None) };
    /// Whether an actor runs now, so that accesses take time.
    static ON: Cell<bool> = const { Cell::new(false) };
}

/// Whether an actor of a simulation runs on this thread.
#[inline]
pub(crate) fn is_on() -> bool {
    ON.get()
}

fn with<R>(call: impl FnOnce(&mut Model) -> R) -> R {
    let outer = arenas::switch(None);
    let result = MODEL.with_borrow_mut(|model| call(model.as_mut().expect("a simulation")));
    arenas::switch(outer);
    result
}

/// Lets the others go on whose time is before that of the running actor.
fn catch_up() {
    if with(|model| model.now > model.next) {
        pass();
    }
}

/// Hands control to the driver.
fn pass() {
    seam::point(Point::Race);
}

/// Begins a simulation with these actors, each on a core.
pub(crate) fn begin(costs: Costs, machine: Machine, core: Vec<usize>, starts: &[u64]) {
    let actors = core.len();
    let mut model = Model {
        costs,
        machine,
        core,
        now: 0,
        next: u64::MAX,
        who: 0,
        sleeps: false,
        turns: BinaryHeap::new(),
        tickets: vec![0; actors],
        issued: 0,
        asleep: Map::default(),
        locked_out: Map::default(),
        lines: Lines::new(actors),
        books: Books::new(actors),
        opened: 0,
    };
    starts.iter().enumerate().for_each(|(who, start)| model.enter(*start, who));
    MODEL.set(Some(model));
}

/// Who goes on next. None: nobody can.
pub(crate) fn next() -> Option<usize> {
    with(|model| {
        let (time, who) = loop {
            let Reverse((time, ticket, who)) = model.turns.pop()?;
            if model.tickets[who] == ticket {
                break (time, who);
            }
        };
        model.find_next();
        (model.now, model.who, model.sleeps) = (time, who, false);
        Some(who)
    })
}

/// Runs the actor that is next; `resume` returns whether it has ended.
pub(crate) fn run(who: usize, resume: impl FnOnce() -> bool) {
    ON.set(true);
    arenas::switch(Some(who));
    let ended = resume();
    arenas::switch(None);
    ON.set(false);
    with(|model| {
        if !ended && !model.sleeps {
            model.enter(model.now, who);
        }
    });
}

/// The virtual time.
pub(crate) fn now() -> u64 {
    with(|model| model.now)
}

/// Looks at something as if the actor did not: it takes no time.
pub(crate) fn aside<R>(look: impl FnOnce() -> R) -> R {
    let outer = ON.replace(false);
    let result = look();
    ON.set(outer);
    result
}

/// Instructions of the running actor.
pub(crate) fn spend(nanos: impl FnOnce(&Costs) -> u64) {
    let is_ahead = with(|model| {
        model.now += nanos(&model.costs);
        model.now > model.next.saturating_add(SLACK)
    });
    if is_ahead {
        pass();
    }
}

/// A body of the load.
pub(crate) fn work(nanos: u64) {
    with(|model| {
        model.books.works(model.who);
        model.books.spent[model.who].work += nanos;
        model.now += nanos;
    });
    catch_up();
}

/// Nanoseconds of work since the books were opened.
pub(crate) fn worked() -> u64 {
    with(|model| model.books.spent.iter().map(|spent| spent.work).sum())
}

/// Accesses of the running actor to lines that others touch as well.
pub(crate) fn shared_accesses() -> u64 {
    with(|model| model.books.spent[model.who].shared)
}

/// Forgets what was counted so far.
pub(crate) fn open_books() {
    with(|model| (model.books, model.opened) = (Books::new(model.tickets.len()), model.now));
}

/// What was counted since the books were opened.
pub(crate) fn close_books() -> Books {
    with(|model| {
        model.books.close();
        let fresh = Books::new(model.tickets.len());
        std::mem::replace(&mut model.books, fresh)
    })
}

impl Model {
    /// An actor goes on at `time`.
    fn enter(&mut self, time: u64, who: usize) {
        self.issued += 1;
        self.tickets[who] = self.issued;
        self.turns.push(Reverse((time, self.issued, who)));
        self.next = self.next.min(time);
    }

    fn find_next(&mut self) {
        while let Some(Reverse((_, ticket, who))) = self.turns.peek() {
            if self.tickets[*who] == *ticket {
                break;
            }
            self.turns.pop();
        }
        self.next = self.turns.peek().map_or(u64::MAX, |Reverse((time, ..))| *time);
    }

    /// The running actor goes to sleep, at the latest until then. It hands control to the driver next.
    fn sleep(&mut self, until: Option<u64>) {
        self.sleeps = true;
        self.tickets[self.who] = 0;
        if let Some(until) = until {
            self.enter(until, self.who);
        }
    }

    /// The running actor wakes another one.
    fn wake(&mut self, sleeper: usize) {
        self.enter(self.now + self.costs.wake, sleeper);
        self.call(self.costs.waker);
    }

    /// A system call of the running actor.
    fn call(&mut self, nanos: u64) {
        self.now += nanos;
        self.books.spent[self.who].system += nanos;
    }

    /// Interrupts all others that run. Returns how many do.
    fn interrupt_all(&mut self) -> u64 {
        let interrupt = self.costs.interrupt;
        let turns = std::mem::take(&mut self.turns).into_vec();
        let mut running = 0;
        let later = |Reverse((time, ticket, who)): Reverse<(u64, u64, usize)>| {
            let runs = self.tickets[who] == ticket && !self.asleep.values().any(|sleeper| *sleeper == who);
            running += u64::from(runs);
            Reverse((if runs { time + interrupt } else { time }, ticket, who))
        };
        self.turns = turns.into_iter().map(later).collect();
        self.find_next();
        running
    }
}
