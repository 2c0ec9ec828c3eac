//! Models of the primitives, explored by loom, each with controls: one edge weakened, and the model must fail.
//!
//! They are unbounded, but for those of [`check_bounded`].

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use super::Arrival;
use super::claim::Claims;
use super::countdown::{Countdown, FixedCountdown};
use super::credit::{Credits, IssueJob, SourceTurn};
use super::event_count::{At, EventCount, Prefer};
use super::gate::Gate;
use super::imp_loom::fails_without;
use super::parker::Parker;
use super::quiescence::{Left, Quiescence};
use super::reference_count::ReferenceCount;
use super::sequencer::{Sequencer, Turn};

mod bell;
mod boards;
mod composed;
mod diamond;
mod latch;
mod lift;
mod marks;
mod meeting;
mod notice;
mod outside;
mod ring;
mod searchers;
mod steal_request;
mod stretch;

/// Explores `model`, then again with each edge weakened.
fn check(edges: &[&'static str], model: fn()) {
    check_with(&Builder::new(), edges, model);
}

/// As [`check`], for a model that would take many minutes, by its threads or their accesses: it explores all orders with
/// at most [`PREEMPTIONS`] switches away from a thread that could go on. Every control fails within them.
fn check_bounded(edges: &[&'static str], model: fn()) {
    let mut bounded = Builder::new();
    bounded.preemption_bound = Some(PREEMPTIONS);
    check_with(&bounded, edges, model);
}

fn check_with(how: &Builder, edges: &[&'static str], model: fn()) {
    how.check(model);
    for edge in edges {
        assert!(fails_without(edge, how, model), "the model does not notice that {edge} is weakened");
    }
}

/// The models take up to half a minute each with it, and more than five minutes without.
const PREEMPTIONS: usize = 4;

/// Plain memory whose races loom sees.
struct Plain<T = u32>(UnsafeCell<T>);

#[expect(unsafe_code, reason = "the races of this cell are what the models look for")]
// SAFETY: loom checks every access.
unsafe impl<T> Sync for Plain<T> {}

#[expect(unsafe_code, reason = "the races of this cell are what the models look for")]
impl<T> Plain<T> {
    fn change<R>(&self, how: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: loom fails the model if this races.
        self.0.with_mut(|value| how(unsafe { &mut *value }))
    }
}

#[expect(unsafe_code, reason = "the races of this cell are what the models look for")]
impl Plain {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }
    fn add(&self) {
        self.change(|value| *value += 1);
    }
    fn get(&self) -> u32 {
        // SAFETY: loom fails the model if this races.
        self.0.with(|value| unsafe { *value })
    }
}

#[test]
fn loom_parker_hands_over() {
    check(&["parker.unpark", "parker.park"], || {
        let shared = Arc::new((Parker::new(), Plain::new()));
        let waker = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.add();
                shared.0.unpark();
            })
        };
        shared.0.park();
        assert_eq!(shared.1.get(), 1, "the waker's write is visible");
        waker.join().expect("no panic");
        assert!(!shared.0.try_take(), "the token was taken");
    });
}

#[test]
fn loom_quiescence_last_sees_all() {
    check(&["quiescence.give"], || {
        let shared = Arc::new((Quiescence::new(2), Plain::new(), Plain::new()));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.add();
                shared.0.take(3);
                if shared.0.give_back(4) == Left::Nothing {
                    assert_eq!((shared.1.get(), shared.2.get()), (1, 1), "the last one sees all");
                    return 1;
                }
                0
            })
        };
        shared.2.add();
        let mut last = 0;
        if shared.0.give_back(1) == Left::Nothing {
            assert_eq!((shared.1.get(), shared.2.get()), (1, 1), "the last one sees all");
            last = 1;
        }
        last += other.join().expect("no panic");
        assert_eq!(last, 1, "exactly one is the last");
    });
}

#[test]
fn loom_reference_count_last_sees_all() {
    check(&["reference_count.end", "reference_count.alone"], || {
        let shared = Arc::new((ReferenceCount::default(), Plain::new(), Plain::new()));
        shared.0.begin();
        shared.0.share();
        let end = |shared: &(ReferenceCount, Plain, Plain), mine: &Plain| {
            mine.add();
            let last = shared.0.end() == Arrival::Last;
            if last {
                assert_eq!((shared.1.get(), shared.2.get()), (1, 1), "the last one sees all");
            }
            u32::from(last)
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || end(&shared, &shared.1))
        };
        let last = end(&shared, &shared.2) + other.join().expect("no panic");
        assert_eq!(last, 1, "exactly one is the last");
    });
}

