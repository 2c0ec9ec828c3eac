//! Plans: graphs that were checked and laid out, ready to run again and again.
//!
//! [`crate::graph`] hands over a [`draft::Draft`]. Then
//! 1. [`edges`] derives the task graph from the accesses to data;
//! 2. [`place`] finds the homes of data, tasks and sources;
//! 3. [`validate`] collects every defect, with the help of [`proof::cycles`];
//! 4. [`Plan::new`] lays out what a run needs ([`crate::run`]). After that the engine allocates nothing.
//!
//! [`explain`] and [`picture`] describe a plan in words and pictures. A [`blueprint`] does the first three steps only,
//! for a machine that need not be this one.

mod accesses;
mod blueprint;
mod data;
pub(crate) mod draft;
mod edges;
mod explain;
mod grouping;
mod groups;
mod picture;
mod place;
mod proof;
mod running;
mod units;
mod validate;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{BuildError, RunError, RunErrorKind};
use crate::pool::Pool;
use crate::report::Report;
use crate::run::flow::batch::BatchSize;
use crate::run::flow::order::Sequence;
use crate::run::flow::source::Source;
use crate::run::flow::stage::{Capacity, Reads, StageCell, StageParts, TailKind};
use crate::run::flow::turn::Bytes;
use crate::run::names::Names;
use crate::run::numbers::{Bits, Numbers};
use crate::run::outside::library_call;
use crate::run::slot::{Slot, Values};
use crate::run::tasks::block::Block;
use crate::run::tasks::dag::Dag;
use crate::run::tasks::parts::Home;
use crate::run::{RunParts, Seated};
use accesses::Accesses;
use blueprint::Checked;
use draft::{Body, Draft, Mode, SlotAccess, Who};
use edges::blocks::Blocks;
use explain::Facts;
use groups::{Said, Shape};
use proof::order::TaskOrder;
use units::Units;

pub use blueprint::Blueprint;
pub use data::Data;
pub use explain::{Explain, OperatorExplain};
pub use grouping::{Grouping, TaskGroup};
pub use place::{AnyData, Place};
pub use proof::{Proof, SourceProof, Stalls, Unproven};
pub use running::{RunControl, Running};

/// The largest number of credits that a user may ask for. Each credit takes memory, whether a batch uses it or not.
pub(crate) const MAX_CREDITS: usize = 1 << 20;

/// A graph that was checked and laid out, together with its data and results.
///
/// [`Graph::plan`](crate::Graph::plan) and [`Pool::run`] make plans. A plan can run again and again. The engine
/// allocates nothing in a run; `collect`, growing tables and closures may. A plan with tasks learns from the runs 2, 4, 8
/// and so on how long they take, and if it was wrong by far, groups them anew before the next run. A plan is `Send`, not `Sync`. It may outlive
/// its pool, but cannot run after that. Dropping it drops the data in it.
///
/// ```
/// use millstream::{Graph, Pool};
///
/// let pool = Pool::builder().workers(2).build()?;
/// let g = Graph::new();
/// let numbers = g.data(vec![3, 1, 2]);
/// let sorted = g.task(numbers.read(), |numbers| {
///     let mut numbers = numbers.clone();
///     numbers.sort();
///     numbers
/// });
/// let mut plan = g.plan(&pool)?;
/// plan.run()?;
/// assert_eq!(*plan.get(&sorted), [1, 2, 3]);
/// plan.set(&numbers, vec![9, 8]);
/// plan.run()?;
/// assert_eq!(plan.take(sorted), [8, 9]);
/// # Ok::<(), millstream::Error>(())
/// ```
pub struct Plan<'env> {
    run: Seated<'env>,
    /// The operator that makes the value of each slot.
    ops: Numbers,
    /// The slots that are results of tasks have numbers here. A task drops the value of the run before when it fires.
    results: Numbers,
    /// The data that the user gives, and something accesses.
    given: Box<[u32]>,
    /// The results of sinks.
    sinks: Box<[u32]>,
    /// The slots of the parts of data that is cut, with that of the whole.
    cuts: Box<[(Range<u32>, u32)]>,
    /// An operator that threads outside serve while a run goes on.
    served: Option<usize>,
    facts: Facts,
    shape: Shape,
    units: Units,
    /// Data that tasks consume, by slot, each with the operator of the task.
    consumed: Box<[(u32, usize)]>,
    /// The data that a task has left half written, by slot, each with the operator of the task.
    gone: HashMap<u32, u32>,
    /// Room to note which operators have fired.
    fired: Vec<bool>,
    /// The last field: what has the addresses of slots is dropped before.
    values: Values<'env>,
}

