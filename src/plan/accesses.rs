//! What a draft keeps millions of: accesses to data, the nodes of the task graph, and slots, each in a few bytes.

use std::ops::Range;

use super::draft::{Mode, NodeDraft, SlotId, Who, index};
use crate::run::numbers::{Bits, Numbers};
use crate::run::room::push;

/// An access to a slot, in one word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotAccess(u32);

impl SlotAccess {
    #[inline]
    pub(crate) fn new(slot: SlotId, mode: Mode) -> Self {
        Self(slot.number() << 2 | mode as u32)
    }

    #[inline]
    pub(super) fn slot(self) -> SlotId {
        SlotId::new(self.0 >> 2)
    }

    #[inline]
    pub(super) fn mode(self) -> Mode {
        match self.0 & 3 {
            0 => Mode::Read,
            1 => Mode::Write,
            _ => Mode::Consume,
        }
    }
}

/// All accesses, in program order, but for those by which tasks make their results.
#[derive(Debug, Default)]
pub(crate) struct Accesses {
    /// Those of tasks. Those of a task that is being added stand behind all others.
    pub(crate) list: Vec<SlotAccess>,
    /// Behind the last access of each task, by record.
    ends: Vec<u32>,
    /// Behind the last access of the last task.
    end: usize,
    /// The others, each with the number of tasks before it.
    others: Vec<(u32, Who, SlotAccess)>,
    /// The slots that something writes or consumes, besides the task whose result they are.
    rewritten: Bits,
    consumes: bool,
}

impl Accesses {
    /// Ends the accesses of a task.
    #[inline]
    pub(super) fn end_task(&mut self) {
        for access in &self.list[self.end..] {
            if access.mode() != Mode::Read {
                self.rewritten.set(access.slot().number());
                self.consumes |= access.mode() == Mode::Consume;
            }
        }
        self.end = self.list.len();
        push(&mut self.ends, index(self.end));
    }

    /// Panics if there are too many.
    #[inline]
    pub(super) fn check(&self) {
        assert!(u32::try_from(self.list.len()).is_ok(), "fewer than 2^32 accesses");
    }

    /// Drops the accesses of a task that is being added.
    pub(crate) fn undo(&mut self) {
        self.list.truncate(self.end);
    }

    /// Adds an access of something that is no task.
    pub(super) fn add(&mut self, who: Who, slot: SlotId, mode: Mode) {
        if mode != Mode::Read {
            self.rewritten.set(slot.number());
        }
        self.others.push((index(self.ends.len()), who, SlotAccess::new(slot, mode)));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len() + self.others.len()
    }

    /// Whether something consumes data.
    pub(super) fn consume(&self) -> bool {
        self.consumes
    }

    /// Whether something writes or consumes a slot, besides the task whose result it is.
    #[inline]
    pub(super) fn is_rewritten(&self, slot: SlotId) -> bool {
        self.rewritten.has(slot.number())
    }

    /// Whether there is such a slot.
    pub(super) fn rewrite(&self) -> bool {
        !self.rewritten.is_empty()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = SlotAccess> {
        self.list.iter().copied().chain(self.others().map(|(_, access)| access))
    }

    /// Those of what is no task.
    pub(super) fn others(&self) -> impl Iterator<Item = (Who, SlotAccess)> {
        self.others.iter().map(|(_, who, access)| (*who, *access))
    }

    /// Those of the task with this record.
    pub(super) fn of(&self, record: u32) -> &[SlotAccess] {
        &self.list[self.begin(record) as usize..self.ends[record as usize] as usize]
    }

    /// Where those of the task with this record begin.
    fn begin(&self, record: u32) -> u32 {
        record.checked_sub(1).map_or(0, |before| self.ends[before as usize])
    }

    /// In program order, the records of tasks, and the access of something else that comes behind them, if one does.
    pub(super) fn stretches(&self) -> impl Iterator<Item = (Range<u32>, Option<(Who, &SlotAccess)>)> {
        let others = self.others.iter().map(|(before, who, access)| (*before, Some((*who, access))));
        let mut begin = 0;
        others.chain([(index(self.ends.len()), None)]).map(move |(end, other)| {
            let records = begin..end;
            begin = end;
            (records, other)
        })
    }

    /// The accesses of each of the tasks with these records.
    #[inline]
    pub(super) fn of_tasks(&self, records: Range<u32>) -> impl Iterator<Item = (u32, &[SlotAccess])> {
        let ends = &self.ends[records.start as usize..records.end as usize];
        let mut begin = self.begin(records.start);
        let mut left = &self.list[begin as usize..];
        records.zip(ends).map(move |(record, end)| {
            let (own, behind) = left.split_at((*end - begin) as usize);
            (left, begin) = (behind, *end);
            (record, own)
        })
    }

    /// Each task and its accesses, and each access of something else, in program order.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (Who, &[SlotAccess])> {
        self.stretches().flat_map(|(records, other)| {
            let tasks = self.of_tasks(records).map(|(record, own)| (Who::Task(record), own));
            tasks.chain(other.map(|(who, access)| (who, std::slice::from_ref(access))))
        })
    }
}

