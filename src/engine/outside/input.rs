//! An inbox: what senders outside put in, a source takes out.
//!
//! The source takes what is there, and says that it is *hungry* if that was less than a batch. The next sender takes
//! the note away and wakes the source: so under load nobody wakes anybody. Both happen under the lock of the box.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `input.phase` | `close`: lock | `post`: lock, from the look until the item or the waiter is in the box | that nobody takes more: what comes into the box before that is seen by `close` | `loom_input_items_are_taken_returned_or_left`, `loom_input_end_is_heard_by_all_that_wait` |
//! | `input.room` | `supply`: lock | `post`: lock, from the look until the waiter is in the box | that there is room | `loom_input_room_is_heard_of` |

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::engine::heads::pulled::Supplier;
use crate::run::cancel::BoxedError;
use crate::run::flow::supply::Then;
use crate::run::outside::waiter::{Blocked, Waiter};
use crate::run::outside::wake::{Hears, Wake};
use crate::sync::{Instant, Mutex, library_call, lock_edge};
use crate::unwind;

/// How many items wait in an input before a sender must wait.
const CAPACITY: usize = 1024;

/// Options of an [input](crate::Graph::input_with).
#[derive(Clone, Copy, Debug)]
pub struct InputOptions {
    pub(super) capacity: usize,
    pub(super) overflow: Overflow,
}

/// What [`Sender::send`] does if as many items wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It waits.
    Block,
    /// It drops the item that has waited longest. With a [capacity](InputOptions::capacity) of 1 the graph gets the latest.
    DropOldest,
    /// It drops the item that it was given.
    DropNewest,
}

impl InputOptions {
    /// 1024 items may wait, then senders wait.
    #[must_use]
    pub fn new() -> Self {
        Self { capacity: CAPACITY, overflow: Overflow::Block }
    }

    /// How many items may wait; at least 1.
    #[must_use]
    pub fn capacity(mut self, items: usize) -> Self {
        self.capacity = items.max(1);
        self
    }

    /// What sending does then.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }
}

impl Default for InputOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Sends items into a graph that runs; [`Graph::input`](crate::Graph::input) makes it.
///
/// Clones send into the same input, each from a thread of its own; items of one sender stay in order. The stream ends when
/// all of them are dropped. A worker that waits here lends its place to another thread, as in
/// [`Pool::block_in_place`](crate::Pool::block_in_place), and with the same limit: if a parallel operator sends to another
/// graph of the same pool, all threads may come to wait for room, and none is left to make some. End the stream in
/// [`send_to`](crate::Stream::send_to), for which no worker waits, or send to a graph on a pool of its own.
pub struct Sender<T>(pub(super) Arc<Inbox<T>>);

/// Why an item was not sent. It is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError<T> {
    /// No run has been started.
    NotStarted(T),
    /// The run is over: it has failed, was cancelled, or nobody wants more items.
    Ended(T),
    /// As many items wait as may, and it was not to wait, or not for longer.
    Full(T),
}

impl<T> SendError<T> {
    /// The item.
    pub fn into_item(self) -> T {
        match self {
            Self::NotStarted(item) | Self::Ended(item) | Self::Full(item) => item,
        }
    }

    pub(super) fn text(&self) -> &'static str {
        match self {
            Self::NotStarted(_) => "the graph of this input was not started yet",
            Self::Ended(_) => "the run of this input's graph is over",
            Self::Full(_) => "as many items wait in the input as may",
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendError({:?})", self.text())
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl<T> std::error::Error for SendError<T> {}

/// An item was sent with [`Sender::send_and_wait`], and the run ended before it was done, or it was dropped for a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undone;

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the item was sent, but its run ended before it was done")
    }
}

impl std::error::Error for Undone {}

