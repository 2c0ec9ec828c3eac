//! Two closures, perhaps at the same time; and a closure on another thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use super::Pool;
use super::job::{Job, Target, nothing};
use super::worker::Worker;
use crate::sync::UnsafeCell;
use crate::sync::latch::Latch;
use crate::sync::parker::Parker;

/// A closure on some stack that one job calls, with room for its result. The stack waits for the latch.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Errand<F, R> {
    target: Target,
    latch: Latch,
    state: UnsafeCell<State<F, R>>,
}

#[derive(Debug)]
enum State<F, R> {
    Waiting(F),
    Taken,
    Done(Result<R, Box<dyn Any + Send>>),
}

impl<F, R> Errand<F, R>
where
    F: FnOnce(&Worker<'_>) -> R + Send,
    R: Send,
{
    pub(super) fn new(work: F, waiter: Arc<Parker>) -> Self {
        Self {
            target: Target { run: Self::run, group: None },
            latch: Latch::new(waiter),
            state: UnsafeCell::new(State::Waiting(work)),
        }
    }

    /// The one job that calls the closure. The errand stays where it is until the latch is set or the job taken back.
    pub(super) fn job(&self) -> Job {
        Job { target: self.target(), payload: 0 }
    }

    pub(super) fn target(&self) -> NonNull<Target> {
        NonNull::from(self).cast()
    }

    pub(super) fn latch(&self) -> &Latch {
        &self.latch
    }

    #[expect(unsafe_code, reason = "the closure's result crosses threads")]
    unsafe fn run(target: NonNull<Target>, _: u64, worker: &Worker<'_>) {
        let errand: NonNull<Self> = target.cast();
        // SAFETY: the target is the first field of an errand that is alive until its latch is set.
        let state = unsafe { &errand.as_ref().state };
        let take = |state: *mut State<F, R>| {
            // SAFETY: only the one job touches the state before the latch is set.
            std::mem::replace(unsafe { &mut *state }, State::Taken)
        };
        let State::Waiting(work) = state.with_mut(take) else { unreachable!("an errand is run once") };
        let result = catch_unwind(AssertUnwindSafe(|| work(worker)));
        // SAFETY: as above.
        state.with_mut(|state| unsafe { *state = State::Done(result) });
        // SAFETY: the errand is alive until its latch is set.
        let latch = unsafe { &raw const (*errand.as_ptr()).latch };
        // SAFETY: (1) alive until this; (2) once: by the one job.
        unsafe { Latch::set(latch) };
    }

    /// Calls the closure here: its job was taken back.
    fn call(self, worker: &Worker<'_>) -> R {
        match self.into_state() {
            State::Waiting(work) => work(worker),
            _ => unreachable!("its job was taken back unrun"),
        }
    }

    /// The result; the panic goes on if the closure panicked. The latch is set.
    pub(super) fn result(self) -> R {
        match self.into_state() {
            State::Done(result) => result.unwrap_or_else(|panic| resume_unwind(panic)),
            _ => unreachable!("the latch is set"),
        }
    }

    fn into_state(mut self) -> State<F, R> {
        std::mem::replace(self.state.get_mut(), State::Taken)
    }
}

impl Pool {
    /// Calls both closures, perhaps at the same time, and gives both results.
    ///
    /// The calling thread runs `first` itself, and then `second` unless another worker has taken it. While it waits for
    /// that one it runs nothing else: a lock held across a join is safe. Works from any thread, also inside operators.
    ///
    /// # Panics
    /// If a closure panics, with its payload (the first one's if both do), after both have ended. If `first` panics and
    /// nobody has taken `second`, that one is not called.
    ///
    /// ```
    /// let pool = millstream::Pool::new()?;
    /// let (text, number) = pool.join(|| "seven".len(), || 7);
    /// assert_eq!((text, number), (5, 7));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn join<A, B, RA, RB>(&self, first: A, second: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        self.shared.on_worker(|worker| {
            let errand = Errand::new(|_: &Worker<'_>| second(), Arc::clone(&worker.seat.parker));
            worker.push(errand.job());
            let a = catch_unwind(AssertUnwindSafe(first));
            let untaken = worker.take_back(errand.target()).is_some();
            if !untaken {
                worker.wait(errand.latch(), nothing(errand.latch()));
            }
            let a = a.unwrap_or_else(|panic| resume_unwind(panic));
            let b = if untaken { errand.call(worker) } else { errand.result() };
            (a, b)
        })
    }
}
