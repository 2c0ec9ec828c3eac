//! W8: a matrix is factorised in tiles, by tasks whose order follows from the tiles that they access.

use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use millstream::{Data, Graph, Pool};

use super::{Workload, w3};
use crate::cli::Options;
use crate::graphs::{self, Runner, Tasks, Work};
use crate::measure::{Figures, Lineup, mean_wall_ms, time};
use crate::peers::Peer;
use crate::shape::Shape;
use crate::tasks;

/// Rows of a tile, and tiles along an edge of the matrix.
const TILE: usize = 64;
const EDGE: usize = 16;
const AGAIN: u64 = 3;

pub fn workloads() -> Vec<Workload> {
    vec![Workload::new("W8", "Cholesky factor of 1024 x 1024 f64 in tiles of 64 x 64", lineup).with_efficiency()]
}

/// A tile, column by column.
#[derive(Clone, PartialEq)]
struct Tile(Box<[[f64; TILE]; TILE]>);

/// Subtracts a column times a number from another one, from a row on.
fn subtract(own: &mut [f64; TILE], other: &[f64; TILE], times: f64, from: usize) {
    own[from..].iter_mut().zip(&other[from..]).for_each(|(own, other)| *own -= other * times);
}

// The kernels have the names that they have in LAPACK. All peers call the same machine code.
impl Tile {
    /// A tile on the diagonal becomes its own factor.
    #[inline(never)]
    fn potrf(&mut self) {
        for step in 0..TILE {
            let (done, rest) = self.0.split_at_mut(step + 1);
            let first = &mut done[step];
            let pivot = first[step].sqrt();
            first[step..].iter_mut().for_each(|value| *value /= pivot);
            first[..step].fill(0.0);
            for (own, row) in rest.iter_mut().zip(step + 1..) {
                subtract(own, first, first[row], row);
            }
        }
    }

    /// A tile below the factor `first` of the one on the diagonal becomes a part of the whole factor.
    #[inline(never)]
    fn trsm(&mut self, first: &Self) {
        for step in 0..TILE {
            let (done, rest) = self.0.split_at_mut(step + 1);
            let done = &mut done[step];
            done.iter_mut().for_each(|value| *value /= first.0[step][step]);
            for (own, row) in rest.iter_mut().zip(step + 1..) {
                subtract(own, done, first.0[step][row], 0);
            }
        }
    }

    /// Subtracts a tile times its transpose from one on the diagonal, of which only what is not above it counts.
    #[inline(never)]
    fn syrk(&mut self, left: &Self) {
        for (row, own) in self.0.iter_mut().enumerate() {
            left.0.iter().for_each(|left| subtract(own, left, left[row], row));
        }
    }

    /// Subtracts a tile times the transpose of another one.
    #[inline(never)]
    fn gemm(&mut self, left: &Self, right: &Self) {
        for (row, own) in self.0.iter_mut().enumerate() {
            left.0.iter().zip(right.0.iter()).for_each(|(left, right)| subtract(own, left, right[row], 0));
        }
    }
}

/// What a task does, with the numbers of its tiles; the last one is written.
#[derive(Clone, Copy)]
enum Op {
    Potrf([usize; 1]),
    Trsm([usize; 2]),
    Syrk([usize; 2]),
    Gemm([usize; 3]),
}

impl Op {
    fn tiles(&self) -> &[usize] {
        match self {
            Self::Potrf(tiles) => tiles,
            Self::Trsm(tiles) | Self::Syrk(tiles) => tiles,
            Self::Gemm(tiles) => tiles,
        }
    }
}

/// The tiles of a matrix that are not above its diagonal, column by column, and how it is factorised.
struct Problem {
    edge: usize,
    matrix: Vec<Tile>,
    ops: Vec<Op>,
    shape: Shape,
}

