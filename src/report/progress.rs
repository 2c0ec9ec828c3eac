//! How far a run has come.

use std::fmt;
use std::time::Duration;

/// How far a run has come that goes on still: [`Running::progress`](crate::Running::progress).
///
/// The counts are a hint, and lag behind by the batches under way. `Display` prints a line for each operator.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub(crate) time: Duration,
    pub(crate) operators: Vec<OperatorProgress>,
}

/// How far an operator of a run has come.
#[derive(Clone, Debug)]
pub struct OperatorProgress {
    pub(crate) name: String,
    pub(crate) items: u64,
}

impl Progress {
    /// How long the run has gone on.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }

    /// The operators of streams, in the order in which they were added to the graph.
    #[must_use]
    pub fn operators(&self) -> &[OperatorProgress] {
        &self.operators
    }

    /// The operator with this name.
    #[must_use]
    pub fn operator(&self, name: &str) -> Option<&OperatorProgress> {
        self.operators.iter().find(|operator| operator.name == name)
    }
}

impl OperatorProgress {
    /// The name of the operator.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many items it was given so far. For a source, how many it has handed on.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.items
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:.1?}", self.time)?;
        let width = self.operators.iter().map(|operator| operator.name.chars().count()).max().unwrap_or(0);
        self.operators.iter().try_for_each(|OperatorProgress { name, items }| write!(f, "\n{name:width$} {items:>12}"))
    }
}
