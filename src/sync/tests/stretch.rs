//! Models of the stretch: its owner beside a taker.

use std::ops::Range;
use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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

/// Whoever looks where the owner is sees what it has done before.
#[test]
fn loom_stretch_shows_what_was_done() {
    check(&["stretch.next"], || {
        let group = Arc::new(Group::<3>::new());
        let looker = {
            let group = group.clone();
            thread::spawn(move || {
                let before = group.stretch.next().saturating_sub(1) as usize;
                assert!(group.done[..before].iter().all(|thing| thing.get() == 1), "it has begun the next one");
            })
        };
        group.own();
        looker.join().expect("no panic");
    });
}

/// Some tasks: the last one waits for all others. Their group is loosened behind a task that takes long.
struct Broken<const N: usize> {
    group: Group<N>,
    /// What is known of the tasks behind that one, under a lock.
    state: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// How many of those that the last task waits for have not ended, if the group is loose.
    missing: Option<u32>,
    /// The owner has ended its task before the group was loose.
    is_early: bool,
}

impl<const N: usize> Broken<N> {
    const LAST: u32 = N as u32 - 1;

    fn new() -> Self {
        Self { group: Group::new(), state: Mutex::new(Known::default()) }
    }

    /// Takes all that is left, twice in a row as a raid does, and says how often that has ended the group.
    fn raid(self: &Arc<Self>) -> u32 {
        let lock = self.group.lock.lock();
        let taken = [(); 2].map(|()| self.take_rest());
        drop(lock);
        taken.into_iter().flatten().map(|taken| self.loosen(&taken)).sum()
    }

    fn take_rest(&self) -> Option<Range<u32>> {
        if self.group.was_cut.load(Ordering::Relaxed) == 1 {
            return None; // it is loosened once
        }
        let rest = |next: u32, end: u32| (next.max(1) < end).then_some(next.max(1));
        let taken = self.group.stretch.take(rest)?;
        self.group.was_cut.store(1, Ordering::Relaxed);
        self.group.holders.expect_more(1 + taken.len() as u32);
        Some(taken)
    }

    /// If several tasks are ready, another thread takes the first of them.
    fn loosen(self: &Arc<Self>, taken: &Range<u32>) -> u32 {
        let mut state = self.state.lock();
        let missing = Self::LAST - taken.start + u32::from(!state.is_early);
        state.missing = Some(missing);
        let mut ready = taken.start..if missing == 0 { taken.end } else { Self::LAST };
        let last = u32::from(self.group.holders.arrive() == Arrival::Last);
        drop(state);
        let shared = if ready.len() > 1 { ready.next() } else { None };
        let other = shared.map(|task| {
            let broken = self.clone();
            thread::spawn(move || broken.single(task))
        });
        let ended: u32 = ready.map(|task| self.single(task)).sum();
        last + ended + other.map_or(0, |other| other.join().expect("no panic"))
    }

    fn single(&self, task: u32) -> u32 {
        if task == Self::LAST {
            assert!(self.group.done[..N - 1].iter().all(|before| before.get() == 1), "it waits for all others");
        }
        self.group.done[task as usize].add();
        self.end()
    }

