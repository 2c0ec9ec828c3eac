//! How many items are in flight at once, and how many bytes.
//!
//! A source has at most as many batches out as it has credits, and each item of a batch is in one place on each way
//! that leads on from where it came: before a stage, in a queue of one, or at its last operator, waiting for its turn.
//! So what an item may be at most, at once, adds up from the ends of a graph to its sources.
//!
//! A free source has no batches that wait anywhere.

use super::outline::{Outline, StageOutline};
use super::{Blame, Why};
use crate::plan::draft::Meets;
use crate::run::flow::makes::Makes;
use crate::run::flow::stage::TailKind;

/// What is in flight at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) items: u64,
    pub(super) bytes: u64,
}

impl Flight {
    fn add(self, other: Self) -> Self {
        Self { items: self.items.saturating_add(other.items), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn max(self, other: Self) -> Self {
        Self { items: self.items.max(other.items), bytes: self.bytes.max(other.bytes) }
    }

    fn times(self, count: u64) -> Self {
        Self { items: self.items.saturating_mul(count), bytes: self.bytes.saturating_mul(count) }
    }
}

/// What is in flight at most; or what may let any number of items be.
pub(super) fn flight(outline: &Outline) -> Result<Flight, Blame> {
    let stages = &outline.stages;
    if let Some(blame) = stages.iter().find_map(|stage| stage.unbounded(stages)) {
        return Err(blame);
    }
    // What becomes of an item that comes to each stage, at once.
    let mut becomes = vec![Flight::default(); stages.len()];
    let mut sum = Flight::default();
    for (index, stage) in stages.iter().enumerate().rev() {
        let here = Flight { items: 1, bytes: stage.item_bytes };
        let goes = stage.outputs.iter().map(|output| match &stages[*output].source {
            Some(_) => Flight::default(), // what comes out of iterators has credits of its own
            None => becomes[*output],
        });
        let behind = goes.fold(Flight::default(), |all, one| match stage.splits {
            Makes::One => all.add(one),
            _ => all.max(one),
        });
        becomes[index] = here.max(behind);
        sum = sum.add(behind.times(stage.at_end.unwrap_or(0)));
        if let Some(source) = stage.source.as_ref().filter(|source| !source.is_free) {
            let batches = source.batches.unwrap_or(u64::MAX).min(source.credits.into());
            sum = sum.add(becomes[index].times(batches.saturating_mul(source.most)));
        }
    }
    Ok(sum)
}

impl StageOutline {
    /// What lets any number of items of this stage be in flight.
    fn unbounded(&self, stages: &[Self]) -> Option<Blame> {
        let blame = |by, why| Some(Blame { at: None, by, why });
        let waits = !self.outputs.is_empty() || self.tail != TailKind::Parallel;
        if let Some(source) = self.source.as_ref().filter(|source| !source.is_free)
            && source.most == u64::MAX
        {
            return blame(self.first, Why::Any);
        }
        if self.spooled && self.source.is_none() {
            return blame(self.first, Why::Spooled);
        }
        if let Some((op, _)) = self.makes.iter().find(|(_, makes)| *makes == Makes::Any && waits) {
            return blame(*op, Why::Any);
        }
        if self.at_end.is_none() && !self.outputs.is_empty() {
            return blame(self.last, Why::AtEnd);
        }
        if let Some((_, Meets::AsTheyAre)) = self.meets {
            return blame(stages[self.outputs[0]].first, Why::Uncredited);
        }
        None
    }
}
