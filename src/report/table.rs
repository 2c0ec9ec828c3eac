//! A report as text.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::time::Duration;

use super::{OperatorReport, Report, SectionReport};

/// How many names of tasks are shown, those with the most time first. The rest share one row.
const TASKS: usize = 20;

pub(super) fn write(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let busy = report.busy_time();
    let workers = report.workers.len().max(1) as f64;
    writeln!(
        f,
        "wall {}, busy {} ({:.2} workers)",
        time(report.wall),
        time(busy),
        ratio(busy, report.wall).min(workers)
    )?;
    let mut rows = Grid::new(["stage", "operator", "in", "out", "dropped", "batches", "time", "share"]);
    for (i, _) in report.stages.iter().enumerate() {
        for operator in report.operators.iter().filter(|operator| operator.stage == Some(i)) {
            rows.add(row(i.to_string(), operator, busy));
        }
    }
    let mut tasks = tasks_by_name(report);
    let rest = tasks.split_off(TASKS.min(tasks.len()));
    let names = rest.len();
    let rest = rest.into_iter().reduce(|sum, task| add(sum, &task));
    let rest = rest.map(|rest| OperatorReport { name: format!("{names} more names"), ..rest });
    for task in tasks.iter().chain(&rest) {
        rows.add(row("task".to_owned(), task, busy));
    }
    rows.write(f, 2)?;
    if !report.sections.is_empty() {
        let mut rows = Grid::new(["section", "operators", "tasks", "time", "share"]);
        for section in &report.sections {
            rows.add(section_row(section, busy));
        }
        rows.write(f, 1)?;
    }
    let mut rows = Grid::new(["worker", "jobs", "steals", "L3", "node", "remote", "parks"]);
    for worker in &report.workers {
        let [l3, node, remote] = worker.steals.map(number);
        let all = number(worker.steals());
        rows.add([worker.name.clone(), number(worker.jobs), all, l3, node, remote, number(worker.parks)]);
    }
    rows.write(f, 1)
}

/// One report for all tasks with the same name, sorted by time, the largest first. Unnamed tasks of one source line
/// have the same name.
fn tasks_by_name(report: &Report) -> Vec<OperatorReport> {
    let mut by_name: Vec<OperatorReport> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for task in report.operators.iter().filter(|operator| operator.stage.is_none()) {
        let place = *places.entry(&task.name).or_insert(by_name.len());
        match by_name.get_mut(place) {
            Some(sum) => *sum = add(sum.clone(), task),
            None => by_name.push(task.clone()),
        }
    }
    by_name.sort_by_key(|task| Reverse(task.time));
    by_name
}

fn add(sum: OperatorReport, task: &OperatorReport) -> OperatorReport {
    OperatorReport {
        items_in: sum.items_in + task.items_in,
        items_out: sum.items_out + task.items_out,
        dropped: sum.dropped + task.dropped,
        batches: sum.batches + task.batches,
        time: sum.time + task.time,
        sampled: sum.sampled || task.sampled,
        ..sum
    }
}

fn row(stage: String, operator: &OperatorReport, busy: Duration) -> [String; 8] {
    let about = if operator.sampled { "~" } else { "" };
    let retries = if operator.retries > 0 { format!(" ({} retries)", number(operator.retries)) } else { String::new() };
    [
        stage,
        format!("{}{retries}", operator.name),
        number(operator.items_in),
        number(operator.items_out),
        number(operator.dropped),
        number(operator.batches),
        format!("{about}{}", time(operator.time)),
        format!("{about}{:.1} %", 100.0 * ratio(operator.time, busy)),
    ]
}

/// The row of a section. One in another one is indented, and has its last name only.
fn section_row(section: &SectionReport, busy: Duration) -> [String; 5] {
    let about = if section.sampled { "~" } else { "" };
    [
        format!("{:indent$}{}", "", &section.name[section.own..], indent = 2 * section.depth),
        number(section.operators as u64),
        number(section.tasks),
        format!("{about}{}", time(section.time)),
        format!("{about}{:.1} %", 100.0 * ratio(section.time, busy)),
    ]
}

fn ratio(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

/// A time with three significant digits and a unit.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s if s >= 1e-6 => (s * 1e6, "us"),
        s => (s * 1e9, "ns"),
    };
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

/// A number with its digits in groups of three.
fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Rows of cells under titles, in columns as wide as they need.
struct Grid<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Grid<N> {
    fn new(titles: [&str; N]) -> Self {
        Self { rows: vec![titles.map(str::to_owned)] }
    }

    fn add(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// Writes the rows. The first `left` columns are aligned left, the others right.
    fn write(&self, f: &mut fmt::Formatter<'_>, left: usize) -> fmt::Result {
        let width = |i: usize| self.rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
        let widths: [usize; N] = std::array::from_fn(width);
        for row in &self.rows {
            let mut line = String::new();
            for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
                let gap = if i == 0 { "" } else { "  " };
                if i < left {
                    write!(line, "{gap}{cell:width$}")?;
                } else {
                    write!(line, "{gap}{cell:>width$}")?;
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
