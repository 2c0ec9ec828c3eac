//! What a pool has recorded, and the schedule that makes the same calls in the same order.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::execution::Chooser;
use super::random::Chance;
use super::reduction::Process;
use crate::pool::Pool;
use crate::sync::footprint;
use crate::sync::recorder::{Act, Does};
use crate::sync::{Call, Kind};

/// What runs of a pool that [records](crate::PoolBuilder::record) have called, in the order in which it began.
///
/// It prints a word for each call, to be kept in a file or a test: `batch:2:7` is batch 7 in stage 2, `task:3` the task of node 3,
/// `use:task:3` a use of something shared in it, `ask:test` a call of the library by the closure of the test.
///
/// ```
/// use millstream::{Graph, Pool, check};
///
/// let numbers = |pool: &Pool| {
///     let log = check::Mutex::new(Vec::new());
///     let g = Graph::new();
///     g.range(0..20).batch_size(1).for_each(|x| log.lock().push(x));
///     drop(pool.run(g).expect("runs"));
///     log.into_inner()
/// };
/// let pool = Pool::builder().workers(2).record(true).build()?;
/// let recorded = numbers(&pool); // in an order that may be another one in the next run
/// let recording = pool.take_recording();
/// assert_eq!(check::replay(&recording, numbers), recorded);
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    pub(super) acts: Vec<Act>,
    is_complete: bool,
}

impl Recording {
    /// How many calls and uses it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.acts.len()
    }

    /// Whether nothing was called.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.acts.is_empty()
    }

    /// Whether it has all calls up to the moment when it was taken. If not, there were too many, and the later ones are missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl Pool {
    /// Takes what the pool has recorded since it was made, or since this was called before. Empty if it does not
    /// [record](crate::PoolBuilder::record). With the feature `check`.
    ///
    /// Call it while no run is under way.
    #[must_use]
    pub fn take_recording(&self) -> Recording {
        let nothing = (Vec::new(), true);
        let (acts, is_complete) = self.shared.records.as_ref().map_or(nothing, |records| records.take());
        Recording { acts, is_complete }
    }
}

/// So many schedules are tried to follow a recording.
pub(super) const TRIES: u64 = 200;

/// Chooses so that calls come in the order of a recording.
pub(super) struct Follow<'a> {
    acts: &'a [Act],
    /// Where each call comes last.
    last: HashMap<Call, usize>,
    /// Whether others may come behind them.
    is_cut: bool,
    /// How many of them have come.
    pub(super) come: usize,
    /// What each process calls first, if that is known.
    wills: Vec<Option<Call>>,
    /// The process that has used something last: it goes on until it has done so.
    user: Option<Process>,
    /// Whether a call has come that was not the next one.
    has_strayed: bool,
    /// What else comes in between is chosen by chance, if the usual way has led nowhere.
    chance: Option<Chance>,
}

impl<'a> Follow<'a> {
    pub(super) fn new(recording: &'a Recording, chance: Option<Chance>) -> Self {
        let last = recording.acts.iter().zip(0..).map(|(act, at)| (act.call, at)).collect();
        Self {
            acts: &recording.acts,
            last,
            is_cut: !recording.is_complete,
            come: 0,
            wills: Vec::new(),
            user: None,
            has_strayed: false,
            chance,
        }
    }

    /// Whether all calls came, in their order, and no others.
    pub(super) fn is_through(&self) -> bool {
        self.come == self.acts.len() && !self.has_strayed
    }

    /// How far a process stands behind others that could go on with a step of the engine. None: it makes a call next.
    fn rank(&self, process: Process, usual: Process) -> Option<u8> {
        let Some(call) = footprint::call_of(process) else {
            return match self.wills.get(process).copied().flatten() {
                None => Some(3),
                Some(call) if self.is_cut || self.last.get(&call).is_some_and(|last| *last >= self.come) => Some(4),
                Some(_) => Some(5), // it may be none of the user's
            };
        };
        if footprint::next_of(process).is_some() {
            return None;
        }
        // The call that is to use something next goes on first: what others begin meanwhile may be what it would have prevented.
        let is_user = self.acts.get(self.come).is_some_and(|next| next.does != Does::Begin && next.call == call);
        Some(match process {
            _ if is_user => 0,
            _ if process == usual => 1,
            _ => 2,
        })
    }

    /// Whether who does this makes its next steps at once. A use was noted when it was made. A call of the library was noted when it
    /// began: what it comes to may have come later.
    fn goes_on_after(&self, does: Does) -> bool {
        match does {
            Does::Begin => false,
            Does::Use => true,
            Does::Ask => self.chance.is_none(),
        }
    }

    /// The process that makes the next call of the recording, or is about to begin, and makes it first.
    fn next(&mut self, candidates: &[Process]) -> Option<Process> {
        let next = *self.acts.get(self.come)?;
        let mut candidates = candidates.iter().copied();
        if let Some(process) = candidates.clone().find(|process| footprint::next_of(*process) == Some(next)) {
            self.come += 1;
            self.user = self.goes_on_after(next.does).then_some(process);
            return Some(process);
        }
        let will = |process: &Process| self.wills.get(*process).copied().flatten() == Some(next.call);
        candidates.find(|process| next.does == Does::Begin && footprint::call_of(*process).is_none() && will(process))
    }
}

