//! `route`: sends every item to one of several streams.

use crate::engine::pipe::Pipe;
use crate::graph::Stream;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Sends every item to the stream whose number `to` gives, counted from 0. Stage boundary.
    ///
    /// A number of `N` or more is a failure of the run, as a panic is.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let [even, odd, large] = g.range(0..20_u32).route(|x| if *x < 10 { (*x % 2) as usize } else { 2 });
    /// let (even, odd, large) = (even.sum::<u32>(), odd.sum::<u32>(), large.count());
    /// let mut run = pool.run(g)?;
    /// assert_eq!((run.take(even), run.take(odd), run.take(large)), (20, 25, 10));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn route<const N: usize>(
        self,
        to: impl Fn(&T) -> usize + Send + Sync + 'env,
    ) -> [Stream<'env, T, impl Pipe<Out = T>>; N] {
        self.route_to("route", branch, to)
    }
}

/// What the stream with this number is called.
fn branch(number: usize) -> &'static str {
    const NAMES: [&str; 8] =
        ["route's 0", "route's 1", "route's 2", "route's 3", "route's 4", "route's 5", "route's 6", "route's 7"];
    NAMES.get(number).copied().unwrap_or("one of route's further streams")
}
