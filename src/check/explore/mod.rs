//! Every schedule of a graph.

mod execution;
mod found;
mod lookout;
mod operator;
mod quiet;
mod random;
mod recording;
mod reduction;
mod shared;

use std::time::Duration;

use execution::{AsWritten, Bounds, Chooser, End, Stage};
pub use found::{Difference, Explored, Outcome, ParseScheduleError, Schedule};
use lookout::Lookout;
pub use operator::{Operator, operator};
use quiet::quietly;
use random::Chance;
use recording::{Follow, TRIES, word};
pub use recording::{ParseRecordingError, Recording};
use reduction::Reduction;
pub use shared::{Atomic, Channel, Mutex, MutexGuard};

use crate::pool::Pool;
use crate::sync::{Instant, footprint};
use crate::unwind;

/// How to explore, made by [`explore`].
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is explored before `run`"]
pub struct Explore {
    is_pure: bool,
    tries_all: bool,
    most: u64,
    most_preemptions: u32,
    time: Option<Duration>,
}

/// Options for exploring, to be followed by [`run`](Explore::run).
///
/// ```
/// use millstream::{Graph, Pool, check};
///
/// let explored = check::explore().max_schedules(10).run(|pool: &Pool| {
///     let g = Graph::new();
///     let count = g.source(0..6).batch_size(1).filter(|x| x % 2 == 0).count();
///     pool.run(g).expect("runs").take(count)
/// });
/// let explored = explored.expect("the same in all of them");
/// assert!(!explored.is_complete() && *explored.value() == 3);
/// ```
pub fn explore() -> Explore {
    Explore { is_pure: false, tries_all: false, most: u64::MAX, most_preemptions: u32::MAX, time: None }
}

/// Runs `body` in every schedule; see the [module](crate::check). The same as `explore().run(body)`.
///
/// # Errors
/// The first schedule that ends in another way than those before.
///
/// # Panics
/// As [`Explore::run`].
///
/// ```
/// use millstream::{Graph, Pool, check};
///
/// let explored = check::exhaustive(|pool: &Pool| {
///     let g = Graph::new();
///     let (a, b) = (g.task((), |()| 1), g.task((), |()| 2));
///     let sum = g.task((a.read(), b.read()), |(a, b)| a + b);
///     pool.run(g).expect("runs").take(sum)
/// });
/// let explored = explored.expect("the same sum in every schedule");
/// assert!(explored.is_complete());
/// assert_eq!((explored.schedules(), *explored.value()), (2, 3)); // the two tasks in both orders
/// ```
pub fn exhaustive<R: PartialEq>(body: impl Fn(&Pool) -> R) -> Result<Explored<R>, Difference<R>> {
    explore().run(body)
}

/// Runs `body` in so many schedules by chance, for graphs that have too many to try all of them.
///
/// The same seed takes the same schedules. A fault that depends on the order of few steps is found with a known chance, however many
/// other steps there are; the method is that of Burckhardt, Kothari, Musuvathi and Nagarakatte, "A randomized scheduler with probabilistic
/// guarantees of finding bugs" (2010). Take thousands of schedules: one takes some hundred microseconds.
///
/// # Errors
/// The first schedule that ends in another way than those before.
///
/// # Panics
/// As [`Explore::run`].
///
/// ```
/// use millstream::{Graph, Pool, check};
///
/// let racy = |pool: &Pool| {
///     let g = Graph::new();
///     let merged = g.source(0..8).batch_size(1).merge(g.source(8..16).batch_size(1));
///     let last = merged.fold(0, |_, x| x);
///     pool.run(g).expect("runs").take(last)
/// };
/// let difference = check::random(7, 1000, racy).expect_err("which comes last depends on the schedule");
/// assert_eq!(check::replay(difference.schedule(), racy), *difference.value());
/// ```
pub fn random<R: PartialEq>(seed: u64, runs: u64, body: impl Fn(&Pool) -> R) -> Result<Explored<R>, Difference<R>> {
    let explore = explore().max_schedules(runs);
    explore.search(&mut Chance::new(seed), body)
}

