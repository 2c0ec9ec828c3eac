//! Models of the stretch: its owner beside a taker.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::super::countdown::FixedCountdown;
use super::super::stretch::Stretch;
use super::{Plain, check};
use crate::sync::{Arrival, Mutex};

/// Three things, as the tasks of a group, and who holds some of them.
struct Group {
    stretch: Stretch,
    lock: Mutex<()>,
    was_cut: AtomicU32,
    holders: FixedCountdown,
    done: [Plain; 3],
}

impl Group {
    fn new() -> Self {
        Self {
            stretch: Stretch::new(0..3),
            lock: Mutex::new(()),
            was_cut: AtomicU32::new(0),
            holders: FixedCountdown::new(1),
            done: [(); 3].map(|()| Plain::new()),
        }
    }

    /// Takes the upper half of what is left, does it, and says how often it has ended the group.
    fn take(&self) -> u32 {
        let lock = self.lock.lock();
        let half = |next: u32, end: u32| (next < end).then(|| next + (end - next) / 2);
        let Some(taken) = self.stretch.take(half) else { return 0 };
        self.was_cut.store(1, Ordering::Relaxed);
        self.holders.expect_one_more();
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
        let group = Arc::new(Group::new());
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
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    super::check_with(&builder, &[], || {
        let group = Arc::new(Group::new());
        let takers = [(); 2].map(|()| {
            let group = group.clone();
            thread::spawn(move || group.take())
        });
        let mut ended = group.own();
        takers.into_iter().for_each(|taker| ended += taker.join().expect("no panic"));
        assert_eq!(ended, 1, "the group ends once");
    });
}
