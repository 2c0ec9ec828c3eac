//! What goes from stage to stage: the items of a piece, with its ticket.

use super::cancel::Carried;
use super::order::Ticket;

/// A piece on its way between two stages.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Packet<T> {
    pub(crate) ticket: Ticket,
    pub(crate) items: Vec<T>,
    /// What came in the place of further items.
    pub(crate) failure: Option<Carried>,
}
