//! Puts tasks together to groups, and finds the order in which they fire.
//!
//! A job costs some tens of nanoseconds, and an empty task one or two. So tasks that follow each other go into one group,
//! and so do tasks that wait for each other in no way, as many as take a few microseconds together:
//! 1. A task whose one predecessor has no other successor forms a *chain* with it.
//! 2. The *level* of a chain is one more than the highest level that it waits for. Chains of one level wait for each other
//!    in no way. If they did, by way of a stream, a group would wait for what it has to start. So stages have levels too.
//! 3. Each level is cut into chunks of about the same time. Each chunk is a group. All its tasks are in the same block. A path
//!    goes through whole groups: where paths would be too long, chunks are smaller.
//! 4. A level may take less time than to hand half of it to another worker. It is one group. Adjacent levels of that kind
//!    would go one after the other anyway, so they are one group too, whose tasks have an *order*.
//!
//! Which tasks are in a group depends on the machine, and may depend on time. Answers do not: they depend on program
//! order alone.
//!
//! Every pass takes time in proportion to tasks and edges.

mod chains;
mod cuts;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use cuts::Groups;

use super::draft::{Draft, NodeDraft, index};
use super::edges::Edges;
use super::grouping::Grouping;
use crate::run::lists::Lists;
use crate::run::numbers::Numbers;
use crate::run::room;
use crate::run::tasks::block::Block;
use crate::run::tasks::parts::{DagParts, Home, Joint, TaskAt, Tasks};
use crate::run::tasks::record::Records;
use chains::{Chains, Level};

/// What waits and is waited for: the nodes of a graph, then joins, and behind these its stages, if there are streams that wait
/// for tasks. A stage stands for the time at which it has ended.
struct Vertices {
    /// Those that each waits for, each once.
    before: Lists,
    /// Whether all of these have smaller numbers.
    are_in_order: bool,
}

impl Vertices {
    fn of(draft: &Draft<'_>, edges: Edges) -> Self {
        let (stages, first_stage) = (&draft.stages, draft.nodes.len() + edges.joins);
        if stages.iter().all(|stage| stage.gate.is_none()) {
            return Self { before: edges.before, are_in_order: edges.are_in_order };
        }
        let stage_at = |stage: usize| index(first_stage + stage);
        let streams = stages.iter().enumerate().flat_map(|(number, stage)| {
            let streams = stage.inputs.iter().copied().chain(stage.waits_for).map(stage_at);
            streams.chain(stage.gate.map(index)).map(move |from| (stage_at(number), from))
        });
        let ends = draft.nodes.others().filter_map(|(node, kind)| match kind {
            NodeDraft::End { stage } => Some((index(node), stage_at(stage as usize))),
            _ => None,
        });
        let mut before = Lists::new(first_stage + stages.len(), edges.before.pairs().chain(streams).chain(ends));
        before.dedup();
        let are_in_order = before.pairs().all(|(to, from)| from < to);
        Self { before, are_in_order }
    }
}

/// The vertices of a graph in an order that keeps all edges: program order, if that does.
struct Ranks {
    /// The rank of each vertex, if it is another one than its number.
    of: Option<Vec<u32>>,
    /// The vertices by rank, if that is another order.
    vertices: Option<Vec<u32>>,
}

impl Ranks {
    /// The graph has no cycle. `nodes` is how many vertices are nodes.
    fn new(vertices: &Vertices, nodes: usize) -> Self {
        let Vertices { before, are_in_order } = vertices;
        if *are_in_order {
            return Self { of: None, vertices: None };
        }
        let count = before.len();
        let mut missing: Vec<usize> = (0..index(count)).map(|vertex| before.of(vertex).len()).collect();
        let after = Lists::new(count, before.pairs().map(|(to, from)| (from, to)));
        // Joins and stages come as soon as they can, so that nodes come in program order if these can.
        let turn = |vertex: u32| Reverse((vertex < index(nodes), vertex));
        let mut ready: BinaryHeap<_> =
            (0..index(count)).filter(|vertex| missing[*vertex as usize] == 0).map(turn).collect();
        let (mut of, mut order) = (vec![0; count], Vec::with_capacity(count));
        while let Some(Reverse((_, vertex))) = ready.pop() {
            of[vertex as usize] = index(order.len());
            order.push(vertex);
            for next in after.of(vertex) {
                missing[*next as usize] -= 1;
                if missing[*next as usize] == 0 {
                    ready.push(turn(*next));
                }
            }
        }
        debug_assert_eq!(order.len(), count, "a cycle is a defect");
        Self { of: Some(of), vertices: Some(order) }
    }

