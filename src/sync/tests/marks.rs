//! The model of the marks by which seats show jobs.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::super::Mutex;
use super::super::event_count::{At, EventCount, Prefer};
use super::super::marks::Marks;
use super::super::parker::Parker;
use super::check_bounded;

/// An old mark is there. The occupant sees that no job is public, and takes the mark away. Meanwhile a raider makes a job
/// public, and a worker goes to sleep, which looks at the job only if the mark is there.
#[test]
fn loom_marks_show_every_job() {
    check_bounded(&["event_count.pushed", "event_count.asleep"], || {
        let mark = Marks::default().mark(0);
        mark.set(Ordering::Relaxed);
        let shared = Arc::new((EventCount::new(1, &[1]), mark, Mutex::new(()), AtomicUsize::new(0)));
        let occupant = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (_, mark, far_end, jobs) = &*shared;
                let _far = far_end.lock();
                if jobs.load(Ordering::Relaxed) == 0 {
                    mark.clear(Ordering::Relaxed);
                }
            })
        };
        let worker = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (sleep, mark, _, jobs) = &*shared;
                let sees = || mark.is_set() && jobs.load(Ordering::Relaxed) > 0;
                sleep.enter();
                sleep.search(0);
                sleep.fall_asleep(&Arc::new(Parker::new()), At::default(), None, sees);
            })
        };
        let (sleep, mark, far_end, jobs) = &*shared;
        let far = far_end.lock();
        jobs.store(1, Ordering::Relaxed);
        mark.set(Ordering::Relaxed);
        drop(far);
        sleep.notify(Prefer::default(), None, 1, 1);
        occupant.join().expect("no panic");
        worker.join().expect("it does not sleep for ever");
    });
}
