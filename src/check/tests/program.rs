//! Random graphs as programs, and what they mean: to a sequential interpreter, and to the real thing.
//!
//! A program is a list of steps; [`walk`] turns it into calls of [`Meaning`], which is implemented twice. Steps name streams
//! and data by numbers that are taken modulo how many there are, so every list of steps is a program, and so is every part
//! of it: failing ones shrink well.

use proptest::prelude::*;

/// One step of a program. All items are integers.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Source {
        kind: u8,
        len: u8,
        batch: Option<u8>,
        credits: Option<u8>,
        place: u8,
    },
    Apply {
        stream: u8,
        op: u8,
        k: u8,
    },
    Tee(u8),
    Partition(u8, u8),
    Zip(u8, u8),
    Chain(u8, u8),
    Merge(u8, u8),
    Unordered(u8),
    Sink {
        stream: u8,
        kind: u8,
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

/// Where items come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    Iterator,
    Made,
    Range,
    Slice,
    Vector,
    Split,
}

/// What is done with items one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Map,
    Filter,
    FilterMap,
    FlatMap,
    FlatMapInto,
    Inspect,
    TryMap,
    Scan,
    /// Ends the stream before its end.
    ScanSome,
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    Collect,
    ForEach,
    ForEachOrdered,
    Fold,
    Accumulate,
    Reduce,
    Aggregate,
    Count,
    Sum,
    Min,
    Max,
    CountKeys,
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
    fn source(&mut self, id: usize, kind: SourceKind, len: u64, cut: Cut) -> Self::Stream;
    fn apply(&mut self, stream: Self::Stream, id: usize, op: Op, k: i64) -> Self::Stream;
    fn tee(&mut self, stream: Self::Stream) -> (Self::Stream, Self::Stream);
    fn partition(&mut self, stream: Self::Stream, id: usize, k: i64) -> (Self::Stream, Self::Stream);
    fn zip(&mut self, left: Self::Stream, right: Self::Stream) -> Self::Stream;
    fn chain(&mut self, first: Self::Stream, second: Self::Stream) -> Self::Stream;
    fn merge(&mut self, left: Self::Stream, right: Self::Stream) -> Self::Stream;
    fn unordered(&mut self, stream: Self::Stream) -> Self::Stream;
    fn sink(&mut self, stream: Self::Stream, id: usize, sink: Sink) -> Self::Int;
    fn collect(&mut self, stream: Self::Stream, ordered: bool) -> Self::List;
    fn count_keys(&mut self, stream: Self::Stream, id: usize);
    fn cell(&mut self, value: i64, place: u8) -> Self::Int;
    fn task(&mut self, id: usize, kind: TaskKind, a: &Self::Int, b: &Self::Int, place: u8) -> Self::Int;
    fn with_data(&mut self, stream: Self::Stream, id: usize, data: &Self::Int) -> Self::Stream;
    fn items(&mut self, list: &Self::List) -> Self::Stream;
}

/// What a walk has numbered.
#[derive(Clone, Debug, Default)]
pub(super) struct Walked {
    /// Of each operator whether what it is given comes in stream order; tasks are not.
    pub(super) ordered: Vec<bool>,
    /// Operators that cannot be named: partitions.
    pub(super) unnamed: Vec<usize>,
    /// Whether a stream may end before all that feeds it has.
    pub(super) early_ends: bool,
}

struct Flow<S> {
    stream: S,
    ordered: bool,
}

/// The state of a walk.
struct Walk<'a, M: Meaning> {
    to: &'a mut M,
    open: Vec<Flow<M::Stream>>,
    /// Results: nobody writes them again.
    ints: Vec<M::Int>,
    cells: Vec<M::Int>,
    lists: Vec<(M::List, bool)>,
    walked: Walked,
}

/// Streams that are open at once at most.
const WIDTH: usize = 6;

/// Says what a program means.
pub(super) fn walk<M: Meaning>(program: &[Step], to: &mut M) -> Walked {
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
        walk.end(0, Sink::Collect);
    }
    walk.walked
}

