//! Operators: what is done with the items of a stream.
//!
//! Each file has one method of [`Stream`](crate::Stream) or [`Keyed`](crate::Keyed), or a few that belong together.
//! Beside the method stands the type that does the work. The engine knows that type by a trait:
//! * an operator that fuses implements [`FusedOp`](crate::engine::op::FusedOp);
//! * an operator that takes one item at a time implements [`SerialOp`](crate::engine::serial::SerialOp);
//! * a sink that works on all workers at once often implements [`Reduction`](crate::engine::reduce::Reduction);
//! * an operator with several inputs implements [`Shape`](crate::engine::inlet::Shape) for each of them.
//!
//! Each method has a row in the table of tests (`src/check/tests/programs/table/`), which says what the method means
//! for an iterator.

mod aggregate;
pub(crate) mod apply;
mod chain;
mod chunks;
mod collect;
pub(crate) mod copied;
mod count;
mod count_by_key;
mod distinct;
mod enumerate;
mod expand;
mod extremes_by_key;
mod filter;
mod filter_map;
mod find;
mod flat_map;
mod fold;
mod fold_by_key;
mod for_each;
mod for_each_ordered;
mod inspect;
mod join_by_key;
mod key_by;
mod lanes;
mod local_tables;
mod map;
mod map_async;
mod map_batch;
mod map_blocking;
mod map_values;
mod map_with;
mod merge;
mod merge_by_key;
mod output;
mod partition;
mod reduce;
mod route;
mod scan;
mod scan_by_key;
mod send_to;
mod skip;
mod sorted_by_key;
mod sum;
pub(crate) mod sum_by_key;
mod take;
mod take_while;
mod tee;
mod top_k;
mod try_for_each;
mod try_map;
mod try_map_ref;
mod try_partition;
mod window;
mod windows;
mod zip;
