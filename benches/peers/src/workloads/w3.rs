//! W3: task graphs that are built once and run again and again.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use millstream::access::Access;
use millstream::{Data, Graph, Plan, Pool};
use rayon::prelude::*;

use super::Workload;
use crate::byhand::Crew;
use crate::cli::Options;
use crate::machine;
use crate::measure::{Figures, Lineup, Metric, milliseconds, ns_per, time};
use crate::peers::{self, Peer};
use crate::shape::{Lists, Shape};
use crate::tasks::{self, MICROSECOND};

/// Runs of a graph in one turn, and of the one whose tasks work. The first one counts apart, and those in which a plan may learn
/// do not count.
const LEARNING: u64 = 4;
const AGAIN: u64 = 20;
const AGAIN_WORKING: u64 = 3;

pub fn workloads() -> Vec<Workload> {
    fn empty(name: &'static str, what: &'static str, shape: fn(&Options) -> Shape) -> Workload {
        Workload::new(name, what, move |options| lineup(options, shape(options), alike))
    }
    fn mixed(name: &'static str, what: &'static str, shape: fn(&Options) -> Shape) -> Workload {
        Workload::new(name, what, move |options| lineup(options, shape(options), at_random))
    }
    vec![
        empty("W3a", "a chain of 100 000 empty tasks", |options| Shape::chain(options.size(100_000, 1000))),
        empty("W3b", "100 000 independent empty tasks", |options| Shape::independent(options.size(100_000, 1000))),
        empty("W3c", "wavefront of 256 x 256 empty tasks", |options| Shape::wavefront(options.size(256, 16))),
        empty("W3d", "random: 100 layers of 1000 empty tasks, each after 4", |options| {
            Shape::random(options.size(100, 10), options.size(1000, 100))
        }),
        empty("W3e", "tree of 2^17 - 1 empty tasks, and mirrored", |options| Shape::tree(options.size(17, 7))),
        mixed("W3b-8", "W3b with eight kinds of tasks at random", |options| {
            Shape::independent(options.size(100_000, 1000))
        }),
        mixed("W3d-8", "W3d with eight kinds of tasks at random", |options| {
            Shape::random(options.size(100, 10), options.size(1000, 100))
        }),
        Workload::new("W3f", "wavefront of 256 x 256 tasks of about 1 us", working_lineup).with_efficiency(),
    ]
}

/// The kind of a task. None: all are of one kind.
type KindOf = fn(u32) -> Option<usize>;

fn alike(_: u32) -> Option<usize> {
    None
}

fn at_random(task: u32) -> Option<usize> {
    Some((task.wrapping_mul(0x9E37_79B9) >> 29) as usize % tasks::KINDS)
}

/// The empty task.
fn fire(kind: Option<usize>) {
    match kind {
        None => tasks::count(),
        Some(kind) => tasks::count_as_kind(kind),
    }
}

/// Builds what runs the graph, runs it once, then `again` times.
fn measure<G>(shape: &Shape, again: u64, build: impl FnOnce() -> G, mut run: impl FnMut(&mut G)) -> Figures {
    let tasks = shape.tasks() as u64;
    let before = machine::allocated_bytes();
    let (built, mut graph) = time(build);
    let bytes = machine::allocated_bytes().saturating_sub(before);
    let (first, ()) = time(|| tasks::counting(tasks, || run(&mut graph)));
    tasks::counting(tasks * LEARNING, || (0..LEARNING).for_each(|_| run(&mut graph)));
    let (ran, ()) = time(|| tasks::counting(tasks * again, || (0..again).for_each(|_| run(&mut graph))));
    vec![
        (Metric::NsPerTask, ns_per(tasks * again, ran)),
        (Metric::BuildNsPerTask, ns_per(tasks, built)),
        (Metric::FirstNsPerTask, ns_per(tasks, first)),
        (Metric::BytesPerTask, bytes as f64 / tasks as f64),
    ]
}

/// Adds an empty task.
fn add<A: Access + 'static>(g: &Graph<'static>, access: A, kind: Option<usize>) -> Data<()> {
    match kind {
        None => g.task(access, |_| tasks::count()),
        Some(0) => g.task(access, |_| tasks::count_as::<0>()),
        Some(1) => g.task(access, |_| tasks::count_as::<1>()),
        Some(2) => g.task(access, |_| tasks::count_as::<2>()),
        Some(3) => g.task(access, |_| tasks::count_as::<3>()),
        Some(4) => g.task(access, |_| tasks::count_as::<4>()),
        Some(5) => g.task(access, |_| tasks::count_as::<5>()),
        Some(6) => g.task(access, |_| tasks::count_as::<6>()),
        Some(_) => g.task(access, |_| tasks::count_as::<7>()),
    }
}