impl<'env> Plan<'env> {
    /// Checks a draft, and lays it out for a pool.
    pub(crate) fn new(mut draft: Draft<'env>, pool: &Pool) -> Result<Self, BuildError> {
        let shared = &pool.shared;
        #[cfg(feature = "check")]
        if crate::pool::work::bag::is_open() {
            draft.grouping = Grouping::Off; // any task of a group may be its own job
        }
        let Checked { edges, homes, sources: bounds } = Checked::of(&draft, pool.topology(), shared.workers())?;
        let group = |node: Option<usize>| -> Home { shared.home_of(node?)?.try_into().ok() };
        let source_homes = draft.stages.iter().map(|stage| {
            let parts = stage.source.as_ref().map_or_else(Vec::new, |_| homes.parts(stage.ops[0].0));
            let parts: Box<[Home]> = parts.into_iter().map(group).collect();
            if parts.iter().all(Option::is_none) { Box::default() } else { parts }
        });
        let source_homes: Vec<Box<[Home]>> = source_homes.collect();
        let facts = Facts::of(&draft, &edges, &bounds, homes);
        let consumed = consumed_data(&draft);
        let units = consumed.iter().filter(|(slot, _)| draft.values.is_unit(*slot)).copied().collect();
        let units = Units::new(units);
        let (given, sinks) = looked_at(&draft);
        let blocks = Blocks::of(&draft).map(|blocks| (0..draft.nodes.len()).map(|node| blocks.at(node)).collect());
        draft.accesses = Accesses::default(); // a large graph has many
        let home = |op: usize| group(facts.home(op));
        let said = Said { blocks, home: facts.has_homes().then_some(&home) };
        let (shape, mut tasks, stage_ends) = Shape::new(&draft, edges, &said, (shared.workers(), shared.seats.len()));
        tasks.ops = std::mem::take(&mut draft.task_ops);
        let mut are_repeated: Vec<bool> = Vec::with_capacity(draft.blocks.len()); // a block comes after the one around it
        for block in &draft.blocks {
            are_repeated.push(block.times > 1 || block.within.is_some_and(|around| are_repeated[around]));
        }
        let blocks = draft.blocks.into_iter().zip(are_repeated);
        let blocks = blocks
            .map(|(block, is_repeated)| Block::new(block.op, (block.times, is_repeated), block.enters, block.repeats));
        let dag = Dag::new(shape.group(draft.records, tasks, blocks.collect(), None));
        let mut numbered = vec![Vec::new(); draft.sequences.len()];
        draft.stages.iter().enumerate().for_each(|(index, stage)| numbered[stage.sequence].push(index));
        let sequences = numbered.into_iter().zip(draft.sequences);
        let sequences = sequences.map(|(stages, ordered)| Sequence::new(stages, ordered)).collect();
        let (mut sources, mut stages) = (Vec::new(), Vec::new());
        for ((index, stage), homes) in draft.stages.into_iter().enumerate().zip(source_homes) {
            let size =
                stage.source.as_ref().and_then(|source| source.size).map_or(BatchSize::Growing, BatchSize::Fixed);
            let (body, tail) = stage.body.expect("a loose end is a defect");
            let capacity = Capacity {
                credits: bounds.grown[index] as usize,
                stalls_at: bounds.credits[index],
                soft: bounds.soft[index],
                bytes: stage.source.as_ref().and_then(|source| source.bytes).map(Bytes),
                unseen: bounds.unseen[index] && homes.is_empty(),
                absorbed: tail == TailKind::Parallel,
                seats: shared.seats.len(),
                size,
            };
            let reads = match body {
                Body::Source(supply) => {
                    sources.push(Source::new(index, supply, capacity, homes));
                    Reads::Source(sources.len() - 1)
                }
                Body::Packets(body) => Reads::Packets(body),
            };
            let parts = StageParts {
                reads,
                ops: stage.ops,
                sequence: stage.sequence,
                outputs: stage.outputs,
                inputs: stage.inputs,
                gated: stage.gate.is_some() || stage.waits_for.is_some(),
                spooled: stage.spooled,
                end_joint: stage_ends[index],
            };
            stages.push(StageCell::new(index, parts, capacity));
        }
        let meets_outside = draft.meets_outside || sources.iter().any(Source::is_live);
        let (pool, names, served, retried) = (Arc::clone(shared), draft.names, draft.served, draft.retried);
        let run = Seated::new(RunParts { pool, names, sequences, sources, stages, dag, retried, meets_outside });
        let (ops, results) = draft.slots.into_parts();
        let cuts = draft.cuts.iter().map(|cut| (cut.parts.clone(), cut.whole.number())).collect();
        Ok(Self {
            run,
            ops,
            results,
            given,
            sinks,
            cuts,
            served,
            facts,
            shape,
            units,
            consumed,
            gone: HashMap::new(),
            fired: Vec::new(),
            values: draft.values,
        })
    }

