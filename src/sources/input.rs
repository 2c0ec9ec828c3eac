//! `input`: items that threads and tasks outside send while the graph runs.

use crate::engine::outside::input::{InputOptions, Sender, inbox};
use crate::engine::pipe::Pipe;
use crate::graph::{Graph, Stream};

impl<'env> Graph<'env> {
    /// Makes a stream of the items that others send while the graph runs, in the order in which they are sent.
    ///
    /// At most 1024 items wait in the input; then senders wait until the graph has taken some
    /// ([`input_with`](Self::input_with) changes both). The graph takes them in batches: what is there goes on at once,
    /// and nobody waits for a batch to fill. The stream ends when all senders have been dropped, and a graph that waits
    /// for its senders takes no time of any core. Such a graph is [started](crate::Plan::start), or runs
    /// [beside a closure](crate::Plan::run_while). Sending costs some 20 ns if the graph is busy, and a wake-up of a
    /// worker if it is idle.
    ///
    /// ```
    /// use millstream::{Graph, Pool};
    ///
    /// let (pool, g) = (Pool::new()?, Graph::new());
    /// let (sender, numbers) = g.input::<u64>();
    /// let sum = numbers.map(|x| 2 * x).sum::<u64>();
    /// let running = g.plan(&pool)?.start();
    /// for x in 0..100 {
    ///     sender.send(x).expect("the graph runs until the sender is dropped");
    /// }
    /// drop(sender);
    /// assert_eq!(running.join()?.take(sum), 9900);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn input<T>(&self) -> (Sender<T>, Stream<'env, T, impl Pipe<Out = T> + use<'env, T>>)
    where
        T: Send + 'env,
    {
        self.input_with(InputOptions::new())
    }

    /// As [`input`](Self::input), with options.
    #[track_caller]
    pub fn input_with<T>(
        &self,
        options: InputOptions,
    ) -> (Sender<T>, Stream<'env, T, impl Pipe<Out = T> + use<'env, T>>)
    where
        T: Send + 'env,
    {
        let (sender, source, hears) = inbox(options);
        (sender, self.add_served("input", source, hears))
    }
}
