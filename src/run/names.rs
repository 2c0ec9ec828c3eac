//! What the user has said about operators by name: what they are called, where they run, what they come after.
//!
//! The graph, its handles and the plan share one [`Names`]. Handles may set names from any thread, and may still do so
//! after the graph was planned; so everything here is under a lock.

use std::collections::HashMap;
use std::panic::Location;

use super::few::{ByAddress, Few};
use crate::sync::{Mutex, new_number};

/// The operators of a graph, by number: operator `n` is the one added as number `n`, from 0.
///
/// A graph may have millions of them, most without a name of their own. So what few have is kept apart.
#[derive(Debug)]
pub(crate) struct Names {
    /// The number of the graph. No other graph of the process has it.
    graph: u64,
    list: Mutex<List>,
    /// Pairs of operators that the user ordered: the second comes after the first.
    after: Mutex<Vec<(usize, usize)>>,
    /// Where the user wants operators, in the order of the calls.
    places: Mutex<Vec<(usize, Told)>>,
    /// The priorities that the user has named, in the order of the calls.
    priorities: Mutex<Vec<(usize, i32)>>,
}

/// Where the user wants an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Node(usize),
    /// Near the data that this operator makes.
    Near(usize),
    /// Near data of another graph.
    NearForeign,
    Spread,
}

#[derive(Debug, Default)]
struct List {
    /// The site of each operator.
    operators: Vec<u32>,
    sites: Few<Site>,
    /// The names that the user gave, by operator.
    names: HashMap<usize, Box<str>>,
    /// The parts of other operators: of which one, and what the part is called.
    parts: HashMap<usize, (usize, &'static str)>,
}

/// What operators are called without a name: the method that adds them, and where it is called.
type Site = (ByAddress<str>, ByAddress<Location<'static>>);

impl List {
    fn site(&self, op: usize) -> (&'static str, &'static Location<'static>) {
        let (method, location) = self.sites.get(self.operators[op]);
        (method.0, location.0)
    }
}

impl Default for Names {
    fn default() -> Self {
        let (list, after) = (Mutex::default(), Mutex::default());
        Self { graph: new_number(), list, after, places: Mutex::default(), priorities: Mutex::default() }
    }
}

impl Names {
    /// Adds an operator and returns its number. Until it is named, it is called after its method and source line.
    pub(crate) fn add(&self, method: &'static str, location: &'static Location<'static>) -> usize {
        let mut list = self.list.lock();
        let location = ByAddress(location);
        let site = list.sites.number((ByAddress(method), location), location.address() / size_of::<usize>());
        list.operators.push(site);
        list.operators.len() - 1
    }

    /// The number of the graph.
    #[inline]
    pub(crate) fn graph(&self) -> u64 {
        self.graph
    }

    /// Names an operator; of a part, the whole.
    pub(crate) fn rename(&self, op: usize, name: &str) {
        let mut list = self.list.lock();
        let whole = list.parts.get(&op).map_or(op, |(whole, _)| *whole);
        list.names.insert(whole, name.into());
    }

    /// Makes `op` the part called `part` of the operator `whole`. Such a part has no name of its own.
    pub(crate) fn set_part(&self, op: usize, whole: usize, part: &'static str) {
        self.list.lock().parts.insert(op, (whole, part));
    }

    /// The name that the user gave, or else method, file and line.
    pub(crate) fn get(&self, op: usize) -> String {
        let list = self.list.lock();
        let (place, part) = list.parts.get(&op).map_or((op, None), |(whole, part)| (*whole, Some(*part)));
        let (method, location) = list.site(place);
        let whole = || format!("{method} at {}:{}", location.file(), location.line());
        let name = list.names.get(&place).map_or_else(whole, |name| name.to_string());
        part.map_or_else(|| name.clone(), |part| format!("{name}: {part}"))
    }

    pub(crate) fn location(&self, op: usize) -> &'static Location<'static> {
        self.list.lock().site(op).1
    }

    /// How many operators there are.
    pub(crate) fn len(&self) -> usize {
        self.list.lock().operators.len()
    }

    /// Notes where the user wants `op`. What was said last counts.
    pub(crate) fn place(&self, op: usize, told: Told) {
        self.places.lock().push((op, told));
    }

    /// Where the user wants operators, in the order of the calls.
    pub(crate) fn places(&self) -> Vec<(usize, Told)> {
        self.places.lock().clone()
    }

    /// Notes the priority of `op`. What was said last counts.
    pub(crate) fn prioritize(&self, op: usize, priority: i32) {
        self.priorities.lock().push((op, priority));
    }

    /// The priorities that the user has named, by operator.
    pub(crate) fn priorities(&self) -> HashMap<usize, i32> {
        self.priorities.lock().iter().copied().collect()
    }

    /// Orders `op` after `first`. `usize::MAX` as `first` stands for an operator of another graph.
    pub(crate) fn order(&self, first: usize, op: usize) {
        self.after.lock().push((first, op));
    }

    /// All orders that the user asked for, as (first, then).
    pub(crate) fn edges(&self) -> Vec<(usize, usize)> {
        self.after.lock().clone()
    }
}
