//! Models of several primitives together, as the pool puts them together.

use std::num::NonZeroUsize;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::super::Arrival;
use super::super::claim::Claims;
use super::super::countdown::FixedCountdown;
use super::super::event_count::{At, EventCount, Prefer};
use super::super::latch::Latch;
use super::super::parker::Parker;
use super::super::quiescence::{Left, Quiescence};
use super::{Plain, check, check_bounded, pay};

/// Takes a job from a queue that has only a length.
fn take(jobs: &AtomicUsize) -> bool {
    jobs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |jobs| jobs.checked_sub(1)).is_ok()
}

/// A thread waits for its group. Another one makes a job of the group, and then ends its own. The one that ends last
/// sets the latch.
#[test]
fn loom_wait_ends_with_its_group() {
    struct Wait {
        sleep: EventCount,
        jobs: AtomicUsize,
        tokens: Quiescence,
        latch: Latch,
        parker: Arc<Parker>,
        done: Plain,
    }
    fn end(wait: &Wait) {
        if wait.tokens.give_back(1) == Left::Nothing {
            #[expect(unsafe_code, reason = "the setter's contract is part of the model")]
            // SAFETY: (1) alive in the Arc; (2) once: by the last one.
            unsafe {
                Latch::set(&raw const wait.latch, &wait.parker);
            }
        }
    }
    // Not N1: where nobody searches the pusher passes O2 before it gives up.
    let edges = ["event_count.asleep", "quiescence.give", "latch.set", "latch.seen"];
    check_bounded(&edges, || {
        let wait = Arc::new(Wait {
            sleep: EventCount::new(1, &[2]),
            jobs: AtomicUsize::new(0),
            tokens: Quiescence::new(2), // the maker's own, and that of the job it makes
            latch: Latch::new(),
            parker: Arc::new(Parker::new()),
            done: Plain::new(),
        });
        let id = NonZeroUsize::new(7);
        wait.sleep.enter();
        let maker = {
            let wait = wait.clone();
            thread::spawn(move || {
                wait.jobs.store(1, Ordering::Relaxed);
                wait.sleep.notify(Prefer::default(), id, 1, 1);
                wait.done.add();
                end(&wait);
            })
        };
        while !wait.latch.is_set() {
            if take(&wait.jobs) {
                end(&wait);
            } else {
                let seen = || wait.latch.is_set() || wait.jobs.load(Ordering::Relaxed) > 0;
                wait.sleep.fall_asleep(&wait.parker, At::default(), id, seen);
            }
        }
        assert_eq!(wait.done.get(), 1, "what the group did is visible");
        maker.join().expect("no panic");
        wait.sleep.exit(None);
        assert_eq!(wait.sleep.available(0), 0, "all counts are back at zero");
    });
}

/// Guests take the one guest seat and leave a job there, while the one worker sleeps. The seat has one owner at a time,
/// and the worker is woken for what they left. A guest without a seat gives its job to the worker. (A control of
/// `claim.release` would not fail here: the fence of the notification before it does the same.)
#[test]
fn loom_guests_hand_over() {
    check(&["claim.take"], || {
        let shared = Arc::new((EventCount::new(3, &[3]), Claims::new(1), Plain::new(), AtomicUsize::new(0)));
        let worker = Arc::new(Parker::new());
        let (sleep, claims, seat, jobs) = &*shared;
        sleep.enter();
        sleep.search(0);
        sleep.announce(&worker, At::default(), None, false); // through S1 to S3, and parked
        fn visit((sleep, claims, seat, jobs): &(EventCount, Claims, Plain, AtomicUsize)) -> u32 {
            let Some(place) = claims.take() else {
                sleep.set_urgent(true);
                jobs.fetch_add(1, Ordering::Relaxed);
                sleep.notify(Prefer::default(), None, 1, 1);
                return 0;
            };
            sleep.enter();
            seat.add();
            jobs.fetch_add(1, Ordering::Relaxed);
            sleep.notify(Prefer::default(), None, 1, 1);
            claims.release(place);
            sleep.exit(None);
            1
        }
        let other = {
            let shared = shared.clone();
            thread::spawn(move || visit(&shared))
        };
        let seated = visit(&shared) + other.join().expect("no panic");
        assert_eq!(jobs.load(Ordering::Relaxed), 2, "nothing is lost");
        assert!(worker.try_take(), "the worker is woken for it");
        assert_eq!(claims.take(), Some(0), "the seat was given back");
        assert_eq!(seat.get(), seated, "one at a time");
    });
}

