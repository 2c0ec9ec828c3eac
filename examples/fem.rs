//! Poisson's equation on a mesh of triangles: tasks on strips of a sparse matrix, and an iteration inside the graph
//! that ends when it has converged.
//!
//! ```text
//! cargo run --release --example fem -- --size 300 --image membrane.png
//! ```
//!
//! The domain is a square of which a quarter is missing, so that it has a corner that points inwards. Its inner points
//! are moved at random, and each cell is cut along its shorter diagonal. The elements are linear. The exact solution is
//! known: with twice as many cells along an edge the error is 0.4 times as large.
//!
//! The matrix is cut into strips of rows. Tasks make them, each for itself, so that no two tasks add to the same
//! number. Then `repeat_until` runs the method of conjugate gradients inside the graph, planned once. The vectors are
//! cut into parts. A strip is multiplied as soon as the direction is there in the strips above, at and below it,
//! without a wait for all others. Only the two inner products need all strips: each strip gives its share, and one
//! task adds all shares up in their order. So the answer is the same to the last bit for any number of workers. With
//! `--how loop` three parallel loops do an iteration, and all strips wait for each other after each of them.
//!
//! On two cores there is little to wait for, and a loop hands out its strips for less than a graph its tasks: an iteration is
//! a millisecond of work for two workers, in 77 tasks.
//!
//! The method is that of Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", 1952.

#[path = "fem/mesh.rs"]
mod mesh;

use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use mesh::{Mesh, cross, dot, draw, minus};
use millstream::{Data, Graph, Part, Pinning, Pool, Report, reads};

/// Computes the shape of a loaded membrane over a square without one of its quarters
///
/// The iterations and errors go to standard output, times and the report to standard error.
#[derive(Parser)]
#[command(name = "fem")]
struct Args {
    /// Cells along a short edge of the domain
    #[arg(long, value_name = "N", default_value_t = 183, value_parser = clap::value_parser!(u16).range(1..=1024))]
    size: u16,

    /// Rows of a strip, or as many as an unknown is from its farthest neighbour if that is more
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    strip: u32,

    /// Another number makes another mesh
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// The iteration ends when the residual is so many times smaller than the right side
    #[arg(long, value_name = "X", default_value = "1e-8", value_parser = tolerance)]
    tolerance: f64,

    /// So many iterations are made at most
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    iterations: u64,

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

    /// Also compute it one strip after the other, and compare all values
    #[arg(long)]
    check: bool,

