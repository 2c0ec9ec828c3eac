//! `collect` and `collect_as`: put all items into a collection.

use std::convert::Infallible;
use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::engine::tail::put;
use crate::graph::Stream;
use crate::plan::Data;
use crate::run::slot::Slot;
use crate::unwind;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Puts all items into a vector, in stream order. It keeps all of them in memory.
    #[must_use]
    #[track_caller]
    pub fn collect(self) -> Data<Vec<T>> {
        let finish = std::convert::identity;
        self.serial_sink("collect", Some("every item"), |result| Collect { finish, result })
    }

    /// Puts all items into a collection, in stream order, as [`Iterator::collect`] does: a `String`, a map, a set, a
    /// `Result` of a collection.
    ///
    /// It keeps all items in a vector, and makes the collection of it, by one worker, when the last one has come. A
    /// vector is had for less by [`collect`](Self::collect), counts and sums by key by [`key_by`](Self::key_by).
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let letters = g.source("stream".chars()).collect_as::<std::collections::BTreeSet<char>>();
    /// let sum = g.source(["1", "2", "x"]).map(str::parse::<i32>).collect_as::<Result<Vec<_>, _>>();
    /// let mut run = pool.run(g)?;
    /// assert_eq!(run.take(letters).first(), Some(&'a'));
    /// assert!(run.take(sum).is_err());
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn collect_as<B>(self) -> Data<B>
    where
        B: FromIterator<T> + Send + 'env,
    {
        let finish = |items: Vec<T>| unwind::Draining::of(items.into_iter()).collect();
        self.serial_sink("collect_as", Some("every item"), |result| Collect { finish, result })
    }
}

/// The operator of [`Stream::collect`] and [`Stream::collect_as`].
struct Collect<T, B> {
    finish: fn(Vec<T>) -> B,
    result: Slot<B>,
}

impl<T: Send, B: Send> SerialOp<T> for Collect<T, B> {
    type Out = Infallible;
    type State = Vec<T>;
    const IS_SINK: bool = true;
    fn begin(&mut self) -> Vec<T> {
        Vec::new()
    }
    #[inline]
    fn item(&mut self, state: &mut Vec<T>, item: T, _: &mut Vec<Infallible>) -> ControlFlow<Stop> {
        state.push(item);
        ControlFlow::Continue(())
    }
    fn end(&mut self, state: Vec<T>, _: &mut Vec<Infallible>) {
        put(&self.result, Some((self.finish)(state)));
    }
}
