//! An embeddable multicore dataflow runtime.

mod error;
mod pool;
mod report;
mod sync;
mod topology;
mod unwind;

pub use error::*;
pub use pool::*;
pub use report::*;
pub use topology::*;
