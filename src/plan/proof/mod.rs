//! What is proved of a plan before it runs.
//!
//! | what | where |
//! |---|---|
//! | what a proof knows of the streams | [`outline`] |
//! | whether a run may stall, and how many credits keep it from that | [`stalls`] |
//! | how much of one place comes to two others | [`flows`], at known rates ([`rate`]) |
//! | how much is in flight | [`flight`]; between two stages, for `explain()`, [`bounds`] |
//! | which tasks never run at once | [`order`] |
//! | defects: what waits for itself in any case | [`cycles`] |

pub(super) mod bounds;
pub(super) mod cycles;
mod flight;
mod flows;
pub(super) mod order;
pub(super) mod outline;
mod rate;
mod stalls;

use std::fmt;
use std::sync::Arc;

use super::data::Data;
use super::explain::on_one_line;
use crate::run::flow::makes::Makes;
use crate::run::names::Names;
use order::TaskOrder;
use outline::Outline;
use stalls::Order;

/// What holds for every run of a plan, whatever its closures do and however its workers are scheduled.
///
/// [`Plan::prove`](crate::Plan::prove) makes it. Each answer is a promise, or says which operator keeps it from being
/// one. It takes for granted that closures return, that operators of one's own keep to what they say, and that who
/// sends and receives outside goes on.
///
/// A proof knows how many items operators make, not which: `map`, `inspect`, `enumerate`, `try_map`, `map_async` and
/// their like make one of each; `chunks`, `window` and `skip` one of so many; `filter`, `scan`, `take` and their like
/// one of an item or none; `flat_map`, `apply`, `map_batch` and windows by time any number.
///
/// ```
/// use millstream::{Graph, Pool, Stalls};
///
/// let pool = Pool::builder().workers(2).build()?;
/// let g = Graph::new();
/// let (now, then) = g.source(0..1_000_000).named("samples").batch_size(4).credits(3).tee();
/// let changes = now.skip(5).zip(then).map(|(now, then)| now - then);
/// changes.for_each(|change| assert_eq!(change, 5));
/// let proof = g.plan(&pool)?.prove();
///
/// // Of each batch there are up to four items, and each goes two ways.
/// assert_eq!(proof.items_in_flight(), Some(3 * 4 * 2));
/// // The second way is five items ahead, which lie in two batches; a third one brings the next item.
/// assert!(proof.never_stalls());
/// assert_eq!(proof.credits_needed("samples"), Some(3));
///
/// let g = Graph::new();
/// let (all, some) = g.source(0..1_000_000).tee();
/// let pairs = all.zip(some.filter(|x| x % 1000 == 0).named("rare")).count();
/// let proof = g.plan(&pool)?.prove();
/// assert!(matches!(proof.stalls(), Stalls::Unproven(why) if why.operator() == "rare"));
/// println!("{proof}");
/// # drop(pairs);
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone)]
pub struct Proof {
    names: Arc<Names>,
    in_flight: Result<flight::Flight, Unproven>,
    stalls: Stalls,
    sources: Vec<SourceProof>,
    tasks: Arc<TaskOrder>,
}

/// Whether runs may end as [`Stalled`](crate::RunErrorKind::Stalled); see [`Proof::stalls`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Stalls {
    /// No run does.
    Never,
    /// That is not known.
    Unproven(Unproven),
}

/// What keeps something from being proved. Its text is a sentence.
#[derive(Clone, Debug)]
pub struct Unproven {
    operator: String,
    text: String,
}