/// Runs `body` in a schedule that was found before, or with the calls of a recording in their order, and returns what it returns.
///
/// `body` must be the one of that time: what a schedule means depends on every step. The calls of a [`Recording`] come in the order in
/// which they began, one after the other, on this thread. What calls that ran side by side did to each other in the middle is not in it,
/// but for their uses of the types of [`check`](crate::check).
///
/// # Panics
/// If `body` panics, if in this schedule nobody can go on or there is no end, or if `body` has changed so much that not all of the
/// schedule can be chosen, or of the recording followed. For a recording it runs more than once, if the first way does not lead there.
///
/// ```
/// use millstream::{Graph, Pool, check};
///
/// let first = |pool: &Pool| {
///     let g = Graph::new();
///     let merged = g.source(0..1).batch_size(1).merge(g.source(7..8).batch_size(1));
///     let first = merged.fold(None, |first, x| first.or(Some(x)));
///     pool.run(g).expect("runs").take(first)
/// };
/// let difference = check::exhaustive(first).expect_err("which comes first depends on the schedule");
/// let text = difference.schedule().to_string(); // to be kept in a test
/// assert_eq!(check::replay(&text.parse::<check::Schedule>()?, first), *difference.value());
/// # Ok::<(), check::ParseScheduleError>(())
/// ```
#[track_caller]
pub fn replay<R>(course: &impl Course, body: impl Fn(&Pool) -> R) -> R {
    footprint::refuse("what explores itself");
    let _lookout = Lookout::new();
    match course.play(&body) {
        End::Returned(value) => value,
        End::Panicked(panic) => std::panic::resume_unwind(panic),
        End::Stuck | End::Known => panic!("in this schedule nobody can go on"),
        End::Endless => panic!("this schedule has no end"),
        End::TooMany(bounds) => panic!("{}", too_many(bounds)),
    }
}

/// As [`replay`]; and gives the story: what was called, in which order, and what shared. One line each.
///
/// # Panics
/// As `replay`, but if `body` panics: then that is the last line, and there is no value.
///
/// ```
/// use millstream::{Graph, Pool, check};
///
/// let two = |pool: &Pool| {
///     let g = Graph::new();
///     g.task((), |()| ()).named("load");
///     g.task((), |()| ()).named("draw");
///     drop(pool.run(g).expect("runs"));
/// };
/// let (value, story) = check::story(&check::Schedule::default(), two);
/// assert_eq!(value, Some(()));
/// assert_eq!(story[1..], ["'load'", "'draw'"]); // the first is that the closure runs the plan
/// ```
#[track_caller]
pub fn story<R>(course: &impl Course, body: impl Fn(&Pool) -> R) -> (Option<R>, Vec<String>) {
    footprint::refuse("what explores itself");
    let _lookout = Lookout::new();
    let (end, mut story) = footprint::told(|| quietly(|| course.play(&body)));
    let value = match outcome(end).expect("a course is not given up") {
        Outcome::Returned(value) => Some(value),
        Outcome::Panicked(text) => {
            story.push(format!("the closure panics: {text}"));
            None
        }
        Outcome::Stuck => None, // its last lines say who waits for what
        Outcome::Endless => {
            cut_short(&mut story);
            None
        }
    };
    (value, story)
}

/// Leaves the beginning of the story of a schedule without an end: behind that it goes in a circle.
fn cut_short(story: &mut Vec<String>) {
    story.dedup();
    story.truncate(MOST_LINES);
}

/// What [`replay`] goes by: a [`Schedule`] or a [`Recording`].
#[expect(private_bounds, reason = "nobody else has one")]
pub trait Course: Play {}

impl Course for Schedule {}
impl Course for Recording {}

trait Play {
    /// Runs `body` by this.
    #[track_caller]
    fn play<R>(&self, body: &dyn Fn(&Pool) -> R) -> End<R>;
}

impl Play for Schedule {
    fn play<R>(&self, body: &dyn Fn(&Pool) -> R) -> End<R> {
        let mut written = AsWritten::new(&self.steps);
        let end = Stage::new(self.is_pure, Bounds::SEARCH).play(&mut written, body);
        if matches!(end, End::Returned(_)) && !written.was_made() {
            panic!("the schedule '{self}' is not one of this closure, or of this closure as it is now");
        }
        end
    }
}

