//! An outbox: what a sink puts in, a receiver outside takes out.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::run::flow::order::Origin;
use crate::run::outside::errand::Errand;
use crate::run::outside::waiter::{Blocked, Waiter};
use crate::sync::{Instant, Mutex, library_call};
use crate::unwind;

/// What the sink and the receiver share; see [`super::outlet`].
pub(crate) struct Outbox<T>(pub(super) Mutex<OutboxState<T>>);

pub(super) struct OutboxState<T> {
    pub(super) pieces: VecDeque<Piece<T>>,
    /// Empty vectors for further pieces.
    pub(super) spare: Vec<Vec<T>>,
    /// How many of the pieces hold a credit.
    pub(super) held: usize,
    /// Credits to give back.
    pub(super) released: Vec<Origin>,
    pub(super) hold: Hold,
    pub(super) stream: StreamState,
    /// The run fails or was cancelled: no more credits are held.
    pub(super) ends_early: bool,
    pub(super) has_receiver: bool,
    pub(super) waiter: Option<Waiter>,
}

pub(super) struct Piece<T> {
    pub(super) items: Vec<T>,
    pub(super) origin: Origin,
}

/// Where the outbox's unit of the run is.
pub(super) enum Hold {
    /// There is none: no credits lie here.
    Nothing,
    /// Outside, for this job.
    Here(Errand),
    /// With that job, which is queued or runs.
    Queued,
}

/// How far the stream has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamState {
    /// No run has begun, or one goes on.
    Open,
    /// The run is over, or the stream has ended in it; nothing more comes before another run.
    Ended,
}

/// What a receiver finds.
enum Found<T> {
    /// These items, in order.
    Items(Vec<T>),
    /// Nothing yet.
    Nothing,
    /// Nothing, and nothing more comes in this run.
    End,
}

impl<T> Outbox<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(OutboxState {
            pieces: VecDeque::new(),
            spare: Vec::new(),
            held: 0,
            released: Vec::new(),
            hold: Hold::Nothing,
            stream: StreamState::Open,
            ends_early: false,
            has_receiver: true,
            waiter: None,
        }))
    }

    /// Takes the next piece. If there is none yet, has `waiter` woken when one comes, if it is given. `empty` is a vector
    /// to be used again.
    fn take(&self, empty: Vec<T>, waiter: Option<Waiter>) -> Found<T> {
        let mut state = self.0.lock();
        if empty.capacity() > 0 {
            state.spare.push(empty);
        }
        let Some(Piece { items, origin }) = state.pieces.pop_front() else {
            if state.stream == StreamState::Ended {
                return Found::End;
            }
            let other = waiter.and_then(|waiter| state.waiter.replace(waiter));
            drop(state);
            drop(other); // it may run an executor's code
            return Found::Nothing;
        };
        let errand = if origin.get().is_some() { state.release(origin) } else { None };
        drop(state);
        errand.into_iter().for_each(Errand::go);
        Found::Items(items)
    }

    /// Nobody will take anything any more.
    fn drop_receiver(&self) {
        let mut state = self.0.lock();
        state.has_receiver = false;
        let pieces = std::mem::take(&mut state.pieces);
        let mut errand = None;
        for origin in pieces.iter().map(|piece| piece.origin).filter(|origin| origin.get().is_some()) {
            errand = state.release(origin).or(errand);
        }
        drop(state);
        errand.into_iter().for_each(Errand::go);
        pieces.into_iter().flat_map(|piece| piece.items).for_each(unwind::drop_value);
    }

    /// Changes the state, and wakes the receiver.
    pub(super) fn tell<R>(&self, change: impl FnOnce(&mut OutboxState<T>) -> R) -> R {
        let mut state = self.0.lock();
        let result = change(&mut state);
        let waiter = state.waiter.take();
        drop(state);
        waiter.into_iter().for_each(Waiter::wake);
        result
    }
}

impl<T> OutboxState<T> {
    /// A credit is to go back. Returns the job that sees to it, if it is to be queued.
    fn release(&mut self, origin: Origin) -> Option<Errand> {
        self.held -= 1;
        self.released.push(origin);
        match std::mem::replace(&mut self.hold, Hold::Queued) {
            Hold::Here(errand) => Some(errand),
            Hold::Nothing | Hold::Queued => None,
        }
    }

