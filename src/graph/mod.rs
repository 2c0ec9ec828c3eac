//! The typed description: sources, streams, data and tasks.
//!
//! A [`Graph`] collects a [`Draft`] while streams carry their fused pipe by value, as iterators do. When a stream ends, in
//! a sink or at a stage boundary, pipe and tail become a stage ([`fused`]), and from there on nothing is typed any more.

mod access;
mod boundary;
mod fused;
mod gather;
mod keyed;
mod moved;
mod ops;
mod pipe;
mod serial;
mod shape;
mod sink;
mod source;
mod stream;
mod table;
mod zip;

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, Range};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

pub use access::{Access, AccessAt, Consume, Read, Write};
pub use keyed::Keyed;
pub use ops::Boxed;
pub use pipe::Pipe;
pub use stream::Stream;
pub use table::{IntoIter, Iter, Table};

use crate::error::{BuildError, Error};
use crate::plan::draft::{Draft, SourceDraft};
use crate::plan::{Blueprint, Data, Plan};
use crate::pool::{Integer, Pool, PoolHandle};
use crate::run::dag::TaskBody;
use crate::run::names::Names;
use crate::run::slot::Slot;
use crate::topology::Topology;
use access::slot_of;
use moved::Moved;
use pipe::{Feed, Root};
use source::{Again, DataItems, Integers, Numbered, Once, Pulled, Records, SliceItems};

/// A graph that is being described; its streams share it.
type Shared<'env> = Rc<RefCell<Draft<'env>>>;

/// A description of typed operators: streams that flow through them, and data that tasks access.
///
/// Closures may borrow whatever outlives the graph. Describing costs about as much as making the closures; nothing runs
/// before [`plan`](Self::plan) or [`Pool::run`].
///
/// ```
/// use millstream::{Graph, Pool};
///
/// let words = ["a", "rose", "is", "a", "rose"];
/// let pool = Pool::builder().workers(2).build()?;
/// let g = Graph::new();
/// let counts = g.slice(&words).key_by(|word| **word).count();
/// let distinct = g.task(counts.read(), |counts| counts.len());
/// let mut run = pool.run(g)?;
/// assert_eq!(run.take(distinct), 3);
/// assert_eq!(run.take(counts).get("rose"), Some(&2));
/// # Ok::<(), millstream::Error>(())
/// ```
///
/// # What closures borrow
/// Declare it before the graph. A graph that was not run drops its closures when it is dropped, so what they borrow must
/// outlive it; else the compiler says that the borrow might be used there, "when `g` is dropped".
///
/// # Functions that describe a part
/// A stream is taken by any [`Pipe`], and given back as one that need not be named:
///
/// ```
/// use millstream::{Graph, Pipe, Pool, Stream};
///
/// fn odd_squares<'env>(numbers: Stream<'env, u64, impl Pipe<Out = u64> + 'env>) -> Stream<'env, u64, impl Pipe<Out = u64>> {
///     numbers.filter(|x| x % 2 == 1).map(|x| x * x)
/// }
///
/// let (pool, g) = (Pool::new()?, Graph::new());
/// let sum = odd_squares(g.range(0..6)).sum::<u64>();
/// assert_eq!(pool.run(g)?.take(sum), 1 + 9 + 25);
/// # Ok::<(), millstream::Error>(())
/// ```
///
/// # Threads
/// A graph stays on the thread that describes it: it is not `Send`. A [`Plan`] may be sent to another one.
///
/// ```
/// use millstream::{Graph, Pool};
///
/// let (pool, g) = (Pool::new()?, Graph::new());
/// let sum = g.range(0..10_u64).sum::<u64>();
/// let mut plan = g.plan(&pool)?;
/// let plan = std::thread::spawn(move || plan.run().map(|()| plan)).join().expect("no panic")?;
/// assert_eq!(*plan.get(&sum), 45);
/// # Ok::<(), millstream::Error>(())
/// ```
pub struct Graph<'env> {
    draft: Shared<'env>,
    names: Arc<Names>,
}