impl Problem {
    fn new(edge: usize) -> Self {
        let at = |row, column| place(edge, row, column);
        let mut ops = Vec::new();
        for step in 0..edge {
            ops.push(Op::Potrf([at(step, step)]));
            ops.extend((step + 1..edge).map(|row| Op::Trsm([at(step, step), at(row, step)])));
            for column in step + 1..edge {
                ops.push(Op::Syrk([at(column, step), at(column, column)]));
                ops.extend((column + 1..edge).map(|row| Op::Gemm([at(row, step), at(column, step), at(row, column)])));
            }
        }
        // Who reads or writes a tile comes after who wrote it last. Nobody writes a tile that was read.
        let mut last = vec![None; place(edge, edge - 1, edge - 1) + 1];
        let shape = Shape::of(ops.len(), |task| {
            let tiles = ops[task as usize].tiles();
            let before = tiles.iter().filter_map(|tile| last[*tile]).collect();
            last[tiles[tiles.len() - 1]] = Some(task);
            before
        });
        let matrix = (0..edge).flat_map(|column| (column..edge).map(move |row| random(edge, row, column))).collect();
        Self { edge, matrix, ops, shape }
    }

    /// The factor, by one task after the other.
    fn factor(self: &Arc<Self>) -> Vec<Tile> {
        let tiles = Tiles::new(self);
        (0..self.ops.len() as u32).for_each(|task| tiles.call(task));
        let factor: Vec<Tile> = tiles.all().map(|tile| tile.clone()).collect();
        self.check(&factor);
        factor
    }

    /// Whether the factor times its transpose is the matrix, at some places.
    fn check(&self, factor: &[Tile]) {
        let entry = |tiles: &[Tile], row: usize, column: usize| {
            tiles[place(self.edge, row / TILE, column / TILE)].0[column % TILE][row % TILE]
        };
        for row in (0..self.edge * TILE).step_by(37) {
            for column in (0..=row).step_by(23) {
                let product: f64 = (0..=column).map(|k| entry(factor, row, k) * entry(factor, column, k)).sum();
                let error = (product - entry(&self.matrix, row, column)).abs();
                assert!(error < 1e-9, "row {row}, column {column} of the factor: wrong by {error}");
            }
        }
    }
}

/// The number of a tile that is not above the diagonal.
fn place(edge: usize, row: usize, column: usize) -> usize {
    column * (2 * edge + 1 - column) / 2 + row - column
}

/// A tile of a symmetric matrix, with so large a diagonal that it is positive definite.
fn random(edge: usize, row: usize, column: usize) -> Tile {
    let size = edge * TILE;
    let entry = |row: usize, column: usize| {
        let (high, low) = (row.max(column), row.min(column));
        let random = tasks::work(8, (high * size + low) as u64 * 2 + 1) >> 11;
        let diagonal = if row == column { size as f64 } else { 0.0 };
        diagonal + random as f64 / (1_u64 << 52) as f64 - 1.0
    };
    let mut tile = Tile(Box::new([[0.0; TILE]; TILE]));
    for (values, column) in tile.0.iter_mut().zip(column * TILE..) {
        values.iter_mut().zip(row * TILE..).for_each(|(value, row)| *value = entry(row, column));
    }
    tile
}

/// The tiles on their way from the matrix to the factor. A lock is never contended where the order is kept.
struct Tiles {
    problem: Arc<Problem>,
    tiles: Vec<RwLock<Tile>>,
}

impl Tiles {
    fn new(problem: &Arc<Problem>) -> Self {
        let tiles = problem.matrix.iter().map(|tile| RwLock::new(tile.clone())).collect();
        Self { problem: Arc::clone(problem), tiles }
    }

    fn read(&self, tile: usize) -> RwLockReadGuard<'_, Tile> {
        self.tiles[tile].try_read().expect("nobody writes it now")
    }

    fn write(&self, tile: usize) -> RwLockWriteGuard<'_, Tile> {
        self.tiles[tile].try_write().expect("nobody else has it now")
    }

    fn all(&self) -> impl Iterator<Item = RwLockReadGuard<'_, Tile>> {
        (0..self.tiles.len()).map(|tile| self.read(tile))
    }

    /// The matrix again, in the same memory.
    fn reset(&self) {
        for (tile, matrix) in self.problem.matrix.iter().enumerate() {
            self.write(tile).0.copy_from_slice(&matrix.0[..]);
        }
    }
}

