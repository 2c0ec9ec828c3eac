//! W3: task graphs that are built once and run again and again.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millstream::access::Access;
use millstream::{Data, Graph, Plan, Pool};

use super::Workload;
use crate::cli::Options;
use crate::graphs::{self, Runner, Tasks, Work};
use crate::machine;
use crate::measure::{Figures, Lineup, Metric, mean_wall_ms, ns_per, time};
use crate::peers::Peer;
use crate::shape::Shape;
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

fn lineup(options: &Options, shape: Shape, kind: KindOf) -> Lineup {
    let again = options.size(AGAIN, 2);
    let shape = Arc::new(shape);
    let mut lineup = Lineup::new(options);
    let serial = Arc::clone(&shape);
    lineup.serial(move |_| {
        let tasks = serial.tasks() as u64;
        let once = || (0..black_box(tasks)).for_each(|task| fire(kind(task as u32)));
        let (time, ()) = time(|| tasks::counting(tasks * again, || (0..again).for_each(|_| once())));
        vec![(Metric::NsPerTask, ns_per(tasks * again, time))]
    });
    lineup.each(Peer::Millstream, |threads| {
        let (options, shape) = (options.clone(), Arc::clone(&shape));
        move |_| {
            let pool = options.millstream(threads);
            let build = || millstream_plan(&pool, &shape, kind);
            measure(&shape, again, build, |plan| plan.run().expect("nothing fails"))
        }
    });
    graphs::add_peers(&mut lineup, &Empty { shape, again, kind });
    lineup
}

/// Empty tasks, for peers that run numbered ones.
#[derive(Clone)]
struct Empty {
    shape: Arc<Shape>,
    again: u64,
    kind: KindOf,
}

struct Fire(KindOf);

impl Tasks for Fire {
    #[inline]
    fn call(&self, task: u32) {
        fire((self.0)(task));
    }
}

impl Work for Empty {
    type Tasks = Fire;

    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn measure<G: Runner>(&self, build: impl FnOnce(Fire) -> G) -> Figures {
        measure(&self.shape, self.again, || build(Fire(self.kind)), Runner::run)
    }
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

    /// The last value; all are forgotten.
    fn finish(&self) -> u64 {
        let last = self.values.last().expect("not empty").load(Ordering::Relaxed);
        self.values.iter().for_each(|value| value.store(0, Ordering::Relaxed));
        last
    }
}

impl Tasks for Cells {
    // Relaxed: whoever keeps the order of tasks orders these too.
    fn call(&self, task: u32) {
        let before = self.shape.before.of(task as usize).iter();
        let value = value(before.map(|from| self.values[*from as usize].load(Ordering::Relaxed)));
        self.values[task as usize].store(value, Ordering::Relaxed);
    }
}

/// Tasks that work, for peers that run numbered ones.
#[derive(Clone)]
struct Working {
    shape: Arc<Shape>,
    again: u64,
    expected: u64,
}

impl Working {
    /// A run says how long it took, and the last value.
    fn measure_runs(&self, mut run: impl FnMut() -> (Duration, u64)) -> Figures {
        mean_wall_ms(self.again, || {
            let (time, last) = run();
            assert_eq!(last, self.expected, "the order was not kept");
            time
        })
    }
}

impl Work for Working {
    type Tasks = Arc<Cells>;

    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn measure<G: Runner>(&self, build: impl FnOnce(Arc<Cells>) -> G) -> Figures {
        let cells = Arc::new(Cells::new(&self.shape));
        let mut graph = build(Arc::clone(&cells));
        self.measure_runs(|| (time(|| graph.run()).0, cells.finish()))
    }
}

fn working_lineup(options: &Options) -> Lineup {
    let shape = Arc::new(Shape::wavefront(options.size(256, 16)));
    let serial = Cells::new(&shape);
    let in_order = move || {
        let (time, ()) = time(|| (0..serial.shape.tasks() as u32).for_each(|task| serial.call(task)));
        (time, serial.finish())
    };
    let work = Working { shape, again: options.size(AGAIN_WORKING, 1), expected: in_order().1 };
    let mut lineup = Lineup::new(options);
    let serial = work.clone();
    lineup.serial(move |_| serial.measure_runs(&in_order));
    lineup.each(Peer::Millstream, |threads| {
        let (options, work) = (options.clone(), work.clone());
        move |_| {
            let pool = options.millstream(threads);
            let g = Graph::new();
            let mut cells: Vec<Data<u64>> = Vec::with_capacity(work.shape.tasks());
            for task in 0..work.shape.tasks() {
                let cell = match *work.shape.before.of(task) {
                    [] => g.task((), |()| value([])),
                    [a] => g.task(cells[a as usize].read(), |a| value([*a])),
                    [a, b] => g.task((cells[a as usize].read(), cells[b as usize].read()), |(a, b)| value([*a, *b])),
                    _ => unreachable!("no shape has such a task"),
                };
                cells.push(cell);
            }
            let last = cells.pop().expect("not empty");
            let mut plan = g.plan(&pool).expect("a sound graph");
            work.measure_runs(|| (time(|| plan.run().expect("nothing fails")).0, *plan.get(&last)))
        }
    });
    graphs::add_peers(&mut lineup, &work);
    lineup
}
