//! The three kinds of sources, and the traits by which a run asks for their items.
//!
//! * A *pulled* source is an iterator, or something that may have nothing now: a *live* source. One worker at a time
//!   takes a batch out of it.
//! * A *numbered* source makes a batch from its number alone, on any worker.
//! * A *free* source is a numbered one whose stage ends in a parallel sink. Nothing of a batch is kept then, so the
//!   source needs no credits.
//!
//! The engine implements [`PulledItems`] and [`NumberedItems`] ([`crate::engine::heads::pulled`],
//! [`crate::engine::heads::numbered`]); [`super::source`] calls them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::batch::{BatchSize, Share};
use super::leaves::FreeLeaves;
use super::order::Origin;
use super::stage::{BatchStage, Capacity, NumbersStage, Stage};
use crate::run::outside::wake::Wake;

/// Names a piece of memory, to ask the kernel where it lies. Nothing reads the memory through this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryRange {
    pub(crate) start: *const u8,
    pub(crate) bytes: usize,
}

impl MemoryRange {
    pub(crate) fn of<T: ?Sized>(value: &T) -> Self {
        Self { start: std::ptr::from_ref(value).cast(), bytes: size_of_val(value) }
    }
}

/// What a source answers when it is asked for its next batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// How many items the batch has. None: there is no batch.
    pub(crate) items: Option<u64>,
    /// How much they weigh, if they are weighed.
    pub(crate) weight: u64,
    pub(crate) then: Then,
}

/// What comes after a batch of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// More may follow.
    More,
    /// Nothing now, but the source is to be asked again after this batch, without being woken.
    Later,
    /// Nothing now. The source rings its bell when it should be asked again.
    Pending,
    /// Nothing more: the source has ended.
    Ended,
}

/// Items that are pulled out of an iterator. The stage's pipe finds the items of a batch in the batch's place.
pub(crate) trait PulledItems: Send + Sync {
    /// Makes room for so many batches in flight. Called once, while nothing runs.
    fn prepare(&self, capacity: Capacity);
    /// Begins a run, and returns how many items there are, if the iterator says that; 0 if not. If this fails, the first
    /// batch fails. Only the holder of the source's turn calls it.
    fn begin(&self) -> u64;
    /// Loads the next batch, of at most `size` items, into `place`. If items are weighed, it ends when they weigh `quota`.
    /// Only the holder of the source's turn calls it.
    fn pull(&self, place: u32, size: usize, quota: u64) -> Load;
    /// The largest batch by default, where the stage keeps nothing of its items.
    fn most_absorbed(&self) -> usize;
    /// What a live source needs besides, if it is one.
    fn live(&self) -> Option<&dyn LiveItems>;
    /// Whether the source can run again. Asked while nothing runs.
    fn is_ready(&self) -> bool;
    /// Drops what a failed run left, and returns the number of items dropped. Called while nothing runs.
    fn clear(&self) -> u64;
}

/// What the run asks of a source that may have nothing now, and tells it.
pub(crate) trait LiveItems: Send + Sync {
    /// Hands over what the source is to be woken with. Called once, while nothing runs.
    fn link(&self, wake: Wake);
    /// A run begins. Called while nothing runs.
    fn open(&self);
    /// The run is over: nothing more is taken. Called after the last job, perhaps while outside threads give items.
    fn close(&self);
    /// Whether [`done`](Self::done) is to be called soon. If not, it may come late, or never.
    fn hears(&self) -> bool;
    /// All that came of the first `items` items has been done. Only the holder of the source's turn calls it.
    fn done(&self, items: u64);
    /// Whether a stage of the same run feeds it.
    fn is_within(&self) -> bool;
    /// For such a source: the origins of the pieces that it has used up since it was asked last. If it has `stopped` it
    /// gives all up. Only the holder of the source's turn calls it.
    fn used(&self, stopped: bool) -> Vec<Origin>;
}

