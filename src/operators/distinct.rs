//! `distinct`: every item once.

use std::collections::HashSet;
use std::hash::{Hash, RandomState};
use std::marker::PhantomData;
use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::Stream;
use crate::run::flow::makes::Makes;
use crate::unwind::Kept;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Drops every item that is equal to an earlier one. One item at a time, in stream order. Stage boundary after it.
    ///
    /// It keeps a clone of every distinct item in memory, in a table with a random seed: items from outside cannot be
    /// chosen such that it becomes slow.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let words = g.source("a rose is a rose".split(' ')).distinct().collect();
    /// assert_eq!(pool.run(g)?.take(words), ["a", "rose", "is"]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn distinct(self) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        T: Clone + Eq + Hash,
    {
        self.serial("distinct", Distinct(PhantomData))
    }
}

/// The operator of [`Stream::distinct`].
struct Distinct<T>(PhantomData<fn(T)>);

impl<T: Clone + Eq + Hash + Send> SerialOp<T> for Distinct<T> {
    type Out = T;
    /// The items so far.
    type State = HashSet<T, RandomState>;
    const KEEPS: Option<&'static str> = Some("every distinct item");
    fn makes(&self) -> Makes {
        Makes::AtMostOne
    }
    fn begin(&mut self) -> Self::State {
        HashSet::default()
    }
    #[inline]
    fn item(&mut self, seen: &mut Self::State, item: T, made: &mut Vec<T>) -> ControlFlow<Stop> {
        let item = Kept::new(item);
        let is_new = !seen.contains(&*item) && seen.insert(T::clone(&item));
        let item = item.into_inner();
        if is_new {
            made.push(item);
        }
        ControlFlow::Continue(())
    }
}
