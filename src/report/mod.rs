//! Reports on runs: plain data that the run fills in, and that prints as tables.

mod progress;
mod table;

use std::fmt;
use std::time::Duration;

pub use progress::{OperatorProgress, Progress};

/// A report on a run: what it did, and where its time went.
///
/// `Display` prints it as tables: stages with their operators, then tasks; sections, if there are some; then workers.
///
/// ```
/// use millstream::{Graph, Pool};
///
/// let pool = Pool::builder().workers(2).build()?;
/// let g = Graph::new();
/// let even = g.range(0..1000_u64).named("numbers").filter(|x| x % 2 == 0).named("even").count();
/// let run = pool.run(g)?;
/// let report = run.report();
/// let filter = report.operator("even").expect("named above");
/// assert_eq!((filter.items_in(), filter.items_out()), (1000, 500));
/// println!("{report}");
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(crate) wall: Duration,
    pub(crate) stages: Vec<StageReport>,
    pub(crate) operators: Vec<OperatorReport>,
    pub(crate) sections: Vec<SectionReport>,
    pub(crate) workers: Vec<WorkerReport>,
}

/// What a stage did: a chain of fused operators.
#[derive(Clone, Debug)]
pub struct StageReport {
    pub(crate) batches: u64,
    pub(crate) time: Duration,
}

/// What an operator did.
#[derive(Clone, Debug)]
pub struct OperatorReport {
    pub(crate) name: String,
    pub(crate) stage: Option<usize>,
    pub(crate) section: Option<usize>,
    pub(crate) items_in: u64,
    pub(crate) items_out: u64,
    pub(crate) dropped: u64,
    pub(crate) batches: u64,
    pub(crate) time: Duration,
    pub(crate) sampled: bool,
    pub(crate) retries: u64,
}

/// What the operators and tasks of a [section](crate::Graph::section) did, those of sections in it too.
#[derive(Clone, Debug)]
pub struct SectionReport {
    pub(crate) name: String,
    /// Where its own name begins, behind those of the sections around it.
    pub(crate) own: usize,
    pub(crate) depth: usize,
    pub(crate) operators: usize,
    pub(crate) tasks: u64,
    pub(crate) time: Duration,
    pub(crate) sampled: bool,
}

/// What a worker did while the run was under way. Jobs of other runs at the same time count too.
#[derive(Clone, Debug)]
pub struct WorkerReport {
    pub(crate) name: String,
    pub(crate) jobs: u64,
    pub(crate) steals: [u64; 3],
    pub(crate) parks: u64,
}

impl Report {
    /// How long the run took, from its start to its end.
    #[must_use]
    pub fn wall_time(&self) -> Duration {
        self.wall
    }

    /// Time spent in operators, summed over all workers.
    #[must_use]
    pub fn busy_time(&self) -> Duration {
        self.operators.iter().map(|operator| operator.time).sum()
    }

    /// The first operator with this name, in the order in which they were added to the graph.
    ///
    /// An operator with a stage boundary after it, before it or in it is several rows: `scan` takes its items in one stage,
    /// and its part `scan: out` gives them to the next one; a `zip` has a row of its own name and `zip: left`, `zip: right`.
    /// The two streams of a `partition` begin with rows `partition's true` and `partition's false`. The time of such a row
    /// is that of handing items over.
    #[must_use]
    pub fn operator(&self, name: &str) -> Option<&OperatorReport> {
        self.operators.iter().find(|operator| operator.name == name)
    }

    /// All operators, in the order in which they were added to the graph.
    #[must_use]
    pub fn operators(&self) -> &[OperatorReport] {
        &self.operators
    }

    /// The section with this name: `assembly`, or of one in another one `solution/assembly`.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&SectionReport> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The sections of the graph, in the order in which they were described. Those in a section come right behind it.
    #[must_use]
    pub fn sections(&self) -> &[SectionReport] {
        &self.sections
    }

    /// The stages: chains of fused operators, the unit that is scheduled.
    #[must_use]
    pub fn stages(&self) -> &[StageReport] {
        &self.stages
    }

    /// The workers, then those threads from outside and compensating threads that ran a job.
    #[must_use]
    pub fn workers(&self) -> &[WorkerReport] {
        &self.workers
    }
}

impl StageReport {
    /// How many batches went through it.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Time spent in it, summed over all workers. It is exact, not sampled.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }
}

