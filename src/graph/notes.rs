//! What operators note about themselves, beside what they add to a graph.

use std::sync::Arc;

use super::Stream;
use crate::plan::Data;
use crate::run::tally::Retried;

impl<T, P> Stream<'_, T, P> {
    /// Makes the operator that was added last a part of the one added before it, `whole`, which has the name.
    pub(crate) fn within(mut self, whole: usize, part: &'static str) -> Self {
        self.draft.borrow().names.set_part(self.op, whole, part);
        self.op = whole;
        self
    }

    /// Makes the operator `part` a part of the one that was added last, which has the name.
    pub(crate) fn has_part(&self, part: usize, name: &'static str) {
        self.draft.borrow().names.set_part(part, self.op, name);
    }

    /// The number of the operator that was added last.
    pub(crate) fn number(&self) -> usize {
        self.op
    }

    /// Sets an option of the operator that was added last; `method` says which.
    #[track_caller]
    pub(crate) fn with_pipe(mut self, method: &str, set: impl FnOnce(&mut P)) -> Self {
        drop(self.describe(method));
        set(&mut self.pipe);
        self
    }

    /// Notes where the operator that was added last counts how often it has tried again.
    pub(crate) fn counts_retries(&self, retried: Retried) {
        self.draft.borrow_mut().retried.push((self.op, retried));
    }

    /// Notes what is wrong with the operator that was added last, if anything is.
    pub(crate) fn refuse_if(self, is_wrong: bool, why: &str) -> Self {
        if is_wrong {
            self.draft.borrow_mut().defect(self.op, why);
        }
        self
    }

    /// Notes that the operator that was added last has up to `limit` items at once worked on outside the pool.
    pub(crate) fn goes_elsewhere(self, limit: usize) -> Self {
        let mut draft = self.draft.borrow_mut();
        draft.elsewhere = draft.elsewhere.max(Some(limit));
        draft.meets_outside = true;
        drop(draft);
        self
    }

    /// Notes that the stage reads data. It waits until the data is there.
    pub(crate) fn reads<D>(&self, data: &Data<D>) {
        let mut draft = self.draft.borrow_mut();
        if Arc::ptr_eq(&data.names, &draft.names) {
            draft.stage_reads(self.stage, self.op, data.slot);
        } else {
            draft.defect(self.op, "it reads data of another graph");
        }
    }
}
