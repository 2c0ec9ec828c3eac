//! `try_for_each` and `try_for_each_ordered`: give all items to a closure that may fail.

use std::convert::Infallible;
use std::ops::ControlFlow;

use super::for_each::ForEach;
use super::try_map::TryMap;
use crate::engine::op::IntoFailure;
use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::engine::tail::put;
use crate::graph::Stream;
use crate::plan::Data;
use crate::run::slot::Slot;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives every item to `f`, on all workers at once, in no particular order, or fails the run if `f` gives an error.
    ///
    /// The first error in stream order counts. The run ends as [`Failed`](crate::RunErrorKind::Failed), with that error
    /// as its source. `f` may have been called for some later items.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// g.slice(&["1", "x", "3", "y"]).try_for_each(|text| text.parse::<u32>().map(drop)).named("check");
    /// let error = pool.run(g).unwrap_err();
    /// assert_eq!(error.as_run().map(|run| (run.operator(), run.item())), Some((Some("check"), Some(1))));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn try_for_each<E, F>(self, f: F) -> Data<()>
    where
        F: Fn(T) -> Result<(), E> + Send + Sync + 'env,
        E: IntoFailure,
    {
        let called = self.fuse("try_for_each", TryMap(f));
        let call = called.number();
        called.parallel_sink("try_for_each", None, |result| ForEach { f: |()| (), result }).with_whole(call, "end")
    }

    /// Gives every item to `f`, one at a time, in stream order, or fails the run if `f` gives an error. Then `f` has seen
    /// exactly the items before, and gets no more. What it has captured keeps its state from run to run.
    ///
    /// The run ends as [`Failed`](crate::RunErrorKind::Failed), with the error as its source.
    #[track_caller]
    pub fn try_for_each_ordered<E, F>(self, f: F) -> Data<()>
    where
        T: Send,
        F: FnMut(T) -> Result<(), E> + Send + 'env,
        E: IntoFailure,
    {
        self.serial_sink("try_for_each_ordered", None, |result| TryForEachOrdered { f, result })
    }
}

/// The operator of [`Stream::try_for_each_ordered`].
struct TryForEachOrdered<F> {
    f: F,
    result: Slot<()>,
}

impl<T, E, F> SerialOp<T> for TryForEachOrdered<F>
where
    F: FnMut(T) -> Result<(), E> + Send,
    E: IntoFailure,
{
    type Out = Infallible;
    type State = ();
    const IS_SINK: bool = true;
    const BREAKS: bool = true;
    fn begin(&mut self) {}
    #[inline]
    fn item(&mut self, (): &mut (), item: T, _: &mut Vec<Infallible>) -> ControlFlow<Stop> {
        match (self.f)(item) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Stop::Fail(error.into())),
        }
    }
    fn end(&mut self, (): (), _: &mut Vec<Infallible>) {
        put(&self.result, Some(()));
    }
}
