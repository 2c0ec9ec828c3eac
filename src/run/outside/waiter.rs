//! A thread or a task outside that waits: for room in an input, for an item, for the end of a run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

#[cfg(feature = "check")]
use crate::pool::work::bag::call_any_time;
use crate::pool::work::worker::Worker;
#[cfg(feature = "check")]
use crate::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "check")]
use crate::sync::explores;
use crate::sync::latch::Latch;
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

    /// As [`wait`](Self::wait), but no longer than `patience`. Returns whether that is over, where no clock says so: where schedules
    /// are explored time stands still, and may be up at any point.
    pub(crate) fn wait_for(&self, patience: Duration) -> bool {
        #[cfg(feature = "check")]
        if explores() {
            let (is_over, parker) = (Arc::new(AtomicBool::new(false)), Arc::clone(&self.0));
            let ends = Arc::clone(&is_over);
            call_any_time(move || {
                ends.store(true, Ordering::Relaxed);
                parker.unpark();
            });
            self.wait();
            return is_over.load(Ordering::Relaxed);
        }
        Worker::block_everywhere(|| _ = self.0.park_for(patience));
        false
    }
}

/// A thread that waits at a seat, and works meanwhile for what it waits for.
#[derive(Debug)]
pub(crate) struct AtSeat {
    latch: NonNull<Latch>,
    parker: Arc<Parker>,
}

#[expect(unsafe_code, reason = "wakes by pointer")]
// SAFETY: a latch is `Sync`, and is alive until it is set.
unsafe impl Send for AtSeat {}

/// Who waits.
#[derive(Debug)]
pub(crate) enum Waiter {
    Thread(Arc<Parker>),
    AtSeat(AtSeat),
    Task(Waker),
}

impl Waiter {
    /// A thread that waits for a latch, and has this parker.
    ///
    /// # Safety
    /// (1) The latch stays where it is until it is set, or until nobody has the waiter any more.
    #[expect(unsafe_code, reason = "is woken by pointer")]
    pub(crate) unsafe fn at_latch(latch: &Latch, parker: &Arc<Parker>) -> Self {
        Self::AtSeat(AtSeat { latch: NonNull::from(latch), parker: Arc::clone(parker) })
    }

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
            Self::AtSeat(AtSeat { latch, parker }) => {
                #[expect(unsafe_code, reason = "the waiter may free the latch the moment it is set")]
                // SAFETY: (1) of `at_latch`; (2) who is woken is used up.
                unsafe {
                    Latch::set(latch.as_ptr(), &parker);
                }
            }
            Self::Task(waker) => {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                    unwind::drop_payload(panic);
                }
            }
        }
    }
}
