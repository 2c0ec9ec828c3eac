//! Jobs that lie in no order: where the explorer of schedules finds what may be next.
//!
//! A pool decides which job is next by its queues, by who steals, and by who sleeps. The explorer does without all that: a job that is
//! queued lies in a bag, and any one of the bag may be next, on a seat of its own. Whatever a pool does is one of these orders.

use std::cell::RefCell;
use std::ptr::NonNull;

use super::job::{Job, Target};
use super::worker::Worker;
use crate::sync::Call;

thread_local! {
    /// The jobs that the step under way has queued, while this thread explores.
    static NEW: RefCell<Option<Vec<Queued>>> = const { RefCell::new(None) };
}

/// A job that was queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queued {
    pub(crate) job: Job,
    /// What it is about, if whoever queues it may differ from schedule to schedule.
    pub(crate) about: Option<u32>,
    /// What it calls first, if that is known.
    pub(crate) will: Option<Call>,
}

/// Whether this thread explores.
pub(crate) fn is_open() -> bool {
    NEW.with_borrow(Option::is_some)
}

/// This thread explores while `body` runs.
pub(crate) fn open<R>(body: impl FnOnce() -> R) -> R {
    struct Close;
    impl Drop for Close {
        fn drop(&mut self) {
            NEW.set(None);
        }
    }
    NEW.set(Some(Vec::new()));
    let _close = Close;
    body()
}

/// Has `work` called by a process of its own, at any time.
#[expect(unsafe_code, reason = "takes the closure back from the heap")]
pub(crate) fn call_any_time<F: FnOnce()>(work: F) {
    #[repr(C)]
    struct AnyTime<F> {
        target: Target,
        work: F,
    }
    unsafe fn run<F: FnOnce()>(target: NonNull<Target>, _: u64, _: &Worker<'_>) {
        // SAFETY: the target is the first field of a leaked `AnyTime`, and each job is run once.
        let this = unsafe { Box::from_raw(target.cast::<AnyTime<F>>().as_ptr()) };
        (this.work)();
    }
    let this = Box::new(AnyTime { target: Target::new(run::<F>, None), work });
    put(Job { target: NonNull::from(Box::leak(this)).cast(), payload: 0 });
}

/// Queues a job.
pub(in crate::pool) fn put(job: Job) {
    let (about, will) = crate::sync::footprint::take_about(job.target.addr().get(), job.payload);
    NEW.with_borrow_mut(|new| new.as_mut().expect("this thread explores").push(Queued { job, about, will }));
}

/// Moves the jobs that were queued into `into`.
pub(crate) fn take_new(into: &mut Vec<Queued>) {
    NEW.with_borrow_mut(|new| into.append(new.as_mut().expect("this thread explores")));
}
