//! What a program means, one step after the other.

use std::collections::BTreeMap;

use super::program::{Cut, Meaning, Op, Sink, SourceKind, TaskKind};

/// The answers of a program, and what every operator was given.
#[derive(Debug, Default)]
pub(super) struct Sequential {
    /// Results of sinks and tasks that are numbers, in the order in which they were made.
    pub(super) ints: Vec<Option<i64>>,
    /// Collected items, and whether in order.
    pub(super) lists: Vec<(Vec<i64>, bool)>,
    pub(super) tables: Vec<BTreeMap<i64, u64>>,
    /// What each operator was given, by number, in stream order.
    pub(super) given: BTreeMap<usize, Vec<i64>>,
    cells: Vec<i64>,
}

/// A number, by place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Int {
    Result(usize),
    Cell(usize),
}

/// The items of a source: small numbers of either sign, some of them equal.
pub(super) fn source_item(index: u64) -> i64 {
    i64::try_from(index * 7 % 23).expect("small") - 5
}

/// What is mixed in everywhere, so that a lost or doubled item shows.
pub(super) fn mix(a: i64, b: i64) -> i64 {
    a.wrapping_mul(31).wrapping_add(b)
}

/// The key of an item.
pub(super) fn key(item: i64) -> i64 {
    item.rem_euclid(5)
}

/// How many items become of one.
pub(super) fn copies(item: i64) -> i64 {
    item.rem_euclid(3)
}

/// What a reduction keeps of two items: not symmetric.
pub(super) fn better(a: i64, b: i64) -> bool {
    b.rem_euclid(7) > a.rem_euclid(7)
}

impl Sequential {
    fn int(&self, int: Int) -> i64 {
        match int {
            Int::Result(place) => self.ints[place].expect("a sum or a task's"),
            Int::Cell(place) => self.cells[place],
        }
    }

    fn result(&mut self, value: Option<i64>) -> Int {
        self.ints.push(value);
        Int::Result(self.ints.len() - 1)
    }

    fn give(&mut self, id: usize, items: &[i64]) {
        self.given.insert(id, items.to_vec());
    }
}

impl Meaning for Sequential {
    type Stream = Vec<i64>;
    type Int = Int;
    type List = usize;

    fn source(&mut self, id: usize, kind: SourceKind, len: u64, _: Cut) -> Vec<i64> {
        let items: Vec<i64> = (0..len).map(source_item).collect();
        if matches!(kind, SourceKind::Iterator | SourceKind::Made) {
            self.give(id, &items);
        }
        items
    }

    fn apply(&mut self, items: Vec<i64>, id: usize, op: Op, k: i64) -> Vec<i64> {
        self.give(id, &items);
        let items = items.into_iter();
        match op {
            Op::Map | Op::TryMap => items.map(|x| mix(x, k)).collect(),
            Op::Filter => items.filter(|x| x.rem_euclid(k) != 0).collect(),
            Op::FilterMap => items.filter(|x| x.rem_euclid(k) != 0).map(|x| mix(x, k)).collect(),
            Op::FlatMap | Op::FlatMapInto => items.flat_map(|x| (0..copies(x)).map(move |copy| mix(x, copy))).collect(),
            Op::Inspect => items.collect(),
            Op::Scan | Op::ScanSome => items
                .scan(k, |state, x| {
                    *state = mix(*state, x);
                    (op == Op::Scan || state.rem_euclid(8) != 0).then_some(*state)
                })
                .collect(),
        }
    }

    fn tee(&mut self, items: Vec<i64>) -> (Vec<i64>, Vec<i64>) {
        (items.clone(), items)
    }

    fn partition(&mut self, items: Vec<i64>, id: usize, k: i64) -> (Vec<i64>, Vec<i64>) {
        self.give(id, &items);
        items.into_iter().partition(|x| x.rem_euclid(k) == 0)
    }

    fn zip(&mut self, left: Vec<i64>, right: Vec<i64>) -> Vec<i64> {
        left.into_iter().zip(right).map(|(a, b)| mix(a, b)).collect()
    }

    fn chain(&mut self, first: Vec<i64>, second: Vec<i64>) -> Vec<i64> {
        first.into_iter().chain(second).collect()
    }

    fn merge(&mut self, left: Vec<i64>, right: Vec<i64>) -> Vec<i64> {
        self.chain(left, right)
    }

    fn unordered(&mut self, items: Vec<i64>) -> Vec<i64> {
        items
    }

    fn sink(&mut self, items: Vec<i64>, id: usize, sink: Sink) -> Int {
        self.give(id, &items);
        let mixed = || Some(items.iter().fold(0, |sum, x| mix(sum, *x)));
        let sum = || items.iter().fold(0_i64, |sum, x| sum.wrapping_add(*x));
        let or_none = |item: Option<i64>| Some(item.unwrap_or(-1));
        let value = match sink {
            Sink::Collect | Sink::CountKeys => unreachable!("walked apart"),
            Sink::ForEachOrdered | Sink::Fold | Sink::Accumulate | Sink::Aggregate => mixed(),
            Sink::ForEach | Sink::Sum => Some(sum()),
            Sink::Reduce => or_none(items.iter().copied().reduce(|a, b| if better(a, b) { b } else { a })),
            Sink::Count => i64::try_from(items.len()).ok(),
            Sink::Min => or_none(items.iter().copied().min()),
            Sink::Max => or_none(items.iter().copied().max()),
        };
        self.result(value)
    }

    fn collect(&mut self, items: Vec<i64>, ordered: bool) -> usize {
        self.lists.push((items, ordered));
        self.lists.len() - 1
    }

    fn count_keys(&mut self, items: Vec<i64>, id: usize) {
        self.give(id, &items);
        let mut table = BTreeMap::new();
        items.into_iter().for_each(|x| *table.entry(key(x)).or_default() += 1);
        self.tables.push(table);
    }

    fn cell(&mut self, value: i64, _: u8) -> Int {
        self.cells.push(value);
        Int::Cell(self.cells.len() - 1)
    }

    fn task(&mut self, id: usize, kind: TaskKind, a: &Int, b: &Int, _: u8) -> Int {
        let (one, two) = (self.int(*a), self.int(*b));
        let value = match kind {
            TaskKind::Write | TaskKind::ReadWrite => mix(two, one),
            TaskKind::ReadRead => mix(one, two),
            TaskKind::After => i64::try_from(id).expect("small"),
        };
        self.given.insert(id, vec![0]);
        if let (TaskKind::Write | TaskKind::ReadWrite, Int::Cell(cell)) = (kind, b) {
            self.cells[*cell] = value;
        }
        self.result(Some(value))
    }

    fn with_data(&mut self, items: Vec<i64>, id: usize, data: &Int) -> Vec<i64> {
        self.give(id, &items);
        let data = self.int(*data);
        items.into_iter().map(|x| mix(x, data)).collect()
    }

    fn items(&mut self, list: &usize) -> Vec<i64> {
        self.lists[*list].0.clone()
    }
}
