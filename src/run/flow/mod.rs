//! How batches flow through the stages of a run.
//!
//! A source issues batches of items. A stage works on a batch and sends the result to the next stage as a packet, or
//! takes it in if the stage ends in a sink. The typed inside of a stage is in [`crate::engine`]; this folder holds what
//! is the same for all stages.
//!
//! | what | where |
//! |---|---|
//! | how large the batches of a source are | [`batch`] |
//! | the order of batches, and what travels with them | [`order`], [`packet`] |
//! | where items come from; how batches are issued, with credits and without | [`supply`], [`source`], [`turn`], [`leaves`] |
//! | what the run knows of a stage; what a stage may ask of the run | [`stage`], [`cx`] |
//! | how many items an operator makes of those that come | [`makes`] |
//! | what is counted while a batch is worked on, and when it is done | [`frame`], [`ledger`], [`islands`] |

pub(crate) mod batch;
pub(crate) mod cx;
pub(crate) mod frame;
pub(crate) mod islands;
pub(crate) mod leaves;
pub(crate) mod ledger;
pub(crate) mod makes;
pub(crate) mod order;
pub(crate) mod packet;
pub(crate) mod source;
pub(crate) mod stage;
pub(crate) mod supply;
pub(crate) mod turn;
