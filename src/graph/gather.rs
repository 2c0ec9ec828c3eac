//! Shapes that bring streams together: `zip`, `chain`, `merge`, and `unordered`, a merge of one.
//!
//! Each input is a stage of its own, fed by tokens; the stages of one shape share its state. All of them renumber: what
//! comes out is a new numbering.

use std::collections::VecDeque;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use super::Shared;
use super::pipe::Pipe;
use super::seam::{Edge, load, ticket_of, unload};
use super::stream::{At, Stream, receive, set_body};
use crate::plan::draft::TailKind;
use crate::run::batch::{Family, Ticket, Token};
use crate::run::stage::{Cx, Ended, Parcel, Room, Stage};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::countdown::Known;
use crate::sync::turnstile::Turnstile;
use crate::unwind;

/// The parts of [`Stage`] that are the same for all inputs of tokens.
macro_rules! token_input {
    ($edge:ident: $item:ty) => {
        fn ticket(&self, load: u64) -> Ticket {
            #[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
            // SAFETY: (1) only tails with this stage's edge send to it; (2) a piece is at one place at a time.
            unsafe {
                *ticket_of::<$item>(load)
            }
        }
        fn spool(&self, load: u64) -> Family {
            #[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
            // SAFETY: as in `ticket`.
            let ticket = unsafe { ticket_of::<$item>(load) };
            std::mem::replace(&mut ticket.family, Family::NONE)
        }
        fn discard(&self, load: u64) -> u64 {
            #[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
            // SAFETY: as in `ticket`; nobody uses it again.
            let token: Box<Token<$item>> = unsafe { unload(load) };
            let count = token.items.len() as u64;
            self.$edge.give(token);
            count
        }
    };
}

/// Drops a piece that its numbering does not want.
fn drop_unwanted(stage: &impl Stage, cx: &Cx<'_>, parcel: Parcel) {
    cx.drop_items(stage.discard(parcel.load));
    cx.release(parcel.ticket.family);
}

/// What the inputs of a [`Merge`] share.
pub(crate) struct Arrivals {
    next: AtomicU64,
    open: Known,
    inputs: u32,
    pub(crate) numbering: usize,
}

impl Arrivals {
    pub(crate) fn new(inputs: u32, numbering: usize) -> Self {
        Self { next: AtomicU64::new(0), open: Known::default(), inputs, numbering }
    }
}

/// An input of [`Stream::merge`](crate::Stream::merge): every piece gets the next number as it arrives.
pub(crate) struct Merge<T> {
    pub(crate) edge: Arc<Edge<T>>,
    pub(crate) shared: Arc<Arrivals>,
}

impl<T: Send> Stage for Merge<T> {
    token_input!(edge: T);

    fn fire(&self, cx: &Cx<'_>, parcel: Parcel) {
        if !cx.wants(&parcel.ticket) {
            return drop_unwanted(self, cx, parcel);
        }
        // Relaxed: any order is an order of arrival.
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket::whole(number, parcel.ticket.family);
        #[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
        // SAFETY: (1) a token of this edge; (2) this job has it.
        unsafe {
            *ticket_of::<T>(parcel.load) = ticket;
        }
        cx.send(0, &ticket, parcel.load, true);
        cx.arrive();
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        // The last input to end sees the numbers that the others have given out.
        if self.shared.open.arrive() {
            let total = self.shared.next.load(Ordering::Relaxed);
            cx.run.total(self.shared.numbering, total, cx.worker);
        }
        Ended::Now
    }

    fn prepare(&mut self, _: Room) {}
    fn reset(&mut self) {
        self.shared.next.store(0, Ordering::Relaxed);
        self.shared.open.restart(self.shared.inputs);
    }
    fn clear(&mut self) {}
    fn waiting(&self) -> Option<String> {
        None
    }
}

/// What the two inputs of a chain share.
pub(crate) struct Link {
    /// How many numbers the first input had, and the second; none: not ended.
    ends: Mutex<[Option<u64>; 2]>,
    passed: [AtomicU64; 2],
    pub(crate) numbering: usize,
}

impl Link {
    pub(crate) fn new(numbering: usize) -> Self {
        Self { ends: Mutex::new([None; 2]), passed: [AtomicU64::new(0), AtomicU64::new(0)], numbering }
    }
}

