//! Peers that run a graph of numbered tasks: they keep the order, and know of no values.

mod nodes;
mod spawned;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use crate::byhand::Crew;
use crate::measure::{Figures, Lineup};
use crate::peers::{self, Peer};
use crate::shape::{Lists, Shape};

/// What the tasks of a graph do.
pub trait Tasks: Send + Sync + 'static {
    fn call(&self, task: u32);
}

impl<T: Tasks> Tasks for Arc<T> {
    #[inline]
    fn call(&self, task: u32) {
        T::call(self, task);
    }
}

/// A graph that is ready to run.
pub trait Runner {
    /// Runs all tasks once.
    fn run(&mut self);
}

/// A workload that is a graph.
pub trait Work: Clone + Send + Sync + 'static {
    type Tasks: Tasks;

    fn shape(&self) -> &Shape;

    /// Makes the tasks, has `build` make what runs them, and measures that.
    fn measure<G: Runner>(&self, build: impl FnOnce(Self::Tasks) -> G) -> Figures;
}

/// Adds all peers that run numbered tasks.
pub fn add_peers(lineup: &mut Lineup, work: &impl Work) {
    lineup.each(Peer::Rayon, |threads| {
        let work = work.clone();
        move |_| {
            let build = |tasks| Rayon { tasks, order: Order::new(work.shape()) };
            peers::rayon_pool(threads).install(|| work.measure(build))
        }
    });
    lineup.each(Peer::Tokio, |threads| {
        let work = work.clone();
        move |_| work.measure(|tasks| spawned::Tokio::new(peers::tokio_runtime(threads), work.shape(), tasks))
    });
    lineup.each(Peer::BevyTasks, |threads| {
        let work = work.clone();
        move |_| work.measure(|tasks| spawned::Bevy::new(peers::bevy_pool(threads), work.shape(), tasks))
    });
    if work.shape().tasks() <= nodes::MOST {
        lineup.each(Peer::Dagrs, |threads| {
            let work = work.clone();
            move |_| work.measure(|tasks| nodes::Dagrs::new(peers::tokio_runtime(threads), work.shape(), tasks))
        });
    }
    add_by_hand(lineup, work);
    #[cfg(feature = "tbb")]
    lineup.each(Peer::Tbb, |threads| {
        let work = work.clone();
        move |_| {
            let pool = crate::tbb::Pool::new(threads);
            let mut figures = work.measure(|tasks| pool.graph(work.shape(), move |task| tasks.call(task)));
            figures.retain(|(metric, _)| *metric != crate::measure::Metric::BytesPerTask); // an allocator of its own
            figures
        }
    });
}

/// Adds only [`Crew`].
pub fn add_by_hand(lineup: &mut Lineup, work: &impl Work) {
    lineup.each(Peer::ByHand, |threads| {
        let work = work.clone();
        move |_| work.measure(|tasks| Crew::new(threads, work.shape(), move |task| tasks.call(task)))
    });
}

impl<B: Fn(u32) + Send + Sync + 'static> Runner for Crew<B> {
    fn run(&mut self) {
        Self::run(self);
    }
}

#[cfg(feature = "tbb")]
impl<F> Runner for crate::tbb::Graph<'_, F> {
    fn run(&mut self) {
        Self::run(self);
    }
}

/// How many each task still waits for, and who waits for it.
pub struct Counters {
    after: Lists,
    before: Box<[u32]>,
    missing: Box<[AtomicU32]>,
}

impl Counters {
    pub fn new(shape: &Shape) -> Self {
        let count = |task| u32::try_from(shape.before.of(task).len()).expect("few");
        let before: Box<[u32]> = (0..shape.tasks()).map(count).collect();
        let missing = before.iter().map(|count| AtomicU32::new(*count)).collect();
        Self { after: shape.after(), before, missing }
    }

    pub fn tasks(&self) -> usize {
        self.before.len()
    }

    /// The tasks that wait for nobody.
    pub fn roots(&self) -> impl DoubleEndedIterator<Item = u32> {
        let tasks = 0..u32::try_from(self.tasks()).expect("few tasks");
        tasks.filter(|task| self.before[*task as usize] == 0)
    }

    /// Those that are ready now that this task has ended.
    #[inline]
    pub fn ready_after(&self, task: u32) -> impl Iterator<Item = u32> {
        self.after.of(task as usize).iter().copied().filter(|after| self.is_ready(*after))
    }

    /// One that this task waits for has ended: whether it was the last.
    #[inline]
    fn is_ready(&self, task: u32) -> bool {
        let (before, missing) = (self.before[task as usize], &self.missing[task as usize]);
        if before == 1 {
            return true;
        }
        let last = missing.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            missing.store(before, Ordering::Relaxed); // for the next run
        }
        last
    }
}

/// What rayon's users do with a graph.
struct Rayon<T> {
    tasks: T,
    order: Order,
}

enum Order {
    /// The tasks of a level at the same time, level after level.
    Levels(Vec<Vec<u32>>),
    /// Spawns what has become ready: levels of one task would be a plain loop.
    Spawn(Counters),
}

impl Order {
    fn new(shape: &Shape) -> Self {
        let levels = shape.levels();
        if levels.len() < shape.tasks() { Self::Levels(levels) } else { Self::Spawn(Counters::new(shape)) }
    }
}

impl<T: Tasks> Runner for Rayon<T> {
    fn run(&mut self) {
        let tasks = &self.tasks;
        match &self.order {
            Order::Levels(levels) => {
                levels.iter().for_each(|level| level.par_iter().for_each(|task| tasks.call(*task)));
            }
            Order::Spawn(counters) => rayon::scope(|scope| {
                counters.roots().for_each(|task| scope.spawn(move |scope| fire(tasks, counters, task, scope)));
            }),
        }
    }
}

fn fire<'scope>(tasks: &'scope impl Tasks, counters: &'scope Counters, task: u32, scope: &rayon::Scope<'scope>) {
    tasks.call(task);
    counters.ready_after(task).for_each(|task| scope.spawn(move |scope| fire(tasks, counters, task, scope)));
}
