//! A closure that every worker calls.
//!
//! The calls to be made are a list under a lock. Its length can be read without the lock, and every worker reads it
//! before it searches for a job. A call is in no queue: it is for one worker alone, and comes before all jobs.
//!
//! # When a worker calls
//! A worker calls between two jobs. A worker that waits for a join, scope or run does not call meanwhile, because the
//! call does not belong to what it waits for. But a job of this very pool may broadcast, and a worker may wait for
//! that job. Then neither would go on, so in this case waiting workers call too. If the broadcasting thread is a
//! worker it calls its own part first, also when it blocks in place.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use super::Pool;
use super::work::job::{Job, Target};
use super::work::worker::Worker;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::latch::Latch;
use crate::sync::parker::Parker;
use crate::sync::quiescence::{Left, Quiescence};
use crate::sync::{Mutex, refuse};
use crate::unwind::{self, Kept};

/// The broadcasts under way.
#[derive(Debug, Default)]
pub(super) struct Broadcasts {
    len: AtomicUsize,
    calls: Mutex<Vec<Call>>,
}

/// The part of a broadcast that workers have not begun yet.
#[derive(Debug)]
struct Call {
    /// Its job's payload is the worker's number.
    target: NonNull<Target>,
    /// A job of this pool broadcasts, so workers that wait call too.
    from_inside: bool,
    /// By worker: whether it has not begun its call.
    open: Vec<bool>,
}

#[expect(unsafe_code, reason = "a call is a message between threads")]
// SAFETY: the target is a broadcast that was made for being called on any worker.
unsafe impl Send for Call {}

impl Broadcasts {
    fn begin(&self, call: Call) {
        let mut calls = self.calls.lock();
        calls.push(call);
        // Relaxed: the caller wakes all workers next, and passes a fence for that. A worker that is about to sleep
        // passes one before its last look, and a worker that is awake looks again.
        self.len.store(calls.len(), Ordering::Relaxed);
    }

    /// Takes out the call that `worker` makes next, if there is one.
    #[inline]
    fn take(&self, worker: Option<usize>, waits: bool) -> Option<Job> {
        if self.len.load(Ordering::Relaxed) == 0 { None } else { self.take_open(worker?, waits) }
    }

    #[cold]
    fn take_open(&self, worker: usize, waits: bool) -> Option<Job> {
        let mut calls = self.calls.lock();
        let place = calls.iter().position(|call| call.is_for(worker, waits))?;
        let call = &mut calls[place];
        call.open[worker] = false;
        let job = Job { target: call.target, payload: worker as u64 };
        if !call.open.contains(&true) {
            calls.remove(place);
            self.len.store(calls.len(), Ordering::Relaxed);
        }
        Some(job)
    }

    /// Whether [`take`](Self::take) would give something.
    fn has(&self, worker: Option<usize>, waits: bool) -> bool {
        let Some(worker) = worker.filter(|_| self.len.load(Ordering::Relaxed) > 0) else { return false };
        self.calls.lock().iter().any(|call| call.is_for(worker, waits))
    }
}

impl Call {
    fn is_for(&self, worker: usize, waits: bool) -> bool {
        self.open[worker] && (self.from_inside || !waits)
    }
}

/// The result of one worker's call.
type Called<R> = Result<R, Box<dyn Any + Send>>;

/// A broadcast, on the stack of the thread that waits for it.
#[repr(C)]
struct Broadcast<'a, F, R> {
    target: Target,
    latch: Latch,
    waiter: Arc<Parker>,
    /// One token for every worker.
    open: Quiescence,
    work: &'a F,
    /// By worker.
    results: Mutex<Vec<Option<Called<R>>>>,
}

