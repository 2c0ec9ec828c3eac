//! `try_map_ref` and `retry`: replace every item by what is made of a reference to it, or fail, after some more tries.

use crate::engine::op::{Emit, FusedOp, IntoFailure, Makes, Op, Retries};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::run::tally::Retried;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces every item by what `f` makes of a reference to it, or fails the run if that is an error, as
    /// [`try_map`](Self::try_map) does. Fuses; runs on all workers at once.
    ///
    /// As the item is still there when `f` has failed, [`retry`](Self::retry) can have `f` called again. The first error
    /// in stream order counts. The item is dropped when `f` has succeeded, or has failed for the last time.
    ///
    /// # Errors
    /// The run ends as [`Failed`](crate::RunErrorKind::Failed), with the error of the last call as its source.
    ///
    /// # Panics
    /// A panic of `f` ends the run at once, as in [`try_map`](Self::try_map): it is not tried again.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let numbers = g.source(["1", "2", "x"]).try_map_ref(|text| text.parse::<u32>()).collect();
    /// let error = pool.run(g).err().expect("x is no number");
    /// assert_eq!(error.as_run().and_then(|run| run.item()), Some(2));
    /// # drop(numbers);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn try_map_ref<U, E, F>(self, f: F) -> Stream<'env, U, impl Retries<Out = U>>
    where
        F: Fn(&T) -> Result<U, E> + Send + Sync + 'env,
        E: IntoFailure,
    {
        let retried = Retried::new();
        let stream = self.fuse("try_map_ref", TryMapRef { f, retries: 0, retried: retried.clone() });
        stream.counts_retries(retried);
        stream
    }
}

impl<T, P> Stream<'_, T, P> {
    /// Has the closure of the operator just before this called again for an item on which it fails: up to `times`
    /// times, at once. Without it, the first error ends the run.
    ///
    /// The worker does not wait between calls, so this is for what may succeed the next moment. The error of the last
    /// call is the run's error; the others are dropped. The report says
    /// [how often](crate::OperatorReport::retries) the closure was called again.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let calls = AtomicU32::new(0);
    /// let flaky = |x: &u32| if calls.fetch_add(1, Ordering::Relaxed) % 3 == 2 { Ok(10 * x) } else { Err("busy") };
    /// let g = Graph::new();
    /// let made = g.source([1, 2]).batch_size(2).try_map_ref(flaky).retry(2).named("ask").collect();
    /// let mut run = pool.run(g)?;
    /// assert_eq!(run.take(made), [10, 20]);
    /// assert_eq!(run.report().operator("ask").map(|ask| ask.retries()), Some(4));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn retry(self, times: u32) -> Self
    where
        P: Retries,
    {
        self.with_pipe("retry", |pipe| pipe.set_retries(times))
    }
}

/// The operator of [`Stream::try_map_ref`].
struct TryMapRef<F> {
    f: F,
    /// How often it is called again for one item, at most.
    retries: u32,
    /// How often it was called again in this run.
    retried: Retried,
}

impl<T, U, E, F> FusedOp<T> for TryMapRef<F>
where
    E: IntoFailure,
    F: Fn(&T) -> Result<U, E> + Send + Sync,
{
    type Out = U;
    type Batch<'a>
        = ()
    where
        Self: 'a;
    const MAKES: Makes = Makes::One;
    const FAILS: bool = true;
    fn begin(&self) {}
    #[inline]
    fn item(&self, (): &mut (), item: T, out: &mut impl Emit<U>) {
        let mut left = self.retries;
        loop {
            match (self.f)(&item) {
                Ok(made) => return out.emit(made),
                Err(error) if left == 0 => return out.fail(error.into()),
                Err(_) => left -= 1,
            }
            self.retried.count();
        }
    }
}

impl<U, P, F> Retries for Op<P, TryMapRef<F>>
where
    Self: Pipe<Out = U>,
{
    fn set_retries(&mut self, times: u32) {
        self.op_mut().retries = times;
    }
}