/// A thread from outside spawns a job, unless the pool is closed already. Meanwhile another thread closes it. The
/// worker reads whether more jobs will come, and looks for one. If it read that none will, and finds none, it ends.
/// Each job is run or refused.
#[test]
fn loom_event_count_end_comes_after_all_jobs() {
    check(&["event_count.end", "event_count.ended"], || {
        let shared = Arc::new((EventCount::new(1, &[1]), AtomicUsize::new(0), Mutex::new((false, false))));
        let spawner = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs, visits) = &*shared;
                {
                    let mut visits = visits.lock().expect("no panic");
                    if visits.0 {
                        return false; // refused
                    }
                    visits.1 = true;
                }
                jobs.store(1, Ordering::Relaxed);
                let mut visits = visits.lock().expect("no panic");
                visits.1 = false;
                if visits.0 {
                    sleep.end(); // on behalf of the one who closed
                }
                true
            })
        };
        let closer = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, _, visits) = &*shared;
                let mut visits = visits.lock().expect("no panic");
                visits.0 = true;
                if !visits.1 {
                    sleep.end();
                }
            })
        };
        let (sleep, jobs, _) = &*shared;
        let ending = sleep.is_ending();
        let mut ran = take(jobs);
        let spawned = spawner.join().expect("no panic");
        closer.join().expect("no panic");
        if !ending {
            ran |= take(jobs); // it goes on until it has seen the end
        }
        assert_eq!(ran, spawned, "what was spawned is run");
    });
}

/// A worker blocks, and lends its slot to a compensating thread. Meanwhile another thread makes a job for which there
/// is no place.
#[test]
fn loom_event_count_lends_a_slot() {
    check(&["event_count.owed", "event_count.freed"], || {
        let shared = Arc::new((EventCount::new(1, &[2]), AtomicUsize::new(0), Arc::new(Parker::new())));
        let (sleep, jobs, compensator) = &*shared;
        sleep.enter_compensator();
        sleep.search(0);
        sleep.announce(compensator, At::default(), None, true);
        sleep.enter();
        let worker = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs, _) = &*shared;
                sleep.lend(true);
                sleep.exit(None);
                pay(sleep, jobs);
            })
        };
        jobs.store(1, Ordering::Relaxed);
        sleep.notify(Prefer::default(), None, 1, 1);
        worker.join().expect("no panic");
        assert!(compensator.try_take(), "one of them has woken the compensator");
        assert!(!sleep.has_too_many_compensators());
        sleep.lend(false);
        assert!(sleep.has_too_many_compensators());
        sleep.exit_compensator(Some(0));
        assert_eq!(sleep.available(0), 0, "all counts are back at zero");
    });
}

/// A thread gives up waiting, and waits again, while it is woken.
#[test]
fn loom_parker_gives_up() {
    check(&["parker.unpark", "parker.park"], || {
        let shared = Arc::new((Parker::new(), Plain::new()));
        let waker = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.add();
                shared.0.unpark();
            })
        };
        if !shared.0.park_for(std::time::Duration::ZERO) {
            shared.0.park();
        }
        assert_eq!(shared.1.get(), 1, "the waker's write is visible");
        waker.join().expect("no panic");
        assert!(!shared.0.try_take(), "the token was taken");
    });
}

/// A searcher makes way for a sleeper that has just seen a job. That one goes on without its wake-up, and may have its
/// last look before the other one sleeps. A pusher counts on a search in between. Somebody sees its job all the same.
#[test]
fn loom_event_count_search_changes_hands() {
    check_bounded(&["event_count.pushed", "event_count.asleep", "event_count.found"], || {
        let parkers = [Arc::new(Parker::new()), Arc::new(Parker::new())];
        let shared = Arc::new((EventCount::new(2, &[2]), AtomicUsize::new(0), parkers));
        let (sleep, jobs, [leaving, other]) = &*shared;
        for _ in 0..2 {
            sleep.enter();
            sleep.search(0);
        }
        let swap = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs, [leaving, _]) = &*shared;
                let sees = || jobs.load(Ordering::Relaxed) > 0;
                // It sleeps until it is woken, if it does not see the job.
                sleep.swap(leaving, At::default(), |_| true, |is_searched| !is_searched && sees());
            })
        };
        let push = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs, _) = &*shared;
                jobs.store(1, Ordering::Relaxed);
                sleep.notify(Prefer::default(), None, 1, 1);
            })
        };
        let was_woken = sleep.fall_asleep(other, At::default(), None, || true); // S3 has seen another job
        let is_last = sleep.found(0);
        if (is_last || was_woken) && jobs.load(Ordering::Relaxed) > 0 {
            leaving.unpark();
        }
        push.join().expect("no panic");
        swap.join().expect("no panic");
    });
}

