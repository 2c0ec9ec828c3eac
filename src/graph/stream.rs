//! Streams: what they are, their modifiers, and the operators that fuse.

use std::cell::RefMut;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use super::Shared;
use super::access::slot_of;
use super::boundary::{Boundary, Edge, Emit};
use super::fused::{Fused, Tail};
use super::ops::{Boxed, Emitting, Filter, FilterMap, FlatMap, FlatMapInto, Inspect, Map, MapWith, TryMap};
use super::pipe::{Pipe, Root, Spot};
use crate::plan::draft::{Draft, SourceDraft, TailKind};
use crate::plan::{Data, MAX_CREDITS, Place};
use crate::run::slot::Slot;
use crate::run::stage::Stage;

/// Many items on their way, in order, through a chain of fused operators `P`.
///
/// Methods are named after those of [`Iterator`] where they do the same thing. Between operators that say *fuses* there is
/// no queue and no allocation: an item costs what it costs in an iterator chain. An operator that says *stage boundary* moves items
/// in batches from one stage to the next.
///
/// A stream that is not ended in a sink makes the graph a [`BuildError`](crate::BuildError). One that is still held then is
/// of no more use: its methods panic.
#[must_use = "a stream that nothing takes is an error when the graph is planned"]
pub struct Stream<'env, T, P = Boxed<'env, T>> {
    pub(super) draft: Shared<'env>,
    pub(super) stage: usize,
    /// The operator built last.
    op: usize,
    pipe: P,
    /// What holds its items next may keep all of them.
    pub(super) spooled: bool,
    item: PhantomData<fn() -> T>,
}

/// Where in the user's code an operator is added.
pub(super) type At = &'static Location<'static>;

impl<'env, T, P> Stream<'env, T, P> {
    pub(super) fn new(draft: Shared<'env>, stage: usize, op: usize, pipe: P) -> Self {
        Self { draft, stage, op, pipe, spooled: false, item: PhantomData }
    }

    /// The stream is what the operator that ends the stage `from` makes: that one has the name.
    pub(super) fn out_of(mut self, from: usize) -> Self {
        let draft = self.draft.borrow();
        let (whole, _) = *draft.stages[from].ops.last().expect("a stage has operators");
        draft.names.set_part(self.op, whole, "out");
        drop(draft);
        self.op = whole;
        self
    }

