//! Shapes that bring streams together: `chain`, `merge`, and `unordered`, a merge of one; `zip` is beside it.
//!
//! Each input is a stage of its own, fed by packets; the stages of one shape share its state. All of them renumber: what
//! comes out is a new sequence.

use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use super::Shared;
use super::boundary::{Edge, from_raw, packet_of};
use super::pipe::Pipe;
use super::stream::{At, Stream, receive, set_body};
use crate::plan::draft::TailKind;
use crate::run::order::{Origin, Ticket};
use crate::run::packet::Packet;
use crate::run::stage::{Capacity, Cx, Ended, Parcel, Stage};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::countdown::FixedCountdown;

/// The parts of [`Stage`] that are the same for all inputs of packets.
macro_rules! packet_input {
    ($edge:ident: $item:ty) => {
        fn ticket(&self, load: u64) -> Ticket {
            self.peek(load, |packet| packet.ticket)
        }
        fn spool(&self, load: u64) -> Origin {
            self.peek(load, |packet| std::mem::replace(&mut packet.ticket.origin, Origin::NONE))
        }
        fn discard(&self, load: u64) -> u64 {
            #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
            // SAFETY: (1) only tails with this stage's edge send to it; (2) nobody uses it again.
            let packet: Box<Packet<$item>> = unsafe { from_raw(load) };
            let count = packet.items.len() as u64;
            self.$edge.give(packet);
            count
        }
    };
}
pub(super) use packet_input;

/// Looks at a packet on its way to an input.
macro_rules! peek {
    ($item:ty) => {
        fn peek<R>(&self, load: u64, look: impl FnOnce(&mut Packet<$item>) -> R) -> R {
            #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
            // SAFETY: (1) only tails with this stage's edge send to it; (2) a piece is at one place at a time.
            look(unsafe { packet_of(load) })
        }
    };
}
pub(super) use peek;

/// Drops a piece that its sequence does not want.
pub(super) fn drop_unwanted(stage: &impl Stage, cx: &Cx<'_>, parcel: Parcel) {
    cx.drop_items(stage.discard(parcel.load));
    cx.release(parcel.ticket.origin);
}

/// What the inputs of a [`Merge`] share.
pub(crate) struct Arrivals {
    next: AtomicU64,
    open: FixedCountdown,
    inputs: u32,
    pub(crate) sequence: usize,
}

impl Arrivals {
    pub(crate) fn new(inputs: u32, sequence: usize) -> Self {
        Self { next: AtomicU64::new(0), open: FixedCountdown::default(), inputs, sequence }
    }
}

/// An input of [`Stream::merge`](crate::Stream::merge): every piece gets the next number as it arrives.
pub(crate) struct Merge<T> {
    pub(crate) edge: Arc<Edge<T>>,
    pub(crate) shared: Arc<Arrivals>,
}

impl<T> Merge<T> {
    peek!(T);
}

impl<T: Send> Stage for Merge<T> {
    packet_input!(edge: T);

    fn fire(&self, cx: &Cx<'_>, parcel: Parcel) {
        if !cx.wants(&parcel.ticket) {
            return drop_unwanted(self, cx, parcel);
        }
        // Relaxed: any order is an order of arrival.
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket::whole(number, parcel.ticket.origin);
        let failure = self.peek(parcel.load, |packet| {
            packet.ticket = ticket;
            packet.failure.take()
        });
        if let Some(failure) = failure {
            cx.fail(&parcel.ticket, failure); // behind this there is no order in which one could be the earliest
        }
        cx.send(0, &ticket, parcel.load, true);
        cx.arrive();
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        // The last input to end sees the numbers that the others have given out.
        if self.shared.open.arrive() {
            let total = self.shared.next.load(Ordering::Relaxed);
            cx.run.total(self.shared.sequence, total, cx.worker);
        }
        Ended::Now
    }

    fn prepare(&mut self, _: Capacity) {}
    fn reset(&mut self) {
        self.shared.next.store(0, Ordering::Relaxed);
        self.shared.open.restart(self.shared.inputs);
    }
    fn clear(&mut self) -> u64 {
        0
    }
    fn waiting(&self) -> Option<String> {
        None
    }
}

/// What the two inputs of a chain share.
pub(crate) struct Link {
    /// How many numbers the first input had, and the second; none: not ended.
    ends: Mutex<[Option<u64>; 2]>,
    passed: [AtomicU64; 2],
    pub(crate) sequence: usize,
}

