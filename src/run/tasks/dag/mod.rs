//! The task graph: groups of tasks, and the nodes at which streams join them.
//!
//! A node is a group of tasks, the gate of a stage that reads data, or the end of a stage. The layout is flat. The
//! successors of each node are a range of one list. The counts of missing predecessors are one array. A node with a
//! single predecessor does not use its count.
//!
//! The worker that finishes a node continues with the most urgent group that this made ready, and queues the others, the most
//! urgent last, as it takes the newest first. Successors that wait for this node alone are adjacent in the list, so the worker
//! queues them as one range. The worker that takes a range splits it until one group is left, and queues the rest.
//!
//! If tasks have homes, each part of the list is sorted by home, and each home gets a range of its own. The worker that
//! finishes a group continues only with a group that has the same home or none. Groups that wait for nothing are queued
//! in the same way. If nothing has a home the lists of homes are empty, and a finished group costs one branch more.

mod boards;
mod hold;
mod layout;
mod learn;
mod loose;
mod targets;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::NonNull;

use boards::NodeBoards;
use hold::{Held, Kind};
pub(crate) use learn::TaskDid;
use loose::{Cut, Loose};

use crate::pool::Shared;
use crate::pool::work::job::{Group, Job, Target, split_word, word};
use crate::pool::work::worker::Worker;
use crate::run::Run;
use crate::run::tasks::block::Block;
use crate::run::tasks::parts::{Home, Joint, Tasks};
use crate::run::tasks::record::Code;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::countdown::FixedCountdown;
use crate::sync::{Arrival, Mutex, explores, name_target};
#[cfg(feature = "check")]
use crate::sync::{Call, will_call};

/// So many nanoseconds make the two readings of the clock a hundredth of the time.
const LONG: u64 = 5000;

/// The task graph of a run; see the module.
#[repr(C)]
pub(crate) struct Dag<'env> {
    /// The target of jobs whose payload is a range of `list`.
    target: Target,
    /// The target of jobs whose payload is a part of a group: a range of positions.
    parts: Target,
    /// The target of jobs whose payload are the tasks in which a worker is for long: a range of positions.
    stuck: Target,
    /// The target of jobs whose payload is a task of a loose group: its position, and the group.
    loosened: Target,
    /// The target of tickets: the payload is the node whose board they are for, and their number.
    tickets: Target,
    run: *const Run<'static>,
    code: Code<'env>,
    tasks: Tasks,
    /// Behind the last position of each group.
    ends: Box<[u32]>,
    /// The least rank of each group's tasks.
    least: Box<[u32]>,
    /// How each group can be cut.
    cuts: Box<[Cut]>,
    loose: Loose,
    /// First the entry and the exit of each block.
    joints: Box<[Joint]>,
    blocks: Box<[Block<'env>]>,
    /// The innermost block of each group; empty if there are no blocks.
    blocks_of: Box<[Option<u32>]>,
    /// The node behind those that fire: groups, entries and exits of blocks, and joints that do nothing.
    firing: u32,
    /// Whether a block was left out in this run.
    left_out: AtomicBool,
    /// How many predecessors each node has.
    before: Box<[u32]>,
    /// How many predecessors of each node have not finished yet in this run. Who finishes the last one starts the count
    /// over for the next run.
    missing: Box<[FixedCountdown]>,
    /// How many hold a part of each group. It is one but in groups that were cut. The last one starts the count over.
    holders: Box<[FixedCountdown]>,
    /// The successors of node `n` are `list[first[n]..first[n + 1]]`: those that wait for it alone, the most urgent first,
    /// then the others, the most urgent last.
    first: Box<[u32]>,
    /// How many successors of each node are groups and wait for this node alone.
    lone: Box<[u32]>,
    /// The successors of all nodes, then the groups without predecessors.
    list: Box<[u32]>,
    /// Where in `list` the groups without predecessors begin.
    roots: u32,
    /// The gates that have no predecessors.
    open: Box<[u32]>,
    /// Whether no priorities say which groups come first. Groups are numbered by level.
    goes_by_level: bool,
    /// The home of each group; empty if none has one.
    homes: Box<[Home]>,
    /// Where workers choose among groups, unless none is long or something has a home.
    boards: Option<Box<NodeBoards>>,
    /// Tasks of this rank and of higher ones do not fire.
    limit: AtomicU32,
    /// What is known of the time of each group, with the parity of the run in which it ran last: 0 if it never ran, 1 if
    /// it was never timed, else nanoseconds.
    nanos: Box<[AtomicU64]>,
    parity: u64,
    /// How many nanoseconds those took that have held a part of each group, or a task of a loose one, until all of it has ended.
    shares: Box<[AtomicU64]>,
    /// How many nanoseconds each group took in all its times of a run. Empty if there are no blocks.
    sums: Box<[AtomicU64]>,
    /// How many nanoseconds each group is expected to take, and whether that was measured. It does not change in a run.
    expected: Box<[u64]>,
    is_known: bool,
    /// By position, how many nanoseconds the tasks of slow groups took, if this run looks closely at these.
    closely: Option<Box<[AtomicU32]>>,
    /// Whether a group that nobody timed took long in this run, so that others took a part of it or found its worker in a task: the
    /// next run times all groups.
    is_surprised: AtomicBool,
    times_all: bool,
    /// Whether the groups were made by measured times.
    by_times: bool,
    /// How many runs there were.
    round: u32,
    /// By position, the tasks of groups that ran that did not fire, or did not come to their end.
    skipped: Box<[AtomicU64]>,
    /// The data that tasks have left half written in this run, by address, each with the operator of the task.
    gone: Mutex<Vec<(NonZeroUsize, u32)>>,
    /// Whether all tasks have fired in the last run, or none ever has: then each group has the parity of that run, and no
    /// count is left in the middle. If not, the next run starts with a walk over all groups, by one thread.
    is_whole: bool,
}

