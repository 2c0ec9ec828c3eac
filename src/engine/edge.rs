//! Edges: how one stage sends its items to another, in packets.
//!
//! The tail of the sending stage fills packets ([`SendOn`], [`super::fork`], [`super::serial`]); the head of the
//! receiving stage empties them ([`Boundary`]). Both share an [`Edge`], which keeps empty packets for use again.
//!
//! A batch that grows to [`PART`] items goes on in parts while the rest is still being made, so that other workers can
//! begin with the first ones.

use std::convert::Infallible;
use std::sync::Arc;

use super::drive::Drive;
use super::pipe::{Feed, Head, Parcel};
use super::tail::Tail;
use crate::run::cancel::Carried;
use crate::run::flow::batch::PART;
use crate::run::flow::cx::Cx;
use crate::run::flow::order::{MAX_PARTS, Origin, Ticket};
use crate::run::flow::packet::{Packet, RawPacket};
use crate::run::flow::stage::TailKind;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, unwatched};
use crate::unwind;

/// An edge between two stages: a store of empty packets.
#[derive(Debug)]
pub(crate) struct Edge<T> {
    #[expect(clippy::vec_box, reason = "a packet travels by its pointer")]
    spare: Mutex<Vec<Box<Packet<T>>>>,
    /// The capacity of the largest packet so far. A new packet gets as much.
    largest: AtomicUsize,
}

/// The largest number of empty packets that an edge keeps: the default number of credits.
const SPARE: usize = 256;

impl<T> Edge<T> {
    pub(crate) fn new() -> Self {
        // One empty packet is as good as another.
        unwatched(|| Self { spare: Mutex::new(Vec::with_capacity(SPARE)), largest: AtomicUsize::new(0) })
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

    /// Takes a packet back, drops its items, and returns how many there were.
    pub(crate) fn discard(&self, packet: Box<Packet<T>>) -> u64 {
        let count = packet.items.len() as u64;
        self.give(packet);
        count
    }

    /// Takes a packet back, and drops its items.
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

/// The head of a stage that reads the packets of an edge.
pub(crate) struct Boundary<T> {
    edge: Arc<Edge<T>>,
}

impl<T> Boundary<T> {
    pub(crate) fn new(edge: Arc<Edge<T>>) -> Self {
        Self { edge }
    }

    fn open(&self, parcel: Parcel) -> Box<Packet<T>> {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) a stage with this head reads packets; (2) it drives or drops each one once.
        let packet = unsafe { RawPacket::from_word(parcel.load) };
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) only tails with this edge send to this stage.
        unsafe {
            packet.open()
        }
    }
}

impl<T: Send> Head for Boundary<T> {
    fn holds(&self, parcel: Parcel) -> (u64, Option<Carried>) {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) a stage with this head reads packets; (2) the piece is driven afterwards.
        let mut packet = unsafe { RawPacket::from_word(parcel.load) };
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) only tails with this edge send to this stage.
        let packet = unsafe { packet.peek::<T>() };
        (packet.items.len() as u64, packet.failure.take())
    }
    fn discard(&self, parcel: Parcel) -> u64 {
        self.edge.discard(self.open(parcel))
    }
}

impl<T: Send> Feed for Boundary<T> {
    type Item = T;
    const CALLS: bool = false;
    #[inline(always)]
    fn each(&self, parcel: Parcel, out: &mut impl FnMut(T)) {
        let mut packet = self.open(parcel);
        for item in unwind::Draining::new(&mut packet.items) {
            out(item);
        }
        self.edge.give(packet);
    }
}

/// A packet that is being filled with a piece, and how many parts of the piece were sent on already.
pub(super) struct Filling<'a, T> {
    edge: &'a Edge<T>,
    packet: Option<Box<Packet<T>>>,
    output: usize,
    /// How many parts were sent on.
    sent: u32,
    /// Whether the piece may go on in parts. A piece that is itself a part is not split again.
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

    /// Sends on the items so far as a part, so that other workers can begin with it.
    #[cold]
    fn send_part(&mut self, cx: &Cx<'_>, ticket: &Ticket) {
        let mut packet = self.packet.replace(self.edge.take()).expect("there between calls");
        packet.ticket = Ticket { part: self.sent, last: false, ..*ticket };
        self.sent += 1;
        cx.share(ticket.origin);
        cx.expect_part(self.output);
        cx.send(self.output, packet, false);
    }

    /// Sends on the rest of the piece, and the failure that came in place of further items.
    pub(super) fn finish(mut self, cx: &Cx<'_>, ticket: &Ticket, failure: Option<Carried>) {
        let mut packet = self.packet.take().expect("there between calls");
        packet.failure = failure;
        packet.ticket = if self.splits { Ticket { part: self.sent, last: true, ..*ticket } } else { *ticket };
        cx.send(self.output, packet, true);
    }
}

/// The tail that sends all items over one edge.
pub(crate) struct SendOn<T> {
    pub(crate) edge: Arc<Edge<T>>,
}

impl<T: Send> Tail<T> for SendOn<T> {
    const CALLS: bool = false;
    const KIND: TailKind = TailKind::Sends;
    type Own = Infallible;
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        let filling = Filling::new(&self.edge, 0, &ticket);
        let (filling, failure) = drive.drive(filling, |filling, item| filling.push(cx, &ticket, item));
        filling.finish(cx, &ticket, failure);
        cx.arrive();
    }
    fn own(&self, _: &Cx<'_>, job: Infallible) {
        match job {}
    }
}
