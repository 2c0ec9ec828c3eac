//! Closures that nobody waits for.
//!
//! All spawned closures of a pool are jobs of one group. No thread waits for that group, so a thread that waits for
//! something else never takes one. The group is never quiescent: the pool keeps a token of it, because a closure may
//! be spawned from anywhere at any time.
//!
//! # When the pool closes
//! The race: a closure is spawned while the workers are told to end. If it came before they are told, it is visible to
//! a worker that has read that they are to end. A worker ends only if it has looked for jobs after that, and found
//! none ([`crate::sync::event_count`], E1 to E3). If it came later, a job spawned it, and the thread that ran this job
//! looks for jobs once more. So every spawned closure is run.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use super::work::job::{Group, Job, Target};
use super::work::worker::Worker;
use super::{Pool, Shared};
use crate::sync::quiescence::{Left, Quiescence};
use crate::sync::{Closure, user_call, user_code, user_goes_on, will_call};
use crate::unwind;

/// Gets the payload when a spawned closure panics.
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
    closure: Closure,
    work: F,
}

/// For this many spawned closures from outside there is always room: two pages for each NUMA node.
const ROOM: usize = 512;

/// The group of all spawned closures of a pool.
pub(super) fn group() -> Group {
    Group { tokens: Quiescence::new(1), on_quiescent: never }
}

#[expect(unsafe_code, reason = "a group's end is unsafe to call")]
unsafe fn never(_: NonNull<Group>, _: Left, _: &Worker<'_>) {
    unreachable!("the pool keeps a token");
}

impl Shared {
    /// Makes room for spawned closures. The pool does not move any more.
    pub(super) fn plan_spawns(&self) {
        self.plan_jobs(NonNull::from(&self.detached), ROOM);
    }

    fn spawn<F: FnOnce() + Send + 'static>(&self, work: F) {
        self.check_process();
        let group = NonNull::from(&self.detached);
        let detached = Box::new(Detached { target: Target::new(run::<F>, Some(group)), closure: Closure::new(), work });
        will_call(|| detached.closure.call());
        let job = Job { target: NonNull::from(Box::leak(detached)).cast(), payload: 0 };
        // A guest waits for something else, so it calls no spawned closure: its own must go to others.
        if let Some(worker) = Worker::here(self).filter(|worker| worker.has_slot()) {
            worker.push_last(job); // behind all jobs that somebody waits for
        } else {
            self.detached.tokens.take(1);
            self.inject(job);
        }
        user_goes_on();
    }
}

#[expect(unsafe_code, reason = "takes the closure back from the heap")]
unsafe fn run<F: FnOnce()>(target: NonNull<Target>, _: u64, worker: &Worker<'_>) {
    worker.publish_all(); // a thread that waits for one of these jobs must not wait for this closure
    // SAFETY: the target is the first field of a leaked `Detached`, and each job is run once.
    let detached = unsafe { Box::from_raw(target.cast::<Detached<F>>().as_ptr()) };
    user_call(detached.closure.call(), || "a spawned closure".to_owned());
    let call = || {
        let _call = user_code();
        (detached.work)();
    };
    let Err(panic) = catch_unwind(AssertUnwindSafe(call)) else { return };
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
    /// Lets a worker call `work` later, and returns at once.
    ///
    /// `work` begins within 10 ms, plus the longest time that a worker spends in one closure of a job, task, batch or
    /// leaf of a loop, plus the time of the closures spawned before it. This holds however many other threads and
    /// closures keep the pool busy. Spawned on a worker, it comes behind all that the worker has queued for threads
    /// that wait.
    ///
    /// Nobody waits for `work`, and no thread that waits for a join, scope or run calls it meanwhile. Spawned closures
    /// may be called in any order. One that is to spawn more keeps a [`PoolHandle`](crate::PoolHandle), because it
    /// cannot borrow the pool.
    ///
    /// A panic of `work` ends only this closure. The panic hook has reported it; the payload goes to the pool's
    /// [`panic_handler`](crate::PoolBuilder::panic_handler), or is dropped.
    ///
    /// Dropping the pool waits until every spawned closure was called. A handle refuses to spawn from then on.
    ///
    /// Costs an allocation, and a lock for a moment: the worker's own, or a shared one if the calling thread is no
    /// worker.
    ///
    /// # Panics
    /// If this is a child process that was forked after the pool was made.
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
