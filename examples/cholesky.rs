//! The Cholesky factorisation of a matrix in tiles: a graph of tasks that follows from the order of the program.
//!
//! ```text
//! cargo run --release --example cholesky -- --size 2048 --tile 64 --report
//! ```
//!
//! Each tile of the lower triangle is a datum of its own. The program adds the tasks in the order of the sequential
//! algorithm and says which tiles each of them reads and writes. From that the library knows who waits for whom. So
//! the next column of tiles is under way while other tiles still take what the last column gives them, and the few
//! tasks that each step has to begin with, one after the other, hold nobody up. With `--how loop` two parallel loops
//! do a step, and all workers wait for each other after each of them. The factor is the same to the last bit in any
//! way.
//!
//! On two cores that saves next to nothing: 28.6 ms where the loops take 29.0, and one thread 55 (1024 rows, medians
//! of 7 turns, with the planning of the graph). It saves more with more workers. If a task took as long as it has
//! operations, 16 workers would be idle for 12 % of the time in the graph, and for 24 % in the loops.
//!
//! The algorithm is that of Buttari, Langou, Kurzak and Dongarra, "A class of parallel tiled linear algebra algorithms
//! for multicore architectures", 2009. The tasks have the names that their kernels have in LAPACK.

use std::io::{self, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use millstream::{Data, Graph, Pinning, Pool, Report, reads};

/// Rows and columns of the block that the innermost loop keeps in registers.
const HIGH: usize = 4;
const WIDE: usize = 4;
/// So many tiles are along an edge of the matrix, at most: there are about a sixth of the third power of that as tasks.
const MOST_TILES: usize = 128;
/// The residual, in units of the rounding error of so many additions as there are rows, must not be above this. The
/// test programs of LAPACK have the same bound.
const BOUND: f64 = 30.0;

/// Factorises a random symmetric matrix into a lower triangle and its transpose
///
/// The determinant and the residual go to standard output, times and the report to standard error.
#[derive(Parser)]
#[command(name = "cholesky")]
struct Args {
    /// Rows of the matrix
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..=16384))]
    size: u16,

    /// Rows of a tile
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=16384))]
    tile: u16,

    /// Another number makes another matrix
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// What is added to the entries on the diagonal, which lie between -1 and 1 as all others do [default: as many as
    /// the matrix has rows, with which it is positive definite]
    #[arg(long, value_name = "X", value_parser = diagonal, allow_negative_numbers = true)]
    diagonal: Option<f64>,

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

    /// Also compute it one tile after the other, and compare all entries
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Tasks on tiles, in a graph
    Graph,
    /// Two parallel loops over tiles for each column of tiles
    Loop,
    /// One thread (only the residual is computed by all workers)
    Sequential,
}

#[derive(Clone, Copy, ValueEnum)]
enum Pin {
    Auto,
    Cores,
    Nodes,
    Off,
}

