//! What the operators are called. Shared by the graph, its handles, and the plan.

use std::panic::Location;

use crate::sync::Mutex;

/// The operators of a graph, by number.
#[derive(Debug, Default)]
pub(crate) struct Names {
    list: Mutex<Vec<Operator>>,
    /// Explicit edges between operators: the second comes after the first.
    after: Mutex<Vec<(usize, usize)>>,
}

#[derive(Debug)]
struct Operator {
    method: &'static str,
    location: &'static Location<'static>,
    name: Option<Box<str>>,
}

impl Names {
    /// A new operator, called after its method and source line until it is named.
    pub(crate) fn add(&self, method: &'static str, location: &'static Location<'static>) -> usize {
        let mut list = self.list.lock();
        list.push(Operator { method, location, name: None });
        list.len() - 1
    }

    pub(crate) fn rename(&self, op: usize, name: &str) {
        self.list.lock()[op].name = Some(name.into());
    }

    /// The given name, or method, file and line.
    pub(crate) fn get(&self, op: usize) -> String {
        let list = self.list.lock();
        let Operator { method, location, name } = &list[op];
        name.as_deref().map_or_else(|| format!("{method} at {}:{}", location.file(), location.line()), str::to_owned)
    }

    pub(crate) fn location(&self, op: usize) -> &'static Location<'static> {
        self.list.lock()[op].location
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
