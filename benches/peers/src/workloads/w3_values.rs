//! The graphs of W3 with values: a task makes its own of those of the tasks before it, which shows whether the order
//! was kept.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millstream::{Data, Graph, Plan, Pool};

use super::{Workload, w3};
use crate::cli::Options;
use crate::graphs::{self, Runner, Tasks, Work};
use crate::measure::{Figures, Lineup, Metric, mean_wall_ms, ns_per, time};
use crate::peers::Peer;
use crate::shape::Shape;
use crate::tasks::{self, MICROSECOND};

const AGAIN_WORKING: u64 = 3;

pub fn workloads() -> Vec<Workload> {
    fn sums(name: &'static str, what: &'static str, shape: fn(&Options) -> Shape) -> Workload {
        Workload::new(name, what, move |options| sums_lineup(options, shape(options)))
    }
    vec![
        sums("W3a-u64", "W3a with a sum of u64 along the edges", w3::chain),
        sums("W3b-u64", "W3b with a u64 from each task", w3::independent),
        sums("W3c-u64", "W3c with sums of u64 along the edges", w3::wavefront),
        sums("W3d-u64", "W3d with sums of u64 along the edges", w3::random),
        sums("W3e-u64", "W3e with sums of u64 along the edges", w3::tree),
        Workload::new("W3f", "wavefront of 256 x 256 tasks of about 1 us", working_lineup::<Micro>).with_efficiency(),
        Workload::new("W3f-long", "W3f, one task in a hundred takes 200 us", working_lineup::<Long>).with_efficiency(),
    ]
}

/// What a task makes of the values of those before it.
trait Value: Clone + Send + Sync + 'static {
    /// What a task knows of itself.
    type Own: Copy + Send + Sync + 'static;

    fn own(task: u32) -> Self::Own;
    fn of(own: Self::Own, before: impl IntoIterator<Item = u64>) -> u64;
}

/// An empty task of W3 that also adds.
#[derive(Clone)]
struct Sum;

impl Value for Sum {
    type Own = ();

    fn own(_: u32) {}

    #[inline]
    fn of((): (), before: impl IntoIterator<Item = u64>) -> u64 {
        tasks::count();
        before.into_iter().fold(1, u64::wrapping_add)
    }
}

/// About a microsecond.
#[derive(Clone)]
struct Micro;

impl Value for Micro {
    type Own = ();

    fn own(_: u32) {}

    fn of((): (), before: impl IntoIterator<Item = u64>) -> u64 {
        work(MICROSECOND, before)
    }
}

/// About a microsecond, and for one task in a hundred 200.
#[derive(Clone)]
struct Long;

impl Value for Long {
    /// Rounds of work.
    type Own = u32;

    fn own(task: u32) -> u32 {
        let hash = tasks::work(20, u64::from(task) * 2 + 1);
        if hash.is_multiple_of(100) { 200 * MICROSECOND } else { MICROSECOND }
    }

    fn of(rounds: u32, before: impl IntoIterator<Item = u64>) -> u64 {
        work(rounds, before)
    }
}

fn work(rounds: u32, before: impl IntoIterator<Item = u64>) -> u64 {
    let seed = before.into_iter().fold(1_u64, |all, one| all.wrapping_mul(3).wrapping_add(one));
    tasks::work(rounds, seed)
}

/// All values, for graphs whose runner keeps the order but knows of no values.
struct Cells<V: Value> {
    shape: Arc<Shape>,
    own: Vec<V::Own>,
    values: Vec<AtomicU64>,
}

impl<V: Value> Cells<V> {
    fn new(shape: &Arc<Shape>) -> Self {
        let own = (0..shape.tasks() as u32).map(V::own).collect();
        let values = (0..shape.tasks()).map(|_| AtomicU64::new(0)).collect();
        Self { shape: Arc::clone(shape), own, values }
    }

    fn in_order(&self) {
        (0..self.shape.tasks() as u32).for_each(|task| self.call(task));
    }

    /// The last value and the sum of all; all are forgotten.
    fn finish(&self) -> [u64; 2] {
        let values = self.values.iter().map(|value| value.swap(0, Ordering::Relaxed));
        last_and_sum(values)
    }
}

fn last_and_sum(values: impl Iterator<Item = u64>) -> [u64; 2] {
    values.fold([0, 0], |[_, sum], value| [value, value.wrapping_add(sum)])
}

impl<V: Value> Tasks for Cells<V> {
    // Relaxed: whoever keeps the order of tasks orders these too.
    #[inline]
    fn call(&self, task: u32) {
        let task = task as usize;
        let before = self.shape.before.of(task).iter();
        let before = before.map(|from| self.values[*from as usize].load(Ordering::Relaxed));
        self.values[task].store(V::of(self.own[task], before), Ordering::Relaxed);
    }
}

/// The graph as millstream's: each task reads the results of those before it.
struct Planned {
    plan: Plan<'static>,
    values: Vec<Data<u64>>,
}

