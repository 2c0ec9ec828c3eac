//! The typed description that users write: a graph, the streams and data in it, and how operators are added to it.
//!
//! A [`Graph`] collects a [`Draft`], while streams carry their fused pipe by value, as iterators do. When a stream
//! ends, in a sink or at a stage boundary, its pipe and a tail become a stage ([`build`]). From there on the types of
//! items are hidden. [`crate::plan`] makes a plan of the draft.
//!
//! The operators are in [`crate::operators`], and the sources in [`crate::sources`].

mod access;
mod build;
mod control;
mod keyed;
mod notes;
mod parts;
mod reads;
mod retry;
mod stream;
mod table;
mod task;
mod tiles;
mod unfold;
mod windows;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

pub use access::{Access, AccessAt, Consume, Read, Write};
pub use control::Block;
pub use keyed::Keyed;
pub use parts::{Part, ReadPart, WritePart};
pub use reads::{Many, Reads, Values, reads};
pub use retry::Retry;
pub use stream::{OnStall, Stream};
pub(crate) use table::{Entries, OpenTable, PARTITIONS, hasher, map_entries, partition, value_of};
pub use table::{IntoIter, Iter, Table};
pub use tiles::{ReadTile, Tile, TileMut, TileRef, Tiles, WriteTile};
pub use windows::{Windowed, Windows};

use crate::error::{BuildError, Error};
use crate::plan::draft::Draft;
use crate::plan::{Blueprint, Data, Grouping, Plan};
use crate::pool::{Pool, PoolHandle};
use crate::run::names::Names;
use crate::run::slot::Slot;
use crate::topology::Topology;

/// The draft of a graph that is being described. Its streams share it.
type SharedDraft<'env> = Rc<RefCell<Draft<'env>>>;
/// The result of a sink, and the slot that the sink puts it into.
type Sink<R> = (Data<R>, Slot<R>);

/// A description of work: streams that flow through typed operators, and data that tasks access.
///
/// Closures may borrow anything that outlives the graph. Describing costs about as much as making the closures. Nothing
/// runs before [`Plan::run`] or [`Pool::run`].
///
/// ```
/// use millstream::{Graph, Pool};
///
/// let words = ["a", "rose", "is", "a", "rose"];
/// let pool = Pool::builder().workers(2).build()?;
/// let g = Graph::new();
/// let counts = g.slice(&words).key_by(|word| **word).count();
/// let distinct = g.task(counts.read(), |counts| counts.len());
/// let mut run = pool.run(g)?;
/// assert_eq!(run.take(distinct), 3);
/// assert_eq!(run.take(counts).get("rose"), Some(&2));
/// # Ok::<(), millstream::Error>(())
/// ```
///
/// # What closures borrow
/// Declare what closures borrow before the graph. A graph that was not run drops its closures when it is dropped, so
/// what they borrow must outlive the graph. Otherwise the compiler says that the borrow might be used "when `g` is
/// dropped".
///
/// A plan that was run holds its closures, too. So `drop(run)`, when its results are taken, before you use what they
/// borrow mutably. Otherwise the compiler says that the borrow might be used "when `run` is dropped".
///
/// # Functions that describe a part
/// A function can take a stream with any [`Pipe`](crate::Pipe), and return one whose pipe need not be named:
///
/// ```
/// use millstream::{Graph, Pipe, Pool, Stream};
///
/// fn odd_squares<'env>(
///     numbers: Stream<'env, u64, impl Pipe<Out = u64> + 'env>,
/// ) -> Stream<'env, u64, impl Pipe<Out = u64>> {
///     numbers.filter(|x| x % 2 == 1).map(|x| x * x)
/// }
///
/// let (pool, g) = (Pool::new()?, Graph::new());
/// let sum = odd_squares(g.range(0..6)).sum::<u64>();
/// assert_eq!(pool.run(g)?.take(sum), 1 + 9 + 25);
/// # Ok::<(), millstream::Error>(())
/// ```
///
/// What such a function describes gets a name of its own by [`section`](Self::section).
///
/// # Threads
/// A graph stays on the thread that describes it: it is not `Send`. A [`Plan`] may be sent to another thread.
///
/// ```
/// use millstream::{Graph, Pool};
///
/// let (pool, g) = (Pool::new()?, Graph::new());
/// let sum = g.range(0..10_u64).sum::<u64>();
/// let mut plan = g.plan(&pool)?;
/// let plan = std::thread::spawn(move || plan.run().map(|()| plan)).join().expect("no panic")?;
/// assert_eq!(*plan.get(&sum), 45);
/// # Ok::<(), millstream::Error>(())
/// ```
pub struct Graph<'env> {
    draft: SharedDraft<'env>,
    names: Arc<Names>,
}

impl<'env> Graph<'env> {
    /// Makes an empty graph.
    #[must_use]
    pub fn new() -> Self {
        let draft = Draft::new();
        let names = Arc::clone(&draft.names);
        Self { draft: Rc::new(RefCell::new(draft)), names }
    }

    /// Says whether the plan puts tasks together to jobs. The last call counts.
    pub fn grouping(&self, grouping: Grouping) {
        self.draft.borrow_mut().grouping = grouping;
    }

