//! Heads of pipes that are sources: where the items of a batch come from.
//!
//! | what | where |
//! |---|---|
//! | one worker at a time takes a batch out of a supplier: an iterator, or something live | [`pulled`] |
//! | any worker makes a batch from its number | [`numbered`] |
//! | what comes out of iterators that a stage of the same run brings | [`unfold`] |

pub(crate) mod numbered;
pub(crate) mod pulled;
pub(crate) mod unfold;
