//! What a report says of each operator fits what it says of the next one: every item that was handed on was given to
//! somebody, or dropped before that.

use proptest::test_runner::TestCaseError;

use crate::{OperatorReport, Plan, Report};

/// Checks the report of a run. However the run has ended, no item may be missing.
///
/// If it has failed, the item that an operator has failed on counts as handed on. Each batch may have broken off so.
pub(super) fn balance(plan: &Plan<'_>, report: &Report, has_failed: bool) -> Result<(), TestCaseError> {
    let outputs = plan.outputs();
    let of = |stage: usize| report.operators().iter().filter(move |operator| operator.stage() == Some(stage));
    let first = |stage: usize| of(stage).next().expect("a stage has one");
    let last = |stage: usize| of(stage).next_back().expect("a stage has one");
    let fits = |from: &[&OperatorReport], to: &[&OperatorReport]| {
        let made: u64 = from.iter().map(|from| from.items_out()).sum();
        let taken: u64 = to.iter().map(|to| to.items_in() + to.items_dropped()).sum();
        let broken = if has_failed { from.iter().map(|from| from.batches()).sum() } else { 0 };
        if (taken..=taken + broken).contains(&made) {
            return Ok(());
        }
        let names = |operators: &[&OperatorReport]| operators.iter().map(|of| of.name().to_owned()).collect::<Vec<_>>();
        let what = format!("{:?} made {made}, of which {:?} took {taken}", names(from), names(to));
        Err(TestCaseError::fail(format!("{what}:\n{report}\n{}", plan.explain())))
    };
    for (stage, to) in outputs.iter().enumerate() {
        for pair in of(stage).collect::<Vec<_>>().windows(2) {
            fits(&pair[..1], &pair[1..])?;
        }
        let behind: Vec<_> = to.iter().map(|to| first(*to)).collect();
        if last(stage).name().starts_with("tee at") {
            behind.iter().try_for_each(|to| fits(&[last(stage)], &[to]))?;
        } else if behind.len() > 1 {
            fits(&[last(stage)], &behind)?;
        }
        let before: Vec<_> = (0..outputs.len()).filter(|from| outputs[*from].contains(&stage)).collect();
        match before[..] {
            [] => {}
            [_] if plan.has_source(stage) => {} // it draws other items out of those that come
            [only] if outputs[only].len() > 1 => {} // seen above
            [left, right] if last(left).name().starts_with("zip at") => {
                fits(&[last(left)], &[first(stage)])?;
                fits(&[last(right)], &[first(stage)])?;
            }
            _ => fits(&before.into_iter().map(last).collect::<Vec<_>>(), &[first(stage)])?,
        }
    }
    Ok(())
}
