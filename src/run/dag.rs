//! The task graph: tasks, and the places where streams join them.
//!
//! A node is a task, the gate of a stage that reads data, or the end of a stage. The plan is flat: successors as ranges of
//! one list, the number of missing predecessors in one array that is copied for each run. A node with a single
//! predecessor needs no counter. Whoever finishes a node continues with the first task that it made ready, and queues the
//! others; those of its successors that wait for it alone are adjacent in the list, and are queued as one range.
//!
//! Where tasks have homes, these lists are in the order of homes, and each home gets a range of its own. Whoever finishes a
//! task continues only with one that has the same home, or none. Tasks that wait for nothing are queued in the same way. Where
//! nothing has a home the lists of homes are empty, and a finished task costs a branch more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::Run;
use super::cancel::{Cause, Failure, Site};
use crate::pool::work::job::{Group, Job, Target};
use crate::pool::work::worker::Worker;
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::countdown::FixedCountdown;

/// Up to so many tasks each one is timed; of more, one in [`SAMPLE`].
pub(crate) const TIMED: usize = 4096;
pub(crate) const SAMPLE: u32 = 64;

/// What a task does.
pub(crate) trait TaskBody: Send {
    /// Fires.
    ///
    /// # Safety
    /// (1) The data it accesses is there, and nobody else touches it in a way that excludes this access.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    unsafe fn fire(&mut self);

    /// It was stopped midway: the data it may have half written goes.
    ///
    /// # Safety
    /// (1) As for `fire`.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    unsafe fn torn(&mut self);
}

/// The group of workers that a job goes to first.
pub(crate) type Home = Option<u16>;

/// What a node stands for.
pub(crate) enum Node<'env> {
    /// Fires once: the operator, what it does, and where.
    Task { op: usize, body: Box<dyn TaskBody + 'env>, home: Home },
    /// Opens a stage.
    Gate { stage: usize },
    /// A stage has ended: the stage finishes it.
    End,
}

/// A task's operator, and what it does.
struct Task<'env> {
    op: usize,
    body: UnsafeCell<Box<dyn TaskBody + 'env>>,
}

/// What a node is, in one word: a task, or else the gate of this stage, or the end of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Its place among the tasks.
    Task(u32),
    Gate(u32),
    End,
}

/// The task graph of a run; see the module.
#[repr(C)]
pub(crate) struct Dag<'env> {
    /// Jobs are ranges of `list`.
    target: Target,
    run: *const Run<'static>,
    tasks: Box<[Task<'env>]>,
    kinds: Box<[Kind]>,
    /// Predecessors of each node.
    before: Box<[u32]>,
    missing: Box<[FixedCountdown]>,
    /// The successors of node `n` are `list[first[n]..first[n + 1]]`, those that wait for it alone first.
    first: Box<[u32]>,
    /// How many of them wait for it alone and are tasks.
    lone: Box<[u32]>,
    /// Successor lists, then the tasks without predecessors.
    list: Box<[u32]>,
    roots: u32,
    /// The home of each node; empty if none has one.
    homes: Box<[Home]>,
    /// Tasks from this node on do not fire.
    limit: AtomicU32,
    /// Nanoseconds of each task that has fired, at least one (exact, or one sampled in [`SAMPLE`]).
    nanos: Box<[AtomicU64]>,
}

#[expect(unsafe_code, reason = "tasks fire on any worker")]
// SAFETY: (1) a node's body is touched only by the one firing of the node in a run, which comes after its predecessors'
// and before its successors'; (2) bodies are `Send`; (3) `run` is the run that owns the graph.
unsafe impl Sync for Dag<'_> {}
#[expect(unsafe_code, reason = "tasks fire on any worker")]
// SAFETY: see `Sync`.
unsafe impl Send for Dag<'_> {}

impl<'env> Dag<'env> {
    /// From nodes and edges (from, to); edges may repeat.
    pub(crate) fn new(nodes: Vec<Node<'env>>, mut edges: Vec<(u32, u32)>) -> Self {
        edges.sort_unstable();
        edges.dedup();
        let mut before = vec![0_u32; nodes.len()];
        edges.iter().for_each(|(_, to)| before[*to as usize] += 1);
        let is_task = |node: u32| matches!(nodes[node as usize], Node::Task { .. });
        let alone = |node: u32| before[node as usize] == 1 && is_task(node);
        let home = |node: &Node<'_>| if let Node::Task { home, .. } = node { *home } else { None };
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
        let mut tasks = Vec::new();
        let kinds = nodes.into_iter().map(|node| match node {
            Node::Task { op, body, .. } => {
                tasks.push(Task { op, body: UnsafeCell::new(body) });
                Kind::Task(u32::try_from(tasks.len() - 1).expect("fewer than 2^32 nodes"))
            }
            Node::Gate { stage } => Kind::Gate(u32::try_from(stage).expect("fewer than 2^32 stages")),
            Node::End => Kind::End,
        });
        Self {
            target: Target::new(if homes.is_empty() { fire::<false> } else { fire::<true> }, None),
            run: std::ptr::null(),
            kinds: kinds.collect(),
            missing: before.iter().map(|_| FixedCountdown::default()).collect(),
            before: before.into(),
            first: first.into(),
            lone: lone.into(),
            list: list.into(),
            roots,
            homes,
            limit: AtomicU32::new(u32::MAX),
            nanos: tasks.iter().map(|_| AtomicU64::new(0)).collect(),
            tasks: tasks.into(),
        }
    }