/// Reads what is added to the diagonal.
fn diagonal(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().map_err(|error| error.to_string())?;
    if number.abs() <= 1e9 { Ok(number) } else { Err("not between -1e9 and 1e9".to_owned()) }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if usize::from(args.size.div_ceil(args.tile)) > MOST_TILES {
        let least = usize::from(args.size).div_ceil(MOST_TILES);
        let what = format!("{} rows need tiles of at least {least} rows, not {}", args.size, args.tile);
        Args::command().error(ErrorKind::ValueValidation, what).exit();
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say(&format!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let size = usize::from(args.size);
    let diagonal = args.diagonal.unwrap_or(size as f64);
    let matrix = Matrix { size, tile: usize::from(args.tile), seed: args.seed, diagonal };
    let pool = pool(args)?;
    let tiles = matrix.tiles();
    let start = Instant::now();
    let (factor, report) = match args.how {
        How::Sequential => (matrix.sequential(tiles)?, None),
        How::Loop => (matrix.in_loops(&pool, tiles)?, None),
        How::Graph => {
            let (factor, report) = matrix.in_a_graph(&pool, tiles)?;
            (factor, Some(report))
        }
    };
    let time = start.elapsed();
    if args.check && !same_bits(&factor, &matrix.sequential(matrix.tiles())?) {
        return Err(format!("not what one tile after the other gives, with --seed {}", args.seed));
    }
    let residual = matrix.residual(&pool, &factor);
    // A residual that is no number is not below the bound either.
    if residual.is_nan() || residual > BOUND {
        return Err(format!("the residual is {residual:.3}, and {BOUND} is the bound, with --seed {}", args.seed));
    }
    let determinant = 2.0 * factor.iter().flat_map(|column| column[0].diagonal()).map(f64::ln).sum::<f64>();
    let mut lines = vec![
        format!("{size} rows in tiles of {}: logarithm of the determinant {determinant:.6}", args.tile),
        format!("residual {residual:.3}, below {BOUND}"),
    ];
    lines.extend(args.check.then(|| "as one tile after the other gives".to_owned()));
    if let Some(report) = report.filter(|_| args.report) {
        say(&format!("\n{report}"));
    }
    let speed = (size as f64).powi(3) / 3.0 / time.as_nanos() as f64;
    say(&format!("{time:.2?}, {speed:.2} thousand million operations a second"));
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

// ---- the matrix ----------------------------------------------------------------------------------------------------

/// Tiles of a lower triangle, by columns. The first one of a column is on the diagonal.
type Columns<T> = Vec<Vec<T>>;

/// A symmetric matrix of which each entry is known by its row and column, cut into tiles of some rows.
#[derive(Clone, Copy)]
struct Matrix {
    size: usize,
    tile: usize,
    seed: u64,
    diagonal: f64,
}

impl Matrix {
    /// An entry on the diagonal or below it: between -1 and 1, by the generator splitmix64 (Steele, Lea and Flood,
    /// "Fast splittable pseudorandom number generators", 2014), whose numbers can be had in any order.
    fn entry(self, row: usize, column: usize) -> f64 {
        let number = (row * self.size + column) as u64 + 1;
        let mixed = self.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let random = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        if row == column { random + self.diagonal } else { random }
    }

    /// The rows, and columns, of the tiles with this number.
    fn rows(self, tile: usize) -> Range<usize> {
        tile * self.tile..self.size.min((tile + 1) * self.tile)
    }

    /// How many tiles are along an edge.
    fn edge(self) -> usize {
        self.size.div_ceil(self.tile)
    }

    fn tile(self, row: usize, column: usize) -> Tile {
        let rows = self.rows(row);
        // What is above the diagonal is as below it: nobody looks at it.
        let entry = |row: usize, column: usize| self.entry(row.max(column), row.min(column));
        let values = self.rows(column).flat_map(|column| rows.clone().map(move |row| entry(row, column))).collect();
        Tile { rows: rows.len(), values }
    }

    fn tiles(self) -> Columns<Tile> {
        let column = |column: usize| (column..self.edge()).map(|row| self.tile(row, column)).collect();
        (0..self.edge()).map(column).collect()
    }

    fn sequential(self, mut tiles: Columns<Tile>) -> Result<Columns<Tile>, String> {
        for step in 0..tiles.len() {
            let (done, rest) = tiles.split_at_mut(step + 1);
            let (first, below) = done[step].split_first_mut().expect("it is on the diagonal");
            first.potrf().map_err(|row| self.refusal(step, row))?;
            below.iter_mut().for_each(|tile| tile.trsm(first));
            for (column, tiles) in rest.iter_mut().enumerate() {
                for (row, tile) in (column..).zip(tiles) {
                    tile.take_from(below, row, column);
                }
            }
        }
        Ok(tiles)
    }

    fn in_loops(self, pool: &Pool, mut tiles: Columns<Tile>) -> Result<Columns<Tile>, String> {
        for step in 0..tiles.len() {
            let (done, rest) = tiles.split_at_mut(step + 1);
            let (first, below) = done[step].split_first_mut().expect("it is on the diagonal");
            first.potrf().map_err(|row| self.refusal(step, row))?;
            pool.for_each_mut(below, |_, tile| tile.trsm(first));
            let mut all = Vec::new();
            for (column, tiles) in rest.iter_mut().enumerate() {
                all.extend((column..).zip(tiles).map(|(row, tile)| (row, column, tile)));
            }
            pool.for_each_mut(&mut all, |_, (row, column, tile)| tile.take_from(below, *row, *column));
        }
        Ok(tiles)
    }

    fn in_a_graph(self, pool: &Pool, tiles: Columns<Tile>) -> Result<(Columns<Tile>, Report), String> {
        let g = Graph::new();
        let tiles: Columns<Data<Tile>> =
            tiles.into_iter().map(|column| column.into_iter().map(|tile| g.data(tile)).collect()).collect();
        let mut pivots = Vec::new();
        for (step, column) in tiles.iter().enumerate() {
            let (first, below) = column.split_first().expect("it is on the diagonal");
            pivots.push(g.task(first.write(), Tile::potrf).named("potrf"));
            for tile in below {
                g.task((first.read(), tile.write()), |(first, tile)| tile.trsm(first)).named("trsm");
            }
            for (column, tiles) in tiles[step + 1..].iter().enumerate() {
                let (own, lower) = tiles.split_first().expect("it is on the diagonal");
                let right = &below[column];
                g.task((right.read(), own.write()), |(right, own)| own.syrk(right)).named("syrk");
                for (left, tile) in below[column + 1..].iter().zip(lower) {
                    let access = (left.read(), right.read(), tile.write());
                    g.task(access, |(left, right, tile)| tile.gemm(left, right)).named("gemm");
                }
            }
        }
        let all = g.task(reads(&pivots), move |pivots| {
            let mut steps = pivots.iter().enumerate();
            steps.try_for_each(|(step, pivot)| pivot.map_err(|row| self.refusal(step, row)))
        });
        let all = all.named("pivots");
        let mut run = pool.run(g).map_err(|error| error.to_string())?;
        run.take(all)?;
        let report = run.report();
        let factor = tiles.into_iter().map(|column| column.into_iter().map(|tile| run.take(tile)).collect()).collect();
        Ok((factor, report))
    }

    /// Says that a row of a tile on the diagonal has no pivot.
    fn refusal(self, tile: usize, row: usize) -> String {
        format!("the matrix is not positive definite: row {} has no pivot above 0", tile * self.tile + row + 1)
    }

    /// How far the factor times its transpose is from the matrix: their difference, by the matrix, by the rounding
    /// error of as many additions as there are rows. It has plain loops of its own, so that an error of the kernels
    /// shows.
    fn residual(self, pool: &Pool, factor: &Columns<Tile>) -> f64 {
        let places: Vec<(usize, usize)> =
            (0..self.edge()).flat_map(|column| (column..self.edge()).map(move |row| (row, column))).collect();
        let squares = pool.map_collect(&places, |&(row, column)| {
            let whole = self.tile(row, column);
            let mut rest = whole.clone();
            for (step, tiles) in factor.iter().enumerate().take(column + 1) {
                rest.gemm_plainly(&tiles[row - step], &tiles[column - step]);
            }
            // A tile below the diagonal stands for the one above it, too.
            let times = if row == column { 1.0 } else { 2.0 };
            [rest, whole].map(|tile| times * tile.values.iter().map(|value| value * value).sum::<f64>())
        });
        let [rest, whole] = squares.iter().fold([0.0, 0.0], |sum, part| [sum[0] + part[0], sum[1] + part[1]]);
        (rest / whole).sqrt() / (self.size as f64 * f64::EPSILON)
    }
}

// ---- tiles ---------------------------------------------------------------------------------------------------------

/// A tile of a matrix, column by column.
#[derive(Clone)]
struct Tile {
    rows: usize,
    values: Vec<f64>,
}

impl Tile {
    /// The entries on the diagonal.
    fn diagonal(&self) -> impl Iterator<Item = f64> {
        self.values.iter().step_by(self.rows + 1).copied()
    }

    /// The columns from this one on that one block of registers takes, after those before it.
    fn block(&mut self, start: usize) -> (&[f64], &mut [f64]) {
        let (done, rest) = self.values.split_at_mut(start * self.rows);
        let end = rest.len().min(WIDE * self.rows);
        (done, &mut rest[..end])
    }

    /// Makes a tile on the diagonal its own factor. The error is the first row that has no pivot above 0.
    fn potrf(&mut self) -> Result<(), usize> {
        let rows = self.rows;
        for start in (0..rows).step_by(WIDE) {
            let (done, block) = self.block(start);
            let done = Panel { values: done, rows, from: start };
            subtract(block, done, done);
            for (row, column) in (start..rows).zip(0..WIDE) {
                let (before, own) = block.split_at_mut(column * rows);
                for before in before.chunks_exact(rows) {
                    subtract_column(&mut own[row..rows], &before[row..], before[row]);
                }
                let pivot = own[row];
                if pivot.is_nan() || pivot <= 0.0 {
                    return Err(row);
                }
                own[..row].fill(0.0);
                own[row..rows].iter_mut().for_each(|own| *own /= pivot.sqrt());
            }
        }
        Ok(())
    }

    /// Makes a tile a part of the factor. The factor of the tile on the diagonal above it is `first`.
    fn trsm(&mut self, first: &Self) {
        let rows = self.rows;
        for start in (0..first.rows).step_by(WIDE) {
            let (done, block) = self.block(start);
            subtract(block, Panel { values: done, rows, from: 0 }, first.panel(start));
            for (row, column) in (start..first.rows).zip(0..WIDE) {
                let (before, own) = block.split_at_mut(column * rows);
                for (before, place) in before.chunks_exact(rows).zip(start..) {
                    subtract_column(&mut own[..rows], before, first.values[place * first.rows + row]);
                }
                let pivot = first.values[row * first.rows + row];
                own[..rows].iter_mut().for_each(|own| *own /= pivot);
            }
        }
    }

    /// Subtracts from a tile on the diagonal what a tile at its left times its transpose is. Only what is not above the
    /// diagonal counts.
    fn syrk(&mut self, left: &Self) {
        for start in (0..self.rows).step_by(WIDE) {
            subtract(self.block(start).1, left.panel(start), left.panel(start));
        }
    }

    /// Subtracts from a tile what a tile at its left, times the transpose of another one, is.
    fn gemm(&mut self, left: &Self, right: &Self) {
        for start in (0..right.rows).step_by(WIDE) {
            subtract(self.block(start).1, left.panel(0), right.panel(start));
        }
    }

    /// Does the one or the other, with the tiles below the diagonal of a column at the left. The two numbers count
    /// from there.
    fn take_from(&mut self, tiles: &[Self], row: usize, column: usize) {
        if row == column { self.syrk(&tiles[row]) } else { self.gemm(&tiles[row], &tiles[column]) }
    }

    /// As `gemm`, in plain loops.
    fn gemm_plainly(&mut self, left: &Self, right: &Self) {
        for (row, own) in self.values.chunks_exact_mut(self.rows).enumerate() {
            for (left, right) in left.values.chunks_exact(left.rows).zip(right.values.chunks_exact(right.rows)) {
                subtract_column(own, left, right[row]);
            }
        }
    }

    /// All columns, from a row on.
    fn panel(&self, from: usize) -> Panel<'_> {
        Panel { values: &self.values, rows: self.rows, from }
    }
}

/// Columns of a tile, of which only what is not above the row `from` counts.
#[derive(Clone, Copy)]
struct Panel<'a> {
    values: &'a [f64],
    rows: usize,
    from: usize,
}

/// Subtracts from some columns of a tile, `WIDE` at most, what `left` times the transpose of `right` is, as far as the
/// one with fewer columns goes.
fn subtract(columns: &mut [f64], left: Panel<'_>, right: Panel<'_>) {
    let wide = right.from + WIDE <= right.rows;
    for row in (left.from..left.rows).step_by(HIGH) {
        let left = Panel { from: row, ..left };
        let products = if wide && row + HIGH <= left.rows {
            products(left, right, whole, whole)
        } else {
            products(left, right, padded, padded)
        };
        for (column, products) in columns.chunks_exact_mut(left.rows).zip(products) {
            column[row..].iter_mut().zip(products).for_each(|(value, product)| *value -= product);
        }
    }
}

/// A block of what `left` times the transpose of `right` is, which the processor keeps in registers meanwhile.
#[inline]
fn products(
    left: Panel<'_>,
    right: Panel<'_>,
    high: impl Fn(&[f64]) -> [f64; HIGH],
    wide: impl Fn(&[f64]) -> [f64; WIDE],
) -> [[f64; HIGH]; WIDE] {
    let mut sums = [[0.0; HIGH]; WIDE];
    for (of_left, of_right) in left.values.chunks_exact(left.rows).zip(right.values.chunks_exact(right.rows)) {
        let values = high(&of_left[left.from..]);
        for (sums, times) in sums.iter_mut().zip(wide(&of_right[right.from..])) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * times);
        }
    }
    sums
}

/// The first values.
fn whole<const N: usize>(values: &[f64]) -> [f64; N] {
    *values.first_chunk().expect("there are so many")
}

/// The first values, and zeros if there are fewer.
fn padded<const N: usize>(values: &[f64]) -> [f64; N] {
    let mut all = [0.0; N];
    all.iter_mut().zip(values).for_each(|(to, value)| *to = *value);
    all
}

/// Subtracts a column times a number from another one.
fn subtract_column(own: &mut [f64], other: &[f64], times: f64) {
    own.iter_mut().zip(other).for_each(|(own, other)| *own -= other * times);
}

/// Whether all entries of two factors are the same to the last bit.
fn same_bits(one: &Columns<Tile>, other: &Columns<Tile>) -> bool {
    let bits = |tiles: &Columns<Tile>| -> Vec<u64> {
        tiles.iter().flatten().flat_map(|tile| tile.values.iter().map(|value| value.to_bits())).collect()
    };
    bits(one) == bits(other)
}
