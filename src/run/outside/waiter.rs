//! A thread or a task outside that waits: for room in an input, for an item, for the end of a run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::pool::work::worker::Worker;
use crate::sync::parker::Parker;
use crate::unwind;

/// A thread that waits: it blocks, and lends the places that it has in pools meanwhile.
#[derive(Debug)]
pub(crate) struct Blocked(Arc<Parker>);

impl Blocked {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Parker::new()))
    }

    /// Who is to be woken.
    pub(crate) fn waiter(&self) -> Waiter {
        Waiter::Thread(Arc::clone(&self.0))
    }

    /// Blocks until the waiter is woken, now or before. It may return though nobody has woken it.
    pub(crate) fn wait(&self) {
        Worker::block_everywhere(|| self.0.park());
    }

    /// As [`wait`](Self::wait), but no longer than `patience`.
    pub(crate) fn wait_for(&self, patience: Duration) {
        Worker::block_everywhere(|| _ = self.0.park_for(patience));
    }
}

/// Who waits.
#[derive(Debug)]
pub(crate) enum Waiter {
    Thread(Arc<Parker>),
    Task(Waker),
}

impl Waiter {
    /// The task of `context`.
    pub(crate) fn task(context: &Context<'_>) -> Self {
        Self::Task(context.waker().clone())
    }

    /// Whether both are this thread, at this wait.
    pub(crate) fn is(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Thread(one), Self::Thread(two)) if Arc::ptr_eq(one, two))
    }

    /// Wakes it. The waker of a task is code of an executor: if it panics, that goes no further.
    pub(crate) fn wake(self) {
        match self {
            Self::Thread(parker) => parker.unpark(),
            Self::Task(waker) => {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                    unwind::drop_payload(panic);
                }
            }
        }
    }
}
