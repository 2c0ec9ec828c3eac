//! Runs that go on while the program does something else.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Plan;
use crate::error::RunError;
use crate::report::Progress;
use crate::run::cancel::Cancel;
use crate::run::outside::clock;
use crate::run::outside::control::Control;
use crate::run::outside::{library_call, user_goes_on};

/// A run that was [started](Plan::start), and goes on while the program does something else.
///
/// It takes no thread of its own: the workers of the pool do it as they do all other jobs. [`join`](Self::join) waits for
/// its end and gives the plan back; so does `await`. Dropping it cancels the run and waits for the end.
#[must_use = "dropping it cancels the run"]
#[derive(Debug)]
pub struct Running {
    /// None when it was given back.
    plan: Option<Plan<'static>>,
    /// The run, or why it could not begin.
    begun: Result<RunControl, Option<RunError>>,
}

/// Looks at a run that was started, and cancels it, from any thread.
///
/// Clones are of the same run. It may be kept after the run has ended, and does nothing then.
#[derive(Clone, Debug)]
pub struct RunControl(Arc<Control>);

impl RunControl {
    /// Cancels the run: what has not begun is dropped, and the run ends as [`Cancelled`](crate::RunErrorKind::Cancelled).
    ///
    /// It does not wait. Closures that are under way are not interrupted.
    pub fn cancel(&self) {
        let _call = library_call("cancels the run");
        self.0.cancel(Cancel::Asked);
    }

    /// Cancels the run if it is not over after so much time from now: it ends as
    /// [`DeadlineExceeded`](crate::RunErrorKind::DeadlineExceeded).
    ///
    /// A closure that never returns holds the run up all the same. Of several deadlines the first counts. One thread
    /// watches the deadlines of the whole process, while there are some.
    ///
    /// # Panics
    /// If the system refuses that thread.
    pub fn deadline(&self, after: Duration) {
        let _call = library_call("sets a deadline");
        clock::set(&self.0, after).expect("a thread for deadlines can be made");
    }

    /// How far the run has come. Empty if it is over.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let _call = library_call("looks how far the run is");
        self.0.progress()
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let _call = library_call("asks whether the run is over");
        self.0.is_over()
    }
}

impl Running {
    fn control(&self) -> Option<&RunControl> {
        self.begun.as_ref().ok()
    }

    /// What other threads can look at the run with, and cancel it. None if it could not begin.
    #[must_use]
    pub fn remote(&self) -> Option<RunControl> {
        self.control().cloned()
    }

    /// Cancels the run; see [`RunControl::cancel`].
    pub fn cancel(&self) {
        if let Some(run) = self.control() {
            run.cancel();
        }
    }

    /// Cancels the run if it is not over after so much time from now; see [`RunControl::deadline`].
    ///
    /// # Panics
    /// If the system refuses the thread that watches deadlines.
    pub fn deadline(&self, after: Duration) {
        if let Some(run) = self.control() {
            run.deadline(after);
        }
    }

