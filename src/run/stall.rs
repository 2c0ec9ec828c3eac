//! Detects a run that can make no more progress, and explains what waits for what.
//!
//! A run stalls when none of its jobs is left, some stage has not ended, and nothing has failed. Then every source that
//! has items left sleeps for lack of credits. Pieces that wait for other pieces hold those credits: in a sequencer, in
//! the queue of a `zip` or `merge_by_key`, or before a gate. No job is left that could change this, so the run reports
//! an error. Whether a run stalls does not depend on the schedule.

use super::Run;
use crate::sync::atomic::Ordering;

impl Run<'_> {
    /// Whether the run has stalled. Asked only of a run that is quiescent and has not failed.
    pub(super) fn is_stalled(&self) -> bool {
        !self.is_cancelled() && self.open_stages.load(Ordering::Relaxed) > 0
    }

    /// Says in words what waits for what, and what the user can do about it.
    pub(super) fn explain_stall(&self) -> String {
        let mut lines = Vec::new();
        for source in &self.sources {
            if let Some((issued, held_up)) = source.progress().filter(|(issued, _)| *issued > 0) {
                let name = self.head_name(source.stage);
                lines.push(format!("source '{name}' has used up {held_up}, after {issued} batches"));
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
        let mend = "give the source more credits, by credits() or on_stall(), or mark the edge that is to be held as spooled()";
        lines.push(mend.to_owned());
        lines.join("; ")
    }

    /// The name of a stage's first operator.
    pub(super) fn head_name(&self, stage: usize) -> String {
        self.stages[stage].ops.first().map_or_else(String::new, |(op, _)| self.names.get(*op))
    }
}
