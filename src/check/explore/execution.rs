//! One schedule of a graph: every job is a process, and so is the closure of the test.
//!
//! A process begins at a seat of its own, which it keeps until it has ended. A step of it ends where it is about to touch something
//! that others may touch, or where it blocks.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use super::reduction::{Footprint, MOST, Process, Reduction, Set};
use crate::check::actors::{self, Actor, Pause, pause};
use crate::pool::work::bag::{self, Queued};
use crate::pool::work::job::Job;
use crate::pool::work::worker::Worker;
use crate::pool::{Pool, Shared, without_threads};
use crate::sync::atomic::Ordering;
use crate::sync::recorder;
use crate::sync::seam::{self, Driver, Point};
use crate::sync::{Call, footprint};

/// How much a schedule may have.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// So many processes may be under way at once, beside the closure of the test.
    pub(super) seats: usize,
    /// So many there may be in all.
    pub(super) processes: usize,
    /// So many steps: more than any graph takes within the other bounds.
    steps: usize,
    /// Whether one that finds no seat waits for one. Then not all orders can be tried.
    waits_for_seats: bool,
}

impl Bounds {
    /// Where many schedules are tried.
    pub(super) const SEARCH: Self = Self { seats: 24, processes: MOST, steps: 30_000, waits_for_seats: false };
    /// Where a recording is followed.
    pub(super) const RECORDING: Self = Self { seats: 64, processes: 1 << 14, steps: 4_000_000, waits_for_seats: true };
}

/// How a schedule has ended.
pub(super) enum End<R> {
    /// The closure of the test has returned this.
    Returned(R),
    /// It has panicked.
    Panicked(Box<dyn Any + Send>),
    /// Nobody could go on.
    Stuck,
    /// It came to no end.
    Endless,
    /// All that could have come next was tried before.
    Known,
    /// There are more processes than these bounds allow, or more at once.
    TooMany(Bounds),
}

/// The pool of the virtual workers, and what is known of processes in all schedules.
pub(super) struct Stage {
    /// Whether calls of user code share nothing that the explorer does not see.
    is_pure: bool,
    bounds: Bounds,
    /// None: a schedule has left processes in the middle of what they did, and its runs have no end.
    pool: Option<Pool>,
    workers: Vec<Actor>,
    desks: Arc<[Desk]>,
    /// The numbers of processes, by what they are known by.
    numbers: HashMap<Name, Process>,
    /// How often a thing was queued in this schedule.
    about: HashMap<u32, usize>,
    /// The processes under way, in the order in which they came.
    order: Vec<Process>,
    /// Which of them can go on, by number.
    enabled: Vec<bool>,
    /// Where this schedule took another process than the usual one: the step, and which of those that could go on.
    pub(super) taken: Vec<(usize, usize)>,
}

/// Decides whose step is next.
pub(super) trait Chooser {
    /// Which process makes this step; `usual` would, if nothing spoke against it. `candidates` are those that can go on, in the order in
    /// which they came. None: this schedule is of no use any more.
    fn choose(&mut self, step: usize, usual: Process, candidates: &mut dyn Iterator<Item = Process>)
    -> Option<Process>;
    /// The step under way has made a process, of which it may be known what it calls first.
    fn made(&mut self, _: Process, _: Option<Call>) {}
    /// The step under way has touched this.
    fn stepped(&mut self, _: &mut Footprint) {}
}

impl Chooser for Reduction {
    fn choose(&mut self, _: usize, usual: Process, candidates: &mut dyn Iterator<Item = Process>) -> Option<Process> {
        let mut enabled = Set::default();
        candidates.for_each(|process| enabled.add(process));
        self.choose(enabled, usual)
    }

    fn made(&mut self, process: Process, _: Option<Call>) {
        self.made(process);
    }

    fn stepped(&mut self, touched: &mut Footprint) {
        self.stepped(touched);
    }
}

/// Chooses as it was written down: so often another one than the usual one.
pub(super) struct AsWritten<'a> {
    steps: &'a [(usize, usize)],
    /// The first of them that has not been passed.
    next: usize,
    /// How many of them were made.
    made: usize,
}

impl<'a> AsWritten<'a> {
    pub(super) fn new(steps: &'a [(usize, usize)]) -> Self {
        Self { steps, next: 0, made: 0 }
    }

    /// Whether all that was written down could be chosen.
    pub(super) fn was_made(&self) -> bool {
        self.made == self.steps.len()
    }
}

impl Chooser for AsWritten<'_> {
    fn choose(
        &mut self,
        step: usize,
        usual: Process,
        candidates: &mut dyn Iterator<Item = Process>,
    ) -> Option<Process> {
        while self.steps.get(self.next).is_some_and(|(at, _)| *at < step) {
            self.next += 1;
        }
        let written = self.steps.get(self.next).filter(|(at, _)| *at == step);
        let chosen = written.and_then(|(_, rank)| candidates.nth(*rank));
        self.made += usize::from(chosen.is_some());
        Some(chosen.unwrap_or(usual))
    }
}

