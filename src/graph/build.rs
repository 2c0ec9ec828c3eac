//! How operators and sources are added to a graph.
//!
//! The methods in [`crate::operators`] and [`crate::sources`] call these functions, and nothing else of the graph:
//!
//! | what | call |
//! |---|---|
//! | a source | [`Graph::add_pulled`], [`Graph::add_live`], [`Graph::add_served`], [`Graph::add_numbered`] |
//! | an operator that fuses | [`Stream::fuse`], [`Stream::fuse_with_data`] |
//! | an operator one item at a time, in stream order | [`Stream::serial`] |
//! | a sink | [`Stream::serial_sink`], [`Stream::parallel_sink`], [`Stream::reduction`], [`Stream::outlet`], [`Stream::relay`] |
//! | one stream becomes several | [`Stream::fork`], [`Stream::route_to`] |
//! | one stream is numbered anew | [`Stream::renumber`] |
//! | whole packets are replaced | [`Stream::through`] |
//! | items are iterators, and become a source | `Stream::unfold` |
//! | two streams become one | [`Stream::meet`] |

use std::cell::RefMut;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use super::access::{ForeignData, slot_of};
use super::{Graph, SharedDraft, Sink, Stream};
use crate::engine::edge::{Boundary, Edge, SendOn};
use crate::engine::fork::{Fork, Route};
use crate::engine::fused::Fused;
use crate::engine::heads::numbered::{ByNumber, Numbered};
use crate::engine::heads::pulled::{Iterate, MakeIter, Pulled, Supplier};
use crate::engine::inlet::{Inlet, Shape};
use crate::engine::op::{FusedOp, Op};
use crate::engine::outside::outlet::Outlet;
use crate::engine::outside::relay::Relay;
use crate::engine::pipe::{Feed, Pipe, Position, Root};
use crate::engine::reduce::{Reduce, Reduction};
use crate::engine::serial::{Ending, Output, Serial, SerialOp};
use crate::engine::tail::{ParallelTail, Tail};
use crate::plan::Data;
use crate::plan::draft::{Body, Draft, Meets, SourceDraft};
use crate::run::flow::leaves::FreeLeaves;
use crate::run::flow::makes::Makes;
use crate::run::flow::stage::TailKind;
use crate::run::flow::supply::{Items, NumberedItems, Supply};
use crate::run::outside::wake::Hears;
use crate::run::slot::Slot;

/// A stream that is pulled out of an iterator.
type FromIter<'env, M> = Stream<'env, <<M as MakeIter>::Iter as Iterator>::Item, Root<Arc<Pulled<Iterate<M>>>>>;

/// Where in the user's code an operator is added.
type Caller = &'static Location<'static>;

