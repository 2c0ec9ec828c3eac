//! Closures that nobody waits for.
//!
//! A spawned closure is a job of a group of its own, which nobody waits for: so no thread that waits for something takes
//! one. The group is never quiescent, because the pool itself keeps a token of it: a job may come from anywhere at any time.
//!
//! # When the pool closes
//! What came before the workers were told to end is visible to those who read that, and they end only when they have looked
//! for jobs after it and found none ([`crate::sync::event_count`], E1 to E3). What comes later comes from a job, and the
//! thread that runs it looks once more behind it. So all is run.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use super::work::job::{Group, Job, Target};
use super::work::worker::Worker;
use super::{Pool, Shared};
use crate::sync::quiescence::Quiescence;
use crate::unwind;

/// What a panic of a spawned closure is given to.
#[derive(Clone)]
pub(super) struct PanicHandler(pub(super) Arc<dyn Fn(Box<dyn Any + Send>) + Send + Sync>);

impl fmt::Debug for PanicHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PanicHandler")
    }
}

/// A spawned closure on the heap.
#[repr(C)]
struct Detached<F> {
    target: Target,
    work: F,
}

/// There is always room for so many spawned closures from outside: a few pages for each NUMA node.
const ROOM: usize = 512;

/// The group of all spawned closures of a pool.
pub(super) fn group() -> Group {
    Group { tokens: Quiescence::new(1), on_quiescent: never }
}

#[expect(unsafe_code, reason = "a group's end is unsafe to call")]
unsafe fn never(_: NonNull<Group>, _: &Worker<'_>) {
    unreachable!("the pool keeps a token");
}

impl Shared {
    /// Makes room for spawned closures, in a pool that has come to its place.
    pub(super) fn plan_spawns(&self) {
        self.plan_jobs(NonNull::from(&self.detached), ROOM);
    }

    fn spawn<F: FnOnce() + Send + 'static>(&self, work: F) {
        self.check_process();
        let group = NonNull::from(&self.detached);
        let detached = Box::new(Detached { target: Target::new(run::<F>, Some(group)), work });
        let job = Job { target: NonNull::from(Box::leak(detached)).cast(), payload: 0 };
        // Guests call none, and may take all the places there are.
        if let Some(worker) = Worker::here(self).filter(|worker| worker.has_place()) {
            worker.push_last(job); // behind all that somebody waits for
        } else {
            self.detached.tokens.take(1);
            self.inject(job);
        }
    }
}

#[expect(unsafe_code, reason = "takes the closure back from the heap")]
unsafe fn run<F: FnOnce()>(target: NonNull<Target>, _: u64, worker: &Worker<'_>) {
    worker.publish_all(); // nobody who waits for what this worker has is to wait for this
    // SAFETY: the target is the first field of a leaked `Detached`, and each job is run once.
    let detached = unsafe { Box::from_raw(target.cast::<Detached<F>>().as_ptr()) };
    let Err(panic) = catch_unwind(AssertUnwindSafe(detached.work)) else { return };
    match &worker.shared.panic_handler {
        Some(PanicHandler(handle)) => {
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| handle(panic))) {
                unwind::drop_payload(again);
            }
        }
        None => unwind::drop_payload(panic),
    }
}

impl Pool {
    /// Lets a worker call `work` some time; returns at once.
    ///
    /// It begins within 10 ms, plus the longest that a worker is in one closure of a job, task, batch or leaf of a loop, plus
    /// those spawned before it, however many other threads and closures keep the pool busy. Spawned on a worker it comes behind
    /// what that worker has queued for others that wait.
    ///
    /// Nobody waits for it: no thread that waits for a join, scope or run calls it meanwhile. Closures may be called in any
    /// order. A closure that is to spawn more keeps a [`PoolHandle`](crate::PoolHandle), as it cannot borrow the pool.
    ///
    /// A panic ends the closure and nothing else: the panic hook has said so, and the payload is given to the pool's
    /// [`panic_handler`](crate::PoolBuilder::panic_handler), or dropped.
    ///
    /// Dropping the pool waits until all that was spawned was called. A handle refuses more from then on.
    ///
    /// Costs an allocation, and a lock for a moment if the calling thread is none of the pool's.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// let pool = millstream::Pool::new()?;
    /// let called = Arc::new(AtomicUsize::new(0));
    /// for _ in 0..10 {
    ///     let called = Arc::clone(&called);
    ///     pool.spawn(move || _ = called.fetch_add(1, Ordering::Relaxed));
    /// }
    /// drop(pool);
    /// assert_eq!(called.load(Ordering::Relaxed), 10);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        self.shared.spawn(work);
    }
}
