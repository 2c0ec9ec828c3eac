//! Sources and sinks that meet threads and tasks outside the pool, while a run goes on ([`crate::run::outside`]).
//!
//! | what | where |
//! |---|---|
//! | a source of the user's own that may have nothing now | [`live`] |
//! | the receivers of channels as such a source; a thread that waits where nobody wakes it | [`channels`], [`waited`] |
//! | a source that is sent items | [`input`] |
//! | the sink that hands items out; its receiver | [`outlet`], [`output`] |
//! | items that become futures, polled when they are woken | [`futures`] |
//! | both with the traits of the crate futures (a feature) | `tasks` |
//! | the sink that sends items to an input of another graph | [`relay`] |

mod channels;
pub(crate) mod futures;
pub(crate) mod input;
pub(crate) mod live;
pub(crate) mod outlet;
pub(crate) mod output;
pub(crate) mod relay;
#[cfg(feature = "futures")]
pub(crate) mod tasks;
mod waited;
