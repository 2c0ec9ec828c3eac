//! Inputs of shapes: stages that take whole packets, and do not drive their items one by one.
//!
//! A shape brings two streams together (`chain`, `zip`, `merge`, `merge_by_key`) or renumbers one (`unordered`). Each of
//! its inputs is a stage of its own, and the inputs of one shape share its state. What comes out of a shape is a new
//! sequence.
//!
//! An operator implements [`Shape`] for its inputs; [`Inlet`] makes a stage of each. The run calls an inlet from
//! several workers at once, with one packet each.

use std::sync::Arc;

use super::edge::Edge;
use crate::run::flow::cx::Cx;
use crate::run::flow::makes::Makes;
use crate::run::flow::order::Ticket;
use crate::run::flow::packet::{Packet, RawPacket};
use crate::run::flow::stage::{Capacity, Ended, OwnJob, PacketStage, Stage};

/// One input of a shape.
pub(crate) trait Shape: Send + Sync {
    /// What comes in.
    type Item: Send;
    /// What it queues for itself.
    type Own: OwnJob;
    /// How many items it hands on of those that come; what becomes of two streams that meet is another thing.
    const MAKES: Makes = Makes::One;
    /// Takes a packet, whether it is still wanted or not.
    fn take(&self, cx: &Cx<'_>, edge: &Edge<Self::Item>, packet: Box<Packet<Self::Item>>);
    /// Runs a job that it has queued for itself.
    fn own(&self, cx: &Cx<'_>, edge: &Edge<Self::Item>, job: Self::Own);
    /// Ends this input, after the last packet has gone through.
    fn end(&self, cx: &Cx<'_>) -> Ended;
    fn prepare(&mut self, _capacity: Capacity) {}
    fn reset(&mut self);
    /// Drops what a failed run left, and returns the number of items dropped.
    fn clear(&mut self, _edge: &Edge<Self::Item>) -> u64 {
        0
    }
    /// See [`Stage::end_early`]: the shape queues what it needs by itself.
    fn end_early(&self) {}
    /// See [`Stage::unwanted`].
    fn unwanted(&self) {}
    /// See [`Stage::is_full`].
    fn is_full(&self) -> bool {
        false
    }
    fn waiting(&self) -> Option<String> {
        None
    }
}

/// An input of a shape as a stage, with the edge over which its packets come.
pub(crate) struct Inlet<S: Shape> {
    edge: Arc<Edge<S::Item>>,
    shape: S,
}

impl<S: Shape> Inlet<S> {
    pub(crate) fn new(edge: Arc<Edge<S::Item>>, shape: S) -> Self {
        Self { edge, shape }
    }

    fn open(&self, packet: RawPacket) -> Box<Packet<S::Item>> {
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) only tails with this stage's edge send to it.
        unsafe {
            packet.open()
        }
    }
}

impl<S: Shape> Stage for Inlet<S> {
    fn own(&self, cx: &Cx<'_>, word: u64) {
        #[expect(unsafe_code, reason = "jobs carry words")]
        // SAFETY: (1) only the shape of this stage queues jobs for it; (2) a job runs once.
        let job = unsafe { S::Own::from_word(word) };
        if let Some(job) = job {
            self.shape.own(cx, &self.edge, job);
        }
    }
    fn end(&self, cx: &Cx<'_>) -> Ended {
        self.shape.end(cx)
    }
    fn prepare(&mut self, capacity: Capacity) {
        self.shape.prepare(capacity);
    }
    fn reset(&mut self) {
        self.shape.reset();
    }
    fn clear(&mut self) -> u64 {
        self.shape.clear(&self.edge)
    }
    fn end_early(&self) -> Option<u64> {
        self.shape.end_early();
        None
    }
    fn unwanted(&self) {
        self.shape.unwanted();
    }
    fn is_full(&self) -> bool {
        self.shape.is_full()
    }
    fn waiting(&self) -> Option<String> {
        self.shape.waiting()
    }
    fn serial_counts(&self) -> Option<[u64; 3]> {
        None
    }
}

impl<S: Shape> PacketStage for Inlet<S> {
    fn packet(&self, cx: &Cx<'_>, packet: RawPacket) {
        self.shape.take(cx, &self.edge, self.open(packet));
    }
    fn discard(&self, packet: RawPacket) -> u64 {
        self.edge.discard(self.open(packet))
    }
}

/// Drops a packet that is no longer wanted, counts its items as dropped, and gives its credit back.
pub(crate) fn drop_packet<T>(cx: &Cx<'_>, edge: &Edge<T>, packet: Box<Packet<T>>) {
    let Ticket { origin, .. } = packet.ticket;
    cx.drop_items(edge.discard(packet));
    cx.release(origin);
}
