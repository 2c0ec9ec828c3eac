//! How a source sleeps: a live one at its bell, and at its end in the credit list; one that is held back.

use super::*;
use crate::sync::bell::Bell;

/// Another thread brings an item and rings, while the source is asked and goes to sleep. The item is taken exactly once.
#[test]
fn loom_bell_is_never_missed() {
    check(&["bell.ring", "bell.answer", "bell.refused", "bell.sleep"], || {
        let shared = Arc::new((Bell::new(), AtomicBool::new(false), Plain::new()));
        // The holder of the turn takes the item, or goes to sleep.
        fn turn(shared: &(Bell, AtomicBool, Plain)) -> u32 {
            shared.0.answer();
            loop {
                shared.2.add();
                if shared.1.load(Ordering::Relaxed) {
                    return 1;
                }
                if shared.0.sleep() == SourceTurn::GivenUp {
                    return 0;
                }
            }
        }
        let ringer = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.store(true, Ordering::Relaxed);
                if shared.0.ring() == IssueJob::Slept { turn(&shared) } else { 0 }
            })
        };
        let taken = turn(&shared) + ringer.join().expect("no panic");
        assert_eq!(taken, 1, "the item is taken once");
    });
}

/// Two threads ring for a source that sleeps. One of them has the turn; what the other one has brought is seen in it.
#[test]
fn loom_bell_gives_the_turn_once() {
    check(&[], || {
        let bell = Arc::new(Bell::new());
        assert_eq!(bell.sleep(), SourceTurn::GivenUp);
        let ringer = {
            let bell = bell.clone();
            thread::spawn(move || bell.ring())
        };
        let both = [bell.ring(), ringer.join().expect("no panic")];
        assert_eq!(both.iter().filter(|job| **job == IssueJob::Slept).count(), 1, "{both:?}");
        assert_eq!(bell.sleep(), SourceTurn::Kept, "the other one has rung for who is awake");
    });
}

/// The holder of the turn of a source that has ended hears of a place, or goes to sleep. How many it has heard of.
pub(super) fn hear(shared: &(Credits, Plain)) -> u32 {
    loop {
        shared.1.add();
        if shared.0.take_all().is_some() {
            return 1;
        }
        if shared.0.sleep_to_hear() == SourceTurn::GivenUp {
            return 0;
        }
    }
}

/// A source has ended and waits for its last place, which a batch puts back on another thread. It hears of it once.
#[test]
fn loom_credit_end_hears_the_last_place() {
    check(&["credit.hear"], || {
        let shared = Arc::new((Credits::new(1, 1), Plain::new()));
        let place = shared.0.take_all().expect("free at the start");
        assert_eq!(shared.0.stop(), IssueJob::Awake);
        let batch = {
            let shared = shared.clone();
            thread::spawn(move || if shared.0.put(place) == IssueJob::Slept { hear(&shared) } else { 0 })
        };
        let heard = hear(&shared) + batch.join().expect("no panic");
        assert_eq!(heard, 1, "it hears of the place once");
    });
}

/// A source without a place sleeps. A batch puts its place back while another thread rouses the source: one of them has
/// the turn, and takes the place.
#[test]
fn loom_credit_is_roused_once() {
    check(&["credit.rouse"], || {
        let shared = Arc::new((Credits::new(1, 1), Plain::new()));
        let place = shared.0.take_all().expect("free at the start");
        shared.1.add();
        // The holder of the turn takes the place, or goes to sleep.
        fn turn(shared: &(Credits, Plain)) -> u32 {
            loop {
                shared.1.add();
                if shared.0.take_all().is_some() {
                    return 1;
                }
                if shared.0.sleep() == SourceTurn::GivenUp {
                    return 0;
                }
            }
        }
        let rouser = {
            let shared = shared.clone();
            thread::spawn(move || if shared.0.rouse() == IssueJob::Slept { turn(&shared) } else { 0 })
        };
        let batch = {
            let shared = shared.clone();
            thread::spawn(move || if shared.0.put(place) == IssueJob::Slept { turn(&shared) } else { 0 })
        };
        let taken = turn(&shared) + rouser.join().expect("no panic") + batch.join().expect("no panic");
        assert_eq!(taken, 1, "the place is taken once");
    });
}

/// What a source does that sleeps though it could go on, while a thread outside brings a job that has another source
/// sleep so. Both are let go on, as no token is left.
#[test]
fn loom_quiescence_idle_is_looked_at() {
    check_bounded(&["quiescence.look"], || {
        let shared = Arc::new((Quiescence::new(2), Plain::new(), AtomicUsize::new(0), AtomicUsize::new(0)));
        // The last token comes back. If something is outside, whoever gave it looks which sources sleep.
        fn give_back(shared: &(Quiescence, Plain, AtomicUsize, AtomicUsize)) {
            if shared.0.give_back(1) == Left::Outside
                && let Some(look) = shared.0.begin_look()
            {
                shared.1.add();
                let asleep = shared.2.swap(0, Ordering::Relaxed);
                if asleep == 0 {
                    shared.0.found_nothing(&look);
                } else {
                    shared.3.fetch_add(asleep, Ordering::Relaxed);
                }
                give_back(shared);
            }
        }
        shared.0.put_outside(); // for the thread outside
        shared.0.put_outside(); // stays
        let outside = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.0.come_in();
                shared.2.fetch_add(1, Ordering::Relaxed);
                give_back(&shared);
            })
        };
        assert_eq!(shared.0.give_back(1), Left::Tokens);
        shared.1.add();
        shared.2.fetch_add(1, Ordering::Relaxed);
        give_back(&shared);
        outside.join().expect("no panic");
        assert_eq!((shared.2.load(Ordering::Relaxed), shared.3.load(Ordering::Relaxed)), (0, 2), "nobody sleeps on");
    });
}
