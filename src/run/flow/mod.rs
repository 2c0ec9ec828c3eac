//! How batches flow through the stages of a run.
//!
//! | what | where |
//! |---|---|
//! | how a source is cut into batches | [`batch`] |
//! | their order, and what travels with them | [`order`], [`packet`] |
//! | where items come from; how batches are issued, with credits and without | [`supply`], [`source`], [`leaves`] |
//! | what a stage is to the run; what the run is to a stage | [`stage`], [`cx`] |
//! | what is counted while a batch is worked on, and when it is done | [`frame`], [`ledger`] |

pub(crate) mod batch;
pub(crate) mod cx;
pub(crate) mod frame;
pub(crate) mod leaves;
pub(crate) mod ledger;
pub(crate) mod order;
pub(crate) mod packet;
pub(crate) mod source;
pub(crate) mod stage;
pub(crate) mod supply;
