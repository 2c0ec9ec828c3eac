//! `for_each_ordered`: gives all items to a closure, one after the other.

use std::convert::Infallible;
use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::engine::tail::put;
use crate::graph::Stream;
use crate::plan::Data;
use crate::run::slot::Slot;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives every item to `f`, one at a time, in stream order. What `f` has captured keeps its state from run to run.
    #[track_caller]
    pub fn for_each_ordered<F>(self, f: F) -> Data<()>
    where
        F: FnMut(T) + Send + 'env,
    {
        self.serial_sink("for_each_ordered", None, |result| ForEachOrdered { f, result })
    }
}

/// The operator of [`Stream::for_each_ordered`].
struct ForEachOrdered<F> {
    f: F,
    result: Slot<()>,
}

impl<T, F: FnMut(T) + Send> SerialOp<T> for ForEachOrdered<F> {
    type Out = Infallible;
    type State = ();
    const IS_SINK: bool = true;
    fn begin(&mut self) {}
    #[inline]
    fn item(&mut self, (): &mut (), item: T, _: &mut Vec<Infallible>) -> ControlFlow<Stop> {
        (self.f)(item);
        ControlFlow::Continue(())
    }
    fn end(&mut self, (): (), _: &mut Vec<Infallible>) {
        put(&self.result, Some(()));
    }
}
