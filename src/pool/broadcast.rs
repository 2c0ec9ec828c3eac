//! A closure that every worker calls.
//!
//! What is to be called is a list under a lock, with a length that can be read without it: workers look at that before every
//! search for a job. A call is not in a queue, as it is for one worker only and comes before all jobs.
//!
//! # Who calls when
//! A worker calls between two jobs. One that waits for a join, scope or run does not: the call is none of what it waits for.
//! But if it is a job of this very pool that broadcasts, a worker may wait for that job: then those who wait call too, or
//! nobody would go on. The thread that broadcasts calls its own part first, if it is a worker, also one that blocks in place.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use super::Pool;
use super::work::job::{Job, Target};
use super::work::worker::Worker;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::latch::Latch;
use crate::sync::parker::Parker;
use crate::sync::quiescence::Quiescence;
use crate::unwind::{self, Kept};

/// What a pool's workers are to call.
#[derive(Debug, Default)]
pub(super) struct Broadcasts {
    len: AtomicUsize,
    calls: Mutex<Vec<Call>>,
}

/// What is left of a broadcast.
#[derive(Debug)]
struct Call {
    /// Its job's payload is the worker's number.
    target: NonNull<Target>,
    /// A job of this pool broadcasts: also those who wait call.
    from_inside: bool,
    /// By worker: whether it is still to call.
    open: Vec<bool>,
}

#[expect(unsafe_code, reason = "a call is a message between threads")]
// SAFETY: the target is a broadcast that was made for being called on any worker.
unsafe impl Send for Call {}

impl Broadcasts {
    fn begin(&self, call: Call) {
        let mut calls = self.calls.lock();
        calls.push(call);
        // Relaxed: whoever must see it comes after a fence (event count), or looks again.
        self.len.store(calls.len(), Ordering::Relaxed);
    }

    /// The call that `worker` is to do next, if any; taken out by this.
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

/// What a call came to.
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
        // SAFETY: the target is the first field of a broadcast that is alive until its latch is set, which is not before
        // this part's token is given back.
        let broadcast: &Self = unsafe { target.cast().as_ref() };
        let number = usize::try_from(payload).expect("a worker's number");
        worker.outside(|| broadcast.call(number));
        let waiter = Arc::clone(&broadcast.waiter);
        if broadcast.open.give_back(1) {
            // SAFETY: (1) alive until this; (2) once: by the last part.
            unsafe { Latch::set(&raw const broadcast.latch, &waiter) };
        }
    }
}

impl Worker<'_> {
    /// The call of a broadcast that this worker is to do next.
    #[inline]
    pub(super) fn take_call(&self, waits: bool) -> Option<Job> {
        self.shared.broadcasts.take(self.number, waits)
    }

    /// Whether there is one.
    pub(super) fn has_call(&self, waits: bool) -> bool {
        self.shared.broadcasts.has(self.number, waits)
    }

    /// Of [`Pool::broadcast`].
    fn broadcast<F: Fn(usize) -> R + Sync, R: Send>(&self, work: &F) -> Vec<R> {
        let (workers, own) = (self.shared.workers(), self.number);
        let is_job = |at: &Worker<'_>| (at.has_place() || at.runs_taken()).then_some(());
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
            self.shared.idle.wake_all(); // however many are active: it is for each of them
        }
        let mut over = false;
        if let Some(own) = own {
            broadcast.call(own);
            over = broadcast.open.give_back(1);
        }
        if !over {
            self.wait(&broadcast.latch, Some(target.addr())); // nothing but calls: no job has this address
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
    /// Lets every worker call `work` once, with its number, and gives the results by number.
    ///
    /// Each worker calls it on its own thread when it has finished what it does now, also one that is parked. So this takes
    /// as long as the longest job that runs now, and it never ends if one of them waits for something that comes after it.
    ///
    /// Works from any thread. On a worker, or in a job, also those workers call it that wait for a join, scope or run,
    /// because what they wait for may be this job: so `work` should take no lock that is held across these. From a thread
    /// outside, a worker that waits calls it only when it does not wait any more.
    ///
    /// # Panics
    /// If `work` panics, with the payload from the lowest number, after all have ended.
    ///
    /// ```
    /// let pool = millstream::Pool::builder().workers(3).build()?;
    /// assert_eq!(pool.broadcast(|worker| 10 * worker), [0, 10, 20]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn broadcast<R: Send>(&self, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
        self.shared.check_process();
        let work = Kept::new(work);
        let results = self.shared.on_worker(|worker| worker.broadcast(&*work));
        drop(work.into_inner());
        results
    }
}
