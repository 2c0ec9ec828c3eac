//! The task graph: tasks, and the nodes at which streams join them.
//!
//! A node is a task, the gate of a stage that reads data, or the end of a stage. The layout is flat. The successors of
//! each node are a range of one list. The counts of missing predecessors are one array. A node with a single predecessor
//! does not use its count.
//!
//! The worker that finishes a node continues with the first task that this made ready, and queues the others.
//! Successors that wait for this node alone are adjacent in the list, so the worker queues them as one range. The
//! worker that takes a range splits it until one task is left, and queues the rest.
//!
//! If tasks have homes, each part of the list is sorted by home, and each home gets a range of its own. The worker that
//! finishes a task continues only with a task that has the same home or none. Tasks that wait for nothing are queued in
//! the same way. If nothing has a home the lists of homes are empty, and a finished task costs one branch more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::Duration;

use super::Run;
use super::cancel::{Cause, Failure, Site};
use crate::pool::work::job::{Group, Job, Target};
use crate::pool::work::worker::Worker;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::countdown::FixedCountdown;
use crate::sync::{Arrival, Instant, UnsafeCell};

/// A graph with at most this many tasks times every task; a larger one times one task in [`SAMPLE`].
pub(crate) const TIMED: usize = 4096;
/// One in how many tasks a graph with more than [`TIMED`] tasks times.
pub(crate) const SAMPLE: u32 = 64;

/// What a task does.
pub(crate) trait TaskBody: Send {
    /// Fires the task: runs its closure once.
    ///
    /// # Safety
    /// (1) The data it accesses is present, and no other thread accesses that data in a way that excludes this access.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    unsafe fn fire(&mut self);

    /// Called after `fire` has panicked: drops the data that the task may have half written.
    ///
    /// # Safety
    /// (1) As for `fire`.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    unsafe fn torn(&mut self);
}

/// The number of the group of workers that a job goes to first. None: any worker.
pub(crate) type Home = Option<u16>;

/// What a node stands for.
pub(crate) enum DagNode<'env> {
    /// Fires once in a run: the operator, what it does, and where.
    Task { op: usize, body: Box<dyn TaskBody + 'env>, home: Home },
    /// Opens the gate of a stage.
    Gate { stage: usize },
    /// Stands for the end of a stage. The stage calls [`Dag::finish`] when it has ended.
    End,
}

/// A task's operator, and what it does.
struct DagTask<'env> {
    op: usize,
    body: UnsafeCell<Box<dyn TaskBody + 'env>>,
}

/// What a node stands for, in compact form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The index among the tasks.
    Task(u32),
    /// The stage.
    Gate(u32),
    End,
}

/// The task graph of a run; see the module.
#[repr(C)]
pub(crate) struct Dag<'env> {
    /// The target of the jobs of this graph. The payload of a job is a range of `list`.
    target: Target,
    run: *const Run<'static>,
    tasks: Box<[DagTask<'env>]>,
    kinds: Box<[Kind]>,
    /// How many predecessors each node has.
    before: Box<[u32]>,
    /// How many predecessors of each node have not finished yet in this run. Who finishes the last one starts the count
    /// over for the next run.
    missing: Box<[FixedCountdown]>,
    /// The successors of node `n` are `list[first[n]..first[n + 1]]`, those that wait for it alone first.
    first: Box<[u32]>,
    /// How many successors of each node are tasks and wait for this node alone.
    lone: Box<[u32]>,
    /// The successors of all nodes, then the tasks without predecessors.
    list: Box<[u32]>,
    /// Where in `list` the tasks without predecessors begin.
    roots: u32,
    /// The stages whose gates have no predecessors.
    open: Box<[u32]>,
    /// The home of each node; empty if none has one.
    homes: Box<[Home]>,
    /// Tasks at this node and at later ones do not fire.
    limit: AtomicU32,
    /// Nanoseconds of each task, with the parity of the run in which it fired last.
    nanos: Box<[AtomicU64]>,
    parity: u64,
    /// Whether all tasks have fired in the last run, or none ever has: then each one has the parity of that run, and no
    /// count is left in the middle. If not, the next run starts with a walk over all tasks, by one thread.
    is_whole: bool,
}

