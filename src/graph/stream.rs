//! Streams, and the options that users set on them: names, batch sizes, credits, places.

use std::fmt;
use std::marker::PhantomData;

use super::SharedDraft;
use crate::engine::boxed::Boxed;
use crate::engine::pipe::Pipe;
use crate::plan::draft::{Draft, SourceDraft};
use crate::plan::{MAX_CREDITS, Place};

/// A stream of items of type `T` that go, in order, through a chain of fused operators `P`.
///
/// A method has the name of a method of [`Iterator`] if it does the same thing. Between operators whose documentation
/// says *fuses* there is no queue and no allocation: an item costs what it costs in an iterator chain. An operator that
/// says *stage boundary* moves items in batches from one stage to the next.
///
/// # Functions that take and return streams
/// A function that takes any stream has its pipe as a type parameter. It returns a stream that is [`boxed`](Self::boxed), at
/// the cost of an indirect call for each item; or one that fuses with what comes next, whose pipe is some `impl Pipe`
/// with the names of what it may have in it (`use<..>`). Streams of one type, as in a `Vec` or from two branches, are boxed.
///
/// ```
/// use millstream::{Graph, Pipe, Pool, Stream};
///
/// fn numbers<'env>(g: &Graph<'env>) -> Stream<'env, u64, impl Pipe<Out = u64> + use<'env>> {
///     g.range(0..10_u64)
/// }
///
/// fn multiples<'env, P>(numbers: Stream<'env, u64, P>, of: u64) -> Stream<'env, u64, impl Pipe<Out = u64> + use<'env, P>>
/// where
///     P: Pipe<Out = u64> + 'env,
/// {
///     numbers.filter(move |x| x % of == 0)
/// }
///
/// fn perhaps_squared<'env>(numbers: Stream<'env, u64, impl Pipe<Out = u64> + 'env>, square: bool) -> Stream<'env, u64> {
///     if square { numbers.map(|x| x * x).boxed() } else { numbers.boxed() }
/// }
///
/// let (pool, g) = (Pool::new()?, Graph::new());
/// let fused = multiples(numbers(&g), 3).collect();
/// let boxed = perhaps_squared(multiples(numbers(&g), 4), true).collect();
/// let mut run = pool.run(g)?;
/// assert_eq!((run.take(fused), run.take(boxed)), (vec![0, 3, 6, 9], vec![0, 16, 64]));
/// # Ok::<(), millstream::Error>(())
/// ```
///
/// A stream must end in a sink; otherwise planning the graph is a [`BuildError`](crate::BuildError).
///
/// # Panics
/// Methods that add to the graph, or set something in it, panic after the graph was planned.
#[must_use = "a stream that nothing takes is an error when the graph is planned"]
pub struct Stream<'env, T, P = Boxed<'env, T>> {
    pub(super) draft: SharedDraft<'env>,
    pub(super) stage: usize,
    /// The operator that was added last.
    pub(super) op: usize,
    pub(super) pipe: P,
    /// Whether the next operator that holds the items may keep all of them.
    pub(crate) spooled: bool,
    pub(super) item: PhantomData<fn() -> T>,
}

/// What becomes of a graph that would stall; see [`Stream::on_stall`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStall {
    /// The run ends as [`Stalled`](crate::RunErrorKind::Stalled). This is so without being said.
    Fail,
    /// The source gets more credits, up to so many.
    Grow {
        /// The most batches of the source that may be in flight.
        max: usize,
    },
}

impl<'env, T, P> Stream<'env, T, P> {
    /// Names the operator that was added last, for reports, errors and [`explain`](crate::Plan::explain).
    #[track_caller]
    pub fn named(self, name: &str) -> Self {
        self.describe("named").names.rename(self.op, name);
        self
    }

    /// Sets how many items each batch of the stream's source has. For [`split`](crate::Graph::split) and
    /// [`split_all`](crate::Graph::split_all) the unit is a byte.
    ///
    /// Without it, batches have 1 to 1024 items (small ones of an iterator up to 4096), or 4 to 64 KiB of text. Small batches suit heavy items and short
    /// waits; large ones suit light items. The blocks of a reduction are batches. A size beyond the length of the
    /// stream makes one batch of all items.
    ///
    /// Batches are larger if there would otherwise be more than 2^44 of them. A failed run then ends only after the
    /// batches that are under way.
    ///
    /// Two things are defects, which [`Graph::plan`](crate::Graph::plan) reports: the size 0, and a stream that comes
    /// from several sources.
    #[track_caller]
    pub fn batch_size(self, items: usize) -> Self {
        self.set_source("batch_size", items, usize::MAX, |source| source.size = Some(items))
    }

    /// Sets how many batches of the stream's source may be in flight at once. This bounds the memory that the stream
    /// needs.
    ///
    /// Without it, eight batches for each worker are in flight, or up to 256 if nothing else of the graph can go on. Memory
    /// for the bookkeeping of the first ones is allocated when the graph is planned, for the others when they are needed;
    /// with it, for all of them when it is planned.
    ///
    /// Three things are defects, which [`Graph::plan`](crate::Graph::plan) reports: 0, more than 1048576, and a stream
    /// that comes from several sources.
    #[track_caller]
    pub fn credits(self, batches: usize) -> Self {
        self.set_source("credits", batches, MAX_CREDITS, |source| source.credits = Some(batches))
    }