/// An input: its first sender, its source, and whether that wants to hear what has been done.
pub(crate) fn inbox<T>(options: InputOptions) -> (Sender<T>, FromInbox<T>, Hears) {
    let state = InboxState {
        letters: VecDeque::new(),
        phase: Phase::NotStarted,
        senders: 1,
        wake: None,
        is_hungry: false,
        waiting: Vec::new(),
        places: 0,
        marked: VecDeque::new(),
        dropped: 0,
    };
    let hears = Hears::new(false);
    let inbox = Arc::new(Inbox { options, hears: hears.clone(), state: Mutex::new(state) });
    let source = FromInbox { inbox: Arc::clone(&inbox), letters: VecDeque::new(), taken: 0 };
    (Sender(inbox), source, hears)
}

/// What senders and the source share.
pub(super) struct Inbox<T> {
    pub(super) options: InputOptions,
    /// Set when a sender waits until its item is done.
    hears: Hears,
    pub(super) state: Mutex<InboxState<T>>,
}

pub(super) struct InboxState<T> {
    pub(super) letters: VecDeque<Letter<T>>,
    pub(super) phase: Phase,
    senders: usize,
    pub(super) wake: Option<Wake>,
    /// The source has found too little, and is to be woken for the next item.
    pub(super) is_hungry: bool,
    /// Senders that wait for room. All are woken when there is some: one of them may have given up meanwhile.
    waiting: Vec<(u64, Waiter)>,
    /// How many places for waiting there were.
    pub(super) places: u64,
    /// Of the items that the source has taken: the ones for which somebody waits, and the number of items up to each.
    marked: VecDeque<(u64, Arc<Mark>)>,
    pub(super) dropped: u64,
}

/// An item on its way, and who waits until it is done.
pub(super) struct Letter<T> {
    pub(super) item: T,
    pub(super) mark: Option<Arc<Mark>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    NotStarted,
    Open,
    Ended,
}

/// A sender that waits until its item is done.
#[derive(Default)]
pub(super) struct Mark(Mutex<MarkState>);

#[derive(Default)]
struct MarkState {
    outcome: Option<Result<(), Undone>>,
    waiter: Option<Waiter>,
}

impl Mark {
    fn set(&self, outcome: Result<(), Undone>) {
        let mut state = self.0.lock();
        state.outcome = Some(outcome);
        let waiter = state.waiter.take();
        drop(state);
        waiter.into_iter().for_each(Waiter::wake);
    }

    /// The outcome, if it is known. If not, `waiter` is woken when it is.
    fn outcome_or(&self, waiter: Waiter) -> Option<Result<(), Undone>> {
        let mut state = self.0.lock();
        let outcome = state.outcome;
        let other = if outcome.is_none() { state.waiter.replace(waiter) } else { Some(waiter) };
        drop(state);
        drop(other); // it may run an executor's code
        outcome
    }
}

/// What became of an item that is to be sent.
pub(super) enum Posted<T> {
    Sent,
    /// There is no room. It is given back.
    Full(T),
    Refused(SendError<T>),
}

impl<T> Inbox<T> {
    /// Puts an item into the box. If there is no room, and there is a place among those that wait, `waiter` is woken when
    /// there is room.
    pub(super) fn post(&self, item: T, mark: Option<&Arc<Mark>>, mut wait: Option<(&Waits<T>, Waiter)>) -> Posted<T> {
        let _call = library_call("sends an item");
        let state = self.state.lock();
        match state.phase {
            Phase::NotStarted => return Posted::Refused(SendError::NotStarted(item)),
            Phase::Ended => return Posted::Refused(SendError::Ended(item)),
            Phase::Open => {}
        }
        let mut state = lock_edge!("input.phase", state, self.state);
        let mut late = None;
        if state.letters.len() >= self.options.capacity {
            match self.options.overflow {
                Overflow::Block => {
                    let mut state = lock_edge!("input.room", state, self.state);
                    let other = wait.take().and_then(|(place, waiter)| state.wait_at(place.id, waiter));
                    drop(state);
                    drop(other); // it may run an executor's code
                    return Posted::Full(item);
                }
                Overflow::DropOldest => late = state.letters.pop_front(),
                Overflow::DropNewest => {
                    state.dropped += 1;
                    drop(state);
                    drop_letter(Letter { item, mark: mark.cloned() });
                    return Posted::Sent;
                }
            }
            state.dropped += 1;
        }
        state.letters.push_back(Letter { item, mark: mark.cloned() });
        let wake = if std::mem::take(&mut state.is_hungry) { state.wake.clone() } else { None };
        drop(state);
        wake.iter().for_each(Wake::wake);
        late.into_iter().for_each(drop_letter);
        Posted::Sent
    }

