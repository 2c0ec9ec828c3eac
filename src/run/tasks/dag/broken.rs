//! Groups whose tasks have an order, broken open behind a task that takes long.
//!
//! A worker goes through the tasks of such a group in their order, and asks nobody whether the next one is ready. One of them
//! may take long, and behind it may be some that do not wait for it. So a raider takes all that is left of the group. From
//! then on its tasks go one by one, as jobs: each has a count of those that it waits for within the group. The raider queues
//! those that wait for none, and arrives for each task that the owner has fired before; the owner arrives for the one that it
//! is in, when that has ended; each job arrives for its own. Whoever is the last to arrive at a task queues it.
//!
//! # What could go wrong
//! The raider arrives at a task for those before the owner's, while the owner ends its own, and arrives at the same one. The
//! count of the task is one word, so that one of the two is the last ([`crate::sync::countdown`], model
//! `loom_broken_group_goes_task_by_task`). An owner that knows nothing
//! of the raid would not arrive. But it leaves the ring before it looks whether its span was cut, and so waits for the lock
//! of the raider ([`crate::sync::stretch`]).
//!
//! The owner may also arrive, and a task run, before anybody looks at what the raider has taken. If the tasks were announced as
//! holders of the group only then, the group would end too early. So they are announced under the lock of the raid.
//!
//! The owner may be left with one task that it has not begun: it was about to begin it when the raider looked, and turned back.
//! A second raider could have that one. Then both would arrive for the tasks before. So a group is broken once, and the owner
//! fires what it is left with.
//!
//! A group that is broken costs about fifty times as much as one that is not. So its owner does not break it, and a raider
//! does when it has seen the same group twice, which takes more time than most groups ([`crate::pool::work::raid`]).

use std::ops::Range;

use super::Dag;
use crate::pool::work::job::{Job, word};
use crate::pool::work::worker::Worker;
use crate::run::tasks::parts::{Inner, TaskAt};
use crate::sync::Arrival;
use crate::sync::countdown::FixedCountdown;

/// How a group can be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It has nothing to take away: a single chain.
    Never,
    /// In two, where a chain begins.
    InTwo,
    /// Task by task: its tasks have an order.
    Open,
}

impl Cut {
    /// How the group of these tasks can be cut, the first of which is at this position.
    pub(super) fn of(tasks: &[TaskAt], start: u32, inner: &Inner) -> Self {
        let has_order = inner.before.iter().skip(start as usize).take(tasks.len()).any(|before| *before > 0);
        if has_order {
            Self::Open
        } else if tasks[1..].iter().any(|task| task.is_free()) {
            Self::InTwo
        } else {
            Self::Never
        }
    }
}

/// What broken groups need, by position. Empty if no group has an order.
pub(super) struct Broken {
    inner: Inner,
    /// How many of those that each task waits for within its group have not ended, if the group is broken. The last one to arrive
    /// starts the count over.
    missing: Box<[FixedCountdown]>,
}

impl Broken {
    pub(super) fn new(inner: Inner) -> Self {
        let missing = inner.before.iter().map(|before| FixedCountdown::new(*before)).collect();
        Self { inner, missing }
    }

    /// Starts all counts over.
    pub(super) fn reset(&self) {
        self.missing.iter().zip(&self.inner.before).for_each(|(missing, before)| missing.restart(*before));
    }
}

impl Dag<'_> {
    /// Whether the tasks of a group have an order.
    pub(in crate::run::tasks) fn is_ordered(&self, group: u32) -> bool {
        self.cuts[group as usize] == Cut::Open
    }

    /// Queues the tasks at these positions when they are ready: they are all that is left of a group. Its worker is in the task
    /// before them. The caller is a holder of the group, and each of these tasks has one that [`part`](Self::part) announced.
    pub(super) fn break_open(&self, group: u32, rest: Range<u32>, worker: &Worker<'_>) {
        let is_ready = |position: &u32| self.broken.inner.before[*position as usize] == 0;
        rest.clone().filter(is_ready).for_each(|position| self.push_single(group, position, worker));
        (self.positions(group).start..rest.start - 1)
            .for_each(|ended| self.arrive_within(group, ended, rest.start, worker));
    }

    /// A task has ended. It arrives at those of its group that wait for it, from a position on: they are those that go one by
    /// one.
    pub(super) fn arrive_within(&self, group: u32, ended: u32, rest: u32, worker: &Worker<'_>) {
        let Inner { before, first, after } = &self.broken.inner;
        let own = first[ended as usize] as usize..first[ended as usize + 1] as usize;
        for next in after[own].iter().filter(|next| **next >= rest) {
            let missing = &self.broken.missing[*next as usize];
            if missing.arrive() == Arrival::Last {
                missing.restart(before[*next as usize]);
                self.push_single(group, *next, worker);
            }
        }
    }

    fn push_single(&self, group: u32, position: u32, worker: &Worker<'_>) {
        let target = self.within(std::mem::offset_of!(Self, singles));
        let home = self.home(group).map(usize::from);
        worker.push_parts(Job { target, payload: word(position, group) }, 1, home);
    }
}