    /// A task has ended whose worker holds the group.
    fn end(&self) -> u32 {
        let mut state = self.state.lock();
        let missing = state.missing.as_mut().filter(|missing| **missing > 0);
        let is_ready = missing.is_some_and(|missing| {
            *missing -= 1;
            *missing == 0
        });
        state.is_early = state.missing.is_none();
        let last = self.group.arrive();
        drop(state);
        last + if is_ready { self.single(Self::LAST) } else { 0 }
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
        if self.group.was_cut.load(Ordering::Relaxed) == 0 { 1 } else { self.end() }
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

/// A task of a loose group runs when those before it have ended, whoever ran them; the group ends once.
#[test]
fn loom_loose_group_goes_task_by_task() {
    let edges = ["stretch.begin", "stretch.take"];
    super::check_with(&bounded(3), &edges, || Broken::<3>::goes_through(1));
}

/// The tasks of a loose group run on three threads. The last one to arrive sees what all have done.
#[test]
fn loom_loose_group_is_shared_out() {
    let edges = ["stretch.begin", "stretch.take"];
    super::check_with(&bounded(3), &edges, || Broken::<4>::goes_through(1));
}

/// Two raiders come at the same time. One of them loosens the group, and the other one leaves it alone.
#[test]
fn loom_loose_group_is_loosened_once() {
    let edges = ["stretch.begin", "stretch.take"];
    super::check_with(&bounded(3), &edges, || Broken::<3>::goes_through(2));
}

/// A group of two tasks, held by two workers: one is in its task for long. Two others wait for one of the tasks each.
struct Stuck {
    holders: FixedCountdown,
    is_any: AtomicBool,
    state: Mutex<Phase>,
    done: [Plain; 2],
    fired: [Plain; 2],
}

#[derive(Default)]
struct Phase {
    is_stuck: bool,
    is_loose: bool,
    is_early: bool,
}

impl Stuck {
    fn new() -> Self {
        let [done, fired] = [(); 2].map(|()| [(); 2].map(|()| Plain::new()));
        // The long task, the other one, and whoever has seen that the first one takes long.
        let holders = FixedCountdown::new(3);
        Self { holders, is_any: AtomicBool::new(false), state: Mutex::new(Phase::default()), done, fired }
    }

    fn fire(&self, task: usize) {
        assert_eq!(self.done[task].get(), 1, "it waits for this one");
        self.fired[task].add();
    }

    fn arrive(&self) -> bool {
        self.holders.arrive() == Arrival::Last
    }

    fn finish(&self) {
        if !self.state.lock().is_loose {
            [0, 1].map(|task| self.fire(task));
        }
    }

    fn settle(&self, state: &mut Phase) {
        if state.is_stuck && self.holders.count() == 2 {
            (state.is_stuck, state.is_loose) = (false, true);
            assert!(!self.arrive(), "the long task is held");
            self.fire(1);
        }
    }

    /// Somebody has seen that the first task takes long.
    fn see(&self) {
        let mut state = self.state.lock();
        let is_last = state.is_early && self.arrive();
        if !state.is_early {
            state.is_stuck = true;
            self.is_any.store(true, Ordering::Relaxed);
            self.settle(&mut state);
        }
        drop(state);
        if is_last {
            self.finish();
        }
    }

    fn end_long(&self) {
        self.done[0].add();
        let mut state = self.state.lock();
        if state.is_loose {
            self.fire(0);
        } else if std::mem::take(&mut state.is_stuck) {
            assert!(!self.arrive(), "the long task is held");
        } else {
            state.is_early = true;
        }
        let is_last = self.arrive();
        drop(state);
        if is_last {
            self.finish();
        }
    }

    fn end_other(&self) {
        self.done[1].add();
        let is_last = self.arrive();
        if !is_last && self.is_any.load(Ordering::Relaxed) {
            self.settle(&mut self.state.lock());
        }
        if is_last {
            self.finish();
        }
    }
}

impl Stuck {
    /// `IS_LONG`: the long task ends when all others are done.
    fn goes<const IS_LONG: bool>() {
        let stuck = Arc::new(Self::new());
        let others = [Self::see, Self::end_other].map(|other| {
            let stuck = stuck.clone();
            thread::spawn(move || other(&stuck))
        });
        if !IS_LONG {
            stuck.end_long();
        }
        others.into_iter().for_each(|other| other.join().expect("no panic"));
        if IS_LONG {
            assert!(stuck.state.lock().is_loose, "both have looked, and one came last");
            stuck.end_long();
        }
        assert!(stuck.fired.iter().all(|task| task.get() == 1), "each fires once");
    }
}

/// What waits for the other task of a group fires while the long one goes on.
#[test]
fn loom_stuck_group_is_loosened() {
    check(&["countdown.fixed", "countdown.count"], Stuck::goes::<true>);
}

/// The long task may end at any time.
#[test]
fn loom_group_is_stuck_no_longer() {
    super::check_with(&bounded(3), &["countdown.fixed"], Stuck::goes::<false>);
}
