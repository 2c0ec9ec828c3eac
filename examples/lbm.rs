//! The flow around a cylinder in a channel, by the lattice Boltzmann method: tasks on strips of a field that a graph
//! repeats, and that ends early if the flow breaks down.
//!
//! ```text
//! cargo run --release --example lbm -- --steps 20000 --image flow.png
//! ```
//!
//! Each step makes a new field of the old one: what moves in a cell comes from its neighbours, and meets there. The
//! field is a vector, cut into strips of rows that are data of their own. A strip waits for itself and the two beside
//! it, and for nothing else. So two strips are enough for two cores, and three are, too. With `--how loop` all strips
//! wait for each other after each step. The numbers are the same to the last bit in any way.
//!
//! Each task also gives the largest speed in its strip. At the end of each time of the loop a task looks at them, and
//! `repeat_until` asks it whether to go on. So nothing that means nothing is printed: a flow that is faster than sound
//! ends the loop, and the program says so.
//!
//! The method is that of Bhatnagar, Gross and Krook (A model for collision processes in gases, 1954) and of Qian,
//! d'Humières and Lallemand (Lattice BGK models for Navier-Stokes equation, 1992). The channel is that of Schäfer and
//! Turek (Benchmark computations of laminar flow around a cylinder, 1996), where the drag is 5.58 at the Reynolds
//! number 20. Here it is 5.94, 5.73 and 5.65 with 41, 82 and 164 cells across (`--inflow 0.05`). At 100 the lift goes
//! up and down.
//!
//! On two cores 800 steps take 340 ms as a graph, 290 as a loop, and 580 on one thread: strips that run ahead of each
//! other change workers more often. With `--strip 4` the graph was faster, 10.7 ns for a cell in a step beside 14.0.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use channel::Channel;
use clap::{Parser, ValueEnum};
use millstream::{Data, Graph, Part, Pinning, Pool, Report, reads};

#[path = "lbm/channel.rs"]
mod channel;

/// So many steps are in one time of the loop: strips may run ahead of each other within a time, and at its end the
/// graph asks whether the flow is stable.
const AHEAD: u64 = 16;
/// Computes the flow around a cylinder in a channel, by the lattice Boltzmann method
///
/// The channel is that of the benchmark of Schäfer and Turek. Its mean density, the largest speed, and the forces on
/// the cylinder go to standard output, times and the report to standard error.
#[derive(Parser)]
#[command(name = "lbm")]
struct Args {
    /// Cells across the channel
    #[arg(long, value_name = "N", default_value_t = 82, value_parser = clap::value_parser!(u16).range(1..=2048))]
    size: u16,

    /// How many steps
    #[arg(long, value_name = "N", default_value_t = 5000)]
    steps: u64,

    /// Rows of a strip
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    strip: u16,

    /// The Reynolds number: mean speed times diameter of the cylinder, by viscosity
    #[arg(long, value_name = "X", default_value_t = 100.0, value_parser = positive)]
    reynolds: f64,

    /// The largest speed of what flows in, in cells a step: at most 0.25
    #[arg(long, value_name = "X", default_value_t = 0.1, value_parser = slow)]
    inflow: f64,

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

    /// Draw the speeds into this PNG file
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

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().map_err(|_| "it is no number".to_owned())?;
    if number > 0.0 && number < f64::INFINITY { Ok(number) } else { Err("it is not above 0".to_owned()) }
}

