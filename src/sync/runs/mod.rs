//! Which pieces of a run may go on, and which thread is the last.

pub(crate) mod countdown;
pub(crate) mod credit;
pub(crate) mod gate;
pub(crate) mod quiescence;
pub(crate) mod reference_count;
pub(crate) mod sequencer;
