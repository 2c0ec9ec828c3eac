//! W3: task graphs that are built once and run again and again.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream::access::Access;
use millstream::{Data, Graph, Grouping, Plan, Pool};

use super::Workload;
use crate::cli::Options;
use crate::graphs::{self, Runner, Tasks, Work};
use crate::machine;
use crate::measure::{Figures, Lineup, Metric, ns_per, time};
use crate::peers::Peer;
use crate::shape::Shape;
use crate::tasks;

/// Runs of a graph in one turn, fewer if they take more than a second, or more if it has few tasks. The first one
/// counts apart, and those in which a plan may learn do not count.
pub const LEARNING: u64 = 4;
const AGAIN: u64 = 20;
const LONGEST: Duration = Duration::from_secs(1);
const MANY: u64 = 100_000;

/// Tasks of a graph that has few, and tasks along an edge of such a wavefront.
const FEW: usize = 4096;
const FEW_ALONG: u32 = 64;

pub fn workloads() -> Vec<Workload> {
    fn empty(name: &'static str, what: &'static str, shape: fn(&Options) -> Shape) -> Workload {
        Workload::new(name, what, move |options| {
            let shape = Arc::new(shape(options));
            let mut lineup = lineup(options, &shape, alike);
            add_millstream(&mut lineup, Peer::MillstreamOff, options, &shape, alike);
            lineup
        })
    }
    fn few(name: &'static str, what: &'static str, shape: fn(&Options) -> Shape) -> Workload {
        Workload::new(name, what, move |options| lineup(options, &Arc::new(shape(options)), alike))
    }
    fn mixed(name: &'static str, what: &'static str, shape: fn(&Options) -> Shape) -> Workload {
        Workload::new(name, what, move |options| lineup(options, &Arc::new(shape(options)), at_random))
    }
    vec![
        empty("W3a", "a chain of 100 000 empty tasks", chain),
        empty("W3b", "100 000 independent empty tasks", independent),
        empty("W3c", "wavefront of 256 x 256 empty tasks", wavefront),
        empty("W3d", "random: 100 layers of 1000 empty tasks, each after 4", random),
        empty("W3e", "tree of 2^17 - 1 empty tasks, and mirrored", tree),
        few("W3b-4K", "4096 independent empty tasks", |options| Shape::independent(options.size(FEW, 64))),
        few("W3c-4K", "wavefront of 64 x 64 empty tasks", |options| Shape::wavefront(options.size(FEW_ALONG, 8))),
        mixed("W3b-8", "W3b with eight kinds of tasks at random", independent),
        mixed("W3d-8", "W3d with eight kinds of tasks at random", random),
    ]
}

pub fn chain(options: &Options) -> Shape {
    Shape::chain(options.size(100_000, 1000))
}

pub fn independent(options: &Options) -> Shape {
    Shape::independent(options.size(100_000, 1000))
}

pub fn wavefront(options: &Options) -> Shape {
    Shape::wavefront(options.size(256, 16))
}

pub fn random(options: &Options) -> Shape {
    Shape::random(options.size(100, 10), options.size(1000, 100))
}

pub fn tree(options: &Options) -> Shape {
    Shape::tree(options.size(17, 7))
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

/// How often a graph with so many tasks is run again.
pub fn again(options: &Options, shape: &Shape) -> u64 {
    let tasks = shape.tasks() as u64;
    options.size((AGAIN * MANY / tasks).max(AGAIN), 2)
}

/// Builds what runs the graph, runs it once, then `again` times. Every task calls [`tasks::count`].
pub fn measure<G>(shape: &Shape, again: u64, build: impl FnOnce() -> G, mut run: impl FnMut(&mut G)) -> (Figures, G) {
    let tasks = shape.tasks() as u64;
    let before = machine::allocated_bytes();
    let (built, mut graph) = time(build);
    let bytes = machine::allocated_bytes().saturating_sub(before);
    let (first, ()) = time(|| tasks::counting(tasks, || run(&mut graph)));
    tasks::counting(tasks * LEARNING, || (0..LEARNING).for_each(|_| run(&mut graph)));
    let (counted, begin) = (tasks::counted(), Instant::now());
    let mut runs = 0;
    while runs < again && begin.elapsed() < LONGEST {
        run(&mut graph);
        runs += 1;
    }
    let ran = begin.elapsed();
    tasks::check(counted, tasks * runs);
    let figures = vec![
        (Metric::NsPerTask, ns_per(tasks * runs, ran)),
        (Metric::BuildNsPerTask, ns_per(tasks, built)),
        (Metric::FirstNsPerTask, ns_per(tasks, first)),
        (Metric::BytesPerTask, bytes as f64 / tasks as f64),
    ];
    (figures, graph)
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
fn millstream_plan(pool: &Pool, shape: &Shape, kind: KindOf, grouping: Grouping) -> Plan<'static> {
    let g = Graph::new();
    g.grouping(grouping);
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

fn add_millstream(lineup: &mut Lineup, peer: Peer, options: &Options, shape: &Arc<Shape>, kind: KindOf) {
    let grouping = if peer == Peer::MillstreamOff { Grouping::Off } else { Grouping::Auto };
    lineup.each(peer, |threads| {
        let (options, shape) = (options.clone(), Arc::clone(shape));
        move |_| {
            let pool = options.millstream(threads);
            let build = || millstream_plan(&pool, &shape, kind, grouping);
            measure(&shape, again(&options, &shape), build, |plan| plan.run().expect("nothing fails")).0
        }
    });
}

fn lineup(options: &Options, shape: &Arc<Shape>, kind: KindOf) -> Lineup {
    let mut lineup = Lineup::new(options);
    let work = Empty { shape: Arc::clone(shape), again: again(options, shape), kind };
    let serial = work.clone();
    lineup.serial(move |_| {
        let tasks = serial.shape.tasks() as u64;
        let once = || (0..black_box(tasks)).for_each(|task| fire(kind(task as u32)));
        let (time, ()) = time(|| tasks::counting(tasks * serial.again, || (0..serial.again).for_each(|_| once())));
        vec![(Metric::NsPerTask, ns_per(tasks * serial.again, time))]
    });
    add_millstream(&mut lineup, Peer::Millstream, options, shape, kind);
    graphs::add_peers(&mut lineup, &work);
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
        measure(&self.shape, self.again, || build(Fire(self.kind)), Runner::run).0
    }
}
