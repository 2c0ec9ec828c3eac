//! Groups of tasks, as the user sees them.

use std::fmt;
use std::time::Duration;

use super::Plan;
use super::explain::on_one_line;
use crate::run::tasks::parts::{Form, GroupFacts};

/// Whether a plan puts tasks together, so that several are one job.
///
/// A job costs some tens of nanoseconds, and a tiny task one or two. So a plan makes groups of tasks: chains, parts of what could
/// run at the same time, and levels that take less time than to hand half of one to another worker. It learns from its
/// runs how long tasks take. Groups never change an answer. If a task of a group takes long, other workers take the rest of the
/// group.
///
/// ```
/// use millstream::{Graph, Grouping, Pool};
///
/// let pool = Pool::builder().workers(2).build()?;
/// let g = Graph::new();
/// let data = g.data(1_u64);
/// for _ in 0..3 {
///     g.task(data.write(), |x| *x *= 2);
/// }
/// g.grouping(Grouping::Off);
/// let mut plan = g.plan(&pool)?;
/// plan.run()?;
/// assert_eq!(*plan.get(&data), 8);
/// assert_eq!(plan.groups().len(), 3, "each task is a job");
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Grouping {
    /// As the times of earlier runs suggest; before the first run, as if each task took 50 ns.
    #[default]
    Auto,
    /// Each task is a job.
    Off,
}

/// Tasks that are one job; see [`Plan::groups`].
#[derive(Clone, Debug)]
pub struct TaskGroup {
    names: Vec<String>,
    facts: GroupFacts,
}

impl TaskGroup {
    /// The names of its tasks, in the order in which one worker calls them.
    #[must_use]
    pub fn tasks(&self) -> &[String] {
        &self.names
    }

    /// How long it is expected to take, by the times of earlier runs. None: they are not known.
    #[must_use]
    pub fn time(&self) -> Option<Duration> {
        self.facts.nanos.map(Duration::from_nanos)
    }

    /// Why just these tasks are together.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.facts.form {
            Form::Alone => "it is alone",
            Form::Chain => "each waits for the one before",
            Form::Apart => "they wait for nothing among them, or for the one before",
            Form::InOrder => "each level of them takes less time than to hand half of it to another worker",
        }
    }
}

impl fmt::Display for TaskGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: Vec<String> = self.names.iter().take(NAMED).map(|name| format!("'{}'", on_one_line(name))).collect();
        write!(f, "{}", first.join(", "))?;
        if self.names.len() > NAMED {
            write!(f, " and {} more", self.names.len() - NAMED)?;
        }
        if let Some(time) = self.time() {
            write!(f, ", {time:.1?}")?;
        }
        write!(f, ": {}", self.reason())
    }
}

/// So many of a group's tasks are named.
const NAMED: usize = 4;

impl Plan<'_> {
    /// The groups of tasks as they are now, in the order of levels: a group waits for none behind it. A group is a job.
    /// See [`Grouping`].
    ///
    /// ```
    /// use millstream::{Graph, Pool};
    ///
    /// let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let data = g.data(1_u64);
    /// g.task(data.write(), |x| *x += 1).named("first");
    /// g.task(data.write(), |x| *x *= 2).named("second");
    /// let plan = g.plan(&pool)?;
    /// let groups = plan.groups();
    /// assert_eq!(groups[0].tasks(), ["first", "second"]);
    /// assert_eq!(groups[0].to_string(), "'first', 'second': each waits for the one before");
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    pub fn groups(&self) -> Vec<TaskGroup> {
        let named = |facts: GroupFacts| {
            let names = facts.ops.iter().map(|op| self.names().get(*op as usize)).collect();
            TaskGroup { names, facts }
        };
        self.run.get().dag.groups().map(named).collect()
    }
}
