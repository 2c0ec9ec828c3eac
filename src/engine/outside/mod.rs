//! Sources and sinks that meet threads and tasks outside the pool, while a run goes on ([`crate::run::outside`]).
//!
//! | what | where |
//! |---|---|
//! | a source of the user's own that may have nothing now | [`live`] |
//! | a source that is sent items | [`input`] |
//! | the sink that hands items out; its receiver | [`outlet`], [`output`] |
//! | the sink that sends items to an input of another graph | [`relay`] |
//! | what both sinks have in common | [`line`] |

pub(crate) mod input;
pub(crate) mod line;
pub(crate) mod live;
pub(crate) mod outlet;
pub(crate) mod output;
pub(crate) mod relay;