#[expect(unsafe_code, reason = "tasks fire on any worker")]
// SAFETY: (1) a record is touched only by the one firing of its task in a run, which comes after the firings of its
// predecessors and before those of its successors; (2) records are `Send`; (3) `run` is the run that owns the graph.
unsafe impl Sync for Dag<'_> {}
#[expect(unsafe_code, reason = "tasks fire on any worker")]
// SAFETY: see `Sync`.
unsafe impl Send for Dag<'_> {}

/// So many nanoseconds an average task of a group takes at least, if its calls are recorded by the clock.
#[cfg(feature = "check")]
const SHORT_TASK: u64 = 2000;

impl<'env> Dag<'env> {
    /// Stores the pointers by which jobs find the run. The graph must not move after this.
    pub(crate) fn link(&mut self, run: *const Run<'env>, group: NonNull<Group>) {
        self.run = run.cast();
        name_target(&raw const self.target);
        self.target.group = Some(group);
        self.parts.group = Some(group);
        self.stuck.group = Some(group);
        self.loosened.group = Some(group);
        self.tickets.group = Some(group);
    }

    pub(crate) fn reset(&mut self) {
        if std::mem::take(&mut self.is_whole) {
            self.parity ^= 1;
        } else {
            self.missing.iter().zip(&self.before).for_each(|(missing, before)| missing.restart(*before));
            self.holders.iter().for_each(|holders| holders.restart(1));
            self.shares.iter().for_each(|share| share.store(0, Ordering::Relaxed));
            self.loose.reset();
            let parity = self.parity;
            let other = |nanos: &AtomicU64| nanos.load(Ordering::Relaxed) & !1 | (parity ^ 1);
            self.nanos.iter().for_each(|nanos| nanos.store(other(nanos), Ordering::Relaxed));
            self.skipped.iter().for_each(|skipped| skipped.store(0, Ordering::Relaxed));
        }
        self.blocks.iter_mut().for_each(Block::reset);
        self.round = self.round.wrapping_add(1);
        self.times_all = self.is_surprised.swap(false, Ordering::Relaxed);
        self.limit.store(u32::MAX, Ordering::Relaxed);
        self.left_out.store(false, Ordering::Relaxed);
    }

    /// What is known of the tasks besides their records.
    pub(crate) fn known(&self) -> &Tasks {
        &self.tasks
    }

    /// Whether there are tasks that are repeated or left out.
    pub(crate) fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Whether a block was left out in the last run.
    pub(crate) fn has_left_out(&self) -> bool {
        self.left_out.load(Ordering::Relaxed)
    }

    /// The data that tasks have left half written in the last run, by address, each with the operator of the task.
    pub(crate) fn take_gone(&self) -> Vec<(NonZeroUsize, u32)> {
        std::mem::take(&mut self.gone.lock())
    }

    /// The run has ended well.
    pub(crate) fn ended_well(&mut self) {
        self.is_whole = !self.has_left_out();
    }

    /// How many jobs of the graph may be queued at once, as a rule.
    pub(crate) fn jobs(&self) -> usize {
        self.firing as usize + (self.tasks.order.len() - self.ends.len()).min(PARTS)
    }

