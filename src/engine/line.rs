//! Pieces that leave a stream in its order, one at a time, as packets: what those sinks have in common that keep them for
//! somebody.

use crate::engine::drive::Drive;
use crate::engine::edge::Edge;
use crate::run::flow::cx::Cx;
use crate::run::flow::order::Ticket;
use crate::run::flow::packet::{Packet, RawPacket};
use crate::run::flow::stage::{Capacity, OwnJob};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::explores;
use crate::sync::sequencer::Sequencer;

/// A line of packets; see the module.
pub(crate) struct Line<T> {
    sequencer: Sequencer<Box<Packet<T>>>,
    pub(crate) edge: Edge<T>,
    /// How many items went on, and how many were dropped instead, in this run. Who has the turn counts.
    given: AtomicU64,
    dropped: AtomicU64,
}

impl<T> Line<T> {
    pub(crate) fn new() -> Self {
        let (given, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { sequencer: Sequencer::new(0), edge: Edge::new(), given, dropped }
    }

    /// Drives a piece into a packet, and returns it if it is its turn.
    pub(crate) fn enter(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) -> Option<Box<Packet<T>>> {
        let mut packet = self.edge.take();
        packet.ticket = ticket;
        (packet.items, packet.failure) = drive.drive(std::mem::take(&mut packet.items), Vec::push);
        let packet = self.sequencer.enter(ticket.turn(), packet)?;
        if explores() {
            cx.push_own(LineJob::Pass(packet.into_raw())); // a turn is a job of its own
            return None;
        }
        Some(packet)
    }

    /// The packet of a job [`LineJob::Pass`] that this line has queued.
    pub(crate) fn open(&self, packet: RawPacket) -> Box<Packet<T>> {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) it comes out of this line, which holds packets of `T`: a job of a stage comes to that stage alone.
        let packet: Box<Packet<T>> = unsafe { packet.open() };
        self.sequencer.join(packet.ticket.turn());
        packet
    }

    /// Counts items of the piece whose turn it is. The operators before the sink have counted them as handed on.
    pub(crate) fn count(&self, given: usize, dropped: u64) {
        self.given.fetch_add(given as u64, Ordering::Relaxed);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    /// How many items went on, and how many were dropped. Asked by who has the turn, or while nothing runs.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [&self.given, &self.dropped].map(|count| count.load(Ordering::Relaxed))
    }

    /// Ends the turn of a piece, and queues the next one if it waits already.
    pub(crate) fn leave(&self, cx: &Cx<'_>, ticket: &Ticket) {
        if let Some(next) = self.sequencer.leave(ticket.last) {
            cx.push_own(LineJob::Pass(next.into_raw()));
        }
    }

    pub(crate) fn prepare(&mut self, capacity: Capacity) {
        self.sequencer = Sequencer::new(capacity.pieces());
    }

    pub(crate) fn reset(&mut self) {
        self.sequencer.reset().for_each(drop);
        [&self.given, &self.dropped].into_iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// Drops what a failed run left.
    pub(crate) fn clear(&mut self) {
        let left = self.sequencer.reset().map(|packet| self.edge.discard(packet)).sum();
        self.count(0, left);
    }

    pub(crate) fn waiting(&self) -> Option<String> {
        let (pieces, next) = self.sequencer.waiting();
        (pieces > 0).then(|| format!("{pieces} batches wait for batch {} to come first", next.number))
    }
}

/// What such a sink queues for itself.
pub(crate) enum LineJob {
    /// A packet whose turn has come.
    Pass(RawPacket),
    /// The unit outside of a sink that has one has come in.
    CameIn,
}

#[expect(unsafe_code, reason = "jobs carry words")]
impl OwnJob for LineJob {
    fn into_word(self) -> u64 {
        match self {
            Self::Pass(packet) => packet.into_word(),
            Self::CameIn => 0,
        }
    }
    unsafe fn from_word(word: u64) -> Option<Self> {
        if word == 0 {
            return Some(Self::CameIn); // the address of a packet is not 0
        }
        // SAFETY: (1), (2).
        Some(Self::Pass(unsafe { RawPacket::from_word(word) }))
    }
}
