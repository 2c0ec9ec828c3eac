//! Puts tasks together to groups, and finds the order in which they fire.
//!
//! A job costs some tens of nanoseconds, and an empty task one or two. So tasks that follow each other go into one group,
//! and so do tasks that wait for each other in no way, as many as take a few microseconds together:
//! 1. A task whose one predecessor has no other successor forms a *chain* with it.
//! 2. The *level* of a chain is one more than the highest level that it waits for. Chains of one level wait for each other
//!    in no way. If they did, by way of a stream, a group would wait for what it has to start. So stages have levels too.
//! 3. Each level is cut into chunks of about the same time. Each chunk is a group. All its tasks are in the same block.
//! 4. A level may take less time than to hand half of it to another worker. It is one group. Adjacent levels of that kind
//!    would go one after the other anyway, so they are one group too, whose tasks have an *order*.
//!
//! Which tasks are in a group depends on the machine, and may depend on time. Answers do not: they depend on program
//! order alone.
//!
//! Every pass takes time in proportion to tasks and edges.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::draft::{Draft, NodeDraft, StageDraft, index};
use super::edges::Edges;
use super::grouping::Grouping;
use crate::run::tasks::block::Block;
use crate::run::tasks::parts::{DagParts, Home, Inner, Joint, TaskAt};
use crate::run::tasks::record::Records;

/// Nanoseconds that a task takes, as long as nobody knows.
const UNKNOWN: u64 = 50;
/// A group takes so many nanoseconds at least, if there are more tasks that could be in it.
const LEAST: u64 = 400;
/// A group of one level takes so many nanoseconds at most, if it has several tasks. What waits for it starts when all of it has
/// ended, and a worker that waits for that longer than 20 us goes to sleep.
const MOST: u64 = 16_000;
/// A group of several levels takes so many nanoseconds at most: what is left of it can be taken away only task by task.
const MOST_IN_ORDER: u64 = 4000;
/// A level is cut into so many groups for each worker at most.
const CUTS: u64 = 4;
/// A level that is repeated is cut into so many for each worker, as long as nobody knows how long it takes: a run may repeat it
/// a thousand times, and learns nothing on its way.
const CUTS_AGAIN: u64 = 16;
/// A level is cut into more groups than there are workers only if each takes so many nanoseconds. These are there for tasks that
/// take longer than before, and each group costs some tens of nanoseconds for every group behind it.
const WORTH: u64 = 2000;
/// After so many nanoseconds what one worker has done reaches another one. A level is one group if that is more than others
/// would save.
const HANDED: u64 = 1600;

/// What waits and is waited for: the nodes of a graph, then joins, and behind these its stages, if there are streams that wait
/// for tasks.
/// A stage stands for the time at which it has ended.
struct Vertices {
    count: usize,
    nodes: usize,
    /// Pairs (from, to): the second waits for the first.
    edges: Vec<(u32, u32)>,
}

