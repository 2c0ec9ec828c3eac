//! Random graphs as programs, and what they mean: to a sequential interpreter, and to the real thing.
//!
//! A program is a list of steps. [`walk`] turns it into calls of [`Meaning`], which is implemented twice. Steps name
//! streams and data by numbers, which are taken modulo the number that there are. So every list of steps is a program,
//! and so is every part of it; failing programs shrink well. What a step adds is a row of [`super::table`].

use std::fmt;
use std::ops::Deref;

use proptest::prelude::*;

use super::items::name;
use super::sequential::Sequential;
use super::table::{
    FORKS, Fork, GATHERS, Gather, ITEMS, Made, OPERATORS, Operator, SINKS, SOURCES, Sink, Source, WITH_DATA,
};

/// One step of a program. All items are integers.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Source {
        row: u8,
        len: u8,
        batch: Option<u8>,
        credits: Option<u8>,
        place: u8,
    },
    Apply {
        stream: u8,
        row: u8,
        k: u8,
    },
    Fork {
        stream: u8,
        row: u8,
        k: u8,
    },
    Gather {
        left: u8,
        right: u8,
        row: u8,
    },
    Sink {
        stream: u8,
        row: u8,
    },
    /// Data with a value of the user's, and its place.
    Cell(i8, u8),
    Task {
        kind: u8,
        a: u8,
        b: u8,
        place: u8,
    },
    /// A stream with data that tasks write later, and its end.
    WithCell {
        stream: u8,
        cell: u8,
    },
    /// A stream with a result.
    WithResult {
        stream: u8,
        int: u8,
    },
    Items(u8),
}

/// A program, which prints itself with the methods that its steps stand for.
#[derive(Clone)]
pub(super) struct Program(pub(super) Vec<Step>);

impl Deref for Program {
    type Target = [Step];
    fn deref(&self) -> &[Step] {
        &self.0
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}, which is", self.0)?;
        for (id, methods) in walk(self, &mut Sequential::default()).methods {
            let name = id.map_or_else(String::new, |id| format!("{}: ", name(id)));
            writeln!(f, "    {name}{}", methods.join(" "))?;
        }
        Ok(())
    }
}

/// How a task accesses two cells or results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskKind {
    /// Writes cell a.
    Write,
    /// Reads result a, writes cell b.
    ReadWrite,
    /// Reads results a and b.
    ReadRead,
    /// Reads nothing, comes after result a.
    After,
}

/// Batch size and credits of a source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) batch: Option<usize>,
    pub(super) credits: Option<usize>,
    /// Where it is to be, by a number that means something or nothing.
    pub(super) place: u8,
}

/// What a program means.
pub(super) trait Meaning {
    type Stream;
    type Int;
    type List;
    /// `id` numbers the operator.
    fn source(&mut self, id: usize, row: &Source, len: usize, cut: Cut) -> Self::Stream;
    fn apply(&mut self, stream: Self::Stream, id: usize, row: &Operator, k: i64) -> Self::Stream;
    fn fork(&mut self, stream: Self::Stream, id: usize, row: &Fork, k: i64) -> (Self::Stream, Self::Stream);
    fn gather(&mut self, left: Self::Stream, right: Self::Stream, row: &Gather) -> Self::Stream;
    fn sink(&mut self, stream: Self::Stream, id: usize, row: &Sink, ordered: bool) -> Made<Self::Int, Self::List>;
    fn cell(&mut self, value: i64, place: u8) -> Self::Int;
    fn task(&mut self, id: usize, kind: TaskKind, a: &Self::Int, b: &Self::Int, place: u8) -> Self::Int;
    fn with_data(&mut self, stream: Self::Stream, id: usize, data: &Self::Int) -> Self::Stream;
    fn items(&mut self, list: &Self::List) -> Self::Stream;
}

/// What a walk has numbered.
#[derive(Clone, Debug, Default)]
pub(super) struct Walked {
    /// Whether the items of each operator come in stream order; `false` for tasks.
    pub(super) ordered: Vec<bool>,
    /// Operators that cannot be named: partitions.
    pub(super) unnamed: Vec<usize>,
    /// Whether a stream may end before all that feeds it has.
    pub(super) early_ends: bool,
    /// The methods of each row, with the number of the operator; none: it has none.
    pub(super) methods: Vec<(Option<usize>, &'static [&'static str])>,
}

