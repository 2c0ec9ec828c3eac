//! Models of the flag by which thieves ask for jobs.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering, fence};
use loom::thread;

use super::super::event_count::{At, EventCount};
use super::super::marks::Marks;
use super::super::parker::Parker;
use super::super::steal_request::StealRequest;
use super::{check, check_bounded};

/// A thread asks and is about to sleep. Meanwhile the owner takes the flag down, because it sees nobody hungry.
#[test]
fn loom_steal_request_is_not_forgotten() {
    check(&["steal_request.answered", "event_count.asleep", "event_count.woken", "event_count.awake"], || {
        let shared = Arc::new((EventCount::new(2, &[2]), StealRequest::new(Marks::default().mark(0))));
        shared.0.enter();
        let asker = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, request) = &*shared;
                sleep.search(0);
                sleep.fall_asleep(&Arc::new(Parker::new()), At::default(), None, || {
                    request.ask();
                    true
                });
            })
        };
        let (sleep, request) = &*shared;
        request.answer(|| sleep.is_hungry(0));
        asker.join().expect("no panic");
        assert!(sleep.is_hungry(0) && request.is_up(), "somebody is hungry: the flag is up");
    });
}

/// A thread asks only a seat whose mark says that nobody has asked it. Another one has taken that mark away, but it may
/// still see the flag up, though it was taken down before the mark was set.
#[test]
fn loom_steal_request_mark_goes_with_the_flag() {
    check_bounded(&["steal_request.answered", "steal_request.lowered", "steal_request.raised"], || {
        let marks = Marks::default();
        marks.mark(0).set(Ordering::Relaxed); // from before: an asker may have raised the flag without a look at it
        let shared = Arc::new((StealRequest::new(marks.mark(0)), marks, AtomicBool::new(false)));
        let asks = |(request, marks, _): &(StealRequest, Marks, AtomicBool)| {
            if marks.load() != 0 {
                request.ask();
            }
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || asks(&shared)) // it has found a job meanwhile
        };
        let hungry = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.2.store(true, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                asks(&shared);
            })
        };
        shared.0.answer(|| shared.2.load(Ordering::Relaxed));
        other.join().expect("no panic");
        hungry.join().expect("no panic");
        assert!(shared.0.is_up(), "somebody is hungry: the flag is up");
    });
}
