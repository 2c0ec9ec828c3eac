//! A stage with its types: a pipe of fused operators, and the tail that takes what comes out.
//!
//! The run calls a [`Fused`] through the traits in [`crate::run::flow::stage`], from many workers at once, each with a
//! piece of its own. If the piece is still wanted, the tail gets it as a [`Drive`].

use super::drive::{Drive, Firing, FiringAll};
use super::pipe::{Parcel, Pipe};
use super::tail::{ParallelTail, Tail};
use crate::run::flow::cx::Cx;
use crate::run::flow::leaves::Numbers;
use crate::run::flow::order::{Origin, Ticket};
use crate::run::flow::packet::RawPacket;
use crate::run::flow::stage::{BatchStage, Capacity, Ended, NumbersStage, OwnJob, PacketStage, Stage};
use crate::sync::{Kind, user_call, watched_call};

/// A stage: a pipe and a tail.
pub(crate) struct Fused<P, K> {
    pub(crate) pipe: P,
    pub(crate) tail: K,
}

impl<P: Pipe, K: Tail<P::Out>> Fused<P, K> {
    /// Works on a piece, or drops it if it is no longer wanted.
    fn fire(&self, cx: &Cx<'_>, parcel: Parcel) {
        let ticket = parcel.ticket;
        let firing = Firing { cx, pipe: &self.pipe, parcel, calls: P::CALLS || K::CALLS };
        if cx.wants(&ticket) {
            if firing.calls {
                user_call(cx.call(Kind::Batch, &ticket), || cx.says("", &ticket));
            }
            self.tail.run(cx, ticket, firing);
        } else {
            firing.skip();
            cx.release(ticket.origin);
        }
    }
}

impl<P: Pipe, K: Tail<P::Out>> Stage for Fused<P, K> {
    fn own(&self, cx: &Cx<'_>, word: u64) {
        #[expect(unsafe_code, reason = "jobs carry words")]
        // SAFETY: (1) only the tail of this stage queues jobs for it; (2) a job runs once.
        let job = unsafe { K::Own::from_word(word) };
        if let Some(job) = job {
            self.tail.own(cx, job);
        }
    }
    fn end(&self, cx: &Cx<'_>) -> Ended {
        self.tail.end(cx)
    }
    fn prepare(&mut self, capacity: Capacity) {
        self.tail.prepare(capacity);
    }
    fn reset(&mut self) {
        self.tail.reset();
    }
    fn clear(&mut self) -> u64 {
        self.tail.clear()
    }
    fn end_early(&self) -> Option<u64> {
        self.tail.end_early().map(OwnJob::into_word)
    }
    fn close(&self) {
        self.tail.close();
    }
    fn waiting(&self) -> Option<String> {
        self.tail.waiting()
    }
    fn serial_counts(&self) -> Option<[u64; 3]> {
        self.tail.serial_counts()
    }
}

impl<P: Pipe, K: Tail<P::Out>> BatchStage for Fused<P, K> {
    fn batch(&self, cx: &Cx<'_>, ticket: Ticket, place: u32) {
        self.fire(cx, Parcel { ticket, load: u64::from(place) });
    }
}

impl<P: Pipe, K: ParallelTail<P::Out>> NumbersStage for Fused<P, K> {
    fn wants_few_leaves(&self) -> bool {
        K::FEW_LEAVES
    }
    fn batches(&self, cx: &Cx<'_>, numbers: &mut Numbers<'_>) {
        let ticket = Ticket::whole(numbers.number(), Origin::NONE);
        watched_call(cx.call(Kind::Batch, &ticket), || cx.says("", &ticket));
        self.tail.run_all(cx, FiringAll { cx, pipe: &self.pipe, numbers });
    }
}

impl<P: Pipe, K: Tail<P::Out>> PacketStage for Fused<P, K> {
    fn packet(&self, cx: &Cx<'_>, packet: RawPacket) {
        self.fire(cx, Parcel { ticket: packet.ticket(), load: packet.into_word() });
    }
    fn discard(&self, packet: RawPacket) -> u64 {
        self.pipe.head().discard(Parcel { ticket: packet.ticket(), load: packet.into_word() })
    }
}