impl Play for Recording {
    fn play<R>(&self, body: &dyn Fn(&Pool) -> R) -> End<R> {
        let new = || Stage::new(false, Bounds::RECORDING);
        let (mut stage, mut furthest) = (new(), 0);
        for seed in 0..TRIES {
            let mut follow = Follow::new(self, (seed > 0).then(|| Chance::new(seed)));
            let end = quietly(|| footprint::untold(|| footprint::followed(|| stage.play(&mut follow, body))));
            match end {
                End::TooMany(_) if seed == 0 => return end,
                End::TooMany(_) => stage = new(),
                End::Panicked(panic) if is_refusal(unwind::text(&*panic)) => return End::Panicked(panic),
                End::Panicked(panic) => unwind::drop_payload(panic),
                End::Returned(_) | End::Known => {}
                End::Stuck | End::Endless => {
                    let taken = std::mem::take(&mut stage.taken);
                    stage = new(); // what was under way is still there
                    stage.taken = taken;
                }
            }
            if follow.is_through() {
                // Once more: now it is told, and a panic prints what it says.
                let taken = std::mem::take(&mut stage.taken);
                return footprint::followed(|| stage.play(&mut AsWritten::new(&taken), body));
            }
            furthest = furthest.max(follow.come);
        }
        let next = self.acts.get(furthest).map_or("nothing".to_owned(), |act| format!("'{}'", word(act)));
        panic!(
            "of the {} calls of the recording {furthest} could be made in their order, and then not {next}: the closure is not the one that was \
             recorded, or it has changed, or goes by something else as well",
            self.len()
        )
    }
}

fn too_many(bounds: Bounds) -> String {
    let Bounds { seats, processes, .. } = bounds;
    format!(
        "millstream::check cannot explore more than {seats} jobs that are under way at once, or {processes} in all: each batch, task and \
         closure is one, so try fewer items or larger batches"
    )
}

/// So many schedules are tried to find a shorter one.
const SHRINKS: usize = 200;
/// So much is told of a schedule without an end.
const MOST_LINES: usize = 50;

impl Explore {
    /// Says that calls of user code share nothing but by [`Mutex`], [`Atomic`] and [`Channel`]: so their order makes no schedules of its own.
    pub fn pure(mut self) -> Self {
        self.is_pure = true;
        self
    }

    /// Tries so many schedules at most.
    pub fn max_schedules(mut self, most: u64) -> Self {
        self.most = most;
        self
    }

    /// Tries schedules with so many preemptions at most. A preemption is a step of one job while the job that made the step before could
    /// have gone on. Most faults need one or two, and there are far fewer such schedules: Musuvathi and Qadeer, "Iterative context bounding
    /// for systematic testing of multithreaded programs" (2007). Not all of them are tried, as the search finds some by others that have
    /// more: if any was left out, the search is not [complete](Explored::is_complete).
    ///
    /// ```
    /// use millstream::{Graph, Pool, check};
    ///
    /// let lossy = |pool: &Pool| {
    ///     let sum = check::Atomic::new(0);
    ///     pool.for_each(0..4, |x| {
    ///         let before = sum.load();
    ///         sum.store(before + x);
    ///     });
    ///     sum.load()
    /// };
    /// let explored = check::explore().preemptions(0).run(lossy).expect("no update is lost");
    /// assert!(!explored.is_complete());
    /// let difference = check::explore().preemptions(1).run(lossy).expect_err("one loses others");
    /// assert!(*difference.value() < 6);
    /// ```
    pub fn preemptions(mut self, most: u32) -> Self {
        self.most_preemptions = most;
        self
    }

    /// Begins no more schedules after so much time.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Tries all orders, also those that come to the same.
    #[cfg(test)]
    fn tries_all(mut self) -> Self {
        self.tries_all = true;
        self
    }

    /// Runs `body` in every schedule, or until a bound is reached.
    ///
    /// # Errors
    /// The first schedule that ends in another way than those before: with another value, with a panic, because nobody could go on, or with no end. It
    /// is made shorter first, as far as that goes.
    ///
    /// # Panics
    /// If the graph has more jobs at once, or in all, than can be explored, or does what cannot be explored yet: the panic says what.
    pub fn run<R: PartialEq>(self, body: impl Fn(&Pool) -> R) -> Result<Explored<R>, Difference<R>> {
        self.search(&mut Reduction::new(self.tries_all, self.most_preemptions), body)
    }