#[expect(unsafe_code, reason = "tasks fire on any worker")]
// SAFETY: (1) a node's body is touched only by the one firing of that node in a run, which comes after the firings of
// its predecessors and before those of its successors; (2) bodies are `Send`; (3) `run` is the run that owns the graph.
unsafe impl Sync for Dag<'_> {}
#[expect(unsafe_code, reason = "tasks fire on any worker")]
// SAFETY: see `Sync`.
unsafe impl Send for Dag<'_> {}

impl<'env> Dag<'env> {
    /// Lays out a graph of `nodes` and `edges`. An edge is a pair (from, to), and may occur several times.
    pub(crate) fn new(nodes: Vec<DagNode<'env>>, mut edges: Vec<(u32, u32)>) -> Self {
        edges.sort_unstable();
        edges.dedup();
        let mut before = vec![0_u32; nodes.len()];
        edges.iter().for_each(|(_, to)| before[*to as usize] += 1);
        let is_task = |node: u32| matches!(nodes[node as usize], DagNode::Task { .. });
        let alone = |node: u32| before[node as usize] == 1 && is_task(node);
        let home = |node: &DagNode<'_>| if let DagNode::Task { home, .. } = node { *home } else { None };
        let homes: Box<[Home]> = match nodes.iter().any(|node| home(node).is_some()) {
            true => nodes.iter().map(home).collect(),
            false => Box::default(),
        };
        let home = |node: u32| homes.get(node as usize).copied().flatten();
        edges.sort_by_key(|(from, to)| (*from, !alone(*to), home(*to), *to));
        let mut first = vec![0_u32; nodes.len() + 1];
        let mut lone = vec![0_u32; nodes.len()];
        for (from, to) in &edges {
            first[*from as usize + 1] += 1;
            lone[*from as usize] += u32::from(alone(*to));
        }
        for node in 0..nodes.len() {
            first[node + 1] += first[node];
        }
        let mut list: Vec<u32> = edges.iter().map(|(_, to)| *to).collect();
        let roots = u32::try_from(list.len()).expect("fewer than 2^32 edges");
        let count = u32::try_from(nodes.len()).expect("fewer than 2^32 nodes");
        list.extend((0..count).filter(|node| before[*node as usize] == 0 && is_task(*node)));
        list[roots as usize..].sort_by_key(|node| home(*node));
        let at_once = |(node, before): (&DagNode<'_>, &u32)| match node {
            DagNode::Gate { stage } if *before == 0 => Some(u32::try_from(*stage).expect("fewer than 2^32 stages")),
            _ => None,
        };
        let open = nodes.iter().zip(&before).filter_map(at_once).collect();
        let mut tasks = Vec::new();
        let kinds = nodes.into_iter().map(|node| match node {
            DagNode::Task { op, body, .. } => {
                tasks.push(DagTask { op, body: UnsafeCell::new(body) });
                Kind::Task(u32::try_from(tasks.len() - 1).expect("fewer than 2^32 nodes"))
            }
            DagNode::Gate { stage } => Kind::Gate(u32::try_from(stage).expect("fewer than 2^32 stages")),
            DagNode::End => Kind::End,
        });
        Self {
            target: Target::new(if homes.is_empty() { fire::<false> } else { fire::<true> }, None),
            run: std::ptr::null(),
            kinds: kinds.collect(),
            missing: before.iter().map(|before| FixedCountdown::new(*before)).collect(),
            before: before.into(),
            first: first.into(),
            lone: lone.into(),
            list: list.into(),
            roots,
            open,
            homes,
            limit: AtomicU32::new(u32::MAX),
            nanos: tasks.iter().map(|_| AtomicU64::new(0)).collect(),
            parity: 0,
            is_whole: true,
            tasks: tasks.into(),
        }
    }

