//! `scan` of a stream with keys: replaces every item, with a state for each key.

use std::hash::Hash;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::{Keyed, Stream, Table};
use crate::run::flow::makes::Makes;
use crate::unwind;

impl<'env, K, T, P> Keyed<'env, K, T, P>
where
    K: Hash + Eq + Send + 'env,
    T: Send + 'env,
    P: Pipe<Out = (K, T)> + 'env,
{
    /// Replaces every item by what `f` makes of it and of the state of its key. One item at a time, in stream order.
    /// Stage boundary after it.
    ///
    /// The state of a key begins as a clone of `init`. The first `None` ends the key: its later items are dropped. The
    /// states are kept in memory until the stream ends.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let second = g.source(["to", "be", "not", "or"]).key_by(|word| word.len());
    /// let numbered = second.scan(0, |n, word| { *n += 1; Some((word, *n)) }).collect();
    /// assert_eq!(pool.run(g)?.take(numbered), [("to", 1), ("be", 2), ("not", 1), ("or", 3)]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn scan<S, U, F>(self, init: S, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        S: Clone + Send + 'env,
        U: Send + 'env,
        F: FnMut(&mut S, T) -> Option<U> + Send + 'env,
    {
        self.pairs.serial("scan", ScanByKey { init, f, made: PhantomData })
    }
}

/// The operator of [`Keyed::scan`].
struct ScanByKey<K, S, U, F> {
    init: S,
    f: F,
    made: PhantomData<fn(K) -> U>,
}

impl<K, T, S, U, F> SerialOp<(K, T)> for ScanByKey<K, S, U, F>
where
    K: Hash + Eq + Send,
    S: Clone + Send,
    F: FnMut(&mut S, T) -> Option<U> + Send,
{
    type Out = U;
    /// The states by key. None: the key has ended.
    type State = Table<K, Option<S>>;
    const KEEPS: Option<&'static str> = Some("one state for each key");
    fn makes(&self) -> Makes {
        Makes::AtMostOne
    }
    fn begin(&mut self) -> Self::State {
        Table::new()
    }
    #[inline]
    fn item(&mut self, table: &mut Self::State, (key, item): (K, T), made: &mut Vec<U>) -> ControlFlow<Stop> {
        let item = unwind::Kept::new(item); // the key's own code, and the clone, may panic
        let state = table.get_or_insert_with(key, || Some(self.init.clone()));
        let item = item.into_inner();
        if let Some(known) = state {
            match (self.f)(known, item) {
                Some(next) => made.push(next),
                None => *state = None,
            }
        }
        ControlFlow::Continue(())
    }
}