#[test]
fn loom_countdown_fires_once() {
    check(&["countdown.arrive"], || {
        let shared = Arc::new((Countdown::new(), Plain::new()));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.add();
                shared.0.expect_more(1);
                u32::from(shared.0.arrive(1) == Arrival::Last) + u32::from(shared.0.arrive(1) == Arrival::Last)
            })
        };
        let last = shared.0.total(1) == Arrival::Last;
        if last {
            assert_eq!(shared.1.get(), 1, "the last one sees all");
        }
        assert_eq!(u32::from(last) + other.join().expect("no panic"), 1, "it fires once");
    });
}

#[test]
fn loom_fixed_countdown_fires_once() {
    check(&["countdown.fixed"], || {
        let shared = Arc::new((FixedCountdown::default(), Plain::new(), Plain::new()));
        shared.0.restart(2);
        let arrive = |shared: &(FixedCountdown, Plain, Plain), mine: &Plain| {
            mine.add();
            let last = shared.0.arrive() == Arrival::Last;
            if last {
                assert_eq!((shared.1.get(), shared.2.get()), (1, 1), "the last one sees all");
            }
            u32::from(last)
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || arrive(&shared, &shared.1))
        };
        let last = arrive(&shared, &shared.2) + other.join().expect("no panic");
        assert_eq!(last, 1, "it fires once");
    });
}

#[test]
fn loom_claim_is_exclusive() {
    check(&["claim.take", "claim.release"], || {
        let shared = Arc::new((Claims::new(1), Plain::new()));
        let work = |shared: &(Claims, Plain)| {
            if let Some(place) = shared.0.take() {
                shared.1.add();
                shared.0.release(place);
                return 1;
            }
            0
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || work(&shared))
        };
        let taken = work(&shared) + other.join().expect("no panic");
        assert!(taken >= 1, "somebody got the place");
        assert_eq!(shared.0.take(), Some(0), "it was given back");
        assert_eq!(shared.1.get(), taken);
    });
}

/// Two threads wait for the one place, while a third one gives it back. None waits for ever.
#[test]
fn loom_claim_is_waited_for() {
    check_bounded(&["claim.take", "claim.release"], || {
        let shared = Arc::new((Claims::new(1), Plain::new()));
        let place = shared.0.take().expect("free");
        let waits = |shared: &(Claims, Plain)| {
            let parker = Arc::new(Parker::new());
            let place = loop {
                match shared.0.take_or_wait(&parker) {
                    Some(place) => break place,
                    None => parker.park(),
                }
            };
            shared.1.add();
            shared.0.release(place);
        };
        let threads = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || waits(&shared))
        });
        shared.1.add();
        shared.0.release(place);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(shared.1.get(), 3);
    });
}

/// A source with one place and two batches to issue; the batch runs on another thread and puts the place back.
#[test]
fn loom_credit_is_never_lost() {
    check(&["credit.put", "credit.take", "credit.sleep"], || {
        let shared = Arc::new((Credits::new(1, 1), Plain::new(), Plain::new()));
        // The holder of the turn takes the place, changes the source's state, or goes to sleep.
        fn turn(shared: &(Credits, Plain, Plain)) -> Option<u32> {
            loop {
                shared.1.add();
                match shared.0.take_all() {
                    Some(place) => {
                        shared.2.add();
                        return Some(place);
                    }
                    None if shared.0.sleep() == SourceTurn::GivenUp => return None,
                    None => {}
                }
            }
        }
        let place = turn(&shared).expect("free at the start");
        let batch = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.2.add();
                shared.0.put(place) == IssueJob::Slept && turn(&shared).is_some()
            })
        };
        let second = turn(&shared).is_some();
        let started = batch.join().expect("no panic");
        assert!(second ^ started, "the second batch is issued exactly once");
        assert_eq!(shared.2.get(), 3);
    });
}

/// A source without a place goes to sleep while another thread stops it. It notes its end exactly once.
#[test]
fn loom_credit_stop_is_never_lost() {
    check(&["credit.stop"], || {
        let shared = Arc::new((Credits::new(0, 0), Plain::new()));
        // The holder of the turn notes the end, or goes to sleep.
        fn turn(shared: &(Credits, Plain)) -> u32 {
            loop {
                shared.1.add();
                if shared.0.is_stopped() {
                    return 1;
                }
                if shared.0.sleep() == SourceTurn::GivenUp {
                    return 0;
                }
            }
        }
        let stopper = {
            let shared = shared.clone();
            thread::spawn(move || if shared.0.stop() == IssueJob::Slept { turn(&shared) } else { 0 })
        };
        let ended = turn(&shared) + stopper.join().expect("no panic");
        assert_eq!(ended, 1, "the end is noted once");
    });
}