    fn search<R: PartialEq>(
        self,
        search: &mut dyn Search,
        body: impl Fn(&Pool) -> R,
    ) -> Result<Explored<R>, Difference<R>> {
        footprint::refuse("what explores itself");
        let _lookout = Lookout::new();
        let mut stage = Stage::new(self.is_pure, Bounds::SEARCH);
        let (mut schedules, mut usual, begin) = (0, None, Instant::now());
        loop {
            let end = quietly(|| stage.play(search.begin(), &body));
            let outcome = outcome(end);
            if let Some(outcome) = outcome {
                schedules += 1;
                match (outcome, &usual) {
                    (Outcome::Returned(value), None) => usual = Some(value),
                    (Outcome::Returned(value), Some(usual)) if value == *usual => {}
                    (found, _) => {
                        let taken = std::mem::take(&mut stage.taken);
                        return Err(self.shrink(taken, found, usual, schedules, &body));
                    }
                }
            }
            let goes_on = search.goes_on();
            let is_over = schedules >= self.most || self.time.is_some_and(|time| begin.elapsed() >= time);
            if !goes_on || is_over {
                let value = usual.expect("the first schedule is never given up");
                return Ok(Explored { schedules, is_complete: !goes_on && !search.was_cut(), value });
            }
        }
    }

    /// Leaves out what does not matter of a schedule that ends in another way than the usual one, and tells its story.
    fn shrink<R: PartialEq>(
        self,
        mut taken: Vec<(usize, usize)>,
        mut found: Outcome<R>,
        usual: Option<R>,
        schedules: u64,
        body: &dyn Fn(&Pool) -> R,
    ) -> Difference<R> {
        let differs = |outcome: &Outcome<R>| match (outcome, &usual) {
            (Outcome::Returned(value), Some(usual)) => value != usual,
            (Outcome::Returned(_), None) => false,
            _ => true,
        };
        let (mut at, mut tries) = (0, 0);
        while at < taken.len() && tries < SHRINKS {
            let mut shorter = taken.clone();
            shorter.remove(at);
            tries += 1;
            let end = quietly(|| Stage::new(self.is_pure, Bounds::SEARCH).play(&mut AsWritten::new(&shorter), body));
            match outcome(end) {
                Some(outcome) if differs(&outcome) => (taken, found) = (shorter, outcome),
                _ => at += 1,
            }
        }
        let play = || Stage::new(self.is_pure, Bounds::SEARCH).play(&mut AsWritten::new(&taken), body);
        let (again, mut story) = footprint::told(|| outcome(play()));
        if matches!(again, Some(Outcome::Endless)) {
            cut_short(&mut story);
        }
        if let Some(again) = again.filter(differs) {
            found = again;
        }
        Difference { schedule: Schedule { is_pure: self.is_pure, steps: taken }, found, usual, story, schedules }
    }
}

/// Which schedules are tried.
trait Search {
    /// A schedule begins. What decides whose step is next.
    fn begin(&mut self) -> &mut dyn Chooser;
    /// Whether there is another schedule to be tried.
    fn goes_on(&mut self) -> bool;
    /// Whether it has left out some that it knows of.
    fn was_cut(&self) -> bool {
        false
    }
}

impl Search for Reduction {
    fn begin(&mut self) -> &mut dyn Chooser {
        self.begin();
        self
    }

    fn goes_on(&mut self) -> bool {
        self.goes_on()
    }

    fn was_cut(&self) -> bool {
        self.was_cut()
    }
}

impl Search for Chance {
    fn begin(&mut self) -> &mut dyn Chooser {
        self.begin();
        self
    }

    fn goes_on(&mut self) -> bool {
        true
    }
}

/// Whether a panic says that something cannot be explored.
fn is_refusal(text: &str) -> bool {
    text.contains("millstream::check cannot")
}

/// How a schedule has ended. None: it was given up.
fn outcome<R>(end: End<R>) -> Option<Outcome<R>> {
    Some(match end {
        End::Returned(value) => Outcome::Returned(value),
        End::Panicked(panic) => {
            let text = unwind::text(&*panic).to_owned();
            unwind::drop_payload(panic);
            assert!(!is_refusal(&text), "{text}");
            Outcome::Panicked(text)
        }
        End::Stuck => Outcome::Stuck,
        End::Endless => Outcome::Endless,
        End::Known => return None,
        End::TooMany(bounds) => panic!("{}", too_many(bounds)),
    })
}

#[cfg(test)]
mod tests;
