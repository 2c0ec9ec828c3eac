//! Drafts: what a graph describes, without the types of items. A draft is the input of a plan.
//!
//! [`crate::graph`] fills a draft while the user calls its methods, on one thread. Operators, stages, slots and nodes
//! are known by their index in the draft.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub(crate) use super::accesses::SlotAccess;
use super::accesses::{Accesses, Nodes, Slots};
pub(crate) use super::edges::tiling::Tiling;
use super::grouping::Grouping;
use crate::run::flow::makes::Makes;
use crate::run::flow::stage::{Columns, PacketStage, TailKind};
use crate::run::flow::supply::{Items, Supply};
use crate::run::names::Names;
use crate::run::numbers::Numbers;
use crate::run::slot::{Slot, Values};
use crate::run::tally::Retried;
use crate::run::tasks::block::Asks;
use crate::run::tasks::record::{Fire, Records};

/// A slot, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(u32);

impl SlotId {
    #[inline]
    pub(super) fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its index among the slots of the graph.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// How a slot is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Write,
    Consume,
}

/// What accesses a slot, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The task with this record, while it fires.
    Task(u32),
    /// The entry or exit of a block, which is this node.
    Joint(u32),
    /// The operator `op` of this stage, from the first piece of the stage to the last.
    Stage { stage: u32, op: u32 },
    /// The sink of this stage, which writes its result when the stage ends.
    Sink(u32),
}

/// A node of the task graph.
#[derive(Clone, Copy, Debug)]
pub(super) enum NodeDraft {
    Task {
        record: u32,
    },
    /// Decides whether a block is gone into, and whether it is gone through once more.
    Enter {
        block: u32,
    },
    Again {
        block: u32,
    },
    Gate {
        stage: u32,
    },
    End {
        stage: u32,
    },
}

/// What a slot of a part has if a task has stopped while it wrote the part.
#[derive(Debug)]
pub(crate) struct Torn;

/// Data that is cut into parts.
#[derive(Clone, Debug)]
pub(super) struct CutDraft {
    pub(super) whole: SlotId,
    pub(super) tiling: Tiling,
    /// The slots of the parts. Each has a value if a task has stopped while it wrote the part.
    pub(super) parts: Range<u32>,
}

/// A source, and the options that the user has set.
pub(crate) struct SourceDraft<'env> {
    pub(crate) items: Items<'env>,
    pub(crate) size: Option<usize>,
    pub(crate) credits: Option<usize>,
    /// How many credits it may have where it would stall with fewer.
    pub(crate) grows_to: Option<usize>,
    /// How much its batches in flight may weigh.
    pub(crate) bytes: Option<u64>,
}

impl<'env> SourceDraft<'env> {
    /// A source without options.
    pub(crate) fn new(items: Items<'env>) -> Self {
        Self { items, size: None, credits: None, grows_to: None, bytes: None }
    }
}

/// The typed part of a stage, by what the stage reads.
pub(crate) enum Body<'env> {
    Source(Supply<'env>),
    Packets(Box<dyn PacketStage + 'env>),
}

/// What the items of two streams that meet wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meets {
    /// Each for one item of the other stream. Where one stream ends, or fails, what comes out ends.
    InPairs,
    /// For items of the other stream; for how many depends on what these are.
    AsTheyAre,
}

/// A stage that is being described.
pub(crate) struct StageDraft<'env> {
    pub(crate) ops: Vec<(usize, Columns)>,
    pub(crate) sequence: usize,
    pub(crate) source: Option<SourceDraft<'env>>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) outputs: Vec<usize>,
    /// The typed part. None as long as nothing takes what the stage makes.
    pub(crate) body: Option<(Body<'env>, TailKind)>,
    /// The node of its gate, if it reads data.
    pub(super) gate: Option<usize>,
    /// The node that stands for its end, if something waits for that.
    pub(super) end: Option<usize>,
    /// The stage whose end it waits for before it lets anything through: for the second input of a chain, the first
    /// one.
    pub(crate) waits_for: Option<usize>,
    pub(crate) spooled: bool,
    /// Its items give up their credits where they meet those of another stream.
    pub(crate) lets_go: bool,
    /// What its sink or serial operator keeps in memory, in words.
    pub(crate) keeps: Option<&'static str>,
    /// How many items its operators make, in their order, but for those that make one of each.
    pub(crate) makes: Vec<(usize, Makes)>,
    /// How many of these go to each output.
    pub(crate) splits: Makes,
    /// How many items its last operator makes at the end of the stream, at most. None: any number.
    pub(crate) at_end: Option<u64>,
    /// For an input of a shape that holds items of one stream until the other one brings some: the other input.
    pub(crate) meets: Option<(usize, Meets)>,
    /// How large an item is that comes to the stage; that comes to its end; and that it sends. 0: that is not known.
    pub(crate) came_bytes: usize,
    pub(crate) end_bytes: usize,
    pub(crate) item_bytes: usize,
}

