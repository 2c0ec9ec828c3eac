//! How a run meets threads and tasks outside the pool, while it goes on.
//!
//! | what | where |
//! |---|---|
//! | a run that was started: who may cancel it, and is told when it is over | [`control`] |
//! | a source that has nothing now is woken, and hears what has been done | [`wake`] |
//! | a job that lies outside until somebody queues it | [`errand`] |
//! | who waits outside: a thread, or a task of an executor | [`waiter`] |
//! | what happens at a given time: a deadline, the end of a pause | [`clock`] |
//! | calls that may block, on threads that come and go | [`side`] |
//!
//! # Invariants
//! * O1: for whatever may still bring work from outside there is a unit outside, beside the tokens of the run: a live
//!   source that has nothing, credits that a receiver has not taken, a future that is not done. So the run is not quiescent. A source that waits for
//!   credits of its own run has none, so a run that can go nowhere is seen to have stalled.
//! * O2: when a run fails or is cancelled, all of these give their units up (`Run::end_early`). So a run ends though
//!   nobody outside does anything.
//! * O3: nobody outside touches a run but by an errand, or under the lock of its control.

pub(crate) mod clock;
pub(crate) mod control;
pub(crate) mod errand;
pub(crate) mod side;
pub(crate) mod waiter;
pub(crate) mod wake;

pub(crate) use crate::sync::{has_named_calls, library_call, user_goes_on};
