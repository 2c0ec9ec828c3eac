//! Seams: where one stage sends its items to another, as tokens.
//!
//! A token carries the items of one piece and its ticket. It travels by pointer, as the payload of the job that lets the
//! receiving stage work on it; whoever has the job has the token. What a batch grows beyond [`PART`] items goes on in parts
//! while the rest is still being made, so that others can begin with it.

use std::sync::Arc;

use super::fused::{Drive, Tail};
use super::pipe::{Feed, Head};
use crate::run::batch::{Family, MAX_PARTS, PART, Ticket, Token};
use crate::run::cancel::Carried;
use crate::run::stage::{Cx, Parcel};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::unwind;

/// A seam: where one stage sends tokens to another. It keeps empty tokens for use again.
#[derive(Debug)]
pub(crate) struct Edge<T> {
    #[expect(clippy::vec_box, reason = "a token travels by its pointer")]
    spare: Mutex<Vec<Box<Token<T>>>>,
    /// Room in the largest token so far: a new one gets as much.
    largest: AtomicUsize,
}

/// Empty tokens that an edge keeps at most: as many as a source has batches in flight unless the user says otherwise.
const SPARE: usize = 256;

impl<T> Edge<T> {
    pub(crate) fn new() -> Self {
        Self { spare: Mutex::new(Vec::with_capacity(SPARE)), largest: AtomicUsize::new(0) }
    }

    /// An empty token.
    pub(crate) fn take(&self) -> Box<Token<T>> {
        let spare = self.spare.lock().pop();
        spare.unwrap_or_else(|| {
            // Relaxed: a hint.
            let items = Vec::with_capacity(self.largest.load(Ordering::Relaxed));
            Box::new(Token { ticket: Ticket::whole(0, Family::NONE), items, failure: None })
        })
    }

    /// Takes a token back; its items are dropped.
    pub(crate) fn give(&self, mut token: Box<Token<T>>) {
        token.items.drain(..).for_each(unwind::drop_value);
        token.failure = None;
        self.largest.fetch_max(token.items.capacity(), Ordering::Relaxed);
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

/// A token that is on its way.
///
/// # Safety
/// (1) The payload was made by [`load`] from a token of this type. (2) The caller has it, while the reference lives.
#[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
pub(crate) unsafe fn token_of<'a, T>(load: u64) -> &'a mut Token<T> {
    // SAFETY: (1), (2).
    unsafe { &mut *pointer::<T>(load) }
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

    /// Looks at a token on its way to this stage.
    fn peek<R>(&self, load: u64, look: impl FnOnce(&mut Token<T>) -> R) -> R {
        #[expect(unsafe_code, reason = "tokens travel as payloads of jobs")]
        // SAFETY: (1) only tails with this edge send to this stage; (2) a piece is at one place at a time.
        look(unsafe { token_of(load) })
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
        self.peek(load, |token| token.ticket)
    }
    fn spool(&self, load: u64) -> Family {
        self.peek(load, |token| std::mem::replace(&mut token.ticket.family, Family::NONE))
    }
    fn len(&self, parcel: Parcel) -> u64 {
        self.peek(parcel.load, |token| token.items.len() as u64)
    }
    fn failure(&self, load: u64) -> Option<Carried> {
        self.peek(load, |token| token.failure.take())
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
        for item in unwind::Draining::new(&mut token.items) {
            out(item);
        }
        self.edge.give(token);
    }
}

/// A token that is being filled, and the parts of it that were sent on.
pub(super) struct Filling<'a, T> {
    edge: &'a Edge<T>,
    token: Option<Box<Token<T>>>,
    output: usize,
    /// Parts sent on; a piece that is itself a part is not split again.
    sent: u32,
    splits: bool,
}

impl<'a, T> Filling<'a, T> {
    pub(super) fn new(edge: &'a Edge<T>, output: usize, ticket: &Ticket) -> Self {
        Self { edge, token: Some(edge.take()), output, sent: 0, splits: ticket.is_whole() }
    }

    #[inline]
    pub(super) fn push(&mut self, cx: &Cx<'_>, ticket: &Ticket, item: T) {
        let items = &mut self.token.as_mut().expect("there between calls").items;
        items.push(item);
        if items.len() >= PART && self.splits && self.sent < MAX_PARTS - 1 {
            self.send_part(cx, ticket);
        }
    }

    /// Sends what there is as a part, so that others can begin with it.
    #[cold]
    fn send_part(&mut self, cx: &Cx<'_>, ticket: &Ticket) {
        let mut token = self.token.replace(self.edge.take()).expect("there between calls");
        token.ticket = Ticket { part: self.sent, last: false, ..*ticket };
        self.sent += 1;
        cx.share(ticket.family);
        let part = token.ticket;
        cx.send(self.output, &part, load(token), false);
    }

    /// Sends the rest, and what came in the place of further items.
    pub(super) fn finish(mut self, cx: &Cx<'_>, ticket: &Ticket, failure: Option<Carried>) {
        let mut token = self.token.take().expect("there between calls");
        token.failure = failure;
        token.ticket = if self.splits { Ticket { part: self.sent, last: true, ..*ticket } } else { *ticket };
        let rest = token.ticket;
        cx.send(self.output, &rest, load(token), true);
    }
}

/// Sends all items to one stage.
pub(crate) struct Emit<T> {
    pub(crate) edge: Arc<Edge<T>>,
}

impl<T: Send> Tail<T> for Emit<T> {
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        let filling = Filling::new(&self.edge, 0, &ticket);
        let (filling, failure) = drive.drive(filling, |filling, item| filling.push(cx, &ticket, item));
        filling.finish(cx, &ticket, failure);
        cx.arrive();
    }
}
