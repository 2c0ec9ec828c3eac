//! A stage with its types: a pipe of fused operators, and the tail that takes what comes out.

use std::sync::Arc;
use std::time::Instant;

use super::pipe::{Feed, Head, Meter, Pipe, Timed, Untimed, guard};
use crate::run::batch::{Family, Ticket, Token};
use crate::run::cancel::Fault;
use crate::run::stage::{Cx, Ended, Extent, Frame, Parcel, Pull, Room, Stage};
use crate::sync::Mutex;
use crate::unwind;

/// Takes what comes out of a pipe.
pub(crate) trait Tail<T>: Send + Sync {
    /// Takes the items of one piece, which `drive` drives.
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>);
    /// Goes on with a piece whose turn has come.
    fn turn(&self, _cx: &Cx<'_>, _load: u64) {
        unreachable!("only a serial tail has turns")
    }
    /// One of the jobs by which the stage ends.
    fn part(&self, _cx: &Cx<'_>, _index: u32) {
        unreachable!("this tail ends at once")
    }
    /// The last piece has retired.
    fn end(&self, _cx: &Cx<'_>) -> Ended {
        Ended::Now
    }
    fn prepare(&mut self, _room: Room) {}
    fn reset(&mut self) {}
    /// Drops what a failed run left.
    fn clear(&mut self) {}
    fn waiting(&self) -> Option<String> {
        None
    }
    /// Items that a serial operator was given, made, and dropped.
    fn serial_counts(&self) -> Option<[u64; 3]> {
        None
    }
}

/// One piece, ready to be driven through the pipe.
pub(crate) trait Drive<T> {
    /// Drives it: `each` takes the items into `state`. If an operator fails, that has had the items before the one it
    /// failed on.
    fn drive<A>(self, state: A, each: impl FnMut(&mut A, T)) -> (A, Option<Fault>);
    /// Drops its items: nobody wants them.
    fn skip(self);
}

/// A pipe and a tail.
pub(crate) struct Fused<P, K> {
    pub(crate) pipe: P,
    pub(crate) tail: K,
}

struct Firing<'a, P> {
    cx: &'a Cx<'a>,
    pipe: &'a P,
    parcel: Parcel,
}

impl<P: Pipe> Firing<'_, P> {
    #[inline]
    fn drive_with<M: Meter>(&self, frame: &Frame<'_>, out: &mut impl FnMut(P::Out)) {
        let last = self.cx.stage.ops.len() - 1;
        self.pipe.drive::<M>(self.parcel, frame, &mut |item| {
            M::at(frame, last);
            guard(frame, last, || out(item));
        });
    }
}

impl<P: Pipe> Drive<P::Out> for Firing<'_, P> {
    fn drive<A>(self, state: A, mut each: impl FnMut(&mut A, P::Out)) -> (A, Option<Fault>) {
        let frame = self.cx.frame();
        let start = Instant::now();
        let (state, result) = if frame.timer.is_some() {
            unwind::keeping(state, |state| self.drive_with::<Timed>(&frame, &mut |item| each(state, item)))
        } else {
            unwind::keeping(state, |state| self.drive_with::<Untimed>(&frame, &mut |item| each(state, item)))
        };
        let fault = frame.fault(result.err(), &self.cx.stage.ops);
        self.cx.record(&self.parcel.ticket, &frame, start.elapsed(), fault.is_some());
        (state, fault)
    }

    fn skip(self) {
        self.cx.drop_items(self.pipe.head().discard(self.parcel));
    }
}

impl<P: Pipe, K: Tail<P::Out>> Stage for Fused<P, K> {
    fn fire(&self, cx: &Cx<'_>, parcel: Parcel) {
        let ticket = parcel.ticket;
        let firing = Firing { cx, pipe: &self.pipe, parcel };
        if cx.wants(&ticket) {
            self.tail.run(cx, ticket, firing);
        } else {
            firing.skip();
            cx.release(ticket.family);
        }
    }
    fn ticket(&self, load: u64) -> Ticket {
        self.pipe.head().ticket(load)
    }
    fn turn(&self, cx: &Cx<'_>, load: u64) {
        self.tail.turn(cx, load);
    }
    fn part(&self, cx: &Cx<'_>, index: u32) {
        self.tail.part(cx, index);
    }
    fn begin(&self) -> Result<Extent, Fault> {
        self.pipe.head().begin()
    }
    fn pull(&self, place: u32, number: u64, size: usize) -> Pull {
        self.pipe.head().pull(place, number, size)
    }
    fn end(&self, cx: &Cx<'_>) -> Ended {
        self.tail.end(cx)
    }
    fn prepare(&mut self, room: Room) {
        self.pipe.head_mut().prepare(room);
        self.tail.prepare(room);
    }
    fn is_ready(&self) -> bool {
        self.pipe.head().is_ready()
    }
    fn reset(&mut self) {
        self.tail.reset();
    }
    fn clear(&mut self) {
        self.pipe.head_mut().clear();
        self.tail.clear();
    }
    fn waiting(&self) -> Option<String> {
        self.tail.waiting()
    }
    fn serial_counts(&self) -> Option<[u64; 3]> {
        self.tail.serial_counts()
    }
    fn discard(&self, load: u64) -> u64 {
        let ticket = self.pipe.head().ticket(load);
        self.pipe.head().discard(Parcel { ticket, load })
    }
    fn spool(&self, load: u64) -> Family {
        self.pipe.head().spool(load)
    }
}

