//! What the plan makes a task graph of.

use super::block::Block;
use super::record::Records;

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

/// A task, by its position.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TaskAt {
    /// The number of its record.
    pub(crate) record: u32,
    pub(crate) op: u32,
    pub(crate) rank: u32,
    /// Whether it waits for no task of its group that stands before it.
    pub(crate) is_free: bool,
}

/// What a task graph is made of. The nodes are the groups, and then the joints.
pub(crate) struct DagParts<'env> {
    pub(crate) records: Records<'env>,
    pub(crate) blocks: Vec<Block<'env>>,
    /// The tasks, in the order in which they fire.
    pub(crate) tasks: Vec<TaskAt>,
    /// Behind the last position of each group.
    pub(crate) ends: Vec<u32>,
    /// First the entry and the exit of each block, then those that do nothing.
    pub(crate) joints: Vec<Joint>,
    /// Pairs of nodes (from, to). A pair may occur several times.
    pub(crate) edges: Vec<(u32, u32)>,
    /// The home of each group.
    pub(crate) homes: Vec<Home>,
    /// How many nanoseconds each group is expected to take.
    pub(crate) times: Vec<u64>,
    /// Whether that was measured.
    pub(crate) is_known: bool,
}