struct Flow<S> {
    stream: S,
    ordered: bool,
}

/// The state of a walk.
struct Walk<'a, M: Meaning> {
    to: &'a mut M,
    open: Vec<Flow<M::Stream>>,
    /// Results. No step writes them again.
    ints: Vec<M::Int>,
    cells: Vec<M::Int>,
    lists: Vec<(M::List, bool)>,
    walked: Walked,
}

/// What takes all that is left over at the end: the first row.
const COLLECT: &Sink = &SINKS[0];

/// Streams that are open at once at most.
const WIDTH: usize = 6;

/// Says what a program means.
pub(super) fn walk<M: Meaning>(program: &[Step], to: &mut M) -> Walked {
    walk_to(program, to, COLLECT)
}

/// The same. `last` takes all that is left over at the end.
pub(super) fn walk_to<M: Meaning>(program: &[Step], to: &mut M, last: &Sink) -> Walked {
    let mut walk = Walk {
        to,
        open: Vec::new(),
        ints: Vec::new(),
        cells: Vec::new(),
        lists: Vec::new(),
        walked: Walked::default(),
    };
    for step in program {
        walk.step(step);
    }
    while !walk.open.is_empty() {
        walk.end(0, last);
    }
    walk.walked
}

impl<M: Meaning> Walk<'_, M> {
    fn step(&mut self, step: &Step) {
        let room = self.open.len() < WIDTH;
        match *step {
            Step::Source { row, len, batch, credits, place } if room => {
                let size = |size: u8| 1 + usize::from(size);
                let cut = Cut { batch: batch.map(size), credits: credits.map(size), place };
                let id = self.id(true);
                let row = pick(SOURCES, row);
                self.walked.methods.push((Some(id), row.methods));
                let stream = self.to.source(id, row, usize::from(len), cut);
                self.open.push(Flow { stream, ordered: true });
            }
            Step::Apply { stream, row, k } => {
                let Some(Flow { stream, ordered }) = self.take(stream) else { return };
                let rows: Vec<_> = OPERATORS.iter().filter(|row| ordered || !row.needs_order).collect();
                let row = *pick(&rows, row);
                let id = self.id(ordered);
                self.walked.early_ends |= row.ends_early;
                self.walked.methods.push((Some(id), row.methods));
                let stream = self.to.apply(stream, id, row, i64::from(k));
                self.open.push(Flow { stream, ordered: ordered && row.keeps_order });
            }
            Step::Fork { stream, row, k } if room => {
                let Some(Flow { stream, ordered }) = self.take(stream) else { return };
                let id = self.id(ordered);
                self.walked.unnamed.push(id);
                let row = pick(FORKS, row);
                self.walked.methods.push((Some(id), row.methods));
                let (left, right) = self.to.fork(stream, id, row, i64::from(k));
                self.open.extend([left, right].map(|stream| Flow { stream, ordered }));
            }
            Step::Gather { left, right, row } => {
                if self.open.len() < 2 {
                    return;
                }
                let (Some(left), Some(right)) = (self.take(left), self.take(right)) else { return };
                let ordered = left.ordered && right.ordered;
                let rows: Vec<_> = GATHERS.iter().filter(|row| ordered || !row.needs_order).collect();
                let row = *pick(&rows, row);
                self.walked.early_ends |= row.ends_early;
                self.walked.methods.push((None, row.methods));
                let stream = self.to.gather(left.stream, right.stream, row);
                self.open.push(Flow { stream, ordered: ordered && row.keeps_order });
            }
            Step::Sink { stream, row } if !self.open.is_empty() => {
                let place = stream as usize % self.open.len();
                let rows: Vec<_> = SINKS.iter().filter(|row| self.open[place].ordered || !row.needs_order).collect();
                let row = *pick(&rows, row);
                self.end(place, row);
            }
            Step::Cell(value, place) => {
                let cell = self.to.cell(i64::from(value), place);
                self.cells.push(cell);
            }
            Step::Task { kind, a, b, place } => self.task(kind, a as usize, b as usize, place),
            Step::WithCell { stream, cell } if !self.cells.is_empty() => {
                let Some(Flow { stream, ordered }) = self.take(stream) else { return };
                let id = self.id(ordered);
                let place = cell as usize % self.cells.len();
                self.walked.methods.push((Some(id), WITH_DATA.methods));
                let stream = self.to.with_data(stream, id, &self.cells[place]);
                self.open.push(Flow { stream, ordered });
                self.end(self.open.len() - 1, COLLECT);
            }
            Step::WithResult { stream, int } if !self.ints.is_empty() => {
                let Some(Flow { stream, ordered }) = self.take(stream) else { return };
                let id = self.id(ordered);
                let place = int as usize % self.ints.len();
                self.walked.methods.push((Some(id), WITH_DATA.methods));
                let stream = self.to.with_data(stream, id, &self.ints[place]);
                self.open.push(Flow { stream, ordered });
            }
            Step::Items(list) if room && !self.lists.is_empty() => {
                let (list, ordered) = &self.lists[list as usize % self.lists.len()];
                if *ordered {
                    self.walked.methods.push((None, ITEMS.methods));
                    let stream = self.to.items(list);
                    self.open.push(Flow { stream, ordered: true });
                }
            }
            _ => {}
        }
    }

    fn id(&mut self, ordered: bool) -> usize {
        self.walked.ordered.push(ordered);
        self.walked.ordered.len() - 1
    }

    fn take(&mut self, stream: u8) -> Option<Flow<M::Stream>> {
        let place = (stream as usize).checked_rem(self.open.len())?;
        Some(self.open.remove(place))
    }

    fn end(&mut self, place: usize, row: &Sink) {
        let Flow { stream, ordered } = self.open.remove(place);
        let id = self.id(ordered);
        self.walked.early_ends |= row.ends_early;
        self.walked.methods.push((Some(id), row.methods));
        match self.to.sink(stream, id, row, ordered) {
            Made::Int(int) => self.ints.push(int),
            Made::List(list) => self.lists.push((list, ordered)),
        }
    }

    fn task(&mut self, kind: u8, a: usize, b: usize, place: u8) {
        use TaskKind::*;
        let kind = [Write, ReadWrite, ReadRead, After][kind as usize % 4];
        let (ints, cells) = (self.ints.len(), self.cells.len());
        let id = self.walked.ordered.len();
        let result = match kind {
            Write if cells > 0 => self.to.task(id, kind, &self.cells[a % cells], &self.cells[a % cells], place),
            ReadWrite if ints > 0 && cells > 0 => {
                self.to.task(id, kind, &self.ints[a % ints], &self.cells[b % cells], place)
            }
            ReadRead | After if ints > 0 => self.to.task(id, kind, &self.ints[a % ints], &self.ints[b % ints], place),
            _ => return,
        };
        self.walked.ordered.push(false);
        self.ints.push(result);
    }
}