/// A seam: where one stage sends tokens to another. It keeps empty tokens for use again.
#[derive(Debug)]
pub(crate) struct Edge<T> {
    #[expect(clippy::vec_box, reason = "a token travels by its pointer")]
    spare: Mutex<Vec<Box<Token<T>>>>,
}

/// Empty tokens that an edge keeps at most.
const SPARE: usize = 64;

impl<T> Edge<T> {
    pub(crate) fn new() -> Self {
        Self { spare: Mutex::new(Vec::with_capacity(SPARE)) }
    }

    /// An empty token.
    pub(crate) fn take(&self) -> Box<Token<T>> {
        let spare = self.spare.lock().pop();
        spare.unwrap_or_else(|| Box::new(Token { ticket: Ticket::whole(0, Family::NONE), items: Vec::new() }))
    }

    /// Takes a token back; its items are dropped.
    pub(crate) fn give(&self, mut token: Box<Token<T>>) {
        token.items.drain(..).for_each(unwind::drop_value);
        let mut spare = self.spare.lock();
        if spare.len() < SPARE {
            spare.push(token);
        }
    }
}

/// A token as the payload of a job.
pub(crate) fn load<T>(token: Box<Token<T>>) -> u64 {
    Box::into_raw(token).expose_provenance() as u64
}

/// The token of a job's payload.
///
/// # Safety
/// (1) The payload was made by [`load`] from a token of this type. (2) It is used once.
#[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
pub(crate) unsafe fn unload<T>(load: u64) -> Box<Token<T>> {
    // SAFETY: (1), (2).
    unsafe { Box::from_raw(pointer(load)) }
}

/// The ticket of a token that is on its way.
///
/// # Safety
/// (1) The payload was made by [`load`] from a token of this type. (2) The caller has it.
#[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
pub(crate) unsafe fn ticket_of<'a, T>(load: u64) -> &'a mut Ticket {
    // SAFETY: (1), (2).
    unsafe { &mut (*pointer::<T>(load)).ticket }
}

fn pointer<T>(load: u64) -> *mut Token<T> {
    std::ptr::with_exposed_provenance_mut(usize::try_from(load).expect("made from a pointer"))
}

/// The head of a stage that other stages send tokens to.
pub(crate) struct Seam<T> {
    edge: Arc<Edge<T>>,
}

impl<T> Seam<T> {
    pub(crate) fn new(edge: Arc<Edge<T>>) -> Self {
        Self { edge }
    }

    fn unload(&self, load: u64) -> Box<Token<T>> {
        #[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
        // SAFETY: (1) only tails with this edge send to this stage; (2) a piece is driven or dropped once.
        unsafe {
            unload(load)
        }
    }
}

impl<T: Send> Head for Seam<T> {
    fn ticket(&self, load: u64) -> Ticket {
        #[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
        // SAFETY: as in `unload`.
        unsafe {
            *ticket_of::<T>(load)
        }
    }
    fn spool(&self, load: u64) -> Family {
        #[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
        // SAFETY: as in `unload`.
        let ticket = unsafe { ticket_of::<T>(load) };
        std::mem::replace(&mut ticket.family, Family::NONE)
    }
    fn discard(&self, parcel: Parcel) -> u64 {
        let token = self.unload(parcel.load);
        let count = token.items.len() as u64;
        self.edge.give(token);
        count
    }
}

impl<T: Send> Feed for Seam<T> {
    type Item = T;
    #[inline]
    fn each(&self, parcel: Parcel, out: &mut impl FnMut(T)) {
        let mut token = self.unload(parcel.load);
        token.items.drain(..).for_each(out);
        self.edge.give(token);
    }
}
