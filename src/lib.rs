#![doc = include_str!("../README.md")]
//!
//! # Map
//! * [`Graph`] describes, [`Stream`] and [`Data`] are what it is made of, [`Keyed`] and [`Table`] what `key_by` leads
//!   to.
//! * [`Plan`] is a graph that was checked and laid out for a pool; it runs, and keeps the results. [`Explain`] says
//!   what it is, [`Proof`] what is certain of every run ([`Stalls`], [`SourceProof`], or why it is not: [`Unproven`]),
//!   [`Report`] what it did. A [`Blueprint`] is the same for a machine that need not be here; it only
//!   explains itself.
//! * [`Place`] says on which NUMA node data, a task or a source is at home.
//! * [`Grouping`] says whether a plan puts small tasks together to jobs, [`TaskGroup`] which are together.
//! * [`Pool`] has the threads, joins, scopes and loops; [`PoolBuilder`] its options ([`Pinning`], [`Idle`]),
//!   [`Placement`] where they run; [`PoolHandle`] is a pool to keep.
//! * Outside: [`Sender`] and [`Receiver`], [`Live`] sources and what becomes one ([`IntoLive`]); `InputSink` and
//!   `OutputStream`, with the feature `futures`.
//! * `check`, with the feature of that name, runs a graph in every schedule.
//! * `iterators`, with the feature of that name, has parallel iterators that a pool does.
//! * [`Topology`] is the machine: [`Package`], [`NumaNode`], [`L3Domain`] and [`Core`], and sets of CPUs, [`CpuSet`].
//! * [`memory`] is about the memory of NUMA nodes: to have it, to find it, to move it.
//! * [`Error`] is one of [`TopologyError`], [`MemoryError`], [`PoolError`], [`BuildError`], [`RunError`] and
//!   [`Closed`].

#[cfg(feature = "check")]
pub mod check;
#[cfg(all(test, not(any(loom, feature = "check"))))]
mod check;
mod engine;
mod error;
mod graph;
mod knockout;
mod operators;
mod plan;
mod pool;
mod report;
mod run;
mod sources;
mod sync;
mod topology;
mod unwind;

pub use engine::boxed::Boxed;
pub use engine::heads::numbered::ParallelSource;
pub use engine::op::{IntoFailure, Retries};
pub use engine::outside::input::{InputOptions, Overflow, SendError, Sender, Undone};
pub use engine::outside::live::{IntoLive, Live, Pull};
pub use engine::outside::output::{Receiver, RecvError};
#[cfg(feature = "futures")]
pub use engine::outside::tasks::{InputSink, OutputStream};
pub use engine::pipe::Pipe;
pub use error::{
    BuildError, Closed, Defect, Error, MemoryError, MemoryErrorKind, PoolError, PoolErrorKind, RunError, RunErrorKind,
    TopologyError, TopologyErrorKind,
};
pub use graph::{
    Block, Graph, Keyed, OnStall, Part, Retry, Stream, Table, Tile, TileMut, TileRef, Tiles, Windowed, Windows, reads,
};
pub use operators::apply::Operator;
pub use operators::copied::Reference;
pub use operators::sum_by_key::ExactSum;
pub use plan::{
    AnyData, Blueprint, Data, Explain, Grouping, OperatorExplain, Place, Plan, Proof, RunControl, Running, SourceProof,
    Stalls, TaskGroup, Unproven,
};
pub use pool::{Idle, Indexed, Integer, Pinning, Placement, Pool, PoolBuilder, PoolHandle, Scope, WorkerPlace};
pub use report::{OperatorProgress, OperatorReport, Progress, Report, SectionReport, StageReport, WorkerReport};
pub use run::outside::wake::Wake;
pub use topology::{Core, CpuSet, L3Domain, NumaNode, Package, ParseCpuSetError, Topology};

/// How tasks access data: what [`Data::read`], [`write`](Data::write), [`consume`](Data::consume) and [`reads`] give.
///
/// These types need not be named, but for a function that takes or returns an access.
///
/// ```
/// use millstream::{Graph, Pool, access};
///
/// fn add<'env>(g: &Graph<'env>, (from, to): (access::Read<u32>, access::Write<u32>)) {
///     g.task((from, to), |(from, to)| *to += *from);
/// }
///
/// let (pool, g) = (Pool::new()?, Graph::new());
/// let (one, two) = (g.data(1), g.data(2));
/// add(&g, (one.read(), two.write()));
/// assert_eq!(pool.run(g)?.take(two), 3);
/// # Ok::<(), millstream::Error>(())
/// ```
pub mod access {
    pub use crate::graph::{
        Access, AccessAt, Consume, Many, Read, ReadPart, ReadTile, Reads, Values, Write, WritePart, WriteTile,
    };
}

/// The iterators of a [`Table`].
pub mod table {
    pub use crate::graph::{IntoIter, Iter};
}

/// Memory of this process and the NUMA nodes it is on.
pub mod memory {
    pub use crate::topology::memory::{NodeMemory, Plain, move_to, node_of};
}

/// Parallel iterators over slices, vectors and ranges, done by a [`Pool`]; with the feature `iterators`.
///
/// They are those of the crate [`paralight`], which leaves it to a pool who does what: `.with_thread_pool(&pool)` says
/// which. Its traits are here, so that a program need not name that crate, nor its version.
///
/// The items are cut into leaves as [`Pool::for_each`] says, by their number alone, and what comes out of the leaves is
/// put together in their order: on any number of workers the answer is the same, bit for bit, sums of floats included.
/// Only what the crate itself leaves open stays so: which item `find_any` finds, which error `try_for_each` gives. What
/// it calls per thread is here per leaf: `fold_per_thread`, `map_init` and `collect_per_thread` begin about 1000 times.
///
/// While it waits the calling thread does items of this iterator and nothing else, if need be all of them: so it works
/// from any thread, also inside operators, joins and other iterators, and while all workers are busy. Without a
/// [`Pool`] at hand, [`PoolHandle::with`] has one. Allocates one vector, of a place for each leaf.
///
/// # Panics
/// If a call panics, with the payload of the first one in the order of items. Items that were not come to are dropped,
/// and so is what was made. If the drop of an item that was not come to panics, after a panic or an early end, the
/// process is aborted.
///
/// ```
/// use millstream::Pool;
/// use millstream::iterators::prelude::*;
///
/// let pool = Pool::new()?;
/// let words = ["a", "quick", "brown", "fox"];
/// let letters = words.par_iter().map(|word| word.len()).with_thread_pool(&pool).sum::<usize>();
/// assert_eq!(letters, 14);
/// let squares: Vec<usize> = (0..1000_usize).into_par_iter().map(|i| i * i).with_thread_pool(&pool).collect();
/// assert_eq!(squares[99], 9801);
/// let first = words.par_iter().with_thread_pool(&pool).find_first(|word| word.len() == 5);
/// assert_eq!(first, Some(&"quick"));
/// # Ok::<(), millstream::Error>(())
/// ```
#[cfg(feature = "iterators")]
pub mod iterators {
    pub use paralight::{iter, prelude};
}