impl Unproven {
    /// The operator that keeps it from being proved.
    #[must_use]
    pub fn operator(&self) -> &str {
        &self.operator
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is known of a source; see [`Proof::sources`].
#[derive(Clone, Debug)]
pub struct SourceProof {
    name: String,
    credits: u32,
    needed: Option<u32>,
    batches: Option<u64>,
}

impl SourceProof {
    /// Its name, as in [`explain`](crate::Plan::explain).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many batches of it may be in flight at most, those included that [`on_stall`](crate::Stream::on_stall) adds.
    /// 0: it needs no credits, as none of its batches waits anywhere.
    #[must_use]
    pub fn credits(&self) -> u32 {
        self.credits
    }

    /// The fewest [`credits`](crate::Stream::credits) with which it is proved that the graph never stalls, if each
    /// source has that many. None: no number is known to suffice for it, or for a source that it waits for.
    #[must_use]
    pub fn credits_needed(&self) -> Option<u32> {
        self.needed
    }

    /// How many batches it has at most, if that is known before it runs.
    #[must_use]
    pub fn batches(&self) -> Option<u64> {
        self.batches
    }
}

impl Proof {
    /// The most items that may be in flight at once: those that were taken from a source and wait for a stage, in one,
    /// or for others that they are to meet, until the last thing that has come of their batch is done. A copy is an
    /// item. None: [`unbounded`](Self::unbounded) says why.
    ///
    /// What is not counted: what operators and sinks keep by what they are, which [`explain`](crate::Plan::explain)
    /// lists; the item that a worker has in its hands; what user code makes of an item while it is called, or its future
    /// lives; what lies in an [`input`](crate::Graph::input), or with a
    /// receiver when its stream has ended. The bound holds for up to 2^44 batches.
    #[must_use]
    pub fn items_in_flight(&self) -> Option<u64> {
        self.in_flight.as_ref().ok().map(|flight| flight.items)
    }

    /// The most bytes that these items may have, by the sizes of their types. Memory that they own or borrow does not
    /// count, nor does what vectors have beyond their items, nor a future that an item has become. The largest number
    /// of bytes need not be that of the largest number of items.
    #[must_use]
    pub fn bytes_in_flight(&self) -> Option<u64> {
        self.in_flight.as_ref().ok().map(|flight| flight.bytes)
    }

    /// What lets any number of items be in flight, if something may.
    #[must_use]
    pub fn unbounded(&self) -> Option<&Unproven> {
        self.in_flight.as_ref().err()
    }

    /// Whether a run may end as [`Stalled`](crate::RunErrorKind::Stalled), with the credits that its sources have.
    #[must_use]
    pub fn stalls(&self) -> &Stalls {
        &self.stalls
    }

    /// Whether it is proved that no run ends as [`Stalled`](crate::RunErrorKind::Stalled).
    #[must_use]
    pub fn never_stalls(&self) -> bool {
        matches!(self.stalls, Stalls::Never)
    }

    /// What is known of each source, in the order in which they were added to the graph. What comes out of an
    /// [`expand`](crate::Stream::expand) has a source of its own.
    #[must_use]
    pub fn sources(&self) -> &[SourceProof] {
        &self.sources
    }

    /// [`SourceProof::credits_needed`] of the first source with this name. None, too, if there is none.
    #[must_use]
    pub fn credits_needed(&self, source: &str) -> Option<u32> {
        self.sources.iter().find(|one| one.name == source)?.needed
    }

    /// Whether the tasks that make these data never run at once: one of them waits for the other one, or they are one.
    /// `false`: they may, or at least one of the data is not made by a task.
    ///
    /// This looks at no more than the tasks between the two in program order, and what these wait for.
    ///
    /// # Panics
    /// If data belongs to another graph.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let (a, b) = (g.data(1), g.data(2));
    /// let first = g.task(a.write(), |a| *a += 1);
    /// let beside = g.task(b.write(), |b| *b += 1);
    /// let last = g.task((a.read(), b.read()), |(a, b)| a + b);
    /// let proof = g.plan(&pool)?.prove();
    /// assert!(proof.never_at_once(&first, &last) && proof.never_at_once(&last, &beside));
    /// assert!(!proof.never_at_once(&first, &beside));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn never_at_once<A, B>(&self, one: &Data<A>, other: &Data<B>) -> bool {
        let [one, other] = [(&one.names, one.op()), (&other.names, other.op())].map(|(names, op)| {
            assert!(Arc::ptr_eq(names, &self.names), "'{}' is data of another graph than this proof's", names.get(op));
            self.tasks.record(op)
        });
        one.zip(other).is_some_and(|(one, other)| self.tasks.are_apart(one, other))
    }

    /// The names of all pairs of tasks that never run at once, the one that comes first at the first place.
    ///
    /// There may be half as many pairs as the square of the number of tasks. They are found while they are asked for:
    /// for each task, in program order, this goes over what it waits for, directly or by way of others.
    pub fn pairs_never_at_once(&self) -> impl Iterator<Item = [String; 2]> {
        self.tasks.pairs().map(|(first, second)| [first, second].map(|task| self.names.get(self.tasks.op(task))))
    }

    /// Proves what can be proved of streams and tasks.
    pub(super) fn new(names: &Arc<Names>, outline: &Outline, order: Order<'_>, tasks: Arc<TaskOrder>) -> Self {
        let named = |blame: Blame| blame.named(names);
        let stalling = stalls::stalling(outline, order);
        let sources = outline.stages.iter().zip(&stalling.needed).filter_map(|(stage, needed)| {
            let source = stage.source.as_ref()?;
            Some(SourceProof {
                name: names.get(stage.first),
                credits: if source.is_free { 0 } else { source.credits },
                needed: *needed,
                batches: source.batches,
            })
        });
        Self {
            names: Arc::clone(names),
            in_flight: flight::flight(outline).map_err(named),
            stalls: stalling.blame.map_or(Stalls::Never, |blame| Stalls::Unproven(named(blame))),
            sources: sources.collect(),
            tasks,
        }
    }
}

/// So many tasks have their pairs counted in the text at most.
const COUNTED: u32 = 500;

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.in_flight {
            Ok(flight) => writeln!(f, "in flight: at most {} items, {} bytes", flight.items, flight.bytes)?,
            Err(why) => writeln!(f, "in flight: not bounded: {why}")?,
        }
        match &self.stalls {
            Stalls::Never => writeln!(f, "stalls: never")?,
            Stalls::Unproven(why) => writeln!(f, "stalls: cannot say: {why}")?,
        }
        for source in &self.sources {
            let SourceProof { name, credits, needed, batches } = source;
            let all = batches.map_or_else(String::new, |batches| format!(", {batches} batches"));
            let needed = match needed {
                Some(0) => "needs no credits".to_owned(),
                Some(needed) => format!("{credits} credits, {needed} suffice"),
                None => format!("{credits} credits, and no number is known to suffice"),
            };
            writeln!(f, "source '{}': {needed}{all}", on_one_line(name))?;
        }
        let tasks = self.tasks.len();
        match u64::from(tasks) {
            0 => Ok(()),
            count if tasks <= COUNTED => {
                let pairs = self.tasks.pairs().count();
                writeln!(f, "tasks: {count}; of {} pairs {pairs} never run at once", count * (count - 1) / 2)
            }
            count => writeln!(f, "tasks: {count}"),
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { in_flight, stalls, sources, .. } = self;
        let mut text = f.debug_struct("Proof");
        text.field("in_flight", in_flight).field("stalls", stalls).field("sources", sources).finish_non_exhaustive()
    }
}