    /// Queues the groups without predecessors, and opens the gates without predecessors.
    pub(crate) fn start(&self, run: &Run<'static>, worker: &Worker<'_>) {
        let roots = self.roots..index(self.list.len());
        if !self.homes.is_empty() {
            self.push_homes(roots.start, roots.end, worker, |_| false);
        } else if !roots.is_empty() {
            let jobs = self.jobs_of(index(self.before.len()), roots.clone());
            worker.push_parts(jobs(roots.clone()), roots.len() as u64, None);
        }
        self.open.iter().for_each(|node| self.open(*node, run, worker));
    }

    /// Stops the tasks of `rank` and of higher ranks from firing.
    pub(crate) fn stop_from(&self, rank: u32) {
        // Relaxed: a worker that sees the limit late only does work that it could have left out.
        self.limit.fetch_min(rank, Ordering::Relaxed);
    }

    /// The pool of the run.
    pub(in crate::run::tasks) fn pool(&self) -> &Shared {
        #[expect(unsafe_code, reason = "a graph knows its run")]
        // SAFETY: `link` set the run that owns the graph.
        let run = unsafe { &*self.run };
        &run.pool
    }

    /// Tasks of this rank and of higher ones must not fire.
    pub(in crate::run::tasks) fn limit(&self) -> &AtomicU32 {
        &self.limit
    }

    /// Whether some tasks must not fire.
    fn is_limited(&self) -> bool {
        self.limit.load(Ordering::Relaxed) != u32::MAX
    }

    /// Finishes the joint that stands for the end of a stage; its successors may become ready.
    pub(crate) fn finish(&self, joint: u32, run: &Run<'static>, worker: &Worker<'_>) {
        let node = index(self.ends.len()) + joint;
        match self.homes.is_empty() {
            true => self.finish_as::<false>(node, run, worker),
            false => self.finish_as::<true>(node, run, worker),
        }
    }

    /// Finishes a node; its successors may become ready. `HOMES` says whether some task has a home.
    fn finish_as<const HOMES: bool>(&self, node: u32, run: &Run<'static>, worker: &Worker<'_>) {
        let (begin, end) = (self.first[node as usize], self.first[node as usize + 1]);
        let shared = begin + self.lone[node as usize];
        let own = self.home(node);
        let stays = |place: u32| !HOMES || self.home_at(place).is_none_or(|home| own == Some(home));
        let mut next = None;
        if HOMES {
            next = self.push_homes(begin, shared, worker, stays).map(|place| self.job(place, place + 1));
        } else if begin < shared {
            let jobs = self.jobs_of(node, begin..shared);
            next = Some(jobs(begin..begin + 1));
            if begin + 1 < shared {
                worker.push_parts(jobs(begin + 1..shared), u64::from(shared - begin - 1), None);
            }
        }
        let mut urgent: Option<u32> = None; // of those so far, the last one
        for place in shared..end {
            let successor = self.list[place as usize];
            let before = self.before[successor as usize];
            if before > 1 {
                let missing = &self.missing[successor as usize];
                let arrival = if successor < self.firing { missing.arrive_for_job() } else { missing.arrive() };
                if arrival == Arrival::Earlier {
                    continue;
                }
                missing.restart(before);
            }
            if successor >= self.firing {
                self.open(successor, run, worker);
            } else if next.is_none() && stays(place) {
                if let Some(before) = urgent.replace(place) {
                    self.push::<HOMES>(before, before + 1, worker);
                }
            } else {
                self.push::<HOMES>(place, place + 1, worker);
            }
        }
        if let Some(job) = next.or_else(|| urgent.map(|place| self.job(place, place + 1))) {
            match self.follows_two(&job) {
                Some(group) => worker.continue_with_better(job, |newest| self.is_before(newest, group)),
                None => worker.continue_with(job),
            }
        } else if self.loose.is_any() {
            self.loosen_more(worker);
        }
    }

    /// The group that a job is about, if it has several tasks. Such a group waits for two groups of the level before, as each
    /// level is cut anew. If its worker went on and on with what it makes ready, others would soon have nothing that is
    /// ready. With groups of one task it does so: their data is in its cache.
    fn follows_two(&self, job: &Job) -> Option<u32> {
        let group = self.first_of(job).filter(|group| self.goes_by_level && (*group as usize) < self.ends.len())?;
        (self.positions(group).len() > 1).then_some(group)
    }

    /// Whether a job is about groups of a level before that of this group, or before it in the same one.
    fn is_before(&self, job: &Job, group: u32) -> bool {
        self.first_of(job).is_some_and(|first| first < group)
    }