    fn rank(&self, vertex: u32) -> u32 {
        self.of.as_ref().map_or(vertex, |of| of[vertex as usize])
    }

    fn vertex(&self, rank: u32) -> u32 {
        self.vertices.as_ref().map_or(rank, |vertices| vertices[rank as usize])
    }

    /// Lists by vertex, as lists by rank.
    fn by_rank(&self, lists: Lists) -> Lists {
        if self.of.is_none() {
            return lists;
        }
        Lists::new(lists.len(), lists.pairs().map(|(to, from)| (self.rank(to), self.rank(from))))
    }
}

/// The streams of a graph among what waits, by rank.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    /// The ends of the stages. Empty if no stream waits for tasks.
    pub(super) ends: Vec<u32>,
    /// The gate of each stage, if it has one. Empty, too.
    pub(super) gates: Vec<Option<u32>>,
}

impl Streams {
    fn of(draft: &Draft<'_>, joins: usize, ranks: &Ranks) -> Self {
        let stages = &draft.stages;
        if stages.iter().all(|stage| stage.gate.is_none()) {
            return Self::default();
        }
        let first = draft.nodes.len() + joins;
        let ends = (first..first + stages.len()).map(|end| ranks.rank(index(end))).collect();
        Self { ends, gates: stages.iter().map(|stage| Some(ranks.rank(index(stage.gate?)))).collect() }
    }
}

/// What waits for what in a graph without cycles, by rank; the rank of each record, if it is another number; and the streams.
pub(super) fn ranked(draft: &Draft<'_>, edges: Edges) -> (Lists, Option<Numbers>, Streams) {
    let (nodes, joins) = (&draft.nodes, edges.joins);
    let vertices = Vertices::of(draft, edges);
    let ranks = Ranks::new(&vertices, nodes.len());
    let mut own = Numbers::default();
    (0..index(nodes.tasks())).for_each(|record| own.push(Some(ranks.rank(nodes.of_task(record)))));
    let streams = Streams::of(draft, joins, &ranks);
    (ranks.by_rank(vertices.before), Some(own), streams)
}

/// What all tasks of a group have in common: home, block and priority.
type Alike = (Home, Option<usize>, i32);

/// What grouping knows of a graph: the plan keeps it, to group its tasks again when it knows how long they take.
pub(super) struct Shape {
    grouping: Grouping,
    workers: usize,
    seats: usize,
    levels: Vec<Level>,
    /// What the tasks of a chain have in common, by record, as a number in `alike`. Empty if that is the same for all.
    kinds: Vec<u32>,
    alike: Vec<Alike>,
    has_priorities: bool,
    /// The joints, each with its rank: first entry and exit of each block, then joins, then the others by rank.
    joints: Vec<(u32, Joint)>,
    pub(super) streams: Streams,
}

/// What the plan knows of nodes beside the draft.
pub(super) struct Said<'a> {
    /// The block of each node, if the graph has blocks.
    pub(super) blocks: Option<Vec<Option<usize>>>,
    /// The home of an operator, if one has a home.
    pub(super) home: Option<&'a dyn Fn(usize) -> Home>,
}

