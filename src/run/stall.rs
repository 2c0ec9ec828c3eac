//! A run that can go nowhere says who waits for what.
//!
//! A run stalls when no job of it is left, some stage has not ended, and nothing has failed: then every source that has
//! items left sleeps for lack of credits, and the credits are held by pieces that wait for others: in a sequencer, in the
//! queue of a `zip`, before a gate. Nothing in a graph can change that any more, so it is an error, and it is the same in
//! every schedule.

use super::Run;
use crate::sync::atomic::Ordering;

impl Run<'_> {
    /// Whether a run that is quiescent, and has not failed, has stalled.
    pub(super) fn is_stalled(&self) -> bool {
        !self.is_cancelled() && self.open_stages.load(Ordering::Relaxed) > 0
    }

    /// Who waits for what, in words.
    pub(super) fn explain_stall(&self) -> String {
        let mut lines = Vec::new();
        for source in &self.sources {
            let (credits, issued, ended) = source.progress();
            if !ended && issued > 0 {
                let name = self.head_name(source.stage);
                lines.push(format!("source '{name}' has used up its {credits} credits after {issued} batches"));
            }
        }
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
        lines.push("give the source more credits, or mark the edge that is to be held as spooled()".to_owned());
        lines.join("; ")
    }

    /// What a stage's first operator is called.
    pub(super) fn head_name(&self, stage: usize) -> String {
        self.stages[stage].ops.first().map_or_else(String::new, |(op, _)| self.names.get(*op))
    }
}
