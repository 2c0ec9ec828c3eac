//! A run that was started: what others may do to it while it goes on, and who is told when it is over.
//!
//! No thread is in charge of such a run. Whoever holds it ([`crate::Running`]), and those who were given its remote
//! control ([`crate::RunControl`]), share a [`Control`]. They reach the run by a pointer under a lock. The run may be
//! freed as soon as it is over; the holder takes the pointer away before that ([`Control::let_go`]).
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `control.look` | `seal`, `let_go`: lock | `with_run`: lock, while it looks | the end of the look: nobody looks at a run whose end is decided, or that was freed | `loom_control_looks_at_no_run_that_is_over`, `loom_cancel_stops_no_later_run` |
//! | `control.wait` | `is_over_now`: lock | `will_set`: lock, from the look until the thread is among those that are told | that the run is over | `loom_control_sets_the_latch_of_who_waits` |
//! | `control.poll` | `is_over_now`: lock | `poll`: lock, from the look until the task is among those that are told | that the run is over | `loom_control_tells_the_task` |

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, mem};

use super::waiter::{Blocked, Waiter};
use crate::pool::Shared;
use crate::pool::work::worker::Worker;
use crate::report::Progress;
use crate::run::Run;
use crate::run::cancel::Cancel;
use crate::sync::event_count::Only;
use crate::sync::latch::Latch;
use crate::sync::parker::Parker;
use crate::sync::{Instant, Mutex, explores, lock_edge, seam};

/// What is shared about a run that was started; see the module.
pub(crate) struct Control<R = Run<'static>> {
    started: Instant,
    state: Mutex<ControlState<R>>,
}

struct ControlState<R> {
    /// None: it is gone.
    run: Option<*const R>,
    /// No job of it is left, so nothing can be cancelled any more.
    is_sealed: bool,
    /// How long it took, if it is over.
    wall: Option<Duration>,
    threads: Vec<Waiter>,
    /// The task that has the run, if it was polled.
    task: Option<Waiter>,
}

#[expect(unsafe_code, reason = "reaches a run from other threads")]
// SAFETY: (1) `R` is `Sync`, as a run is; (2) the pointer is used under the lock, and taken away before the run is freed.
unsafe impl<R: Sync> Send for ControlState<R> {}

impl Control {
    pub(crate) fn cancel(&self, reason: Cancel) {
        self.with_run(|run| run.cancel(reason));
    }

    /// What the run has done so far. Nothing if it is over.
    pub(crate) fn progress(&self) -> Progress {
        let time = self.started.elapsed();
        self.with_run(|run| run.progress(time)).unwrap_or_default()
    }
}

impl<R> Control<R> {
    /// The control of a run that is about to start.
    pub(crate) fn new(run: *const R) -> Self {
        let state = ControlState { run: Some(run), is_sealed: false, wall: None, threads: Vec::new(), task: None };
        Self { started: Instant::now(), state: Mutex::new(state) }
    }

    /// No job of the run is left: how it ends is decided.
    pub(crate) fn seal(&self) {
        self.state.lock().is_sealed = true;
    }

    /// Tells everybody that the run is over. The run may be freed before this returns.
    pub(crate) fn is_over_now(&self) {
        let mut state = self.state.lock();
        state.wall = Some(self.started.elapsed());
        let (threads, task) = (mem::take(&mut state.threads), state.task.take());
        drop(state);
        threads.into_iter().chain(task).for_each(Waiter::wake);
    }

    /// Takes the run away, because it is over, and returns how long it took.
    pub(crate) fn let_go(&self) -> Duration {
        let mut state = self.state.lock();
        state.run = None;
        state.wall.expect("it is over")
    }

    /// Looks at the run, if it is not over.
    pub(crate) fn with_run<T>(&self, look: impl FnOnce(&R) -> T) -> Option<T> {
        let state = self.state.lock();
        let run = state.run.filter(|_| !state.is_sealed)?;
        let _state = lock_edge!("control.look", state, self.state);
        #[expect(unsafe_code, reason = "reaches a run by pointer")]
        // SAFETY: (2) of `Send`: the lock is held.
        Some(look(unsafe { &*run }))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().wall.is_some()
    }

    /// Waits until the run, with this group in this pool, is over. A thread that has a seat there works for the run meanwhile:
    /// if it blocked, all that could may come to wait for runs that nobody is left for.
    pub(crate) fn wait(&self, pool: &Shared, group: Only) {
        if explores() {
            return self.wait_alone();
        }
        let Some(worker) = Worker::here(pool) else { return self.wait_outside() };
        let latch = Latch::new();
        #[expect(unsafe_code, reason = "a latch is set by pointer")]
        // SAFETY: (1) this waits until it is set.
        if unsafe { self.will_set(&latch, &worker.seat.parker) } {
            worker.wait(&latch, group);
        }
    }

    /// Whether the run goes on, so that this latch is set when it is over, and the thread with this parker woken.
    ///
    /// # Safety
    /// (1) If so, the latch stays where it is until it is set.
    #[expect(unsafe_code, reason = "a latch is set by pointer")]
    pub(crate) unsafe fn will_set(&self, latch: &Latch, parker: &Arc<Parker>) -> bool {
        // SAFETY: (1); if the run is over, nobody keeps the waiter.
        self.will_wake(unsafe { Waiter::at_latch(latch, parker) })
    }

    /// Whether the run goes on, so that this waiter is woken when it is over.
    fn will_wake(&self, waiter: Waiter) -> bool {
        let state = self.state.lock();
        let goes_on = state.wall.is_none();
        let mut state = lock_edge!("control.wait", state, self.state);
        if goes_on {
            state.threads.push(waiter);
        }
        goes_on
    }

    /// Goes on when the run is over: a process of an explored run needs nobody to wake it.
    fn wait_alone(&self) {
        seam::block(&|| self.state.try_lock().is_some_and(|state| state.wall.is_some()));
        drop(self.state.lock());
    }

    /// Blocks until the run is over.
    pub(crate) fn wait_outside(&self) {
        let thread = Blocked::new();
        if !self.will_wake(thread.waiter()) {
            return;
        }
        while !self.is_over() {
            thread.wait();
        }
    }

    /// Blocks until the run is over, but no longer than `patience`. Whether it is over.
    pub(crate) fn wait_for(&self, patience: Duration) -> bool {
        let (thread, until) = (Blocked::new(), Instant::now().checked_add(patience));
        self.state.lock().threads.push(thread.waiter());
        while !self.is_over() {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                self.state.lock().threads.retain(|known| !known.is(&thread.waiter()));
                return false;
            }
            thread.wait_for(left);
        }
        true
    }

    /// Has the task of `context` woken when the run is over, in place of the one that was polled before.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let task = Waiter::task(context);
        let state = self.state.lock();
        let is_over = state.wall.is_some();
        let mut state = lock_edge!("control.poll", state, self.state);
        let other = if is_over { Some(task) } else { state.task.replace(task) };
        drop(state);
        drop(other); // it may run an executor's code
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<R> fmt::Debug for Control<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}