    /// The stages `inputs` are the parts of the operator that this stream begins with: it has the name.
    pub(super) fn brings_together(self, inputs: [(usize, &'static str); 2]) -> Self {
        let draft = self.draft.borrow();
        for (stage, part) in inputs {
            let (op, _) = draft.stages[stage].ops[0];
            draft.names.set_part(op, self.op, part);
        }
        drop(draft);
        self
    }

    /// The stage reads data: it waits until that is there.
    pub(super) fn reads<D>(&self, data: &Data<D>) {
        let mut draft = self.draft.borrow_mut();
        if Arc::ptr_eq(&data.names, &draft.names) {
            draft.stage_reads(self.stage, self.op, data.slot);
        } else {
            draft.defect(self.op, "it reads data of another graph");
        }
    }

    /// The graph's description, to which `method` adds something.
    #[track_caller]
    fn describe(&self, method: &str, at: At) -> RefMut<'_, Draft<'env>> {
        let draft = self.draft.borrow_mut();
        assert!(
            !draft.is_planned(),
            "'{}': the graph of this stream was planned already, {method} at {}:{} comes too late",
            draft.names.get(self.op),
            at.file(),
            at.line(),
        );
        draft
    }

    /// Names the operator built last, for reports, errors and [`explain`](crate::Plan::explain).
    #[track_caller]
    pub fn named(self, name: &str) -> Self {
        self.describe("named", Location::caller()).names.rename(self.op, name);
        self
    }

    /// Gives the batches of the stream's source this many items each (bytes for [`split`](crate::Graph::split)); without
    /// it they have 1 to 1024. They have more where there would be more than 2^44 batches: then a failure is answered
    /// when the batches that are under way have ended.
    ///
    /// Small batches suit heavy items and short waits, large ones light items. The blocks of a reduction are batches. 0 is
    /// a defect; a size that no stream has makes one batch of all items.
    #[track_caller]
    pub fn batch_size(self, items: usize) -> Self {
        self.set_source(("batch_size", Location::caller()), items, usize::MAX, |source| source.size = Some(items))
    }

    /// Lets this many batches of the stream's source be in flight at once, 256 without it (more where a pool has more
    /// than 128 workers): the bound of the memory that the stream needs. 0 is a defect, and so are more than 1048576: the
    /// places of all of them are allocated when the graph is planned.
    #[track_caller]
    pub fn credits(self, batches: usize) -> Self {
        self.set_source(("credits", Location::caller()), batches, MAX_CREDITS, |source| source.credits = Some(batches))
    }

    #[track_caller]
    fn set_source(
        self,
        (what, at): (&'static str, At),
        number: usize,
        most: usize,
        set: impl FnOnce(&mut SourceDraft),
    ) -> Self {
        let mut draft = self.describe(what, at);
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

    /// Places the batches of the stream's source: where the source's jobs go first, and with them all that is done with a
    /// batch up to the next stage boundary that others take it from. A stream that comes from several sources is a defect; so is a
    /// node that the machine does not have, or that has no CPU which the process may use.
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
        let mut draft = self.describe("place", Location::caller());
        let first = &draft.stages[self.first_stage(&draft)];
        match first.source {
            Some(_) => draft.names.place(first.ops[0].0, place.told(&draft.names)),
            None => draft.defect(self.op, "place is said of one source; this stream comes from several"),
        }
        drop(draft);
        self
    }

    /// The stage that this stream comes from, over all those with a single input: its source's, unless it has several.
    fn first_stage(&self, draft: &Draft<'_>) -> usize {
        let mut stage = self.stage;
        while let [input] = draft.stages[stage].inputs[..] {
            stage = input;
        }
        stage
    }

    /// Allows what comes next to keep the items of this stream in memory for as long as it must hold them: the second
    /// stream of [`chain`](Self::chain), a side of [`zip`](Self::zip), a stream that waits for data in
    /// [`map_with`](Self::map_with). From here on its items take up no credits, whether they are held or not: the only
    /// bound is the stream's length, and [`explain`](crate::Plan::explain) lists it.
    pub fn spooled(mut self) -> Self {
        self.spooled = true;
        self
    }

    /// Puts a fused operator behind the others.
    #[track_caller]
    pub(super) fn fuse<U, Q>(
        self,
        method: &'static str,
        at: At,
        counts: bool,
        wrap: impl FnOnce(P, Spot) -> Q,
    ) -> Stream<'env, U, Q> {
        let (op, spot) = self.add_op(method, at, counts);
        let Self { draft, stage, pipe, spooled, .. } = self;
        Stream { draft, stage, op, pipe: wrap(pipe, spot), spooled, item: PhantomData }
    }

    /// Adds an operator to the stage.
    #[track_caller]
    fn add_op(&self, method: &'static str, at: At, counts: bool) -> (usize, Spot) {
        let mut draft = self.describe(method, at);
        let op = draft.names.add(method, at);
        let (position, column) = draft.add_op(self.stage, op, counts);
        (op, Spot { position, column })
    }
}

/// How streams end, for the operators that end a stage.
impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Ends the stage in an operator that goes on elsewhere. Gives the draft and the stage.
    #[track_caller]
    pub(super) fn end_in(
        self,
        method: &'static str,
        at: At,
        kind: TailKind,
        tail: impl Tail<T> + 'env,
    ) -> (Shared<'env>, usize) {
        self.add_op(method, at, false);
        self.close(kind, tail)
    }

    /// Ends the stage in a sink with a result.
    #[track_caller]
    pub(super) fn sink<R: Send + 'env, K: Tail<T> + 'env>(
        self,
        method: &'static str,
        at: At,
        kind: TailKind,
        keeps: Option<&'static str>,
        tail: impl FnOnce(Arc<Slot<R>>) -> K,
    ) -> Data<R> {
        let result = Arc::new(Slot::new(None));
        let mut draft = self.describe(method, at);
        let names = Arc::clone(&draft.names);
        let op = names.add(method, at);
        draft.add_sink(self.stage, op);
        draft.stages[self.stage].keeps = keeps;
        let slot = draft.add_slot(result.clone(), op, false);
        draft.sink_writes(self.stage, slot);
        drop(draft);
        self.close(kind, tail(result));
        Data::new(names, slot, op)
    }

    /// Sends the items to a new stage that begins with an operator `method`. Gives the stage and the edge to it.
    #[track_caller]
    pub(super) fn send(self, method: &'static str, at: At) -> (Shared<'env>, usize, Arc<Edge<T>>)
    where
        T: Send,
    {
        let edge = Arc::new(Edge::new());
        let (draft, stage) = self.send_over(method, at, Arc::clone(&edge));
        (draft, stage, edge)
    }

    /// The same over an edge that is there: what shares it shares its empty packets.
    #[track_caller]
    pub(super) fn send_over(self, method: &'static str, at: At, edge: Arc<Edge<T>>) -> (Shared<'env>, usize)
    where
        T: Send,
    {
        drop(self.describe(method, at));
        let (draft, from) = self.close(TailKind::Sends, Emit { edge });
        let mut described = draft.borrow_mut();
        let op = described.names.add(method, at);
        let sequence = described.stages[from].sequence;
        let stage = described.stage(op, sequence, vec![from]);
        drop(described);
        (draft, stage)
    }

    fn close(self, kind: TailKind, tail: impl Tail<T> + 'env) -> (Shared<'env>, usize) {
        set_body(&self.draft, self.stage, Fused { pipe: self.pipe, tail }, kind);
        (self.draft, self.stage)
    }
}

/// The inside of a stage is known.
pub(super) fn set_body<'env>(draft: &Shared<'env>, stage: usize, body: impl Stage + 'env, kind: TailKind) {
    draft.borrow_mut().stages[stage].body = Some((Box::new(body), kind));
}

