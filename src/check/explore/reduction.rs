//! Which schedules have to be tried: dynamic partial-order reduction with source sets and sleep sets (Abdulla, Aronis, Jonsson,
//! Sagonas, "Optimal dynamic partial order reduction", 2014).
//!
//! Two adjacent steps of different processes that touch nothing in common come to the same in either order. So schedules that differ
//! by such swaps only are one, and one of them is tried. After each schedule the search looks at every pair of steps that do touch
//! something in common and could have come the other way round (a *race*). For such a pair it notes, where the first of the two was
//! chosen, a process that leads to the other order (a *source set*). A process that was tried there sleeps in what is tried next,
//! until a step comes that it has something in common with (a *sleep set*).

use crate::sync::footprint::Touch;

/// What a step has touched.
pub(super) type Footprint = Vec<(u32, Touch)>;

/// A process, by its number.
pub(super) type Process = usize;

/// A set of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set([u128; 2]);

/// So many processes can be told apart.
pub(super) const MOST: usize = 256;

impl Set {
    pub(super) fn has(self, process: Process) -> bool {
        self.0[process / 128] >> (process % 128) & 1 == 1
    }

    pub(super) fn add(&mut self, process: Process) {
        self.0[process / 128] |= 1 << (process % 128);
    }

    fn remove(&mut self, process: Process) {
        self.0[process / 128] &= !(1 << (process % 128));
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == [0, 0]
    }

    pub(super) fn first(self) -> Option<Process> {
        let [low, high] = self.0;
        let first = if low == 0 { 128 + high.trailing_zeros() } else { low.trailing_zeros() };
        (!self.is_empty()).then_some(first as usize)
    }

    fn and(self, other: Self) -> Self {
        Self([0, 1].map(|half| self.0[half] & other.0[half]))
    }

    fn or(self, other: Self) -> Self {
        Self([0, 1].map(|half| self.0[half] | other.0[half]))
    }

    fn without(self, other: Self) -> Self {
        Self([0, 1].map(|half| self.0[half] & !other.0[half]))
    }
}

/// Whether two steps may come to something else in the other order.
fn conflict(one: &Footprint, other: &Footprint) -> bool {
    use Touch::{Add, Read, Take};
    let goes = |touches: (Touch, Touch)| match touches {
        (Read, Read) | (Add, Add) => true,
        (Take(there), Add) | (Add, Take(there)) => there > 0,
        _ => false,
    };
    one.iter().any(|(thing, touch)| other.iter().any(|(same, second)| thing == same && !goes((*touch, *second))))
}

/// How many steps of each process come before a step, that one included; a vector clock, in steps of all.
type Clock = Vec<u32>;

fn join(clock: &mut Clock, other: &Clock) {
    if clock.len() < other.len() {
        clock.resize(other.len(), 0);
    }
    clock.iter_mut().zip(other).for_each(|(own, other)| *own = (*own).max(*other));
}

fn at(clock: &Clock, process: Process) -> u32 {
    clock.get(process).copied().unwrap_or(0)
}

/// A step of the schedule under way.
struct Step {
    enabled: Set,
    /// Which processes are to be tried here.
    to_try: Set,
    /// Which processes need not be tried here, with what their next step touches.
    asleep: Vec<(Process, Footprint)>,
    chosen: Process,
    /// Which process made the step before, if it could have gone on here.
    could_go_on: Option<Process>,
    /// How many times up to here another one went on in its place, this step included.
    preemptions: u32,
    touched: Footprint,
    /// What comes before it.
    clock: Clock,
}

/// The search; see the module.
#[derive(Default)]
pub(super) struct Reduction {
    steps: Vec<Step>,
    /// So many steps are the same as in the schedule before.
    kept: usize,
    /// How many steps of this schedule there were.
    now: usize,
    /// The step that has made each process.
    born: Vec<Option<usize>>,
    /// Whether to try all orders, for tests of the reduction itself.
    tries_all: bool,
    /// No schedule has more preemptions.
    most_preemptions: u32,
    /// Whether a schedule was left out for that.
    was_cut: bool,
}