    /// The first node of a range of the list that a job is about.
    fn first_of(&self, job: &Job) -> Option<u32> {
        let is_range = job.target == NonNull::from(self).cast();
        is_range.then(|| self.list[split_word(job.payload).0 as usize])
    }

    /// Opens a gate, unless a task that it waits for has not fired.
    fn open(&self, node: u32, run: &Run<'static>, worker: &Worker<'_>) {
        match self.joints[node as usize - self.ends.len()] {
            Joint::Gate { rank, .. } if rank >= self.limit.load(Ordering::Relaxed) => {}
            Joint::Gate { stage, .. } => run.cx(stage as usize, worker).open(),
            Joint::End => unreachable!("the end of a stage has no predecessors"),
            Joint::Enter { .. } | Joint::Again { .. } | Joint::Pass => unreachable!("they fire"),
        }
    }

    /// Fires a joint.
    fn pass<const HOMES: bool>(&self, joint: usize, run: &Run<'static>, worker: &Worker<'_>) {
        let (entry, exit) = (joint & !1, joint | 1);
        let (Joint::Enter { rank } | Joint::Again { rank }) = self.joints[joint] else {
            return self.finish_as::<HOMES>(index(self.ends.len() + joint), run, worker);
        };
        let is_wanted = rank < self.limit.load(Ordering::Relaxed);
        let goes_in = is_wanted && self.blocks[joint / 2].goes_in(joint == entry, rank, run);
        if joint == entry && !goes_in {
            self.left_out.store(true, Ordering::Relaxed); // read when the run is over
        }
        let finished = self.ends.len() + if goes_in { entry } else { exit };
        self.finish_as::<HOMES>(index(finished), run, worker);
    }

    /// Queues a part of the list that is sorted by home, as one range for each home. The first group for which `stays`
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

    /// The home of a node.
    fn home(&self, node: u32) -> Home {
        self.homes.get(node as usize).copied().flatten()
    }

    /// The home of the group at a place of the list.
    fn home_at(&self, place: u32) -> Home {
        self.home(self.list[place as usize])
    }