    /// Draw the membrane into this PNG file
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Tasks on strips, in a graph that repeats them
    Graph,
    /// Three parallel loops over the strips for each iteration
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

/// Reads how small the residual has to be.
fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().map_err(|error| error.to_string())?;
    if number > 0.0 && number < 1.0 { Ok(number) } else { Err("not between 0 and 1".to_owned()) }
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
    let mesh = Mesh::new(args.size.into(), args.seed);
    let asked = usize::try_from(args.strip).unwrap_or(usize::MAX);
    let solver =
        Solver { mesh: &mesh, strip: asked.max(mesh.reach()), tolerance: args.tolerance, most: args.iterations };
    let pool = pool(args)?;
    let start = Instant::now();
    let (solution, report) = match args.how {
        How::Sequential => (solver.in_loops(None), None),
        How::Loop => (solver.in_loops(Some(&pool)), None),
        How::Graph => {
            let (solution, report) = solver.in_a_graph(&pool).map_err(|error| error.to_string())?;
            (solution, Some(report))
        }
    };
    let time = start.elapsed();
    let State { steps, .. } = solution.state;
    if args.check && !solution.has_bits_of(&solver.in_loops(None)) {
        return Err(format!("not what one strip after the other gives, with --seed {}", args.seed));
    }
    let residual = solver.residual(&solution);
    if !solution.state.is_small(args.tolerance) {
        return Err(format!(
            "after {steps} iterations the residual is still {residual:.2e}, with --seed {}",
            args.seed
        ));
    }
    if let Some(path) = &args.image {
        draw(path, &mesh, &solution.values)
            .map_err(|error| format!("'{}' cannot be written: {error}", path.display()))?;
    }
    let unknowns = solution.values.len();
    let mut lines = vec![
        format!("{unknowns} unknowns, {} triangles", mesh.triangles.len()),
        format!("{steps} iterations: residual {residual:.2e}, error {:.3e}", mesh.error(&solution.values)),
    ];
    lines.extend(args.check.then(|| "as one strip after the other gives".to_owned()));
    if let Some(report) = report.filter(|_| args.report) {
        say(&format!("\n{report}"));
    }
    let each = time.as_nanos() as f64 / (unknowns as f64 * steps as f64).max(1.0);
    say(&format!("{time:.2?}, {each:.3} ns for an unknown in an iteration"));
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

// ---- a strip of the matrix -----------------------------------------------------------------------------------------

/// Some rows of the matrix, and of the right side.
struct Rows {
    /// The number of the first row.
    first: usize,
    /// Where the entries of each row end.
    ends: Vec<usize>,
    columns: Vec<u32>,
    entries: Vec<f64>,
    right: Vec<f64>,
}

impl Rows {
    /// Makes rows. Each of them takes what the triangles at its point give, in the order of the triangles.
    fn assemble(mesh: &Mesh, rows: Range<usize>) -> Self {
        let [start, end] = [rows.start, rows.end].map(|row| mesh.touching.partition_point(|(own, _)| *own < row));
        let mut made = Self { first: rows.start, ends: vec![], columns: vec![], entries: vec![], right: vec![] };
        let mut row: Vec<(usize, f64)> = Vec::new();
        for touching in mesh.touching[start..end].chunk_by(|one, other| one.0 == other.0) {
            let mut right = 0.0;
            for (own, triangle) in touching {
                let mut corners = mesh.triangles[*triangle];
                let place = corners.iter().position(|corner| mesh.unknown[*corner] == Some(*own));
                corners.rotate_left(place.expect("the triangle touches it"));
                let [a, b, c] = corners.map(|corner| mesh.points[corner]);
                let area = cross(minus(b, a), minus(c, a)) / 2.0;
                right += area / 3.0;
                let across = [minus(c, b), minus(a, c), minus(b, a)];
                for (corner, side) in corners.into_iter().zip(across) {
                    let entry = dot(&across[0], &side) / (4.0 * area);
                    match mesh.unknown[corner] {
                        Some(column) => row.push((column, entry)),
                        None => right -= entry * Mesh::exact(mesh.points[corner]),
                    }
                }
            }
            row.sort_by_key(|(column, _)| *column); // entries of one column stay in their order
            for same in row.chunk_by(|one, other| one.0 == other.0) {
                made.columns.push(u32::try_from(same[0].0).expect("there are fewer unknowns"));
                made.entries.push(same.iter().map(|(_, entry)| entry).sum());
            }
            made.ends.push(made.columns.len());
            made.right.push(right);
            row.clear();
        }
        made
    }

    /// Multiplies the rows with a vector of which the parts before, at and behind them are given. Returns the share of
    /// this strip in the inner product of the vector and what comes out.
    fn multiply(&self, [before, own, behind]: [&[f64]; 3], to: &mut [f64]) -> f64 {
        let last = self.first + own.len();
        let at = |column: &u32| match *column as usize {
            column if column < self.first => before[before.len() + column - self.first],
            column if column < last => own[column - self.first],
            column => behind[column - last],
        };
        let is_own =
            |column: Option<&u32>| column.is_none_or(|column| (self.first..last).contains(&(*column as usize)));
        let (mut start, mut share) = (0, 0.0);
        for ((end, value), to) in self.ends.iter().zip(own).zip(to) {
            let (columns, entries) = (&self.columns[start..*end], &self.entries[start..*end]);
            let entries = entries.iter().zip(columns);
            *to = if is_own(columns.first()) && is_own(columns.last()) {
                entries.map(|(entry, column)| entry * own[*column as usize - self.first]).sum()
            } else {
                entries.map(|(entry, column)| entry * at(column)).sum()
            };
            share += value * *to;
            start = *end;
        }
        share
    }
}

// ---- conjugate gradients -------------------------------------------------------------------------------------------

/// Where the iteration is.
#[derive(Clone, Copy)]
struct State {
    steps: u64,
    /// The square of the right side.
    right: f64,
    /// The square of the residual.
    square: f64,
    /// How much of the last direction the next one has.
    keep: f64,
}

impl State {
    fn new(square: f64) -> Self {
        Self { steps: 0, right: square, square, keep: 0.0 }
    }