    /// Names a part of the graph: whatever `describe` adds is in a section of that name. Returns what `describe` returns.
    ///
    /// A section changes nothing of what a graph does. Names in reports, errors and plans begin with those of the sections:
    /// `assembly/fill`. A [`Report`](crate::Report) says how much time each section took, and its table has a row for each.
    /// Sections may be in sections, and those of one name in the same section are one. A stream may go through several: an
    /// operator is in the one in which it was added.
    ///
    /// ```
    /// use millstream::{Data, Graph, Pool};
    ///
    /// fn assembly(g: &Graph<'_>, rows: usize) -> Data<Vec<f64>> {
    ///     let matrix = g.data(vec![0.0; rows * rows]).named("matrix");
    ///     g.task(matrix.write(), |matrix| matrix.fill(1.0)).named("fill");
    ///     matrix
    /// }
    ///
    /// let (pool, g) = (Pool::builder().workers(2).build()?, Graph::new());
    /// let matrix = g.section("assembly", |g| assembly(g, 10));
    /// let sum = g.section("solution", |g| g.task(matrix.read(), |matrix| matrix.iter().sum::<f64>()).named("sum"));
    /// let mut run = pool.run(g)?;
    /// let report = run.report();
    /// assert_eq!(report.section("assembly").map(|section| section.tasks()), Some(1));
    /// assert!(report.operator("solution/sum").is_some_and(|sum| sum.time() <= report.wall_time()));
    /// assert_eq!(run.take(sum), 100.0);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn section<R>(&self, name: &str, describe: impl FnOnce(&Self) -> R) -> R {
        self.names.open_section(name);
        let _close = CloseSection(&self.names);
        describe(self)
    }

    /// Checks the graph and lays it out for a machine that need not be this one, with one worker for each of its cores.
    ///
    /// Nothing runs, and the graph does not change. Only on this machine is it known where memory is. On any other
    /// machine, data and sources have no homes but those that they were given.
    ///
    /// # Errors
    /// The same defects as for [`plan`](Self::plan).
    ///
    /// ```
    /// use millstream::{Graph, Place, Pool, Topology};
    ///
    /// let g = Graph::new();
    /// let tile = g.data(1).named("tile").place(Place::Node(0));
    /// g.task(tile.write(), |tile| *tile += 1).named("step");
    /// for machine in ["numa:4 l3:2 core:8 pu:2", "core:2 pu:1"] {
    ///     let explain = g.plan_for(&Topology::synthetic(machine)?)?.explain();
    ///     assert_eq!(explain.operator("step").and_then(|step| step.node()), Some(0));
    ///     println!("{explain}");
    /// }
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn plan_for(&self, machine: &Topology) -> Result<Blueprint, BuildError> {
        Blueprint::new(&self.draft.borrow(), machine)
    }

    /// Checks the graph and lays it out for a pool.
    ///
    /// This takes time and memory in proportion to what the graph describes.
    ///
    /// # Errors
    /// The error lists every defect of the graph:
    /// * A stream that nothing takes, even if the program still holds it.
    /// * Data, streams or orders that belong to two graphs.
    /// * Data that one task accesses twice, and not only for reading; or data that is accessed after it was
    ///   [consumed](crate::Data::consume).
    /// * A task ordered [after](crate::Data::after) something that waits for it; or a sink ordered after anything.
    /// * A stream that is held until the end of something that cannot end before it, so that all of it would be kept.
    ///   It is allowed if the stream is [`spooled`](Stream::spooled).
    /// * [`credits`](Stream::credits) or [`batch_size`](Stream::batch_size) out of range, or set on a stream that comes
    ///   from several sources.
    /// * A [`place`](crate::Data::place) on a node that the machine does not have; on a node without allowed CPUs, for
    ///   something that runs; near data of another graph; or near data that is itself placed near this.
    pub fn plan(self, pool: &Pool) -> Result<Plan<'env>, BuildError> {
        Plan::new(self.draft.borrow_mut().take(), pool)
    }
}

/// Ends a section, also if the closure that describes it panics.
struct CloseSection<'g>(&'g Names);

impl Drop for CloseSection<'_> {
    fn drop(&mut self) {
        self.0.close_section();
    }
}

impl Default for Graph<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Graph<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("stages", &self.draft.borrow().stages.len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Plans a graph, runs it once, and returns the plan with its results. The calling thread works along, on this
    /// graph only.
    ///
    /// # Errors
    /// The defects of the graph ([`Graph::plan`]), or the failure of the run ([`Plan::run`]).
    pub fn run<'env>(&self, graph: Graph<'env>) -> Result<Plan<'env>, Error> {
        let mut plan = graph.plan(self)?;
        plan.run()?;
        Ok(plan)
    }
}

impl PoolHandle {
    /// Plans a graph and runs it once, as [`Pool::run`] does.
    ///
    /// # Errors
    /// That the pool was dropped, the defects of the graph, or the failure of the run.
    pub fn run<'env>(&self, graph: Graph<'env>) -> Result<Plan<'env>, Error> {
        self.with(|pool| pool.run(graph))?
    }
}
