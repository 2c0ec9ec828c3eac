//! The meaning of a program as sequential code, one step after the other.

use std::collections::BTreeMap;

use super::items::{mix, source_item};
use super::program::{Cut, Meaning, TaskKind};
use super::table::{Fork, Gather, Made, Operator, Sink, Source, WITH_DATA};

/// The answers of a program, and what every operator was given.
#[derive(Debug, Default)]
pub(super) struct Sequential {
    /// Results of sinks and tasks that are numbers, in the order in which they were made.
    pub(super) ints: Vec<i64>,
    /// Collected items, and whether in order.
    pub(super) lists: Vec<(Vec<i64>, bool)>,
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

impl Sequential {
    fn int(&self, int: Int) -> i64 {
        match int {
            Int::Result(place) => self.ints[place],
            Int::Cell(place) => self.cells[place],
        }
    }

    fn result(&mut self, value: i64) -> Int {
        self.ints.push(value);
        Int::Result(self.ints.len() - 1)
    }

    /// Notes the items that the operator `id` is given, if it gives them to user code (`calls`).
    fn give(&mut self, id: usize, calls: bool, items: &[i64]) {
        if calls {
            self.given.insert(id, items.to_vec());
        }
    }
}

impl Meaning for Sequential {
    type Stream = Vec<i64>;
    type Int = Int;
    type List = usize;

    fn source(&mut self, id: usize, row: &Source, len: usize, _: Cut) -> Vec<i64> {
        let items: Vec<i64> = (0..len as u64).map(source_item).collect();
        self.give(id, row.calls, &items);
        items
    }

    fn apply(&mut self, items: Vec<i64>, id: usize, row: &Operator, k: i64) -> Vec<i64> {
        self.give(id, row.calls, &items);
        (row.iter)(items, k)
    }

    fn fork(&mut self, items: Vec<i64>, id: usize, row: &Fork, k: i64) -> (Vec<i64>, Vec<i64>) {
        self.give(id, row.calls, &items);
        (row.iter)(items, k)
    }

    fn gather(&mut self, left: Vec<i64>, right: Vec<i64>, row: &Gather) -> Vec<i64> {
        (row.iter)(left, right)
    }

    fn sink(&mut self, items: Vec<i64>, id: usize, row: &Sink, ordered: bool) -> Made<Int, usize> {
        self.give(id, row.calls, &items);
        match (row.iter)(items) {
            Made::Int(int) => Made::Int(self.result(int)),
            Made::List(list) => {
                self.lists.push((list, ordered));
                Made::List(self.lists.len() - 1)
            }
        }
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
        self.result(value)
    }

    fn with_data(&mut self, items: Vec<i64>, id: usize, data: &Int) -> Vec<i64> {
        self.give(id, true, &items);
        (WITH_DATA.iter)(items, self.int(*data))
    }

    fn items(&mut self, list: &usize) -> Vec<i64> {
        self.lists[*list].0.clone()
    }
}