    /// Says what becomes of a graph that would stall because the stream's source has no credits left.
    ///
    /// A graph stalls where batches are held that wait for later ones of the same source, as in a zip of a stream with
    /// itself of which one side drops most items. With [`OnStall::Grow`] the source gets more credits then, twice as many
    /// each time, up to `max`. It never gets more while anything else of the graph can go on.
    ///
    /// Three things are defects, which [`Graph::plan`](crate::Graph::plan) reports: a `max` of 0 or of more than 1048576, and
    /// a stream that comes from several sources.
    ///
    /// ```
    /// # use millstream::{Graph, OnStall, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let numbers = g.range(0..1000_u64).batch_size(1).credits(10).on_stall(OnStall::Grow { max: 2000 });
    /// let (left, right) = numbers.tee();
    /// let pairs = left.filter(|x| *x == 999).zip(right).collect(); // the right side waits, with all of its items
    /// assert_eq!(pool.run(g)?.take(pairs), [(999, 0)]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn on_stall(self, then: OnStall) -> Self {
        match then {
            OnStall::Fail => self.set_source("on_stall", 1, 1, |source| source.grows_to = None),
            OnStall::Grow { max } => {
                self.set_source("on_stall", max, MAX_CREDITS, |source| source.grows_to = Some(max))
            }
        }
    }

    /// Lets the batches of the stream's source that are in flight weigh no more than `bytes`, or than one item if that
    /// weighs more; `weigh` says how many bytes an item counts for. It is said right behind a
    /// [`source`](crate::Graph::source), [`source_fn`](crate::Graph::source_fn), [`input`](crate::Graph::input) or
    /// [`live`](crate::Graph::live).
    ///
    /// An item counts from the moment at which it is taken until the last thing that has come of its batch is done. So
    /// `weigh` should say what the item, and all that is made of it, keeps in memory. A batch ends when its items weigh a
    /// 64th of `bytes`. The bound is a hard one: a graph that must keep more than this stalls.
    ///
    /// `weigh` is called once for each item, by the worker that takes it out of the source. If it panics, the source fails
    /// there.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let images = g.source((0..40).map(|n| vec![n; 1 << 20])).credits_bytes(8 << 20, |image| image.len() as u64);
    /// let brightest = images.map(|image| image[0]).max();
    /// assert_eq!(pool.run(g)?.take(brightest), Some(39));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn credits_bytes(self, bytes: u64, weigh: impl Fn(&T) -> u64 + Send + 'static) -> Self
    where
        P: Pipe<Out = T>,
    {
        if !self.pipe.weigh(Box::new(weigh)) {
            let why = "credits_bytes is said right behind a source of an iterator, an input or a live source";
            self.describe("credits_bytes").defect(self.op, why);
        }
        let known = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.set_source("credits_bytes", known, usize::MAX, |source| source.bytes = Some(bytes))
    }

    #[track_caller]
    fn set_source(
        self,
        what: &'static str,
        number: usize,
        most: usize,
        set: impl FnOnce(&mut SourceDraft<'env>),
    ) -> Self {
        let mut draft = self.describe(what);
        let stage = self.first_stage(&draft);
        match &mut draft.stages[stage].source {
            _ if number == 0 => draft.defect(self.op, format!("{what}(0): at least 1")),
            _ if number > most => draft.defect(self.op, format!("{what}({number}): at most {most}")),
            Some(source) => set(source),
            None => draft.defect(self.op, format!("{what} is said of one source; this stream comes from several")),
        }
        drop(draft);
        self
    }

    /// Sets the home of the stream's source: the workers that get its batches first.
    ///
    /// A batch stays with the worker that took it, up to a stage boundary where another worker takes it over.
    ///
    /// Two things are defects, which [`Graph::plan`](crate::Graph::plan) reports: a stream that comes from several
    /// sources, and a node that the machine does not have or that has no CPU which the process may use.
    ///
    /// ```
    /// # use millstream::{Graph, Place, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let node = millstream::Topology::detect()?.cores()[0].node().unwrap_or(0);
    /// let g = Graph::new();
    /// let sum = g.range(0..100_u64).place(Place::Node(node)).map(|x| x * x).sum::<u64>();
    /// assert_eq!(pool.run(g)?.take(sum), 328_350);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn place(self, place: Place<'_>) -> Self {
        let mut draft = self.describe("place");
        let first = &draft.stages[self.first_stage(&draft)];
        match first.source {
            Some(_) => draft.names.place(first.ops[0].0, place.told(&draft.names)),
            None => draft.defect(self.op, "place is said of one source; this stream comes from several"),
        }
        drop(draft);
        self
    }

    /// The first stage on the way to this stream, followed back over stages with a single input to one with a source. It is
    /// the stage of the stream's source, unless the stream has several sources.
    fn first_stage(&self, draft: &Draft<'_>) -> usize {
        let mut stage = self.stage;
        while let (None, [input]) = (&draft.stages[stage].source, &draft.stages[stage].inputs[..]) {
            stage = *input;
        }
        stage
    }

    /// Allows the next operator that holds items of this stream to keep all of them in memory.
    ///
    /// That operator is a [`chain`](Self::chain) of which this is the second stream, a [`zip`](Self::zip), a
    /// [`merge_by_key`](Self::merge_by_key), or a [`map_with`](Self::map_with) that waits for data. From there on the
    /// items hold no credits, whether they are held or not. So only the length of the stream bounds the memory.
    /// [`explain`](crate::Plan::explain) lists such streams.
    pub fn spooled(mut self) -> Self {
        self.spooled = true;
        self
    }

    /// Hides the types of the fused operators, for function signatures; the docs of the type have examples. It costs one
    /// indirect call more for each item.
    pub fn boxed(self) -> Stream<'env, T>
    where
        P: Pipe<Out = T> + 'env,
    {
        let Self { draft, stage, op, pipe, spooled, item } = self;
        Stream { draft, stage, op, pipe: Boxed::new(pipe), spooled, item }
    }
}

impl<T, P> fmt::Debug for Stream<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.draft.borrow().names.get(self.op)).finish()
    }
}
