//! Which units are there: results of tasks without size and drop, of which no slot says so ([`crate::run::slot`]).

use std::collections::HashSet;

/// Which units are there: all or none, with exceptions.
#[derive(Debug)]
pub(super) struct Units {
    are_there: bool,
    except: HashSet<u32>,
    /// The units that tasks consume, which are gone after a run, each with its task.
    consumed: Box<[(u32, usize)]>,
}

impl Units {
    pub(super) fn new(consumed: Box<[(u32, usize)]>) -> Self {
        Self { are_there: false, except: HashSet::new(), consumed }
    }

    pub(super) fn is_there(&self, unit: u32) -> bool {
        self.are_there != self.except.contains(&unit)
    }

    /// Puts a unit in, or takes it out. Returns whether it was there.
    pub(super) fn put(&mut self, unit: u32, is_there: bool) -> bool {
        let was_there = self.is_there(unit);
        if is_there == self.are_there {
            self.except.remove(&unit);
        } else {
            self.except.insert(unit);
        }
        was_there
    }

    /// All tasks have fired.
    pub(super) fn all_were_made(&mut self) {
        self.are_there = true;
        self.except.clear();
        self.except.extend(self.consumed.iter().map(|(unit, _)| *unit));
    }

    /// Only these were made. They may have been consumed by tasks that have fired. One that a loop has made again since
    /// then, and no branch has consumed again, counts as consumed.
    pub(super) fn were_made(&mut self, made: impl Iterator<Item = u32>, has_fired: impl Fn(usize) -> bool) {
        self.are_there = false;
        self.except.clear();
        self.except.extend(made);
        let consumed = self.consumed.iter().filter(|(_, by)| has_fired(*by));
        consumed.for_each(|(unit, _)| _ = self.except.remove(unit));
    }
}
