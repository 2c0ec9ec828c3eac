//! Tasks: closures over data that fire once in a run, and the order in which they may.
//!
//! A graph may have millions of tasks, each as short as a call in a loop. So a task is a *record*: its closure with the
//! addresses of the data that it accesses ([`record`]). The plan puts tasks together to *groups*, and the records of a
//! group side by side, in the order in which they fire. A group is one job. Counters, edges and queues know groups only
//! ([`dag`]; [`parts`] is what the plan makes it of). The worker that has a group calls one record after the other; meanwhile others may take the rest of it
//! ([`span`]).
//!
//! Each task has a *position*: its place in the order of all records. The tasks of a group have adjacent positions. Each
//! node has a *rank*: its place in program order, or, where [`after`](crate::Data::after) says otherwise, in an order
//! that keeps what that says. Of several tasks that fail, the one with the least rank counts.
//!
//! # Which tasks fire
//! A task fires unless one with a lower rank has failed before. A run that was cancelled lets none fire that has not
//! begun. In such a run groups go on as ever, and each skips the tasks that must not fire. So the tasks before the failed
//! one fire, whatever group they are in, and each task is known to have fired or to have been skipped.

pub(crate) mod block;
pub(crate) mod dag;
pub(crate) mod parts;
pub(crate) mod record;
mod span;