impl OperatorReport {
    /// The name that the user gave, or else the method and source line. The names of the sections that it is in come first:
    /// `assembly/fill`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stage that it is part of, as an index into [`Report::stages`]. None for a task.
    #[must_use]
    pub fn stage(&self) -> Option<usize> {
        self.stage
    }

    /// The innermost section that it is in, as an index into [`Report::sections`]. None: it is in no section.
    #[must_use]
    pub fn section(&self) -> Option<usize> {
        self.section
    }

    /// How many items it was given. For a source, this is how many items it handed out. For a task, it is 1 if the task
    /// fired.
    #[must_use]
    pub fn items_in(&self) -> u64 {
        self.items_in
    }

    /// How many items it handed on. A sink hands on none. Each of them was given to the next operator, or dropped before that,
    /// and is counted there; but if the run failed, an item on which an operator failed counts as handed on, too. An
    /// [`expand`](crate::Stream::expand) hands on iterators.
    #[must_use]
    pub fn items_out(&self) -> u64 {
        self.items_out
    }

    /// How many items that it was to be given were dropped, because the run failed or because no operator wanted them.
    #[must_use]
    pub fn items_dropped(&self) -> u64 {
        self.dropped
    }

    /// How many batches it worked on.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// How often it was called again for an item on which it had failed; see [`Stream::retry`](crate::Stream::retry). The
    /// table shows it behind the name.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries
    }

    /// Time spent in it, summed over all workers; see [`is_sampled`](Self::is_sampled).
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Whether its time is an estimate.
    ///
    /// The time of a stage with several operators is exact, but it is divided among them by samples, of about one batch
    /// in 64. The time of a task that is in one group with others is its share of the group's. That of one that takes less
    /// than 5 us is measured in one run of 64, and that of one in a `repeat` is its last time, as often as it ran.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }
}

impl SectionReport {
    /// Its name, behind those of the sections that it is in: `solution/assembly`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many sections it is in.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How many rows of operators of streams it has among [`Report::operators`].
    #[must_use]
    pub fn operators(&self) -> usize {
        self.operators
    }

    /// How many times its tasks have fired.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.tasks
    }

    /// Time spent in its operators and tasks, summed over all workers; see [`is_sampled`](Self::is_sampled).
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Whether its time is an estimate, as that of one of its operators or tasks is; see
    /// [`OperatorReport::is_sampled`].
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }
}

impl WorkerReport {
    /// Its name: `worker 0` for a worker, `guest 0` for a thread from outside, `compensator 0` for one that stood in
    /// for a blocked one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many jobs it ran: batches, tasks or ranges of them.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.jobs
    }

    /// How many of them it took from another worker, or from what waited for the workers of another NUMA node.
    #[must_use]
    pub fn steals(&self) -> u64 {
        self.steals.iter().sum()
    }

    /// How many of the [steals](Self::steals) came from each of the three tiers, in the order in which the worker looks
    /// there. The tiers are the workers of its NUMA node that share its L3 cache, the other workers of its node, and
    /// the workers of other nodes.
    ///
    /// A worker counts as having an L3 cache if all CPUs that it is [bound](crate::Pinning) to share one. If not all
    /// workers are bound, all count as on one node, and none as having an L3 cache. Guests and compensating threads may
    /// run anywhere. Every worker has them in its second tier, and each of them looks around as if it were on some
    /// node.
    ///
    /// ```
    /// use std::sync::Barrier;
    ///
    /// use millstream::{Graph, Pinning, Pool};
    ///
    /// let pool = Pool::builder().workers(2).pinning(Pinning::Off).oversubscribe(true).build()?;
    /// let (both, g) = (&Barrier::new(2), Graph::new());
    /// for _ in 0..2 {
    ///     g.task((), move |()| _ = both.wait());
    /// }
    /// let report = pool.run(g)?.report();
    /// let thief = report.workers().iter().find(|did| did.steals() > 0).expect("each thread runs one task");
    /// assert_eq!(thief.steals_by_tier(), [0, 1, 0], "it is not known to share a cache");
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    pub fn steals_by_tier(&self) -> [u64; 3] {
        self.steals
    }

    /// How many of the [steals](Self::steals) came from another NUMA node.
    #[must_use]
    pub fn remote_steals(&self) -> u64 {
        let [.., remote] = self.steals;
        remote
    }

    /// How often it slept for lack of work.
    #[must_use]
    pub fn parks(&self) -> u64 {
        self.parks
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table::write(self, f)
    }
}
