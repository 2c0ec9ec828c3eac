//! An embeddable multicore dataflow runtime.

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

pub use error::*;
pub use graph::*;
pub use plan::*;
pub use pool::*;
pub use report::*;
pub use topology::*;