/// An input of [`Stream::chain`](crate::Stream::chain). The second one has a gate, which the end of the first one opens;
/// its numbers go on where the first one's end.
pub(crate) struct Chain<T> {
    pub(crate) edge: Arc<Edge<T>>,
    pub(crate) shared: Arc<Link>,
    /// The stage of the second input, for the first one.
    pub(crate) second: Option<usize>,
}

impl<T> Chain<T> {
    /// 0 for the first input, 1 for the second.
    fn side(&self) -> usize {
        usize::from(self.second.is_none())
    }
}

impl<T: Send> Stage for Chain<T> {
    token_input!(edge: T);

    fn fire(&self, cx: &Cx<'_>, parcel: Parcel) {
        if !cx.wants(&parcel.ticket) {
            return drop_unwanted(self, cx, parcel);
        }
        let mut ticket = parcel.ticket;
        if self.side() == 1 {
            let first = self.shared.ends.lock()[0];
            ticket.number += first.expect("the gate opens when the first input has ended");
        }
        if ticket.last {
            // Relaxed: read by the end of this input, which comes after all its pieces.
            self.shared.passed[self.side()].fetch_add(1, Ordering::Relaxed);
        }
        #[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
        // SAFETY: (1) a token of this edge; (2) this job has it.
        unsafe {
            *ticket_of::<T>(parcel.load) = ticket;
        }
        cx.send(0, &ticket, parcel.load, true);
        cx.arrive();
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        let passed = self.shared.passed[self.side()].load(Ordering::Relaxed);
        let ends = {
            let mut ends = self.shared.ends.lock();
            ends[self.side()] = Some(passed);
            *ends
        };
        if let Some(second) = self.second {
            cx.at(second).open();
        }
        if let [Some(first), Some(second)] = ends {
            cx.run.total(self.shared.numbering, first + second, cx.worker);
        }
        Ended::Now
    }

    fn prepare(&mut self, _: Room) {}
    fn reset(&mut self) {
        *self.shared.ends.lock() = [None; 2];
        self.shared.passed.iter().for_each(|passed| passed.store(0, Ordering::Relaxed));
    }
    fn clear(&mut self) {}
    fn waiting(&self) -> Option<String> {
        None
    }
}

/// What is left of a piece, and whose credit it holds.
type Left<T> = (std::vec::IntoIter<T>, Family);

/// Tokens of pairs.
type Paired<A, B> = Vec<Box<Token<(A, B)>>>;

/// A queue of pieces at one side of a zip; the first one may be used up in part.
pub(crate) struct Queue<T> {
    pieces: VecDeque<Left<T>>,
    ended: bool,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { pieces: VecDeque::new(), ended: false }
    }

    fn is_over(&self) -> bool {
        self.ended && self.pieces.is_empty()
    }

    /// Takes what is queued.
    fn take(&mut self) -> VecDeque<Left<T>> {
        std::mem::take(&mut self.pieces)
    }
}

/// What the two inputs of a zip share.
pub(crate) struct Pairs<A, B> {
    state: Mutex<PairState<A, B>>,
    out: Arc<Edge<(A, B)>>,
    pub(crate) numbering: usize,
    /// The stages of the two inputs.
    pub(crate) stages: [usize; 2],
}

pub(crate) struct PairState<A, B> {
    left: Queue<A>,
    right: Queue<B>,
    next: u64,
    over: bool,
}

impl<A, B> PairState<A, B> {
    fn new() -> Self {
        Self { left: Queue::new(), right: Queue::new(), next: 0, over: false }
    }
}

impl<A: Send, B: Send> Pairs<A, B> {
    pub(crate) fn new(out: Arc<Edge<(A, B)>>, numbering: usize, stages: [usize; 2]) -> Self {
        Self { state: Mutex::new(PairState::new()), out, numbering, stages }
    }

