//! Who may touch the jobs of a seat: its owner, in plain memory, and other threads now and then.

pub(crate) mod asymmetric;
pub(crate) mod claim;
pub(crate) mod marks;
pub(crate) mod ring;
pub(crate) mod shield;
pub(crate) mod steal_request;
