//! `scan`: replaces every item, with a state that goes from item to item.

use std::marker::PhantomData;
use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::Stream;
use crate::run::flow::makes::Makes;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces every item by what `f` makes of it and of a state, until `f` gives `None`, as [`Iterator::scan`] does.
    /// One item at a time, in stream order. Stage boundary after it.
    ///
    /// The state begins as a clone of `init` in every run. The first `None` ends the stream.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let sums = g.source(1..).scan(0, |sum, x| { *sum += x; (*sum < 20).then_some(*sum) }).collect();
    /// assert_eq!(pool.run(g)?.take(sums), [1, 3, 6, 10, 15]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn scan<S, U, F>(self, init: S, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        S: Clone + Send + 'env,
        U: Send + 'env,
        F: FnMut(&mut S, T) -> Option<U> + Send + 'env,
    {
        self.serial("scan", Scan { init, f, made: PhantomData })
    }
}

/// The operator of [`Stream::scan`].
struct Scan<S, U, F> {
    init: S,
    f: F,
    made: PhantomData<fn() -> U>,
}

impl<T, S: Clone + Send, U, F: FnMut(&mut S, T) -> Option<U> + Send> SerialOp<T> for Scan<S, U, F> {
    type Out = U;
    type State = S;
    fn makes(&self) -> Makes {
        Makes::AtMostOne
    }
    fn begin(&mut self) -> S {
        self.init.clone()
    }
    #[inline]
    fn item(&mut self, state: &mut S, item: T, made: &mut Vec<U>) -> ControlFlow<Stop> {
        let Some(next) = (self.f)(state, item) else { return ControlFlow::Break(Stop::End) };
        made.push(next);
        ControlFlow::Continue(())
    }
}