    /// Pairs what can be paired. Pieces are cut where a piece of either side ends, and a token belongs to the family of
    /// its left piece, or of the right one if the left side is spooled: so neither depends on which side came first.
    fn pair(&self, state: &mut PairState<A, B>, cx: &Cx<'_>) -> (Paired<A, B>, Vec<Family>) {
        let (mut tokens, mut used) = (Vec::new(), Vec::new());
        loop {
            while let Some((_, family)) = state.left.pieces.pop_front_if(|(items, _)| items.len() == 0) {
                used.push(family);
            }
            while let Some((_, family)) = state.right.pieces.pop_front_if(|(items, _)| items.len() == 0) {
                used.push(family);
            }
            let (Some((left, family)), Some((right, others))) =
                (state.left.pieces.front_mut(), state.right.pieces.front_mut())
            else {
                return (tokens, used);
            };
            let family = if *family == Family::NONE { *others } else { *family };
            let mut token = self.out.take();
            let count = left.len().min(right.len());
            token.items.extend(left.by_ref().take(count).zip(right.by_ref().take(count)));
            cx.share(family);
            token.ticket = Ticket::whole(state.next, family);
            state.next += 1;
            tokens.push(token);
        }
    }

    /// If one side is over, so is the zip: the total is known, and nobody wants the rest of the other side.
    fn check_over(&self, state: &mut PairState<A, B>) -> Option<Rest<A, B>> {
        if state.over || !(state.left.is_over() || state.right.is_over()) {
            return None;
        }
        state.over = true;
        Some(Rest { total: state.next, left: state.left.take(), right: state.right.take() })
    }

    /// What follows from [`check_over`](Self::check_over), without the lock.
    fn close(&self, rest: Option<Rest<A, B>>, cx: &Cx<'_>) {
        let Some(Rest { total, left, right }) = rest else { return };
        cx.run.total(self.numbering, total, cx.worker);
        let [left_stage, right_stage] = self.stages.map(|stage| cx.at(stage));
        left_stage.close();
        right_stage.close();
        left.into_iter().for_each(|(items, family)| drop_piece(items, family, &left_stage));
        right.into_iter().for_each(|(items, family)| drop_piece(items, family, &right_stage));
    }
}

/// What is left when a zip is over.
struct Rest<A, B> {
    total: u64,
    left: VecDeque<Left<A>>,
    right: VecDeque<Left<B>>,
}

fn drop_piece<T>(items: std::vec::IntoIter<T>, family: Family, cx: &Cx<'_>) {
    cx.drop_items(items.len() as u64);
    items.for_each(unwind::drop_value);
    cx.release(family);
}

/// An input of [`Stream::zip`](crate::Stream::zip).
pub(crate) struct Zip<T, A, B> {
    edge: Arc<Edge<T>>,
    shared: Arc<Pairs<A, B>>,
    /// Which side of the shared state is its own.
    queue: fn(&mut PairState<A, B>) -> &mut Queue<T>,
    turnstile: Turnstile<u64>,
    other: &'static str,
}

impl<A, B> Zip<A, A, B> {
    pub(crate) fn left(edge: Arc<Edge<A>>, shared: Arc<Pairs<A, B>>) -> Self {
        Self { edge, shared, queue: |state| &mut state.left, turnstile: Turnstile::new(0), other: "right" }
    }
}

impl<A, B> Zip<B, A, B> {
    pub(crate) fn right(edge: Arc<Edge<B>>, shared: Arc<Pairs<A, B>>) -> Self {
        Self { edge, shared, queue: |state| &mut state.right, turnstile: Turnstile::new(0), other: "left" }
    }
}

impl<T: Send, A: Send, B: Send> Zip<T, A, B> {
    /// Queues a piece that has its turn, and pairs what can be paired.
    fn pass(&self, cx: &Cx<'_>, payload: u64) {
        #[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
        // SAFETY: (1) only tails with this stage's edge send to it; (2) a turn is given once.
        let mut token: Box<Token<T>> = unsafe { unload(payload) };
        let Ticket { family, last, .. } = token.ticket;
        if !cx.wants(&token.ticket) {
            drop_piece(std::mem::take(&mut token.items).into_iter(), family, cx);
            return self.advance(cx, last);
        }
        let items = std::mem::take(&mut token.items).into_iter();
        self.edge.give(token);
        let mut state = self.shared.state.lock();
        if state.over {
            drop(state);
            drop_piece(items, family, cx);
        } else {
            (self.queue)(&mut state).pieces.push_back((items, family));
            let (tokens, used) = self.shared.pair(&mut state, cx);
            let rest = self.shared.check_over(&mut state);
            drop(state);
            for token in tokens {
                let ticket = token.ticket;
                cx.send(0, &ticket, load(token), true);
            }
            used.into_iter().for_each(|family| cx.release(family));
            self.shared.close(rest, cx);
        }
        self.advance(cx, last);
        cx.arrive();
    }