    /// All credits in here are to go back.
    pub(super) fn release_all(&mut self) {
        let origins = self.pieces.iter_mut().map(|piece| std::mem::replace(&mut piece.origin, Origin::NONE));
        self.released.extend(origins.filter(|origin| origin.get().is_some()));
        self.held = 0;
    }
}

/// The items that come out of a graph while it runs: an iterator that waits for the next one.
///
/// [`Stream::output`](crate::Stream::output) makes it. Before the run it waits for the start, for ever if there is none: so
/// take its items while the graph [runs](crate::Plan::start). When the stream has ended it gives `None`; in the next run of
/// the plan it goes on. If the run fails, it gives the items before the failure. A worker that waits here lends its place
/// to another thread.
pub struct Receiver<T> {
    outbox: Arc<Outbox<T>>,
    /// What was taken and not given yet.
    items: VecDeque<T>,
    thread: Blocked,
}

/// Why [`Receiver::try_recv`] or [`Receiver::recv_timeout`] gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// There is nothing now.
    Empty,
    /// The stream has ended, or its run has.
    Ended,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there is no item now",
            Self::Ended => "the stream has ended",
        })
    }
}

impl std::error::Error for RecvError {}

impl<T> Receiver<T> {
    pub(crate) fn new(outbox: Arc<Outbox<T>>) -> Self {
        Self { outbox, items: VecDeque::new(), thread: Blocked::new() }
    }

    /// The next item, if there is one now.
    ///
    /// # Errors
    /// That there is none now, or none any more.
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        let _call = library_call("looks for an item that comes out");
        self.find(|_| None)
    }

    /// The next item; waits for it, but no longer than `patience`.
    ///
    /// # Errors
    /// That none has come until then, or none comes any more.
    pub fn recv_timeout(&mut self, patience: Duration) -> Result<T, RecvError> {
        let _call = library_call("waits for an item that comes out");
        let (until, mut is_late) = (Instant::now().checked_add(patience), false);
        loop {
            match self.find(|thread| Some(thread.waiter())) {
                Err(RecvError::Empty) => {}
                found => return found,
            }
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() || is_late {
                return Err(RecvError::Empty);
            }
            is_late = self.thread.wait_for(left);
        }
    }

    /// The next item, for a task: if there is none yet, the task of `context` is woken when one comes. `Ready(None)`: the
    /// stream has ended.
    pub fn poll_recv(&mut self, context: &Context<'_>) -> Poll<Option<T>> {
        match self.find(|_| Some(Waiter::task(context))) {
            Ok(item) => Poll::Ready(Some(item)),
            Err(RecvError::Ended) => Poll::Ready(None),
            Err(RecvError::Empty) => Poll::Pending,
        }
    }

    /// Waits for the next item, as [`next`](Iterator::next) does. `None`: the stream has ended.
    pub fn recv(&mut self) -> Option<T> {
        self.next()
    }

    /// The next item, for a task. `None`: the stream has ended.
    pub async fn recv_async(&mut self) -> Option<T> {
        std::future::poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next item. If there is none, `waiter` makes who is woken when one comes.
    #[inline]
    fn find(&mut self, waiter: impl FnOnce(&Blocked) -> Option<Waiter>) -> Result<T, RecvError> {
        if let Some(item) = self.items.pop_front() {
            return Ok(item);
        }
        let empty = Vec::from(std::mem::take(&mut self.items));
        let mut found = self.outbox.take(empty, None);
        if matches!(found, Found::Nothing)
            && let Some(waiter) = waiter(&self.thread)
        {
            found = self.outbox.take(Vec::new(), Some(waiter));
        }
        match found {
            Found::Items(items) => self.items = items.into(),
            Found::Nothing => return Err(RecvError::Empty),
            Found::End => return Err(RecvError::Ended),
        }
        Ok(self.items.pop_front().expect("no empty piece is left there"))
    }
}

impl<T> Iterator for Receiver<T> {
    type Item = T;

    /// Waits for the next item. `None`: the stream has ended.
    fn next(&mut self) -> Option<T> {
        let _call = library_call("waits for the next item that comes out");
        loop {
            match self.find(|thread| Some(thread.waiter())) {
                Ok(item) => return Some(item),
                Err(RecvError::Ended) => return None,
                Err(RecvError::Empty) => self.thread.wait(),
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.outbox.drop_receiver();
        self.items.drain(..).for_each(unwind::drop_value);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("taken", &self.items.len()).finish_non_exhaustive()
    }
}
