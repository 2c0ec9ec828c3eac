//! The typed inside of a stage: a pipe of fused operators, and the tail that takes what comes out of it.
//!
//! [`crate::graph`] builds stages out of the types in this folder; the run ([`crate::run::flow::stage`]) calls them
//! through traits that do not name types of items. The engine names no operator: an operator implements one of its
//! traits. Operators know nothing of each other.
//!
//! Everything here may rely on three promises of the run. A piece is handed to one thread at a time. A stage's `end`
//! comes after all of its pieces. `prepare`, `reset` and `clear` are called while nothing runs.
//!
//! # The way of an item
//! `g.range(0..n).map(f).filter(p).fold(0, add)` is one stage. Its source issues a batch; a worker runs the job:
//! ```text
//!   run::flow::stage     the job names a stage, and places of its source
//!      │ Cx::fire
//!   run::flow::source    keeps one batch, and queues the rest
//!      │ BatchStage::batch
//!   fused::Fused         is the batch still wanted?
//!      │ Tail::run(drive)
//!   serial::Serial       is it this batch's turn?  no: collect its items in a packet, and leave that behind
//!      │ Drive::drive      yes:
//!   drive::Firing        opens a frame: counts, clock, the operator that fails
//!      │ Pipe::drive
//!   op::Op (filter)  ──► op::Op (map)  ──► pipe::Root  ──► heads::Numbered      each asks the one before it
//!                                                              │ a loop over the items of the batch
//!   f(item)  ◄─────────────────────────────────────────────────┘
//!      │ out(..)
//!   p(&item)
//!      │ out(..)
//!   add(sum, item)       the state is the operator's own: nothing was stored in between
//!      │ the loop has ended
//!   serial::Serial       puts the state back, ends the turn, wakes the next batch; at the end of the stream the result
//! ```
//! The tail drives the pipe. The calls go down to the source, and the items come up again, inside one function after
//! inlining. So the tail can check whether it may begin before any item is made, and an ordered sink needs no buffer
//! for the batch whose turn it is. If the next operator is in a stage of its own, the tail fills a packet ([`edge`]),
//! and a job of that stage goes on with it.
//!
//! # Files
//! | what | file |
//! |---|---|
//! | where items come from | [`heads`]; packets in [`edge`] |
//! | what is done with them on the way | [`pipe`], [`op`], [`boxed`] |
//! | the stage | [`fused`] |
//! | where they go | [`tail`]: [`serial`], [`reduce`], [`edge`] to one stage, [`fork`] to two |
//! | what drives them there | [`drive`] |
//! | stages that take whole packets | [`inlet`]; one at a time, in order, [`line`] |
//! | sources and sinks that meet threads outside | [`outside`] |

pub(crate) mod boxed;
pub(crate) mod drive;
pub(crate) mod edge;
pub(crate) mod fork;
pub(crate) mod fused;
pub(crate) mod heads;
pub(crate) mod inlet;
pub(crate) mod line;
pub(crate) mod op;
pub(crate) mod outside;
pub(crate) mod pipe;
pub(crate) mod reduce;
pub(crate) mod serial;
pub(crate) mod tail;