    /// A place among those that wait for room.
    pub(super) fn waits(self: &Arc<Self>) -> Waits<T> {
        let mut state = self.state.lock();
        state.places += 1;
        Waits { inbox: Arc::clone(self), id: state.places }
    }

    /// Nothing more is taken in this run. Everybody who waits hears of it.
    fn close(&self) {
        let mut state = self.state.lock();
        state.phase = Phase::Ended;
        let (waiting, marked) = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.marked));
        let left: Vec<Arc<Mark>> = state.letters.iter_mut().filter_map(|letter| letter.mark.take()).collect();
        drop(state);
        waiting.into_iter().for_each(|(_, waiter)| waiter.wake());
        marked.into_iter().map(|(_, mark)| mark).chain(left).for_each(|mark| mark.set(Err(Undone)));
    }
}

impl<T> InboxState<T> {
    /// Has a waiter woken when there is room. Returns the one that was at its place before.
    pub(super) fn wait_at(&mut self, place: u64, waiter: Waiter) -> Option<Waiter> {
        if let Some((_, known)) = self.waiting.iter_mut().find(|(id, _)| *id == place) {
            return Some(std::mem::replace(known, waiter));
        }
        self.waiting.push((place, waiter));
        None
    }
}

/// A place among those that wait for room. Dropping it takes the waiter away.
pub(super) struct Waits<T> {
    pub(super) inbox: Arc<Inbox<T>>,
    pub(super) id: u64,
}

impl<T> Drop for Waits<T> {
    fn drop(&mut self) {
        let mut state = self.inbox.state.lock();
        let at = state.waiting.iter().position(|(id, _)| *id == self.id);
        let waiter = at.map(|at| state.waiting.swap_remove(at));
        drop(state);
        drop(waiter); // it may run an executor's code
    }
}

/// Drops an item that will not be done. A panic of its drop goes no further.
pub(super) fn drop_letter<T>(letter: Letter<T>) {
    if let Some(mark) = letter.mark {
        mark.set(Err(Undone));
    }
    unwind::drop_value(letter.item);
}

