//! Models of the stretch: its owner beside a taker.

use std::ops::Range;
use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::super::countdown::FixedCountdown;
use super::super::stretch::Stretch;
use super::{Plain, check};
use crate::sync::{Arrival, Mutex};

/// Some things, as the tasks of a group, and who holds some of them.
struct Group<const N: usize = 3> {
    stretch: Stretch,
    lock: Mutex<()>,
    was_cut: AtomicU32,
    holders: FixedCountdown,
    done: [Plain; N],
}

impl<const N: usize> Group<N> {
    fn new() -> Self {
        Self {
            stretch: Stretch::new(0..N as u32),
            lock: Mutex::new(()),
            was_cut: AtomicU32::new(0),
            holders: FixedCountdown::new(1),
            done: [(); N].map(|()| Plain::new()),
        }
    }

    /// Takes the upper half of what is left, does it, and says how often it has ended the group.
    fn take(&self) -> u32 {
        let lock = self.lock.lock();
        let half = |next: u32, end: u32| (next < end).then(|| next + (end - next) / 2);
        let Some(taken) = self.stretch.take(half) else { return 0 };
        self.was_cut.store(1, Ordering::Relaxed);
        self.holders.expect_more(1);
        drop(lock);
        taken.for_each(|thing| self.done[thing as usize].add());
        self.arrive()
    }

    /// Goes through what is left, and says how often that has ended the group.
    fn own(&self) -> u32 {
        let mut at = 0;
        loop {
            while at < self.stretch.end() && self.stretch.begins(at) {
                self.done[at as usize].add();
                at += 1;
            }
            drop(self.lock.lock());
            if at >= self.stretch.end() {
                break;
            }
        }
        if self.was_cut.load(Ordering::Relaxed) == 0 { 1 } else { self.arrive() }
    }

    fn arrive(&self) -> u32 {
        let is_last = self.holders.arrive() == Arrival::Last;
        if is_last {
            assert!(self.done.iter().all(|thing| thing.get() == 1), "the last one sees all");
        }
        u32::from(is_last)
    }
}

/// Whoever comes last ends the group, and sees what the other one has done; each thing is done once.
#[test]
fn loom_stretch_gives_each_thing_once() {
    check(&["stretch.begin", "stretch.take", "countdown.fixed"], || {
        let group = Arc::new(Group::<3>::new());
        let taker = {
            let group = group.clone();
            thread::spawn(move || group.take())
        };
        let ended = group.own() + taker.join().expect("no panic");
        assert_eq!(ended, 1, "the group ends once");
        assert!(group.done.iter().all(|thing| thing.get() == 1), "each was done once");
    });
}

/// Two takers, one after the other in some order.
#[test]
fn loom_stretch_is_cut_twice() {
    super::check_with(&bounded(3), &["stretch.begin", "stretch.take", "countdown.fixed"], || {
        let group = Arc::new(Group::<3>::new());
        let takers = [(); 2].map(|()| {
            let group = group.clone();
            thread::spawn(move || group.take())
        });
        let mut ended = group.own();
        takers.into_iter().for_each(|taker| ended += taker.join().expect("no panic"));
        assert_eq!(ended, 1, "the group ends once");
    });
}

/// Some tasks: the last one waits for all others. Their group is broken: what is left of it goes task by task.
struct Broken<const N: usize> {
    group: Group<N>,
    /// How many of those that the last task waits for have not arrived at it.
    missing: FixedCountdown,
}

impl<const N: usize> Broken<N> {
    const LAST: u32 = N as u32 - 1;

    fn new() -> Self {
        Self { group: Group::new(), missing: FixedCountdown::new(Self::LAST) }
    }

    /// Takes all that is left, twice in a row as a raid does, and says how often that has ended the group.
    fn raid(self: &Arc<Self>) -> u32 {
        let lock = self.group.lock.lock();
        let taken = [(); 2].map(|()| self.take_rest());
        drop(lock);
        taken.into_iter().flatten().map(|taken| self.break_open(&taken)).sum()
    }