    /// Lets jobs find the graph; it does not move from now on.
    pub(crate) fn link(&mut self, run: *const Run<'env>, group: NonNull<Group>) {
        self.run = run.cast();
        self.target.group = Some(group);
    }

    pub(crate) fn reset(&mut self) {
        self.missing.iter().zip(&self.before).for_each(|(missing, before)| missing.restart(*before));
        self.nanos.iter().for_each(|nanos| nanos.store(0, Ordering::Relaxed));
        self.limit.store(u32::MAX, Ordering::Relaxed);
    }

    /// Jobs that may be queued at once.
    pub(crate) fn jobs(&self) -> usize {
        self.tasks.len()
    }

    /// Queues what waits for nothing.
    pub(crate) fn start(&self, run: &Run<'static>, worker: &Worker<'_>) {
        let end = u32::try_from(self.list.len()).expect("checked in `new`");
        self.push_homes(self.roots, end, worker, |_| false);
        for (kind, before) in self.kinds.iter().zip(&self.before) {
            if let (Kind::Gate(stage), 0) = (kind, before) {
                run.cx(*stage as usize, worker).open();
            }
        }
    }

    /// Tasks from `node` on do not fire any more.
    pub(crate) fn stop_from(&self, node: u32) {
        // Relaxed: it only says what need not be done.
        self.limit.fetch_min(node, Ordering::Relaxed);
    }

    /// The end of a stage is there: what waits for that node may be ready.
    pub(crate) fn finish(&self, node: u32, run: &Run<'static>, worker: &Worker<'_>) {
        match self.homes.is_empty() {
            true => self.finish_as::<false>(node, run, worker),
            false => self.finish_as::<true>(node, run, worker),
        }
    }

    /// A node is done: its successors may be ready. `HOMES`: some task has a home.
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
                worker.push(self.job(begin + 1, shared));
            }
        }
        for place in shared..end {
            let successor = self.list[place as usize] as usize;
            if self.before[successor] > 1 && !self.missing[successor].arrive() {
                continue;
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

    /// Queues a part of the list that is in the order of homes: a range for each. Gives the first task that `stays` instead.
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

    /// The home of the task in a place of the list.
    fn home(&self, place: u32) -> Home {
        self.homes.get(self.list[place as usize] as usize).copied().flatten()
    }

    /// Where the tasks end that have the same home as the first one of a part of the list.
    fn end_of_home(&self, first: u32, end: u32) -> u32 {
        let home = self.home(first);
        let (mut low, mut high) = (first, end);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.home(middle) == home { low = middle } else { high = middle }
        }
        high
    }

    /// Queues the tasks in a range of the list, which have one home.
    fn push<const HOMES: bool>(&self, first: u32, last: u32, worker: &Worker<'_>) {
        let job = self.job(first, last);
        match HOMES {
            true => worker.push_home(job, self.home(first).map(usize::from)),
            false => worker.push(job),
        }
    }

    fn job(&self, first: u32, end: u32) -> Job {
        Job { target: NonNull::from(self).cast(), payload: u64::from(first) << 32 | u64::from(end) }
    }

    /// Fires the first task of a range, after making jobs of the others.
    fn fire<const HOMES: bool>(&self, first: u32, mut end: u32, run: &Run<'static>, worker: &Worker<'_>) {
        while end - first > 1 {
            let middle = first + (end - first) / 2;
            worker.push(self.job(middle, end));
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
            // SAFETY: this is the one firing of the task in this run.
            let body = unsafe { &mut *body };
            // SAFETY: (1) its predecessors have finished, and its successors have not begun: every access that excludes
            // one of its own is one or the other.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { body.fire() }));
            if result.is_err() {
                // SAFETY: (1) as above.
                unsafe { body.torn() };
            }
            result
        });
        let nanos = start.map_or(0, |start| u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        self.nanos[index as usize].store(nanos.max(1), Ordering::Relaxed);
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

    /// What the tasks did: operator, whether it fired, time, and whether the time is sampled.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = (usize, bool, Duration, bool)> + '_ {
        let factor = if self.is_exact() { 1 } else { u64::from(SAMPLE) };
        self.tasks.iter().zip(&self.nanos).map(move |(task, nanos)| {
            let nanos = nanos.load(Ordering::Relaxed);
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
