//! What waits for a group of which a task takes long goes on task by task.
//!
//! A group waits for whole groups. So one task of a second would hold back all that waits for others of its group. An idle
//! worker that finds nothing left of a group but that task *loosens* what waits for the group: its tasks go one by one, as
//! jobs, when those that they wait for themselves have ended. So do those of groups behind them, as long as there are fewer
//! such jobs than workers could have.
//!
//! # Which groups can be loosened
//! Who loosens a group must know which of the tasks that it waits for have ended. So all groups that it waits for have ended or
//! are loose. They have, if as many of them are missing as loose ones have not ended. No group becomes ready meanwhile: a loose
//! one that has not ended is among those that it waits for.
//!
//! # What could go wrong
//! The long task ends while somebody loosens what waits for it, and nobody tells those that wait for it. So its worker says
//! under the lock that it has ended, and there becomes one holder of its group less. Whoever loosens looks, under the same lock,
//! whether it is a holder still.
//!
//! Others may hold parts of the group when a raider finds the long task, and nothing tells which of their tasks have ended. So
//! the group is *stuck* first. The raider stays a holder of it. Whoever ends a part arrives, and then looks whether a
//! group is stuck; the raider says that it is, and then looks at the count of holders by an RMW. One of the two comes last, and
//! sees that nobody holds any of it but those that are in long tasks (model `loom_stuck_group_is_loosened`).
//!
//! A block may begin once more when what waits for a loose group has ended, and its worker has not come to say that the group has.
//! So the last one to arrive forgets the group under the lock, before it queues any of those that wait for its task.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Range;

use super::hold::Held;
use super::{Dag, index};
use crate::pool::work::job::{Job, word};
use crate::pool::work::worker::Worker;
use crate::run::Run;
use crate::run::tasks::parts::TaskAt;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arrival, Instant, Mutex};

/// So many groups are loosened at once, before others may have the lock.
const AT_ONCE: usize = 32;
/// So many groups are looked at whenever something has ended, in turns.
const LOOKED_AT: usize = 64;
/// All are, if this is so many times as long ago as it took the last time.
const SHARE: u32 = 16;

/// How a group can be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It has nothing to take away: a single chain.
    Never,
    /// The same, but something that waits for it could be loosened.
    Ahead,
    /// In two, where a chain begins.
    InTwo,
    /// Its tasks have an order: it can be loosened itself.
    Open,
}

impl Cut {
    /// How the group of these tasks can be cut.
    pub(super) fn of(tasks: &[TaskAt], is_ordered: bool) -> Self {
        if is_ordered {
            Self::Open
        } else if tasks[1..].iter().any(|task| task.is_free()) {
            Self::InTwo
        } else {
            Self::Never
        }
    }
}

/// The loose groups of a run; see the module.
pub(super) struct Loose {
    /// Whether there are groups in `state`.
    is_any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that are stuck or loose, and those that wait for these.
    groups: BTreeMap<u32, Around>,
    /// The tasks of loose groups that have not ended, by position.
    tasks: HashMap<u32, Waits>,
    /// How many of these are queued, or run as jobs of their own.
    queued: usize,
    /// How many workers are in long tasks for which groups were loosened. More are only as long as there is one.
    long: usize,
    /// The first ones of long tasks that have ended before they could be noted.
    early: HashSet<u32>,
    /// The group that is looked at next.
    next: u32,
    /// When all are looked at again.
    again: Option<Instant>,
    /// The position of each rank. Empty before it is needed.
    positions: Vec<u32>,
}

/// A group around a task that takes long.
struct Around {
    phase: Phase,
    /// How many loose groups it waits for that have not ended.
    before: u32,
}

enum Phase {
    /// It waits for a loose group.
    Waits,
    /// It is held in these tasks, and others may hold parts of it.
    Stuck(Vec<Range<u32>>),
    Loose,
    Ended,
}

/// A task of a loose group.
#[derive(Default)]
struct Waits {
    /// How many of those that it waits for have not ended.
    missing: u32,
    /// Those that wait for it.
    after: Vec<u32>,
}