impl Tasks for Tiles {
    fn call(&self, task: u32) {
        match self.problem.ops[task as usize] {
            Op::Potrf([own]) => self.write(own).potrf(),
            Op::Trsm([first, own]) => self.write(own).trsm(&self.read(first)),
            Op::Syrk([left, own]) => self.write(own).syrk(&self.read(left)),
            Op::Gemm([left, right, own]) => self.write(own).gemm(&self.read(left), &self.read(right)),
        }
    }
}

#[derive(Clone)]
struct Cholesky {
    problem: Arc<Problem>,
    factor: Arc<Vec<Tile>>,
    again: u64,
}

impl Cholesky {
    /// Setting the tiles anew and comparing them is not measured.
    fn measure_tiles(&self, tiles: &Tiles, mut run: impl FnMut()) -> Figures {
        mean_wall_ms(1 + w3::LEARNING, self.again, || {
            tiles.reset();
            let (time, ()) = time(&mut run);
            assert!(tiles.all().zip(&*self.factor).all(|(tile, factor)| *tile == *factor), "not the factor");
            time
        })
    }

    /// The same with a plan that is run again and again.
    fn millstream(&self, pool: &Pool) -> Figures {
        let g = Graph::new();
        let tiles: Vec<Data<Tile>> = self.problem.matrix.iter().map(|tile| g.data(tile.clone())).collect();
        for op in &self.problem.ops {
            match *op {
                Op::Potrf([own]) => g.task(tiles[own].write(), Tile::potrf),
                Op::Trsm([first, own]) => {
                    g.task((tiles[first].read(), tiles[own].write()), |(first, own)| own.trsm(first))
                }
                Op::Syrk([left, own]) => g.task((tiles[left].read(), tiles[own].write()), |(left, own)| own.syrk(left)),
                Op::Gemm([left, right, own]) => {
                    let access = (tiles[left].read(), tiles[right].read(), tiles[own].write());
                    g.task(access, |(left, right, own)| own.gemm(left, right))
                }
            };
        }
        let mut plan = g.plan(pool).expect("a sound graph");
        mean_wall_ms(1 + w3::LEARNING, self.again, || {
            for (tile, matrix) in tiles.iter().zip(&self.problem.matrix) {
                plan.get_mut(tile).0.copy_from_slice(&matrix.0[..]);
            }
            let (time, ()) = time(|| plan.run().expect("nothing fails"));
            assert!(tiles.iter().zip(&*self.factor).all(|(tile, factor)| plan.get(tile) == factor), "not the factor");
            time
        })
    }
}

impl Work for Cholesky {
    type Tasks = Arc<Tiles>;

    fn shape(&self) -> &Shape {
        &self.problem.shape
    }

    fn measure<G: Runner>(&self, build: impl FnOnce(Arc<Tiles>) -> G) -> Figures {
        let tiles = Arc::new(Tiles::new(&self.problem));
        let mut graph = build(Arc::clone(&tiles));
        self.measure_tiles(&tiles, || graph.run())
    }
}

fn lineup(options: &Options) -> Lineup {
    let problem = Arc::new(Problem::new(options.size(EDGE, 4)));
    let factor = Arc::new(problem.factor());
    let work = Cholesky { problem, factor, again: options.size(AGAIN, 1) };
    let mut lineup = Lineup::new(options);
    let serial = work.clone();
    lineup.serial(move |_| {
        let tiles = Tiles::new(&serial.problem);
        serial.measure_tiles(&tiles, || (0..serial.problem.ops.len() as u32).for_each(|task| tiles.call(task)))
    });
    lineup.each(Peer::Millstream, |threads| {
        let (options, work) = (options.clone(), work.clone());
        move |_| work.millstream(&options.millstream(threads))
    });
    graphs::add_peers(&mut lineup, &work);
    lineup
}
