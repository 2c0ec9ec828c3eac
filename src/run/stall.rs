//! Detects a run that can make no more progress, and explains what waits for what.
//!
//! A run stalls when none of its jobs is left, some stage has not ended, and nothing has failed. Then every source that
//! has items left sleeps for lack of credits. Pieces that wait for other pieces hold those credits: in a sequencer, in
//! the queue of a `zip` or `merge_by_key`, or before a gate. No job is left that could change this, so the run reports
//! an error. Whether a run stalls does not depend on the schedule.
//!
//! # How many credits would do
//! Every batch that a credit is out for is held, and nothing but a further batch of some source can free it. So a run with
//! as many credits, or fewer, stalls too. If one source alone lacks credits, it needs one more at least. More than that
//! cannot be told: nobody has seen what the next batch brings. Nor does a source ever need more credits than it has
//! batches, if their number is known.

use super::Run;
use super::flow::turn::{Lack, Starved};
use crate::sync::atomic::Ordering;

impl Run<'_> {
    /// Whether the run has stalled. Asked only of a run that is quiescent and has not failed.
    pub(super) fn is_stalled(&self) -> bool {
        !self.is_cancelled() && self.open_stages.load(Ordering::Relaxed) > 0
    }

    /// Says in words what waits for what, and what the user can do about it.
    pub(super) fn explain_stall(&self) -> String {
        let starved = self.sources.iter().filter_map(|source| Some((self.head_name(source.stage), source.starved()?)));
        let starved: Vec<_> = starved.collect();
        let mut lines: Vec<_> = starved.iter().map(|(name, source)| source.explain(name)).collect();
        for stage in &self.stages {
            let name = self.head_name(stage.index);
            if let Some(gate) = &stage.gate
                && gate.holds() > 0
            {
                lines.push(format!("{} batches wait before '{name}' for the data it reads", gate.holds()));
            }
            if let Some(what) = self.body(stage.index).waiting() {
                lines.push(format!("'{name}': {what}"));
            }
        }
        lines.push(mend(&starved));
        lines.join("; ")
    }

    /// The name of a stage's first operator.
    pub(super) fn head_name(&self, stage: usize) -> String {
        self.stages[stage].ops.first().map_or_else(String::new, |(op, _)| self.names.get(*op))
    }
}

impl Starved {
    fn explain(&self, name: &str) -> String {
        let issued = self.issued;
        match self.lacks {
            Lack::Credits { has } => {
                let all = self.batches.map(|batches| format!(" of {batches}")).unwrap_or_default();
                format!("source '{name}' has used up its {has} credits, after {issued}{all} batches")
            }
            Lack::Bytes { limit, weight } => {
                format!(
                    "source '{name}' has used up its {limit} bytes, with {weight} in flight, after {issued} batches"
                )
            }
        }
    }
}

/// What the user can do about a stall of these sources.
fn mend(starved: &[(String, Starved)]) -> String {
    let spooled = "mark the stream that is to be held as `.spooled()`";
    let grows = "`.credits(n)`, or `.on_stall(OnStall::Grow { max })` which takes what it needs";
    match starved {
        [(name, Starved { batches, lacks: Lack::Credits { has }, .. })] => {
            let most = batches.map(|batches| format!(", and never more than {batches}")).unwrap_or_default();
            format!("'{name}' needs {} credits at least{most}: give them by {grows}, or {spooled}", has + 1)
        }
        [(name, Starved { lacks: Lack::Bytes { .. }, .. })] => {
            format!("give '{name}' more bytes by `.credits_bytes(n, weigh)`, or {spooled}")
        }
        _ => {
            let bytes = "bytes by `.credits_bytes(n, weigh)`";
            format!("one of these sources at least needs more: give credits by {grows}, {bytes}, or {spooled}")
        }
    }
}