impl<'env> Graph<'env> {
    /// Adds a source that is pulled out of an iterator.
    #[track_caller]
    pub(crate) fn add_pulled<M>(&self, method: &'static str, make: M) -> FromIter<'env, M>
    where
        M: MakeIter<Iter: Send + Iterator<Item: Send>> + 'env,
    {
        let items = Arc::new(Pulled::new(Iterate::new(make)));
        self.add_source(method, Location::caller(), Items::Pulled(Arc::<Pulled<Iterate<M>>>::clone(&items)), items)
    }

    /// Adds a source that may have nothing now. `hears` says whether it wants to hear what has been done.
    #[track_caller]
    pub(crate) fn add_live<S: Supplier + 'env>(
        &self,
        method: &'static str,
        supplier: S,
        hears: Hears,
    ) -> Stream<'env, S::Item, Root<Arc<Pulled<S>>>> {
        let items = Arc::new(Pulled::live(supplier, hears));
        self.add_source(method, Location::caller(), Items::Pulled(Arc::<Pulled<S>>::clone(&items)), items)
    }

    /// The same, for a source that a thread outside serves.
    #[track_caller]
    pub(crate) fn add_served<S: Supplier + 'env>(
        &self,
        method: &'static str,
        supplier: S,
        hears: Hears,
    ) -> Stream<'env, S::Item, Root<Arc<Pulled<S>>>> {
        let stream = self.add_live(method, supplier, hears);
        self.draft.borrow_mut().served.get_or_insert(stream.op);
        stream
    }

    /// Adds a numbered source.
    #[track_caller]
    pub(crate) fn add_numbered<C: ByNumber + 'env>(
        &self,
        method: &'static str,
        items: C,
    ) -> Stream<'env, C::Item, Root<Arc<Numbered<C>>>> {
        let items = Arc::new(Numbered::new(items));
        self.add_source(method, Location::caller(), Items::Numbered(Arc::<Numbered<C>>::clone(&items)), items)
    }

    fn add_source<H: Feed>(
        &self,
        method: &'static str,
        at: Caller,
        items: Items<'env>,
        head: H,
    ) -> Stream<'env, H::Item, Root<H>> {
        let op = self.names.add(method, at);
        let mut draft = self.draft.borrow_mut();
        let sequence = draft.sequence(true);
        let stage = draft.stage(op, sequence, Vec::new());
        draft.stages[stage].source = Some(SourceDraft::new(items));
        draft.stages[stage].came_bytes = size_of::<H::Item>();
        drop(draft);
        Stream::new(Rc::clone(&self.draft), stage, op, Root::new(head))
    }

    /// The slot of data that a source reads. For data of another graph, which is a defect, it is an empty slot.
    pub(crate) fn slot<D: Send + 'env>(&self, data: &Data<D>) -> Slot<D> {
        slot_in(&mut self.draft.borrow_mut(), data)
    }
}

/// The slot of data. Data of another graph is a defect, and gets an empty slot.
fn slot_in<'env, D: Send + 'env>(draft: &mut Draft<'env>, data: &Data<D>) -> Slot<D> {
    slot_of(draft, data).unwrap_or_else(|ForeignData| draft.slot_apart())
}

impl<'env, T, P> Stream<'env, T, P> {
    pub(super) fn new(draft: SharedDraft<'env>, stage: usize, op: usize, pipe: P) -> Self {
        Self { draft, stage, op, pipe, spooled: false, item: PhantomData }
    }

    /// The graph's draft, to which `method` adds something. Panics if the graph was planned already.
    #[track_caller]
    pub(super) fn describe(&self, method: &str) -> RefMut<'_, Draft<'env>> {
        let (draft, at) = (self.draft.borrow_mut(), Location::caller());
        assert!(
            !draft.is_planned(),
            "'{}': the graph of this stream was planned already, {method} at {}:{} comes too late",
            draft.names.get(self.op),
            at.file(),
            at.line(),
        );
        draft
    }

    /// Adds an operator to the stage, and returns its number and where it stands.
    #[track_caller]
    fn add_op(&self, method: &'static str, resizes: bool) -> (usize, Position) {
        let mut draft = self.describe(method);
        let op = draft.names.add(method, Location::caller());
        let (position, column) = draft.add_op(self.stage, op, resizes);
        (op, Position { position, column })
    }

    /// Adds a fused operator behind the others.
    #[track_caller]
    pub(crate) fn fuse<O: FusedOp<T>>(self, method: &'static str, op: O) -> Stream<'env, O::Out, Op<P, O>> {
        let (number, spot) = self.add_op(method, O::RESIZES);
        self.draft.borrow_mut().makes(self.stage, number, O::MAKES);
        let Self { draft, stage, pipe, spooled, .. } = self;
        Stream { draft, stage, op: number, pipe: Op::new(pipe, op, spot), spooled, item: PhantomData }
    }

    /// Adds a fused operator that reads data. The stage waits until the data is there.
    #[track_caller]
    pub(crate) fn fuse_with_data<D: Send + 'env, O: FusedOp<T>>(
        self,
        method: &'static str,
        data: &Data<D>,
        op: impl FnOnce(Slot<D>) -> O,
    ) -> Stream<'env, O::Out, Op<P, O>> {
        let mut draft = self.describe(method);
        let slot = slot_in(&mut draft, data);
        draft.stages[self.stage].spooled |= self.spooled;
        drop(draft);
        let stream = self.fuse(method, op(slot));
        stream.reads(data);
        stream
    }

    /// Makes this stream a part of the operator that ends the stage `from`: that operator has the name.
    pub(super) fn out_of(mut self, from: usize) -> Self {
        let draft = self.draft.borrow();
        let (whole, _) = *draft.stages[from].ops.last().expect("a stage has operators");
        draft.names.set_part(self.op, whole, "out");
        drop(draft);
        self.op = whole;
        self
    }
}