    fn advance(&self, cx: &Cx<'_>, last: bool) {
        if let Some(next) = self.turnstile.leave(last) {
            cx.push_turn(next);
        }
    }
}

impl<T: Send, A: Send, B: Send> Stage for Zip<T, A, B> {
    token_input!(edge: T);

    fn fire(&self, cx: &Cx<'_>, parcel: Parcel) {
        if let Some(payload) = self.turnstile.enter(parcel.ticket.turn(), parcel.load) {
            self.pass(cx, payload);
        }
    }

    fn turn(&self, cx: &Cx<'_>, payload: u64) {
        self.pass(cx, payload);
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        let rest = {
            let mut state = self.shared.state.lock();
            (self.queue)(&mut state).ended = true;
            self.shared.check_over(&mut state)
        };
        self.shared.close(rest, cx);
        Ended::Now
    }

    fn prepare(&mut self, _: Room) {}

    fn reset(&mut self) {
        self.turnstile.reset().for_each(drop);
        *self.shared.state.lock() = PairState::new();
    }

    fn clear(&mut self) {
        let parked: Vec<u64> = self.turnstile.reset().collect();
        for payload in parked {
            self.discard(payload);
        }
        let pieces = (self.queue)(&mut self.shared.state.lock()).take();
        pieces.into_iter().for_each(|(items, _)| items.for_each(unwind::drop_value));
    }

    fn waiting(&self) -> Option<String> {
        let mut state = self.shared.state.lock();
        let pieces = (self.queue)(&mut state).pieces.len();
        (pieces > 0).then(|| format!("{pieces} batches wait for items of the {} side", self.other))
    }
}

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Pairs the items of two streams, in order, until one of them ends. Seam.
    ///
    /// The stream that is ahead waits in a queue, as far as its source's credits go. Where both come from one source, and
    /// one of them leaves out so many items that all credits are in the queue, the run ends as
    /// [`Stalled`](crate::RunErrorKind::Stalled), unless the stream that is ahead is [`spooled`](Self::spooled).
    #[track_caller]
    pub fn zip<U, Q>(self, other: Stream<'env, U, Q>) -> Stream<'env, (T, U), impl Pipe<Out = (T, U)>>
    where
        U: Send + 'env,
        Q: Pipe<Out = U> + 'env,
    {
        let at = Location::caller();
        let spooled = [self.spooled, other.spooled];
        let (draft, left, left_edge) = self.send("zip", at);
        let (other, right, right_edge) = other.send("zip", at);
        let inputs = Inputs { draft, other, stages: [left, right] };
        let numbering = inputs.numbering(true);
        inputs.set_spooled(spooled);
        let out = Arc::new(Edge::new());
        let pairs = Arc::new(Pairs::new(Arc::clone(&out), numbering, inputs.stages));
        inputs.set_bodies(Zip::left(left_edge, Arc::clone(&pairs)), Zip::right(right_edge, pairs));
        inputs.receive(("zip", at), numbering, out, ["left", "right"])
    }

    /// The items of this stream, then those of `next`. Seam.
    ///
    /// What comes of `next` before this one has ended is held, as far as its source's credits go. Where both come from one
    /// source that is a defect, unless `next` is [`spooled`](Self::spooled).
    #[track_caller]
    pub fn chain<Q>(self, next: Stream<'env, T, Q>) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        Q: Pipe<Out = T> + 'env,
    {
        let at = Location::caller();
        let spooled = [false, next.spooled];
        let (draft, first, edge) = self.send("chain", at);
        let (other, second) = next.send_over("chain", at, Arc::clone(&edge));
        let inputs = Inputs { draft, other, stages: [first, second] };
        let numbering = inputs.numbering(true);
        inputs.set_spooled(spooled);
        inputs.other.borrow_mut().stages[second].waits_for = inputs.is_one_graph().then_some(first);
        let link = Arc::new(Link::new(numbering));
        let out = Arc::clone(&edge);
        let second = Some(second);
        inputs.set_bodies(
            Chain { edge, shared: Arc::clone(&link), second },
            Chain { edge: Arc::clone(&out), shared: link, second: None },
        );
        inputs.receive(("chain", at), numbering, out, ["first", "second"])
    }

    /// The items of both streams in the order in which they arrive: it differs from run to run. Seam.
    #[track_caller]
    pub fn merge<Q>(self, other: Stream<'env, T, Q>) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        Q: Pipe<Out = T> + 'env,
    {
        let at = Location::caller();
        let (draft, left, edge) = self.send("merge", at);
        let (other, right) = other.send_over("merge", at, Arc::clone(&edge));
        let inputs = Inputs { draft, other, stages: [left, right] };
        let numbering = inputs.numbering(false);
        let arrivals = Arc::new(Arrivals::new(2, numbering));
        let out = Arc::clone(&edge);
        inputs.set_bodies(
            Merge { edge, shared: Arc::clone(&arrivals) },
            Merge { edge: Arc::clone(&out), shared: arrivals },
        );
        inputs.receive(("merge", at), numbering, out, ["left", "right"])
    }

    /// What comes after takes batches in the order in which they arrive, not in stream order: nothing waits for a slow
    /// one, and the order differs from run to run. Seam.
    #[track_caller]
    pub fn unordered(self) -> Stream<'env, T, impl Pipe<Out = T>> {
        let at = Location::caller();
        let (draft, stage, edge) = self.send("unordered", at);
        let numbering = draft.borrow_mut().numbering(false);
        let body = Merge { edge: Arc::clone(&edge), shared: Arc::new(Arrivals::new(1, numbering)) };
        set_body(&draft, stage, body, TailKind::Sends);
        receive(draft, ("unordered", at), numbering, vec![stage], edge).out_of(stage)
    }
}

/// Two inputs of one shape, each in its graph: the same one, or the shape is a defect of both.
struct Inputs<'env> {
    draft: Shared<'env>,
    other: Shared<'env>,
    stages: [usize; 2],
}