    /// Stores the pointers by which jobs find the run. The graph must not move after this.
    pub(crate) fn link(&mut self, run: *const Run<'env>, group: NonNull<Group>) {
        self.run = run.cast();
        self.target.group = Some(group);
    }

    pub(crate) fn reset(&mut self) {
        if std::mem::take(&mut self.is_whole) {
            self.parity ^= 1;
        } else {
            self.missing.iter().zip(&self.before).for_each(|(missing, before)| missing.restart(*before));
            self.nanos.iter().for_each(|nanos| nanos.store(0, Ordering::Relaxed));
        }
        self.limit.store(u32::MAX, Ordering::Relaxed);
    }

    /// The run has ended, and every task has fired.
    pub(crate) fn ended_well(&mut self) {
        self.is_whole = true;
    }

    /// How many jobs of the graph may be queued at once.
    pub(crate) fn jobs(&self) -> usize {
        self.tasks.len()
    }

    /// Queues the tasks without predecessors, and opens the gates without predecessors.
    pub(crate) fn start(&self, run: &Run<'static>, worker: &Worker<'_>) {
        let end = u32::try_from(self.list.len()).expect("checked in `new`");
        self.push_homes(self.roots, end, worker, |_| false);
        self.open.iter().for_each(|stage| run.cx(*stage as usize, worker).open());
    }

    /// Stops the tasks at `node` and at later nodes from firing.
    pub(crate) fn stop_from(&self, node: u32) {
        // Relaxed: a worker that sees the limit late only does work that it could have left out.
        self.limit.fetch_min(node, Ordering::Relaxed);
    }

    /// Finishes the node that stands for the end of a stage; its successors may become ready.
    pub(crate) fn finish(&self, node: u32, run: &Run<'static>, worker: &Worker<'_>) {
        match self.homes.is_empty() {
            true => self.finish_as::<false>(node, run, worker),
            false => self.finish_as::<true>(node, run, worker),
        }
    }

    /// Finishes a node; its successors may become ready. `HOMES` says whether some task has a home.
    fn finish_as<const HOMES: bool>(&self, node: u32, run: &Run<'static>, worker: &Worker<'_>) {
        let node = node as usize;
        let (begin, end) = (self.first[node], self.first[node + 1]);
        let shared = begin + self.lone[node];
        let stays = |place: u32| !HOMES || self.home(place).is_none_or(|home| self.homes[node] == Some(home));
        let mut next;
        if HOMES {
            next = self.push_homes(begin, shared, worker, stays);
        } else {
            next = (begin < shared).then_some(begin);
            if begin + 1 < shared {
                self.push::<HOMES>(begin + 1, shared, worker);
            }
        }
        for place in shared..end {
            let successor = self.list[place as usize] as usize;
            let before = self.before[successor];
            if before > 1 {
                if self.missing[successor].arrive() == Arrival::Earlier {
                    continue;
                }
                self.missing[successor].restart(before);
            }
            match self.kinds[successor] {
                Kind::Task(_) if next.is_none() && stays(place) => next = Some(place),
                Kind::Task(_) => self.push::<HOMES>(place, place + 1, worker),
                Kind::Gate(stage) => run.cx(stage as usize, worker).open(),
                Kind::End => unreachable!("the end of a stage has no predecessors"),
            }
        }
        if let Some(place) = next {
            worker.continue_with(self.job(place, place + 1));
        }
    }

    /// Queues a part of the list that is sorted by home, as one range for each home. The first task for which `stays`
    /// holds is not queued; its place in the list is returned.
    fn push_homes(&self, begin: u32, end: u32, worker: &Worker<'_>, stays: impl Fn(u32) -> bool) -> Option<u32> {
        let (mut first, mut kept) = (begin, None);
        while first < end {
            let last = self.end_of_home(first, end);
            if kept.is_none() && stays(first) {
                kept = Some(first);
                first += 1;
            }
            if first < last {
                self.push::<true>(first, last, worker);
            }
            first = last;
        }
        kept
    }

