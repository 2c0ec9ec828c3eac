//! Packets: the items of a piece on their way from one stage to another, with their ticket.
//!
//! A packet travels by its pointer, as the payload of the job that lets the receiving stage work on it. The thread that
//! runs the job owns the packet. On the way the type of the items is not known ([`RawPacket`]); only the stages at both
//! ends of an edge know it.

use super::order::{Origin, Ticket};
use crate::run::cancel::Carried;

/// A piece on its way between two stages.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Packet<T> {
    /// The first field, so that it can be read without knowing `T`.
    pub(crate) ticket: Ticket,
    pub(crate) items: Vec<T>,
    /// A failure that came in place of further items.
    pub(crate) failure: Option<Carried>,
}

impl<T> Packet<T> {
    /// Forgets the type of the items.
    pub(crate) fn into_raw(self: Box<Self>) -> RawPacket {
        RawPacket(Box::into_raw(self).expose_provenance() as u64)
    }
}

/// A packet without the type of its items. It owns the packet. Dropping it without opening it leaks the packet.
#[derive(Debug)]
pub(crate) struct RawPacket(u64);

impl RawPacket {
    /// The packet as the payload of a job.
    pub(crate) fn into_word(self) -> u64 {
        self.0
    }

    /// The packet from the payload of a job.
    ///
    /// # Safety
    /// (1) The word was made by [`into_word`](Self::into_word). (2) While this packet lives, nothing else uses the
    /// word.
    #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
    pub(crate) unsafe fn from_word(word: u64) -> Self {
        Self(word)
    }

    fn pointer<T>(&self) -> *mut T {
        std::ptr::with_exposed_provenance_mut(usize::try_from(self.0).expect("made from a pointer"))
    }

    fn ticket_mut(&mut self) -> &mut Ticket {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) `self` owns the packet; (2) the ticket is its first field, whatever the type of the items.
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

    /// Takes the origin out: a packet that is kept on purpose holds no credit.
    pub(crate) fn take_origin(&mut self) -> Origin {
        std::mem::replace(&mut self.ticket_mut().origin, Origin::NONE)
    }

    /// Borrows the packet with its type.
    ///
    /// # Safety
    /// (1) Its items are of type `T`.
    #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
    pub(crate) unsafe fn peek<T>(&mut self) -> &mut Packet<T> {
        // SAFETY: (1); `self` owns the packet.
        unsafe { &mut *self.pointer() }
    }

    /// The packet with its type.
    ///
    /// # Safety
    /// (1) Its items are of type `T`.
    #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
    pub(crate) unsafe fn open<T>(self) -> Box<Packet<T>> {
        // SAFETY: (1); `self` owned the packet, which was made from a box.
        unsafe { Box::from_raw(self.pointer()) }
    }
}
