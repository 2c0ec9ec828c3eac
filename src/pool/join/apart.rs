//! A join where every order is tried: its second closure is a job from the beginning, which any worker may begin at any time.
//!
//! A pool keeps it private until somebody asks for it, and the joining thread takes most of them back. That is the order in which the
//! second closure begins when the first one has ended.

use std::any::Any;
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use super::{PendingHead, PendingJoin};
use crate::pool::work::job::{Job, Target, Wanted, pointer};
use crate::pool::work::worker::Worker;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::latch::Latch;
use crate::sync::{user_code, user_goes_on};
use crate::unwind::{self, Kept};

/// A pending join, and whether somebody has it.
#[repr(C)]
struct Apart<B, R> {
    pending: PendingJoin<B, R>,
    /// The worker that runs the job sets it; so does the joining thread, if it wants the closure no more.
    has_begun: AtomicBool,
}

impl<B: FnOnce() -> R + Send, R: Send> Apart<B, R> {
    const TARGET: &'static Target = &Target { run: Self::run, group: None, publish: None };
    const BEGINS_WITH_PENDING: () = assert!(offset_of!(Self, pending) == 0, "its address is that of its pending join");

    #[expect(unsafe_code, reason = "the closure's result crosses threads")]
    unsafe fn run(target: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
        // SAFETY: the job is about one that is alive until its latch is set.
        let this: &Self = unsafe { &*pointer(payload) };
        if !this.has_begun.swap(true, Ordering::Relaxed) {
            // SAFETY: the payload is the address of the pending join, and this is its job, run once.
            return unsafe { PendingJoin::<B, R>::run(target, payload, worker) };
        }
        // SAFETY: (1) it was published; (2) alive until its latch is set.
        let linked = unsafe { this.pending.head.linked() };
        // SAFETY: a seat lives as long as its pool, and this thread works there.
        let seat = unsafe { linked.seat.as_ref() };
        // SAFETY: (1) alive until this; (2) once: by the one job.
        unsafe { Latch::set(&raw const linked.latch, &seat.parker) };
    }

    /// Waits until the job has run.
    fn wait(&self, worker: &Worker<'_>) {
        #[expect(unsafe_code, reason = "set up when it is made public")]
        // SAFETY: (1) the join has published it; (2) this is its join.
        let latch = unsafe { &self.pending.head.linked().latch };
        worker.wait(latch, Some(self.pending.id()));
    }

    /// The first closure has panicked.
    fn abandon(&self, worker: &Worker<'_>, panic: Box<dyn Any + Send>) -> ! {
        let is_back = !self.has_begun.swap(true, Ordering::Relaxed);
        if is_back {
            #[expect(unsafe_code, reason = "the closure moves to whoever has it")]
            // SAFETY: (1) the job does not touch it any more; (2) only here.
            unwind::drop_value(unsafe { self.pending.second() });
        }
        self.wait(worker);
        if !is_back {
            #[expect(unsafe_code, reason = "the closure's result crosses threads")]
            // SAFETY: (1) it was waited for; (2) only here.
            unwind::drop_value(unsafe { self.pending.outcome() });
        }
        resume_unwind(panic)
    }
}

impl Worker<'_> {
    /// A join of two closures in any order.
    pub(super) fn join_apart<RA, RB>(
        &self,
        first: impl FnOnce() -> RA + Send,
        second: impl FnOnce() -> RB + Send,
    ) -> (RA, RB)
    where
        RA: Send,
        RB: Send,
    {
        let second = move || {
            let _call = user_code();
            second()
        };
        let apart = Apart { pending: PendingJoin::new(second), has_begun: AtomicBool::new(false) };
        self.publish_apart(&apart);
        user_goes_on();
        match catch_unwind(AssertUnwindSafe(first)) {
            Ok(a) => {
                let a = Kept::new(a);
                apart.wait(self);
                #[expect(unsafe_code, reason = "the closure's result crosses threads")]
                // SAFETY: (1) it was waited for; (2) only here.
                let b = unsafe { apart.pending.outcome() }.unwrap_or_else(|panic| resume_unwind(panic));
                (a.into_inner(), b)
            }
            Err(panic) => apart.abandon(self, panic),
        }
    }

    /// Queues the job of a second closure. The caller waits for it before the join leaves its stack (H1).
    fn publish_apart<B: FnOnce() -> R + Send, R: Send>(&self, apart: &Apart<B, R>) {
        const { Apart::<B, R>::BEGINS_WITH_PENDING }
        let job = Job::about(Apart::<B, R>::TARGET, apart);
        let far = self.own.far_end();
        #[expect(unsafe_code, reason = "reaches a pending join by pointer")]
        // SAFETY: (1) this thread has the far end; (2) nobody knows of it yet; (3) it begins with a pending join.
        unsafe {
            PendingHead::publish(job.payload, self.seat, &far, Wanted::All);
        }
        drop(far);
        self.push_counted(job);
    }
}
