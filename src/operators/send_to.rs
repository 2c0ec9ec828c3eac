//! `send_to`: hands items to another graph.

use crate::engine::outside::input::Sender;
use crate::engine::outside::relay::Relay;
use crate::engine::pipe::Pipe;
use crate::graph::Stream;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Sends the items to an [input](crate::Graph::input) of another graph, one after the other, in stream order. Both may
    /// run on one pool or on two.
    ///
    /// No worker waits for room: if as many items wait in the input as may, a batch waits with its credit until the other
    /// graph has taken some. So a slow graph holds the source of this one up, and at most as many batches wait as that
    /// source has [`credits`](Stream::credits). With another [overflow](crate::Overflow) the input drops items, as it
    /// would of any sender.
    ///
    /// The sender lives as long as the plan of this graph. The other stream ends when all senders have been dropped: so
    /// drop this plan (`running.join()?;` does) before you wait for the end of the other run. A graph that sends to an
    /// input of its own never ends, nor do two that send to each other: each keeps the sender that the other one waits
    /// for. A [cancel](crate::Running::cancel) or a [deadline](crate::Running::deadline) ends such runs.
    ///
    /// # Errors
    /// If the run of the other graph is over, or was not started, this run ends as
    /// [`Failed`](crate::RunErrorKind::Failed) with the first item that was not taken: [`RunError::item`](crate::RunError::item)
    /// says how many the input was sent before. Those of them that the other run has left can be
    /// [taken out](Sender::take_unsent) by another sender.
    ///
    /// If this run fails, the input gets the items before the failure, if need be more than may wait there. If it is
    /// cancelled, the items that wait are dropped.
    ///
    /// ```
    /// use millstream::{Graph, InputOptions, Pool};
    ///
    /// let (pool, first, second) = (Pool::new()?, Graph::new(), Graph::new());
    /// let (sender, numbers) = second.input_with::<u64>(InputOptions::new().capacity(4));
    /// let sum = numbers.sum::<u64>();
    /// first.range(0..1000_u64).map(|x| 2 * x).send_to(sender);
    /// let running = second.plan(&pool)?.start();
    /// drop(pool.run(first)?); // and with it the sender
    /// assert_eq!(running.join()?.take(sum), 999_000);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn send_to(self, sender: Sender<T>) {
        self.relay("send_to", Relay::new(sender));
    }
}
