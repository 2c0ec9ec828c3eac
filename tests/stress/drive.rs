//! Ways to run a plan, ways to end it early, and what may come of that.

use std::fmt::Debug;
use std::thread;
use std::time::Duration;

use millstream::{Plan, RunControl, RunError, RunErrorKind};

use crate::dice::Dice;
use crate::executor::block_on;
use crate::world::World;

/// How a plan is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Run,
    RunWhile,
    Join,
    Await,
    Finish,
    Timeout,
    /// The run is dropped.
    Drop,
}

/// What ends a run early, and when.
#[derive(Clone, Copy, Debug)]
enum Early {
    Never,
    Cancel(Duration),
    Deadline(Duration),
}

/// What happens to a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drive {
    way: Way,
    early: Early,
    /// Whoever serves the plan ends it early, and not [`Drive::run`].
    served: bool,
}

/// What came of a run.
pub(crate) enum Ran {
    /// It has ended well.
    Good(Plan<'static>),
    Failed(Option<Plan<'static>>, RunError),
    /// Nobody knows: it was dropped.
    Dropped,
}

/// The error that a run must end with by itself, if nothing else ends it.
pub(crate) struct Failure {
    pub(crate) kind: RunErrorKind,
    pub(crate) item: Option<u64>,
    pub(crate) operator: String,
}

impl Drive {
    /// `served`: the plan has an input or an output, so that it must be started.
    pub(crate) fn draw(dice: &mut Dice, served: bool) -> Self {
        let ways = [Way::RunWhile, Way::Join, Way::Await, Way::Finish, Way::Timeout, Way::Drop, Way::Run, Way::Run];
        let ways = if served { &ways[..6] } else { &ways[..] };
        let after = Duration::from_micros(dice.long(0, 1000));
        let early = match dice.from(0, 9) {
            0 => Early::Cancel(after),
            1 => Early::Deadline(after),
            _ => Early::Never,
        };
        Self { way: dice.pick(ways), early, served }
    }

    /// One that nothing ends early.
    pub(crate) fn plain() -> Self {
        Self { way: Way::Run, early: Early::Never, served: false }
    }

    pub(crate) fn end(self, run: &RunControl) {
        match self.early {
            Early::Never => {}
            Early::Cancel(after) => {
                thread::sleep(after);
                run.cancel();
            }
            Early::Deadline(after) => run.deadline(after),
        }
    }

    /// Runs it once. `beside` is called meanwhile, if the way leaves room for that.
    pub(crate) fn run(self, mut plan: Plan<'static>, beside: impl FnOnce(Option<&RunControl>)) -> Ran {
        if self.way == Way::Run {
            let ran = plan.run();
            beside(None);
            return match ran {
                Ok(()) => Ran::Good(plan),
                Err(error) => Ran::Failed(Some(plan), error),
            };
        }
        if self.way == Way::RunWhile {
            let mut beside = Some(beside);
            let ran = plan.run_while(|run| {
                if !self.served {
                    self.end(run);
                }
                beside.take().into_iter().for_each(|beside| beside(Some(run)));
                let _ = run.progress();
            });
            beside.into_iter().for_each(|beside| beside(None)); // it did not begin
            return match ran {
                Ok(()) => Ran::Good(plan),
                Err(error) => Ran::Failed(Some(plan), error),
            };
        }
        let running = plan.start();
        let control = running.remote();
        control.iter().filter(|_| !self.served).for_each(|control| self.end(control));
        beside(control.as_ref());
        let _ = running.progress();
        let (plan, ran) = match self.way {
            Way::Drop => {
                drop(running);
                return Ran::Dropped;
            }
            Way::Await => match block_on(running) {
                Ok(plan) => return Ran::Good(plan),
                Err(error) => return Ran::Failed(None, error),
            },
            Way::Join => match running.join() {
                Ok(plan) => return Ran::Good(plan),
                Err(error) => return Ran::Failed(None, error),
            },
            Way::Timeout => {
                while !running.wait_timeout(Duration::from_millis(1)) {}
                assert!(running.is_over());
                running.finish()
            }
            _ => running.finish(),
        };
        control.iter().for_each(|control| assert!(control.is_over()));
        match ran {
            Ok(()) => Ran::Good(plan),
            Err(error) => Ran::Failed(Some(plan), error),
        }
    }

    /// Whether a run may end with this error, given the one with which it must end if nothing else ends it.
    pub(crate) fn assert_fits(self, world: &World, what: &dyn Debug, error: &RunError, failure: Option<&Failure>) {
        match (error.kind(), self.early) {
            (RunErrorKind::Cancelled, Early::Cancel(_)) | (RunErrorKind::DeadlineExceeded, Early::Deadline(_)) => {}
            (RunErrorKind::Cancelled | RunErrorKind::Closed, _) if world.is_closing() => {}
            (kind, _) => {
                let failure = failure.unwrap_or_else(|| panic!("{what:?}, {self:?} ended with {error:?}: {error}"));
                assert_eq!(*kind, failure.kind, "{error}: {what:?}, {self:?}");
                assert_eq!(error.operator(), Some(&*failure.operator), "{error}: {what:?}, {self:?}");
                // Of a run that was cancelled as well nobody knows how many items came before.
                let may_be_cancelled = !matches!(self.early, Early::Never) || world.is_closing();
                let item = failure.item.filter(|_| error.item().is_some() || !may_be_cancelled);
                assert_eq!(error.item(), item, "{error}: {what:?}, {self:?}");
            }
        }
    }
}