impl Chooser for Follow<'_> {
    fn choose(
        &mut self,
        step: usize,
        usual: Process,
        candidates: &mut dyn Iterator<Item = Process>,
    ) -> Option<Process> {
        if self.has_strayed || self.is_cut && self.come == self.acts.len() {
            return Some(usual);
        }
        let candidates: Vec<Process> = candidates.collect();
        let goes_on = |user: &Process| candidates.contains(user) && footprint::next_of(*user).is_none();
        if let Some(user) = self.user.filter(goes_on) {
            return Some(user);
        }
        if let Some(process) = self.next(&candidates) {
            return Some(process);
        }
        let ranks = candidates.iter().filter_map(|process| Some((self.rank(*process, usual)?, *process)));
        let mut free: Vec<(u8, Process)> = ranks.collect();
        free.sort_by_key(|(rank, _)| *rank); // those of one rank stay in the order in which they came
        let Some((_, first)) = free.first().copied() else {
            self.has_strayed = true;
            return Some(usual);
        };
        match &mut self.chance {
            Some(chance) => chance.choose(step, usual, &mut free.into_iter().map(|(_, process)| process)),
            None => Some(first),
        }
    }

    fn made(&mut self, process: Process, will: Option<Call>) {
        if self.wills.len() <= process {
            self.wills.resize(process + 1, None);
        }
        self.wills[process] = will;
    }
}

/// The words for the kinds of calls that have names.
const KINDS: [(Kind, &str); 8] = [
    (Kind::Test, "test"),
    (Kind::Batch, "batch"),
    (Kind::Lane, "lane"),
    (Kind::Poll, "poll"),
    (Kind::Arrival, "arrival"),
    (Kind::Task, "task"),
    (Kind::Leaf, "leaf"),
    (Kind::Closure, "closure"),
];
/// How the text of one begins that is not complete.
const CUT: &str = "cut";
/// How the word begins of what a call does.
const USE: &str = "use:";
const ASK: &str = "ask:";

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        if !self.is_complete {
            write!(f, "{CUT}")?;
            space = " ";
        }
        for act in &self.acts {
            write!(f, "{space}{}", word(act))?;
            space = " ";
        }
        Ok(())
    }
}

/// An act as a word.
pub(super) fn word(act: &Act) -> String {
    let call = act.call;
    let (kind, of, number, part) = (call.kind(), call.of(), call.number, call.part());
    let name = KINDS.iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| name);
    let begin = match act.does {
        Does::Begin => "",
        Does::Use => USE,
        Does::Ask => ASK,
    };
    match kind {
        Kind::Test => format!("{begin}{name}"),
        Kind::Task | Kind::Leaf => format!("{begin}{name}:{number}"),
        Kind::Closure => format!("{begin}{name}:{of}:{number:x}"),
        _ if part == 0 => format!("{begin}{name}:{of}:{number}"),
        _ => format!("{begin}{name}:{of}:{number}:{part}"),
    }
}

/// A text is no recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRecordingError(String);

impl fmt::Display for ParseRecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no call of a recording: write it as in 'batch:2:7', 'task:3' or 'use:task:3'", self.0)
    }
}

impl std::error::Error for ParseRecordingError {}

fn parsed(word: &str) -> Option<Act> {
    let (does, rest) = match (word.strip_prefix(USE), word.strip_prefix(ASK)) {
        (Some(rest), _) => (Does::Use, rest),
        (None, Some(rest)) => (Does::Ask, rest),
        (None, None) => (Does::Begin, word),
    };
    let mut fields = rest.split(':');
    let name = fields.next()?;
    let (kind, _) = *KINDS.iter().find(|(_, known)| *known == name)?;
    let fields: Vec<&str> = fields.collect();
    let (of, number, part) = match (kind, fields.as_slice()) {
        (Kind::Test, []) => (0, 0, 0),
        (Kind::Task | Kind::Leaf, [number]) => (0, number.parse().ok()?, 0),
        (Kind::Closure, [of, number]) => (of.parse().ok()?, u64::from_str_radix(number, 16).ok()?, 0),
        (Kind::Batch | Kind::Lane | Kind::Poll | Kind::Arrival, [of, number, part @ ..]) => {
            let part = match part {
                [] => 0,
                [part] => part.parse().ok()?,
                _ => return None,
            };
            (of.parse().ok()?, number.parse().ok()?, part)
        }
        _ => return None,
    };
    if of > Call::MOST_OF {
        return None;
    }
    Some(Act { does, call: Call::new(kind, of, number, part) })
}

impl FromStr for Recording {
    type Err = ParseRecordingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_whitespace().peekable();
        let is_complete = words.next_if_eq(&CUT).is_none();
        let acts = words.map(|word| parsed(word).ok_or_else(|| ParseRecordingError(word.to_owned())));
        Ok(Self { acts: acts.collect::<Result<_, _>>()?, is_complete })
    }
}
