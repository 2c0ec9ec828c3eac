//! Sources: where items come from.
//!
//! Each file has a method of [`Graph`](crate::Graph), and what it needs beside [`crate::engine::pulled`] or
//! [`crate::engine::numbered`]. Each method has a row in the table of tests (`src/check/tests/programs/table/`).

mod items;
mod iterator;
mod range;
mod slice;
mod split;
mod vec;

#[cfg(all(test, not(loom)))]
mod tests;
