//! Blocks: tasks that are repeated in a run, or left out of it.
//!
//! A block has an entry and an exit, which are nodes that fire as groups do. The entry decides whether the block is gone into.
//! If so it finishes, and what waits for it in the block begins; if not, the exit finishes in its place. The exit becomes ready
//! when all that is in the block has finished. Then it decides whether the block is gone through once more: it finishes, or the
//! entry finishes again. Counts of predecessors start over by themselves when they come to an end, so a second time needs
//! nothing else.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::run::Run;
use crate::run::cancel::{Cause, Failure, Site};
use crate::sync::UnsafeCell;

/// A question about data that is there.
pub(crate) type Asks<'env> = Box<dyn FnMut() -> bool + Send + 'env>;

/// What a block is, and how far it is in this run.
pub(crate) struct Block<'env> {
    op: usize,
    /// How often it is gone through at most.
    times: u64,
    /// Whether it, or one around it, may be gone through more than once in a run.
    is_repeated: bool,
    state: UnsafeCell<State<'env>>,
}

struct State<'env> {
    /// How often it was gone through.
    done: u64,
    /// How often it was gone into in this run, or once more.
    begun: u64,
    enters: Option<Asks<'env>>,
    repeats: Option<Asks<'env>>,
}

#[expect(unsafe_code, reason = "one thread at a time decides")]
// SAFETY: (1) `state` is touched by the firing of the block's entry or exit alone; these come one after the other. (2) It is
// `Send`.
unsafe impl Sync for Block<'_> {}

impl<'env> Block<'env> {
    /// `enters` tells whether it is gone into, `repeats` whether it is gone through once more. None: that it is.
    pub(crate) fn new(
        op: usize,
        (times, is_repeated): (u64, bool),
        enters: Option<Asks<'env>>,
        repeats: Option<Asks<'env>>,
    ) -> Self {
        Self { op, times, is_repeated, state: UnsafeCell::new(State { done: 0, begun: 0, enters, repeats }) }
    }

    /// A run begins.
    pub(super) fn reset(&mut self) {
        self.state.get_mut().begun = 0;
    }

    /// Whether what is in the block may begin more than once in a run.
    pub(super) fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    /// How often what is in the block has begun in this run. Called when that is over.
    pub(super) fn times_begun(&self) -> u64 {
        #[expect(unsafe_code, reason = "nothing runs")]
        // SAFETY: (1) of `Sync`: neither entry nor exit fires any more.
        self.state.with_mut(|state| unsafe { (*state).begun })
    }

    /// Whether the block is gone into, or once more. Called when its entry or its exit fires, which has this rank.
    pub(super) fn goes_in(&self, is_entry: bool, rank: u32, run: &Run<'static>) -> bool {
        #[expect(unsafe_code, reason = "one thread at a time decides")]
        // SAFETY: (1) of `Sync`.
        self.state.with_mut(|state| unsafe { &mut *state }.asks(is_entry, self.times)).unwrap_or_else(|panic| {
            run.fail(Site::Task { rank }, Failure::new(self.op, None, Cause::Panic(panic)));
            false
        })
    }
}

impl State<'_> {
    fn asks(&mut self, is_entry: bool, times: u64) -> Result<bool, Box<dyn Any + Send>> {
        self.done = if is_entry { 0 } else { self.done + 1 };
        let asks = if is_entry { &mut self.enters } else { &mut self.repeats };
        if self.done >= times {
            return Ok(false);
        }
        let goes_in = asks.as_mut().map_or(Ok(true), |asks| catch_unwind(AssertUnwindSafe(asks)))?;
        self.begun += u64::from(goes_in);
        Ok(goes_in)
    }
}