/// What keeps something from being proved, without names: where items wait, if that is known, and which operator is to
/// blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blame {
    at: Option<usize>,
    by: usize,
    why: Why,
}

/// Why an operator is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It may make fewer items than it is given.
    Fewer,
    /// It makes any number of items.
    Any,
    /// It makes any number of items at the end.
    AtEnd,
    /// What it waits for depends on items.
    Items,
    /// It brings streams together, and it is not known how many items of each come out when.
    Gathers,
    /// The sides of a meeting bring items at different rates.
    Rates,
    /// The source's items come to a meeting in another order.
    Order,
    /// The source's batches may be empty.
    Batches,
    /// The source may have fewer batches in flight, for their bytes.
    Bytes,
    /// What waits at a meeting has credits of another source.
    Others,
    /// The source needs more credits.
    Credits {
        has: u64,
        needs: u64,
    },
    /// It may wait for what waits for it.
    Circle,
    Spooled,
    /// Items go on without credits.
    Uncredited,
}

impl Why {
    /// Why the rate of an operator is not known.
    fn of(makes: Makes) -> Self {
        match makes {
            Makes::AtMostOne => Self::Fewer,
            Makes::Any => Self::Any,
            Makes::One | Makes::Every { .. } => Self::Rates, // beyond all numbers
        }
    }
}

impl Blame {
    fn named(self, names: &Names) -> Unproven {
        let operator = names.get(self.by);
        let by = on_one_line(&operator);
        let at = self.at.map_or_else(String::new, |at| on_one_line(&names.get(at)));
        let text = match self.why {
            Why::Fewer => format!("'{by}' may make fewer items than it is given, and at '{at}' others wait for them"),
            Why::Any if self.at.is_some() => {
                format!("'{by}' makes any number of items, and at '{at}' others wait for them")
            }
            Why::Any => format!("'{by}' makes any number of items"),
            Why::AtEnd => format!("'{by}' makes any number of items at the end"),
            Why::Items => format!("of which stream '{by}' wants the next item depends on the items"),
            Why::Gathers => format!("'{by}' brings streams together, and at '{at}' others wait for what comes out"),
            Why::Rates => format!("what comes from '{by}' to the two sides of '{at}' comes at different rates"),
            Why::Order => format!("one side of '{at}' is ahead of the other, and not in the order of '{by}'"),
            Why::Batches => format!("one side of '{at}' is ahead of the other, and batches of '{by}' may be empty"),
            Why::Bytes => {
                format!("one side of '{at}' is ahead of the other, and '{by}' may have no bytes left for that")
            }
            Why::Others => format!("one side of '{at}' is ahead of the other, with credits of others than '{by}'"),
            Why::Credits { has, needs } => {
                format!("'{by}' has {has} credits, and needs {needs} for what waits at '{at}'")
            }
            Why::Circle => format!("what waits at '{at}' has credits of '{by}', and may wait for more of it"),
            Why::Spooled => format!("items before '{by}' hold no credits (spooled)"),
            Why::Uncredited => format!("items may leave '{by}' without credits"),
        };
        Unproven { operator, text }
    }
}