/// A stream that begins at a stage boundary: what `inputs` send over `edge`.
pub(super) fn receive<'env, T: Send + 'env>(
    draft: Shared<'env>,
    (method, at): (&'static str, At),
    sequence: usize,
    inputs: Vec<usize>,
    edge: Arc<Edge<T>>,
) -> Stream<'env, T, Root<Boundary<T>>> {
    let mut described = draft.borrow_mut();
    let op = described.names.add(method, at);
    let stage = described.stage(op, sequence, inputs);
    drop(described);
    Stream::new(draft, stage, op, Root::new(Boundary::new(edge)))
}

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives every item to `f`. Fuses; runs on all workers at once.
    #[track_caller]
    pub fn map<U, F>(self, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        F: Fn(T) -> U + Send + Sync + 'env,
    {
        self.fuse("map", Location::caller(), false, |pipe, spot| Map::new(pipe, f, spot))
    }

    /// Keeps the items for which `pred` holds. Fuses; runs on all workers at once.
    #[track_caller]
    pub fn filter<F>(self, pred: F) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        F: Fn(&T) -> bool + Send + Sync + 'env,
    {
        self.fuse("filter", Location::caller(), true, |pipe, spot| Filter::new(pipe, pred, spot))
    }

    /// Gives every item to `f`, and keeps what is `Some`. Fuses; runs on all workers at once.
    #[track_caller]
    pub fn filter_map<U, F>(self, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        F: Fn(T) -> Option<U> + Send + Sync + 'env,
    {
        self.fuse("filter_map", Location::caller(), true, |pipe, spot| FilterMap::new(pipe, f, spot))
    }

    /// Makes of every item the items of an iterator, which is run to its end. Fuses; runs on all workers at once.
    ///
    /// The items of one iterator are made one after the other, by one worker: what comes of one item is not spread.
    #[track_caller]
    pub fn flat_map<I, F>(self, f: F) -> Stream<'env, I::Item, impl Pipe<Out = I::Item>>
    where
        I: IntoIterator,
        F: Fn(T) -> I + Send + Sync + 'env,
    {
        self.fuse("flat_map", Location::caller(), true, |pipe, spot| FlatMap::new(pipe, f, spot))
    }

    /// Makes of every item any number of items, by calling the second argument of `f` with each. Fuses; runs on all
    /// workers at once.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let digits = g
    ///     .source([120, 7])
    ///     .flat_map_into(|mut number: u32, out| {
    ///         while number > 0 {
    ///             out(number % 10);
    ///             number /= 10;
    ///         }
    ///     })
    ///     .collect();
    /// assert_eq!(pool.run(g)?.take(digits), [0, 2, 1, 7]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map_into<U, F>(self, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        F: Fn(T, &mut dyn FnMut(U)) + Send + Sync + 'env,
        U: 'env,
    {
        let f = Emitting { f, item: PhantomData };
        self.fuse("flat_map_into", Location::caller(), true, |pipe, spot| FlatMapInto::new(pipe, f, spot))
    }

    /// Shows every item to `f`. Fuses; runs on all workers at once, so in no particular order.
    #[track_caller]
    pub fn inspect<F>(self, f: F) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        F: Fn(&T) + Send + Sync + 'env,
    {
        self.fuse("inspect", Location::caller(), false, |pipe, spot| Inspect::new(pipe, f, spot))
    }

    /// Gives every item to `f`; the first error in stream order ends the run, as [`Failed`](crate::RunErrorKind::Failed)
    /// with the error as its source. Fuses; runs on all workers at once.
    #[track_caller]
    pub fn try_map<U, E, F>(self, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        F: Fn(T) -> Result<U, E> + Send + Sync + 'env,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.fuse("try_map", Location::caller(), true, |pipe, spot| TryMap::new(pipe, f, spot))
    }

    /// Gives every item to `f`, with data that is finished: the stream waits until it is. Fuses; runs on all workers at
    /// once.
    ///
    /// A stream that comes from the same source as the data would be held as a whole until the data is finished: that is a
    /// defect, unless it is [`spooled`](Self::spooled).
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let mean = g.slice(&[1.0, 2.0, 6.0]).map(|x| x / 3.0).sum::<f64>();
    /// let offsets = g.slice(&[1.0, 2.0, 6.0]).map_with(&mean, |mean, x| x - mean).collect();
    /// assert_eq!(pool.run(g)?.take(offsets), [-2.0, -1.0, 3.0]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn map_with<D, U, F>(
        self,
        data: &Data<D>,
        f: F,
    ) -> Stream<'env, U, impl Pipe<Out = U> + use<'env, T, P, D, U, F>>
    where
        F: Fn(&D, T) -> U + Send + Sync + 'env,
        D: Send + Sync + 'env,
    {
        let mut draft = self.describe("map_with", Location::caller());
        let own = Arc::ptr_eq(&data.names, &draft.names);
        let slot = if own { slot_of(&draft, data.slot) } else { Arc::new(Slot::new(None)) };
        draft.stages[self.stage].spooled |= self.spooled;
        drop(draft);
        let stream = self.fuse("map_with", Location::caller(), false, |pipe, spot| MapWith::new(pipe, slot, f, spot));
        stream.reads(data);
        stream
    }

    /// Hides the types of the fused operators, for function signatures: an item costs an indirect call more.
    pub fn boxed(self) -> Stream<'env, T> {
        let Self { draft, stage, op, pipe, spooled, item } = self;
        Stream { draft, stage, op, pipe: Boxed::new(pipe), spooled, item }
    }
}

impl<T, P> fmt::Debug for Stream<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.draft.borrow().names.get(self.op)).finish()
    }
}