impl Link {
    pub(crate) fn new(sequence: usize) -> Self {
        Self { ends: Mutex::new([None; 2]), passed: [AtomicU64::new(0), AtomicU64::new(0)], sequence }
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
    peek!(T);

    /// 0 for the first input, 1 for the second.
    fn side(&self) -> usize {
        usize::from(self.second.is_none())
    }
}

impl<T: Send> Stage for Chain<T> {
    packet_input!(edge: T);

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
        self.peek(parcel.load, |packet| packet.ticket = ticket);
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
            cx.run.total(self.shared.sequence, first + second, cx.worker);
        }
        Ended::Now
    }

    fn prepare(&mut self, _: Capacity) {}
    fn reset(&mut self) {
        *self.shared.ends.lock() = [None; 2];
        self.shared.passed.iter().for_each(|passed| passed.store(0, Ordering::Relaxed));
    }
    fn clear(&mut self) -> u64 {
        0
    }
    fn waiting(&self) -> Option<String> {
        None
    }
}

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// The items of this stream, then those of `next`. Stage boundary.
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
        let sequence = inputs.sequence(true);
        inputs.set_spooled(spooled);
        inputs.other.borrow_mut().stages[second].waits_for = inputs.is_one_graph().then_some(first);
        let link = Arc::new(Link::new(sequence));
        let out = Arc::clone(&edge);
        let second = Some(second);
        inputs.set_bodies(
            Chain { edge, shared: Arc::clone(&link), second },
            Chain { edge: Arc::clone(&out), shared: link, second: None },
        );
        inputs.receive(("chain", at), sequence, out, ["first", "second"])
    }

    /// The items of both streams in the order in which they arrive: it differs from run to run. Stage boundary.
    #[track_caller]
    pub fn merge<Q>(self, other: Stream<'env, T, Q>) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        Q: Pipe<Out = T> + 'env,
    {
        let at = Location::caller();
        let (draft, left, edge) = self.send("merge", at);
        let (other, right) = other.send_over("merge", at, Arc::clone(&edge));
        let inputs = Inputs { draft, other, stages: [left, right] };
        let sequence = inputs.sequence(false);
        let arrivals = Arc::new(Arrivals::new(2, sequence));
        let out = Arc::clone(&edge);
        inputs.set_bodies(
            Merge { edge, shared: Arc::clone(&arrivals) },
            Merge { edge: Arc::clone(&out), shared: arrivals },
        );
        inputs.receive(("merge", at), sequence, out, ["left", "right"])
    }

    /// What comes after takes batches in the order in which they arrive, not in stream order: nothing waits for a slow
    /// one, and the order differs from run to run. Stage boundary.
    #[track_caller]
    pub fn unordered(self) -> Stream<'env, T, impl Pipe<Out = T>> {
        let at = Location::caller();
        let (draft, stage, edge) = self.send("unordered", at);
        let sequence = draft.borrow_mut().sequence(false);
        let body = Merge { edge: Arc::clone(&edge), shared: Arc::new(Arrivals::new(1, sequence)) };
        set_body(&draft, stage, body, TailKind::Sends);
        receive(draft, ("unordered", at), sequence, vec![stage], edge).out_of(stage)
    }
}

/// Two inputs of one shape, each in its graph: the same one, or the shape is a defect of both.
pub(super) struct Inputs<'env> {
    pub(super) draft: Shared<'env>,
    pub(super) other: Shared<'env>,
    pub(super) stages: [usize; 2],
}

impl<'env> Inputs<'env> {
    /// A new sequence for what comes of both, in stream order if both are and `ordered` says so.
    pub(super) fn sequence(&self, ordered: bool) -> usize {
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

    fn is_one_graph(&self) -> bool {
        Rc::ptr_eq(&self.draft, &self.other)
    }

    /// What each input may keep.
    pub(super) fn set_spooled(&self, spooled: [bool; 2]) {
        self.draft.borrow_mut().stages[self.stages[0]].spooled = spooled[0];
        self.other.borrow_mut().stages[self.stages[1]].spooled = spooled[1];
    }

    pub(super) fn set_bodies(&self, first: impl Stage + 'env, second: impl Stage + 'env) {
        set_body(&self.draft, self.stages[0], first, TailKind::Sends);
        set_body(&self.other, self.stages[1], second, TailKind::Sends);
    }

    /// The stream that comes of them.
    pub(super) fn receive<T: Send + 'env>(
        self,
        name: (&'static str, At),
        sequence: usize,
        edge: Arc<Edge<T>>,
        parts: [&'static str; 2],
    ) -> Stream<'env, T, impl Pipe<Out = T>> {
        if !self.is_one_graph() {
            return receive(self.draft, name, sequence, vec![self.stages[0]], edge); // a defect: it is never planned
        }
        let [left, right] = self.stages;
        let stream = receive(self.draft, name, sequence, vec![left, right], edge);
        stream.brings_together([(left, parts[0]), (right, parts[1])])
    }
}