impl Vertices {
    fn of(nodes: &[NodeDraft], edges: Edges, stages: &[StageDraft<'_>]) -> Self {
        let first_stage = nodes.len() + edges.joins;
        let mut vertices = Self { count: first_stage, nodes: nodes.len(), edges: edges.list };
        if stages.iter().all(|stage| stage.gate.is_none()) {
            return vertices;
        }
        vertices.count += stages.len();
        let stage_at = |stage: usize| index(first_stage + stage);
        for (number, stage) in stages.iter().enumerate() {
            let streams = stage.inputs.iter().copied().chain(stage.waits_for).map(stage_at);
            vertices.edges.extend(streams.chain(stage.gate.map(index)).map(|from| (from, stage_at(number))));
        }
        for (node, kind) in nodes.iter().enumerate() {
            if let NodeDraft::End { stage } = kind {
                vertices.edges.push((stage_at(*stage as usize), index(node)));
            }
        }
        vertices
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
    /// The graph has no cycle.
    fn new(vertices: &Vertices) -> Self {
        let Vertices { count, nodes, ref edges } = *vertices;
        if edges.iter().all(|(from, to)| from < to) {
            return Self { of: None, vertices: None };
        }
        let mut missing = vec![0_u32; count];
        edges.iter().for_each(|(_, to)| missing[*to as usize] += 1);
        let after = Lists::new(count, edges.iter().map(|(from, to)| (*from, *to)));
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
}

/// A list of numbers for each of some things.
struct Lists {
    first: Vec<u32>,
    list: Vec<u32>,
}

impl Lists {
    /// Sorts pairs (thing, number) by thing.
    fn new(things: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut first = vec![0_u32; things + 1];
        pairs.clone().for_each(|(thing, _)| first[thing as usize + 1] += 1);
        (0..things).for_each(|thing| first[thing + 1] += first[thing]);
        let mut next = first.clone();
        let mut list = vec![0; first[things] as usize];
        for (thing, number) in pairs {
            let place = &mut next[thing as usize];
            list[*place as usize] = number;
            *place += 1;
        }
        Self { first, list }
    }

    fn of(&self, thing: u32) -> &[u32] {
        &self.list[self.first[thing as usize] as usize..self.first[thing as usize + 1] as usize]
    }

    /// Leaves each number once in each list.
    fn dedup(&mut self) {
        let (mut begin, mut kept) = (0, 0);
        for thing in 1..self.first.len() {
            let end = self.first[thing] as usize;
            if end - begin > 1 {
                self.list[begin..end].sort_unstable();
            }
            let start = kept;
            for place in begin..end {
                if kept == start || self.list[kept - 1] != self.list[place] {
                    self.list[kept] = self.list[place];
                    kept += 1;
                }
            }
            begin = end;
            self.first[thing] = index(kept);
        }
        self.list.truncate(kept);
    }
}

/// Chains of tasks; joints and stages are chains of their own, without tasks.
struct Chains {
    /// The chain of each rank.
    of: Vec<u32>,
    /// The level of each chain, and how many tasks it has.
    level: Vec<u32>,
    len: Vec<u32>,
}

impl Chains {
    fn new(before: &Lists, is_task: impl Fn(u32) -> bool, home: impl Fn(u32) -> Home, grouping: Grouping) -> Self {
        let ranks = before.first.len() - 1;
        let mut after = vec![0_u32; ranks];
        before.list.iter().for_each(|from| after[*from as usize] += 1);
        let mut chains = Self { of: vec![0; ranks], level: Vec::new(), len: Vec::new() };
        for rank in 0..index(ranks) {
            let (own, is_task_here) = (before.of(rank), is_task(rank));
            let chain = match own {
                [from]
                    if grouping == Grouping::Auto
                        && is_task_here
                        && is_task(*from)
                        && after[*from as usize] == 1
                        && home(*from) == home(rank) =>
                {
                    chains.of[*from as usize]
                }
                _ => {
                    let level = |from: &u32| chains.level[chains.of[*from as usize] as usize] + 1;
                    let level = own.iter().map(level).max().unwrap_or(0);
                    chains.level.push(level);
                    chains.len.push(0);
                    index(chains.len.len() - 1)
                }
            };
            chains.of[rank as usize] = chain;
            chains.len[chain as usize] += u32::from(is_task_here);
        }
        chains
    }

    fn len(&self, chain: u32) -> u32 {
        self.len[chain as usize]
    }
}

/// What all tasks of a group have in common: home, block and priority.
type Alike = (Home, Option<usize>, i32);

/// The groups so far, in the order of levels.
#[derive(Default)]
struct Groups {
    /// Behind the last position of each.
    ends: Vec<u32>,
    kinds: Vec<Alike>,
    /// How many nanoseconds each takes.
    times: Vec<u64>,
    /// Whether it has tasks of several levels.
    is_ordered: Vec<bool>,
}

impl Groups {
    /// Whether a level of this kind that takes so long may be put into the last group.
    fn may_grow(&self, time: u64, kind: Alike) -> bool {
        self.kinds.last() == Some(&kind) && self.times.last().is_some_and(|own| own + time <= MOST_IN_ORDER)
    }

    /// Whether a chain of this kind belongs in the last group, which has about this time as its aim.
    fn fits(&self, time: u64, kind: Alike, target: u64) -> bool {
        self.kinds.last() == Some(&kind) && self.times.last().is_some_and(|own| own + time / 2 <= target)
    }

    /// Puts a chain into the last group, or into a new one. Returns the group.
    fn put(&mut self, tasks: u32, time: u64, kind: Alike, is_in_last: bool) -> u32 {
        if !is_in_last {
            self.ends.push(self.ends.last().copied().unwrap_or(0));
            self.kinds.push(kind);
            self.times.push(0);
            self.is_ordered.push(false);
        }
        let group = self.ends.len() - 1;
        self.ends[group] += tasks;
        self.times[group] += time;
        index(group)
    }
}

/// A task of the draft.
#[derive(Clone, Copy)]
struct TaskOf {
    record: u32,
    op: u32,
}

/// What grouping knows of a graph: the plan keeps it, to group its tasks again when it knows how long they take.
pub(super) struct Shape {
    grouping: Grouping,
    workers: usize,
    seats: usize,
    before: Lists,
    chains: Chains,
    /// The first rank of each chain.
    begins: Vec<u32>,
    by_level: Lists,
    /// The task of each rank; of a joint or stage, nothing that counts.
    tasks: Vec<TaskOf>,
    /// The home of each chain; empty if none has one.
    homes: Vec<Home>,
    /// The block of each chain; empty if there are no blocks.
    blocks: Vec<Option<usize>>,
    /// The priority of each chain; empty if the user has named none.
    priorities: Vec<i32>,
    /// The joints, each with its rank: first entry and exit of each block, then joins, then the others by rank.
    joints: Vec<(u32, Joint)>,
}

impl Shape {
    /// The shape of a graph without cycles, for so many workers and seats. `blocks` are the blocks of its nodes, if it has any, and `homes`
    /// their homes, if one has one. Also returns, for each stage, the joint that stands for its end, if something waits for
    /// that.
    pub(super) fn new(
        draft: &Draft<'_>,
        edges: Edges,
        blocks: Option<Vec<Option<usize>>>,
        homes: &[Home],
        (workers, seats): (usize, usize),
    ) -> (Self, Vec<Option<u32>>) {
        let (nodes, stages) = (&draft.nodes[..], &draft.stages[..]);
        let joins = edges.joins;
        let vertices = Vertices::of(nodes, edges, stages);
        let ranks = Ranks::new(&vertices);
        let pairs = vertices.edges.iter().map(|(from, to)| (ranks.rank(*to), ranks.rank(*from)));
        let mut before = Lists::new(vertices.count, pairs);
        before.dedup();
        drop(vertices.edges); // a large graph has much of them
        let count = index(vertices.count);
        let node = |rank: u32| nodes.get(ranks.vertex(rank) as usize); // none is a join or stage
        let is_task = |rank: u32| matches!(node(rank), Some(NodeDraft::Task { .. }));
        let home = |rank: u32| homes.get(ranks.vertex(rank) as usize).copied().flatten(); // none of a join or stage
        let chains = Chains::new(&before, is_task, home, draft.grouping);
        let mut begins = vec![u32::MAX; chains.len.len()];
        (0..count).rev().for_each(|rank| begins[chains.of[rank as usize] as usize] = rank);
        let levels = chains.level.iter().max().map_or(0, |level| *level as usize + 1);
        let by_level = Lists::new(levels, chains.level.iter().copied().zip(0..));
        let homes = if homes.is_empty() { Vec::new() } else { begins.iter().map(|rank| home(*rank)).collect() };
        let block_of = |rank: &u32| blocks.as_ref()?.get(ranks.vertex(*rank) as usize).copied().flatten();
        let chain_blocks = if blocks.is_some() { begins.iter().map(block_of).collect() } else { Vec::new() };
        let (mut tasks, mut ends) = (Vec::with_capacity(vertices.count), vec![None; stages.len()]);
        let mut joints = vec![(0, Joint::End); 2 * draft.blocks.len() + joins];
        for rank in 0..count {
            let mut task = TaskOf { record: 0, op: 0 };
            match node(rank) {
                Some(NodeDraft::Task { op, record }) => task = TaskOf { record: *record, op: *op },
                Some(NodeDraft::Enter { block }) => joints[2 * *block as usize] = (rank, Joint::Enter { rank }),
                Some(NodeDraft::Again { block }) => joints[2 * *block as usize + 1] = (rank, Joint::Again { rank }),
                Some(NodeDraft::Gate { stage }) => joints.push((rank, Joint::Gate { stage: *stage, rank })),
                Some(NodeDraft::End { stage }) => {
                    ends[*stage as usize] = Some(index(joints.len()));
                    joints.push((rank, Joint::End));
                }
                None => {
                    let join = ranks.vertex(rank) as usize - nodes.len();
                    if join < joins {
                        joints[2 * draft.blocks.len() + join] = (rank, Joint::Pass);
                    }
                }
            }
            tasks.push(task);
        }
        let grouping = draft.grouping;
        let named = draft.names.priorities();
        let mut priorities = Vec::new();
        if !named.is_empty() {
            priorities.resize(chains.len.len(), i32::MIN);
            for (rank, task) in tasks.iter().enumerate() {
                let own = &mut priorities[chains.of[rank] as usize];
                *own = (*own).max(named.get(&(task.op as usize)).copied().unwrap_or(0));
            }
        }
        (
            Self {
                grouping,
                workers,
                seats,
                priorities,
                before,
                chains,
                begins,
                by_level,
                tasks,
                homes,
                blocks: chain_blocks,
                joints,
            },
            ends,
        )
    }

    fn home(&self, chain: u32) -> Home {
        self.homes.get(chain as usize).copied().flatten()
    }

    fn block(&self, chain: u32) -> Option<usize> {
        self.blocks.get(chain as usize).copied().flatten()
    }

    fn priority(&self, chain: u32) -> i32 {
        self.priorities.get(chain as usize).copied().unwrap_or(0)
    }

    /// Whether it is for the plan to say which tasks are together.
    pub(super) fn is_free(&self) -> bool {
        self.grouping == Grouping::Auto
    }

    /// How many nanoseconds a group is to take, of a level that takes `total`. `repeats`: the level is in a block.
    fn target(&self, total: u64, is_known: bool, repeats: bool) -> u64 {
        if self.grouping == Grouping::Off {
            return 0;
        }
        let (own, least) = (total / self.workers as u64, if is_known { LEAST } else { UNKNOWN });
        let cuts = if repeats && !is_known { CUTS_AGAIN } else { CUTS };
        let target = if is_known { own.min(WORTH.max(own / cuts)) } else { own / cuts };
        total.div_ceil((total / target.clamp(least, MOST)).max(1)) // equal chunks
    }

    /// Groups the tasks. `nanos` tells how long a record takes, if that is known.
    pub(super) fn group<'env>(
        &self,
        records: Records<'env>,
        blocks: Vec<Block<'env>>,
        nanos: Option<&[u32]>,
    ) -> DagParts<'env> {
        let chains = &self.chains;
        let count = chains.len.len();
        let times = nanos.map(|nanos| {
            let mut times = vec![0_u64; count];
            let is_task = |rank: usize| chains.len(chains.of[rank]) > 0;
            for (rank, task) in self.tasks.iter().enumerate().filter(|(rank, _)| is_task(*rank)) {
                times[chains.of[rank] as usize] += u64::from(nanos[task.record as usize]);
            }
            times
        });
        let time = |chain: u32| {
            let unknown = || u64::from(chains.len(chain)) * UNKNOWN;
            times.as_ref().map_or_else(unknown, |times| times[chain as usize].max(1))
        };
        let is_known = times.is_some();
        let has_kinds = !self.homes.is_empty() || !self.blocks.is_empty() || !self.priorities.is_empty();
        let narrow = HANDED * self.workers as u64 / (self.workers as u64 - 1).max(1);
        let (mut sorted, mut group_of) = (Vec::with_capacity(count), vec![0_u32; count]);
        let mut groups = Groups::default();
        let mut was_narrow = false; // the last level: it is one group, and others may be put into that
        for level in 0..index(self.by_level.first.len() - 1) {
            let begin = sorted.len();
            let all = self.by_level.of(level);
            sorted.extend(all.iter().copied().filter(|chain| chains.len(*chain) > 0));
            let own = &mut sorted[begin..];
            let kind = |chain: u32| (self.home(chain), self.block(chain), self.priority(chain));
            if has_kinds {
                own.sort_by_key(|chain| kind(*chain));
            }
            let is_uniform = !has_kinds || own.iter().all(|chain| kind(*chain) == kind(own[0]));
            let total: u64 = own.iter().map(|chain| time(*chain)).sum();
            let is_narrow = is_known && is_uniform && (own.len() == 1 || total < narrow);
            // A joint may wait for the groups before it, and tasks for the joint.
            let goes_on = is_narrow && was_narrow && own.len() == all.len() && groups.may_grow(total, kind(own[0]));
            was_narrow = is_narrow && !own.is_empty();
            let target = if is_narrow {
                u64::MAX
            } else {
                self.target(total, is_known, own.iter().any(|chain| self.block(*chain).is_some()))
            };
            let (mut is_open, first) = (goes_on, groups.ends.len());
            for chain in &*own {
                let (len, time) = (chains.len(*chain), time(*chain));
                is_open = is_open && groups.fits(time, kind(*chain), target);
                group_of[*chain as usize] = groups.put(len, time, kind(*chain), is_open);
                is_open = true;
            }
            if goes_on {
                debug_assert_eq!(first, groups.ends.len(), "all of the level is in the last group");
                groups.is_ordered[first - 1] = true;
            }
        }
        let Groups { ends, kinds, times: sums, is_ordered } = groups;
        let count = ends.last().copied().unwrap_or(0);

        // The tasks in the order of groups, each chain together.
        let mut next = vec![0; chains.len.len()];
        let mut start = 0;
        for chain in &sorted {
            next[*chain as usize] = start;
            start += chains.len(*chain);
        }
        drop(sorted);
        let mut tasks = vec![TaskAt::default(); count as usize];
        for (rank, TaskOf { record, op }) in (0..).zip(&self.tasks) {
            let chain = chains.of[rank as usize];
            if chains.len(chain) > 0 {
                let place = &mut next[chain as usize];
                let is_free = self.begins[chain as usize] == rank;
                tasks[*place as usize] = TaskAt { record: *record, op: *op, rank, is_free };
                *place += 1;
            }
        }
        for (number, (rank, _)) in (ends.len()..).zip(&self.joints) {
            group_of[chains.of[*rank as usize] as usize] = index(number);
        }

        // Records of one kind side by side, in groups without chains. So a task may fire before one that comes first in program
        // order, and fails. All of a group take a few microseconds together, if it is known how long they take.
        let mut begin = 0;
        for (end, is_ordered) in ends.iter().zip(&is_ordered).filter(|_| is_known) {
            let own = &mut tasks[begin..*end as usize];
            begin = *end as usize;
            let kind = |task: &TaskAt| records.kind(task.record);
            if !is_ordered && own.iter().all(|task| task.is_free) && !own.is_sorted_by_key(kind) {
                own.sort_by_key(kind);
            }
        }
        let of_rank = |rank: u32| group_of[chains.of[rank as usize] as usize];
        let inner = self.inner(&tasks, &is_ordered, of_rank);

        // Edges between groups and joints, each once.
        let mut seen = vec![u32::MAX; ends.len() + self.joints.len()];
        let mut edges = Vec::new();
        let mut link = |rank: u32| {
            let to = of_rank(rank);
            for from in self.before.of(rank).iter().map(|from| of_rank(*from)).filter(|from| *from != to) {
                if std::mem::replace(&mut seen[from as usize], to) != to {
                    edges.push((from, to));
                }
            }
        };
        tasks.iter().for_each(|task| link(task.rank));
        let fire = self.joints.iter().filter(|(_, joint)| !matches!(joint, Joint::End)); // which its stage finishes
        fire.for_each(|(rank, _)| link(*rank));
        let joints = self.joints.iter().map(|(_, joint)| *joint).collect();
        let has_priorities = !self.priorities.is_empty();
        let priorities = kinds.iter().filter(|_| has_priorities).map(|(.., priority)| *priority).collect();
        let has_blocks = !self.blocks.is_empty();
        let blocks_of = kinds.iter().filter(|_| has_blocks).map(|(_, block, _)| block.map(index)).collect();
        let homes = kinds.into_iter().map(|(home, ..)| home).collect();
        let (workers, seats) = (self.workers, self.seats);
        DagParts {
            records,
            blocks,
            tasks,
            ends,
            joints,
            edges,
            homes,
            blocks_of,
            times: sums,
            priorities,
            is_known,
            workers,
            seats,
            inner,
        }
    }

    /// The edges within the groups whose tasks have an order. `group` tells the group of a rank.
    fn inner(&self, tasks: &[TaskAt], is_ordered: &[bool], group: impl Fn(u32) -> u32) -> Inner {
        if !is_ordered.contains(&true) {
            return Inner::default();
        }
        let mut position_of = vec![u32::MAX; self.tasks.len()];
        (0..).zip(tasks).for_each(|(position, task)| position_of[task.rank as usize] = position);
        let mut before = vec![0; tasks.len()];
        let mut edges = Vec::new();
        for (position, task) in (0..).zip(tasks).filter(|(_, task)| is_ordered[group(task.rank) as usize]) {
            let own = self.before.of(task.rank).iter().filter(|from| group(**from) == group(task.rank));
            edges.extend(own.map(|from| (position_of[*from as usize], position)));
        }
        edges.iter().for_each(|(_, to)| before[*to as usize] += 1);
        let Lists { first, list: after } = Lists::new(tasks.len(), edges.into_iter());
        Inner { before, first, after }
    }
}