/// What lies before the worker at a seat.
#[derive(Default)]
struct Desk {
    /// The job that it is to run.
    job: Cell<Option<Job>>,
    /// Whether it is in the middle of one.
    is_busy: Cell<bool>,
}

/// What a process is known by in all schedules.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    /// It is the job that another process has queued as its how-manyth.
    Queued { by: Process, nth: usize },
    /// It is about a thing, for the how-manyth time.
    About { thing: u32, nth: usize },
}

/// A job, or the closure of the test.
#[derive(Clone, Copy)]
struct Life {
    /// None: it has begun, or is the closure of the test.
    job: Option<Job>,
    /// The seat where it is.
    seat: Option<usize>,
    is_over: bool,
    /// How many jobs it has queued.
    queued: usize,
}

impl Life {
    /// A process that is not there in this schedule.
    const NONE: Self = Self { job: None, seat: None, is_over: true, queued: 0 };
}

struct ToLoop;

impl Driver for ToLoop {
    fn has_clock(&self) -> bool {
        false
    }

    fn block(&self, ready: &dyn Fn() -> bool) {
        actors::block(ready);
    }

    fn point(&self, point: Point) {
        if point == Point::Touch {
            pause(Pause::Busy(1));
        }
    }
}

impl Stage {
    pub(super) fn new(is_pure: bool, bounds: Bounds) -> Self {
        let pool = without_threads(bounds.seats);
        pool.shared.is_explored.store(true, Ordering::Relaxed);
        let desks = (0..bounds.seats).map(|_| Desk::default()).collect();
        Self {
            is_pure,
            bounds,
            pool: Some(pool),
            workers: Vec::new(),
            desks,
            numbers: HashMap::new(),
            about: HashMap::new(),
            order: Vec::new(),
            enabled: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// Goes through one schedule.
    pub(super) fn play<R>(&mut self, chooser: &mut dyn Chooser, body: &dyn Fn(&Pool) -> R) -> End<R> {
        let is_pure = self.is_pure;
        let _nothing_is_recorded = recorder::sit(None, 0);
        let play =
            || footprint::pure_if(is_pure, || seam::drive(&ToLoop, || bag::open(|| self.play_driven(chooser, body))));
        catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|panic| {
            self.leak();
            resume_unwind(panic)
        })
    }

    /// Lets workers sit down at the first `count` seats. Each runs what lies on its desk, one job after the other.
    fn seat_workers(&mut self, count: usize) {
        for seat in self.workers.len()..count {
            let shared = Arc::clone(&self.pool.as_ref().expect("the schedule before has ended").shared);
            let desks = Arc::clone(&self.desks);
            let mut actor = Actor::new(move || {
                let (shared, desk): (&Shared, &Desk) = (&shared, &desks[seat]);
                Worker::at(shared, &shared.seats[seat], |worker| {
                    loop {
                        seam::block(&|| desk.job.get().is_some());
                        desk.is_busy.set(true);
                        worker.run_alone(desk.job.take().expect("it was there"));
                        desk.is_busy.set(false);
                    }
                });
            });
            actor.resume(); // until it waits for its first job
            self.workers.push(actor);
        }
    }

    fn play_driven<R>(&mut self, chooser: &mut dyn Chooser, body: &dyn Fn(&Pool) -> R) -> End<R> {
        self.about.clear();
        self.order.clear();
        self.order.push(0);
        self.enabled.clear();
        self.taken.clear();
        footprint::begin();
        let returned = Cell::new(None);
        let pool = NonNull::from(self.pool.as_ref().expect("the schedule before has ended"));
        let mut outside = ManuallyDrop::new(Actor::new(|| {
            #[expect(unsafe_code, reason = "the pool stays where it is while the actors run")]
            // SAFETY: `self` is borrowed for the whole call, and nothing here touches its pool otherwise.
            let pool = unsafe { pool.as_ref() };
            let _call = footprint::user_code();
            returned.set(Some(catch_unwind(AssertUnwindSafe(|| body(pool)))));
        }));
        let mut lives = vec![Life { is_over: false, ..Life::NONE }];
        let (mut touched, mut new) = (Footprint::new(), Vec::new());
        let (mut last, mut is_known, mut steps) = (0, false, 0);
        let end = loop {
            let Some(are_any) = self.look_who_can(&lives, &outside) else { break Some(End::TooMany(self.bounds)) };
            if !are_any {
                self.order.sort_unstable();
                footprint::tell_who_waits(self.order.iter().copied());
                break if self.order.is_empty() { None } else { Some(End::Stuck) };
            }
            let candidates = || self.order.iter().copied().filter(|process| self.enabled[*process]);
            let usual = if self.enabled[last] { last } else { candidates().next().expect("not empty") };
            let chosen = if is_known { None } else { chooser.choose(steps, usual, &mut candidates()) };
            let process = chosen.unwrap_or_else(|| {
                is_known = true; // it goes on to its end, so that everything is dropped
                usual
            });
            if process != usual {
                let rank = candidates().position(|other| other == process).expect("it can go on");
                self.taken.push((steps, rank));
            }
            self.begin(&mut lives, process);
            let actor = lives[process].seat.map_or(&mut *outside, |seat| &mut self.workers[seat]);
            footprint::watch(u32::try_from(process).expect("few"), &mut touched, || actor.resume());
            lives[process].is_over = match lives[process].seat {
                None => outside.is_done(),
                Some(seat) => !self.desks[seat].is_busy.get(),
            };
            if lives[process].is_over {
                self.order.retain(|known| *known != process);
                self.enabled[process] = false;
            }
            bag::take_new(&mut new);
            let mut made = new.drain(..).map(|queued| (self.queue(&mut lives, process, &queued), queued.will));
            if !made.all(|(number, will)| number.inspect(|number| chooser.made(*number, will)).is_some()) {
                break Some(End::TooMany(self.bounds));
            }
            drop(made);
            if !is_known {
                chooser.stepped(&mut touched);
            }
            touched.clear();
            last = process;
            steps += 1;
            if steps == self.bounds.steps {
                break Some(End::Endless);
            }
        };
        if let Some(end) = end {
            self.leak();
            return end;
        }
        ManuallyDrop::into_inner(outside).give_stack_back();
        match returned.take().expect("it is done") {
            _ if is_known => End::Known,
            Ok(value) => End::Returned(value),
            Err(panic) => End::Panicked(panic),
        }
    }

    /// Some processes are in the middle of what they do, and cannot be unwound. They are leaked, with all that is on their stacks, and
    /// so is the pool, which would wait for their runs.
    fn leak(&mut self) {
        std::mem::take(&mut self.workers).into_iter().for_each(std::mem::forget);
        std::mem::forget(self.pool.take());
    }

    /// Notes which processes can go on. Returns whether there are any. None: one cannot begin because there is no seat for it.
    fn look_who_can(&mut self, lives: &[Life], outside: &Actor) -> Option<bool> {
        self.enabled.resize(lives.len(), false);
        let (mut are_any, mut is_any_left_out, has_seat) = (false, false, self.free_seat().is_some());
        for &process in &self.order {
            let is_ready = match (lives[process].job, lives[process].seat) {
                (Some(_), _) if has_seat => true,
                (Some(_), _) if self.bounds.waits_for_seats => {
                    is_any_left_out = true;
                    false
                }
                (Some(_), _) => return None,
                (None, Some(seat)) => self.workers[seat].is_ready(),
                (None, None) => outside.is_ready(),
            };
            self.enabled[process] = is_ready;
            are_any |= is_ready;
        }
        (are_any || !is_any_left_out).then_some(are_any)
    }

    fn free_seat(&self) -> Option<usize> {
        self.desks.iter().position(|desk| desk.job.get().is_none() && !desk.is_busy.get())
    }

    /// Lays the job of a process that has not begun on a desk.
    fn begin(&mut self, lives: &mut [Life], process: Process) {
        if let Some(job) = lives[process].job {
            let seat = self.free_seat().expect("it could begin");
            self.seat_workers(seat + 1);
            self.desks[seat].job.set(Some(job));
            lives[process] = Life { job: None, seat: Some(seat), ..lives[process] };
        }
    }

    /// A process has queued a job. Returns the number of that, if there are not too many.
    fn queue(&mut self, lives: &mut Vec<Life>, by: Process, queued: &Queued) -> Option<Process> {
        let name = match queued.about {
            Some(thing) => {
                let nth = self.about.entry(thing).or_default();
                *nth += 1;
                Name::About { thing, nth: *nth }
            }
            None => {
                lives[by].queued += 1;
                Name::Queued { by, nth: lives[by].queued }
            }
        };
        let next = self.numbers.len() + 1;
        let number = *self.numbers.entry(name).or_insert(next);
        if number >= self.bounds.processes {
            return None;
        }
        if lives.len() <= number {
            lives.resize(number + 1, Life::NONE);
        }
        debug_assert!(lives[number].is_over, "two processes have one name");
        lives[number] = Life { job: Some(queued.job), is_over: false, ..Life::NONE };
        self.order.retain(|known| *known != number);
        self.order.push(number);
        Some(number)
    }
}