/// Each task reads the results of those before it.
fn millstream_plan(pool: &Pool, shape: &Shape, kind: KindOf) -> Plan<'static> {
    let g = Graph::new();
    let mut done: Vec<Data<()>> = Vec::with_capacity(shape.tasks());
    for task in 0..shape.tasks() {
        let kind = kind(task as u32);
        let task = match *shape.before.of(task) {
            [] => add(&g, (), kind),
            [a] => add(&g, done[a as usize].read(), kind),
            [a, b] => add(&g, (done[a as usize].read(), done[b as usize].read()), kind),
            [a, b, c, d] => {
                let [a, b, c, d] = [a, b, c, d].map(|before| done[before as usize].read());
                add(&g, (a, b, c, d), kind)
            }
            _ => unreachable!("no shape has such a task"),
        };
        done.push(task);
    }
    g.plan(pool).expect("a sound graph")
}

/// What rayon's users do with a graph.
enum Rayon {
    /// The tasks of a level at the same time, level after level.
    Levels(Vec<Vec<u32>>),
    /// Spawns what has become ready: levels of one task would be a plain loop.
    Spawn { after: Lists, before: Vec<u32>, missing: Vec<AtomicU32> },
}

impl Rayon {
    fn build(shape: &Shape) -> Self {
        let levels = shape.levels();
        if levels.len() < shape.tasks() {
            return Self::Levels(levels);
        }
        let before: Vec<u32> = (0..shape.tasks()).map(|task| shape.before.of(task).len() as u32).collect();
        let missing = before.iter().map(|count| AtomicU32::new(*count)).collect();
        Self::Spawn { after: shape.after(), before, missing }
    }

    fn run(&self, kind: KindOf) {
        match self {
            Self::Levels(levels) => {
                levels.iter().for_each(|level| level.par_iter().for_each(|task| fire(kind(*task))));
            }
            Self::Spawn { before, .. } => rayon::scope(|scope| {
                let roots = (0..before.len()).filter(|task| before[*task] == 0);
                roots.for_each(|task| scope.spawn(move |scope| self.fire(task, kind, scope)));
            }),
        }
    }

    fn fire<'scope>(&'scope self, task: usize, kind: KindOf, scope: &rayon::Scope<'scope>) {
        fire(kind(task as u32));
        let Self::Spawn { after, before, missing } = self else { return };
        for &task in after.of(task) {
            let task = task as usize;
            if missing[task].fetch_sub(1, Ordering::AcqRel) == 1 {
                missing[task].store(before[task], Ordering::Relaxed);
                scope.spawn(move |scope| self.fire(task, kind, scope));
            }
        }
    }
}

fn lineup(options: &Options, shape: Shape, kind: KindOf) -> Lineup {
    let again = options.size(AGAIN, 2);
    let shape = Rc::new(shape);
    let mut lineup = Lineup::new(options);
    let serial = Rc::clone(&shape);
    lineup.serial(move |_| {
        let tasks = serial.tasks() as u64;
        let once = || (0..black_box(tasks)).for_each(|task| fire(kind(task as u32)));
        let (time, ()) = time(|| tasks::counting(tasks * again, || (0..again).for_each(|_| once())));
        vec![(Metric::NsPerTask, ns_per(tasks * again, time))]
    });
    lineup.each(Peer::Millstream, |threads| {
        let (options, shape) = (options.clone(), Rc::clone(&shape));
        move |_| {
            let pool = options.millstream(threads);
            let build = || millstream_plan(&pool, &shape, kind);
            measure(&shape, again, build, |plan| plan.run().expect("nothing fails"))
        }
    });
    lineup.each(Peer::Rayon, |threads| {
        let shape = Rc::clone(&shape);
        move |_| {
            let (pool, shape) = (peers::rayon_pool(threads), &*shape);
            pool.install(|| measure(shape, again, || Rayon::build(shape), |graph| graph.run(kind)))
        }
    });
    lineup.each(Peer::ByHand, |threads| {
        let shape = Rc::clone(&shape);
        move |_| {
            let build = || Crew::new(threads, &shape, move |task| fire(kind(task)));
            measure(&shape, again, build, |crew| crew.run())
        }
    });
    #[cfg(feature = "tbb")]
    lineup.each(Peer::Tbb, |threads| {
        let shape = Rc::clone(&shape);
        move |_| {
            let pool = crate::tbb::Pool::new(threads);
            let build = || pool.graph(&shape, move |task| fire(kind(task)));
            let mut figures = measure(&shape, again, build, |graph| graph.run());
            figures.retain(|(metric, _)| *metric != Metric::BytesPerTask); // it has an allocator of its own
            figures
        }
    });
    lineup
}

