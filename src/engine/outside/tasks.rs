//! The traits of the crate futures: a receiver becomes a [`Stream`], and a sender a [`Sink`].
//!
//! Both are types of their own. A receiver is an iterator, too: if it was a stream itself, `next` and `map` would be
//! ambiguous wherever the methods of streams are in scope.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;

use super::input::{Posted, SendError, Sender, Waits};
use super::output::Receiver;
use crate::run::outside::waiter::Waiter;

/// What comes out of a graph while it runs, as a [`Stream`] of the crate futures; [`Receiver::into_stream`] makes it.
///
/// It waits, ends and goes on with the next run as the receiver does, and a slow one holds the source up. Dropping it drops
/// the receiver.
#[derive(Debug)]
pub struct OutputStream<T>(Receiver<T>);

impl<T> Receiver<T> {
    /// The same as a [`Stream`] for tasks; with the feature `futures`.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use millstream::{Graph, Pool};
    ///
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    /// # runtime.block_on(async {
    /// let (pool, g) = (Pool::new()?, Graph::new());
    /// let squares = g.range(0..5_u64).map(|x| x * x).output().into_stream();
    /// let running = g.plan(&pool)?.start();
    /// assert_eq!(squares.collect::<Vec<_>>().await, [0, 1, 4, 9, 16]);
    /// running.await?;
    /// # Ok::<(), millstream::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn into_stream(self) -> OutputStream<T> {
        OutputStream(self)
    }
}

/// An item is moved out; it is never pinned.
impl<T> Unpin for OutputStream<T> {}

impl<T> Stream for OutputStream<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}

/// Sends items into a graph that runs, as a [`Sink`] of the crate futures; [`Sender::into_sink`] makes it.
///
/// It has room for one item besides those that wait in the input, and is ready when it has none. So a graph that is
/// behind holds up whoever sends, as with [`Sender::send_async`], and the [overflow](crate::InputOptions::overflow) of the
/// input counts here too. A flush ends when that item is in the input. To close it is to flush, and to drop the sender:
/// when all senders are gone the stream ends.
///
/// # Errors
/// The run is over, or none was started: the item comes back in the error, be it the one to be sent, or the one
/// that had no room yet. An item that has no room when the sink is dropped is dropped, too.
///
/// ```
/// use futures_util::{SinkExt, StreamExt};
/// use millstream::{Graph, Pool};
///
/// # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
/// # runtime.block_on(async {
/// let (pool, g) = (Pool::new()?, Graph::new());
/// let (sender, numbers) = g.input::<u64>();
/// let squares = numbers.map(|x| x * x).output().into_stream();
/// let running = g.plan(&pool)?.start();
/// let mut sink = sender.into_sink();
/// sink.send_all(&mut futures_util::stream::iter((0..5).map(Ok))).await.expect("the graph runs");
/// sink.close().await.expect("the graph runs");
/// assert_eq!(squares.collect::<Vec<_>>().await, [0, 1, 4, 9, 16]);
/// running.await?;
/// # Ok::<(), millstream::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct InputSink<T> {
    /// None: it was closed.
    sender: Option<Sender<T>>,
    /// It had no room yet.
    item: Option<T>,
    /// Where it waits for room.
    place: Option<Waits<T>>,
}

impl<T> Sender<T> {
    /// A [`Sink`] that sends into the same input; with the feature `futures`. A sink of one's own for each task:
    /// `sender.clone().into_sink()`.
    #[must_use]
    pub fn into_sink(self) -> InputSink<T> {
        InputSink { sender: Some(self), item: None, place: None }
    }
}

/// An item is moved in and out; it is never pinned.
impl<T> Unpin for InputSink<T> {}

impl<T> InputSink<T> {
    /// Sends the item that had no room yet, if there is one.
    fn poll_empty(&mut self, context: &Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let (Some(item), Some(sender)) = (self.item.take(), &self.sender) else { return Poll::Ready(Ok(())) };
        let place = self.place.get_or_insert_with(|| sender.0.waits());
        match sender.0.post(item, None, Some((place, Waiter::task(context)))) {
            Posted::Sent => self.place = None,
            Posted::Refused(error) => {
                self.place = None;
                return Poll::Ready(Err(error));
            }
            Posted::Full(item) => {
                self.item = Some(item);
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> Sink<T> for InputSink<T> {
    type Error = SendError<T>;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        self.poll_empty(context)
    }

    /// # Panics
    /// If it was closed, or was not ready.
    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), SendError<T>> {
        assert!(self.item.is_none(), "this sink is not ready: it has an item that had no room yet");
        match self.sender.as_ref().expect("this sink is not closed").0.post(item, None, None) {
            Posted::Sent => {}
            Posted::Refused(error) => return Err(error),
            Posted::Full(item) => self.item = Some(item),
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        self.poll_empty(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let emptied = self.poll_empty(context);
        if emptied.is_ready() {
            self.sender = None;
        }
        emptied
    }
}

impl<T> fmt::Debug for InputSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_item = self.item.is_some();
        f.debug_struct("InputSink").field("sender", &self.sender).field("has_item", &has_item).finish_non_exhaustive()
    }
}
