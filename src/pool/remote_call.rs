//! A closure on the stack of a waiting thread, which one job calls on another thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use super::work::job::{Job, Target, pointer};
use super::work::worker::Worker;
use crate::sync::UnsafeCell;
use crate::sync::latch::Latch;
use crate::sync::parker::Parker;

/// A closure on some stack, with room for its result.
#[derive(Debug)]
pub(super) struct RemoteCall<F, R> {
    latch: Latch,
    waiter: Arc<Parker>,
    state: UnsafeCell<CallState<F, R>>,
}

#[derive(Debug)]
enum CallState<F, R> {
    Waiting(F),
    Taken,
    Done(Result<R, Box<dyn Any + Send>>),
}

impl<F, R> RemoteCall<F, R>
where
    F: FnOnce(&Worker<'_>) -> R + Send,
    R: Send,
{
    const TARGET: &'static Target = &Target::new(Self::run, None);

    pub(super) fn new(work: F, waiter: Arc<Parker>) -> Self {
        Self { latch: Latch::new(), waiter, state: UnsafeCell::new(CallState::Waiting(work)) }
    }

    /// The one job that calls the closure. The remote call must stay in place until the latch is set.
    pub(super) fn job(&self) -> Job {
        Job::about(Self::TARGET, self)
    }

    pub(super) fn latch(&self) -> &Latch {
        &self.latch
    }

    #[expect(unsafe_code, reason = "the closure's result crosses threads")]
    unsafe fn run(_: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
        // SAFETY: the job is about a remote call that is alive until its latch is set.
        let call: &Self = unsafe { &*pointer(payload) };
        let take = |state: *mut CallState<F, R>| {
            // SAFETY: before the latch is set only the one job touches the state.
            std::mem::replace(unsafe { &mut *state }, CallState::Taken)
        };
        let CallState::Waiting(work) = call.state.with_mut(take) else { unreachable!("a remote call is run once") };
        let result = catch_unwind(AssertUnwindSafe(|| work(worker)));
        // SAFETY: as above.
        call.state.with_mut(|state| unsafe { *state = CallState::Done(result) });
        let waiter = Arc::clone(&call.waiter);
        #[cfg(feature = "check")]
        crate::sync::recorder::hand_over(); // the caller may ask for what was recorded
        // SAFETY: (1) alive until this; (2) called once: by the one job.
        unsafe { Latch::set(&raw const call.latch, &waiter) };
    }

    /// Gives the result once the latch is set. If the closure panicked, the panic goes on here.
    pub(super) fn result(mut self) -> R {
        match std::mem::replace(self.state.get_mut(), CallState::Taken) {
            CallState::Done(result) => result.unwrap_or_else(|panic| resume_unwind(panic)),
            _ => unreachable!("the latch is set"),
        }
    }
}