    fn is_small(&self, tolerance: f64) -> bool {
        self.square <= tolerance * tolerance * self.right
    }

    fn next(&mut self, square: f64) {
        *self = Self { steps: self.steps + 1, square, keep: square / self.square, ..*self };
    }
}

/// Turns a direction towards the residual.
fn turn(keep: f64, residual: &[f64], direction: &mut [f64]) {
    direction.iter_mut().zip(residual).for_each(|(direction, residual)| *direction = residual + keep * *direction);
}

/// Goes so far along the direction. `product` is the matrix times the direction. Returns the share of this strip in
/// the square of the residual.
fn advance(far: f64, direction: &[f64], product: &[f64], values: &mut [f64], residual: &mut [f64]) -> f64 {
    values.iter_mut().zip(direction).for_each(|(value, direction)| *value += far * direction);
    residual.iter_mut().zip(product).for_each(|(residual, product)| *residual -= far * product);
    dot(residual, residual)
}

struct Solution {
    values: Vec<f64>,
    rows: Vec<Rows>,
    state: State,
}

impl Solution {
    fn has_bits_of(&self, other: &Self) -> bool {
        let bits = |solution: &Self| -> Vec<u64> { solution.values.iter().map(|value| value.to_bits()).collect() };
        bits(self) == bits(other) && self.state.steps == other.state.steps
    }
}

#[derive(Clone, Copy)]
struct Solver<'m> {
    mesh: &'m Mesh,
    strip: usize,
    tolerance: f64,
    most: u64,
}

impl<'m> Solver<'m> {
    /// The rows of each strip.
    fn strips(self) -> Vec<Range<usize>> {
        let all = self.mesh.unknowns();
        (0..all).step_by(self.strip).map(|start| start..all.min(start + self.strip)).collect()
    }

    /// One strip after the other if there is no pool.
    fn in_loops(self, pool: Option<&Pool>) -> Solution {
        let [mut values, mut residual, mut direction, mut product] = [(); 4].map(|()| vec![0.0; self.mesh.unknowns()]);
        let mut rows: Vec<(Range<usize>, Option<Rows>)> = self.strips().into_iter().map(|rows| (rows, None)).collect();
        each(pool, &mut rows, |_, (range, rows)| *rows = Some(Rows::assemble(self.mesh, range.clone())));
        let (strips, rows): (Vec<_>, Vec<_>) =
            rows.into_iter().filter_map(|(range, rows)| Some((range, rows?))).unzip();
        for (range, rows) in strips.iter().zip(&rows) {
            residual[range.clone()].copy_from_slice(&rows.right);
        }
        let mut state = State::new(residual.chunks(self.strip).map(|strip| dot(strip, strip)).sum());
        while !state.is_small(self.tolerance) && state.steps < self.most {
            let mut parts: Vec<_> = residual.chunks(self.strip).zip(direction.chunks_mut(self.strip)).collect();
            each(pool, &mut parts, |_, (residual, direction)| turn(state.keep, residual, direction));

            let mut parts: Vec<_> = product.chunks_mut(self.strip).map(|product| (product, 0.0)).collect();
            each(pool, &mut parts, |strip, (product, share)| {
                let Range { start, end } = strips[strip];
                let around = [&direction[..start], &direction[start..end], &direction[end..]];
                *share = rows[strip].multiply(around, product);
            });
            let far = state.square / parts.iter().map(|(_, share)| share).sum::<f64>();

            let given = direction.chunks(self.strip).zip(product.chunks(self.strip));
            let changed = values.chunks_mut(self.strip).zip(residual.chunks_mut(self.strip));
            let mut parts: Vec<_> = given.zip(changed).map(|parts| (parts, 0.0)).collect();
            each(pool, &mut parts, |_, (((direction, product), (values, residual)), share)| {
                *share = advance(far, direction, product, values, residual);
            });
            state.next(parts.iter().map(|(_, share)| share).sum());
        }
        Solution { values, rows, state }
    }

