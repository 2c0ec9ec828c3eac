//! Which tasks never run at once.
//!
//! A task that waits for another one, directly or by way of others, begins when that has ended, also each time in a
//! block that is repeated: a time begins when all of the time before has ended. Ways through streams do not count: a
//! stage that gets nothing may end before its gate has opened.

use std::collections::HashSet;

use crate::plan::draft::index;
use crate::run::lists::Lists;
use crate::run::numbers::Numbers;

/// The tasks of a plan, and what they wait for.
#[derive(Clone, Debug)]
pub(in crate::plan) struct TaskOrder {
    /// The operator of each task, by record; they grow from record to record.
    ops: Numbers,
    /// The rank of each, by record, if it is another number.
    ranks: Option<Numbers>,
    /// The ranks that each rank waits for. They are lower.
    before: Lists,
    /// The ranks that are stages, sorted.
    stages: Vec<u32>,
}

impl TaskOrder {
    pub(in crate::plan) fn new(ops: Numbers, ranks: Option<Numbers>, before: Lists, mut stages: Vec<u32>) -> Self {
        stages.sort_unstable();
        Self { ops, ranks, before, stages }
    }

    /// How many tasks there are.
    pub(super) fn len(&self) -> u32 {
        index(self.ops.len())
    }

    /// The operator of the task with this record.
    pub(super) fn op(&self, record: u32) -> usize {
        self.ops.at(record) as usize
    }

    fn rank(&self, record: u32) -> u32 {
        self.ranks.as_ref().map_or(record, |ranks| ranks.at(record))
    }

    /// The record of the task that is this operator, if it is one.
    pub(super) fn record(&self, op: usize) -> Option<u32> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.op(middle) < op { low = middle + 1 } else { high = middle }
        }
        (low < self.len() && self.op(low) == op).then_some(low)
    }

    /// Whether one of these tasks waits for the other one, or is the other one.
    pub(super) fn are_apart(&self, one: u32, other: u32) -> bool {
        let (one, other) = (self.rank(one), self.rank(other));
        let (first, second) = (one.min(other), one.max(other));
        first == second || self.waited_for(second, first).contains(&first)
    }

    /// The ranks from `least` on that this rank waits for.
    fn waited_for(&self, rank: u32, least: u32) -> HashSet<u32> {
        let mut seen = HashSet::new();
        let mut next = vec![rank];
        while let Some(at) = next.pop() {
            let new =
                self.before.of(at).iter().filter(|from| **from >= least && self.stages.binary_search(from).is_err());
            next.extend(new.filter(|from| seen.insert(**from)));
        }
        seen
    }

    /// All pairs of records of which the second one waits for the first one, by the second one.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        (0..self.len()).flat_map(move |second| {
            let before = self.waited_for(self.rank(second), 0);
            let is_before = move |first: &u32| before.contains(&self.rank(*first));
            (0..self.len()).filter(is_before).map(move |first| (first, second))
        })
    }
}