impl<'env> Graph<'env> {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        let draft = Draft::new();
        let names = Arc::clone(&draft.names);
        Self { draft: Rc::new(RefCell::new(draft)), names }
    }

    /// Items of an iterator, in its order; one worker at a time takes a batch out of it.
    ///
    /// One run uses it up: a second one is [`NotReady`](crate::RunErrorKind::NotReady). Batches begin with one item, for
    /// heavy ones, and grow to 1024. A run may take some items more than its sinks need.
    #[track_caller]
    pub fn source<I>(&self, items: I) -> Stream<'env, I::Item, impl Pipe<Out = I::Item> + use<'env, I>>
    where
        I: IntoIterator<Item: Send + 'env, IntoIter: Send + 'env> + Send + 'env,
    {
        self.add_source("source", false, Pulled::new(Once(Some(items))))
    }

    /// Items of an iterator that `make` makes anew for every run; otherwise as [`source`](Self::source).
    #[track_caller]
    pub fn source_fn<I, F>(&self, make: F) -> Stream<'env, I::Item, impl Pipe<Out = I::Item> + use<'env, I, F>>
    where
        I: IntoIterator<Item: Send + 'env, IntoIter: Send + 'env> + 'env,
        F: FnMut() -> I + Send + 'env,
    {
        self.add_source("source_fn", false, Pulled::new(Again(make)))
    }

    /// The integers of a range, from all workers at once.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let largest = g.range(-10..10_i32).map(|x| x * x).max();
    /// assert_eq!(pool.run(g)?.take(largest), Some(100));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn range<N: Integer + 'env>(&self, range: Range<N>) -> Stream<'env, N, impl Pipe<Out = N> + use<'env, N>> {
        self.add_source("range", true, Numbered::new(Integers(range)))
    }

    /// References to the items of a slice, from all workers at once.
    #[track_caller]
    pub fn slice<T: Sync + 'env>(
        &self,
        items: &'env [T],
    ) -> Stream<'env, &'env T, impl Pipe<Out = &'env T> + use<'env, T>> {
        self.add_source("slice", true, Numbered::new(SliceItems(items)))
    }

    /// The items of a vector, moved out of it, from all workers at once. One run uses it up.
    #[track_caller]
    pub fn vec<T: Send + 'env>(&self, items: Vec<T>) -> Stream<'env, T, impl Pipe<Out = T> + use<'env, T>> {
        self.add_source("vec", true, Numbered::new(Moved::new(items)))
    }

    /// The records of a text that end with `delimiter`, without it, from all workers at once.
    ///
    /// A record after the last delimiter counts if it is not empty, as in [`str::lines`]. Batches are ranges of 4 to 64
    /// KiB; [`batch_size`](Stream::batch_size) is in bytes here.
    #[track_caller]
    pub fn split(
        &self,
        text: &'env [u8],
        delimiter: u8,
    ) -> Stream<'env, &'env [u8], impl Pipe<Out = &'env [u8]> + use<'env>> {
        self.add_source("split", true, Numbered::new(Records::new(vec![text], delimiter)))
    }

    /// The records of many texts, one text after the other; otherwise as [`split`](Self::split).
    ///
    /// Cut by size, whatever the texts are: many small ones share a batch, a large one has many. The end of a text ends a
    /// record.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let texts: [&[u8]; 3] = [b"one\ntwo", b"", b"three\n"];
    /// let g = Graph::new();
    /// let lines = g.split_all(&texts, b'\n').collect();
    /// assert_eq!(pool.run(g)?.take(lines), [&b"one"[..], b"two", b"three"]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn split_all(
        &self,
        texts: &[&'env [u8]],
        delimiter: u8,
    ) -> Stream<'env, &'env [u8], impl Pipe<Out = &'env [u8]> + use<'env>> {
        self.add_source("split_all", true, Numbered::new(Records::new(texts.to_vec(), delimiter)))
    }

    /// Clones of the items of data that holds a sequence, such as a `Vec`, from all workers at once.
    ///
    /// The stream begins when the data is there. Tasks that write the data later in program order wait for its end.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let words = g.source(["to", "be", "or"]).collect();
    /// let lengths = g.items(&words).map(|word| word.len()).sum::<usize>();
    /// assert_eq!(pool.run(g)?.take(lengths), 6);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn items<T, D>(&self, data: &Data<D>) -> Stream<'env, T, impl Pipe<Out = T> + use<'env, T, D>>
    where
        T: Clone + Send + Sync + 'env,
        D: Deref<Target = [T]> + Send + Sync + 'env,
    {
        let own = Arc::ptr_eq(&data.names, &self.names);
        let slot: Arc<Slot<D>> = if own { slot_of(&self.draft.borrow(), data.slot) } else { Arc::new(Slot::new(None)) };
        let stream = self.add_source("items", true, Numbered::new(DataItems(slot)));
        stream.reads(data);
        stream
    }

    #[track_caller]
    fn add_source<H: Feed + 'env>(
        &self,
        method: &'static str,
        indexed: bool,
        head: H,
    ) -> Stream<'env, H::Item, Root<H>> {
        let op = self.names.add(method, Location::caller());
        let mut draft = self.draft.borrow_mut();
        let sequence = draft.sequence(true);
        let stage = draft.stage(op, sequence, Vec::new());
        draft.stages[stage].source = Some(SourceDraft { indexed, ..SourceDraft::default() });
        drop(draft);
        Stream::new(Rc::clone(&self.draft), stage, op, Root::new(head))
    }

    /// Data with a value, for tasks to read and write.
    #[must_use]
    #[track_caller]
    pub fn data<T: Send + 'env>(&self, value: T) -> Data<T> {
        let op = self.names.add("data", Location::caller());
        let slot = self.draft.borrow_mut().add_slot(Arc::new(Slot::new(Some(value))), op, true);
        Data::new(Arc::clone(&self.names), slot, op)
    }

    /// A task: fires once a run, when its data is ready; its result is data too.
    ///
    /// Tasks see their data as if they ran in program order: a task that reads comes after the last one before it that
    /// writes, a task that writes after all before it that read or write. Tasks without such a reason to wait run at the
    /// same time.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let (a, b) = (g.data(1), g.data(2));
    /// g.task(a.write(), |a| *a += 10);
    /// let sum = g.task((a.read(), b.read()), |(a, b)| a + b);
    /// assert_eq!(pool.run(g)?.take(sum), 13);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn task<A, F, R>(&self, mut access: A, body: F) -> Data<R>
    where
        A: Access + 'env,
        F: for<'a> FnMut(<A as AccessAt<'a>>::Ref) -> R + Send + 'env,
        R: Send + 'env,
    {
        let op = self.names.add("task", Location::caller());
        let mut draft = self.draft.borrow_mut();
        let mut accesses = Vec::new();
        if !access.bind(&mut draft, &mut accesses) {
            draft.defect(op, "it accesses data of another graph");
        }
        let result = Arc::new(Slot::new(None));
        let slot = draft.add_slot(result.clone(), op, false);
        draft.add_task(op, Box::new(Task { access, body, result }), &accesses, slot);
        Data::new(Arc::clone(&self.names), slot, op)
    }

    /// Checks the graph and lays it out for a machine that need not be here, with a worker for each of its cores: nothing
    /// runs, and the graph is as before.
    ///
    /// Where memory is, is known of this machine only: elsewhere data and sources are where they were told to be.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    ///
    /// ```
    /// use millstream::{Graph, Place, Pool, Topology};
    ///
    /// let g = Graph::new();
    /// let tile = g.data(1).named("tile").place(Place::Node(0));
    /// g.task(tile.write(), |tile| *tile += 1).named("step");
    /// for machine in ["numa:4 l3:2 core:8 pu:2", "core:2 pu:1"] {
    ///     let explain = g.plan_for(&Topology::synthetic(machine)?)?.explain();
    ///     assert_eq!(explain.operator("step").and_then(|step| step.node()), Some(0));
    ///     println!("{explain}");
    /// }
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn plan_for(&self, machine: &Topology) -> Result<Blueprint, BuildError> {
        Blueprint::new(&self.draft.borrow(), machine)
    }

    /// Checks the graph and lays it out for a pool.
    ///
    /// It takes time and memory in proportion to what the graph describes.
    ///
    /// # Errors
    /// Every defect of the graph:
    /// * a stream that nothing takes, also one that is still held;
    /// * data, streams or orders of two graphs;
    /// * data that a task accesses twice and not only for reading, or that is accessed after something has
    ///   [consumed](Data::consume) it;
    /// * a task that comes [after](Data::after) what waits for it, or a sink after anything;
    /// * a stream that is held until the end of something that cannot end before it, where all of it would be kept; it may
    ///   be if it is [`spooled`](Stream::spooled);
    /// * [`credits`](Stream::credits) or [`batch_size`](Stream::batch_size) out of range, or of a stream that comes from
    ///   several sources;
    /// * a [`place`](Data::place) on a node that the machine does not have, or on one without allowed CPUs for something that
    ///   runs; or near data of another graph, or near what is itself near it.
    pub fn plan(self, pool: &Pool) -> Result<Plan<'env>, BuildError> {
        Plan::new(self.draft.borrow_mut().take(), pool)
    }
}