#[test]
fn loom_sequencer_loses_nobody() {
    check(&["sequencer.park"], || {
        let shared = Arc::new((Sequencer::new(2), Plain::new()));
        fn pass(shared: &(Sequencer<u64>, Plain), number: u64) {
            let mut inside = shared.0.enter(Turn { number, part: 0 }, number);
            while let Some(number) = inside {
                assert_eq!(u64::from(shared.1.get()), number, "in number order");
                shared.1.add();
                inside = shared.0.leave(true);
            }
        }
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                pass(&shared, 2);
                pass(&shared, 0);
            })
        };
        pass(&shared, 1);
        other.join().expect("no panic");
        assert_eq!(shared.1.get(), 3, "all have passed");
        assert_eq!(shared.0.waiting(), (0, Turn { number: 3, part: 0 }));
    });
}

#[test]
fn loom_gate_lets_all_pass() {
    check(&["gate.open", "gate.pass"], || {
        let shared = Arc::new((Gate::new(), Plain::new()));
        let opener = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.add();
                shared.0.open().len()
            })
        };
        let mut passed = 0;
        for thing in 0..2_u64 {
            if shared.0.pass(thing, |thing| *thing).is_some() {
                assert_eq!(shared.1.get(), 1, "what was done before the gate was opened is visible");
                passed += 1;
            }
        }
        let held = opener.join().expect("no panic");
        assert_eq!((passed + held, shared.0.holds()), (2, 0), "nothing is lost");
    });
}

#[test]
fn loom_event_count_loses_no_wake_up() {
    check_bounded(&["event_count.pushed", "event_count.asleep"], || {
        let shared = Arc::new((EventCount::new(2, &[2]), AtomicUsize::new(0), AtomicBool::new(false)));
        let worker = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs, _) = &*shared;
                let parker = Arc::new(Parker::new());
                sleep.enter();
                sleep.search(0);
                while jobs.load(Ordering::Relaxed) == 0 {
                    let seen = || jobs.load(Ordering::Relaxed) > 0;
                    sleep.fall_asleep(&parker, At::default(), None, seen);
                }
                sleep.found(0);
                sleep.exit(None);
            })
        };
        let (sleep, jobs, _) = &*shared;
        jobs.store(1, Ordering::Relaxed);
        sleep.notify(Prefer::default(), None, 1, 1);
        worker.join().expect("no panic");
        assert_eq!(sleep.available(0), 0, "all counts are back at zero");
    });
}

/// A thread that waits for one thing is woken for it, though `limit` threads are active.
#[test]
fn loom_event_count_gives_back_to_one_that_sleeps() {
    check(&["event_count.pushed", "event_count.asleep"], || {
        let shared = Arc::new((EventCount::new(1, &[2]), AtomicUsize::new(0)));
        let id = std::num::NonZeroUsize::new(7).expect("not zero");
        shared.0.enter(); // the giver, who is active all the time
        let waiter = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, back) = &*shared;
                let parker = Arc::new(Parker::new());
                sleep.enter();
                while back.load(Ordering::Relaxed) == 0 {
                    sleep.fall_asleep(&parker, At::default(), Some(id), || back.load(Ordering::Relaxed) > 0);
                }
                sleep.exit(None);
            })
        };
        shared.1.store(1, Ordering::Relaxed);
        shared.0.give_back(id);
        waiter.join().expect("no panic");
        shared.0.exit(None);
        assert_eq!(shared.0.available(0), 0, "all counts are back at zero");
    });
}

/// A thread leaves. Meanwhile a pusher wakes nobody, because that thread is still active. One of the two wakes a third,
/// which sleeps.
#[test]
fn loom_event_count_exit_is_handed_on() {
    check(&["event_count.owed", "event_count.freed"], || {
        let shared = Arc::new((EventCount::new(1, &[3]), AtomicUsize::new(0), Arc::new(Parker::new())));
        let (sleep, jobs, sleeper) = &*shared;
        sleep.enter();
        sleep.search(0);
        sleep.announce(sleeper, At::default(), None, false);
        sleep.enter();
        let guest = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs, _) = &*shared;
                sleep.exit(None);
                pay(sleep, jobs);
            })
        };
        jobs.store(1, Ordering::Relaxed);
        sleep.notify(Prefer::default(), None, 1, 1);
        guest.join().expect("no panic");
        assert!(sleeper.try_take(), "one of them has woken the sleeper");
        sleep.exit(Some(0));
        assert_eq!(sleep.available(0), 0, "all counts are back at zero");
    });
}

