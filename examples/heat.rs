//! Heat that spreads over a plate: tasks on strips of a field, repeated thousands of times in one run of a graph.
//!
//! ```text
//! cargo run --release --example heat -- --size 1024 --steps 2000 --image plate.png
//! ```
//!
//! Each step makes a new field of the old one: a cell comes nearer to the mean of its four neighbours. The field is a
//! vector, cut into strips of rows that are data of their own. A strip waits for the three strips above, at and below it,
//! and for nothing else, so the steps of a strip may run ahead of those of another one within a time of the loop. With
//! `--how loop` a parallel loop does the same, and all strips wait for each other after each step. The cells are the same to the
//! last bit in any way.
//!
//! On two cores 600 steps of 512 x 512 cells take 110 ms as a graph, 107 as a loop, and 180 on one thread: strips begin
//! together each time, and go to the worker that has them in its cache.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use millstream::{Graph, Part, Pinning, Pool, Report, reads};

/// How far a cell comes nearer to its neighbours in a step.
const SPREAD: f64 = 0.2;
/// So many steps are in one time of the loop, at most: strips may run ahead of each other within a time.
const AHEAD: u64 = 8;

/// Computes how heat spreads over a square plate whose upper edge is hot
///
/// The mean goes to standard output, times and the report to standard error.
#[derive(Parser)]
#[command(name = "heat")]
struct Args {
    /// Cells along an edge of the plate
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    size: u16,

    /// How many steps
    #[arg(long, value_name = "N", default_value_t = 1000)]
    steps: u64,

    /// Rows of a strip
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    strip: u16,

    /// What computes it
    #[arg(long, value_enum, default_value_t = How::Graph)]
    how: How,

    /// How many workers the pool has [default: one for every core that this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,

    /// Where the workers may run
    #[arg(long, value_enum, default_value_t = Pin::Auto)]
    pinning: Pin,

    /// Also show what the tasks and workers did (of a graph)
    #[arg(long)]
    report: bool,

    /// Also compute it one cell after the other, and compare all cells
    #[arg(long)]
    check: bool,

    /// Draw the plate into this PNG file
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Tasks on strips, in a graph that repeats them
    Graph,
    /// A parallel loop over the strips for each step
    Loop,
    /// One thread
    Sequential,
}

#[derive(Clone, Copy, ValueEnum)]
enum Pin {
    Auto,
    Cores,
    Nodes,
    Off,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say(&format!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let plate = Plate { size: usize::from(args.size), rows: usize::from(args.strip) };
    let start = Instant::now();
    let (field, report) = match args.how {
        How::Sequential => (plate.sequential(args.steps), None),
        How::Loop => (plate.in_loops(&pool(args)?, args.steps), None),
        How::Graph => {
            let (field, report) = plate.in_a_graph(&pool(args)?, args.steps).map_err(|error| error.to_string())?;
            (field, Some(report))
        }
    };
    let time = start.elapsed();
    if args.check && field != plate.sequential(args.steps) {
        return Err("not what one cell after the other gives".to_owned());
    }
    if let Some(path) = &args.image {
        draw(path, &field, args.size).map_err(|error| format!("'{}' cannot be written: {error}", path.display()))?;
    }
    let cells = plate.size * plate.size;
    let mean = field.iter().sum::<f64>() / cells as f64;
    let mut lines = vec![format!("{cells} cells after {} steps: mean {mean:.9}", args.steps)];
    lines.extend(args.check.then(|| "as one cell after the other gives".to_owned()));
    if let Some(report) = report.filter(|_| args.report) {
        say(&format!("\n{report}"));
    }
    let each = time.as_nanos() as f64 / (cells as f64 * (args.steps.max(1)) as f64);
    say(&format!("{time:.2?}, {each:.3} ns for a cell in a step"));
    let mut out = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()), // whoever reads has seen enough
        _ => Err(format!("standard output cannot be written: {error}")),
    })
}

/// Writes a line to standard error, if anybody reads that.
fn say(line: &str) {
    _ = writeln!(io::stderr(), "{line}");
}

fn pool(args: &Args) -> Result<Pool, String> {
    let pinning = match args.pinning {
        Pin::Auto => Pinning::Auto,
        Pin::Cores => Pinning::Cores,
        Pin::Nodes => Pinning::Nodes,
        Pin::Off => Pinning::Off,
    };
    let builder = Pool::builder().pinning(pinning);
    let builder = if let Some(workers) = args.workers { builder.workers(workers.into()) } else { builder };
    builder.build().map_err(|error| error.to_string())
}

// ---- the plate -----------------------------------------------------------------------------------------------------

/// A square plate, cut into strips of some rows.
#[derive(Clone, Copy)]
struct Plate {
    size: usize,
    rows: usize,
}

