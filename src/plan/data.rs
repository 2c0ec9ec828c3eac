//! Handles to data.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::draft::{SlotId, index};
use super::place::Place;
use crate::run::names::Names;

/// A handle to data: a value that tasks read and write, or the result of a task or a sink.
///
/// The handle does not hold the value; the value lives in the graph, and then in the plan. A handle is `Send` and
/// `Sync` whatever `T` is. It is invariant in `T`: a handle to data with long-lived references cannot stand for one to
/// data with short-lived references. A clone is a handle to the same data. Dropping a handle does not drop the data.
pub struct Data<T> {
    pub(crate) names: Arc<Names>,
    pub(crate) slot: SlotId,
    /// The operator that makes the data.
    op: u32,
    marker: PhantomData<fn(T) -> T>,
}

impl<T> Data<T> {
    pub(crate) fn new(names: Arc<Names>, slot: SlotId, op: usize) -> Self {
        Self { names, slot, op: index(op), marker: PhantomData }
    }

    /// The operator that makes the data.
    pub(crate) fn op(&self) -> usize {
        self.op as usize
    }

    /// Makes the operator that makes this data a part of the operator `whole`. The part is called `part`.
    pub(crate) fn with_whole(self, whole: usize, part: &'static str) -> Self {
        self.names.set_part(self.op(), whole, part);
        self
    }

    /// Names the operator that makes this data.
    #[expect(clippy::must_use_candidate, reason = "the name is given, whether the handle is used or not")]
    pub fn named(self, name: &str) -> Self {
        self.names.rename(self.op(), name);
        self
    }

    /// Sets the home of this data, and of the task that makes it, if there is one. The last call counts.
    ///
    /// The data does not move. The call tells the planner where its memory is, and so where the tasks that access it
    /// should run.
    ///
    /// Two things are defects, which [`Graph::plan`](crate::Graph::plan) reports: a node that the machine does not
    /// have, and, if a task is to run there, a node without a CPU that the process may use.
    ///
    /// ```
    /// use millstream::{Graph, Place, Topology};
    ///
    /// let g = Graph::new();
    /// let left = g.data(vec![0_u8; 1 << 20]).named("left").place(Place::Node(1));
    /// g.task(left.write(), |left| left.fill(1)).named("fill"); // where 'left' is
    /// g.task(left.read(), |left| left.len()).named("len").place(Place::Node(3));
    ///
    /// let explain = g.plan_for(&Topology::synthetic("numa:4 core:8 pu:1")?)?.explain();
    /// let node = |name| explain.operator(name).and_then(|operator| operator.node());
    /// assert_eq!((node("left"), node("fill"), node("len")), (Some(1), Some(1), Some(3)));
    ///
    /// let error = g.plan_for(&Topology::synthetic("core:8 pu:1")?).unwrap_err();
    /// assert!(error.to_string().contains("it is to be on node 1"), "{error}");
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[expect(clippy::must_use_candidate, reason = "the place is set, whether the handle is used or not")]
    pub fn place(self, place: Place<'_>) -> Self {
        self.names.place(self.op(), place.told(&self.names));
        self
    }

    /// Sets the priority of the task that makes this data; without, it is 0. The last call counts.
    ///
    /// Of the tasks that it has made ready a worker begins one of the highest priority first, and of these one with the longest
    /// path of tasks behind it, by the times of earlier runs. A task is as urgent as the most urgent one that waits for
    /// it. A priority does not change answers, and takes nothing away from a worker: what is under way goes on, and
    /// another worker may take the less urgent tasks meanwhile. On data that no task makes it says nothing.
    ///
    /// ```
    /// use millstream::{Graph, Pool};
    ///
    /// let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let input = g.data(3_u64);
    /// let checked = g.task(input.read(), |x| *x < 10); // may wait
    /// let solved = g.task(input.read(), |x| x * x).priority(1);
    /// let mut plan = pool.run(g)?;
    /// assert!(plan.take(checked) && plan.take(solved) == 9);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[expect(clippy::must_use_candidate, reason = "the priority is set, whether the handle is used or not")]
    pub fn priority(self, priority: i32) -> Self {
        self.names.prioritize(self.op(), priority);
        self
    }

    /// Orders the task that makes this data after the operator that makes `first`, whatever data they access.
    ///
    /// Three things are defects, which [`Graph::plan`](crate::Graph::plan) reports: this data is not made by a task,
    /// `first` belongs to another graph, or the orders form a cycle.
    #[expect(clippy::must_use_candidate, reason = "the order is set, whether the handle is used or not")]
    pub fn after<U>(self, first: &Data<U>) -> Self {
        if Arc::ptr_eq(&self.names, &first.names) {
            self.names.order(first.op(), self.op());
        } else {
            self.names.order(usize::MAX, self.op());
        }
        self
    }
}

impl<T> Clone for Data<T> {
    /// Another handle to the same data.
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.names), self.slot, self.op())
    }
}

impl<T> fmt::Debug for Data<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Data").field(&self.names.get(self.op())).finish()
    }
}