/// Tasks that are repeated, or left out.
pub(crate) struct BlockDraft<'env> {
    pub(super) op: usize,
    /// The block around it.
    pub(super) within: Option<usize>,
    pub(super) enter: usize,
    pub(super) again: usize,
    /// How often it is gone through at most.
    pub(crate) times: u64,
    /// Whether it is gone into.
    pub(super) enters: Option<Asks<'env>>,
    /// Whether it is gone through once more.
    pub(super) repeats: Option<Asks<'env>>,
}

impl BlockDraft<'_> {
    /// Whether it may be left out.
    pub(super) fn is_optional(&self) -> bool {
        self.enters.is_some() || self.times == 0
    }
}

/// What a graph describes.
pub(crate) struct Draft<'env> {
    pub(crate) names: Arc<Names>,
    pub(super) slots: Slots,
    /// The data that is cut, in the order of the slots of its parts.
    pub(super) cuts: Vec<CutDraft>,
    pub(super) nodes: Nodes,
    pub(super) records: Records<'env>,
    /// The operator of each task, by record.
    pub(super) task_ops: Numbers,
    pub(crate) blocks: Vec<BlockDraft<'env>>,
    /// The block that is being described, if there is one.
    within: Option<usize>,
    pub(crate) accesses: Accesses,
    pub(crate) grouping: Grouping,
    pub(crate) stages: Vec<StageDraft<'env>>,
    /// Whether each sequence is in stream order.
    pub(super) sequences: Vec<bool>,
    /// Defects that were found while the graph was described, by operator.
    pub(super) defects: Vec<(usize, String)>,
    /// An operator that threads outside serve while a run goes on, if there is one.
    pub(crate) served: Option<usize>,
    /// The largest number of items that an operator has worked on elsewhere at once, if there is one that does.
    pub(crate) elsewhere: Option<usize>,
    /// Whether there is a sink that meets threads outside.
    pub(crate) meets_outside: bool,
    /// How often operators have tried again in a run, by operator.
    pub(crate) retried: Vec<(usize, Retried)>,
    /// Whether the graph was planned, so that this draft is only what it left behind for streams that are still held.
    planned: bool,
    /// The values of the slots. The last field: what has their addresses is dropped before.
    pub(super) values: Values<'env>,
}

impl<'env> Draft<'env> {
    pub(crate) fn new() -> Self {
        Self {
            names: Arc::new(Names::default()),
            slots: Slots::default(),
            cuts: Vec::new(),
            nodes: Nodes::default(),
            records: Records::new(),
            task_ops: Numbers::default(),
            blocks: Vec::new(),
            within: None,
            accesses: Accesses::default(),
            grouping: Grouping::Auto,
            stages: Vec::new(),
            sequences: Vec::new(),
            defects: Vec::new(),
            served: None,
            elsewhere: None,
            meets_outside: false,
            retried: Vec::new(),
            planned: false,
            values: Values::new(),
        }
    }

    /// Takes the description out. Only the names stay, for streams that are still held.
    pub(crate) fn take(&mut self) -> Self {
        let rest = Self { names: Arc::clone(&self.names), planned: true, ..Self::new() };
        std::mem::replace(self, rest)
    }

    /// Whether the description was taken out.
    pub(crate) fn is_planned(&self) -> bool {
        self.planned
    }