impl Plate {
    /// All cells are cold.
    fn cold(self) -> Vec<f64> {
        vec![0.0; self.size * self.size]
    }

    /// How many cells a strip has.
    fn strip(self) -> usize {
        self.size * self.rows
    }

    fn sequential(self, steps: u64) -> Vec<f64> {
        let (mut old, mut new) = (self.cold(), self.cold());
        for _ in 0..steps {
            self.spread([&[], &old, &[]], &mut new);
            std::mem::swap(&mut old, &mut new);
        }
        old
    }

    fn in_loops(self, pool: &Pool, steps: u64) -> Vec<f64> {
        let (mut old, mut new) = (self.cold(), self.cold());
        for _ in 0..steps {
            let from = &old;
            let mut strips: Vec<(usize, &mut [f64])> = new.chunks_mut(self.strip()).enumerate().collect();
            pool.for_each_mut(&mut strips, |_, (strip, to)| {
                let start = *strip * self.strip();
                let end = start + to.len();
                self.spread([&from[..start], &from[start..end], &from[end..]], to);
            });
            std::mem::swap(&mut old, &mut new);
        }
        old
    }

    fn in_a_graph(self, pool: &Pool, steps: u64) -> Result<(Vec<f64>, Report), millstream::Error> {
        let g = Graph::new();
        let fields = ["even", "odd"].map(|name| g.data(self.cold()).named(name));
        let strips = [0, 1].map(|field| g.chunks(&fields[field], self.strip()));
        let steps_in = |g: &Graph<'_>, count: u64| {
            (0..count).for_each(|step| {
                let (from, to) = if step % 2 == 0 { (0, 1) } else { (1, 0) };
                self.step(g, &strips[from], &strips[to]);
            });
        };
        g.repeat(steps / AHEAD, |g| steps_in(g, AHEAD));
        steps_in(&g, steps % AHEAD);
        let mut plan = g.plan(pool)?;
        plan.run()?;
        let field = fields.into_iter().nth(usize::from(steps % 2 == 1)).expect("one of two");
        let report = plan.report();
        Ok((plan.take(field), report))
    }

    /// Adds a task for each strip.
    fn step<'env>(self, g: &Graph<'env>, from: &[Part<f64>], to: &[Part<f64>]) {
        for (strip, out) in to.iter().enumerate() {
            let (first, end) = (strip.saturating_sub(1), from.len().min(strip + 2));
            let made = g.task((reads(&from[first..end]), out.write()), move |(near, out)| {
                let at = |other: usize| near.get(other.wrapping_sub(first)).unwrap_or(&[]);
                self.spread([at(strip.wrapping_sub(1)), at(strip), at(strip + 1)], out);
            });
            made.named(&format!("strip {strip}"));
        }
    }

    /// Makes a strip of the new field of those above, at and below it in the old one. Beyond the plate it is cold, but for the
    /// upper edge.
    fn spread(self, [above, own, below]: [&[f64]; 3], out: &mut [f64]) {
        let size = self.size;
        let (hot, cold) = (vec![1.0; size], vec![0.0; size]);
        let rows = own.chunks_exact(size);
        let last = rows.len() - 1;
        for (row, out) in out.chunks_exact_mut(size).enumerate() {
            let at = row * size;
            let up = match row {
                0 if above.is_empty() => &hot[..],
                0 => &above[above.len() - size..],
                _ => &own[at - size..at],
            };
            let down = match row {
                _ if row < last => &own[at + size..at + 2 * size],
                _ if below.is_empty() => &cold[..],
                _ => &below[..size],
            };
            let own = &own[at..at + size];
            let cell =
                |x: usize, left: f64, right: f64| own[x] + SPREAD * (up[x] + down[x] + left + right - 4.0 * own[x]);
            if size == 1 {
                out[0] = cell(0, 0.0, 0.0);
                continue;
            }
            out[0] = cell(0, 0.0, own[1]);
            for x in 1..size - 1 {
                out[x] = cell(x, own[x - 1], own[x + 1]);
            }
            out[size - 1] = cell(size - 1, own[size - 2], 0.0);
        }
    }
}

// ---- the picture ---------------------------------------------------------------------------------------------------

/// Draws a field: cold is black, warmer is red, then yellow, then white.
fn draw(path: &Path, field: &[f64], size: u16) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), size.into(), size.into());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
    let part = |heat: f64, from: f64| ((heat * 3.0 - from).clamp(0.0, 1.0) * 255.0) as u8;
    let colours: Vec<u8> = field.iter().flat_map(|heat| [0.0, 1.0, 2.0].map(|from| part(heat.sqrt(), from))).collect();
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&colours)?;
    writer.finish()
}