fn slow(text: &str) -> Result<f64, String> {
    let speed = positive(text)?;
    if speed <= 0.25 { Ok(speed) } else { Err("it is above 0.25".to_owned()) }
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
    let channel = Channel::new(args.size.into(), args.strip.into(), args.reynolds, args.inflow);
    let start = Instant::now();
    let ((field, watch), report) = match args.how {
        How::Sequential => (channel.sequential(args.steps), None),
        How::Loop => (channel.in_loops(&pool(args)?, args.steps), None),
        How::Graph => {
            let (flow, report) = channel.in_a_graph(&pool(args)?, args.steps).map_err(|error| error.to_string())?;
            (flow, Some(report))
        }
    };
    let time = start.elapsed();
    let sums = channel.sums(&field);
    if sums.fastest.is_infinite() {
        return Err(format!(
            "the flow is unstable: after {} of {} steps it is faster than sound somewhere; \
             choose a smaller --reynolds or --inflow, or a larger --size",
            watch.steps, args.steps
        ));
    }
    if args.check && field != channel.sequential(args.steps).0 {
        return Err("not what one cell after the other gives".to_owned());
    }
    if let Some(path) = &args.image {
        draw(path, &channel, &field, sums.fastest.sqrt())
            .map_err(|error| format!("'{}' cannot be written: {error}", path.display()))?;
    }
    let cells = channel.width * channel.height;
    let (mean, fastest, drag, lift) = (sums.density, sums.fastest.sqrt(), sums.drag, sums.lift);
    let what = format!("mean density {mean:.6}, largest speed {fastest:.6}, drag {drag:.4}, lift {lift:.4}");
    let mut lines = vec![format!("{cells} cells after {} steps: {what}", args.steps)];
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

// ---- the flow ------------------------------------------------------------------------------------------------------

/// How fast the flow is, at most, after so many steps.
#[derive(Clone, Copy, Default)]
struct Watch {
    steps: u64,
    /// Squared; infinite if it is not below the speed of sound.
    fastest: f64,
}

impl Watch {
    /// Looks at the strips at the end of a time of the loop.
    fn look(&mut self, strips: impl IntoIterator<Item = f64>) {
        self.steps += AHEAD;
        self.fastest = strips.into_iter().fold(0.0, f64::max);
    }

    fn is_broken(&self) -> bool {
        self.fastest.is_infinite()
    }

    /// Does steps as the graph does: those that are left over first, then as many times as there are, or until the flow
    /// has broken down.
    fn over(steps: u64, mut step: impl FnMut() -> f64) -> Self {
        let mut watch = Self { steps: steps % AHEAD, fastest: 0.0 };
        (0..watch.steps).for_each(|_| _ = step());
        while watch.steps < steps && !watch.is_broken() {
            let last = (0..AHEAD).fold(0.0, |_, _| step());
            watch.look([last]);
        }
        watch
    }
}

/// A field, and what was known of it during the steps.
type Flow = (Vec<f64>, Watch);

impl Channel {
    fn sequential(&self, steps: u64) -> Flow {
        let (mut old, mut new) = (self.start(), self.start());
        let watch = Watch::over(steps, || {
            let fastest = self.step(0, [&old, &old, &old], &mut new);
            std::mem::swap(&mut old, &mut new);
            fastest
        });
        (old, watch)
    }

    fn in_loops(&self, pool: &Pool, steps: u64) -> Flow {
        let (mut old, mut new) = (self.start(), self.start());
        let watch = Watch::over(steps, || {
            let from = &old;
            let mut strips: Vec<(f64, &mut [f64])> = new.chunks_mut(self.strip()).map(|to| (0.0, to)).collect();
            pool.for_each_mut(&mut strips, |strip, (fastest, to)| {
                let start = strip * self.strip();
                let end = start + to.len();
                *fastest = self.step(strip * self.rows, [&from[..start], &from[start..end], &from[end..]], to);
            });
            let fastest = strips.iter().map(|strip| strip.0).fold(0.0, f64::max);
            std::mem::swap(&mut old, &mut new);
            fastest
        });
        (old, watch)
    }

    fn in_a_graph<'env>(&'env self, pool: &Pool, steps: u64) -> Result<(Flow, Report), millstream::Error> {
        let g = Graph::new();
        let fields = ["even", "odd"].map(|name| g.data(self.start()).named(name));
        let strips = fields.each_ref().map(|field| g.chunks(field, self.strip()));
        let first = steps % AHEAD;
        let watch = g.data(Watch { steps: first, fastest: 0.0 });
        // Gives the largest speeds of the strips in the last of the steps.
        let steps_in = |g: &Graph<'env>, range: Range<u64>| {
            range.fold(Vec::new(), |_, step| {
                let from = usize::from(step % 2 == 1);
                self.tasks(g, &strips[from], &strips[1 - from])
            })
        };
        steps_in(&g, 0..first);
        g.repeat_until(&watch, Watch::is_broken, |g| {
            let speeds = steps_in(g, first..first + AHEAD);
            g.task((reads(&speeds), watch.write()), |(speeds, watch)| watch.look(speeds.iter().copied()))
                .named("watch");
        })
        .at_most(steps / AHEAD);
        let mut plan = g.plan(pool)?;
        plan.run()?;
        let field = fields.into_iter().nth(usize::from(steps % 2 == 1)).expect("one of two");
        let report = plan.report();
        Ok(((plan.take(field), plan.take(watch)), report))
    }

    /// Adds a task for each strip, which gives the largest speed there.
    fn tasks<'env>(&'env self, g: &Graph<'env>, from: &[Part<f64>], to: &[Part<f64>]) -> Vec<Data<f64>> {
        let add = |(strip, out): (usize, &Part<f64>)| {
            let own = &from[strip];
            let below = strip.checked_sub(1).map_or(own, |below| &from[below]); // at a wall nobody looks there
            let above = from.get(strip + 1).unwrap_or(own);
            g.task((below.read(), own.read(), above.read(), out.write()), move |(below, own, above, out)| {
                self.step(strip * self.rows, [below, own, above], out)
            })
            .named(&format!("strip {strip}"))
        };
        to.iter().enumerate().map(add).collect()
    }
}

// ---- the picture ---------------------------------------------------------------------------------------------------

/// Draws the speeds: what stands still is black, faster is red, then yellow, then white. The cylinder is grey.
fn draw(path: &Path, channel: &Channel, field: &[f64], fastest: f64) -> Result<(), png::EncodingError> {
    let [width, height] = [channel.width, channel.height].map(|cells| u32::try_from(cells).expect("some thousands"));
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut colours = Vec::with_capacity(3 * channel.width * channel.height);
    for (y, row) in field.chunks_exact(channel.row()).enumerate().rev() {
        for x in 0..channel.width {
            let (_, right, up) = channel.moments(row, x);
            let speed = right.hypot(up) / fastest;
            #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
            let warm = [0.0, 1.0, 2.0].map(|from| ((speed * 3.0 - from).clamp(0.0, 1.0) * 255.0) as u8);
            colours.extend(if channel.is_solid(x, y, 0) { [128; 3] } else { warm });
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&colours)?;
    writer.finish()
}