impl State {
    /// A task has ended. Notes which ones are ready now.
    fn end(&mut self, position: u32, ready: &mut Vec<u32>) {
        let Some(Waits { after, .. }) = self.tasks.remove(&position) else { return };
        for next in after {
            let waits = self.tasks.get_mut(&next).expect("it waits for this one");
            waits.missing -= 1;
            if waits.missing == 0 {
                ready.push(next);
            }
        }
    }
}

impl Loose {
    pub(super) fn new() -> Self {
        Self { is_any: AtomicBool::new(false), state: Mutex::new(State::default()) }
    }

    /// Whether a group may be stuck or loose.
    pub(super) fn is_any(&self) -> bool {
        // Relaxed: what a thread has to see comes before the job that it runs, or before the arrival of another holder.
        self.is_any.load(Ordering::Relaxed)
    }

    /// Forgets what a run has left that has failed.
    pub(super) fn reset(&self) {
        let mut state = self.state.lock();
        state.groups.clear();
        state.tasks.clear();
        state.early.clear();
        (state.queued, state.long) = (0, 0);
        self.is_any.store(false, Ordering::Relaxed);
    }
}

impl Dag<'_> {
    /// Whether the tasks of a group have an order.
    pub(in crate::run::tasks) fn is_ordered(&self, group: u32) -> bool {
        self.cuts[group as usize] == Cut::Open
    }

    /// Whether a group is a single chain.
    pub(in crate::run::tasks) fn is_one(&self, group: u32) -> bool {
        matches!(self.cuts[group as usize], Cut::Never | Cut::Ahead)
    }

    /// The job that says that a worker is in the first of these tasks, and goes on with the others, in the name of that worker: one
    /// more holder of their group, and one more token of the run. If the group has an order, each of its tasks behind them has
    /// a holder, too.
    pub(in crate::run::tasks) fn stuck(&self, group: u32, tasks: &Range<u32>) -> Job {
        self.holders[group as usize].expect_more(1 + index(self.behind(group, tasks).len()));
        self.take_token();
        Job { target: self.within(std::mem::offset_of!(Self, stuck)), payload: word(tasks.start, tasks.end) }
    }

    /// The tasks of a group behind those that its worker goes on with. If the group has no order, others have had them.
    fn behind(&self, group: u32, tasks: &Range<u32>) -> Range<u32> {
        if self.is_ordered(group) { tasks.end..self.positions(group).end } else { 0..0 }
    }

    /// Runs that job.
    pub(super) fn fire_stuck<const HOMES: bool>(&self, tasks: Range<u32>, run: &Run<'static>, worker: &Worker<'_>) {
        let group = self.group_at(tasks.start);
        let mut held = Held::Part;
        self.change_loose(worker, |state, ready| {
            let behind = self.behind(group, &tasks);
            let has_ended = state.early.remove(&tasks.start);
            if has_ended && behind.is_empty() {
                held = self.arrive_under_lock(state, group);
                return self.settle(state, group);
            }
            self.loose.is_any.store(true, Ordering::Relaxed);
            let around = state.groups.entry(group).or_insert(Around { phase: Phase::Stuck(Vec::new()), before: 0 });
            let Phase::Stuck(all) = &mut around.phase else { unreachable!("all its workers have said where they are") };
            if behind.is_empty() {
                all.push(tasks);
                return self.settle(state, group);
            }
            around.phase = Phase::Loose; // nobody but its worker has held any of it
            if !has_ended {
                state.tasks.extend(tasks.map(|position| (position, Waits::default())));
                state.long += 1;
            }
            self.loosen(state, behind, ready);
            self.note_successors(state, group);
            held = self.arrive_under_lock(state, group);
        });
        self.held::<HOMES>(group, held, run, worker);
    }

    /// A worker has ended the tasks in which it was for long.
    pub(super) fn arrive_from_stuck(&self, group: u32, tasks: Range<u32>, worker: &Worker<'_>) -> Held {
        let mut held = Held::Part;
        self.change_loose(worker, |state, ready| {
            match state.groups.get_mut(&group).map(|around| &mut around.phase) {
                Some(Phase::Loose) => {
                    tasks.for_each(|position| state.end(position, ready));
                    state.long -= 1;
                }
                Some(Phase::Stuck(all)) if all.iter().any(|own| own.start == tasks.start) => {
                    all.retain(|own| own.start != tasks.start);
                    if all.is_empty() {
                        state.groups.remove(&group);
                    }
                    self.arrives(group); // for whoever has said so: this worker holds it, too
                }
                _ => _ = state.early.insert(tasks.start),
            }
            held = self.arrive_under_lock(state, group);
            self.settle(state, group);
        });
        held
    }

    /// A part of a group has ended that others still hold: the group may be stuck.
    pub(super) fn look_for_stuck(&self, group: u32, worker: &Worker<'_>) {
        self.change_loose(worker, |state, _| self.settle(state, group));
    }

    /// If a group is stuck, and held by nobody but those that are in long tasks, it is loose from now on.
    fn settle(&self, state: &mut State, group: u32) {
        let Some(Around { phase: phase @ Phase::Stuck(_), .. }) = state.groups.get_mut(&group) else { return };
        let Phase::Stuck(tasks) = phase else { return };
        if self.holders[group as usize].count() as usize != 2 * tasks.len() {
            return;
        }
        let tasks = std::mem::take(tasks);
        *phase = Phase::Loose;
        for task in tasks {
            assert!(!self.arrives(group), "its worker holds it, too");
            state.tasks.extend(task.map(|position| (position, Waits::default())));
            state.long += 1;
        }
        self.note_successors(state, group);
    }

    /// The groups that wait for this one.
    fn groups_after(&self, group: u32) -> impl Iterator<Item = u32> + '_ {
        let after = self.first[group as usize]..self.first[group as usize + 1];
        let after = after.map(|place| self.list[place as usize]);
        after.filter(|node| (*node as usize) < self.ends.len())
    }

    /// A group is loose now: those that wait for it may be loosened, too.
    fn note_successors(&self, state: &mut State, group: u32) {
        for next in self.groups_after(group) {
            state.groups.entry(next).or_insert(Around { phase: Phase::Waits, before: 0 }).before += 1;
        }
    }

    /// Changes what is loose, and loosens more if too few tasks are queued. Queues what is ready then.
    fn change_loose(&self, worker: &Worker<'_>, change: impl FnOnce(&mut State, &mut Vec<u32>)) {
        let mut change = Some(change);
        loop {
            let mut ready = Vec::new();
            let mut state = self.loose.state.lock();
            if let Some(change) = change.take() {
                change(&mut state, &mut ready);
            }
            let goes_on = self.loosen_some(&mut state, &mut ready, worker.clock());
            state.queued += ready.len();
            if state.groups.is_empty() {
                self.loose.is_any.store(false, Ordering::Relaxed);
            }
            drop(state);
            ready.into_iter().for_each(|position| self.push_loose(position, worker));
            if !goes_on {
                return;
            }
        }
    }

    /// Loosens some groups, and more if others are idle still.
    pub(super) fn loosen_more(&self, worker: &Worker<'_>) {
        self.change_loose(worker, |_, _| {});
    }

    /// Loosens groups until enough tasks are queued. Returns whether more is to be done.
    fn loosen_some(&self, state: &mut State, ready: &mut Vec<u32>, now: Option<Instant>) -> bool {
        let enough = (2 * self.pool().workers()).saturating_sub(state.queued);
        if state.long == 0 || ready.len() >= enough {
            return false;
        }
        let waits = |(group, around): (&u32, &Around)| matches!(around.phase, Phase::Waits).then_some(*group);
        let from = state.next;
        let mut others = state.groups.range(from..).chain(state.groups.range(..from));
        let is_due = now.zip(state.again).is_none_or(|(now, again)| now >= again);
        let looks = if is_due { usize::MAX } else { LOOKED_AT };
        let mut candidates: VecDeque<u32> = others.clone().take(looks).filter_map(waits).collect();
        state.next = others.nth(looks).map_or(0, |(group, _)| *group);
        if let Some(now) = now.filter(|_| is_due) {
            state.again = Some(now + SHARE * now.elapsed());
        }
        let mut loosened = 0;
        while let Some(group) = candidates.pop_front() {
            let Some(Around { phase: phase @ Phase::Waits, before }) = state.groups.get_mut(&group) else { continue };
            let (all, missing) = (self.before[group as usize], &self.missing[group as usize]);
            if all > 1 && (missing.hint() > *before || missing.count() != *before) {
                continue;
            }
            *phase = Phase::Loose;
            self.missing[group as usize].restart(all);
            let own = self.positions(group);
            self.holders[group as usize].expect_more(index(own.len()) - 1);
            self.loosen(state, own, ready);
            self.note_successors(state, group);
            candidates.extend(self.groups_after(group));
            loosened += 1;
            if ready.len() >= enough || loosened == AT_ONCE {
                return ready.len() < enough;
            }
        }
        false
    }

    /// From now on these tasks of a group go one by one.
    fn loosen(&self, state: &mut State, own: Range<u32>, ready: &mut Vec<u32>) {
        if state.positions.is_empty() {
            state.positions = self.tasks.positions();
        }
        state.tasks.extend(own.clone().map(|position| (position, Waits::default())));
        for position in own {
            let rank = self.tasks.rank(self.tasks.order[position as usize]);
            let mut missing = 0;
            for from in self.tasks.before.of(rank) {
                if let Some(from) = state.tasks.get_mut(&state.positions[*from as usize]) {
                    from.after.push(position);
                    missing += 1;
                }
            }
            state.tasks.get_mut(&position).expect("it was put there").missing = missing;
            if missing == 0 {
                ready.push(position);
            }
        }
    }

    fn push_loose(&self, position: u32, worker: &Worker<'_>) {
        let group = self.group_at(position);
        let target = self.within(std::mem::offset_of!(Self, loosened));
        worker.push_parts(Job { target, payload: word(position, group) }, 1, self.home(group).map(usize::from));
    }

    /// A task of a loose group has ended.
    pub(super) fn arrive_loosely(&self, group: u32, position: u32, worker: &Worker<'_>) -> Held {
        let mut held = Held::Part;
        self.change_loose(worker, |state, ready| {
            state.queued -= 1;
            state.end(position, ready);
            held = self.arrive_under_lock(state, group);
        });
        held
    }

    /// A holder of a group arrives. If it is the last one, and the group is loose, those that wait for it and are loose know already
    /// which of its tasks have ended. All that is known of it is forgotten before any of these can be queued: behind them a
    /// block may begin once more.
    fn arrive_under_lock(&self, state: &mut State, group: u32) -> Held {
        if !self.arrives(group) {
            return Held::Part;
        }
        let groups = &mut state.groups;
        match groups.get_mut(&group) {
            Some(around @ Around { phase: Phase::Loose, .. }) => around.phase = Phase::Ended,
            _ => return Held::Ended(self.take_shares(group)),
        }
        forget_ended(groups, group);
        let mut others = Vec::new();
        for place in self.first[group as usize]..self.first[group as usize + 1] {
            let next = self.list[place as usize];
            let Some(around) = groups.get_mut(&next) else {
                others.push(place);
                continue;
            };
            around.before -= 1;
            if let Phase::Waits = around.phase {
                others.push(place);
                if around.before == 0 {
                    groups.remove(&next);
                }
            } else {
                forget_ended(groups, next);
            }
        }
        Held::EndedLoosely(others)
    }

    /// A group has ended. Arrives at one that waits for it, and queues that if it is ready.
    pub(super) fn arrive_at<const HOMES: bool>(&self, place: u32, run: &Run<'static>, worker: &Worker<'_>) {
        let node = self.list[place as usize];
        let before = self.before[node as usize];
        if before > 1 {
            let missing = &self.missing[node as usize];
            if missing.arrive() == Arrival::Earlier {
                return;
            }
            missing.restart(before);
        }
        if node >= self.firing {
            self.open(node, run, worker);
        } else {
            self.push::<HOMES>(place, place + 1, worker);
        }
    }
}

/// Forgets a group that has ended, as have all loose ones that it waits for: nobody arrives at it any more.
fn forget_ended(groups: &mut BTreeMap<u32, Around>, group: u32) {
    if let Some(Around { phase: Phase::Ended, before: 0 }) = groups.get(&group) {
        groups.remove(&group);
    }
}
