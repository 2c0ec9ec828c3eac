//! Models of searchers on whom others count: the last one of a domain looks, and takes over what a payer has left it.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::super::event_count::{At, EventCount, Prefer};
use super::super::parker::Parker;
use super::check;

/// A look is owed to a sleeper. A guest leaves, and a thread searches: the guest may leave the look to it. Meanwhile
/// that thread has found a job. One of the two looks.
#[test]
fn loom_event_count_payer_hands_on() {
    check(&["event_count.owed", "event_count.found"], || {
        let shared = Arc::new(EventCount::new(2, &[3]));
        shared.enter();
        shared.search(0);
        shared.announce(&Arc::new(Parker::new()), At::default(), None, false);
        shared.enter();
        shared.enter();
        shared.search(0);
        shared.owes_more();
        let guest = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.exit(None);
                shared.pays(0, false)
            })
        };
        let takes_over = shared.found(0) && shared.has_taken_over();
        let pays = guest.join().expect("no panic");
        assert!(pays || takes_over, "nobody looks");
    });
}

/// Two threads search, and both find other jobs than the one for which a pusher counts on them. Only the last one
/// looks, and it wakes a sleeper.
#[test]
fn loom_event_count_last_searcher_looks() {
    check(&["event_count.found"], || {
        let shared = Arc::new((EventCount::new(4, &[3]), AtomicUsize::new(0)));
        let (sleep, jobs) = &*shared;
        let sleeper = Arc::new(Parker::new());
        sleep.enter();
        sleep.search(0);
        sleep.announce(&sleeper, At::default(), None, false);
        for _ in 0..2 {
            sleep.enter();
            sleep.search(0);
        }
        let searchers = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, jobs) = &*shared;
                if sleep.found(0) && jobs.load(Ordering::Relaxed) > 0 {
                    sleep.notify(Prefer::default(), None, 1, 1);
                }
            })
        });
        jobs.store(1, Ordering::Relaxed);
        sleep.notify(Prefer::default(), None, 1, 1);
        searchers.into_iter().for_each(|searcher| searcher.join().expect("no panic"));
        assert!(sleeper.try_take(), "one of them has woken the sleeper");
    });
}

/// A pusher counts on a search. The searcher has found another job, and looks before it goes on.
#[test]
fn loom_event_count_search_is_handed_on() {
    check(&["event_count.found"], || {
        let shared = Arc::new((EventCount::new(3, &[3]), AtomicUsize::new(0), Arc::new(Parker::new())));
        let (sleep, jobs, sleeper) = &*shared;
        // The sleeper has gone through S1 to S3, and is parked.
        sleep.enter();
        sleep.search(0);
        sleep.announce(sleeper, At::default(), None, false);
        let searcher = {
            let shared = shared.clone();
            sleep.enter();
            sleep.search(0);
            thread::spawn(move || {
                let (sleep, jobs, _) = &*shared;
                sleep.found(0);
                if jobs.load(Ordering::Relaxed) > 0 {
                    sleep.notify(Prefer::default(), None, 1, 2);
                }
                sleep.exit(None);
            })
        };
        jobs.store(1, Ordering::Relaxed);
        sleep.notify(Prefer::default(), None, 1, 1);
        searcher.join().expect("no panic");
        assert!(sleeper.try_take(), "one of them has woken the sleeper");
        sleep.found(0);
        sleep.exit(None);
        assert_eq!(sleep.available(0), 0, "all counts are back at zero");
    });
}