/// A thread that waits for a group announces its sleep and goes on at once. Meanwhile a guest leaves, and finds a slot
/// that is free already. A pusher wakes nobody, because it sees `limit` active threads. One of the three wakes a
/// worker, which sleeps.
#[test]
fn loom_event_count_exit_beside_a_short_sleep() {
    check_bounded(&["event_count.owed", "event_count.freed"], || {
        let shared = Arc::new((EventCount::new(2, &[3]), AtomicUsize::new(0), Arc::new(Parker::new())));
        let (sleep, jobs, sleeper) = &*shared;
        sleep.enter();
        sleep.search(0);
        sleep.announce(sleeper, At::default(), None, false);
        sleep.enter();
        sleep.enter();
        // Whether it would wake the sleeper.
        fn pays((sleep, jobs, _): &(EventCount, AtomicUsize, Arc<Parker>)) -> bool {
            sleep.pays(0, false) && jobs.load(Ordering::Relaxed) > 0
        }
        let waiter = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.0.announce(&Arc::new(Parker::new()), At::default(), std::num::NonZeroUsize::new(7), false);
                pays(&shared)
            })
        };
        let guest = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.0.exit(None);
                pays(&shared)
            })
        };
        jobs.store(1, Ordering::Relaxed);
        sleep.notify(Prefer::default(), None, 1, 1);
        let paid = [waiter, guest].map(|thread| thread.join().expect("no panic"));
        assert!(sleeper.try_take() || paid[0] || paid[1], "one of them wakes the sleeper");
    });
}

/// A thread pays a debt, and sees nothing. Meanwhile a pusher may wake nobody, and owes a look for its job. It must not
/// rely on the old debt.
#[test]
fn loom_event_count_debt_is_paid_once() {
    check_bounded(&["event_count.paid"], || {
        let shared = Arc::new((EventCount::new(2, &[3]), AtomicUsize::new(0), Arc::new(Parker::new())));
        let (sleep, jobs, sleeper) = &*shared;
        sleep.enter();
        sleep.search(0);
        sleep.announce(sleeper, At::default(), None, false);
        sleep.enter(); // one that is busy all the time
        sleep.enter();
        sleep.owes_more();
        let payer = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs, _) = &*shared;
                sleep.exit(None);
                pay(sleep, jobs);
            })
        };
        sleep.enter();
        jobs.store(1, Ordering::Relaxed);
        sleep.notify(Prefer::default(), None, 1, 1);
        sleep.exit(None);
        pay(sleep, jobs);
        payer.join().expect("no panic");
        assert!(sleeper.try_take(), "one of them has woken the sleeper");
    });
}

/// Pays what is owed: looks at the jobs, and wakes a thread for them.
fn pay(sleep: &EventCount, jobs: &AtomicUsize) {
    if sleep.pays(0, false) && jobs.load(Ordering::Relaxed) > 0 {
        sleep.owes_more();
        sleep.pass_on(Prefer::default(), 1, 1, std::iter::empty);
    }
}

/// A worker that is one too many goes to sleep with a job in sight. Meanwhile the limit is raised. The worker wakes.
#[test]
fn loom_event_count_raised_limit_wakes() {
    check(&["event_count.owed", "event_count.freed"], || {
        let shared = Arc::new(EventCount::new(2, &[2]));
        shared.set_limit(1);
        shared.enter(); // one that is busy all the time
        let worker = {
            let shared = shared.clone();
            thread::spawn(move || {
                let parker = Arc::new(Parker::new());
                shared.enter();
                shared.search(0);
                while shared.is_crowded(0) {
                    shared.fall_asleep(&parker, At::default(), None, || !shared.is_at_limit(0) || shared.owes_me(0));
                }
                shared.found(0);
                shared.exit(None);
            })
        };
        shared.set_limit(2);
        if shared.pays(0, false) {
            shared.pass_on(Prefer::default(), 1, 1, std::iter::empty);
        }
        worker.join().expect("no panic");
        shared.exit(None);
        assert_eq!(shared.available(0), 0, "all counts are back at zero");
    });
}

/// A pusher wakes nobody because of the limit. Meanwhile another thread raises the limit. One of the two wakes the
/// worker that has parked.
#[test]
fn loom_event_count_raise_is_handed_on() {
    check(&["event_count.owed", "event_count.freed"], || {
        let shared = Arc::new((EventCount::new(2, &[2]), AtomicUsize::new(0), Arc::new(Parker::new())));
        let (sleep, jobs, sleeper) = &*shared;
        sleep.set_limit(1);
        sleep.enter();
        sleep.search(0);
        sleep.announce(sleeper, At::default(), None, false);
        sleep.enter(); // one that is busy all the time
        let raiser = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs, _) = &*shared;
                sleep.set_limit(2);
                pay(sleep, jobs);
            })
        };
        jobs.store(1, Ordering::Relaxed);
        sleep.notify(Prefer::default(), None, 1, 1);
        raiser.join().expect("no panic");
        assert!(sleeper.try_take(), "one of them has woken the sleeper");
        sleep.exit(Some(0));
        sleep.exit(None);
        assert_eq!(sleep.available(0), 0, "all counts are back at zero");
    });
}
