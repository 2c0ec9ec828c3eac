//! Sources and sinks that meet threads and tasks outside the pool, while a run goes on ([`crate::run::outside`]).
//!
//! | what | where |
//! |---|---|
//! | a source of the user's own that may have nothing now | [`live`] |
//! | a source that is sent items | [`input`] |
//! | the sink that hands items out; its receiver | [`outlet`], [`output`] |
//! | items that become futures, polled when they are woken | [`futures`] |

pub(crate) mod futures;
pub(crate) mod input;
pub(crate) mod live;
pub(crate) mod outlet;
pub(crate) mod output;