/// Items in batches that are known by number.
pub(crate) trait NumberedItems: Send + Sync {
    /// Begins a run: cuts the items into batches, and returns the number of batches. If this fails, the first batch
    /// fails.
    fn begin(&self, size: BatchSize) -> u64;
    /// How long the source is, and how long each batch but the last will be, if both are known before a run. No user code is called.
    fn cut(&self, size: BatchSize) -> Option<(u64, u64)>;
    /// Makes room for so many batches in flight, of a source that is not free. Called once, while nothing runs.
    fn prepare(&self, capacity: Capacity);
    /// Puts the next batch into `place`, of [`begin`](Self::begin)'s size at most, or `share` of that. Only the holder of
    /// the source's turn calls it.
    fn next(&self, place: u32, share: Share) -> Load;
    /// Whether the size of a batch is the number of its items.
    fn is_counted(&self) -> bool;
    /// The number of items in the adjacent batches `numbers`; 0 if that is not known.
    fn len_of(&self, numbers: &Range<u64>) -> u64;
    /// Drops the items of adjacent batches that no piece has asked for, and returns their number; 0 if that is not
    /// known.
    fn discard(&self, numbers: &Range<u64>) -> u64;
    /// The memory that the items are read from, in order; empty if that is not known. Asked while nothing runs.
    fn memory(&self) -> Vec<MemoryRange>;
    /// Whether the source can run again. Asked while nothing runs.
    fn is_ready(&self) -> bool;
    /// Drops what a failed run left. Called while nothing runs.
    fn clear(&self);
}

/// The items of a source, before the stage that works on them is known.
pub(crate) enum Items<'env> {
    Pulled(Arc<dyn PulledItems + 'env>),
    Numbered(Arc<dyn NumberedItems + 'env>),
}

/// The items of a source, and the stage that works on them; see the module documentation.
pub(crate) enum Supply<'env> {
    Pulled { items: Arc<dyn PulledItems + 'env>, body: Box<dyn BatchStage + 'env> },
    Numbered { items: Arc<dyn NumberedItems + 'env>, body: Box<dyn BatchStage + 'env> },
    Free { items: Arc<dyn NumberedItems + 'env>, body: Box<dyn NumbersStage + 'env>, leaves: FreeLeaves },
}

impl<'env> Supply<'env> {
    /// What a live source needs besides, if it is one.
    pub(super) fn live(&self) -> Option<&dyn LiveItems> {
        if let Self::Pulled { items, .. } = self { items.live() } else { None }
    }

    /// Whether batches need no credits.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self, Self::Free { .. })
    }

    pub(in crate::run) fn body(&self) -> &(dyn Stage + 'env) {
        match self {
            Self::Pulled { body, .. } | Self::Numbered { body, .. } => &**body,
            Self::Free { body, .. } => &**body,
        }
    }

    fn body_mut(&mut self) -> &mut (dyn Stage + 'env) {
        match self {
            Self::Pulled { body, .. } | Self::Numbered { body, .. } => &mut **body,
            Self::Free { body, .. } => &mut **body,
        }
    }

    /// Makes room for batches in flight. Called once, while nothing runs.
    pub(super) fn prepare(&mut self, capacity: Capacity) {
        match self {
            Self::Pulled { items, .. } => items.prepare(capacity),
            Self::Numbered { items, .. } => items.prepare(capacity),
            Self::Free { .. } => {}
        }
        self.body_mut().prepare(capacity);
    }

    /// Brings the stage back to its state before a run.
    pub(in crate::run) fn reset(&mut self) {
        self.body_mut().reset();
    }

    /// Drops what a failed run left, and returns the number of items dropped.
    pub(in crate::run) fn clear(&mut self) -> u64 {
        let left = match self {
            Self::Pulled { items, .. } => items.clear(),
            Self::Numbered { items, .. } | Self::Free { items, .. } => {
                items.clear();
                0
            }
        };
        left + self.body_mut().clear()
    }

    pub(in crate::run) fn is_ready(&self) -> bool {
        match self {
            Self::Pulled { items, .. } => items.is_ready(),
            Self::Numbered { items, .. } | Self::Free { items, .. } => items.is_ready(),
        }
    }
}

impl fmt::Debug for Supply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pulled { .. } => "Pulled",
            Self::Numbered { .. } => "Numbered",
            Self::Free { .. } => "Free",
        })
    }
}
