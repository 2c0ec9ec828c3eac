//! `fold` and its like: make one value of all items, one after the other.

use std::convert::Infallible;
use std::ops::ControlFlow;

use crate::engine::op::IntoFailure;
use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
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
        let init = move || init.clone();
        self.serial_sink("fold", Some("one value"), |result| Fold { init, f, result })
    }

    /// Does the same as [`fold`](Self::fold), for a value that cannot be cloned: it begins as what `init` gives, in every
    /// run.
    #[must_use]
    #[track_caller]
    pub fn fold_with<A, I, F>(self, init: I, f: F) -> Data<A>
    where
        A: Send + 'env,
        I: FnMut() -> A + Send + 'env,
        F: FnMut(A, T) -> A + Send + 'env,
    {
        self.serial_sink("fold_with", Some("one value"), |result| Fold { init, f, result })
    }

    /// Folds all items into one value, one item at a time, in stream order, or fails the run if `f` gives an error, as
    /// [`Iterator::try_fold`] does. The value begins as a clone of `init` in every run.
    ///
    /// The run ends as [`Failed`](crate::RunErrorKind::Failed), with the error as its source.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let sum = g.slice(&[100_u8, 50, 5]).try_fold(0_u8, |sum, x| sum.checked_add(*x).ok_or("too much")).named("sum");
    /// assert_eq!(pool.run(g)?.take(sum), 155);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn try_fold<A, E, F>(self, init: A, f: F) -> Data<A>
    where
        A: Clone + Send + 'env,
        F: FnMut(A, T) -> Result<A, E> + Send + 'env,
        E: IntoFailure,
    {
        self.serial_sink("try_fold", Some("one value"), |result| TryFold { init, f, result })
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

/// The operator of [`Stream::fold`] and [`Stream::fold_with`].
struct Fold<A, I, F> {
    init: I,
    f: F,
    result: Slot<A>,
}

impl<T, A: Send, I: FnMut() -> A + Send, F: FnMut(A, T) -> A + Send> SerialOp<T> for Fold<A, I, F> {
    type Out = Infallible;
    /// None only while the closure has the value.
    type State = Option<A>;
    const IS_SINK: bool = true;
    fn begin(&mut self) -> Option<A> {
        Some((self.init)())
    }
    #[inline]
    fn item(&mut self, state: &mut Option<A>, item: T, _: &mut Vec<Infallible>) -> ControlFlow<Stop> {
        unwind::renew(state, |folded| (self.f)(folded, item));
        ControlFlow::Continue(())
    }
    fn end(&mut self, state: Option<A>, _: &mut Vec<Infallible>) {
        put(&self.result, state);
    }
}

/// The operator of [`Stream::try_fold`].
struct TryFold<A, F> {
    init: A,
    f: F,
    result: Slot<A>,
}

impl<T, A, E, F> SerialOp<T> for TryFold<A, F>
where
    A: Clone + Send,
    F: FnMut(A, T) -> Result<A, E> + Send,
    E: IntoFailure,
{
    type Out = Infallible;
    /// None only while the closure has the value, and when it has failed.
    type State = Option<A>;
    const IS_SINK: bool = true;
    const BREAKS: bool = true;
    fn begin(&mut self) -> Option<A> {
        Some(self.init.clone())
    }
    #[inline]
    fn item(&mut self, state: &mut Option<A>, item: T, _: &mut Vec<Infallible>) -> ControlFlow<Stop> {
        let folded = state.take().expect("a failure ends the stream");
        match (self.f)(folded, item) {
            Ok(folded) => {
                *state = Some(folded);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(Stop::Fail(error.into())),
        }
    }
    fn end(&mut self, state: Option<A>, _: &mut Vec<Infallible>) {
        put(&self.result, state);
    }
}

/// The operator of [`Stream::accumulate`].
struct Accumulate<A, F> {
    init: A,
    f: F,
    result: Slot<A>,
}

impl<T, A: Clone + Send, F: FnMut(&mut A, T) + Send> SerialOp<T> for Accumulate<A, F> {
    type Out = Infallible;
    type State = A;
    const IS_SINK: bool = true;
    fn begin(&mut self) -> A {
        self.init.clone()
    }
    #[inline]
    fn item(&mut self, state: &mut A, item: T, _: &mut Vec<Infallible>) -> ControlFlow<Stop> {
        (self.f)(state, item);
        ControlFlow::Continue(())
    }
    fn end(&mut self, state: A, _: &mut Vec<Infallible>) {
        put(&self.result, Some(state));
    }
}