impl<'env> Inputs<'env> {
    /// A new numbering for what comes of both, in stream order if both are and `ordered` says so.
    fn numbering(&self, ordered: bool) -> usize {
        if !self.is_one_graph() {
            for (draft, stage) in [(&self.draft, self.stages[0]), (&self.other, self.stages[1])] {
                let mut draft = draft.borrow_mut();
                let (op, _) = draft.stages[stage].ops[0];
                draft.defect(op, "it brings together streams of two graphs");
            }
            return self.draft.borrow_mut().numbering(true);
        }
        let mut draft = self.draft.borrow_mut();
        let both = self.stages.iter().all(|stage| draft.is_ordered(draft.stages[*stage].numbering));
        draft.numbering(ordered && both)
    }

    fn is_one_graph(&self) -> bool {
        Rc::ptr_eq(&self.draft, &self.other)
    }

    /// What each input may keep.
    fn set_spooled(&self, spooled: [bool; 2]) {
        self.draft.borrow_mut().stages[self.stages[0]].spooled = spooled[0];
        self.other.borrow_mut().stages[self.stages[1]].spooled = spooled[1];
    }

    fn set_bodies(&self, first: impl Stage + 'env, second: impl Stage + 'env) {
        set_body(&self.draft, self.stages[0], first, TailKind::Sends);
        set_body(&self.other, self.stages[1], second, TailKind::Sends);
    }

    /// The stream that comes of them.
    fn receive<T: Send + 'env>(
        self,
        name: (&'static str, At),
        numbering: usize,
        edge: Arc<Edge<T>>,
        parts: [&'static str; 2],
    ) -> Stream<'env, T, impl Pipe<Out = T>> {
        if !self.is_one_graph() {
            return receive(self.draft, name, numbering, vec![self.stages[0]], edge); // a defect: it is never planned
        }
        let [left, right] = self.stages;
        let stream = receive(self.draft, name, numbering, vec![left, right], edge);
        stream.brings_together([(left, parts[0]), (right, parts[1])])
    }
}