impl Shape {
    /// The shape of a graph without cycles, for so many workers and seats, and its tasks. Also returns, for each stage, the joint that
    /// stands for its end, if something waits for that.
    pub(super) fn new(
        draft: &Draft<'_>,
        edges: Edges,
        said: &Said<'_>,
        (workers, seats): (usize, usize),
    ) -> (Self, Tasks, Ends) {
        let (nodes, joins, grouping) = (&draft.nodes, edges.joins, draft.grouping);
        let vertices = Vertices::of(draft, edges);
        let ranks = Ranks::new(&vertices, nodes.len());
        let before = ranks.by_rank(vertices.before);
        let count = index(before.len());
        // The record of each rank, if it is another number or there is none.
        let (mut records, mut of_records) = (None, None);
        if !nodes.are_tasks() || before.len() > nodes.len() || ranks.of.is_some() {
            let mut own = Numbers::default();
            (0..index(nodes.tasks())).for_each(|record| own.push(Some(ranks.rank(nodes.of_task(record)))));
            let mut all = vec![None; before.len()];
            (0..).zip(own.iter().flatten()).for_each(|(record, rank)| all[rank as usize] = Some(record));
            (records, of_records) = (Some(all), Some(own));
        }
        let record =
            |rank: u32| records.as_ref().map_or(Some(rank), |records: &Vec<Option<u32>>| records[rank as usize]);
        let tasks = || (0..count).filter_map(|rank| Some((rank, record(rank)?)));
        let home = |rank: u32| said.home?(draft.op_of_task(record(rank)?));
        let are_alike = |from: u32, to: u32| said.home.is_none() || home(from) == home(to);
        let mut chains = match &records {
            None => Chains::new(&before, |_| true, are_alike, grouping),
            Some(records) => Chains::new(&before, |rank| records[rank as usize].is_some(), are_alike, grouping),
        };

        let named = draft.names.priorities();
        let has_priorities = !named.is_empty();
        let (mut alike, mut kinds) = (vec![(None, None, 0)], Vec::new());
        let mut of_chains: Vec<u32> = Vec::new();
        if said.home.is_some() || said.blocks.is_some() || has_priorities {
            let mut of: Vec<Alike> = vec![(None, None, i32::MIN); before.len()];
            for (rank, record) in tasks() {
                let (home, block, priority) = &mut of[chains.of(rank) as usize];
                if chains.begins(rank) {
                    *home = said.home.and_then(|of| of(draft.op_of_task(record)));
                    *block = said.blocks.as_ref().and_then(|of| of[ranks.vertex(rank) as usize]);
                }
                let own = named.get(&draft.op_of_task(record)).copied().unwrap_or(0);
                *priority = own.max(*priority);
            }
            let mut numbers: BTreeMap<Alike, u32> = of.iter().map(|alike| (*alike, 0)).collect();
            (0..).zip(numbers.values_mut()).for_each(|(number, place)| *place = number);
            of_chains = of.iter().map(|alike| numbers[alike]).collect();
            alike = numbers.into_keys().collect();
            kinds = vec![0; nodes.tasks()];
            for (rank, record) in tasks() {
                kinds[record as usize] = of_chains[chains.of(rank) as usize];
            }
        }
        let has_kinds = !kinds.is_empty();
        let sort = has_kinds.then_some(|own: &mut [u32]| own.sort_by_key(|chain| of_chains[*chain as usize]));
        let order = match &records {
            None => chains.order(nodes.tasks(), Some, sort),
            Some(_) => chains.order(nodes.tasks(), record, sort),
        };
        let levels = chains.into_levels();
        let (joints, ends) = joints(draft, joins, &ranks);
        let tasks = Tasks { order, ops: Numbers::default(), ranks: of_records, before };
        let streams = Streams::of(draft, joins, &ranks);
        (Self { grouping, workers, seats, levels, kinds, alike, has_priorities, joints, streams }, tasks, ends)
    }

    /// What the tasks of this chain have in common.
    fn kind(&self, task: TaskAt) -> u32 {
        self.kinds.get(task.record() as usize).copied().unwrap_or(0)
    }

    /// Whether a task is in a block.
    fn repeats(&self, task: TaskAt) -> bool {
        self.alike[self.kind(task) as usize].1.is_some()
    }

    /// Whether it is for the plan to say which tasks are together.
    pub(super) fn is_free(&self) -> bool {
        self.grouping == Grouping::Auto
    }