impl<T> Sender<T> {
    /// Sends an item. If as many wait as may, it waits until there is room, or does what the input's
    /// [overflow](Overflow) says.
    ///
    /// # Errors
    /// That no run was started, or that the run is over; with the item.
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        self.send_until(item, None, None)
    }

    /// Sends an item if there is room now.
    ///
    /// # Errors
    /// As for [`send`](Self::send), or that there is no room; with the item.
    pub fn try_send(&self, item: T) -> Result<(), SendError<T>> {
        match self.0.post(item, None, None) {
            Posted::Sent => Ok(()),
            Posted::Full(item) => Err(SendError::Full(item)),
            Posted::Refused(error) => Err(error),
        }
    }

    /// Sends an item. If there is no room, it waits, but no longer than `patience`.
    ///
    /// # Errors
    /// As for [`send`](Self::send), or that there was no room until then; with the item.
    pub fn send_timeout(&self, item: T, patience: Duration) -> Result<(), SendError<T>> {
        self.send_until(item, None, Instant::now().checked_add(patience))
    }

    /// Sends an item, and waits until all that came of it has been done, sinks included; see
    /// [`Live::done`](crate::Live::done) for operators that keep items.
    ///
    /// # Errors
    /// As for [`send`](Self::send), with the item. `Ok(Err(Undone))`: the item was sent, but the run ended before it was
    /// done, or it was dropped for a newer one.
    pub fn send_and_wait(&self, item: T) -> Result<Result<(), Undone>, SendError<T>> {
        self.0.hears.begin();
        let (mark, thread) = (Arc::<Mark>::default(), Blocked::new());
        self.send_until(item, Some(&mark), None)?;
        loop {
            if let Some(outcome) = mark.outcome_or(thread.waiter()) {
                return Ok(outcome);
            }
            thread.wait();
        }
    }

    /// Sends an item, for a task: the future waits for room as [`send`](Self::send) does, and blocks no thread.
    ///
    /// # Errors
    /// As for [`send`](Self::send). If the future is dropped before it is ready, so is the item.
    pub async fn send_async(&self, item: T) -> Result<(), SendError<T>> {
        self.send_task(item, None).await
    }

    /// Sends an item, for a task, and waits until all that came of it has been done, as
    /// [`send_and_wait`](Self::send_and_wait) does.
    ///
    /// # Errors
    /// As for [`send_and_wait`](Self::send_and_wait). If the future is dropped, an item that was sent goes its way.
    pub async fn send_and_wait_async(&self, item: T) -> Result<Result<(), Undone>, SendError<T>> {
        self.0.hears.begin();
        let mark = Arc::<Mark>::default();
        self.send_task(item, Some(&mark)).await?;
        let outcome =
            poll_fn(|context| mark.outcome_or(Waiter::task(context)).map_or(Poll::Pending, Poll::Ready)).await;
        Ok(outcome)
    }

    async fn send_task(&self, item: T, mark: Option<&Arc<Mark>>) -> Result<(), SendError<T>> {
        let (mut next, mut place) = (Some(item), None);
        poll_fn(move |context| {
            let item = next.take().expect("polled after it was ready");
            let posted = match self.0.post(item, mark, None) {
                Posted::Full(item) => {
                    let place = place.get_or_insert_with(|| self.0.waits());
                    self.0.post(item, mark, Some((place, Waiter::task(context))))
                }
                posted => posted,
            };
            match posted {
                Posted::Sent => Poll::Ready(Ok(())),
                Posted::Refused(error) => Poll::Ready(Err(error)),
                Posted::Full(item) => {
                    next = Some(item);
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn send_until(&self, mut item: T, mark: Option<&Arc<Mark>>, until: Option<Instant>) -> Result<(), SendError<T>> {
        let (mut waits, mut is_late) = (None, false);
        loop {
            let wait = waits.as_ref().map(|(place, thread): &(Waits<T>, Blocked)| (place, thread.waiter()));
            let waited = wait.is_some();
            match self.0.post(item, mark, wait) {
                Posted::Sent => return Ok(()),
                Posted::Refused(error) => return Err(error),
                Posted::Full(back) => item = back,
            }
            let (_, thread) = waits.get_or_insert_with(|| (self.0.waits(), Blocked::new()));
            if !waited {
                continue;
            }
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() || is_late => return Err(SendError::Full(item)),
                Some(left) => is_late = thread.wait_for(left),
                None => thread.wait(),
            }
        }
    }

    /// How many items wait in the input.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.state.lock().letters.len()
    }

    /// Whether no item waits in the input.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a run was started and is over, so that nothing can be sent any more.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.0.state.lock().phase == Phase::Ended
    }

    /// Takes out the items that no run has taken, the oldest first: after a run that failed or was cancelled, what it left.
    #[must_use]
    pub fn take_unsent(&self) -> Vec<T> {
        let mut state = self.0.state.lock();
        let (letters, waiting) = (std::mem::take(&mut state.letters), std::mem::take(&mut state.waiting));
        drop(state);
        waiting.into_iter().for_each(|(_, waiter)| waiter.wake()); // there is room
        let undone = letters.iter().filter_map(|letter| letter.mark.as_ref());
        undone.for_each(|mark| mark.set(Err(Undone)));
        letters.into_iter().map(|letter| letter.item).collect()
    }

    /// How many items were dropped because as many waited as may.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.state.lock().dropped
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let _call = library_call("drops a sender");
        let mut state = self.0.state.lock();
        state.senders -= 1;
        let wake = if state.senders == 0 { state.wake.clone() } else { None };
        drop(state);
        wake.iter().for_each(Wake::wake);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        f.debug_struct("Sender").field("phase", &state.phase).field("waiting", &state.letters.len()).finish()
    }
}

