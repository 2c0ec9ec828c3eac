//! How a live source sleeps: at its bell, and at its end in the credit list.

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

/// A source has ended and waits for its last place, which a batch puts back on another thread. It hears of it once.
#[test]
fn loom_credit_end_hears_the_last_place() {
    check(&["credit.hear"], || {
        let shared = Arc::new((Credits::new(1), Plain::new()));
        let place = shared.0.take_all().expect("free at the start");
        assert_eq!(shared.0.stop(), IssueJob::Awake);
        // The holder of the turn hears, or goes to sleep.
        fn turn(shared: &(Credits, Plain)) -> u32 {
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
        let batch = {
            let shared = shared.clone();
            thread::spawn(move || if shared.0.put(place) == IssueJob::Slept { turn(&shared) } else { 0 })
        };
        let heard = turn(&shared) + batch.join().expect("no panic");
        assert_eq!(heard, 1, "it hears of the place once");
    });
}