    /// Groups the tasks. `nanos` tells how long a record takes, if that is known.
    pub(super) fn group<'env>(
        &self,
        records: Records<'env>,
        mut tasks: Tasks,
        blocks: Vec<Block<'env>>,
        nanos: Option<&[u32]>,
    ) -> DagParts<'env> {
        let is_known = nanos.is_some();
        let Groups { ends, kinds, times, is_ordered } = self.best_cut(&tasks, nanos);
        // Records of one kind side by side, in groups without chains. So a task may fire before one that comes first in program
        // order, and fails. All of a group take a few microseconds together, if it is known how long they take.
        let mut begin = 0;
        for (end, is_ordered) in ends.iter().zip(&is_ordered).filter(|_| is_known) {
            let own = &mut tasks.order[begin..*end as usize];
            begin = *end as usize;
            let kind = |task: &TaskAt| records.kind(task.record());
            if !is_ordered && own.iter().all(|task| task.is_free()) && !own.is_sorted_by_key(kind) {
                own.sort_by_key(kind);
            }
        }
        // What each group or joint waits for, each once. What a task waits for stands before it.
        let nodes = ends.len() + self.joints.len();
        let mut group_of = room::filled(u32::MAX, tasks.before.len());
        for (joint, (rank, _)) in (ends.len()..).zip(&self.joints) {
            group_of[*rank as usize] = index(joint);
        }
        let mut seen = vec![u32::MAX; nodes];
        let (mut first, mut list) = (Vec::with_capacity(nodes + 1), Vec::new());
        first.push(0);
        let mut link = |to: u32, rank: u32, group_of: &[u32], list: &mut Vec<u32>| {
            seen[to as usize] = to; // it does not wait for itself
            for from in tasks.before.of(rank).iter().map(|from| group_of[*from as usize]) {
                if seen[from as usize] != to {
                    seen[from as usize] = to;
                    list.push(from);
                }
            }
        };
        let mut begin = 0;
        for (group, end) in (0..).zip(&ends) {
            for task in &tasks.order[begin..*end as usize] {
                let rank = tasks.rank(*task);
                group_of[rank as usize] = group;
                link(group, rank, &group_of, &mut list);
            }
            begin = *end as usize;
            first.push(index(list.len()));
        }
        for (number, (rank, joint)) in (ends.len()..).zip(&self.joints) {
            if !matches!(joint, Joint::End) {
                link(index(number), *rank, &group_of, &mut list); // a stage finishes its end
            }
            first.push(index(list.len()));
        }
        let before = Lists::of_parts(first, list);
        let joints = self.joints.iter().map(|(_, joint)| *joint).collect();
        let alike = |kind: &u32| self.alike[*kind as usize];
        let priorities = kinds.iter().filter(|_| self.has_priorities).map(|kind| alike(kind).2).collect();
        let homes = kinds.iter().map(|kind| alike(kind).0).collect();
        let has_blocks = !blocks.is_empty();
        let blocks_of = kinds.iter().filter(|_| has_blocks).map(|kind| alike(kind).1.map(index)).collect();
        let (workers, seats) = (self.workers, self.seats);
        DagParts {
            records,
            blocks,
            tasks,
            ends,
            joints,
            before,
            homes,
            blocks_of,
            times,
            priorities,
            is_known,
            workers,
            seats,
            is_ordered,
        }
    }
}

/// For each stage, the joint that stands for its end, if something waits for that.
pub(super) type Ends = Vec<Option<u32>>;

/// The joints of a graph, each with its rank.
fn joints(draft: &Draft<'_>, joins: usize, ranks: &Ranks) -> (Vec<(u32, Joint)>, Ends) {
    let (blocks, nodes) = (draft.blocks.len(), draft.nodes.len());
    let (mut joints, mut ends) = (vec![(0, Joint::End); 2 * blocks], vec![None; draft.stages.len()]);
    joints.extend((nodes..nodes + joins).map(|join| (ranks.rank(index(join)), Joint::Pass)));
    let mut others: Vec<_> = draft.nodes.others().map(|(node, kind)| (ranks.rank(index(node)), kind)).collect();
    others.sort_unstable_by_key(|(rank, _)| *rank);
    for (rank, kind) in others {
        match kind {
            NodeDraft::Task { .. } => unreachable!("none of the others"),
            NodeDraft::Enter { block } => joints[2 * block as usize] = (rank, Joint::Enter { rank }),
            NodeDraft::Again { block } => joints[2 * block as usize + 1] = (rank, Joint::Again { rank }),
            NodeDraft::Gate { stage } => joints.push((rank, Joint::Gate { stage, rank })),
            NodeDraft::End { stage } => {
                ends[stage as usize] = Some(index(joints.len()));
                joints.push((rank, Joint::End));
            }
        }
    }
    (joints, ends)
}