/// For the operators that end a stage.
impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Ends the stage in a serial operator that makes items. A new stage begins with these items.
    #[track_caller]
    pub(crate) fn serial<O>(self, method: &'static str, op: O) -> Stream<'env, O::Out, impl Pipe<Out = O::Out>>
    where
        T: Send,
        O: SerialOp<T, Out: Send + 'env> + 'env,
    {
        let edge = Arc::new(Edge::new());
        let (number, _) = self.add_op(method, false);
        let mut described = self.draft.borrow_mut();
        described.makes(self.stage, number, op.makes());
        let from = &mut described.stages[self.stage];
        (from.keeps, from.at_end) = (O::KEEPS, op.makes_at_end());
        let came = from.sequence;
        let (sequence, ending) = if O::ENDS {
            let ordered = described.is_ordered(came);
            let sequence = described.sequence(ordered);
            (sequence, Some(Ending(sequence)))
        } else {
            (came, None)
        };
        drop(described);
        let (draft, stage) = self.close(Serial::new(op, Some(Output { edge: Arc::clone(&edge), ending })));
        draft.borrow_mut().stages[stage].item_bytes = size_of::<O::Out>();
        receive_in(draft, (method, Location::caller()), sequence, vec![stage], edge).out_of(stage)
    }

    /// Ends the stage in a serial operator with a result. `keeps` says in words what the operator keeps in memory.
    #[track_caller]
    pub(crate) fn serial_sink<R, O>(
        self,
        method: &'static str,
        keeps: Option<&'static str>,
        op: impl FnOnce(Slot<R>) -> O,
    ) -> Data<R>
    where
        T: Send,
        R: Send + 'env,
        O: SerialOp<T, Out = Infallible> + 'env,
    {
        let (data, result) = self.add_sink(method, keeps);
        self.close(Serial::new(op(result), None));
        data
    }

    /// Ends the stage in a parallel sink. `keeps` says in words what the sink keeps in memory.
    #[track_caller]
    pub(crate) fn parallel_sink<R: Send + 'env, K: ParallelTail<T> + 'env>(
        self,
        method: &'static str,
        keeps: Option<&'static str>,
        tail: impl FnOnce(Slot<R>) -> K,
    ) -> Data<R> {
        let (data, result) = self.add_sink(method, keeps);
        self.close_free(tail(result));
        data
    }

    /// Ends the stage in a reduction.
    #[track_caller]
    pub(crate) fn reduction<R>(self, method: &'static str, reduction: R) -> Data<R::Result>
    where
        R: Reduction<T, Part: 'env, Result: 'env> + 'env,
    {
        let keeps = Some("one value per batch in flight");
        self.parallel_sink(method, keeps, |result| Reduce::new(reduction, result))
    }

    /// Ends the stage in a sink that a thread outside serves.
    #[track_caller]
    pub(crate) fn outlet(self, method: &'static str, tail: Outlet<T>)
    where
        T: Send,
    {
        let op = self.meet_outside(method);
        self.draft.borrow_mut().served.get_or_insert(op);
        self.close(tail);
    }

    /// Ends the stage in a sink that sends to an input of another graph.
    #[track_caller]
    pub(crate) fn relay(self, method: &'static str, tail: Relay<T>)
    where
        T: Send,
    {
        self.meet_outside(method);
        self.close(tail);
    }

    /// Adds a sink without a result, which meets threads outside, and returns its number.
    #[track_caller]
    fn meet_outside(&self, method: &'static str) -> usize {
        let mut draft = self.describe(method);
        let op = draft.names.add(method, Location::caller());
        draft.add_sink(self.stage, op);
        draft.meets_outside = true;
        op
    }

    /// Adds a sink to the stage, and returns its result and the slot for it.
    #[track_caller]
    pub(super) fn add_sink<R: Send + 'env>(&self, method: &'static str, keeps: Option<&'static str>) -> Sink<R> {
        let mut draft = self.describe(method);
        let names = Arc::clone(&draft.names);
        let op = names.add(method, Location::caller());
        draft.add_sink(self.stage, op);
        draft.stages[self.stage].keeps = keeps;
        let (slot, result) = draft.add_slot(None, op);
        draft.sink_writes(self.stage, slot);
        drop(draft);
        (Data::new(names, slot, op), result)
    }

    /// Ends the stage in two edges, over which `split` sends items, and returns the two streams. Of those that come each
    /// edge gets as many as `makes` says.
    #[track_caller]
    pub(crate) fn fork<L, R, S>(
        self,
        method: &'static str,
        branches: [&'static str; 2],
        makes: Makes,
        split: S,
    ) -> (Stream<'env, L, impl Pipe<Out = L>>, Stream<'env, R, impl Pipe<Out = R>>)
    where
        L: Send + 'env,
        R: Send + 'env,
        S: Fn(T) -> (Option<L>, Option<R>) + Send + Sync + 'env,
    {
        let at = Location::caller();
        let (left, right) = (Arc::new(Edge::new()), Arc::new(Edge::new()));
        let fork = Fork { left: Arc::clone(&left), right: Arc::clone(&right), split };
        self.add_op(method, false);
        self.draft.borrow_mut().stages[self.stage].splits = makes;
        let (draft, stage) = self.close(fork);
        let left = receive(Rc::clone(&draft), (branches[0], at), vec![stage], left);
        (left, receive(draft, (branches[1], at), vec![stage], right))
    }

    /// Ends the stage in `N` edges, over one of which each item goes, and returns the streams.
    #[track_caller]
    pub(crate) fn route_to<S, const N: usize>(
        self,
        method: &'static str,
        branch: fn(usize) -> &'static str,
        to: S,
    ) -> [Stream<'env, T, impl Pipe<Out = T>>; N]
    where
        T: Send,
        S: Fn(&T) -> usize + Send + Sync + 'env,
    {
        let at = Location::caller();
        let edges: [_; N] = std::array::from_fn(|_| Arc::new(Edge::new()));
        self.add_op(method, false);
        self.draft.borrow_mut().stages[self.stage].splits = Makes::AtMostOne;
        let (draft, stage) = self.close(Route { edges: edges.each_ref().map(Arc::clone), to });
        let mut names = (0..).map(branch);
        edges.map(|edge| receive(Rc::clone(&draft), (names.next().expect("endless"), at), vec![stage], edge))
    }

    /// Sends the items through a shape with one input. `shape` makes the shape for a new sequence, in order of arrival.
    #[track_caller]
    pub(crate) fn renumber<S>(
        self,
        method: &'static str,
        shape: impl FnOnce(usize) -> S,
    ) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        T: Send,
        S: Shape<Item = T> + 'env,
    {
        let edge = Arc::new(Edge::new());
        let (draft, stage) = self.send(method, Arc::clone(&edge));
        let sequence = draft.borrow_mut().sequence(false);
        set_inlet(&draft, stage, Inlet::new(Arc::clone(&edge), shape(sequence)));
        receive_in(draft, (method, Location::caller()), sequence, vec![stage], edge).out_of(stage)
    }

    /// Sends the items through a shape with one input, which keeps the order and sends what it makes over `edge`. It counts
    /// what it is given in column 0, and what it hands on in column 1.
    #[track_caller]
    pub(crate) fn through<S, U: Send + 'env>(
        self,
        method: &'static str,
        shape: S,
        edge: Arc<Edge<U>>,
    ) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        T: Send,
        S: Shape<Item = T> + 'env,
    {
        let came = Arc::new(Edge::new());
        let (draft, stage) = self.send(method, Arc::clone(&came));
        let mut described = draft.borrow_mut();
        described.resizes(stage);
        let (op, _) = described.stages[stage].ops[0];
        described.makes(stage, op, S::MAKES);
        drop(described);
        set_inlet(&draft, stage, Inlet::new(came, shape));
        receive(draft, (method, Location::caller()), vec![stage], edge).out_of(stage)
    }

    /// Sends the items of two streams to the two inputs of a shape.
    #[track_caller]
    pub(crate) fn meet<U, Q>(
        self,
        method: &'static str,
        other: Stream<'env, U, Q>,
        edges: (Arc<Edge<T>>, Arc<Edge<U>>),
    ) -> Inputs<'env>
    where
        T: Send,
        U: Send + 'env,
        Q: Pipe<Out = U> + 'env,
    {
        let (draft, left) = self.send(method, edges.0);
        let (other, right) = other.send(method, edges.1);
        Inputs { draft, other, stages: [left, right], name: (method, Location::caller()) }
    }

    /// Sends the items over an edge to a new stage that begins with the operator `method`.
    #[track_caller]
    fn send(self, method: &'static str, edge: Arc<Edge<T>>) -> (SharedDraft<'env>, usize)
    where
        T: Send,
    {
        drop(self.describe(method));
        let (draft, from) = self.close(SendOn { edge });
        let mut described = draft.borrow_mut();
        let op = described.names.add(method, Location::caller());
        let sequence = described.stages[from].sequence;
        let stage = described.stage(op, sequence, vec![from]);
        described.stages[stage].came_bytes = size_of::<T>();
        drop(described);
        (draft, stage)
    }

    /// Ends the stage, and returns the draft and the stage.
    pub(super) fn close<K: Tail<T> + 'env>(self, tail: K) -> (SharedDraft<'env>, usize) {
        self.close_with(tail, |items, body| Supply::Numbered { items, body })
    }

    /// Ends the stage in a tail that a free source may feed.
    fn close_free<K: ParallelTail<T> + 'env>(self, tail: K) {
        self.close_with(tail, |items, body| Supply::Free { items, body, leaves: FreeLeaves::default() });
    }

    fn close_with<K: Tail<T> + 'env>(
        self,
        tail: K,
        numbered: impl FnOnce(Arc<dyn NumberedItems + 'env>, Box<Fused<P, K>>) -> Supply<'env>,
    ) -> (SharedDraft<'env>, usize) {
        let body = Box::new(Fused { pipe: self.pipe, tail });
        let mut draft = self.draft.borrow_mut();
        let stage = &mut draft.stages[self.stage];
        let body = match stage.source.as_ref().map(|source| &source.items) {
            None => Body::Packets(body),
            Some(Items::Pulled(items)) => Body::Source(Supply::Pulled { items: Arc::clone(items), body }),
            Some(Items::Numbered(items)) => Body::Source(numbered(Arc::clone(items), body)),
        };
        stage.body = Some((body, K::KIND));
        (stage.end_bytes, stage.item_bytes) = (size_of::<T>(), size_of::<T>());
        drop(draft);
        (self.draft, self.stage)
    }
}

/// Makes an input of a shape the typed part of a stage.
fn set_inlet<'env>(draft: &SharedDraft<'env>, stage: usize, inlet: Inlet<impl Shape + 'env>) {
    draft.borrow_mut().stages[stage].body = Some((Body::Packets(Box::new(inlet)), TailKind::Sends));
}

