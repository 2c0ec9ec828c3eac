//! `output`: hands items to a thread or task outside.

use std::sync::Arc;

use crate::engine::outside::outlet::Outlet;
use crate::engine::outside::output::{Outbox, Receiver};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Hands the items to whoever has the receiver, in stream order, while the graph runs.
    ///
    /// Batches that the receiver has not taken keep their credits: so a slow receiver holds the source up, and at most as
    /// many batches wait as the source has [`credits`](Stream::credits). Dropping the receiver ends the stream, as soon as
    /// an item would come to it. Such a graph is [started](crate::Plan::start), or runs
    /// [beside a closure](crate::Plan::run_while).
    ///
    /// A receiver waits for the start of its graph, too. If the graph is dropped without that, or cannot be planned, its
    /// stream has ended.
    ///
    /// When the stream has ended, what still lies in the receiver counts as done, and the run may end.
    ///
    /// ```
    /// use millstream::{Graph, Pool};
    ///
    /// let (pool, g) = (Pool::new()?, Graph::new());
    /// let squares = g.range(0..1000_u64).map(|x| x * x).output();
    /// let running = g.plan(&pool)?.start();
    /// assert!(squares.eq((0..1000).map(|x| x * x)));
    /// running.join()?;
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn output(self) -> Receiver<T> {
        let outbox = Arc::new(Outbox::new());
        self.outlet("output", Outlet::new(Arc::clone(&outbox)));
        Receiver::new(outbox)
    }
}
