//! What the holder of a source's turn keeps: which batches are in flight, how many may be, and what they weigh.

use crate::run::outside::wake::Done;
use crate::sync::atomic::{AtomicU32, AtomicU64};
use crate::sync::reference_count::ReferenceCount;

/// One batch in flight.
#[derive(Debug, Default)]
pub(super) struct BatchInFlight {
    pub(super) number: AtomicU64,
    /// Which share of the usual size it has.
    pub(super) share: AtomicU32,
    /// How much its items weigh.
    pub(super) weight: AtomicU64,
    pub(super) live: ReferenceCount,
}

/// The state that only the holder of the turn touches.
#[derive(Debug, Default)]
pub(super) struct TurnState {
    pub(super) begun: bool,
    pub(super) ended: bool,
    /// The source had nothing when it was asked last.
    pub(super) pending: bool,
    /// How many batches there are, if that is known.
    pub(super) batches: Option<u64>,
    /// The number of the next batch.
    pub(super) next: u64,
    /// How many chains were issued.
    pub(super) chains: u64,
    /// How many places are out: their batches are in flight, or lie in the credit list.
    pub(super) out: u32,
    /// How many may be.
    pub(super) soft: u32,
    /// How much the items of those weigh, if they are weighed. Their number is limited, so the sum fits.
    pub(super) weight: u128,
    /// How many items were taken, and how many the iterator says that there are; for pulled sources only.
    pub(super) taken: u64,
    pub(super) said: u64,
    /// Whether the places beyond the soft limit were opened.
    pub(super) all_open: bool,
    /// The first of the free places that were taken out of the credit list; the others are linked behind it.
    pub(super) free: Option<u32>,
    /// What has been done of a live source's batches.
    pub(super) done: Done,
}

/// How much the batches of a source that are in flight may weigh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl Bytes {
    /// A batch ends when its items weigh this.
    ///
    /// So there are some 64 batches below the limit, for any pool: where batches end may depend on the stream alone.
    pub(super) fn quota(self) -> u64 {
        (self.0 / 64).max(1)
    }
}

/// A source that has items left, and may issue none of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Starved {
    /// How many batches it has issued.
    pub(crate) issued: u64,
    /// How many it has in all, if that is known.
    pub(crate) batches: Option<u64>,
    pub(crate) lacks: Lack,
}

/// What a source lacks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lack {
    /// All of its credits are in use.
    Credits { has: u32 },
    /// What is in flight weighs so much, and no more may.
    Bytes { limit: u64, weight: u128 },
}

impl TurnState {
    /// What holds the source up, if it has issued batches and has not ended. It has so many credits.
    pub(super) fn starved(&self, bytes: Option<Bytes>, credits: u32) -> Option<Starved> {
        let lacks = match bytes {
            Some(Bytes(limit)) if !self.has_room(bytes) => Lack::Bytes { limit, weight: self.weight },
            _ => Lack::Credits { has: credits },
        };
        let starves = self.next > 0 && !self.ended && !self.pending;
        starves.then_some(Starved { issued: self.next, batches: self.batches, lacks })
    }

    /// Whether the next batch may weigh its quota, or is the only one.
    pub(super) fn has_room(&self, bytes: Option<Bytes>) -> bool {
        self.out == 0 || bytes.is_none_or(|bytes| self.weight + u128::from(bytes.quota()) <= u128::from(bytes.0))
    }
}
