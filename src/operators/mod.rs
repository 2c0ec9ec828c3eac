//! Operators: what is done with the items of a stream.
//!
//! Each file has a method of [`Stream`](crate::Stream) or [`Keyed`](crate::Keyed), or a few that belong together, with what
//! they mean as a type that the engine knows by a trait: an operator that fuses is a
//! [`FusedOp`](crate::engine::op::FusedOp), one that works on one item at a time a
//! [`SerialOp`](crate::engine::serial::SerialOp), a sink often a [`Reduction`](crate::engine::reduce::Reduction), an input of
//! several a [`Shape`](crate::engine::inlet::Shape). Each method has a row in the table of tests
//! (`src/check/tests/programs/table/`), which says what it means to an iterator.

mod aggregate;
mod chain;
mod collect;
mod count;
mod count_by_key;
mod enumerate;
mod filter;
mod filter_map;
mod flat_map;
mod fold;
mod for_each;
mod for_each_ordered;
mod inspect;
mod key_by;
mod map;
mod map_with;
mod merge;
mod partition;
mod reduce;
mod scan;
mod sum;
mod take_while;
mod tee;
mod try_map;
mod zip;