/// A row, by a number taken modulo how many there are.
fn pick<T>(rows: &[T], row: u8) -> &T {
    &rows[usize::from(row) % rows.len()]
}

/// Any program of up to `steps` steps; `credits`: whether sources have few of them.
pub(super) fn programs(steps: usize, credits: bool) -> impl Strategy<Value = Program> {
    let number = || 0..=u8::MAX;
    let few = if credits { prop::option::of(0..4_u8).boxed() } else { Just(None).boxed() };
    let source = (number(), 0..40_u8, prop::option::of(0..9_u8), few, number())
        .prop_map(|(row, len, batch, credits, place)| Step::Source { row, len, batch, credits, place });
    let step = prop_oneof![
        4 => source.clone(),
        8 => (number(), number(), 1..12_u8).prop_map(|(stream, row, k)| Step::Apply { stream, row, k }),
        5 => (number(), number(), 1..12_u8).prop_map(|(stream, row, k)| Step::Fork { stream, row, k }),
        7 => (number(), number(), number()).prop_map(|(left, right, row)| Step::Gather { left, right, row }),
        4 => (number(), number()).prop_map(|(stream, row)| Step::Sink { stream, row }),
        2 => (-9..9_i8, number()).prop_map(|(value, place)| Step::Cell(value, place)),
        5 => (number(), number(), number(), number()).prop_map(|(kind, a, b, place)| Step::Task { kind, a, b, place }),
        2 => (number(), number()).prop_map(|(stream, cell)| Step::WithCell { stream, cell }),
        2 => (number(), number()).prop_map(|(stream, int)| Step::WithResult { stream, int }),
        2 => number().prop_map(Step::Items),
    ];
    (source, prop::collection::vec(step, 0..steps)).prop_map(|(source, mut program)| {
        program.insert(0, source);
        Program(program)
    })
}