impl Default for Graph<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Graph<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("stages", &self.draft.borrow().stages.len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Plans a graph and runs it once. The calling thread works along, on this graph only.
    ///
    /// # Errors
    /// The defects of the graph, or the failure of the run.
    pub fn run<'env>(&self, graph: Graph<'env>) -> Result<Plan<'env>, Error> {
        let mut plan = graph.plan(self)?;
        plan.run()?;
        Ok(plan)
    }
}

impl PoolHandle {
    /// [`Pool::run`].
    ///
    /// # Errors
    /// If the pool was dropped; the defects of the graph, or the failure of the run.
    pub fn run<'env>(&self, graph: Graph<'env>) -> Result<Plan<'env>, Error> {
        self.with(|pool| pool.run(graph))?
    }
}

/// A task with its types.
struct Task<A, F, R> {
    access: A,
    body: F,
    result: Arc<Slot<R>>,
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<A, F, R> TaskBody for Task<A, F, R>
where
    A: Access,
    F: for<'a> FnMut(<A as AccessAt<'a>>::Ref) -> R + Send,
    R: Send,
{
    unsafe fn fire(&mut self) {
        // SAFETY: passed on.
        let result = (self.body)(unsafe { self.access.fetch() });
        // SAFETY: the result's readers come after this task.
        let old = unsafe { self.result.replace(Some(result)) };
        debug_assert!(old.is_none(), "results are cleared before a run");
    }

    unsafe fn torn(&mut self) {
        // SAFETY: passed on.
        unsafe { self.access.torn() };
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