    /// The home of the task at a place of the list.
    fn home(&self, place: u32) -> Home {
        self.homes.get(self.list[place as usize] as usize).copied().flatten()
    }

    /// The place behind the tasks of `first..end` that have the same home as the one at `first`.
    fn end_of_home(&self, first: u32, end: u32) -> u32 {
        let home = self.home(first);
        let (mut low, mut high) = (first, end);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.home(middle) == home { low = middle } else { high = middle }
        }
        high
    }

    /// Queues the tasks in a range of the list, which all have the same home.
    fn push<const HOMES: bool>(&self, first: u32, end: u32, worker: &Worker<'_>) {
        let home = if HOMES { self.home(first).map(usize::from) } else { None };
        worker.push_parts(self.job(first, end), u64::from(end - first), home);
    }

    fn job(&self, first: u32, end: u32) -> Job {
        Job { target: NonNull::from(self).cast(), payload: u64::from(first) << 32 | u64::from(end) }
    }

    /// Queues all tasks of a range but the first, then fires the first.
    fn fire<const HOMES: bool>(&self, first: u32, mut end: u32, run: &Run<'static>, worker: &Worker<'_>) {
        while end - first > 1 {
            let middle = first + (end - first) / 2;
            worker.push_counted(self.job(middle, end)); // with a token for each of its tasks
            end = middle;
        }
        let node = self.list[first as usize];
        if node >= self.limit.load(Ordering::Relaxed) {
            return;
        }
        let Kind::Task(index) = self.kinds[node as usize] else { unreachable!("only tasks are queued") };
        let task = &self.tasks[index as usize];
        let timed = self.is_exact() || index.is_multiple_of(SAMPLE);
        let start = timed.then(Instant::now);
        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        let result = task.body.with_mut(|body| {
            // SAFETY: (1) of `Sync`: this is the one firing of the task in this run.
            let body = unsafe { &mut *body };
            // SAFETY: (1) the predecessors of the task have finished, and its successors have not begun. Every access
            // that excludes one of this task's accesses is made by a predecessor or a successor.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { body.fire() }));
            if result.is_err() {
                // SAFETY: (1) as above.
                unsafe { body.torn() };
            }
            result
        });
        let nanos = start.map_or(0, |start| u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        self.nanos[index as usize].store(nanos.max(1) << 1 | self.parity, Ordering::Relaxed);
        match result {
            Ok(()) => self.finish_as::<HOMES>(node, run, worker),
            Err(panic) => {
                run.fail(Site::Task { node }, Failure::new(task.op, None, Cause::Panic(panic)));
            }
        }
    }

    /// Whether every task is timed.
    fn is_exact(&self) -> bool {
        self.tasks.len() <= TIMED
    }

    /// What each task did: its operator, whether it fired, its time, and whether the time is sampled.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = (usize, bool, Duration, bool)> + '_ {
        let factor = if self.is_exact() { 1 } else { u64::from(SAMPLE) };
        self.tasks.iter().zip(&self.nanos).map(move |(task, nanos)| {
            let noted = nanos.load(Ordering::Relaxed);
            // 0 if it has never fired, 1 if it has fired untimed, else its time.
            let nanos = if noted & 1 == self.parity { noted >> 1 } else { 0 };
            let time = if nanos > 1 { Duration::from_nanos(nanos.saturating_mul(factor)) } else { Duration::ZERO };
            (task.op, nanos > 0, time, factor > 1)
        })
    }
}

#[expect(unsafe_code, reason = "jobs reach the task graph by pointer")]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
unsafe fn fire<const HOMES: bool>(target: NonNull<Target>, range: u64, worker: &Worker<'_>) {
    // SAFETY: the target is the first field of a linked graph; the job's token keeps the run alive.
    let dag: &Dag<'_> = unsafe { target.cast().as_ref() };
    // SAFETY: `link` set the run that owns the graph.
    let run = unsafe { &*dag.run };
    dag.fire::<HOMES>((range >> 32) as u32, range as u32, run, worker);
}
