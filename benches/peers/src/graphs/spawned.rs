//! Peers that know no graphs, but spawn: a task is spawned when the last of those before it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bevy_tasks::{Scope, TaskPool};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::{Counters, Runner, Tasks};
use crate::shape::Shape;

pub struct Tokio<T> {
    runtime: Runtime,
    graph: Arc<Spawning<T>>,
}

struct Spawning<T> {
    tasks: T,
    counters: Counters,
    /// Tasks that have not ended.
    left: AtomicUsize,
    done: Notify,
}

impl<T: Tasks> Tokio<T> {
    pub fn new(runtime: Runtime, shape: &Shape, tasks: T) -> Self {
        let left = AtomicUsize::new(0);
        let graph = Spawning { tasks, counters: Counters::new(shape), left, done: Notify::new() };
        Self { runtime, graph: Arc::new(graph) }
    }
}

impl<T: Tasks> Runner for Tokio<T> {
    fn run(&mut self) {
        let graph = &self.graph;
        graph.left.store(graph.counters.tasks(), Ordering::Relaxed); // nobody runs
        let first = Arc::clone(graph);
        self.runtime.block_on(async move {
            tokio::spawn(async move { first.counters.roots().for_each(|task| first.spawn(task)) });
            graph.done.notified().await;
        });
    }
}

impl<T: Tasks> Spawning<T> {
    fn spawn(self: &Arc<Self>, task: u32) {
        let graph = Arc::clone(self);
        tokio::spawn(async move {
            graph.tasks.call(task);
            graph.counters.ready_after(task).for_each(|task| graph.spawn(task));
            if graph.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                graph.done.notify_one();
            }
        });
    }
}

pub struct Bevy<T> {
    pool: TaskPool,
    tasks: T,
    counters: Counters,
}

impl<T: Tasks> Bevy<T> {
    pub fn new(pool: TaskPool, shape: &Shape, tasks: T) -> Self {
        Self { pool, tasks, counters: Counters::new(shape) }
    }

    fn spawn<'scope>(&'scope self, task: u32, scope: &'scope Scope<'scope, '_, ()>) {
        scope.spawn(async move {
            self.tasks.call(task);
            self.counters.ready_after(task).for_each(|task| self.spawn(task, scope));
        });
    }
}

impl<T: Tasks> Runner for Bevy<T> {
    fn run(&mut self) {
        let this = &*self;
        this.pool.scope(|scope| this.counters.roots().for_each(|task| this.spawn(task, scope)));
    }
}
