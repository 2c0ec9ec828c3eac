//! Sources: where the items of a stream come from.
//!
//! Each file has one or two methods of [`Graph`](crate::Graph). Beside them stands the type that has the items. It
//! implements [`MakeIter`](crate::engine::heads::pulled::MakeIter) if items are pulled out of an iterator,
//! [`Supplier`](crate::engine::heads::pulled::Supplier) if there may be nothing now, and
//! [`ByNumber`](crate::engine::heads::numbered::ByNumber) if any worker can make a batch from its number. Each method has a row
//! in the table of tests (`src/check/tests/programs/table/`).

mod input;
mod items;
mod iterator;
mod live;
mod parallel;
mod range;
mod slice;
mod split;
mod vec;

#[cfg(all(test, not(any(loom, coherence))))]
mod tests;
