//! The outcome of a run: its error, if it did not succeed, and its report.
//!
//! Everything here is called when the run is over, so no job changes what it reads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::Run;
use super::cancel::{Cancel, Cause, FailedItem, Index};
use super::flow::ledger::Sums;
use super::sections::Named;
use super::tasks::dag::TaskDid;
use crate::error::{RunError, RunErrorKind};
use crate::report::{OperatorProgress, OperatorReport, Progress, Report, SectionReport, StageReport, WorkerReport};
use crate::unwind;

impl Run<'_> {
    /// The error of the run that has just ended. `stall` describes the stall, if the run has stalled.
    pub(super) fn error(&mut self, stall: Option<String>) -> Option<RunError> {
        let report = |run: &Self| run.report();
        if let Some((_, failure)) = self.failure.get_mut().take() {
            // A cancel drops batches before the failure, too: then nobody knows how many items came before it.
            let item = failure.item.filter(|_| !self.is_cancelled());
            let index = item.and_then(|item| match item.index {
                Index::Stream(index) => Some(index),
                Index::Batch(index) => Some(self.before(&item) + index),
                Index::None => None,
            });
            let time = self.dag.times_before(failure.op);
            let error = |kind, message| {
                let error = RunError::new(kind, message, report(self));
                error.at(self.names.get(failure.op), index.or(time)).repeated(time.is_some())
            };
            return Some(match failure.take_cause().expect("asked once, for the one failure that counts") {
                Cause::Panic(payload) => {
                    error(RunErrorKind::Panicked, unwind::text(&*payload).to_owned()).with_panic(payload)
                }
                Cause::Error(source) => {
                    let text = catch_unwind(AssertUnwindSafe(|| source.to_string())).unwrap_or_else(|panic| {
                        unwind::drop_payload(panic);
                        "an error whose text panics".to_owned()
                    });
                    error(RunErrorKind::Failed, text).with_source(source)
                }
            });
        }
        let (kind, message) = match self.cancel_reason() {
            Cancel::None => return stall.map(|message| RunError::new(RunErrorKind::Stalled, message, report(self))),
            Cancel::PoolDropped => (RunErrorKind::Cancelled, "its pool was dropped"),
            Cancel::Asked => (RunErrorKind::Cancelled, "it was asked to end"),
            Cancel::Deadline => (RunErrorKind::DeadlineExceeded, "it was not over by then, and was cancelled"),
        };
        Some(RunError::new(kind, message.to_owned(), report(self)))
    }

    /// How many items the operator that failed on `item` was given in the pieces before the one that broke off.
    fn before(&self, item: &FailedItem) -> u64 {
        let FailedItem { stage, before, column, .. } = *item;
        self.stages[stage].ledger.before(before, column) + self.islands.before(stage, before, column)
    }

    /// The report on the last run: counts and times of operators, stages and workers.
    pub(crate) fn report(&self) -> Report {
        let mut report = Report { wall: self.wall, ..Report::default() };
        let mut operators: Vec<(usize, OperatorReport)> = Vec::new();
        for stage in &self.stages {
            let Sums { batches, time, dropped, sampled, counts } = stage.ledger.sums();
            let all = sampled.iter().sum::<u64>().max(1);
            for (position, (op, columns)) in stage.ops.iter().enumerate() {
                let last = position + 1 == stage.ops.len();
                let lost = if position == 0 { dropped } else { 0 };
                let [items_in, items_out, dropped] = match self.body(stage.index).serial_counts() {
                    Some([given, made, dropped]) if last => [given, made, dropped + lost],
                    _ => [counts[columns.given], columns.out.map_or(0, |out| counts[out]), lost],
                };
                let share = sampled[position] as f64 / all as f64;
                operators.push((
                    *op,
                    OperatorReport {
                        name: self.names.get(*op),
                        stage: Some(stage.index),
                        section: None,
                        items_in,
                        items_out,
                        dropped,
                        batches,
                        time: if stage.ops.len() == 1 { time } else { time.mul_f64(share) },
                        sampled: stage.ops.len() > 1,
                        retries: self.retries(*op),
                    },
                ));
            }
            report.stages.push(StageReport { batches, time });
        }
        for TaskDid { op, times, time, is_estimate, .. } in self.dag.tasks() {
            let operator = OperatorReport {
                name: self.names.get(op),
                stage: None,
                section: None,
                items_in: times,
                items_out: times,
                dropped: 0,
                batches: times,
                time,
                sampled: is_estimate,
                retries: 0,
            };
            operators.push((op, operator));
        }
        operators.sort_by_key(|(op, _)| *op);
        self.sum_up_sections(&mut operators, &mut report);
        report.operators = operators.into_iter().map(|(_, operator)| operator).collect();
        report.workers = self.worker_reports();
        report
    }

    /// Says of operators in which sections they are, and adds what the sections did to the report.
    fn sum_up_sections(&self, operators: &mut [(usize, OperatorReport)], report: &mut Report) {
        let (named, places) = self.names.sections(operators.iter().map(|(op, _)| *op));
        let section = |named: &Named| SectionReport {
            name: named.path.clone(),
            own: named.own,
            depth: named.depth,
            operators: 0,
            tasks: 0,
            time: Duration::ZERO,
            sampled: false,
        };
        report.sections = named.list.iter().map(section).collect();
        for ((_, operator), place) in operators.iter_mut().zip(places) {
            operator.section = place;
            for place in named.and_around(place) {
                let section = &mut report.sections[place];
                match operator.stage {
                    Some(_) => section.operators += 1,
                    None => section.tasks += operator.items_in,
                }
                section.time += operator.time;
                section.sampled |= operator.sampled;
            }
        }
    }

    /// How often an operator has tried again.
    fn retries(&self, op: usize) -> u64 {
        let counts = self.retried.iter().filter(|(retrier, _)| *retrier == op);
        counts.map(|(_, retried)| retried.get()).sum()
    }

    /// What the run has done so far: the items that its operators were given, as far as they are entered.
    pub(super) fn progress(&self, time: Duration) -> Progress {
        let mut operators: Vec<(usize, OperatorProgress)> = Vec::new();
        for stage in &self.stages {
            #[cfg(feature = "check")]
            stage.countdown.look();
            let Sums { counts, .. } = stage.ledger.sums();
            for (op, columns) in &stage.ops {
                let (name, items) = (self.names.get(*op), counts[columns.given]);
                operators.push((*op, OperatorProgress { name, items }));
            }
        }
        operators.sort_by_key(|(op, _)| *op);
        Progress { time, operators: operators.into_iter().map(|(_, operator)| operator).collect() }
    }

    fn worker_reports(&self) -> Vec<WorkerReport> {
        let workers = self.pool.workers();
        let mut reports = Vec::new();
        for (seat, [jobs, l3, node, afar, parks]) in self.tally.seats().enumerate() {
            let steals = [l3, node, afar];
            if seat < workers {
                reports.push(WorkerReport { name: format!("worker {seat}"), jobs, steals, parks });
            } else if jobs > 0 {
                let name = match seat.checked_sub(self.pool.first_compensator()) {
                    None => format!("guest {}", seat - workers),
                    Some(compensator) => format!("compensator {compensator}"),
                };
                reports.push(WorkerReport { name, jobs, steals, parks });
            }
        }
        reports
    }
}
