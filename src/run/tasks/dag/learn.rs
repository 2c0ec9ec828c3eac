//! What is learned from a run: which tasks fired, and how long groups take.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::loose::Cut;
use super::{Dag, LONG, index};
use crate::run::tasks::block::Block;
use crate::run::tasks::parts::{Form, GroupFacts, TaskAt, Tasks};
use crate::run::tasks::record::Records;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A group is off if it takes so many times as long as was expected, or is expected to take so many times as long as it
/// does.
const OFF: u64 = 4;
/// Before anything is known, it is off if it takes fewer nanoseconds, or more and could have been two.
const GOOD: RangeInclusive<u64> = 4000..=64_000;
/// Other groups are made if more than one in so many groups is off.
const OFF_SHARE: usize = 4;
/// Before anything is known, other groups are made too if fewer tasks of a kind than this lie side by side, as a rule.
const ROW: usize = 8;
/// A task of fewer nanoseconds takes longer where its data comes from another worker than where it does not.
const TINY: u32 = 200;
/// A group that takes more nanoseconds may have tasks that take far longer than others.
pub(super) const SLOW: u64 = 16_000;
/// A close look is worth it if tasks take more nanoseconds on average.
pub(super) const CLOSE: u64 = 300;
/// From this run on times count. A first run finds nothing in the caches, and is slow.
const WARM: u32 = 2;

impl<'env> Dag<'env> {
    /// Learns how long the groups take. Returns whether other groups would be better: many are too short or too long, or take
    /// far more or less time than was expected, or a large part of the time is theirs. If some of them are slow, the next run
    /// looks closely at these first. Called before a run, it says so at most once in twice as many runs, and only if it `may`.
    pub(crate) fn learns(&mut self, may: bool) -> bool {
        if !self.is_whole || !(self.closely.is_some() || self.round.is_power_of_two()) {
            return false;
        }
        let (mut all, mut off, mut slow) = (Sum::default(), Sum::default(), 0);
        for (group, nanos) in self.nanos.iter().enumerate() {
            let Some(time) = measured(nanos) else { continue };
            let expected = self.expected[group];
            all.add(time);
            let is_off = match self.is_known {
                true => time > expected.saturating_mul(OFF) || expected > time.saturating_mul(OFF),
                false => time < *GOOD.start() || time > *GOOD.end() && self.cuts[group] == Cut::InTwo,
            };
            let is_slow = is_off && time > SLOW && self.is_worth_a_look(index(group), time);
            off.groups += usize::from(is_off);
            off.nanos = off.nanos.saturating_add(if is_slow { time } else { 0 });
            slow += usize::from(is_slow);
        }
        let is_mixed = !self.is_known && self.code.rows() * ROW > self.tasks.order.len();
        let is_off = off.groups * OFF_SHARE > all.groups || off.nanos.saturating_mul(OFF_SHARE as u64) > all.nanos;
        if may && all.groups > 0 && (is_off || is_mixed) {
            if slow > 0 && self.closely.is_none() {
                self.closely = Some(self.tasks.order.iter().map(|_| AtomicU32::new(0)).collect());
                return false;
            }
            return self.round >= WARM;
        }
        self.closely = None;
        if self.round >= WARM && all.groups > 0 && !(std::mem::replace(&mut self.is_known, true) && may) {
            let expected = self.expected.iter_mut().zip(&self.nanos);
            expected.for_each(|(expected, nanos)| *expected = measured(nanos).unwrap_or(*expected));
        }
        false
    }

    /// Whether a group that takes so many nanoseconds is worth a close look. That costs a reading of the clock for each task, which
    /// is longer than a tiny one. If tasks are known to be tiny, and their group took long for once, its worker was
    /// interrupted.
    pub(super) fn is_worth_a_look(&self, group: u32, time: u64) -> bool {
        let tasks = self.positions(group).len() as u64;
        let are_tiny = self.takes(group).is_some_and(|known| known < u64::from(TINY) * tasks);
        !self.is_one(group) && !are_tiny && time > CLOSE * tasks
    }

    /// Notes that it takes the place of another one, which has run before.
    pub(crate) fn goes_on_from(&mut self, before: &Self) {
        self.round = before.round;
    }

    /// Goes on as if the groups had taken what they are expected to.
    #[cfg(test)]
    pub(crate) fn pretend(&mut self) {
        self.nanos = self.expected.iter().map(|nanos| AtomicU64::new(nanos << 1 | self.parity)).collect();
    }

    /// Takes the graph apart: gives the records and tasks back, the blocks, and how many nanoseconds each record takes.
    pub(crate) fn take_apart(&mut self) -> (Records<'env>, Tasks, Vec<Block<'env>>, Vec<u32>) {
        let mut nanos = vec![0; self.tasks.order.len()];
        for group in 0..index(self.ends.len()) {
            let positions = self.positions(group);
            let all = measured(&self.nanos[group as usize]).unwrap_or(self.expected[group as usize]);
            let each = u32::try_from(all / positions.len() as u64).unwrap_or(u32::MAX);
            for position in positions.map(|position| position as usize) {
                let own = self.closely.as_deref().map_or(0, |times| times[position].load(Ordering::Relaxed));
                nanos[self.tasks.order[position].record() as usize] = if own > 0 { own } else { each };
            }
        }
        let records = self.code.take_apart(&self.tasks.order);
        without_ways(&records, &mut nanos);
        (records, std::mem::take(&mut self.tasks), std::mem::take(&mut self.blocks).into(), nanos)
    }

