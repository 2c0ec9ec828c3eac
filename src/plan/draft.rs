//! What a graph describes, without its types: the plan's input.

use std::fmt;
use std::sync::Arc;

use crate::run::dag::TaskBody;
use crate::run::flow::stage::{Columns, PacketStage, TailKind};
use crate::run::flow::supply::{Items, Supply};
use crate::run::names::Names;
use crate::run::slot::AnySlot;

/// A slot, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(pub(super) usize);

/// How a slot is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Write,
    Consume,
}

/// Who accesses a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// A task, while it fires.
    Task(usize),
    /// A stage of which this operator reads, from its first piece to its last.
    Stage { stage: usize, op: usize },
    /// A sink that writes its result, when its stage ends.
    Sink(usize),
}

/// A node of the task graph.
pub(super) enum NodeDraft<'env> {
    Task { op: usize, body: Box<dyn TaskBody + 'env> },
    Gate { stage: usize },
    End { stage: usize },
}

pub(super) struct SlotDraft<'env> {
    pub(super) slot: Arc<dyn AnySlot + 'env>,
    pub(super) op: usize,
    /// Whether the user gives its value, not a task or sink.
    pub(super) given: bool,
}

/// A source and its options.
pub(crate) struct SourceDraft<'env> {
    pub(crate) items: Items<'env>,
    pub(crate) size: Option<usize>,
    pub(crate) credits: Option<usize>,
}

/// The inside of a stage, with what it reads.
pub(crate) enum Body<'env> {
    Source(Supply<'env>),
    Packets(Box<dyn PacketStage + 'env>),
}

/// A stage that is being described.
pub(crate) struct StageDraft<'env> {
    pub(crate) ops: Vec<(usize, Columns)>,
    pub(crate) sequence: usize,
    pub(crate) source: Option<SourceDraft<'env>>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) outputs: Vec<usize>,
    /// None: nothing takes what it makes.
    pub(crate) body: Option<(Body<'env>, TailKind)>,
    pub(super) gate: Option<usize>,
    pub(super) end: Option<usize>,
    /// The input that it waits for before it lets anything through, apart from data: the first one of a chain.
    pub(crate) waits_for: Option<usize>,
    pub(crate) spooled: bool,
    /// What it keeps by its meaning.
    pub(crate) keeps: Option<&'static str>,
}

/// What a graph describes.
pub(crate) struct Draft<'env> {
    pub(crate) names: Arc<Names>,
    pub(super) slots: Vec<SlotDraft<'env>>,
    pub(super) nodes: Vec<NodeDraft<'env>>,
    /// In program order.
    pub(super) accesses: Vec<(Who, SlotId, Mode)>,
    pub(crate) stages: Vec<StageDraft<'env>>,
    /// Whether each sequence is in stream order.
    pub(super) sequences: Vec<bool>,
    /// What was found wrong on the way, by operator.
    pub(super) defects: Vec<(usize, String)>,
    /// It is what the graph has left behind where streams that nothing has taken can find it.
    planned: bool,
}

impl<'env> Draft<'env> {
    pub(crate) fn new() -> Self {
        Self {
            names: Arc::new(Names::default()),
            slots: Vec::new(),
            nodes: Vec::new(),
            accesses: Vec::new(),
            stages: Vec::new(),
            sequences: Vec::new(),
            defects: Vec::new(),
            planned: false,
        }
    }

    /// Takes all there is: only the names are left, for streams that are still held.
    pub(crate) fn take(&mut self) -> Self {
        let rest = Self { names: Arc::clone(&self.names), planned: true, ..Self::new() };
        std::mem::replace(self, rest)
    }

    /// Whether it was taken.
    pub(crate) fn is_planned(&self) -> bool {
        self.planned
    }

    /// A new sequence; `ordered`: in stream order.
    pub(crate) fn sequence(&mut self, ordered: bool) -> usize {
        self.sequences.push(ordered);
        self.sequences.len() - 1
    }