    /// The place behind the groups of `first..end` that have the same home as the one at `first`.
    fn end_of_home(&self, first: u32, end: u32) -> u32 {
        let home = self.home_at(first);
        let (mut low, mut high) = (first, end);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.home_at(middle) == home { low = middle } else { high = middle }
        }
        high
    }

    /// Queues the groups in a range of the list, which all have the same home.
    fn push<const HOMES: bool>(&self, first: u32, end: u32, worker: &Worker<'_>) {
        let home = if HOMES { self.home_at(first).map(usize::from) } else { None };
        worker.push_parts(self.job(first, end), u64::from(end - first), home);
    }

    fn job(&self, first: u32, end: u32) -> Job {
        #[cfg(feature = "check")]
        if let Some(group) = self.list.get(first as usize).filter(|group| (**group as usize) < self.ends.len()) {
            will_call(|| Call::task(self.tasks.op_at(self.positions(*group).start)));
        }
        Job { target: NonNull::from(self).cast(), payload: word(first, end) }
    }

    /// The job of a part of a group, in the name of one that holds the part until now: one more holder of the group, and
    /// one more token of the run.
    pub(in crate::run::tasks) fn part(&self, group: u32, positions: Range<u32>) -> Job {
        self.holders[group as usize].expect_more(1);
        self.take_token();
        let target = self.within(std::mem::offset_of!(Self, parts));
        Job { target, payload: word(positions.start, positions.end) }
    }

    /// Takes one more token of the run, in the name of one that has one.
    fn take_token(&self) {
        let jobs = self.parts.group.expect("it was linked");
        #[expect(unsafe_code, reason = "a run lives as long as its tokens")]
        // SAFETY: whoever holds the part has a token of the run.
        unsafe {
            jobs.as_ref().tokens.take(1);
        }
    }

    /// Where to cut the tasks that are left of a group in two, if that is possible: about in the middle, if they have no
    /// order.
    pub(in crate::run::tasks) fn cut(&self, group: u32, next: u32, end: u32) -> Option<u32> {
        if self.is_ordered(group) {
            return (next < end).then_some(next);
        }
        let middle = next + end.checked_sub(next)? / 2;
        let is_free = |position: &u32| self.tasks.order[*position as usize].is_free();
        (middle..end).find(is_free).or_else(|| (next..middle).rev().find(is_free))
    }

    /// How many nanoseconds a group takes, if that is known.
    pub(in crate::run::tasks) fn takes(&self, group: u32) -> Option<u64> {
        self.is_known.then(|| self.expected[group as usize])
    }

    #[cfg(feature = "check")]
    pub(in crate::run::tasks) fn by_position(&self) -> &Tasks {
        &self.tasks
    }

    /// Whether a reading of the clock for each task of a group would cost much.
    #[cfg(feature = "check")]
    pub(in crate::run::tasks) fn are_short(&self, group: u32) -> bool {
        self.takes(group).is_some_and(|time| time < SHORT_TASK * self.positions(group).len() as u64)
    }

    /// The positions of a group.
    fn positions(&self, group: u32) -> Range<u32> {
        let start = group.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        start..self.ends[group as usize]
    }

    /// The group of a position.
    fn group_at(&self, position: u32) -> u32 {
        index(self.ends.partition_point(|end| *end <= position))
    }

    /// Queues all groups of a range but the first, then fires the first.
    fn fire<const HOMES: bool>(&self, first: u32, mut end: u32, run: &Run<'static>, worker: &Worker<'_>) {
        while end - first > 1 {
            let middle = first + (end - first) / 2;
            worker.push_counted(self.job(middle, end)); // with a token for each of its groups
            end = middle;
        }
        self.fire_at::<HOMES>(first, run, worker);
    }

    /// Fires the group or joint at a place of the list.
    fn fire_at<const HOMES: bool>(&self, place: u32, run: &Run<'static>, worker: &Worker<'_>) {
        let group = self.list[place as usize];
        if explores() && self.before[group as usize] > 1 {
            self.missing[group as usize].join();
        }
        if let Some(joint) = (group as usize).checked_sub(self.ends.len()) {
            self.pass::<HOMES>(joint, run, worker);
        } else if self.least[group as usize] >= self.limit.load(Ordering::Relaxed) {
            // None of its tasks fires, but some may have, the time before in a block. Relaxed: as in `ended`.
            let nanos = &self.nanos[group as usize];
            nanos.store(nanos.load(Ordering::Relaxed) & !1 | (self.parity ^ 1), Ordering::Relaxed);
            self.finish_as::<HOMES>(group, run, worker);
        } else {
            let held = self.hold(group, self.positions(group), Kind::Whole, run, worker);
            self.held::<HOMES>(group, held, run, worker);
        }
    }

    /// Notes how long a group took, if that was measured.
    fn note_time(&self, group: u32, time: Option<u64>) {
        // Relaxed, all of them: read when the run is over.
        let nanos = &self.nanos[group as usize];
        let noted = nanos.load(Ordering::Relaxed);
        let known = time.unwrap_or_else(|| (noted >> 1).max(1));
        nanos.store(known << 1 | self.parity, Ordering::Relaxed);
        if let Some(sum) = self.sums.get(group as usize) {
            let before = if noted & 1 == self.parity { sum.load(Ordering::Relaxed) } else { 0 };
            sum.store(before.saturating_add(known), Ordering::Relaxed);
        }
    }

    /// How long all those took together that have held a part of a group. They have arrived. If it was loose, and begins once more
    /// now, some of its time may be lost.
    fn take_shares(&self, group: u32) -> Option<u64> {
        let all = self.shares[group as usize].swap(0, Ordering::Relaxed); // relaxed: a time
        (all > 0).then_some(all)
    }

    /// Fires a part of a group.
    fn fire_part<const HOMES: bool>(&self, positions: Range<u32>, run: &Run<'static>, worker: &Worker<'_>) {
        let group = self.group_at(positions.start);
        let held = self.hold(group, positions, Kind::Part, run, worker);
        self.held::<HOMES>(group, held, run, worker);
    }

    /// Fires a task of a loose group.
    fn fire_loosened<const HOMES: bool>(&self, group: u32, position: u32, run: &Run<'static>, worker: &Worker<'_>) {
        let held = self.hold(group, position..position + 1, Kind::Loose, run, worker);
        self.held::<HOMES>(group, held, run, worker);
    }

    /// This has been held. If that is all of a group, finishes it.
    fn held<const HOMES: bool>(&self, group: u32, held: Held, run: &Run<'static>, worker: &Worker<'_>) {
        let time = match held {
            Held::Part => return,
            Held::Ended(time) => time,
            Held::EndedLoosely(_) => self.take_shares(group),
        };
        self.note_time(group, time);
        match held {
            Held::EndedLoosely(others) => others.iter().for_each(|place| self.arrive_at::<HOMES>(*place, run, worker)),
            _ => self.finish_as::<HOMES>(group, run, worker),
        }
    }
}

/// So many parts of groups are queued at once, as a rule.
const PARTS: usize = 1024;

/// A count of nodes or positions.
fn index(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2^32 nodes")
}
