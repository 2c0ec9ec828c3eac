//! What a program means: a loop goes through it.

use super::mix;
use super::program::{Does, ITEMS, Item, Program, Step, Thing, is_enough, part, tile};

/// What a step is to fail at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trap {
    /// The first time in a run, the second, and so on.
    pub(super) time: u32,
    /// When it has done everything, and not before it does anything.
    pub(super) is_late: bool,
}

/// What a program finds and leaves. None: it is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) data: Vec<Option<u64>>,
    pub(super) whole: Option<Vec<u64>>,
    /// What each step has made; of one that makes no value, 0.
    pub(super) made: Vec<Option<u64>>,
    /// How often each step ran.
    pub(super) ran: Vec<u32>,
}

/// A program that a loop has gone through, up to the first step that fails.
#[derive(Debug)]
pub(super) struct Sequential<'a> {
    traps: &'a [Option<Trap>],
    pub(super) left: Left,
    pub(super) failed: Option<usize>,
    /// What each step made last, whoever has written or taken it since then.
    pub(super) fresh: Vec<Option<u64>>,
}

/// As [`super::values::write_all`].
fn write_all(values: &mut [u64], id: u64, sum: u64) -> u64 {
    values.iter_mut().fold(sum, |sum, value| {
        *value = mix(*value, id);
        mix(sum, *value)
    })
}

fn read_all(values: &[u64], id: u64) -> u64 {
    values.iter().fold(id, |sum, value| mix(sum, *value))
}

/// What a stream makes of what it reads.
fn streamed(sum: u64, read: u64) -> u64 {
    (0..ITEMS).fold(sum, |sum, item| mix(sum, read ^ item))
}

impl<'a> Sequential<'a> {
    /// Goes through a program that finds this given data.
    pub(super) fn of(program: &Program, data: &[u64], whole: &[u64], traps: &'a [Option<Trap>]) -> Self {
        let (data, whole) = (data.iter().copied().map(Some).collect(), Some(whole.to_vec()));
        let left = Left { data, whole, made: vec![None; traps.len()], ran: vec![0; traps.len()] };
        let mut sequential = Self { traps, left, failed: None, fresh: vec![None; traps.len()] };
        sequential.go_through(&program.items);
        sequential
    }

    fn go_through(&mut self, items: &[Item]) {
        for item in items {
            if self.failed.is_some() {
                return;
            }
            match item {
                Item::Step(step) => self.step(step),
                Item::Repeat(times, items) => (0..*times).for_each(|_| self.go_through(items)),
                Item::Until(data, most, items) => {
                    for _ in 0..*most {
                        self.go_through(items);
                        if self.failed.is_some() || is_enough(self.data(*data)) {
                            break;
                        }
                    }
                }
                Item::When(data, items) => {
                    if self.data(*data).is_multiple_of(2) {
                        self.go_through(items);
                    }
                }
            }
        }
    }

    fn data(&self, data: usize) -> u64 {
        self.left.data[data].expect("nobody has taken it")
    }

    fn made(&self, step: usize) -> u64 {
        self.left.made[step].expect("it was made, and nobody has taken it")
    }

    fn whole(&mut self) -> &mut Vec<u64> {
        self.left.whole.as_mut().expect("nobody has taken it")
    }

    fn write(&mut self, data: usize, with: u64) -> u64 {
        let new = mix(self.data(data), with);
        self.left.data[data] = Some(new);
        new
    }

    fn take(&mut self, thing: Thing) {
        match thing {
            Thing::Data(data) => self.left.data[data] = None,
            Thing::Whole => self.left.whole = None,
            Thing::Made(step) => self.left.made[step] = None,
        }
    }

    fn step(&mut self, Step { number, does, .. }: &Step) {
        self.left.ran[*number] += 1;
        if self.traps[*number].is_some_and(|trap| trap.time == self.left.ran[*number]) {
            self.failed = Some(*number);
            return;
        }
        let id = *number as u64;
        let made = match *does {
            Does::Nothing => id,
            Does::Unit => 0,
            Does::Read(a) | Does::Take(a) => mix(self.data(a), id),
            Does::Write(a) => self.write(a, id),
            Does::ReadTwo(a, b) => mix(self.data(a), self.data(b)),
            Does::ReadWrite(a, b) | Does::TakeWrite(a, b) => self.write(b, self.data(a)),
            Does::WriteTwo(a, b) => {
                let a = self.write(a, id);
                mix(a, self.write(b, id))
            }
            Does::Result(step) | Does::TakeResult(step) => mix(self.made(step), id),
            Does::ResultWrite(step, b) | Does::TakeResultWrite(step, b) => self.write(b, self.made(step)),
            Does::WriteResult(step) => {
                let new = mix(self.made(step), id);
                self.left.made[step] = Some(new);
                new
            }
            Does::Results(ref steps) => steps.iter().fold(id, |sum, step| mix(sum, self.made(*step))),
            Does::ReadUnit(unit) | Does::TakeUnit(unit) => self.made(unit) + id,
            Does::PartRead(way, number) => read_all(&self.whole()[part(way, number)], id),
            Does::TileRead(way, number) => {
                let whole = self.whole();
                tile(way, number).fold(id, |sum, place| mix(sum, whole[place]))
            }
            Does::TileWrite(way, number) => {
                let whole = self.whole();
                tile(way, number).fold(id, |sum, place| write_all(&mut whole[place..=place], id, sum))
            }
            Does::WholeRead | Does::WholeTake => read_all(self.whole(), id),
            Does::PartWrite(way, number) => write_all(&mut self.whole()[part(way, number)], id, id),
            Does::WholeWrite => write_all(self.whole(), id, id),
            Does::Stream(a) => streamed(id, self.data(a)),
            Does::StreamOfResult(step) => streamed(id, self.made(step)),
            Does::Streams(a, b) => streamed(streamed(id, self.data(a)), self.data(b)),
        };
        does.takes().into_iter().for_each(|thing| self.take(thing));
        self.left.made[*number] = Some(made);
        self.fresh[*number] = Some(made);
    }
}