    /// Runs the graph once, and returns when the run is over.
    ///
    /// The calling thread works along. The results of the run before are dropped in this run: those of stream sinks
    /// before anything runs, that of a task by the task itself, just before it begins. What is left of them is dropped
    /// before this returns an error. If the drop of a result panics, the panic is swallowed.
    ///
    /// # Errors
    /// * [`NotReady`](RunErrorKind::NotReady), before anything runs: an earlier run has used up a source, or data is
    ///   absent. The results of the run before stay.
    /// * [`NeedsStart`](RunErrorKind::NeedsStart), before anything runs: the graph has an input or an output.
    /// * [`Closed`](RunErrorKind::Closed): the pool was dropped before the run began.
    /// * [`Cancelled`](RunErrorKind::Cancelled): the pool was dropped during the run.
    /// * [`Forked`](RunErrorKind::Forked): the pool was made before a fork, and this is the child process.
    /// * [`Stalled`](RunErrorKind::Stalled): every source waits for credits that held batches do not give back.
    /// * [`Panicked`](RunErrorKind::Panicked) or [`Failed`](RunErrorKind::Failed): user code failed. Of several
    ///   failures this is the earliest in stream order, or of the task that was added first; between streams and tasks, and tasks
    ///   that wait for streams, the first in time.
    ///
    /// After any other error, results that were not made are absent. Data that a failed task held for writing is absent
    /// too, and must be [`set`](Self::set) again. Then the plan can run again.
    pub fn run(&mut self) -> Result<(), RunError> {
        let _call = library_call("runs the plan");
        if let Some(op) = self.served {
            let name = self.names().get(op);
            let message = "call start() or run_while() in place of run(), and serve it from this or another thread";
            return Err(RunError::new(RunErrorKind::NeedsStart { name }, message.to_owned(), Report::default()));
        }
        self.make_ready()?;
        let ran = self.run.execute();
        self.keep_results(ran.is_ok());
        ran
    }

    /// Looks whether the plan can run, and drops results of the run before.
    fn make_ready(&mut self) -> Result<(), RunError> {
        if let Some(slot) = self.given.iter().find(|slot| !self.is_present(**slot)) {
            let name = self.names().get(self.ops.at(*slot) as usize);
            let message =
                format!("{}: set it again", self.why_absent(*slot).unwrap_or_else(|| "its value was taken".to_owned()));
            return Err(RunError::new(RunErrorKind::NotReady { name }, message, Report::default()));
        }
        self.run.check_ready()?;
        self.sinks.iter().for_each(|slot| self.clear(*slot));
        if self.run.is_to_regroup(self.shape.is_free()) {
            let shape = &self.shape;
            self.run.regroup(|records, tasks, blocks, nanos| shape.group(records, tasks, blocks, Some(&nanos)));
        }
        Ok(())
    }

    /// Groups the tasks as if each had taken the nanoseconds that `nanos` gives.
    #[cfg(test)]
    pub(crate) fn pretend(&mut self, mut nanos: impl FnMut() -> u32) {
        let shape = &self.shape;
        self.run.regroup(|records, tasks, blocks, times| {
            let times: Vec<u32> = times.iter().map(|_| nanos()).collect();
            shape.group(records, tasks, blocks, Some(&times))
        });
        self.run.pretend();
    }

    /// A run has ended. If it has failed, or has left a block out, drops the results of earlier runs that are left, because
    /// their tasks did not fire in this one.
    fn keep_results(&mut self, is_whole: bool) {
        if is_whole && !self.run.get().dag.has_left_out() {
            self.gone.clear();
            self.units.all_were_made();
        } else {
            self.drop_left();
        }
    }