/// A stream that begins with the items that `inputs` send over `edge`, in the order of the first of these stages.
fn receive<'env, T: Send + 'env>(
    draft: SharedDraft<'env>,
    name: (&'static str, Caller),
    inputs: Vec<usize>,
    edge: Arc<Edge<T>>,
) -> Stream<'env, T, Root<Boundary<T>>> {
    let sequence = draft.borrow().stages[inputs[0]].sequence;
    receive_in(draft, name, sequence, inputs, edge)
}

/// The same, in the order of `sequence`.
fn receive_in<'env, T: Send + 'env>(
    draft: SharedDraft<'env>,
    (method, at): (&'static str, Caller),
    sequence: usize,
    inputs: Vec<usize>,
    edge: Arc<Edge<T>>,
) -> Stream<'env, T, Root<Boundary<T>>> {
    let mut described = draft.borrow_mut();
    let op = described.names.add(method, at);
    let stage = described.stage(op, sequence, inputs);
    described.stages[stage].came_bytes = size_of::<T>();
    drop(described);
    Stream::new(draft, stage, op, Root::new(Boundary::new(edge)))
}

/// The two inputs of one shape, each with the draft of its graph. If these are two graphs, that is a defect of both.
pub(crate) struct Inputs<'env> {
    draft: SharedDraft<'env>,
    other: SharedDraft<'env>,
    pub(crate) stages: [usize; 2],
    name: (&'static str, Caller),
}

