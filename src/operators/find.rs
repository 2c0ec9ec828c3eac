//! `find`, `any`, `all` and `first`: the first item that is of interest.

use std::convert::Infallible;
use std::ops::ControlFlow;

use super::filter::Filter;
use super::filter_map::FilterMap;
use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::engine::tail::put;
use crate::graph::Stream;
use crate::plan::Data;
use crate::run::slot::Slot;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Finds the first item, in stream order.
    ///
    /// Sources that feed no other stream stop then. A failure on an item behind it does not count.
    #[must_use]
    #[track_caller]
    pub fn first(self) -> Data<Option<T>> {
        self.serial_sink("first", Some("one item"), |result| First { finish: std::convert::identity, result })
    }

    /// Finds the first item, in stream order, for which `pred` holds, as [`Iterator::find`] does. `pred` runs on all
    /// workers at once, and may have been called for some later items.
    ///
    /// Sources that feed no other stream stop then. A failure on an item behind it does not count.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let root = g.range(0..1_000_000_u64).find(|x| x * x > 5_000_000);
    /// assert_eq!(pool.run(g)?.take(root), Some(2237));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn find<F>(self, pred: F) -> Data<Option<T>>
    where
        F: Fn(&T) -> bool + Send + Sync + 'env,
    {
        let tested = self.fuse("find", Filter(pred));
        let test = tested.number();
        let first = |result| First { finish: std::convert::identity, result };
        tested.serial_sink("find", Some("one item"), first).with_whole(test, "first")
    }

    /// Finds out whether `pred` holds for any item, as [`Iterator::any`] does: not if there are none. `pred` runs on all
    /// workers at once.
    ///
    /// Sources that feed no other stream stop at the first such item. A failure on an item behind it does not count.
    #[must_use]
    #[track_caller]
    pub fn any<F>(self, pred: F) -> Data<bool>
    where
        F: Fn(T) -> bool + Send + Sync + 'env,
    {
        let tested = self.fuse("any", FilterMap(move |item| pred(item).then_some(())));
        let test = tested.number();
        let first = |result| First { finish: |found: Option<()>| found.is_some(), result };
        tested.serial_sink("any", None, first).with_whole(test, "first")
    }

    /// Finds out whether `pred` holds for all items, as [`Iterator::all`] does: so it is if there are none. `pred` runs
    /// on all workers at once.
    ///
    /// Sources that feed no other stream stop at the first item for which it does not hold. A failure on an item behind
    /// it does not count.
    #[must_use]
    #[track_caller]
    pub fn all<F>(self, pred: F) -> Data<bool>
    where
        F: Fn(T) -> bool + Send + Sync + 'env,
    {
        let tested = self.fuse("all", FilterMap(move |item| (!pred(item)).then_some(())));
        let test = tested.number();
        let first = |result| First { finish: |found: Option<()>| found.is_none(), result };
        tested.serial_sink("all", None, first).with_whole(test, "first")
    }
}

/// The operator that ends its stream at the first item, and makes an answer of it.
struct First<T, R> {
    finish: fn(Option<T>) -> R,
    result: Slot<R>,
}

impl<T: Send, R: Send> SerialOp<T> for First<T, R> {
    type Out = Infallible;
    type State = Option<T>;
    const IS_SINK: bool = true;
    const BREAKS: bool = true;
    fn begin(&mut self) -> Option<T> {
        None
    }
    #[inline]
    fn item(&mut self, found: &mut Option<T>, item: T, _: &mut Vec<Infallible>) -> ControlFlow<Stop> {
        *found = Some(item);
        ControlFlow::Break(Stop::End)
    }
    fn end(&mut self, found: Option<T>, _: &mut Vec<Infallible>) {
        put(&self.result, Some((self.finish)(found)));
    }
}
