//! Loops and branches inside a graph.

use std::panic::Location;

use super::Graph;
use super::access::{slot_of, there};
use crate::plan::Data;
use crate::plan::draft::SlotId;
use crate::run::tasks::block::Asks;

impl<'env> Graph<'env> {
    /// Repeats tasks: those that `tasks` adds run `times` times in a run of the graph, without planning again.
    ///
    /// To what is outside, the tasks together are like one task that accesses what all of them access. Inside, each time
    /// begins when the time before has ended, so that all accesses are in program order. A time costs about as much as two
    /// jobs, some 300 ns, and allocates nothing. Loops may be in loops and branches. What tasks make inside may be read outside; it
    /// is that of the last time. What [`data`](Self::data) gives inside is given once, as anywhere else, and not each time.
    ///
    /// A step that makes a new field of an old one needs two fields in turn: a time of the loop has two steps then, from
    /// the first field to the second, and back.
    ///
    /// Three things are defects, which [`plan`](Graph::plan) reports: a stream inside; data from outside that a task inside
    /// [consumes](Data::consume); and, if it is repeated 0 times, access to data made inside from outside.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let (a, b) = (g.data(0_u64), g.data(1_u64));
    /// g.repeat(50, |g| {
    ///     let sum = g.task((a.read(), b.read()), |(a, b)| a + b);
    ///     g.task((a.write(), b.write(), sum.read()), |(a, b, sum)| (*a, *b) = (*b, *sum));
    /// });
    /// assert_eq!(pool.run(g)?.take(a), 12_586_269_025); // the 50th Fibonacci number
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn repeat(&self, times: u64, tasks: impl FnOnce(&Self)) -> Block<'_, 'env> {
        let op = self.names.add("repeat", Location::caller());
        self.block(op, times, None, tasks, || None)
    }