    #[cold]
    fn drop_left(&mut self) {
        let gone = self.values.at(&self.run.get().dag.take_gone());
        let whole_of = |slot: u32| self.cuts.iter().find(|(parts, _)| parts.contains(&slot)).map_or(slot, |cut| cut.1);
        self.gone = gone.into_iter().map(|(slot, op)| (whole_of(slot), op)).collect();
        let parts = self.cuts.iter().flat_map(|(parts, whole)| parts.clone().map(|part| (part, *whole)));
        for (part, whole) in parts.filter(|(part, _)| self.is_present(*part)) {
            self.clear(part);
            self.clear(whole);
        }
        let mut fired = std::mem::take(&mut self.fired);
        fired.clear();
        fired.resize(self.names().len(), false);
        self.run.get().dag.tasks().for_each(|task| fired[task.op] = task.has_fired);
        let has_fired = |slot: u32| fired[self.ops.at(slot) as usize];
        let results = || (0..).zip(self.results.iter()).filter_map(|(slot, task)| task.map(|_| slot));
        results().filter(|slot| !has_fired(*slot)).for_each(|slot| self.clear(slot));
        let made = results().filter(|slot| self.values.is_unit(*slot) && has_fired(*slot));
        self.units.were_made(made, |op| fired[op]);
        self.fired = fired;
    }

    /// The report on the last run: what operators, stages and workers did. Before the first run all counts are 0.
    #[must_use]
    pub fn report(&self) -> Report {
        self.run.get().report()
    }

    /// The stages that each stage sends to.
    #[cfg(test)]
    pub(crate) fn outputs(&self) -> Vec<Vec<usize>> {
        self.facts.outputs()
    }

    /// Whether a source feeds a stage.
    #[cfg(test)]
    pub(crate) fn has_source(&self, stage: usize) -> bool {
        self.facts.has_source(stage)
    }

    /// The plan in words and pictures.
    #[must_use]
    pub fn explain(&self) -> Explain {
        self.facts.explain(self.names(), Some(self.run.get().dag.group_count()))
    }

    /// What is certain of every run of this plan, before it runs: how much is in flight at once, whether it may stall, how many
    /// credits suffice, and which tasks never run at once.
    ///
    /// This takes time and memory in proportion to what the graph describes, and where streams part and meet again, to the
    /// square of the number of stages.
    #[must_use]
    pub fn prove(&self) -> Proof {
        let known = self.run.get().dag.known();
        let (streams, before) = (&self.shape.streams, &known.before);
        let tasks = TaskOrder::new(known.ops.clone(), known.ranks.clone(), before.clone(), streams.ends.clone());
        let order = (!streams.ends.is_empty()).then_some((before, streams));
        Proof::new(self.names(), self.facts.outline(), order, Arc::new(tasks))
    }

    /// Takes a result or other data out of the plan.
    ///
    /// # Panics
    /// If it is absent, or belongs to another graph.
    #[track_caller]
    pub fn take<T>(&mut self, data: Data<T>) -> T {
        let slot = self.slot(&data);
        if slot.is_unit() && !self.units.put(data.slot.number(), false) {
            self.absent(&data);
        }
        #[expect(unsafe_code, reason = "nothing runs")]
        // SAFETY: (1) nothing runs, and `self` is borrowed exclusively.
        let value = unsafe { slot.replace(None) };
        let Some(value) = value else { self.absent(&data) };
        value
    }

    /// Borrows a result or other data.
    ///
    /// # Panics
    /// If it is absent, or belongs to another graph.
    #[must_use]
    #[track_caller]
    pub fn get<T>(&self, data: &Data<T>) -> &T {
        let Some(value) = self.try_get(data) else { self.absent(data) };
        value
    }

    /// Borrows a result or other data, if it is present.
    ///
    /// # Panics
    /// If it belongs to another graph.
    #[must_use]
    #[track_caller]
    pub fn try_get<T>(&self, data: &Data<T>) -> Option<&T> {
        let slot = self.slot(data);
        if !self.has_unit(data, slot) {
            return None;
        }
        #[expect(unsafe_code, reason = "nothing runs")]
        // SAFETY: (1) nothing runs while `self` is borrowed; (2) a plan is not `Sync`, so no other thread reads.
        unsafe {
            slot.read()
        }
    }

    /// Borrows a result or other data for changing it.
    ///
    /// # Panics
    /// If it is absent, or belongs to another graph.
    #[must_use]
    #[track_caller]
    pub fn get_mut<T>(&mut self, data: &Data<T>) -> &mut T {
        let slot = self.slot(data);
        if !self.has_unit(data, slot) {
            self.absent(data);
        }
        #[expect(unsafe_code, reason = "nothing runs")]
        // SAFETY: (1) nothing runs, and `self` is borrowed exclusively.
        let value = unsafe { slot.write() };
        let Some(value) = value else { self.absent(data) };
        value
    }