    /// How far the run has come. Empty if it is over, or could not begin.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.control().map(RunControl::progress).unwrap_or_default()
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.control().is_none_or(RunControl::is_over)
    }

    /// Waits until the run is over, and gives the plan back with its results.
    ///
    /// # Errors
    /// As [`Plan::run`]. The plan is dropped then; [`finish`](Self::finish) gives it back all the same.
    pub fn join(self) -> Result<Plan<'static>, RunError> {
        let (plan, result) = self.finish();
        result.map(|()| plan)
    }

    /// Waits until the run is over, and gives back the plan, and how the run has ended.
    pub fn finish(mut self) -> (Plan<'static>, Result<(), RunError>) {
        let result = self.end();
        let Some(plan) = self.plan.take() else {
            unreachable!("only this and `poll` take the plan, and both take the rest")
        };
        (plan, result)
    }

    /// Waits until the run is over, but no longer than `patience`. Whether it is over.
    #[must_use]
    pub fn wait_timeout(&self, patience: Duration) -> bool {
        let _call = library_call("waits for the run");
        self.control().is_none_or(|RunControl(control)| control.wait_for(patience))
    }

    /// Waits for the end of the run, and ends it.
    fn end(&mut self) -> Result<(), RunError> {
        let _call = library_call("waits for the end of the run");
        match &mut self.begun {
            Ok(RunControl(control)) => {
                let plan = self.plan.as_mut().expect("not given back");
                plan.run.wait(control);
                plan.end(control)
            }
            Err(error) => Err(error.take().expect("asked once")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.plan.is_some() && self.control().is_some() {
            self.cancel();
            drop(self.end());
        }
    }
}

/// Ready when the run is over; with what [`Running::join`] returns.
///
/// # Panics
/// If it is polled again after that.
impl Future for Running {
    type Output = Result<Plan<'static>, RunError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(this.plan.is_some(), "polled after it was ready");
        if let Some(RunControl(control)) = this.control()
            && control.poll(context).is_pending()
        {
            return Poll::Pending;
        }
        let result = this.end();
        let plan = this.plan.take().expect("looked at above");
        Poll::Ready(result.map(|()| plan))
    }
}

impl Plan<'static> {
    /// Starts a run, and returns at once. The graph must borrow nothing; otherwise see [`run_while`](Plan::run_while).
    ///
    /// If the run cannot begin, [`Running::join`] says why. The run does not keep its pool: dropping that cancels the run.
    ///
    /// ```
    /// use millstream::{Graph, Pool};
    ///
    /// let (pool, g) = (Pool::new()?, Graph::new());
    /// let sum = g.range(0..1000_u64).sum::<u64>();
    /// let running = g.plan(&pool)?.start();
    /// // ... something else ...
    /// assert_eq!(running.join()?.take(sum), 499_500);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn start(mut self) -> Running {
        let begun = self.begin().map_err(Some);
        user_goes_on();
        Running { plan: Some(self), begun }
    }
}

impl Plan<'_> {
    /// Calls `work` on this thread beside a run of the graph, which may borrow, and returns when both have ended.
    ///
    /// It does not cancel the run when `work` returns: close its inputs in there, or cancel it. If `work` panics the run
    /// is cancelled, and the panic goes on.
    ///
    /// # Errors
    /// As [`run`](Self::run). If the run cannot begin, `work` is not called.
    ///
    /// ```
    /// use millstream::{Graph, Pool};
    ///
    /// let names = [String::from("zero"), String::from("one")];
    /// let (pool, g) = (Pool::new()?, Graph::new());
    /// let (sender, numbers) = g.input::<usize>();
    /// let mut found = numbers.map(|i| names[i].as_str()).output();
    /// let mut plan = g.plan(&pool)?;
    /// let first = plan.run_while(|_run| {
    ///     sender.send(1).expect("the graph runs");
    ///     drop(sender);
    ///     found.next()
    /// })?;
    /// assert_eq!(first, Some("one"));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn run_while<R>(&mut self, work: impl FnOnce(&RunControl) -> R) -> Result<R, RunError> {
        let run = self.begin()?;
        user_goes_on();
        let result = catch_unwind(AssertUnwindSafe(|| work(&run)));
        let _call = library_call("starts the run");
        if result.is_err() {
            run.cancel();
        }
        self.run.wait(&run.0);
        let ended = self.end(&run.0);
        match result {
            Ok(result) => ended.map(|()| result),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Starts a run.
    fn begin(&mut self) -> Result<RunControl, RunError> {
        let _call = library_call("starts the run");
        let begun = self.make_ready().and_then(|()| self.run.start());
        begun.map(RunControl).inspect_err(|_| self.run.get().close())
    }

    /// Ends a run that was started and is over.
    fn end(&mut self, control: &Control) -> Result<(), RunError> {
        let ended = self.run.end(control);
        self.keep_results(ended.is_ok());
        ended
    }
}
