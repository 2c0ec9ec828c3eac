//! Stage boundaries: where one stage sends its items to another, as packets.
//!
//! A packet carries the items of one piece and its ticket. It travels by pointer, as the payload of the job that lets the
//! receiving stage work on it; whoever has the job has the packet. What a batch grows beyond [`PART`] items goes on in parts
//! while the rest is still being made, so that others can begin with it.

use std::sync::Arc;

use super::fused::{Drive, Tail};
use super::pipe::{Feed, Head};
use crate::run::batch::PART;
use crate::run::cancel::Carried;
use crate::run::order::{MAX_PARTS, Origin, Ticket};
use crate::run::packet::Packet;
use crate::run::stage::{Cx, Parcel};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::unwind;

/// A stage boundary: where one stage sends packets to another. It keeps empty packets for use again.
#[derive(Debug)]
pub(crate) struct Edge<T> {
    #[expect(clippy::vec_box, reason = "a packet travels by its pointer")]
    spare: Mutex<Vec<Box<Packet<T>>>>,
    /// Room in the largest packet so far: a new one gets as much.
    largest: AtomicUsize,
}

/// Empty packets that an edge keeps at most: as many as a source has batches in flight unless the user says otherwise.
const SPARE: usize = 256;

impl<T> Edge<T> {
    pub(crate) fn new() -> Self {
        Self { spare: Mutex::new(Vec::with_capacity(SPARE)), largest: AtomicUsize::new(0) }
    }

    /// An empty packet.
    pub(crate) fn take(&self) -> Box<Packet<T>> {
        let spare = self.spare.lock().pop();
        spare.unwrap_or_else(|| {
            // Relaxed: a hint.
            let items = Vec::with_capacity(self.largest.load(Ordering::Relaxed));
            Box::new(Packet { ticket: Ticket::whole(0, Origin::NONE), items, failure: None })
        })
    }

    /// Takes a packet back; its items are dropped.
    pub(crate) fn give(&self, mut packet: Box<Packet<T>>) {
        packet.items.drain(..).for_each(unwind::drop_value);
        packet.failure = None;
        self.largest.fetch_max(packet.items.capacity(), Ordering::Relaxed);
        let mut spare = self.spare.lock();
        if spare.len() < SPARE {
            spare.push(packet);
        }
    }
}

/// A packet as the payload of a job.
pub(crate) fn into_raw<T>(packet: Box<Packet<T>>) -> u64 {
    Box::into_raw(packet).expose_provenance() as u64
}

/// The packet of a job's payload.
///
/// # Safety
/// (1) The payload was made by [`into_raw`] from a packet of this type. (2) It is used once.
#[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
pub(crate) unsafe fn from_raw<T>(load: u64) -> Box<Packet<T>> {
    // SAFETY: (1), (2).
    unsafe { Box::from_raw(pointer(load)) }
}

/// A packet that is on its way.
///
/// # Safety
/// (1) The payload was made by [`into_raw`] from a packet of this type. (2) The caller has it, while the reference lives.
#[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
pub(crate) unsafe fn packet_of<'a, T>(load: u64) -> &'a mut Packet<T> {
    // SAFETY: (1), (2).
    unsafe { &mut *pointer::<T>(load) }
}

fn pointer<T>(load: u64) -> *mut Packet<T> {
    std::ptr::with_exposed_provenance_mut(usize::try_from(load).expect("made from a pointer"))
}

/// The head of a stage that other stages send packets to.
pub(crate) struct Boundary<T> {
    edge: Arc<Edge<T>>,
}

impl<T> Boundary<T> {
    pub(crate) fn new(edge: Arc<Edge<T>>) -> Self {
        Self { edge }
    }

    /// Looks at a packet on its way to this stage.
    fn peek<R>(&self, load: u64, look: impl FnOnce(&mut Packet<T>) -> R) -> R {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) only tails with this edge send to this stage; (2) a piece is at one place at a time.
        look(unsafe { packet_of(load) })
    }

    fn packet(&self, load: u64) -> Box<Packet<T>> {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) only tails with this edge send to this stage; (2) a piece is driven or dropped once.
        unsafe {
            from_raw(load)
        }
    }
}

impl<T: Send> Head for Boundary<T> {
    fn ticket(&self, load: u64) -> Ticket {
        self.peek(load, |packet| packet.ticket)
    }
    fn spool(&self, load: u64) -> Origin {
        self.peek(load, |packet| std::mem::replace(&mut packet.ticket.origin, Origin::NONE))
    }
    fn len(&self, parcel: Parcel) -> u64 {
        self.peek(parcel.load, |packet| packet.items.len() as u64)
    }
    fn failure(&self, load: u64) -> Option<Carried> {
        self.peek(load, |packet| packet.failure.take())
    }
    fn discard(&self, parcel: Parcel) -> u64 {
        let packet = self.packet(parcel.load);
        let count = packet.items.len() as u64;
        self.edge.give(packet);
        count
    }
}

impl<T: Send> Feed for Boundary<T> {
    type Item = T;
    #[inline]
    fn each(&self, parcel: Parcel, out: &mut impl FnMut(T)) {
        let mut packet = self.packet(parcel.load);
        for item in unwind::Draining::new(&mut packet.items) {
            out(item);
        }
        self.edge.give(packet);
    }
}

/// A packet that is being filled, and the parts of it that were sent on.
pub(super) struct Filling<'a, T> {
    edge: &'a Edge<T>,
    packet: Option<Box<Packet<T>>>,
    output: usize,
    /// Parts sent on; a piece that is itself a part is not split again.
    sent: u32,
    splits: bool,
}

impl<'a, T> Filling<'a, T> {
    pub(super) fn new(edge: &'a Edge<T>, output: usize, ticket: &Ticket) -> Self {
        Self { edge, packet: Some(edge.take()), output, sent: 0, splits: ticket.is_whole() }
    }

    #[inline]
    pub(super) fn push(&mut self, cx: &Cx<'_>, ticket: &Ticket, item: T) {
        let items = &mut self.packet.as_mut().expect("there between calls").items;
        items.push(item);
        if items.len() >= PART && self.splits && self.sent < MAX_PARTS - 1 {
            self.send_part(cx, ticket);
        }
    }

    /// Sends what there is as a part, so that others can begin with it.
    #[cold]
    fn send_part(&mut self, cx: &Cx<'_>, ticket: &Ticket) {
        let mut packet = self.packet.replace(self.edge.take()).expect("there between calls");
        packet.ticket = Ticket { part: self.sent, last: false, ..*ticket };
        self.sent += 1;
        cx.share(ticket.origin);
        let part = packet.ticket;
        cx.send(self.output, &part, into_raw(packet), false);
    }

    /// Sends the rest, and what came in the place of further items.
    pub(super) fn finish(mut self, cx: &Cx<'_>, ticket: &Ticket, failure: Option<Carried>) {
        let mut packet = self.packet.take().expect("there between calls");
        packet.failure = failure;
        packet.ticket = if self.splits { Ticket { part: self.sent, last: true, ..*ticket } } else { *ticket };
        let rest = packet.ticket;
        cx.send(self.output, &rest, into_raw(packet), true);
    }
}

/// Sends all items to one stage.
pub(crate) struct Emit<T> {
    pub(crate) edge: Arc<Edge<T>>,
}

impl<T: Send> Tail<T> for Emit<T> {
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        let filling = Filling::new(&self.edge, 0, &ticket);
        let (filling, failure) = drive.drive(filling, |filling, item| filling.push(cx, &ticket, item));
        filling.finish(cx, &ticket, failure);
        cx.arrive();
    }
}