impl Planned {
    fn new<V: Value>(pool: &Pool, shape: &Shape) -> Self {
        let g = Graph::new();
        let mut values: Vec<Data<u64>> = Vec::with_capacity(shape.tasks());
        for task in 0..shape.tasks() {
            let own = V::own(task as u32);
            let read = |before: u32| values[before as usize].read();
            let value = match *shape.before.of(task) {
                [] => g.task((), move |()| V::of(own, [])),
                [a] => g.task(read(a), move |a| V::of(own, [*a])),
                [a, b] => g.task((read(a), read(b)), move |(a, b)| V::of(own, [*a, *b])),
                [a, b, c, d] => {
                    let access = (read(a), read(b), read(c), read(d));
                    g.task(access, move |(a, b, c, d)| V::of(own, [*a, *b, *c, *d]))
                }
                _ => unreachable!("no shape has such a task"),
            };
            values.push(value);
        }
        Self { plan: g.plan(pool).expect("a sound graph"), values }
    }

    fn run(&mut self) {
        self.plan.run().expect("nothing fails");
    }

    fn finish(&self) -> [u64; 2] {
        last_and_sum(self.values.iter().map(|value| *self.plan.get(value)))
    }
}

const WRONG: &str = "the order was not kept";

// ---------------------------------------------------------------------------------------------------------------------
// Sums

#[derive(Clone)]
struct Sums {
    shape: Arc<Shape>,
    again: u64,
    expected: [u64; 2],
}

impl Work for Sums {
    type Tasks = Arc<Cells<Sum>>;

    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn measure<G: Runner>(&self, build: impl FnOnce(Self::Tasks) -> G) -> Figures {
        let cells = Arc::new(Cells::new(&self.shape));
        let (figures, _) = w3::measure(&self.shape, self.again, || build(Arc::clone(&cells)), Runner::run);
        assert_eq!(cells.finish(), self.expected, "{WRONG}");
        figures
    }
}

fn sums_lineup(options: &Options, shape: Shape) -> Lineup {
    let shape = Arc::new(shape);
    let cells = Cells::<Sum>::new(&shape);
    cells.in_order();
    let work = Sums { again: w3::again(options, &shape), shape, expected: cells.finish() };
    let mut lineup = Lineup::new(options);
    let serial = work.clone();
    lineup.serial(move |_| {
        let tasks = serial.shape.tasks() as u64 * serial.again;
        let (time, ()) = time(|| tasks::counting(tasks, || (0..serial.again).for_each(|_| cells.in_order())));
        assert_eq!(cells.finish(), serial.expected, "{WRONG}");
        vec![(Metric::NsPerTask, ns_per(tasks, time))]
    });
    lineup.each(Peer::Millstream, |threads| {
        let (options, work) = (options.clone(), work.clone());
        move |_| {
            let pool = options.millstream(threads);
            let build = || Planned::new::<Sum>(&pool, &work.shape);
            let (figures, planned) = w3::measure(&work.shape, work.again, build, Planned::run);
            assert_eq!(planned.finish(), work.expected, "{WRONG}");
            figures
        }
    });
    graphs::add_by_hand(&mut lineup, &work);
    lineup
}

// ---------------------------------------------------------------------------------------------------------------------
// Tasks that work

#[derive(Clone)]
struct Working<V> {
    shape: Arc<Shape>,
    again: u64,
    expected: [u64; 2],
    value: PhantomData<V>,
}

impl<V: Value> Working<V> {
    /// A run says how long it took, and what came of it.
    fn measure_runs(&self, mut run: impl FnMut() -> (Duration, [u64; 2])) -> Figures {
        mean_wall_ms(1 + w3::LEARNING, self.again, || {
            let (time, values) = run();
            assert_eq!(values, self.expected, "{WRONG}");
            time
        })
    }
}

impl<V: Value> Work for Working<V> {
    type Tasks = Arc<Cells<V>>;

    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn measure<G: Runner>(&self, build: impl FnOnce(Self::Tasks) -> G) -> Figures {
        let cells = Arc::new(Cells::new(&self.shape));
        let mut graph = build(Arc::clone(&cells));
        self.measure_runs(|| (time(|| graph.run()).0, cells.finish()))
    }
}

fn working_lineup<V: Value>(options: &Options) -> Lineup {
    let shape = Arc::new(w3::wavefront(options));
    let cells = Cells::<V>::new(&shape);
    let in_order = move || (time(|| cells.in_order()).0, cells.finish());
    let (_, expected) = in_order();
    let work = Working::<V> { shape, again: options.size(AGAIN_WORKING, 1), expected, value: PhantomData };
    let mut lineup = Lineup::new(options);
    let serial = work.clone();
    lineup.serial(move |_| serial.measure_runs(&in_order));
    lineup.each(Peer::Millstream, |threads| {
        let (options, work) = (options.clone(), work.clone());
        move |_| {
            let pool = options.millstream(threads);
            let mut planned = Planned::new::<V>(&pool, &work.shape);
            work.measure_runs(|| (time(|| planned.run()).0, planned.finish()))
        }
    });
    graphs::add_peers(&mut lineup, &work);
    lineup
}
