//! What exploring has found.

use std::fmt;
use std::str::FromStr;

/// What all schedules have in common, by [`exhaustive`](super::exhaustive) and [`Explore::run`](super::Explore::run).
#[derive(Clone, Debug)]
pub struct Explored<R> {
    pub(super) schedules: u64,
    pub(super) is_complete: bool,
    pub(super) value: R,
}

impl<R> Explored<R> {
    /// How many schedules were gone through. Those that differ only in the order of steps that touch nothing in common count once.
    #[must_use]
    pub fn schedules(&self) -> u64 {
        self.schedules
    }

    /// Whether these are all. If not, a bound was reached first. All are those that differ in what the explorer sees: what closures of
    /// operators that take one item at a time share by other types than those of [`check`](crate::check) it does not see.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// What the closure has returned in each of them.
    #[must_use]
    pub fn value(&self) -> &R {
        &self.value
    }
}

/// How a schedule has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<R> {
    /// The closure has returned this.
    Returned(R),
    /// It has panicked, with this text.
    Panicked(String),
    /// Nobody could go on, and it had not returned.
    Stuck,
    /// It came to no end, as one that asks an [`Atomic`](super::Atomic) again and again until another one changes it.
    Endless,
}

/// A schedule that ends in another way than those before.
///
/// It prints its story: what was called, in which order. Then comes the schedule itself, which [`replay`](super::replay) takes.
#[derive(Clone)]
pub struct Difference<R> {
    pub(super) schedule: Schedule,
    pub(super) found: Outcome<R>,
    pub(super) usual: Option<R>,
    pub(super) story: Vec<String>,
    pub(super) schedules: u64,
}

impl<R> Difference<R> {
    /// The schedule.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// How it has ended.
    #[must_use]
    pub fn outcome(&self) -> &Outcome<R> {
        &self.found
    }

    /// How many schedules were gone through until it was found, that one included.
    #[must_use]
    pub fn schedules(&self) -> u64 {
        self.schedules
    }

    /// What was called in it, in this order.
    #[must_use]
    pub fn story(&self) -> &[String] {
        &self.story
    }

    /// What the closure has returned in it.
    ///
    /// # Panics
    /// If it has not returned: see [`outcome`](Self::outcome).
    #[must_use]
    #[track_caller]
    pub fn value(&self) -> &R {
        match &self.found {
            Outcome::Returned(value) => value,
            Outcome::Panicked(text) => panic!("in this schedule it has panicked: {text}"),
            Outcome::Stuck => panic!("in this schedule nobody could go on"),
            Outcome::Endless => panic!("this schedule has no end"),
        }
    }

    /// What the closure has returned in those before.
    ///
    /// # Panics
    /// If there was none before.
    #[must_use]
    #[track_caller]
    pub fn other_value(&self) -> &R {
        self.usual.as_ref().expect("there was another schedule before")
    }
}

impl<R: fmt::Debug> fmt::Display for Difference<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Outcome::Returned(value) => write!(f, "one schedule gives {value:?}")?,
            Outcome::Panicked(text) => write!(f, "one schedule panics: {}", text.replace('\n', "\n      "))?,
            Outcome::Stuck => write!(f, "in one schedule nobody can go on")?,
            Outcome::Endless => write!(f, "one schedule has no end")?,
        }
        match &self.usual {
            Some(usual) if self.schedule.steps.is_empty() => writeln!(
                f,
                ", and gave {usual:?} the first time: the closure goes by something else as well, such as time, random numbers, or what it has \
                 left behind; it does"
            )?,
            Some(usual) => writeln!(f, ", and others give {usual:?}; it does")?,
            None => writeln!(f, ", the first that was tried; it does")?,
        }
        for (number, line) in (1..).zip(&self.story) {
            writeln!(f, "{number:4}. {line}")?;
        }
        write!(f, "replay(\"{}\")", self.schedule)
    }
}

impl<R: fmt::Debug> fmt::Debug for Difference<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<R: fmt::Debug> std::error::Error for Difference<R> {}

/// Which process made each step of a run, as far as it is not the usual one. It is text, to be kept in a test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// Whether calls of user code were taken for [`pure`](super::Explore::pure): then there are fewer steps.
    pub(super) is_pure: bool,
    /// The number of the step, and how many that could go on come before the one that made it.
    pub(super) steps: Vec<(usize, usize)>,
}

/// How the text of a pure one begins.
const PURE: &str = "pure";

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        if self.is_pure {
            write!(f, "{PURE}")?;
            space = " ";
        }
        for (step, rank) in &self.steps {
            write!(f, "{space}{step}:{rank}")?;
            space = " ";
        }
        Ok(())
    }
}

/// A text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseScheduleError(String);

impl fmt::Display for ParseScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no step of a schedule: write two numbers, as in '12:1'", self.0)
    }
}

impl std::error::Error for ParseScheduleError {}

impl FromStr for Schedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let step = |word: &str| {
            let (step, rank) = word.split_once(':')?;
            Some((step.parse().ok()?, rank.parse().ok()?))
        };
        let mut words = text.split_whitespace().peekable();
        let is_pure = words.next_if_eq(&PURE).is_some();
        let steps = words.map(|word| step(word).ok_or_else(|| ParseScheduleError(word.to_owned())));
        steps.collect::<Result<_, _>>().map(|steps| Self { is_pure, steps })
    }
}
