//! `collect`: puts all items into a vector.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::engine::pipe::Pipe;
use crate::engine::serial::SerialOp;
use crate::engine::tail::put;
use crate::graph::Stream;
use crate::plan::Data;
use crate::run::slot::Slot;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Puts all items into a vector, in stream order. It keeps all of them in memory.
    #[must_use]
    #[track_caller]
    pub fn collect(self) -> Data<Vec<T>> {
        self.serial_sink("collect", Some("every item"), |result| Collect { result })
    }
}

/// The operator of [`Stream::collect`].
struct Collect<T> {
    result: Arc<Slot<Vec<T>>>,
}

impl<T: Send> SerialOp<T> for Collect<T> {
    type Out = Infallible;
    type State = Vec<T>;
    const IS_SINK: bool = true;
    fn begin(&mut self) -> Vec<T> {
        Vec::new()
    }
    #[inline]
    fn item(&mut self, state: &mut Vec<T>, item: T, _: &mut Vec<Infallible>) -> ControlFlow<()> {
        state.push(item);
        ControlFlow::Continue(())
    }
    fn end(&mut self, state: Vec<T>) {
        put(&self.result, Some(state));
    }
}