    /// How many groups there are, and whether they were made by the times of earlier runs.
    pub(crate) fn group_count(&self) -> (usize, bool) {
        (self.ends.len(), self.by_times)
    }

    /// The groups of tasks.
    pub(crate) fn groups(&self) -> impl Iterator<Item = GroupFacts> + '_ {
        (0..index(self.ends.len())).map(|group| {
            let positions = self.positions(group).map(|position| self.tasks.order[position as usize]);
            let ops: Vec<u32> = positions.map(|task| self.tasks.op(task)).collect();
            let form = match self.cuts[group as usize] {
                Cut::Never | Cut::Ahead if ops.len() == 1 => Form::Alone,
                Cut::Never | Cut::Ahead => Form::Chain,
                Cut::InTwo => Form::Apart,
                Cut::Open => Form::InOrder,
            };
            GroupFacts { ops, nanos: self.takes(group), form }
        })
    }

    /// What each task did.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = TaskDid> + '_ {
        (0..index(self.ends.len())).flat_map(move |group| {
            let (positions, noted) = (self.positions(group), self.nanos[group as usize].load(Ordering::Relaxed));
            let (ran, nanos) = (noted & 1 == self.parity && noted > 1, noted >> 1);
            let (count, times) = (positions.len() as u64, self.times_begun(group));
            // Relaxed: the run is over.
            let all = self.sums.get(group as usize).map_or(nanos, |sum| sum.load(Ordering::Relaxed));
            let time = if nanos > 1 { all / count } else { 0 };
            let is_timed_now_and_then = self.takes(group).is_some_and(|time| time < LONG);
            let is_estimate = count > 1 || times > 1 || is_timed_now_and_then;
            positions.map(move |position| {
                let skipped = self.skipped[position as usize / 64].load(Ordering::Relaxed) >> (position % 64) & 1;
                let has_fired = ran && skipped == 0;
                let op = self.tasks.op(self.tasks.order[position as usize]) as usize;
                let times = if has_fired { times } else { times.saturating_sub(1) };
                let time = Duration::from_nanos(if times > 0 { time } else { 0 });
                TaskDid { op, has_fired, times, time, is_estimate }
            })
        })
    }

    /// How often a group has begun in the last run.
    fn times_begun(&self, group: u32) -> u64 {
        let block = self.blocks_of.get(group as usize).copied().flatten();
        block.map_or(1, |block| self.blocks[block as usize].times_begun())
    }

    /// How often the task of an operator has ended in the last run before it failed, if it is repeated.
    pub(crate) fn times_before(&self, op: usize) -> Option<u64> {
        let is_it = |task: &TaskAt| !self.blocks.is_empty() && self.tasks.op(*task) as usize == op;
        let position = self.tasks.order.iter().position(is_it)?;
        let group = self.ends.partition_point(|end| *end as usize <= position);
        let block = &self.blocks[(*self.blocks_of.get(group)?)? as usize];
        if block.is_repeated() { block.times_begun().checked_sub(1) } else { None }
    }
}

/// Some groups, and how long they took.
#[derive(Clone, Copy, Default)]
struct Sum {
    groups: usize,
    nanos: u64,
}

impl Sum {
    fn add(&mut self, nanos: u64) {
        self.groups += 1;
        self.nanos = self.nanos.saturating_add(nanos);
    }
}

/// What a task did in the last run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskDid {
    pub(crate) op: usize,
    /// Whether it has ended, the last time if it is repeated.
    pub(crate) has_fired: bool,
    /// How often it has ended, and how long that took in all.
    pub(crate) times: u64,
    pub(crate) time: Duration,
    /// Whether the time is a share of a group's, or was not measured each time.
    pub(crate) is_estimate: bool,
}

/// How many nanoseconds a group took when it was timed last, if it ever was. Asked while nothing runs.
fn measured(nanos: &AtomicU64) -> Option<u64> {
    let known = nanos.load(Ordering::Relaxed) >> 1;
    (known > 1).then_some(known)
}

/// Gives tiny tasks the least time of their kind. In groups that run at the same time they wait for each other's results to come
/// from another core. If that counted, they would be kept apart for it, and it would go on.
fn without_ways(records: &Records<'_>, nanos: &mut [u32]) {
    let mut least: HashMap<u16, u32> = HashMap::new();
    for (record, time) in (0..).zip(&*nanos).filter(|(_, time)| **time < TINY) {
        let least = least.entry(records.kind(record)).or_insert(*time);
        *least = (*time).min(*least);
    }
    for (record, time) in (0..).zip(nanos).filter(|(_, time)| **time < TINY) {
        *time = least[&records.kind(record)];
    }
}
