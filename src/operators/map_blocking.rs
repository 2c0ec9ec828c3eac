//! `map_blocking` and `try_map_blocking`: replace every item, by calls that may block.

use std::sync::Arc;

use crate::engine::op::IntoFailure;
use crate::engine::pipe::Pipe;
use crate::graph::{Retry, Stream};
use crate::run::cancel::BoxedError;
use crate::run::outside::side::Call;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces every item by what `f` makes of it, where `f` may block: reads a file, asks a server, takes a lock that others
    /// hold for long. Up to `limit` calls are under way at once, each on a side thread, and none on a worker. What they make
    /// goes on in stream order. Stage boundary before and after it.
    ///
    /// Side threads come and go: there are as many as calls at once, for all graphs of the process together, and one that had
    /// nothing to do for five seconds ends. They are bound to no CPU. A call costs some 10 microseconds beside its own work:
    /// two threads are woken for it. All else is as in [`map_async`](Self::map_async).
    ///
    /// A call that is under way cannot be stopped. If the run fails or is cancelled, it ends when those calls have returned.
    ///
    /// # Panics
    /// If `f` panics, the run fails at that item.
    ///
    /// # Errors
    /// A `limit` of 0 is an error when the graph is planned. If the system refuses the first side thread, the run fails.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let lengths = g.source(["Cargo.toml", "README.md"]).map_blocking(8, |path| std::fs::read(path).map(|bytes| bytes.len()));
    /// let all = lengths.collect();
    /// assert!(pool.run(g)?.take(all).into_iter().all(|length| length.is_ok_and(|bytes| bytes > 100)));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn map_blocking<U, F>(self, limit: usize, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        U: Send + 'env,
        F: Fn(T) -> U + Send + Sync + 'env,
    {
        let f = Arc::new(f);
        self.in_futures("map_blocking", limit, move |item| {
            let f = Arc::clone(&f);
            async move { Ok(Call::new(move || f(item)).await?) }
        })
    }

    /// As [`map_blocking`](Self::map_blocking), but the run fails if `f` gives an error. The first error in stream order
    /// counts: the run ends as [`Failed`](crate::RunErrorKind::Failed), with that error as its source.
    #[track_caller]
    pub fn try_map_blocking<U, E, F>(self, limit: usize, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        U: Send + 'env,
        E: IntoFailure + Send + 'env,
        F: Fn(T) -> Result<U, E> + Send + Sync + 'env,
    {
        let f = Arc::new(f);
        self.in_futures("try_map_blocking", limit, move |item| {
            let f = Arc::clone(&f);
            async move { Call::new(move || f(item)).await?.map_err(Into::into) }
        })
    }

    /// As [`try_map_blocking`](Self::try_map_blocking), but an item is tried again as `retry` says. `f` gets the item by
    /// reference, once for each attempt. No thread waits between two attempts.
    ///
    /// # Errors
    /// A `retry` with a timeout is an error when the graph is planned: a call that blocks cannot be stopped. Give the time
    /// to what it calls.
    ///
    /// ```
    /// # use std::sync::atomic::{AtomicU32, Ordering};
    /// # use millstream::{Graph, Pool, Retry};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let (g, asked) = (Graph::new(), AtomicU32::new(0));
    /// let answers = g.source([7_u32]).try_map_blocking_with(1, Retry::times(1), |id| {
    ///     if asked.fetch_add(1, Ordering::Relaxed) == 0 { Err("busy") } else { Ok(id * 6) }
    /// });
    /// let all = answers.collect();
    /// assert_eq!(pool.run(g)?.take(all), [42]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn try_map_blocking_with<U, E, F>(self, limit: usize, retry: Retry, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        T: Sync,
        U: Send + 'env,
        E: IntoFailure + Send + 'env,
        F: Fn(&T) -> Result<U, E> + Send + Sync + 'env,
    {
        let f = Arc::new(f);
        let stream = self.in_futures("try_map_blocking_with", limit, move |item| {
            let f = Arc::clone(&f);
            let call = move || -> Result<U, BoxedError> { f(&item).map_err(Into::into) };
            async move { retry.run(|| async { Call::new(&call).await? }).await }
        });
        stream.refuse_if(retry.has_timeout(), "a retry with a timeout: a call that blocks cannot be stopped")
    }
}