    /// Repeats tasks until data says that it is enough: those that `tasks` adds run once, then `until` is called with the data,
    /// and so on until it returns `true`, or as often as [`at_most`](Block::at_most) says. Otherwise it is as
    /// [`repeat`](Self::repeat). To ask before the first time, too, put it into a [`when`](Self::when) that asks the same:
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let left = g.data(0_u32);
    /// g.when(&left, |left| *left > 0, |g| {
    ///     g.repeat_until(&left, |left| *left == 0, |g| {
    ///         g.task(left.write(), |left| *left -= 1);
    ///     });
    /// });
    /// assert_eq!(pool.run(g)?.take(left), 0); // one time would have been one too many
    /// # Ok::<(), millstream::Error>(())
    /// ```
    ///
    /// With data that changes:
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let (x, steps) = (g.data(27_u64), g.data(0));
    /// g.repeat_until(&x, |x| *x == 1, |g| {
    ///     g.task(x.write(), |x| *x = if *x % 2 == 0 { *x / 2 } else { 3 * *x + 1 });
    ///     g.task(steps.write(), |steps| *steps += 1);
    /// })
    /// .at_most(1000);
    /// assert_eq!(pool.run(g)?.take(steps), 111);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `until` panics, the run is [`Panicked`](crate::RunErrorKind::Panicked).
    #[track_caller]
    pub fn repeat_until<T: Send + Sync + 'env>(
        &self,
        data: &Data<T>,
        until: impl Fn(&T) -> bool + Send + 'env,
        tasks: impl FnOnce(&Self),
    ) -> Block<'_, 'env> {
        let op = self.names.add("repeat_until", Location::caller());
        self.block(op, u64::MAX, None, tasks, || self.asks(op, data, move |data| !until(data)))
    }

    /// Runs tasks only if data says so: `is` is called with the data as it is at this place in program order, and if it returns
    /// `true`, those that `tasks` adds run. If not, they are left out in this run, and what they would make is absent after it, unless
    /// an earlier time of a loop around them has made it. What they access must be there all the same: data that was taken must be
    /// set again, also if only they access it.
    ///
    /// To what is outside, the tasks together are like one task that accesses what all of them access. A run that leaves tasks
    /// out looks at all of the plan's tasks when it ends.
    ///
    /// Two things are defects, which [`plan`](Graph::plan) reports: a stream inside; and data made inside that is accessed
    /// outside. Data that is made before can be written inside, and read behind.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let (x, root) = (g.data(-4.0_f64), g.data(None));
    /// g.when(&x, |x| *x >= 0.0, |g| {
    ///     g.task((x.read(), root.write()), |(x, root)| *root = Some(x.sqrt()));
    /// });
    /// let mut plan = g.plan(&pool)?;
    /// plan.run()?;
    /// assert_eq!(*plan.get(&root), None);
    /// plan.set(&x, 4.0);
    /// plan.run()?;
    /// assert_eq!(*plan.get(&root), Some(2.0));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `is` panics, the run is [`Panicked`](crate::RunErrorKind::Panicked).
    #[track_caller]
    pub fn when<T: Send + Sync + 'env>(
        &self,
        data: &Data<T>,
        is: impl Fn(&T) -> bool + Send + 'env,
        tasks: impl FnOnce(&Self),
    ) -> Block<'_, 'env> {
        let op = self.names.add("when", Location::caller());
        let enters = self.asks(op, data, is);
        self.block(op, 1, enters, tasks, || None)
    }

    fn block(
        &self,
        op: usize,
        times: u64,
        enters: Option<(Asks<'env>, SlotId)>,
        tasks: impl FnOnce(&Self),
        repeats: impl FnOnce() -> Option<(Asks<'env>, SlotId)>,
    ) -> Block<'_, 'env> {
        let block = self.draft.borrow_mut().open_block(op, times, enters);
        let mut close = OnDrop { graph: self, block, repeats: None };
        tasks(self);
        close.repeats = repeats();
        drop(close);
        Block { graph: self, op, block }
    }

    /// A question about data, which the operator `op` asks. None: that is a defect.
    fn asks<T: Send + Sync + 'env>(
        &self,
        op: usize,
        data: &Data<T>,
        is: impl Fn(&T) -> bool + Send + 'env,
    ) -> Option<(Asks<'env>, SlotId)> {
        let mut draft = self.draft.borrow_mut();
        let Ok(slot) = slot_of(&draft, data) else {
            draft.defect(op, "it asks about data of another graph");
            return None;
        };
        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        let asks = move || {
            // SAFETY: (1) the entry or exit of a block asks; it accesses the data for reading, as a task does; (2) `T` is
            // `Sync`.
            let value = unsafe { slot.read() };
            // SAFETY: (1) it fires when its data is there.
            is(unsafe { there(value) })
        };
        Some((Box::new(asks), data.slot))
    }
}

/// Ends a block, also if the closure that adds its tasks panics.
struct OnDrop<'g, 'env> {
    graph: &'g Graph<'env>,
    block: usize,
    repeats: Option<(Asks<'env>, SlotId)>,
}

impl Drop for OnDrop<'_, '_> {
    fn drop(&mut self) {
        self.graph.draft.borrow_mut().close_block(self.block, self.repeats.take());
    }
}

/// Tasks that are repeated or left out together, made by [`Graph::repeat`], [`repeat_until`](Graph::repeat_until) and
/// [`when`](Graph::when).
#[derive(Debug)]
pub struct Block<'g, 'env> {
    graph: &'g Graph<'env>,
    op: usize,
    block: usize,
}

impl Block<'_, '_> {
    /// Names it, for errors and pictures.
    #[expect(clippy::must_use_candidate, reason = "the name is given, whether the handle is used or not")]
    pub fn named(self, name: &str) -> Self {
        self.graph.names.rename(self.op, name);
        self
    }

    /// Repeats the tasks so many times at most. With 0 they do not run.
    #[expect(clippy::must_use_candidate, reason = "the number is set, whether the handle is used or not")]
    pub fn at_most(self, times: u64) -> Self {
        let own = &mut self.graph.draft.borrow_mut().blocks[self.block].times;
        *own = times.min(*own);
        self
    }
}