impl Reduction {
    pub(super) fn new(tries_all: bool, most_preemptions: u32) -> Self {
        Self { tries_all, most_preemptions, ..Self::default() }
    }

    /// Whether schedules were left out, as they had too many preemptions.
    pub(super) fn was_cut(&self) -> bool {
        self.was_cut
    }

    /// A schedule begins.
    pub(super) fn begin(&mut self) {
        self.now = 0;
        self.born.clear();
    }

    /// Which process makes the next step, the usual one if it may. None: all that could have been tried before.
    pub(super) fn choose(&mut self, enabled: Set, usual: Process) -> Option<Process> {
        if self.now < self.kept {
            let step = &self.steps[self.now];
            assert!(
                step.enabled == enabled,
                "millstream::check: the closure does something else than in the same schedule before. It goes by something else as well, such \
                 as time, random numbers, the order of a HashMap, or what it has left behind (step {})",
                self.now
            );
            return Some(step.chosen);
        }
        let mut asleep = Vec::new();
        if let Some(before) = self.now.checked_sub(1).map(|before| &self.steps[before]) {
            let sleeps_on = |(process, touches): &&(Process, Footprint)| {
                *process != before.chosen && !conflict(touches, &before.touched)
            };
            asleep.extend(before.asleep.iter().filter(sleeps_on).cloned());
        }
        let awake = enabled.without(processes(&asleep));
        let chosen = if awake.has(usual) { usual } else { awake.first()? };
        let mut to_try = if self.tries_all { enabled } else { Set::default() };
        to_try.add(chosen);
        let before = self.now.checked_sub(1).map(|before| self.steps[before].chosen);
        let could_go_on = before.filter(|before| enabled.has(*before));
        let preemptions = self.preemptions(self.now, could_go_on, chosen);
        if preemptions > self.most_preemptions {
            self.was_cut = true;
            return None;
        }
        let (touched, clock) = (Vec::new(), Vec::new());
        self.steps.push(Step { enabled, to_try, asleep, chosen, could_go_on, preemptions, touched, clock });
        Some(chosen)
    }

    /// How many preemptions there are up to this step, if this process makes it.
    fn preemptions(&self, step: usize, could_go_on: Option<Process>, chosen: Process) -> u32 {
        let before = step.checked_sub(1).map_or(0, |before| self.steps[before].preemptions);
        before + u32::from(could_go_on.is_some_and(|process| process != chosen))
    }

    /// The step under way has made this process.
    pub(super) fn made(&mut self, process: Process) {
        if self.born.len() <= process {
            self.born.resize(process + 1, None);
        }
        self.born[process] = Some(self.now);
    }

    /// The step that was chosen has touched this.
    pub(super) fn stepped(&mut self, touched: &mut Footprint) {
        let step = self.now;
        self.now += 1;
        if step + 1 < self.kept {
            debug_assert_eq!(self.steps[step].touched, *touched, "a schedule is not as it was before, at step {step}");
            return;
        }
        touched.dedup();
        self.steps[step].touched.clone_from(touched);
        self.look_back(step);
    }