impl<'env> Inputs<'env> {
    /// A new sequence for the output of the shape. It is in stream order if `ordered` says so and both inputs are.
    pub(crate) fn sequence(&self, ordered: bool) -> usize {
        if !self.is_one_graph() {
            for (draft, stage) in [(&self.draft, self.stages[0]), (&self.other, self.stages[1])] {
                let mut draft = draft.borrow_mut();
                let (op, _) = draft.stages[stage].ops[0];
                draft.defect(op, "it brings together streams of two graphs");
            }
            return self.draft.borrow_mut().sequence(true);
        }
        let mut draft = self.draft.borrow_mut();
        let both = self.stages.iter().all(|stage| draft.is_ordered(draft.stages[*stage].sequence));
        draft.sequence(ordered && both)
    }

    /// Whether both inputs are of one graph.
    pub(crate) fn is_one_graph(&self) -> bool {
        Rc::ptr_eq(&self.draft, &self.other)
    }

    /// Sets whether each input may keep its items.
    pub(crate) fn set_spooled(&self, spooled: [bool; 2]) {
        self.draft.borrow_mut().stages[self.stages[0]].spooled = spooled[0];
        self.other.borrow_mut().stages[self.stages[1]].spooled = spooled[1];
    }

    /// Notes that items of the second input give up their credits when they have met those of the first one.
    pub(crate) fn set_lets_go(&self) {
        self.other.borrow_mut().stages[self.stages[1]].lets_go = true;
    }

