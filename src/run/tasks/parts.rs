//! What the plan makes a task graph of.

use super::block::Block;
use super::record::Records;
use crate::run::lists::Lists;
use crate::run::numbers::Numbers;

/// The number of the group of workers that a job goes to first. None: any worker.
pub(crate) type Home = Option<u16>;

/// What a node stands for that is no group.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Joint {
    /// Decides whether a block is gone into.
    Enter { rank: u32 },
    /// Decides whether a block is gone through once more.
    Again { rank: u32 },
    /// Does nothing: it is where edges of many come together.
    Pass,
    /// Opens the gate of a stage.
    Gate { stage: u32, rank: u32 },
    /// Stands for the end of a stage. The stage calls [`Dag::finish`](super::dag::Dag::finish) when it has ended.
    End,
}

/// A task, by its position: the number of its record, and whether it waits for no task of its group that stands before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TaskAt(u32);

impl TaskAt {
    #[inline]
    pub(crate) fn new(record: u32, is_free: bool) -> Self {
        debug_assert!(record < 1 << 31, "fewer than 2^31 tasks");
        Self(record << 1 | u32::from(is_free))
    }

    #[inline]
    pub(crate) fn record(self) -> u32 {
        self.0 >> 1
    }

    #[inline]
    pub(crate) fn is_free(self) -> bool {
        self.0 & 1 == 1
    }
}

/// What is known of the tasks besides their records.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    /// They are in the order in which they fire.
    pub(crate) order: Vec<TaskAt>,
    /// The operator of each, by record.
    pub(crate) ops: Numbers,
    /// The rank of each, by record, if it is another number.
    pub(crate) ranks: Option<Numbers>,
    /// The ranks that each rank waits for.
    pub(crate) before: Lists,
}

impl Tasks {
    #[inline]
    pub(crate) fn rank(&self, task: TaskAt) -> u32 {
        self.ranks.as_ref().map_or(task.record(), |ranks| ranks.at(task.record()))
    }

    /// The position of each rank; that of a joint is [`u32::MAX`].
    pub(crate) fn positions(&self) -> Vec<u32> {
        let mut positions = vec![u32::MAX; self.before.len()];
        (0..).zip(&self.order).for_each(|(position, task)| positions[self.rank(*task) as usize] = position);
        positions
    }

    pub(crate) fn op(&self, task: TaskAt) -> u32 {
        self.ops.at(task.record())
    }

    /// The operator of the task at this position.
    #[cfg(feature = "check")]
    pub(crate) fn op_at(&self, position: u32) -> u32 {
        self.op(self.order[position as usize])
    }
}

/// What the tasks of a group have to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// There is one.
    Alone,
    /// Each waits for the one before.
    Chain,
    /// They are chains that wait for each other in no way.
    Apart,
    /// They are of several levels.
    InOrder,
}

/// What is known of a group.
#[derive(Clone, Debug)]
pub(crate) struct GroupFacts {
    /// The operators of its tasks.
    pub(crate) ops: Vec<u32>,
    /// How many nanoseconds it is expected to take, if that is known.
    pub(crate) nanos: Option<u64>,
    pub(crate) form: Form,
}

/// What a task graph is made of. The nodes are the groups, and then the joints.
pub(crate) struct DagParts<'env> {
    pub(crate) records: Records<'env>,
    pub(crate) blocks: Vec<Block<'env>>,
    pub(crate) tasks: Tasks,
    /// Behind the last position of each group.
    pub(crate) ends: Vec<u32>,
    /// First the entry and the exit of each block, then those that do nothing.
    pub(crate) joints: Vec<Joint>,
    /// The nodes that each node waits for, each once.
    pub(crate) before: Lists,
    /// The home of each group.
    pub(crate) homes: Vec<Home>,
    /// The innermost block of each group. Empty if there are no blocks.
    pub(crate) blocks_of: Vec<Option<u32>>,
    /// How many nanoseconds each group is expected to take.
    pub(crate) times: Vec<u64>,
    /// The highest priority of each group's tasks. Empty if the user has named none.
    pub(crate) priorities: Vec<i32>,
    /// Whether that was measured.
    pub(crate) is_known: bool,
    /// How many workers the pool has, and how many seats.
    pub(crate) workers: usize,
    pub(crate) seats: usize,
    /// Whether the tasks of each group have an order.
    pub(crate) is_ordered: Vec<bool>,
}