    /// Finds the races of a step with those before it, and what is to be tried for each.
    fn look_back(&mut self, step: usize) {
        let (before, rest) = self.steps.split_at_mut(step);
        let Step { chosen, touched, .. } = &rest[0];
        let process = *chosen;
        let mut clock =
            self.born.get(process).copied().flatten().map_or_else(Clock::new, |born| before[born].clock.clone());
        if let Some(own) = before.iter().rev().find(|other| other.chosen == process) {
            clock.clone_from(&own.clock);
        }
        for (thing, _) in touched.iter().filter(|(_, touch)| *touch == Touch::Join) {
            let adds = |other: &&Step| other.touched.contains(&(*thing, Touch::Add));
            before.iter().filter(adds).for_each(|other| join(&mut clock, &other.clock));
        }
        let touched: Footprint = touched.iter().map(|touch| as_taken(*touch, &clock, before)).collect();
        let touched = &touched;
        let mut races = Vec::new();
        for (number, other) in before.iter().enumerate().rev() {
            let is_apart = other.chosen != process && at(&clock, other.chosen) <= index(number);
            if is_apart && conflict(&other.touched, touched) {
                races.push(number);
                join(&mut clock, &other.clock);
            }
        }
        if clock.len() <= process {
            clock.resize(process + 1, 0);
        }
        clock[process] = index(step + 1);
        if !self.tries_all {
            for race in races {
                let (first, between) = (before[race].chosen, race + 1..step);
                let mut initials = Initials::default();
                for other in &before[between] {
                    if at(&other.clock, first) <= index(race) {
                        initials.visit(other.chosen, &other.clock);
                    }
                }
                initials.visit(process, &clock);
                before[race].note(initials.found, process);
            }
        }
        self.steps[step].clock = clock;
    }

    /// Whether there is another schedule to be tried. If so, it is the next one.
    pub(super) fn goes_on(&mut self) -> bool {
        self.steps.truncate(self.now);
        while let Some(step) = self.steps.last_mut() {
            step.asleep.push((step.chosen, std::mem::take(&mut step.touched)));
            let mut left = step.to_try.and(step.enabled).without(processes(&step.asleep));
            let could_go_on = step.could_go_on;
            while let Some(next) = left.first() {
                let at = self.steps.len() - 1;
                let preemptions = self.preemptions(at, could_go_on, next);
                if preemptions <= self.most_preemptions {
                    (self.steps[at].chosen, self.steps[at].preemptions) = (next, preemptions);
                    self.kept = self.steps.len();
                    return true;
                }
                self.was_cut = true;
                left.remove(next);
            }
            self.steps.pop();
        }
        false
    }
}

/// What a step touches for those before it. If all that it takes may come behind it, it comes behind each of those that bring it.
fn as_taken((thing, touch): (u32, Touch), clock: &Clock, before: &[Step]) -> (u32, Touch) {
    let Touch::Take(there) = touch else { return (thing, touch) };
    let is_apart = |number: usize, other: &Step| at(clock, other.chosen) <= index(number);
    let adds = |other: &Step| other.touched.contains(&(thing, Touch::Add));
    let others = before.iter().enumerate().filter(|(number, other)| is_apart(*number, other) && adds(other)).count();
    (thing, if others >= there as usize { Touch::Write } else { touch })
}

fn processes(asleep: &[(Process, Footprint)]) -> Set {
    let mut set = Set::default();
    asleep.iter().for_each(|(process, _)| set.add(*process));
    set
}

/// Which processes may come first in a sequence of steps.
#[derive(Default)]
struct Initials {
    found: Set,
    /// The first step of each process in it, as its number plus one.
    first: Vec<(Process, u32)>,
}

impl Initials {
    /// The next step of the sequence.
    fn visit(&mut self, process: Process, clock: &Clock) {
        if self.first.iter().any(|(seen, _)| *seen == process) {
            return;
        }
        if self.first.iter().all(|(seen, step)| at(clock, *seen) < *step) {
            self.found.add(process);
        }
        self.first.push((process, at(clock, process)));
    }
}

impl Step {
    /// One of `initials` must be tried here, so that a step of `second` comes before this one.
    fn note(&mut self, initials: Set, second: Process) {
        let can = initials.and(self.enabled);
        if can.is_empty() && initials.has(second) {
            // It is this step that has set it free: else one that could come first would have done so.
        } else if can.is_empty() {
            self.to_try = self.to_try.or(self.enabled);
        } else if can.and(self.to_try).is_empty() {
            self.to_try.add(if can.has(second) { second } else { can.first().expect("not empty") });
        }
    }
}

fn index(step: usize) -> u32 {
    u32::try_from(step).expect("fewer than 2^32 steps")
}
