#![doc = include_str!("../README.md")]
//!
//! # Map
//! * [`Graph`] describes, [`Stream`] and [`Data`] are what it is made of, [`Keyed`] and [`Table`] what `key_by` leads to.
//! * [`Plan`] is a graph that was checked and laid out for a pool; it runs, and keeps the results. [`Explain`] says what it
//!   is, [`Report`] what it did. A [`Blueprint`] is the same for a machine that need not be here; it only explains itself.
//! * [`Place`] says on which NUMA node data, a task or a source is at home.
//! * [`Pool`] has the threads, joins, scopes and loops; [`Builder`] its options ([`Pinning`], [`Idle`]), [`Placement`] where they run; [`Handle`] is a
//!   pool to keep.
//! * [`Topology`] is the machine: [`Package`], [`NumaNode`], [`L3Domain`] and [`Core`], and sets of CPUs, [`CpuSet`].
//! * [`memory`] is about the memory of NUMA nodes: to have it, to find it, to move it.
//! * [`Error`] is one of [`TopologyError`], [`MemoryError`], [`PoolError`], [`BuildError`], [`RunError`] and [`Closed`].

#[cfg(all(test, not(loom)))]
mod check;
mod error;
mod graph;
mod plan;
mod pool;
mod report;
mod run;
mod sync;
mod topology;
mod unwind;

pub use error::{BuildError, Closed, Defect, Error, MemoryError, PoolError, RunError, RunErrorKind, TopologyError};
pub use graph::{Access, AccessAt, Boxed, Consume, Graph, Keyed, Pipe, Read, Stream, Table, Write};
pub use plan::{AnyData, Blueprint, Data, Explain, OperatorExplain, Place, Plan};
pub use pool::{Builder, Handle, Idle, Indexed, Integer, Pinning, Placement, Pool, Scope, WorkerPlace};
pub use report::{OperatorReport, Report, StageReport, WorkerReport};
pub use topology::{Core, CpuSet, L3Domain, NumaNode, Package, ParseCpuSetError, Topology};

/// The iterators of a [`Table`].
pub mod table {
    pub use crate::graph::{IntoIter, Iter};
}

/// Memory of this process and the NUMA nodes it is on.
pub mod memory {
    pub use crate::topology::memory::{NodeMemory, Plain, move_to, node_of};
}
