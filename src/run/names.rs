//! What the operators are called. Shared by the graph, its handles, and the plan.

use std::panic::Location;

use crate::sync::Mutex;

/// The operators of a graph, by number.
#[derive(Debug, Default)]
pub(crate) struct Names {
    list: Mutex<Vec<Operator>>,
    /// Explicit edges between operators: the second comes after the first.
    after: Mutex<Vec<(usize, usize)>>,
    /// Where operators are to be, in the order in which it was said.
    places: Mutex<Vec<(usize, Told)>>,
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

#[derive(Debug)]
struct Operator {
    method: &'static str,
    location: &'static Location<'static>,
    name: Option<Box<str>>,
    /// It is a part of another operator, which has the name.
    part_of: Option<(usize, &'static str)>,
}

impl Names {
    /// A new operator, called after its method and source line until it is named.
    pub(crate) fn add(&self, method: &'static str, location: &'static Location<'static>) -> usize {
        let mut list = self.list.lock();
        list.push(Operator { method, location, name: None, part_of: None });
        list.len() - 1
    }

    pub(crate) fn rename(&self, op: usize, name: &str) {
        self.list.lock()[op].name = Some(name.into());
    }

    /// `op` is the part of the operator `whole` that is called `part`: it has no name of its own.
    pub(crate) fn set_part(&self, op: usize, whole: usize, part: &'static str) {
        self.list.lock()[op].part_of = Some((whole, part));
    }

    /// The given name, or method, file and line.
    pub(crate) fn get(&self, op: usize) -> String {
        let list = self.list.lock();
        let (place, part) = list[op].part_of.map_or((op, None), |(whole, part)| (whole, Some(part)));
        let Operator { method, location, name, .. } = &list[place];
        let whole = || format!("{method} at {}:{}", location.file(), location.line());
        let name = name.as_deref().map_or_else(whole, str::to_owned);
        part.map_or_else(|| name.clone(), |part| format!("{name}: {part}"))
    }

    pub(crate) fn location(&self, op: usize) -> &'static Location<'static> {
        self.list.lock()[op].location
    }

    /// How many operators there are.
    pub(crate) fn len(&self) -> usize {
        self.list.lock().len()
    }

    /// `op` is to be there.
    pub(crate) fn place(&self, op: usize, told: Told) {
        self.places.lock().push((op, told));
    }

    /// All that was said of places.
    pub(crate) fn places(&self) -> Vec<(usize, Told)> {
        self.places.lock().clone()
    }

    /// `op` is to come after `first`.
    pub(crate) fn order(&self, first: usize, op: usize) {
        self.after.lock().push((first, op));
    }

    /// All explicit edges.
    pub(crate) fn edges(&self) -> Vec<(usize, usize)> {
        self.after.lock().clone()
    }
}