/// The nodes of the task graph, in program order. All are tasks, but for a few.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    len: u32,
    others: Vec<(u32, NodeDraft)>,
}

impl Nodes {
    pub(super) fn add_task(&mut self) {
        self.len += 1;
    }

    /// Adds a node that is no task, and returns its number.
    pub(super) fn add(&mut self, node: NodeDraft) -> usize {
        self.others.push((self.len, node));
        self.len += 1;
        self.len as usize - 1
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether all are tasks.
    pub(super) fn are_tasks(&self) -> bool {
        self.others.is_empty()
    }

    /// How many are tasks.
    pub(super) fn tasks(&self) -> usize {
        self.len() - self.others.len()
    }

    pub(super) fn get(&self, node: usize) -> NodeDraft {
        match self.others.binary_search_by_key(&index(node), |(node, _)| *node) {
            Ok(at) => self.others[at].1,
            Err(before) => NodeDraft::Task { record: index(node - before) },
        }
    }

    /// The node of a task.
    #[inline]
    pub(super) fn of_task(&self, record: u32) -> u32 {
        if self.are_tasks() {
            return record;
        }
        let (mut low, mut high) = (0, self.others.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.others[middle].0 - index(middle) <= record { low = middle + 1 } else { high = middle }
        }
        record + index(low)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = NodeDraft> {
        let (mut others, mut records) = (self.others.iter().peekable(), 0..);
        (0..self.len).map(move |node| match others.next_if(|(other, _)| *other == node) {
            Some((_, other)) => *other,
            None => NodeDraft::Task { record: records.next().expect("endless") },
        })
    }

    /// Those that are no tasks, with their numbers.
    pub(super) fn others(&self) -> impl Iterator<Item = (usize, NodeDraft)> + Clone {
        self.others.iter().map(|(node, other)| (*node as usize, *other))
    }
}

/// The slots of a graph, by number.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// The operator that makes the value of each.
    ops: Numbers,
    /// The record of the task whose result each is, if it is one.
    makers: Numbers,
    /// Those to which the user gives a value.
    given: Bits,
}

impl Slots {
    /// Adds the slot of a value that an operator makes. It may be the result of a task.
    #[inline]
    pub(super) fn add(&mut self, op: usize, maker: Option<u32>) {
        assert!(self.ops.len() < 1 << 30, "fewer than 2^30 data");
        self.ops.push(Some(index(op)));
        self.makers.push(maker);
    }

    /// Says that the user gives the value of a slot.
    pub(super) fn give(&mut self, slot: u32) {
        self.given.set(slot);
    }

    pub(super) fn len(&self) -> usize {
        self.ops.len()
    }

    /// The operator that makes the value of a slot.
    pub(super) fn op(&self, slot: SlotId) -> usize {
        self.ops.at(slot.number()) as usize
    }

    /// The operators that make the values.
    pub(super) fn ops(&self) -> impl Iterator<Item = usize> {
        self.ops.iter().flatten().map(|op| op as usize)
    }

    /// The record of the task whose result a slot is.
    #[inline]
    pub(super) fn maker(&self, slot: SlotId) -> Option<u32> {
        self.makers.get(slot.number())
    }

    pub(super) fn is_given(&self, slot: SlotId) -> bool {
        self.given.has(slot.number())
    }

    /// Those to which the user gives a value.
    pub(super) fn given(&self) -> impl Iterator<Item = SlotId> {
        self.given.iter().map(SlotId::new)
    }

    /// The results of tasks, each with the record of its task.
    pub(super) fn results(&self) -> impl Iterator<Item = (SlotId, u32)> {
        (0..).map(SlotId::new).zip(self.makers.iter()).filter_map(|(slot, maker)| Some((slot, maker?)))
    }

    /// The operators, and the makers.
    pub(super) fn into_parts(self) -> (Numbers, Numbers) {
        (self.ops, self.makers)
    }
}
