//! `try_partition`: what a closure fails on goes to a stream of its own.

use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::run::flow::makes::Makes;
use crate::unwind::Kept;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces every item by what `f` makes of it: the first stream. The items on which `f` fails go to the second one,
    /// with the error: dead letters. Stage boundary; runs on all workers at once.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let (numbers, bad) = g.source(["1", "x", "3"]).try_partition(|text| text.parse::<u32>());
    /// let (numbers, bad) = (numbers.sum::<u32>(), bad.map(|(text, _)| text).collect());
    /// let mut run = pool.run(g)?;
    /// assert_eq!((run.take(numbers), run.take(bad)), (4, vec!["x"]));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    #[expect(clippy::type_complexity, reason = "two streams")]
    pub fn try_partition<U, E, F>(
        self,
        f: F,
    ) -> (Stream<'env, U, impl Pipe<Out = U>>, Stream<'env, (T, E), impl Pipe<Out = (T, E)>>)
    where
        U: Send + 'env,
        E: Send + 'env,
        F: Fn(&T) -> Result<U, E> + Send + Sync + 'env,
    {
        let split = move |item| {
            let item = Kept::new(item);
            match f(&item) {
                Ok(made) => (Some(made), None),
                Err(error) => (None, Some((item.into_inner(), error))),
            }
        };
        let parts = ["try_partition's results", "try_partition's errors"];
        self.fork("try_partition", parts, Makes::AtMostOne, split)
    }
}
