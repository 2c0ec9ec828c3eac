//! The search against all schedules, on random programs of a few processes that read, write, lock, wait and queue others.

use std::collections::{BTreeSet, HashMap};

use super::super::reduction::{Footprint, Process, Reduction, Set};
use crate::check::Dice;
use crate::sync::footprint::Touch;

/// What a process does, one after the other.
#[derive(Clone, Copy, Debug)]
enum Op {
    Read(u32),
    Write(u32),
    Lock(u32),
    Unlock(u32),
    /// Sets a latch.
    Set(u32),
    /// Waits for a latch.
    Wait(u32),
    /// Comes behind all that have set it.
    Join(u32),
    /// Queues this program.
    Spawn(usize),
    /// One of those that are counted has come. The last one queues the last program.
    Arrive,
}

/// The programs: the first one begins.
type World = Vec<Vec<Op>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Waits {
    Lock(u32),
    Latch(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Life {
    program: usize,
    at: usize,
    waits: Option<Waits>,
    /// What it has read.
    read: Vec<u64>,
    queued: usize,
}

/// How far a world is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct State {
    words: [u64; 2],
    is_locked: [bool; 2],
    is_set: [bool; 2],
    arrived: usize,
    lives: Vec<Option<Life>>,
}

/// The numbers of processes, by who has queued them as their how-manyth.
type Names = HashMap<(Process, usize), Process>;
/// How a schedule ends: what each process has read, and which are not over.
type End = Vec<Option<Life>>;

const LOCKS: u32 = 10;
const LATCHES: u32 = 20;
const COUNT: u32 = 30;
/// Who queues what comes behind the last one that was counted: whichever it is, the name is the same.
const NOBODY: Process = 100;

impl State {
    fn new() -> Self {
        let mut state = Self::default();
        state.begin(0, 0);
        state
    }

    fn begin(&mut self, process: Process, program: usize) {
        self.lives.resize(self.lives.len().max(process + 1), None);
        self.lives[process] = Some(Life { program, at: 0, waits: None, read: Vec::new(), queued: 0 });
    }

    fn enabled(&self, world: &World) -> Set {
        let mut set = Set::default();
        for (process, life) in self.lives.iter().enumerate() {
            let Some(life) = life else { continue };
            let is_held = match life.waits {
                Some(Waits::Lock(lock)) => self.is_locked[lock as usize],
                Some(Waits::Latch(latch)) => !self.is_set[latch as usize],
                None => life.at == world[life.program].len(),
            };
            if !is_held {
                set.add(process);
            }
        }
        set
    }

    /// Lets a process make one step. Returns whom it has queued.
    fn step(&mut self, world: &World, process: Process, names: &mut Names, touched: &mut Footprint) -> Option<Process> {
        let mut life = self.lives[process].take().expect("it is there");
        let mut queues = None;
        if life.waits.take().is_some() {
            self.lives[process] = Some(life); // it goes on, and has touched nothing yet
            return None;
        }
        let op = world[life.program][life.at];
        life.at += 1;
        match op {
            Op::Read(word) => {
                touched.push((word, Touch::Read));
                life.read.push(self.words[word as usize]);
            }
            Op::Write(word) => {
                touched.push((word, Touch::Write));
                self.words[word as usize] = 1 + 100 * process as u64 + life.at as u64;
            }
            Op::Lock(lock) => {
                touched.push((LOCKS + lock, Touch::Write));
                if std::mem::replace(&mut self.is_locked[lock as usize], true) {
                    life.waits = Some(Waits::Lock(lock));
                    life.at -= 1;
                }
            }
            Op::Unlock(lock) => self.is_locked[lock as usize] = false,
            Op::Set(latch) => {
                touched.push((LATCHES + latch, Touch::Add));
                self.is_set[latch as usize] = true;
            }
            Op::Wait(latch) => {
                life.waits = Some(Waits::Latch(latch));
            }
            Op::Join(latch) => touched.push((LATCHES + latch, Touch::Join)),
            Op::Spawn(program) => {
                life.queued += 1;
                queues = Some(((process, life.queued), program));
            }
            Op::Arrive => {
                touched.push((COUNT, Touch::Add));
                self.arrived += 1;
                let all = world.iter().flatten().filter(|op| matches!(op, Op::Arrive)).count();
                queues = (self.arrived == all).then_some(((NOBODY, 0), world.len() - 1));
            }
        }
        self.lives[process] = Some(life);
        queues.map(|(name, program)| {
            let next = names.len() + 1;
            let number = *names.entry(name).or_insert(next);
            self.begin(number, program);
            number
        })
    }
}

/// How all schedules end. None: there are too many states.
fn all(world: &World, names: &mut Names) -> Option<BTreeSet<End>> {
    let (mut seen, mut ends, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![State::new()]);
    while let Some(state) = open.pop() {
        if !seen.insert(state.clone()) {
            continue;
        }
        let enabled = state.enabled(world);
        if enabled.is_empty() {
            ends.insert(state.lives);
            continue;
        }
        if seen.len() > 3000 {
            return None;
        }
        for process in (0..state.lives.len()).filter(|process| enabled.has(*process)) {
            let mut next = state.clone();
            next.step(world, process, names, &mut Footprint::new());
            open.push(next);
        }
    }
    Some(ends)
}

/// How those end that the search takes. None: there are too many.
fn searched(world: &World, names: &mut Names) -> Option<BTreeSet<End>> {
    let (mut search, mut ends) = (Reduction::new(false, u32::MAX), BTreeSet::new());
    for _ in 0..2000 {
        search.begin();
        let (mut state, mut last) = (State::new(), 0);
        let is_new = loop {
            let enabled = state.enabled(world);
            let Some(first) = enabled.first() else { break true };
            let usual = if enabled.has(last) { last } else { first };
            let Some(process) = search.choose(enabled, usual) else { break false };
            let mut touched = Footprint::new();
            if let Some(queued) = state.step(world, process, names, &mut touched) {
                search.made(queued);
            }
            search.stepped(&mut touched);
            last = process;
        };
        if is_new {
            ends.insert(state.lives);
        }
        if !search.goes_on() {
            return Some(ends);
        }
    }
    None
}

/// A world of up to four processes.
fn world(dice: &mut Dice) -> World {
    fn word(dice: &mut Dice) -> Op {
        let word = u32::try_from(dice.roll(2)).expect("small");
        if dice.roll(2) == 0 { Op::Read(word) } else { Op::Write(word) }
    }
    let mut world = vec![Vec::new()];
    let processes = 1 + dice.roll(3);
    for process in 0..processes {
        let mut program = Vec::new();
        for _ in 0..=dice.roll(2) {
            let lock = u32::try_from(dice.roll(4)).expect("small");
            let op = word(dice);
            match lock {
                0 | 1 => program.extend([Op::Lock(lock), op, Op::Unlock(lock)]),
                _ => program.push(op),
            }
        }
        let waits = u32::try_from(process).expect("small");
        let end = dice.roll(3);
        match end {
            0 if waits < 2 => program.push(Op::Set(waits)),
            1 => program.push(Op::Arrive),
            _ => {}
        }
        world.push(program);
        let last = world.len() - 1;
        world[0].push(Op::Spawn(last));
        if dice.roll(2) == 0 {
            let op = word(dice);
            world[0].push(op);
        }
        if end == 0 && waits < 2 {
            let op = word(dice);
            world[0].extend([Op::Wait(waits), Op::Join(waits), op]);
        }
    }
    if world.iter().flatten().any(|op| matches!(op, Op::Arrive)) {
        let op = word(dice);
        world.push(vec![op, Op::Read(0)]);
    }
    world
}

#[test]
fn the_search_ends_as_all_schedules_do() {
    let mut compared = 0;
    for seed in 0..1500 {
        let world = world(&mut Dice::new(seed));
        let mut names = Names::new();
        let (Some(all), Some(searched)) = (all(&world, &mut names), searched(&world, &mut names)) else { continue };
        assert_eq!(all, searched, "seed {seed}: {world:?}");
        compared += 1;
    }
    assert!(compared > 500, "only {compared} are small enough");
}
