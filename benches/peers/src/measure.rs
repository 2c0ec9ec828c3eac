//! Taking turns, and what comes of it.

use std::time::{Duration, Instant};

use crate::cli::Options;
use crate::peers::Peer;
use crate::workloads::Workload;

/// What was measured, and in which unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    NsPerJoin,
    NsPerNode,
    NsPerTask,
    BuildNsPerTask,
    FirstNsPerTask,
    BytesPerTask,
    NsPerItem,
    Efficiency,
    P50Us,
    P99Us,
    CpuMs,
    WallMs,
    PeakRssMib,
    RssAboveStartMib,
}

impl Metric {
    pub fn name(self) -> &'static str {
        match self {
            Self::NsPerJoin => "ns_per_join",
            Self::NsPerNode => "ns_per_node",
            Self::NsPerTask => "ns_per_task",
            Self::BuildNsPerTask => "build_ns_per_task",
            Self::FirstNsPerTask => "first_ns_per_task",
            Self::BytesPerTask => "bytes_per_task",
            Self::NsPerItem => "ns_per_item",
            Self::Efficiency => "efficiency",
            Self::P50Us => "p50_us",
            Self::P99Us => "p99_us",
            Self::CpuMs => "cpu_ms",
            Self::WallMs => "wall_ms",
            Self::PeakRssMib => "peak_rss_mib",
            Self::RssAboveStartMib => "rss_above_start_mib",
        }
    }

    pub fn more_is_better(self) -> bool {
        self == Self::Efficiency
    }
}

/// What one run says.
pub type Figures = Vec<(Metric, f64)>;

/// One peer with one number of threads.
struct Entry {
    peer: Peer,
    threads: usize,
    asked: bool,
    run: Box<dyn FnMut(u32) -> Figures>,
}

/// Those who take turns in a workload.
pub struct Lineup {
    options: Options,
    threads: Vec<usize>,
    entries: Vec<Entry>,
}

impl Lineup {
    pub fn new(options: &Options) -> Self {
        Self::with_threads(options, options.threads.clone())
    }

    /// With these numbers of threads, whatever was asked for.
    pub fn with_threads(options: &Options, threads: Vec<usize>) -> Self {
        Self { options: options.clone(), threads, entries: Vec::new() }
    }

    /// Adds the version without a library: it runs even if it was not asked for, as others are compared with it.
    pub fn serial(&mut self, run: impl FnMut(u32) -> Figures + 'static) {
        let asked = self.options.has(Peer::Serial);
        self.entries.push(Entry { peer: Peer::Serial, threads: 1, asked, run: Box::new(run) });
    }

    /// Adds a peer, once for each number of threads. A run is told its number: 0 is the warm-up.
    ///
    /// Each run makes its own pool and drops it: threads of peers that spin would disturb the others.
    pub fn each<R: FnMut(u32) -> Figures + 'static>(&mut self, peer: Peer, make: impl Fn(usize) -> R) {
        self.from(peer, 1, make);
    }

    /// Adds a peer that has as many threads as it has stages: once, beside the largest number of threads.
    pub fn once(&mut self, peer: Peer, run: impl FnMut(u32) -> Figures + 'static) {
        let threads = self.threads.iter().copied().max().expect("some threads were asked for");
        if self.options.has(peer) {
            self.entries.push(Entry { peer, threads, asked: true, run: Box::new(run) });
        }
    }

    /// As [`each`](Self::each), where a peer needs so many threads.
    pub fn from<R: FnMut(u32) -> Figures + 'static>(&mut self, peer: Peer, least: usize, make: impl Fn(usize) -> R) {
        if self.options.has(peer) {
            let entry = |threads| Entry { peer, threads, asked: true, run: Box::new(make(threads)) };
            self.entries.extend(self.threads.iter().copied().filter(|threads| *threads >= least).map(entry));
        }
    }
}

/// The values of one metric in all runs.
pub struct Row {
    pub workload: &'static str,
    pub peer: Peer,
    pub threads: usize,
    pub metric: Metric,
    values: Vec<f64>,
}

impl Row {
    fn new(workload: &'static str, entry: &Entry, metric: Metric, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { workload, peer: entry.peer, threads: entry.threads, metric, values }
    }

    pub fn median(&self) -> f64 {
        percentile(&self.values, 0.5)
    }

    pub fn min(&self) -> f64 {
        self.values[0]
    }

    pub fn max(&self) -> f64 {
        self.values[self.values.len() - 1]
    }
}

/// A value of a sorted list; between two, their mean.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    f64::midpoint(below, above)
}

/// A warm-up of everybody, then run `k` of everybody before run `k + 1` of anybody.
pub fn take_turns(workload: &Workload, mut lineup: Lineup, runs: u32) -> Vec<Row> {
    let mut results: Vec<Vec<Figures>> = lineup.entries.iter().map(|_| Vec::new()).collect();
    for run in 0..=runs {
        for (entry, results) in lineup.entries.iter_mut().zip(&mut results) {
            let figures = (entry.run)(run);
            if run > 0 {
                results.push(figures);
            }
        }
    }
    let mut rows = Vec::new();
    let serial = lineup.entries.iter().position(|entry| entry.peer == Peer::Serial);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for (entry, runs) in lineup.entries.iter().zip(&results).filter(|(entry, _)| entry.asked) {
        for (place, (metric, _)) in runs[0].iter().enumerate() {
            let values = runs.iter().map(|figures| figures[place].1).collect();
            rows.push(Row::new(workload.name, entry, *metric, values));
        }
        if let (true, Some(serial)) = (workload.efficiency && entry.peer != Peer::Serial, serial) {
            let share = entry.threads.min(cores) as f64;
            let pairs = runs.iter().zip(&results[serial]);
            let values = pairs.map(|(own, serial)| serial[0].1 / (share * own[0].1)).collect();
            rows.push(Row::new(workload.name, entry, Metric::Efficiency, values));
        }
    }
    rows
}

/// How long something takes.
pub fn time<R>(work: impl FnOnce() -> R) -> (Duration, R) {
    let begin = Instant::now();
    let result = work();
    (begin.elapsed(), result)
}

/// Nanoseconds for one of `parts`.
pub fn ns_per(parts: u64, time: Duration) -> f64 {
    time.as_nanos() as f64 / parts as f64
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The mean time of some runs, after some that do not count, in which a plan may learn. A run says how long it took, less what
/// belongs to the measuring.
pub fn mean_wall_ms(before: u64, again: u64, mut run: impl FnMut() -> Duration) -> Figures {
    (0..before).for_each(|_| _ = run());
    let time: Duration = (0..again).map(|_| run()).sum();
    vec![(Metric::WallMs, milliseconds(time) / again as f64)]
}

/// The round trips of `call` out of 5 ms of idleness each, after two that do not count.
pub fn latency(tries: u64, mut call: impl FnMut()) -> Figures {
    const IDLE: Duration = Duration::from_millis(5);
    const BEFORE: u64 = 2;
    let one = |number| {
        std::thread::sleep(IDLE);
        let (time, ()) = time(&mut call);
        (number, time.as_secs_f64() * 1e6)
    };
    let all = (0..BEFORE + tries).map(one).filter(|(number, _)| *number >= BEFORE);
    let mut micros: Vec<f64> = all.map(|(_, micros)| micros).collect();
    micros.sort_by(f64::total_cmp);
    vec![(Metric::P50Us, percentile(&micros, 0.5)), (Metric::P99Us, percentile(&micros, 0.99))]
}