    /// Adds a sequence. `ordered` says whether it is in stream order.
    pub(crate) fn sequence(&mut self, ordered: bool) -> usize {
        self.sequences.push(ordered);
        self.sequences.len() - 1
    }

    pub(crate) fn is_ordered(&self, sequence: usize) -> bool {
        self.sequences[sequence]
    }

    /// Adds a stage that begins with the operator `op`.
    pub(crate) fn stage(&mut self, op: usize, sequence: usize, inputs: Vec<usize>) -> usize {
        let stage = self.stages.len();
        self.defect_in_block(op);
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
            lets_go: false,
            keeps: None,
            makes: Vec::new(),
            splits: Makes::One,
            at_end: Some(0),
            meets: None,
            came_bytes: 0,
            end_bytes: 0,
            item_bytes: 0,
        });
        stage
    }

    /// The first operator of a stage, a shape, counts by itself what it hands on.
    pub(crate) fn resizes(&mut self, stage: usize) {
        self.stages[stage].ops[0].1.out = Some(1);
    }

    /// Adds an operator behind those of a stage, and returns its position and the column of what it hands on. `resizes`
    /// says whether the operator changes the number of items; if not, it shares the column of the operator before it.
    pub(crate) fn add_op(&mut self, stage: usize, op: usize, resizes: bool) -> (usize, usize) {
        self.defect_in_block(op);
        let ops = &mut self.stages[stage].ops;
        let given = ops.last().and_then(|(_, columns)| columns.out).unwrap_or(0);
        let widest = ops.iter().map(|(_, columns)| columns.out.unwrap_or(0)).max().unwrap_or(0);
        let out = if resizes { widest + 1 } else { given };
        ops.push((op, Columns { given, out: Some(out) }));
        (ops.len() - 1, out)
    }

    /// Adds a sink behind the operators of a stage.
    pub(crate) fn add_sink(&mut self, stage: usize, op: usize) {
        self.add_op(stage, op, false);
        if let Some((_, columns)) = self.stages[stage].ops.last_mut() {
            columns.out = None;
        }
    }

    /// Notes how many items the operator `op` of a stage makes.
    pub(crate) fn makes(&mut self, stage: usize, op: usize, makes: Makes) {
        if makes != Makes::One {
            self.stages[stage].makes.push((op, makes));
        }
    }

    /// Adds a slot. A value means that the user gives it.
    pub(crate) fn add_slot<T: Send + 'env>(&mut self, value: Option<T>, op: usize) -> (SlotId, Slot<T>) {
        let is_given = value.is_some();
        let (number, slot) = self.values.add(value);
        self.slots.add(op, None);
        if is_given {
            self.slots.give(number);
        }
        (SlotId::new(number), slot)
    }

    /// Adds the slot of the result of the task that is added next.
    #[inline(always)] // the caller and these have more in common than they cost
    pub(crate) fn add_result<T: Send + 'env>(&mut self, op: usize) -> (SlotId, Slot<T>) {
        let (number, slot) = self.values.add_result(); // before anything counts it: it may find no memory, and panic
        self.slots.add(op, Some(index(self.records.len())));
        (SlotId::new(number), slot)
    }

    /// Cuts data into parts, which these operators stand for. Returns the parts.
    pub(crate) fn cut(&mut self, whole: SlotId, tiling: Tiling, ops: impl Iterator<Item = usize>) -> Vec<SlotId> {
        let slots: Vec<SlotId> = ops.map(|op| self.add_slot(None::<Torn>, op).0).collect();
        let first = slots.first().map_or(0, |slot| slot.number());
        self.cuts.push(CutDraft { whole, tiling, parts: first..first + index(slots.len()) });
        slots
    }

    /// Whether the user gives the value of a slot.
    pub(crate) fn is_given(&self, slot: SlotId) -> bool {
        self.slots.is_given(slot)
    }

    /// A slot that nothing of the graph uses.
    pub(crate) fn slot_apart<T: Send + 'env>(&mut self) -> Slot<T> {
        self.values.apart()
    }

    /// The slot with this number.
    ///
    /// # Safety
    /// (1) It was added as a slot of a `T`.
    #[expect(unsafe_code, reason = "slots are kept without their types")]
    pub(crate) unsafe fn slot<T>(&self, slot: SlotId) -> Slot<T> {
        // SAFETY: (1) passed on.
        unsafe { self.values.slot(slot.0) }
    }

    /// Adds a task, whose accesses are the last ones.
    #[inline(always)]
    pub(crate) fn add_task<T: Fire + 'env>(&mut self, op: usize, record: T) {
        // All that may panic comes before the task is in the books.
        self.accesses.check();
        self.records.add(record);
        self.task_ops.push(Some(index(op)));
        self.nodes.add_task();
        self.accesses.end_task();
    }

    /// Begins a block. `enters` tells whether it is gone into, and which data that depends on.
    pub(crate) fn open_block(&mut self, op: usize, times: u64, enters: Option<(Asks<'env>, SlotId)>) -> usize {
        let block = self.blocks.len();
        let enter = self.nodes.add(NodeDraft::Enter { block: index(block) });
        let (enters, data) = enters.unzip();
        if let Some(data) = data {
            self.accesses.add(Who::Joint(index(enter)), data, Mode::Read);
        }
        let within = self.within.replace(block);
        self.blocks.push(BlockDraft { op, within, enter, again: enter, times, enters, repeats: None });
        block
    }

    /// Ends a block. `repeats` tells whether it is gone through once more, and which data that depends on.
    pub(crate) fn close_block(&mut self, block: usize, repeats: Option<(Asks<'env>, SlotId)>) {
        let again = self.nodes.add(NodeDraft::Again { block: index(block) });
        let (repeats, data) = repeats.unzip();
        if let Some(data) = data {
            self.accesses.add(Who::Joint(index(again)), data, Mode::Read);
        }
        let draft = &mut self.blocks[block];
        (draft.again, draft.repeats) = (again, repeats);
        self.within = draft.within;
    }

    /// The operator of a task, or of a block.
    pub(super) fn op_of(&self, node: usize) -> usize {
        match self.nodes.get(node) {
            NodeDraft::Task { record } => self.op_of_task(record),
            NodeDraft::Enter { block } | NodeDraft::Again { block } => self.blocks[block as usize].op,
            NodeDraft::Gate { stage } | NodeDraft::End { stage } => self.stages[stage as usize].ops[0].0,
        }
    }

    /// The operator of the task with this record.
    pub(super) fn op_of_task(&self, record: u32) -> usize {
        self.task_ops.at(record) as usize
    }

    /// Notes a defect if the operator of a stream is in a block.
    fn defect_in_block(&mut self, op: usize) {
        if self.within.is_some() {
            self.defect(op, "a block that is repeated or left out has tasks, and no streams: a task in it can call Pool::for_each, or the stream can \
                 read items() of data behind the block");
        }
    }

    /// Notes that the operator `op` reads a slot, from the first piece of the stage to the last.
    pub(crate) fn stage_reads(&mut self, stage: usize, op: usize, slot: SlotId) {
        if self.stages[stage].gate.is_none() {
            self.stages[stage].gate = Some(self.nodes.add(NodeDraft::Gate { stage: index(stage) }));
        }
        self.end_of(stage);
        self.accesses.add(Who::Stage { stage: index(stage), op: index(op) }, slot, Mode::Read);
    }

    /// Notes that the end of the stage writes a slot.
    pub(crate) fn sink_writes(&mut self, stage: usize, slot: SlotId) {
        self.end_of(stage);
        self.accesses.add(Who::Sink(index(stage)), slot, Mode::Write);
    }

    fn end_of(&mut self, stage: usize) {
        if self.stages[stage].end.is_none() {
            self.stages[stage].end = Some(self.nodes.add(NodeDraft::End { stage: index(stage) }));
        }
    }

    /// Notes a defect of an operator.
    pub(crate) fn defect(&mut self, op: usize, what: impl fmt::Display) {
        self.defects.push((op, what.to_string()));
    }
}

/// The number of an operator, node or stage, in the form in which a draft keeps millions of them.
#[inline]
pub(super) fn index(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 operators")
}