    /// Gives data a new value, and returns the old one. The data may have been absent.
    ///
    /// # Panics
    /// If it belongs to another graph.
    #[track_caller]
    pub fn set<T>(&mut self, data: &Data<T>, value: T) -> Option<T> {
        let slot = self.slot(data);
        if slot.is_unit() {
            return self.units.put(data.slot.number(), true).then_some(value);
        }
        #[expect(unsafe_code, reason = "nothing runs")]
        // SAFETY: (1) nothing runs, and `self` is borrowed exclusively.
        let old = unsafe { slot.replace(Some(value)) };
        self.gone.remove(&data.slot.number());
        old
    }

    /// Why the value of a slot is absent, if a task is to blame.
    fn why_absent(&self, slot: u32) -> Option<String> {
        if let Some(by) = self.gone.get(&slot) {
            return Some(format!("'{}' stopped while it wrote it", self.names().get(*by as usize)));
        }
        let (_, by) = self.consumed.iter().find(|(consumed, _)| *consumed == slot)?;
        Some(format!("'{}' consumed it, or it was taken", self.names().get(*by)))
    }

    /// Whether the value of a slot is there, as far as the slot does not know itself.
    fn has_unit<T>(&self, data: &Data<T>, slot: Slot<T>) -> bool {
        !slot.is_unit() || self.units.is_there(data.slot.number())
    }

    fn names(&self) -> &Arc<Names> {
        &self.run.get().names
    }

    #[track_caller]
    fn slot<T>(&self, data: &Data<T>) -> Slot<T> {
        assert!(
            Arc::ptr_eq(&data.names, self.names()),
            "'{}' is data of another graph than this plan's ('{}' is one of its own)",
            data.names.get(data.op()),
            self.ops.iter().flatten().next().map_or_else(|| "nothing".to_owned(), |op| self.names().get(op as usize)),
        );
        #[expect(unsafe_code, reason = "slots are kept without their types")]
        // SAFETY: (1) a handle of this graph was made together with its slot, and handles are invariant in `T`.
        unsafe {
            self.values.slot(data.slot.number())
        }
    }

    fn is_present(&self, slot: u32) -> bool {
        #[expect(unsafe_code, reason = "nothing runs")]
        // SAFETY: (1) nothing runs.
        unsafe {
            self.values.is_present(slot)
        }
    }

    fn clear(&self, slot: u32) {
        #[expect(unsafe_code, reason = "nothing runs")]
        // SAFETY: (1) nothing runs.
        unsafe {
            self.values.clear(slot);
        }
    }

    #[track_caller]
    fn absent<T>(&self, data: &Data<T>) -> ! {
        let why = self.why_absent(data.slot.number());
        let why = why.unwrap_or_else(|| {
            if self.run.get().dag.has_blocks() {
                "it was taken, or no run has made it, or the last run left it out".to_owned()
            } else {
                "it was taken, or no run has made it".to_owned()
            }
        });
        panic!("'{}' is absent: {why}", self.names().get(data.op()))
    }
}

/// The data that the user gives and something accesses, and the results of sinks.
fn looked_at(draft: &Draft<'_>) -> (Box<[u32]>, Box<[u32]>) {
    let mut given = Bits::default();
    draft.cuts.iter().for_each(|cut| given.set(cut.whole.number())); // why else is it cut
    if draft.slots.given().next().is_some() {
        let slots = draft.accesses.all().map(SlotAccess::slot).filter(|slot| draft.slots.is_given(*slot));
        slots.for_each(|slot| given.set(slot.number()));
    }
    let sinks = draft.accesses.others().filter(|(who, _)| matches!(who, Who::Sink(_)));
    let sinks = sinks.map(|(_, access)| access.slot().number()).collect();
    (given.iter().collect(), sinks)
}

/// The data that tasks consume, by slot, each with the operator of the task.
fn consumed_data(draft: &Draft<'_>) -> Box<[(u32, usize)]> {
    let mut slots = Vec::new();
    if draft.accesses.consume() {
        for (who, own) in draft.accesses.in_order() {
            let Who::Task(record) = who else { continue };
            let consumed = own.iter().filter(|access| access.mode() == Mode::Consume);
            slots.extend(consumed.map(|access| (access.slot().number(), draft.op_of_task(record))));
        }
    }
    slots.into()
}

impl fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("explain", &self.explain()).finish_non_exhaustive()
    }
}
