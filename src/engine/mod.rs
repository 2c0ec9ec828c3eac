//! What a stage is made of. The engine names no operator, and operators know nothing of each other.
//!
//! # The way of an item
//! `g.range(0..n).map(f).filter(p).fold(0, add)` is one stage. Its source issues a batch; a worker runs the job:
//! ```text
//!   run::source          the job names a batch of the source                      who may work on what, and when
//!      │ BatchStage::batch
//!   fused::Fused         is the batch still wanted?
//!      │ Tail::run(drive)
//!   serial::Serial       is it this batch's turn?  no: collect its items in a packet, and leave that behind
//!      │ Drive::drive      yes:
//!   fused::Firing        opens the books: counts, clock, who is to blame
//!      │ Pipe::drive
//!   op::Op (filter)  ──► op::Op (map)  ──► pipe::Root  ──► numbered::Numbered     each asks the one before it
//!                                                              │ a loop over the items of the batch
//!   f(item)  ◄─────────────────────────────────────────────────┘
//!      │ out(..)
//!   p(&item)
//!      │ out(..)
//!   add(sum, item)       the state is the operator's own: nothing was stored in between
//!      │ the loop has ended
//!   serial::Serial       puts the state back, ends the turn, wakes the next batch; at the end of the stream the result
//! ```
//! The calls go down to the source, and the items come up again, inside one function after inlining: the tail drives the
//! pipe. So the tail can look whether it may begin before any item is made, and an ordered sink needs no buffer for the
//! batch whose turn it is. Where the next operator is a stage of its own the tail fills a packet ([`edge`]), and the job for
//! that goes on with it.
//!
//! # Files
//! | what | file |
//! |---|---|
//! | where items come from | [`pulled`], [`numbered`]; packets in [`edge`] |
//! | what is done with them on the way | [`pipe`], [`op`], [`boxed`] |
//! | who drives them | [`fused`] |
//! | where they go | [`serial`], [`reduce`], [`edge`] to one stage, [`fork`] to two |
//! | who takes whole packets | [`inlet`] |

pub(crate) mod boxed;
pub(crate) mod edge;
pub(crate) mod fork;
pub(crate) mod fused;
pub(crate) mod inlet;
pub(crate) mod numbered;
pub(crate) mod op;
pub(crate) mod pipe;
pub(crate) mod pulled;
pub(crate) mod reduce;
pub(crate) mod serial;