impl<M: Meaning> Walk<'_, M> {
    fn step(&mut self, step: &Step) {
        let room = self.open.len() < WIDTH;
        match *step {
            Step::Source { kind, len, batch, credits, place } if room => {
                use SourceKind::*;
                let kind = [Iterator, Made, Range, Slice, Vector, Split][kind as usize % 6];
                let size = |size: u8| 1 + usize::from(size);
                let id = self.id(true);
                let cut = Cut { batch: batch.map(size), credits: credits.map(size), place };
                let stream = self.to.source(id, kind, u64::from(len), cut);
                self.open.push(Flow { stream, ordered: true });
            }
            Step::Apply { stream, op, k } => {
                use Op::*;
                let Some(Flow { stream, ordered }) = self.take(stream) else { return };
                let all = [Map, Filter, FilterMap, FlatMap, FlatMapInto, Inspect, TryMap, Scan, ScanSome];
                let op = all[op as usize % if ordered { all.len() } else { 7 }];
                let id = self.id(ordered);
                self.walked.early_ends |= op == ScanSome;
                let stream = self.to.apply(stream, id, op, i64::from(k));
                self.open.push(Flow { stream, ordered });
            }
            Step::Tee(stream) if room => {
                let Some(Flow { stream, ordered }) = self.take(stream) else { return };
                let (left, right) = self.to.tee(stream);
                self.open.extend([left, right].map(|stream| Flow { stream, ordered }));
            }
            Step::Partition(stream, k) if room => {
                let Some(Flow { stream, ordered }) = self.take(stream) else { return };
                let id = self.id(ordered);
                self.walked.unnamed.push(id);
                let (left, right) = self.to.partition(stream, id, i64::from(k));
                self.open.extend([left, right].map(|stream| Flow { stream, ordered }));
            }
            Step::Zip(left, right) => {
                self.walked.early_ends = true;
                self.two(left, right, |to, left, right| match left.ordered && right.ordered {
                    true => Flow { stream: to.zip(left.stream, right.stream), ordered: true },
                    false => Flow { stream: to.merge(left.stream, right.stream), ordered: false },
                });
            }
            Step::Chain(first, second) => self.two(first, second, |to, first, second| {
                let ordered = first.ordered && second.ordered;
                Flow { stream: to.chain(first.stream, second.stream), ordered }
            }),
            Step::Merge(left, right) => self.two(left, right, |to, left, right| Flow {
                stream: to.merge(left.stream, right.stream),
                ordered: false,
            }),
            Step::Unordered(stream) => {
                let Some(Flow { stream, .. }) = self.take(stream) else { return };
                let stream = self.to.unordered(stream);
                self.open.push(Flow { stream, ordered: false });
            }
            Step::Sink { stream, kind } if !self.open.is_empty() => {
                use Sink::*;
                let place = stream as usize % self.open.len();
                let any = [Collect, Count, Sum, Min, Max, CountKeys, ForEach];
                let ordered = [ForEachOrdered, Fold, Accumulate, Reduce, Aggregate];
                let all: Vec<Sink> =
                    any.into_iter().chain(ordered.into_iter().filter(|_| self.open[place].ordered)).collect();
                self.end(place, all[kind as usize % all.len()]);
            }
            Step::Cell(value, place) => {
                let cell = self.to.cell(i64::from(value), place);
                self.cells.push(cell);
            }
            Step::Task { kind, a, b, place } => self.task(kind, a as usize, b as usize, place),
            Step::WithCell { stream, cell } if !self.cells.is_empty() => {
                let Some(Flow { stream, ordered }) = self.take(stream) else { return };
                let (id, sum) = (self.id(ordered), self.id(ordered));
                let place = cell as usize % self.cells.len();
                let stream = self.to.with_data(stream, id, &self.cells[place]);
                let int = self.to.sink(stream, sum, Sink::Sum);
                self.ints.push(int);
            }
            Step::WithResult { stream, int } if !self.ints.is_empty() => {
                let Some(Flow { stream, ordered }) = self.take(stream) else { return };
                let id = self.id(ordered);
                let place = int as usize % self.ints.len();
                let stream = self.to.with_data(stream, id, &self.ints[place]);
                self.open.push(Flow { stream, ordered });
            }
            Step::Items(list) if room && !self.lists.is_empty() => {
                let (list, ordered) = &self.lists[list as usize % self.lists.len()];
                if *ordered {
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

    fn two(
        &mut self,
        left: u8,
        right: u8,
        join: impl FnOnce(&mut M, Flow<M::Stream>, Flow<M::Stream>) -> Flow<M::Stream>,
    ) {
        if self.open.len() < 2 {
            return;
        }
        let (Some(left), Some(right)) = (self.take(left), self.take(right)) else { return };
        let joined = join(self.to, left, right);
        self.open.push(joined);
    }

    fn end(&mut self, place: usize, sink: Sink) {
        let Flow { stream, ordered } = self.open.remove(place);
        let id = self.id(ordered);
        match sink {
            Sink::Collect => {
                let list = self.to.collect(stream, ordered);
                self.lists.push((list, ordered));
            }
            Sink::CountKeys => self.to.count_keys(stream, id),
            sink => {
                let int = self.to.sink(stream, id, sink);
                self.ints.push(int);
            }
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

/// Any program of up to `steps` steps; `credits`: whether sources have few of them.
pub(super) fn programs(steps: usize, credits: bool) -> impl Strategy<Value = Vec<Step>> {
    let number = || 0..=u8::MAX;
    let few = if credits { prop::option::of(0..4_u8).boxed() } else { Just(None).boxed() };
    let source = (number(), 0..40_u8, prop::option::of(0..9_u8), few, number())
        .prop_map(|(kind, len, batch, credits, place)| Step::Source { kind, len, batch, credits, place });
    let step = prop_oneof![
        4 => source.clone(),
        8 => (number(), number(), 1..12_u8).prop_map(|(stream, op, k)| Step::Apply { stream, op, k }),
        3 => number().prop_map(Step::Tee),
        2 => (number(), 1..12_u8).prop_map(|(stream, k)| Step::Partition(stream, k)),
        3 => (number(), number()).prop_map(|(left, right)| Step::Zip(left, right)),
        2 => (number(), number()).prop_map(|(first, second)| Step::Chain(first, second)),
        2 => (number(), number()).prop_map(|(left, right)| Step::Merge(left, right)),
        1 => number().prop_map(Step::Unordered),
        4 => (number(), number()).prop_map(|(stream, kind)| Step::Sink { stream, kind }),
        2 => (-9..9_i8, number()).prop_map(|(value, place)| Step::Cell(value, place)),
        5 => (number(), number(), number(), number()).prop_map(|(kind, a, b, place)| Step::Task { kind, a, b, place }),
        2 => (number(), number()).prop_map(|(stream, cell)| Step::WithCell { stream, cell }),
        2 => (number(), number()).prop_map(|(stream, int)| Step::WithResult { stream, int }),
        2 => number().prop_map(Step::Items),
    ];
    (source, prop::collection::vec(step, 0..steps)).prop_map(|(source, mut program)| {
        program.insert(0, source);
        program
    })
}