// ---------------------------------------------------------------------------------------------------------------------
// W3f: tasks that work, on values that show whether the order was kept

/// What a task makes of the values of those before it.
fn value(before: impl IntoIterator<Item = u64>) -> u64 {
    let seed = before.into_iter().fold(1_u64, |all, one| all.wrapping_mul(3).wrapping_add(one));
    tasks::work(MICROSECOND, seed)
}

/// All values, for graphs whose runner keeps the order but knows of no values.
struct Cells {
    shape: Shape,
    values: Vec<AtomicU64>,
}

impl Cells {
    fn new(shape: &Shape) -> Self {
        Self { shape: shape.clone(), values: (0..shape.tasks()).map(|_| AtomicU64::new(0)).collect() }
    }

    // Relaxed: whoever keeps the order of tasks orders these too.
    fn compute(&self, task: u32) {
        let before = self.shape.before.of(task as usize).iter();
        let value = value(before.map(|from| self.values[*from as usize].load(Ordering::Relaxed)));
        self.values[task as usize].store(value, Ordering::Relaxed);
    }

    /// The last value; all are forgotten.
    fn finish(&self) -> u64 {
        let last = self.values.last().expect("not empty").load(Ordering::Relaxed);
        self.values.iter().for_each(|value| value.store(0, Ordering::Relaxed));
        last
    }
}

/// Once without a clock, then the mean of some runs.
fn measure_working(again: u64, expected: u64, mut run: impl FnMut() -> u64) -> Figures {
    assert_eq!(run(), expected, "the order was not kept");
    let (time, ()) = time(|| (0..again).for_each(|_| assert_eq!(run(), expected, "the order was not kept")));
    vec![(Metric::WallMs, milliseconds(time) / again as f64)]
}

fn working_lineup(options: &Options) -> Lineup {
    let shape = Rc::new(Shape::wavefront(options.size(256, 16)));
    let again = options.size(AGAIN_WORKING, 1);
    let serial = Cells::new(&shape);
    let mut in_order = move || {
        (0..serial.shape.tasks() as u32).for_each(|task| serial.compute(task));
        serial.finish()
    };
    let expected = in_order();
    let mut lineup = Lineup::new(options);
    lineup.serial(move |_| measure_working(again, expected, &mut in_order));
    lineup.each(Peer::Millstream, |threads| {
        let (options, shape) = (options.clone(), Rc::clone(&shape));
        move |_| {
            let pool = options.millstream(threads);
            let g = Graph::new();
            let mut cells: Vec<Data<u64>> = Vec::with_capacity(shape.tasks());
            for task in 0..shape.tasks() {
                let cell = match *shape.before.of(task) {
                    [] => g.task((), |()| value([])),
                    [a] => g.task(cells[a as usize].read(), |a| value([*a])),
                    [a, b] => g.task((cells[a as usize].read(), cells[b as usize].read()), |(a, b)| value([*a, *b])),
                    _ => unreachable!("no shape has such a task"),
                };
                cells.push(cell);
            }
            let last = cells.pop().expect("not empty");
            let mut plan = g.plan(&pool).expect("a sound graph");
            measure_working(again, expected, || {
                plan.run().expect("nothing fails");
                *plan.get(&last)
            })
        }
    });
    lineup.each(Peer::Rayon, |threads| {
        let shape = Rc::clone(&shape);
        move |_| {
            let (cells, levels) = (Cells::new(&shape), shape.levels());
            peers::rayon_pool(threads).install(|| {
                measure_working(again, expected, || {
                    levels.iter().for_each(|level| level.par_iter().for_each(|task| cells.compute(*task)));
                    cells.finish()
                })
            })
        }
    });
    lineup.each(Peer::ByHand, |threads| {
        let shape = Rc::clone(&shape);
        move |_| {
            let cells = Arc::new(Cells::new(&shape));
            let shared = Arc::clone(&cells);
            let crew = Crew::new(threads, &shape, move |task| shared.compute(task));
            measure_working(again, expected, || {
                crew.run();
                cells.finish()
            })
        }
    });
    #[cfg(feature = "tbb")]
    lineup.each(Peer::Tbb, |threads| {
        let shape = Rc::clone(&shape);
        move |_| {
            let (pool, cells) = (crate::tbb::Pool::new(threads), Cells::new(&shape));
            let graph = pool.graph(&shape, |task| cells.compute(task));
            measure_working(again, expected, || {
                graph.run();
                cells.finish()
            })
        }
    });
    lineup
}
