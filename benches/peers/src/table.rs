//! What is printed.

use std::fmt::Write as _;

use crate::measure::{Metric, Row};
use crate::peers::Peer;
use crate::workloads::Workload;

pub const CSV_HEADER: &str = "workload,peer,threads,metric,median,min,max";

pub fn csv(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let Row { workload, peer, threads, metric, .. } = row;
        let (median, min, max) = (row.median(), row.min(), row.max());
        format!("{workload},{peer},{threads},{},{median:.3},{min:.3},{max:.3}\n", metric.name())
    };
    rows.iter().map(line).collect()
}

/// A line for each metric and number of threads, a column for each peer; the best of a line has a star.
pub fn readable(workload: &Workload, rows: &[Row]) -> String {
    const WIDTH: usize = 24;
    let mut lines: Vec<(Metric, usize)> = Vec::new();
    let mut peers: Vec<Peer> = rows.iter().map(|row| row.peer).collect();
    peers.sort_unstable();
    peers.dedup();
    for row in rows.iter().filter(|row| row.peer != Peer::Serial) {
        if !lines.contains(&(row.metric, row.threads)) {
            lines.push((row.metric, row.threads));
        }
    }
    if lines.is_empty() {
        lines = rows.iter().map(|row| (row.metric, row.threads)).collect();
    }
    lines.sort_by_key(|(metric, threads)| (metric.name(), *threads));

    let mut text = format!("\n{}: {}\n{:<20} T", workload.name, workload.what, "");
    for peer in &peers {
        write!(text, "  {peer:>WIDTH$}").expect("a string takes it");
    }
    text.push('\n');
    for (metric, threads) in lines {
        // The version without a library has one thread, and stands beside every number of them.
        let of = |peer: Peer| {
            let fits = |row: &&Row| {
                row.peer == peer && row.metric == metric && (peer == Peer::Serial || row.threads == threads)
            };
            rows.iter().find(fits)
        };
        let taking_part = peers.iter().filter(|peer| !peer.is_yardstick()).filter_map(|peer| of(*peer));
        let best = taking_part.min_by(|a, b| {
            let (a, b) = if metric.more_is_better() { (b, a) } else { (a, b) };
            a.median().total_cmp(&b.median())
        });
        write!(text, "{:<20} {threads}", metric.name()).expect("a string takes it");
        for peer in &peers {
            let cell = of(*peer).map_or_else(
                || "-".to_owned(),
                |row| {
                    let star = if best.is_some_and(|best| std::ptr::eq(best, row)) { "*" } else { "" };
                    format!("{star}{} ({}..{})", short(row.median()), short(row.min()), short(row.max()))
                },
            );
            write!(text, "  {cell:>WIDTH$}").expect("a string takes it");
        }
        text.push('\n');
    }
    text
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
