//! What the user has said about operators by name: what they are called, where they run, what they come after.
//!
//! The graph, its handles and the plan share one [`Names`]. Handles may set names from any thread, and may still do so
//! after the graph was planned; so everything here is under a lock, but for what counts operators. The thread that describes the
//! graph counts them alone, and whoever asks for one has its number from there.

use std::collections::HashMap;
use std::panic::Location;

use super::few::{ByAddress, Few};
use super::numbers::Numbers;
use super::sections::{ByName, Sections};
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::atomic::{AtomicU32, AtomicUsize};
use crate::sync::{Mutex, new_number};

/// The operators of a graph, by number: operator `n` is the one added as number `n`, from 0.
///
/// A graph may have millions of them, most without a name of their own. So what few have is kept apart.
#[derive(Debug)]
pub(crate) struct Names {
    /// The number of the graph. No other graph of the process has it.
    graph: u64,
    /// How many operators there are. Only the thread that describes the graph adds some.
    count: AtomicU32,
    /// The site of the last one, by its addresses, if the list need not know of another one there; else zeros.
    last: [AtomicUsize; 2],
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
    /// The site of each operator, plus its number: so adjacent operators of one site take no memory. The last ones may be missing
    /// if they are of the same site.
    operators: Numbers,
    sites: Few<Site>,
    /// The names that the user gave, by operator.
    names: HashMap<usize, Box<str>>,
    /// The parts of other operators: of which one, and what the part is called.
    parts: HashMap<usize, (usize, &'static str)>,
    sections: Sections,
}

/// What operators are called without a name: the method that adds them, and where it is called.
type Site = (ByAddress<str>, ByAddress<Location<'static>>);

impl List {
    fn site(&self, op: usize) -> (&'static str, &'static Location<'static>) {
        let op = number(op);
        let (method, location) = self.sites.get(self.operators.at(op) - op);
        (method.0, location.0)
    }

    /// The name that the user gave, or else method, file and line.
    fn name(&self, op: usize) -> String {
        let (method, location) = self.site(op);
        let site = || format!("{method} at {}:{}", location.file(), location.line());
        self.names.get(&op).map_or_else(site, |name| name.to_string())
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            graph: new_number(),
            count: AtomicU32::new(0),
            last: [AtomicUsize::new(0), AtomicUsize::new(0)],
            list: Mutex::default(),
            after: Mutex::default(),
            places: Mutex::default(),
            priorities: Mutex::default(),
        }
    }
}

impl Names {
    /// Adds an operator and returns its number. Until it is named, it is called after its method and source line.
    #[inline]
    pub(crate) fn add(&self, method: &'static str, location: &'static Location<'static>) -> usize {
        let (op, site) = (self.count.load(Relaxed), (ByAddress(method), ByAddress(location)));
        let [by_method, by_location] = &self.last;
        if by_location.load(Relaxed) != site.1.address() || by_method.load(Relaxed) != site.0.address() {
            self.add_site(op, site);
        }
        self.count.store(op + 1, Relaxed);
        op as usize
    }

    /// Notes the site of an operator.
    #[inline(never)]
    fn add_site(&self, op: u32, site: Site) {
        let List { operators, sites, .. } = &mut *self.list.lock();
        let number = sites.number(site, site.1.address() / size_of::<usize>());
        operators.go_on(op);
        operators.push(Some(op.checked_add(number).expect("fewer than 2^32 operators and sites")));
        let last = if operators.are_runs() { [site.0.address(), site.1.address()] } else { [0; 2] };
        self.last.iter().zip(last).for_each(|(place, address)| place.store(address, Relaxed));
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

    /// The name that the user gave, or else method, file and line; behind the names of the sections that it is in.
    pub(crate) fn get(&self, op: usize) -> String {
        let list = self.list.lock();
        let (place, part) = list.parts.get(&op).map_or((op, None), |(whole, part)| (*whole, Some(*part)));
        let mut name = list.name(place);
        if !list.sections.is_empty() {
            name.insert_str(0, &list.sections.prefix(list.sections.of(place)));
        }
        part.map_or_else(|| name.clone(), |part| format!("{name}: {part}"))
    }

    /// The name without those of sections.
    pub(crate) fn get_own(&self, op: usize) -> String {
        self.list.lock().name(op)
    }

    /// Begins a section, with the operator that is added next.
    pub(crate) fn open_section(&self, name: &str) {
        self.list.lock().sections.open(name, self.len());
    }

    /// Ends the section that was begun last, and has not ended.
    pub(crate) fn close_section(&self) {
        self.list.lock().sections.close(self.len());
    }

    /// The sections by name, and the place of the one that each of these operators is in.
    pub(crate) fn sections(&self, ops: impl Iterator<Item = usize>) -> (ByName, Vec<Option<usize>>) {
        let list = self.list.lock();
        if list.sections.is_empty() {
            return Default::default();
        }
        let named = list.sections.by_name();
        let section = |op: usize| list.sections.of(list.parts.get(&op).map_or(op, |(whole, _)| *whole));
        let places = ops.map(|op| section(op).map(|section| named.place(section))).collect();
        (named, places)
    }

    pub(crate) fn location(&self, op: usize) -> &'static Location<'static> {
        self.list.lock().site(op).1
    }

    /// How many operators there are.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Relaxed) as usize
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

/// The number of an operator, as lists have it.
fn number(op: usize) -> u32 {
    u32::try_from(op).expect("fewer than 2^32 operators")
}
