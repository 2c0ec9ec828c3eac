//! An embeddable multicore dataflow runtime.

mod sync;
