//! Models of a task graph: tasks that others wait for, runs one after the other, and tasks that must not fire.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread::{self, JoinHandle};

use super::super::Arrival;
use super::super::countdown::FixedCountdown;
use super::super::latch::Latch;
use super::super::parker::Parker;
use super::super::quiescence::{Left, Quiescence};
use super::{Plain, check, check_bounded};

/// Four tasks: the first one makes two ready, and the last one waits for both. The thread that runs them works along,
/// and another one takes the third task.
struct Diamond {
    tokens: Quiescence,
    latch: Plain<Latch>,
    waiter: Arc<Parker>,
    /// How many of those that the last task waits for have not finished.
    missing: FixedCountdown,
    done: [Plain; 4],
    /// What a run starts over while nobody else may touch it. All who work for the run read it.
    round: Plain,
}

impl Diamond {
    fn new() -> Self {
        Self {
            tokens: Quiescence::new(0),
            latch: Plain(loom::cell::UnsafeCell::new(Latch::new())),
            waiter: Arc::new(Parker::new()),
            missing: FixedCountdown::new(2),
            done: [(); 4].map(|()| Plain::new()),
            round: Plain::new(),
        }
    }

    /// Fires one of the two tasks in the middle, and the last one if that makes it ready.
    fn fire(&self, task: usize) {
        let round = self.round.get();
        assert_eq!(self.done[0].get(), round, "it waits for the first task");
        self.done[task].add();
        if self.missing.arrive() == Arrival::Last {
            self.missing.restart(2);
            assert_eq!([1, 2].map(|task| self.done[task].get()), [round; 2], "it waits for both");
            self.done[3].add();
        }
    }

    /// A job has ended. If it was not the last one, its thread must not touch the run any more.
    fn give_back(&self) {
        let (waiter, latch) = (self.waiter.clone(), self.latch.0.with(|latch| latch));
        if self.tokens.give_back(1) == Left::Nothing {
            #[expect(unsafe_code, reason = "the setter's contract is part of the model")]
            // SAFETY: (1) alive in the Arc; (2) once in a run: by the last one.
            unsafe {
                Latch::set(latch, &waiter);
            }
        }
    }

    #[expect(unsafe_code, reason = "reads what the thread itself starts over")]
    fn is_over(&self) -> bool {
        // SAFETY: nobody else starts it over.
        self.latch.0.with(|latch| unsafe { &*latch }.is_set())
    }

    /// Runs it, and returns the thread that has helped.
    fn run(self: &Arc<Self>) -> JoinHandle<()> {
        self.round.change(|round| *round += 1);
        self.latch.change(Latch::reset);
        self.tokens.restart(1);
        self.done[0].add();
        self.tokens.take(1);
        let helper = {
            let diamond = self.clone();
            thread::spawn(move || {
                diamond.fire(2);
                diamond.give_back();
            })
        };
        self.fire(1);
        self.give_back();
        while !self.is_over() {
            self.waiter.park();
        }
        let round = self.round.get();
        assert_eq!(self.done.each_ref().map(Plain::get), [round; 4], "each fired once in each run, and all is visible");
        helper
    }
}

/// A diamond is run, and at once run again: a thread may still be at the end of the first run. The last task fires once
/// in each run, and sees what both have done; so does who waits for the run.
#[test]
fn loom_diamond_is_run_again() {
    // Without a bound it takes 22 s.
    check_bounded(&["countdown.fixed", "quiescence.give", "latch.set", "latch.seen"], || {
        let diamond = Arc::new(Diamond::new());
        let helpers = [(); 2].map(|()| diamond.run());
        helpers.into_iter().for_each(|helper| helper.join().expect("no panic"));
    });
}

/// Of the two tasks that the last one waits for, the first one fails, and the second one fails too, if it fires. The
/// last one to arrive sees the limit of the first, whoever it is, and so the last task does not fire; and the first one
/// counts.
#[test]
fn loom_what_waits_for_a_failure_does_not_fire() {
    const LAST: u32 = 3;
    struct Failing {
        missing: FixedCountdown,
        limit: AtomicU32,
        earliest: Mutex<Option<u32>>,
        torn: Plain,
    }
    impl Failing {
        /// A task fires, unless it must not; fails; and arrives at the last one. Whether that fires.
        fn fire(&self, task: u32) -> bool {
            if task < self.limit.load(Ordering::Relaxed) {
                if task == 1 {
                    self.torn.add();
                }
                let mut earliest = self.earliest.lock().expect("no panic");
                *earliest = Some(earliest.map_or(task, |known| known.min(task)));
                drop(earliest);
                self.limit.fetch_min(task, Ordering::Relaxed);
            }
            if self.missing.arrive() == Arrival::Earlier {
                return false;
            }
            let limit = self.limit.load(Ordering::Relaxed);
            assert_eq!((limit, self.torn.get()), (1, 1), "what the failure has left is known");
            LAST < limit
        }
    }
    check(&["countdown.fixed"], || {
        let failing = Arc::new(Failing {
            missing: FixedCountdown::new(2),
            limit: AtomicU32::new(u32::MAX),
            earliest: Mutex::new(None),
            torn: Plain::new(),
        });
        let other = {
            let failing = failing.clone();
            thread::spawn(move || failing.fire(2))
        };
        let fires = failing.fire(1) | other.join().expect("no panic");
        assert!(!fires, "it waits for what has failed");
        assert_eq!(*failing.earliest.lock().expect("no panic"), Some(1));
    });
}