    fn take_rest(&self) -> Option<Range<u32>> {
        if self.group.was_cut.load(Ordering::Relaxed) == 1 {
            return None; // it is broken once
        }
        let rest = |next: u32, end: u32| (next.max(1) < end).then_some(next.max(1));
        let taken = self.group.stretch.take(rest)?;
        self.group.was_cut.store(1, Ordering::Relaxed);
        self.group.holders.expect_more(1 + taken.len() as u32);
        Some(taken)
    }

    /// If several tasks are ready, another thread takes the first of them.
    fn break_open(self: &Arc<Self>, taken: &Range<u32>) -> u32 {
        let mut ready = taken.start..taken.end.min(Self::LAST);
        let shared = if ready.len() > 1 { ready.next() } else { None };
        let other = shared.map(|task| {
            let broken = self.clone();
            thread::spawn(move || broken.single(task))
        });
        let ended: u32 = ready.map(|task| self.single(task)).sum();
        let before = (0..taken.start - 1).map(|task| self.arrive_within(task, taken.start)).sum::<u32>();
        ended + before + self.group.arrive() + other.map_or(0, |other| other.join().expect("no panic"))
    }

    fn single(&self, task: u32) -> u32 {
        if task == Self::LAST {
            assert!(self.group.done[..N - 1].iter().all(|before| before.get() == 1), "it waits for all others");
        }
        self.group.done[task as usize].add();
        self.arrive_within(task, task + 1) + self.group.arrive()
    }

    fn arrive_within(&self, task: u32, rest: u32) -> u32 {
        let waits = task < Self::LAST && rest <= Self::LAST;
        if waits && self.missing.arrive() == Arrival::Last { self.single(Self::LAST) } else { 0 }
    }

    fn own(&self) -> u32 {
        let mut at = 0;
        loop {
            while at < self.group.stretch.end() && self.group.stretch.begins(at) {
                self.group.done[at as usize].add();
                at += 1;
            }
            drop(self.group.lock.lock());
            if at >= self.group.stretch.end() {
                break;
            }
        }
        if self.group.was_cut.load(Ordering::Relaxed) == 0 {
            return 1;
        }
        self.arrive_within(at - 1, at) + self.group.arrive()
    }

    /// The owner goes through the tasks while others raid it.
    fn goes_through(raiders: usize) {
        let broken = Arc::new(Self::new());
        let raiders: Vec<_> = (0..raiders)
            .map(|_| {
                let broken = broken.clone();
                thread::spawn(move || broken.raid())
            })
            .collect();
        let mut ended = broken.own();
        raiders.into_iter().for_each(|raider| ended += raider.join().expect("no panic"));
        assert_eq!(ended, 1, "the group ends once");
        assert!(broken.group.done.iter().all(|task| task.get() == 1), "each was done once");
    }
}

fn bounded(preemptions: usize) -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder
}

/// A task of a broken group runs when those before it have ended, whoever ran them; the group ends once.
#[test]
fn loom_broken_group_goes_task_by_task() {
    let edges = ["stretch.begin", "stretch.take", "countdown.fixed"];
    super::check_with(&bounded(3), &edges, || Broken::<3>::goes_through(1));
}

/// The tasks of a broken group run on three threads. The last one to arrive sees what all have done.
#[test]
fn loom_broken_group_is_shared_out() {
    let edges = ["stretch.begin", "stretch.take", "countdown.fixed"];
    super::check_with(&bounded(3), &edges, || Broken::<4>::goes_through(1));
}

/// Two raiders come at the same time. One of them breaks the group, and the other one leaves it alone.
#[test]
fn loom_broken_group_is_broken_once() {
    let edges = ["stretch.begin", "stretch.take", "countdown.fixed"];
    super::check_with(&bounded(3), &edges, || Broken::<3>::goes_through(2));
}