    fn in_a_graph(self, pool: &Pool) -> Result<(Solution, Report), millstream::Error> {
        let g = Graph::new();
        let assemble =
            |strip: Range<usize>| g.task((), move |()| Rows::assemble(self.mesh, strip.clone())).named("assemble");
        let rows: Vec<Data<Rows>> = self.strips().into_iter().map(assemble).collect();
        let vectors = ["values", "residual", "direction", "product"]
            .map(|name| g.data(vec![0.0; self.mesh.unknowns()]).named(name));
        let parts = vectors.each_ref().map(|vector| g.chunks(vector, self.strip));
        let begin = |(rows, residual): (&Data<Rows>, &Part<f64>)| {
            let share = g.task((rows.read(), residual.write()), |(rows, residual)| {
                residual.copy_from_slice(&rows.right);
                dot(residual, residual)
            });
            share.named("begin")
        };
        let shares: Vec<Data<f64>> = rows.iter().zip(&parts[1]).map(begin).collect();
        let state = g.task(reads(&shares), |shares| State::new(shares.iter().sum())).named("state");
        let is_done = move |state: &State| state.is_small(self.tolerance);
        let iteration = |g: &Graph<'m>| Self::iteration(g, &rows, &parts, &state);
        let iterations = |g: &Graph<'m>| _ = g.repeat_until(&state, is_done, iteration).at_most(self.most);
        g.when(&state, move |state| !is_done(state), iterations);
        let mut run = pool.run(g)?;
        let [values, ..] = vectors;
        let rows = rows.into_iter().map(|rows| run.take(rows)).collect();
        let solution = Solution { values: run.take(values), rows, state: run.take(state) };
        Ok((solution, run.report()))
    }

    /// Adds the tasks of an iteration.
    fn iteration<'env>(
        g: &Graph<'env>,
        rows: &[Data<Rows>],
        [values, residual, direction, product]: &[Vec<Part<f64>>; 4],
        state: &Data<State>,
    ) {
        let strips = 0..rows.len();
        for strip in strips.clone() {
            let access = (state.read(), residual[strip].read(), direction[strip].write());
            g.task(access, |(state, residual, direction)| turn(state.keep, residual, direction)).named("turn");
        }
        let multiply = |strip: usize| {
            // At an end of the matrix a strip stands for its neighbour, which no entry needs.
            let [before, own, behind] =
                [strip.saturating_sub(1), strip, (strip + 1).min(rows.len() - 1)].map(|strip| direction[strip].read());
            let access = (rows[strip].read(), before, own, behind, product[strip].write());
            let share =
                g.task(access, |(rows, before, own, behind, product)| rows.multiply([before, own, behind], product));
            share.named("multiply")
        };
        let shares: Vec<Data<f64>> = strips.clone().map(multiply).collect();
        let far = g
            .task((reads(&shares), state.read()), |(shares, state)| state.square / shares.iter().sum::<f64>())
            .named("how far");
        let advance = |strip: usize| {
            let given = (far.read(), direction[strip].read(), product[strip].read());
            let access = (given, (values[strip].write(), residual[strip].write()));
            let share = g.task(access, |((far, direction, product), (values, residual))| {
                advance(*far, direction, product, values, residual)
            });
            share.named("advance")
        };
        let shares: Vec<Data<f64>> = strips.map(advance).collect();
        g.task((reads(&shares), state.write()), |(shares, state)| state.next(shares.iter().sum())).named("next");
    }

    /// How large the residual is, computed anew, in comparison with the right side.
    fn residual(self, Solution { values, rows, .. }: &Solution) -> f64 {
        let (mut residual, mut right) = (0.0, 0.0);
        for rows in rows {
            let end = rows.first + rows.right.len();
            let mut product = rows.right.clone();
            rows.multiply([&values[..rows.first], &values[rows.first..end], &values[end..]], &mut product);
            residual += rows.right.iter().zip(&product).map(|(right, product)| (right - product).powi(2)).sum::<f64>();
            right += dot(&rows.right, &rows.right);
        }
        if residual > 0.0 { (residual / right).sqrt() } else { 0.0 }
    }
}

/// Calls a function with all items: from all workers of a pool, or one after the other.
fn each<T: Send>(pool: Option<&Pool>, items: &mut [T], call: impl Fn(usize, &mut T) + Sync) {
    match pool {
        Some(pool) => pool.for_each_mut(items, call),
        None => items.iter_mut().enumerate().for_each(|(number, item)| call(number, item)),
    }
}