impl<F: Fn(usize) -> R + Sync, R: Send> Broadcast<'_, F, R> {
    /// Calls the closure for this worker.
    fn call(&self, worker: usize) {
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(worker)));
        self.results.lock()[worker] = Some(result);
    }

    #[expect(unsafe_code, reason = "reaches a broadcast by pointer")]
    unsafe fn run(target: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
        worker.publish_before_long_job();
        // SAFETY: the target is the first field of a broadcast. That lives until its latch is set, and the latch is not
        // set before this part has given back its token.
        let broadcast: &Self = unsafe { target.cast().as_ref() };
        let number = usize::try_from(payload).expect("a worker's number");
        worker.outside(|| broadcast.call(number));
        let waiter = Arc::clone(&broadcast.waiter);
        if broadcast.open.give_back(1) == Left::Nothing {
            // SAFETY: (1) alive until this; (2) called once: by the last part.
            unsafe { Latch::set(&raw const broadcast.latch, &waiter) };
        }
    }
}

impl Worker<'_> {
    /// Takes out the call of a broadcast that this worker makes next.
    #[inline]
    pub(super) fn take_call(&self, waits: bool) -> Option<Job> {
        self.shared.broadcasts.take(self.number, waits)
    }

    /// Whether there is such a call.
    pub(super) fn has_call(&self, waits: bool) -> bool {
        self.shared.broadcasts.has(self.number, waits)
    }

    /// Does [`Pool::broadcast`].
    fn broadcast<F: Fn(usize) -> R + Sync, R: Send>(&self, work: &F) -> Vec<R> {
        let (workers, own) = (self.shared.workers(), self.number);
        let is_job = |at: &Worker<'_>| (at.has_slot() || at.runs_taken()).then_some(());
        let from_inside = Worker::find_inside(self.shared, is_job).is_some();
        let broadcast = Broadcast {
            target: Target::new(Broadcast::<F, R>::run, None),
            latch: Latch::new(),
            waiter: Arc::clone(&self.seat.parker),
            open: Quiescence::new(workers as u64),
            work,
            results: Mutex::new((0..workers).map(|_| None).collect()),
        };
        let target = NonNull::from(&broadcast).cast::<Target>();
        let open: Vec<bool> = (0..workers).map(|worker| Some(worker) != own).collect();
        if open.contains(&true) {
            self.shared.broadcasts.begin(Call { target, from_inside, open });
            self.shared.sleep.wake_all(); // also those above the limit: each worker has a call to make
        }
        let mut over = false;
        if let Some(own) = own {
            broadcast.call(own);
            over = broadcast.open.give_back(1) == Left::Nothing;
        }
        if !over {
            self.wait(&broadcast.latch, Some(target.addr())); // runs no job meanwhile: none has this address
        }
        let results = broadcast.results.into_inner().into_iter();
        let mut done = Vec::with_capacity(workers);
        let mut first = None;
        for result in results.map(|result| result.expect("every worker has called it")) {
            match result {
                Ok(result) => done.push(result),
                Err(panic) if first.is_none() => first = Some(panic),
                Err(panic) => unwind::drop_payload(panic),
            }
        }
        if let Some(panic) = first {
            done.into_iter().for_each(unwind::drop_value);
            resume_unwind(panic);
        }
        done
    }
}

impl Pool {
    /// Calls `work` once on every worker, with the worker's number, and gives the results in the order of numbers.
    ///
    /// Each worker calls it on its own thread when it has finished its current job; a parked worker is woken for it. So
    /// the broadcast takes as long as the longest job that runs now. It never ends if such a job waits for something
    /// that comes after the broadcast.
    ///
    /// Any thread may broadcast. If a worker or a job of this pool does, then workers that wait for a join, scope or
    /// run call `work` too, because they may wait for this very job. So `work` should take no lock that is held across
    /// such a wait. If a thread from outside broadcasts, then a waiting worker calls `work` only when its wait is over.
    ///
    /// # Panics
    /// If `work` panics, after all calls have ended, with the payload from the worker with the lowest number. Also in a
    /// child process that was forked after the pool was made.
    ///
    /// ```
    /// let pool = millstream::Pool::builder().workers(3).build()?;
    /// assert_eq!(pool.broadcast(|worker| 10 * worker), [0, 10, 20]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn broadcast<R: Send>(&self, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
        refuse("broadcasts");
        self.shared.check_process();
        let work = Kept::new(work);
        let results = self.shared.on_worker(|worker| worker.broadcast(&*work));
        drop(work.into_inner());
        results
    }
}
