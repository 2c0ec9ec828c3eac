//! What a source's items come from, and the stage that works on them.
//!
//! A *pulled* source is an iterator: one worker at a time takes a batch out of it. A source *known by number* makes a batch
//! from its number alone, on any worker. It is *free*, which is to say that it needs no credits, if its stage ends in a
//! parallel sink: nothing of a batch is kept then.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::batch::BatchSize;
use super::leaves::Leaves;
use super::stage::{BatchStage, Capacity, NumbersStage, Stage};

/// A piece of memory that is only spoken of, never read.
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

/// What is in a batch that a source was asked for.
#[derive(Debug)]
pub(crate) enum Pull {
    /// Items, and perhaps more after them.
    Loaded(u64),
    /// Items, the last ones.
    Last(u64),
    /// The source has ended before.
    Nothing,
}

/// Items that are pulled out of an iterator. The stage's pipe finds those of a batch under the batch's place.
pub(crate) trait PulledItems: Send + Sync {
    /// Makes room for so many batches in flight; called once, while nothing runs.
    fn prepare(&self, places: usize);
    /// The first act of a run. If it fails, the first batch does. By the holder of the source's turn.
    fn begin(&self);
    /// Loads the next batch, of about `size` items, into `place`. By the holder of the source's turn.
    fn pull(&self, place: u32, size: usize) -> Pull;
    /// Whether it can run again; asked while nothing runs.
    fn is_ready(&self) -> bool;
    /// Drops what a failed run left, and says how many items; called while nothing runs.
    fn clear(&self) -> u64;
}

/// Items in batches that are known by number.
pub(crate) trait NumberedItems: Send + Sync {
    /// The first act of a run: cuts the items, and says how many batches there are. If it fails, the first batch does.
    fn begin(&self, size: BatchSize) -> u64;
    /// How many items adjacent batches have, as far as that is known.
    fn len_of(&self, numbers: &Range<u64>) -> u64;
    /// Drops the items of adjacent batches that nobody has asked for, and says how many.
    fn discard(&self, numbers: &Range<u64>) -> u64;
    /// The memory that they are read from, in order, as far as that is known; asked while nothing runs.
    fn memory(&self) -> Vec<MemoryRange>;
    /// Whether it can run again; asked while nothing runs.
    fn is_ready(&self) -> bool;
    /// Drops what a failed run left; called while nothing runs.
    fn clear(&self);
}

/// Where items come from, before it is known what is done with them.
pub(crate) enum Items<'env> {
    Pulled(Arc<dyn PulledItems + 'env>),
    Numbered(Arc<dyn NumberedItems + 'env>),
}

/// Items, and the stage that works on them; see the module.
pub(crate) enum Supply<'env> {
    Pulled { items: Arc<dyn PulledItems + 'env>, body: Box<dyn BatchStage + 'env> },
    Numbered { items: Arc<dyn NumberedItems + 'env>, body: Box<dyn BatchStage + 'env> },
    Free { items: Arc<dyn NumberedItems + 'env>, body: Box<dyn NumbersStage + 'env>, leaves: Leaves },
}

impl<'env> Supply<'env> {
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

    /// Makes room; called once.
    pub(super) fn prepare(&mut self, capacity: Capacity) {
        if let Self::Pulled { items, .. } = self {
            items.prepare(capacity.credits);
        }
        self.body_mut().prepare(capacity);
    }

    /// Makes the stage new for the next run.
    pub(in crate::run) fn reset(&mut self) {
        self.body_mut().reset();
    }

    /// Drops what a failed run left, and says how many items.
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