    pub(crate) fn is_ordered(&self, sequence: usize) -> bool {
        self.sequences[sequence]
    }

    /// A new stage that begins with the operator `op`.
    pub(crate) fn stage(&mut self, op: usize, sequence: usize, inputs: Vec<usize>) -> usize {
        let stage = self.stages.len();
        for input in &inputs {
            self.stages[*input].outputs.push(stage);
        }
        self.stages.push(StageDraft {
            ops: vec![(op, Columns { given: 0, out: Some(0) })],
            sequence,
            source: None,
            inputs,
            outputs: Vec::new(),
            body: None,
            gate: None,
            end: None,
            waits_for: None,
            spooled: false,
            keeps: None,
        });
        stage
    }

    /// Puts an operator behind those of a stage; `resizes`: it changes the number of items. Gives its position and its
    /// columns.
    pub(crate) fn add_op(&mut self, stage: usize, op: usize, resizes: bool) -> (usize, Columns) {
        let ops = &mut self.stages[stage].ops;
        let given = ops.last().and_then(|(_, columns)| columns.out).unwrap_or(0);
        let widest = ops.iter().map(|(_, columns)| columns.out.unwrap_or(0)).max().unwrap_or(0);
        let columns = Columns { given, out: Some(if resizes { widest + 1 } else { given }) };
        ops.push((op, columns));
        (ops.len() - 1, columns)
    }

    /// Puts a sink behind the operators of a stage.
    pub(crate) fn add_sink(&mut self, stage: usize, op: usize) {
        self.add_op(stage, op, false);
        if let Some((_, columns)) = self.stages[stage].ops.last_mut() {
            columns.out = None;
        }
    }

    /// A new slot; `given`: with a value of the user's.
    pub(crate) fn add_slot(&mut self, slot: Arc<dyn AnySlot + 'env>, op: usize, given: bool) -> SlotId {
        self.slots.push(SlotDraft { slot, op, given });
        SlotId(self.slots.len() - 1)
    }

    /// The slot behind a number.
    pub(crate) fn any_slot(&self, slot: SlotId) -> &Arc<dyn AnySlot + 'env> {
        &self.slots[slot.0].slot
    }

    /// A new task, and its accesses.
    pub(crate) fn add_task(
        &mut self,
        op: usize,
        body: Box<dyn TaskBody + 'env>,
        accesses: &[(SlotId, Mode)],
        out: SlotId,
    ) {
        let node = self.nodes.len();
        self.nodes.push(NodeDraft::Task { op, body });
        self.accesses.extend(accesses.iter().map(|(slot, mode)| (Who::Task(node), *slot, *mode)));
        self.accesses.push((Who::Task(node), out, Mode::Write));
    }

    /// The operator `op` of the stage reads a slot, from its first piece to its last.
    pub(crate) fn stage_reads(&mut self, stage: usize, op: usize, slot: SlotId) {
        if self.stages[stage].gate.is_none() {
            self.stages[stage].gate = Some(self.nodes.len());
            self.nodes.push(NodeDraft::Gate { stage });
        }
        self.end_of(stage);
        self.accesses.push((Who::Stage { stage, op }, slot, Mode::Read));
    }

    /// The stage's end writes a slot.
    pub(crate) fn sink_writes(&mut self, stage: usize, slot: SlotId) {
        self.end_of(stage);
        self.accesses.push((Who::Sink(stage), slot, Mode::Write));
    }

    fn end_of(&mut self, stage: usize) {
        if self.stages[stage].end.is_none() {
            self.stages[stage].end = Some(self.nodes.len());
            self.nodes.push(NodeDraft::End { stage });
        }
    }

    /// Notes that something is wrong with an operator.
    pub(crate) fn defect(&mut self, op: usize, what: impl fmt::Display) {
        self.defects.push((op, what.to_string()));
    }
}
