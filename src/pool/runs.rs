//! The runs under way in a pool, and how the pool closes while there are some.

use super::Shared;
use crate::error::Closed;
use crate::sync::{Condvar, Mutex, MutexGuard, thread};

/// The runs under way.
#[derive(Debug, Default)]
pub(super) struct Runs {
    state: Mutex<RunsState>,
    /// Told when a visitor has left.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct RunsState {
    closed: bool,
    /// The pool was dropped while a visitor waits for the dropping thread. The last visitor to leave ends the workers.
    abandoned: bool,
    /// Threads that are in a run or in a handle's call, or about to begin one. A thread may be in here several times.
    visitors: Vec<thread::ThreadId>,
    active: Vec<ActiveRun>,
}

impl RunsState {
    /// Whether no visitor is left, and no run that was started.
    fn is_empty(&self) -> bool {
        self.visitors.is_empty() && !self.active.iter().any(|run| run.is_started)
    }
}

/// A run that the pool can cancel.
#[derive(Debug)]
pub(crate) struct ActiveRun {
    pub(crate) run: *const (),
    /// No visitor waits for it: its last job takes it out.
    pub(crate) is_started: bool,
    /// # Safety
    /// `run` is registered: it has not ended.
    pub(crate) cancel: unsafe fn(*const ()),
}

#[expect(unsafe_code, reason = "the registry is used from the thread that drops the pool")]
// SAFETY: (1) `run` is only given to `cancel`, which may be called from any thread; (2) a run is taken out before it
// ends.
unsafe impl Send for ActiveRun {}

impl Runs {
    /// Does (C1) and (C2) of the pool: no run may begin any more, those under way are cancelled, and the calling thread
    /// waits until all visitors have left. It does not wait if it is a visitor, or `is_inside` (a thread of the pool):
    /// then a visitor may wait for this very thread.
    pub(super) fn close(&self, is_inside: impl FnOnce() -> bool) -> Closing {
        let mut state = self.state.lock();
        state.closed = true;
        for run in &state.active {
            #[expect(unsafe_code, reason = "cancels a run from outside")]
            // SAFETY: registered, and it cannot end while the lock is held.
            unsafe {
                (run.cancel)(run.run);
            }
        }
        let is_inside = is_inside() || state.visitors.contains(&thread::current().id());
        if is_inside && !state.is_empty() {
            state.abandoned = true;
            return Closing::WhenRunsEnd;
        }
        while !state.is_empty() {
            state = self.ended.wait(state);
        }
        if is_inside { Closing::FromInside } else { Closing::FromOutside }
    }
}

/// How far a pool is closed, and what the closing thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// All visitors have left, and nobody waits for this thread: it ends the workers and joins them.
    FromOutside,
    /// All visitors have left. This thread is one of the pool's, so it ends the workers but does not join them.
    FromInside,
    /// Visitors are left, and one of them may wait for this thread. The last of them ends the workers.
    WhenRunsEnd,
}

impl Shared {
    /// Keeps the pool's threads alive while `work` runs. `None`: the pool is closed, or this is a child process.
    pub(crate) fn visit<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        struct Visit<'a>(&'a Shared);
        impl Drop for Visit<'_> {
            fn drop(&mut self) {
                let (mut state, me) = (self.0.runs.state.lock(), thread::current().id());
                let place = state.visitors.iter().rposition(|visitor| *visitor == me).expect("it came in");
                state.visitors.swap_remove(place);
                self.0.has_left(state);
            }
        }
        if self.is_forked() {
            return None;
        }
        {
            let mut state = self.runs.state.lock();
            if state.closed {
                return None;
            }
            state.visitors.push(thread::current().id());
        }
        let _visit = Visit(self);
        Some(work())
    }

    /// Registers a run, so that it is cancelled when the pool closes.
    ///
    /// # Errors
    /// If the pool is closed already.
    pub(crate) fn begin_run(&self, run: ActiveRun) -> Result<(), Closed> {
        let mut state = self.runs.state.lock();
        if state.closed {
            return Err(Closed);
        }
        state.active.push(run);
        Ok(())
    }

    /// Looks at a run, if it is registered: then it is not freed meanwhile.
    pub(crate) fn look_at<R>(&self, run: *const (), look: impl FnOnce() -> Option<R>) -> Option<R> {
        let state = self.runs.state.lock();
        state.active.iter().any(|active| std::ptr::eq(active.run, run)).then(look).flatten()
    }

    /// Takes a run out again.
    pub(crate) fn end_run(&self, run: *const ()) {
        let mut state = self.runs.state.lock();
        let Some(place) = state.active.iter().position(|active| std::ptr::eq(active.run, run)) else { return };
        if state.active.swap_remove(place).is_started {
            self.has_left(state);
        }
    }

    /// A visitor or a run that was started has left. The thread that closes the pool may wait for that.
    fn has_left(&self, state: MutexGuard<'_, RunsState>) {
        if state.abandoned && state.is_empty() {
            drop(state);
            return self.sleep.end(); // (C3) on behalf of the thread that dropped the pool
        }
        drop(state);
        self.runs.ended.notify_one();
    }
}