/// A pusher counts on a search, and wakes nobody. The searcher has found another job. It sees `limit` active threads,
/// and goes on without a look. Meanwhile a guest leaves. One of the three wakes a fourth thread, which sleeps.
#[test]
fn loom_event_count_search_at_the_limit_is_handed_on() {
    check_bounded(&["event_count.found", "event_count.owed", "event_count.freed"], || {
        let shared = Arc::new((EventCount::new(2, &[3]), AtomicUsize::new(0), Arc::new(Parker::new())));
        let (sleep, jobs, sleeper) = &*shared;
        sleep.enter();
        sleep.search(0);
        sleep.announce(sleeper, At::default(), None, false);
        sleep.enter(); // the guest
        sleep.enter();
        sleep.search(0);
        let searcher = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs, _) = &*shared;
                sleep.found(0);
                let looks = sleep.can_wake(0) || {
                    sleep.owes_more();
                    sleep.can_wake(0)
                };
                looks && jobs.load(Ordering::Relaxed) > 0
            })
        };
        let guest = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs, _) = &*shared;
                sleep.exit(None);
                sleep.pays(0, false) && jobs.load(Ordering::Relaxed) > 0
            })
        };
        jobs.store(1, Ordering::Relaxed);
        sleep.notify(Prefer::default(), None, 1, 1);
        let would_wake = [searcher, guest].map(|thread| thread.join().expect("no panic"));
        assert!(sleeper.try_take() || would_wake[0] || would_wake[1], "one of them wakes the sleeper");
    });
}

/// A thread that waits for a group sleeps, and the pool is full. A guest leaves. Meanwhile one thread owes a look for
/// work of its own, and another one pushes a job of the group: the guest may miss the first one's note, which has no
/// fence behind it yet, so the pusher must not rely on it.
#[test]
fn loom_event_count_nobody_relies_on_the_note_of_another() {
    check_bounded(&["event_count.owed", "event_count.freed"], || {
        let shared = Arc::new((EventCount::new(1, &[3]), AtomicUsize::new(0), Arc::new(Parker::new())));
        let (sleep, jobs, sleeper) = &*shared;
        let group = NonZeroUsize::new(1);
        sleep.enter();
        sleep.announce(sleeper, At::default(), group, false);
        sleep.enter(); // the guest
        let owes = {
            let shared = shared.clone();
            thread::spawn(move || _ = shared.0.notify(Prefer::default(), NonZeroUsize::new(2), 1, 1))
        };
        let guest = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs, _) = &*shared;
                sleep.exit(None);
                sleep.pays(0, false) && jobs.load(Ordering::Relaxed) > 0
            })
        };
        jobs.store(1, Ordering::Relaxed);
        sleep.notify(Prefer::default(), group, 1, 1);
        owes.join().expect("no panic");
        let would_wake = guest.join().expect("no panic");
        assert!(sleeper.try_take() || would_wake, "one of them wakes the sleeper");
    });
}

/// A block is gone through twice. Its two tasks arrive at its exit; the last one starts the count over and lets both begin
/// again, on other threads than before. Each sees what was done before it, and the second time ends once.
#[test]
fn loom_block_is_gone_through_again() {
    struct Block {
        exit: FixedCountdown,
        tasks: [Plain; 2],
    }
    impl Block {
        /// Does a task, and whatever its arrival lets begin. Returns how often the block ended for the second time.
        fn fire(self: &Arc<Self>, task: usize, time: u32) -> u32 {
            self.tasks[task].add();
            if self.exit.arrive() == Arrival::Earlier {
                return 0;
            }
            self.exit.restart(2);
            assert_eq!(self.tasks.each_ref().map(Plain::get), [time; 2], "the last one sees both tasks");
            if time == 2 {
                return 1;
            }
            let other = {
                let block = self.clone();
                thread::spawn(move || block.fire(task, 2))
            };
            self.fire(1 - task, 2) + other.join().expect("no panic")
        }
    }
    check(&["countdown.fixed"], || {
        let block = Arc::new(Block { exit: FixedCountdown::new(2), tasks: [Plain::new(), Plain::new()] });
        let other = {
            let block = block.clone();
            thread::spawn(move || block.fire(0, 1))
        };
        assert_eq!(block.fire(1, 1) + other.join().expect("no panic"), 1, "it ends once");
    });
}