    /// Notes that items of each input wait for items of the other one.
    pub(crate) fn set_meets(&self, meets: Meets) {
        if self.is_one_graph() {
            let [left, right] = self.stages;
            let mut draft = self.draft.borrow_mut();
            draft.stages[left].meets = Some((right, meets));
            draft.stages[right].meets = Some((left, meets));
        }
    }

    /// Makes the second input wait until the first one has ended.
    pub(crate) fn set_in_order(&self) {
        let first = self.is_one_graph().then_some(self.stages[0]);
        self.other.borrow_mut().stages[self.stages[1]].waits_for = first;
    }

    /// Sets what the inputs do, and returns the stream that comes out of the shape. `parts` are the names of the
    /// inputs.
    pub(crate) fn receive<T: Send + 'env>(
        self,
        (first, second): (Inlet<impl Shape + 'env>, Inlet<impl Shape + 'env>),
        parts: [&'static str; 2],
        sequence: usize,
        edge: Arc<Edge<T>>,
    ) -> Stream<'env, T, impl Pipe<Out = T>> {
        set_inlet(&self.draft, self.stages[0], first);
        set_inlet(&self.other, self.stages[1], second);
        if !self.is_one_graph() {
            return receive_in(self.draft, self.name, sequence, vec![self.stages[0]], edge); // it is never planned
        }
        let stream = receive_in(self.draft, self.name, sequence, self.stages.to_vec(), edge);
        let draft = stream.draft.borrow();
        for (stage, part) in self.stages.into_iter().zip(parts) {
            let (op, _) = draft.stages[stage].ops[0];
            draft.names.set_part(op, stream.op, part);
        }
        drop(draft);
        stream
    }
}
