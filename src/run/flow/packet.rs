//! What goes from stage to stage: the items of a piece, with its ticket.
//!
//! A packet travels by its pointer, as the payload of the job that lets the receiving stage work on it: who has the job has
//! the packet. On its way nobody knows the type of its items ([`RawPacket`]); the stages at both ends of an edge do.

use super::order::{Origin, Ticket};
use crate::run::cancel::Carried;

/// A piece on its way between two stages.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Packet<T> {
    /// First: it is read on the way, too.
    pub(crate) ticket: Ticket,
    pub(crate) items: Vec<T>,
    /// What came in the place of further items.
    pub(crate) failure: Option<Carried>,
}

impl<T> Packet<T> {
    /// Forgets the type of its items.
    pub(crate) fn into_raw(self: Box<Self>) -> RawPacket {
        RawPacket(Box::into_raw(self).expose_provenance() as u64)
    }
}

/// A packet without the type of its items. It owns the packet: who drops it without opening it loses the items.
#[derive(Debug)]
pub(crate) struct RawPacket(u64);

impl RawPacket {
    /// The packet as the payload of a job.
    pub(crate) fn into_word(self) -> u64 {
        self.0
    }

    /// The packet of a job's payload.
    ///
    /// # Safety
    /// (1) The word was made by [`into_word`](Self::into_word). (2) While this packet is there nobody else uses the word.
    #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
    pub(crate) unsafe fn from_word(word: u64) -> Self {
        Self(word)
    }

    fn pointer<T>(&self) -> *mut T {
        std::ptr::with_exposed_provenance_mut(usize::try_from(self.0).expect("made from a pointer"))
    }

    fn ticket_mut(&mut self) -> &mut Ticket {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) the packet is this one's; (2) its ticket is its first field, whatever the items are.
        unsafe {
            &mut *self.pointer()
        }
    }

    pub(crate) fn ticket(&self) -> Ticket {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: as in `ticket_mut`.
        unsafe {
            *self.pointer()
        }
    }

    /// Takes away where it comes from: what is kept on purpose holds no credit.
    pub(crate) fn take_origin(&mut self) -> Origin {
        std::mem::replace(&mut self.ticket_mut().origin, Origin::NONE)
    }

    /// Looks into it.
    ///
    /// # Safety
    /// (1) Its items are of this type.
    #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
    pub(crate) unsafe fn peek<T>(&mut self) -> &mut Packet<T> {
        // SAFETY: (1); the packet is this one's.
        unsafe { &mut *self.pointer() }
    }

    /// The packet with its type.
    ///
    /// # Safety
    /// (1) Its items are of this type.
    #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
    pub(crate) unsafe fn open<T>(self) -> Box<Packet<T>> {
        // SAFETY: (1); the packet was this one's, and was a box.
        unsafe { Box::from_raw(self.pointer()) }
    }
}
