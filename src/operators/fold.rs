//! `fold` and `accumulate`: make one value of all items, one after the other.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::engine::pipe::Pipe;
use crate::engine::serial::SerialOp;
use crate::engine::tail::put;
use crate::graph::Stream;
use crate::plan::Data;
use crate::run::slot::Slot;
use crate::unwind;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Folds all items into one value, one item at a time, in stream order. The value begins as a clone of `init` in
    /// every run.
    ///
    /// What `f` has captured keeps its state from run to run.
    #[must_use]
    #[track_caller]
    pub fn fold<A, F>(self, init: A, f: F) -> Data<A>
    where
        A: Clone + Send + 'env,
        F: FnMut(A, T) -> A + Send + 'env,
    {
        self.serial_sink("fold", Some("one value"), |result| Fold { init, f, result })
    }

    /// Does the same as [`fold`](Self::fold), but `f` changes the value in place.
    #[must_use]
    #[track_caller]
    pub fn accumulate<A, F>(self, init: A, f: F) -> Data<A>
    where
        A: Clone + Send + 'env,
        F: FnMut(&mut A, T) + Send + 'env,
    {
        self.serial_sink("accumulate", Some("one value"), |result| Accumulate { init, f, result })
    }
}

/// The operator of [`Stream::fold`].
struct Fold<A, F> {
    init: A,
    f: F,
    result: Arc<Slot<A>>,
}

impl<T, A: Clone + Send, F: FnMut(A, T) -> A + Send> SerialOp<T> for Fold<A, F> {
    type Out = Infallible;
    /// None only while the closure has the value.
    type State = Option<A>;
    const IS_SINK: bool = true;
    fn begin(&mut self) -> Option<A> {
        Some(self.init.clone())
    }
    #[inline]
    fn item(&mut self, state: &mut Option<A>, item: T, _: &mut Vec<Infallible>) -> ControlFlow<()> {
        unwind::renew(state, |folded| (self.f)(folded, item));
        ControlFlow::Continue(())
    }
    fn end(&mut self, state: Option<A>) {
        put(&self.result, state);
    }
}

/// The operator of [`Stream::accumulate`].
struct Accumulate<A, F> {
    init: A,
    f: F,
    result: Arc<Slot<A>>,
}

impl<T, A: Clone + Send, F: FnMut(&mut A, T) + Send> SerialOp<T> for Accumulate<A, F> {
    type Out = Infallible;
    type State = A;
    const IS_SINK: bool = true;
    fn begin(&mut self) -> A {
        self.init.clone()
    }
    #[inline]
    fn item(&mut self, state: &mut A, item: T, _: &mut Vec<Infallible>) -> ControlFlow<()> {
        (self.f)(state, item);
        ControlFlow::Continue(())
    }
    fn end(&mut self, state: A) {
        put(&self.result, Some(state));
    }
}
