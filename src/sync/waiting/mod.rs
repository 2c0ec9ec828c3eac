//! Threads that sleep, and how they are woken: one thread for another, or for a flag, or for any job that may come.

pub(crate) mod event_count;
#[cfg(not(all(test, loom)))]
pub(super) mod futex;
pub(crate) mod latch;
pub(crate) mod notice;
pub(crate) mod parker;
