//! Blueprints: graphs that were checked for a machine that need not be this one.
//!
//! The checks here ([`Checked`]) are those that a [`Plan`](crate::Plan) makes too.

use std::fmt;
use std::sync::Arc;

use super::draft::{Body, Draft, SourceDraft, StageDraft};
use super::edges::Edges;
use super::explain::{Explain, Facts};
use super::groups::{Streams, ranked};
use super::place::Homes;
use super::proof::Proof;
use super::proof::order::TaskOrder;
use super::{MAX_CREDITS, validate};
use crate::error::BuildError;
use crate::run::flow::stage::TailKind;
use crate::run::lists::Lists;
use crate::run::names::Names;
use crate::topology::Topology;

/// How many batches of a source may be in flight, unless the user sets a number or the pool is large.
const CREDITS: usize = 256;
/// As many in a large pool, for each worker. A batch has its credit until all batches before it have passed an ordered
/// sink. So a worker that begins late holds up those of the others: with two for each of 128 workers, half of them had
/// nothing to do.
const EACH: usize = 8;

/// A graph that was checked and laid out for some machine, which need not be this one.
///
/// [`Graph::plan_for`](crate::Graph::plan_for) makes it. A blueprint explains itself, but it cannot run.
pub struct Blueprint {
    facts: Facts,
    names: Arc<Names>,
    tasks: Arc<TaskOrder>,
    /// What waits for what, if streams wait for tasks.
    order: Option<(Lists, Streams)>,
}

impl Blueprint {
    /// A blueprint for a pool with one worker for every core of the machine.
    pub(crate) fn new(draft: &Draft<'_>, machine: &Topology) -> Result<Self, BuildError> {
        let Checked { edges, homes, sources } = Checked::of(draft, machine, machine.cores().len())?;
        let facts = Facts::of(draft, &edges, &sources, homes);
        let (before, ranks, streams) = ranked(draft, edges);
        let waits = (!streams.ends.is_empty()).then(|| (before.clone(), streams.clone()));
        let tasks = Arc::new(TaskOrder::new(draft.task_ops.clone(), ranks, before, streams.ends));
        Ok(Self { facts, names: Arc::clone(&draft.names), tasks, order: waits })
    }

    /// The plan in words and pictures, as [`Plan::explain`](crate::Plan::explain) gives it.
    #[must_use]
    pub fn explain(&self) -> Explain {
        self.facts.explain(&self.names, None)
    }

    /// What is certain of every run of such a plan, as [`Plan::prove`](crate::Plan::prove) says it.
    #[must_use]
    pub fn prove(&self) -> Proof {
        let order = self.order.as_ref().map(|(before, streams)| (before, streams));
        Proof::new(&self.names, self.facts.outline(), order, Arc::clone(&self.tasks))
    }
}

impl fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blueprint").field("explain", &self.explain()).finish_non_exhaustive()
    }
}

/// What the planner finds out about a draft without defects.
pub(super) struct Checked {
    pub(super) edges: Edges,
    pub(super) homes: Homes,
    pub(super) sources: SourceBounds,
}

/// What bounds the batches in flight, for the source of each stage.
pub(super) struct SourceBounds {
    pub(super) credits: Vec<u32>,
    /// How many where it would stall with these.
    pub(super) grown: Vec<u32>,
    /// How many of these are used while something else of the run can go on.
    pub(super) soft: Vec<u32>,
    /// Whether it needs no credits.
    pub(super) free: Vec<bool>,
    /// Whether nobody sees how what the stage reads is cut into batches.
    pub(super) unseen: Vec<bool>,
}

impl Checked {
    pub(super) fn of(draft: &Draft<'_>, machine: &Topology, workers: usize) -> Result<Self, BuildError> {
        let edges = Edges::derive(draft);
        let homes = Homes::of(draft, machine);
        let defects = validate::defects(draft, &edges, &homes);
        if !defects.is_empty() {
            return Err(BuildError::new(defects));
        }
        let free = draft.stages.iter().map(is_free).collect();
        let credits = credits(draft, workers);
        let soft = soft_limits(draft, &credits, workers);
        let grown = grown(draft, &credits);
        // In a pool of more than 32 workers all credits are in use before the first batch is done: hundreds of small ones.
        let may_be = |stage: usize, source: &SourceDraft<'_>| source.size.is_none() && soft[stage] < credits[stage];
        let may_be = |stage: usize| draft.stages[stage].source.as_ref().is_none_or(|source| may_be(stage, source));
        let unseen = (0..).zip(unseen(draft)).map(|(stage, unseen)| unseen && may_be(stage)).collect();
        Ok(Self { edges, homes, sources: SourceBounds { credits, grown, soft, free, unseen } })
    }
}

/// The credits of each stage's source: the number that the user set, or else [`CREDITS`], or [`EACH`] for each worker or one
/// for each item that is worked on elsewhere at once, if that is more.
///
/// A graph that stalls for lack of credits should stall in every pool. So the number depends on the pool only if the
/// pool has more than 32 workers.
fn credits(draft: &Draft<'_>, workers: usize) -> Vec<u32> {
    let usual = CREDITS.max(EACH * workers).max(draft.elsewhere.unwrap_or(0).min(MAX_CREDITS));
    let set = |stage: &StageDraft<'_>| stage.source.as_ref().and_then(|source| source.credits);
    let credits = draft.stages.iter().map(|stage| set(stage).unwrap_or(usual));
    credits.map(|credits| u32::try_from(credits).expect("more than `MAX_CREDITS` are a defect")).collect()
}

/// The same, and what each source may have where it would stall with fewer.
fn grown(draft: &Draft<'_>, credits: &[u32]) -> Vec<u32> {
    let most = |stage: &StageDraft<'_>| stage.source.as_ref().and_then(|source| u32::try_from(source.grows_to?).ok());
    draft.stages.iter().zip(credits).map(|(stage, credits)| most(stage).unwrap_or(0).max(*credits)).collect()
}

/// How many batches of each stage's source are in flight at most while something else of the run can go on. If the user
/// has set no credits: enough for each worker to have one, and another one ready, while others wait for their turn.
fn soft_limits(draft: &Draft<'_>, credits: &[u32], workers: usize) -> Vec<u32> {
    let usual = u32::try_from(EACH * workers).unwrap_or(u32::MAX);
    let set = |stage: &StageDraft<'_>| stage.source.as_ref().and_then(|source| u32::try_from(source.credits?).ok());
    draft.stages.iter().zip(credits).map(|(stage, credits)| set(stage).unwrap_or(usual).min(*credits)).collect()
}

/// Whether nobody sees how what comes to each stage is cut into batches: it feeds one line of stages, none of which holds its
/// items back or keeps them, and the last of which takes one item after the other, or those of each key.
fn unseen(draft: &Draft<'_>) -> Vec<bool> {
    let mut unseen = vec![false; draft.stages.len()];
    for (index, stage) in draft.stages.iter().enumerate().rev() {
        let holds = stage.gate.is_some() || stage.waits_for.is_some() || stage.spooled || stage.inputs.len() > 1;
        unseen[index] = !holds
            && match (&stage.outputs[..], &stage.body) {
                ([], Some((_, tail))) => matches!(tail, TailKind::Serial | TailKind::SerialByKey),
                ([next], _) => unseen[*next], // it was added later
                _ => false,
            };
    }
    unseen
}

/// Whether the source of a stage needs no credits: its batches are known by number, and nothing of them is kept.
fn is_free(stage: &StageDraft<'_>) -> bool {
    matches!(&stage.body, Some((Body::Source(supply), _)) if supply.is_free())
}