/// The source of an input.
pub(crate) struct FromInbox<T> {
    inbox: Arc<Inbox<T>>,
    /// What was taken out of the box, for a moment. Box and source swap their memory.
    letters: VecDeque<Letter<T>>,
    /// How many items it has taken in this run.
    taken: u64,
}

impl<T: Send> Supplier for FromInbox<T> {
    type Item = T;

    fn begin(&mut self) -> u64 {
        0
    }
    fn supply(&mut self, items: &mut Vec<T>, size: usize) -> Result<Then, BoxedError> {
        let mut state = self.inbox.state.lock();
        let count = state.letters.len().min(size);
        // The lock is held for a moment only, as senders want it. What is taken is moved afterwards.
        if count == state.letters.len() {
            std::mem::swap(&mut state.letters, &mut self.letters);
        } else {
            self.letters.extend(state.letters.drain(..count));
        }
        let is_empty = state.letters.is_empty();
        let then = match state.senders {
            0 if is_empty => Then::Ended,
            // Of several items more are likely on their way: it looks again, so that nobody has to wake it for each.
            _ if is_empty && (2..size).contains(&count) => Then::Later,
            _ if is_empty && count < size => {
                state.is_hungry = true;
                Then::Pending
            }
            _ => Then::More,
        };
        let waiting = if count > 0 { std::mem::take(&mut state.waiting) } else { Vec::new() };
        drop(state);
        waiting.into_iter().for_each(|(_, waiter)| waiter.wake());
        for Letter { item, mark } in self.letters.drain(..) {
            items.push(item);
            self.taken += 1;
            if let Some(mark) = mark {
                self.inbox.state.lock().marked.push_back((self.taken, mark));
            }
        }
        Ok(then)
    }
    fn end(&mut self) {}
    fn is_ready(&self) -> bool {
        true
    }
    fn link(&mut self, wake: Wake) {
        self.inbox.state.lock().wake = Some(wake);
    }
    fn open(&mut self) {
        self.taken = 0;
        let mut state = self.inbox.state.lock();
        (state.phase, state.is_hungry) = (Phase::Open, false);
    }
    fn close(&mut self) {
        self.inbox.close();
    }
    fn done(&mut self, items: u64) {
        let mut done = Vec::new();
        let mut state = self.inbox.state.lock();
        while let Some((up_to, _)) = state.marked.front()
            && *up_to <= items
        {
            done.extend(state.marked.pop_front());
        }
        drop(state);
        done.into_iter().for_each(|(_, mark)| mark.set(Ok(())));
    }
}

impl<T> Drop for FromInbox<T> {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;

    #[test]
    fn who_gives_up_leaves_nothing_behind() {
        let (sender, mut source, _) = inbox::<u32>(InputOptions::new().capacity(1));
        source.open();
        sender.send(1).expect("there is room");
        for _ in 0..10 {
            let late = sender.send_timeout(2, Duration::from_micros(1));
            assert!(matches!(late, Err(SendError::Full(2))));
        }
        assert!(sender.0.state.lock().waiting.is_empty());
    }
}
