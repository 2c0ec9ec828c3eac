//! `map_async` and `try_map_async`: replace every item by what a future makes of it.

use std::future::Future;
use std::sync::Arc;

use crate::engine::edge::Edge;
use crate::engine::op::IntoFailure;
use crate::engine::outside::futures::Futures;
use crate::engine::pipe::Pipe;
use crate::graph::{Retry, Stream};
use crate::run::cancel::BoxedError;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces every item by what the future makes that `f` gives for it. Up to `limit` futures are under way at once, and
    /// no worker waits for any of them. What they make goes on in stream order. Stage boundary before and after it.
    ///
    /// Workers poll the futures when they are woken. Futures of any executor will do, if they may be polled by threads that
    /// are not the executor's; those that need its threads are spawned there, and their handles awaited:
    /// `.map_async(64, move |url| tokio.spawn(fetch(url)))`. Without that, sockets and timers of tokio panic: "there is no
    /// reactor running". Dropping tokio's `JoinHandle` lets its task go on, beside those that `limit` counts. Futures begin
    /// in stream order. A future that computes keeps its worker meanwhile; one that wakes itself is polled again behind all
    /// else that its worker has to do.
    ///
    /// If the stream goes on in one line to a sink that takes one item at a time, such as [`output`](Self::output) or
    /// [`for_each_ordered`](Self::for_each_ordered), what is done goes on as soon as what comes before it is done. Elsewhere,
    /// as before a [`reduce`](Self::reduce), it waits for its batch: when what is done must not decide the answer. To
    /// let batches overtake each other put [`unordered`](Self::unordered) behind it. A batch has all of its items under way
    /// before the next one begins; the source has a credit for each future at least.
    ///
    /// # Panics
    /// If `f` or a future panics, the run fails at that item. If the run fails or is cancelled, or nobody wants further
    /// items, the futures that are not needed any more are dropped.
    ///
    /// # Errors
    /// A `limit` of 0 is an error when the graph is planned.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let tokio = tokio::runtime::Runtime::new()?;
    /// let g = Graph::new();
    /// let answers = g.source(1..=3_u64).map_async(16, |id| {
    ///     let answer = tokio.spawn(async move {
    ///         tokio::time::sleep(std::time::Duration::from_millis(10 / id)).await; // the first one is the last to come
    ///         format!("answer {id}")
    ///     });
    ///     async { answer.await.expect("it does not panic") }
    /// });
    /// let all = answers.collect();
    /// assert_eq!(pool.run(g)?.take(all), ["answer 1", "answer 2", "answer 3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn map_async<A, F>(self, limit: usize, f: F) -> Stream<'env, A::Output, impl Pipe<Out = A::Output>>
    where
        A: Future<Output: Send + 'env> + Send + 'env,
        F: Fn(T) -> A + Send + Sync + 'env,
    {
        self.in_futures("map_async", limit, move |item| {
            let made = f(item);
            async move { Ok(made.await) }
        })
    }

    /// As [`map_async`](Self::map_async), but the run fails if a future gives an error. The first error in stream order
    /// counts: the run ends as [`Failed`](crate::RunErrorKind::Failed), with that error as its source.
    ///
    /// ```
    /// # use millstream::{Graph, Pool, RunErrorKind};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let parsed = g.source(["1", "two", "3"]).try_map_async(8, |text| async move { text.parse::<u32>() });
    /// let sum = parsed.sum::<u32>();
    /// let mut plan = g.plan(&pool)?;
    /// let error = plan.run().expect_err("two is no number");
    /// assert_eq!((error.kind(), error.item()), (&RunErrorKind::Failed, Some(1)));
    /// assert!(plan.try_get(&sum).is_none());
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn try_map_async<U, E, A, F>(self, limit: usize, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        U: Send + 'env,
        E: IntoFailure + 'env,
        A: Future<Output = Result<U, E>> + Send + 'env,
        F: Fn(T) -> A + Send + Sync + 'env,
    {
        self.in_futures("try_map_async", limit, move |item| {
            let made = f(item);
            async move { made.await.map_err(Into::into) }
        })
    }

    /// As [`try_map_async`](Self::try_map_async), but an item is tried again as `retry` says. `f` gets the item by reference,
    /// once for each attempt; its future must not borrow it. To keep an item that fails, and go on, use
    /// [`map_async`](Self::map_async) with [`Retry::run`].
    ///
    /// A task of tokio gives a result in a result:
    ///
    /// ```
    /// # use millstream::{Graph, Pool, Retry};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// # async fn fetch(url: String) -> std::io::Result<String> { Ok(url) }
    /// let tokio = tokio::runtime::Runtime::new()?;
    /// let (g, urls) = (Graph::new(), ["/one", "/two"].map(String::from));
    /// let pages = g.source(urls).try_map_async_with(32, Retry::times(2), |url| {
    ///     let task = tokio.spawn(fetch(url.clone()));
    ///     async move { Ok::<_, Box<dyn std::error::Error + Send + Sync>>(task.await??) }
    /// });
    /// let pages = pages.collect();
    /// assert_eq!(pool.run(g)?.take(pages), ["/one", "/two"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// ```
    /// # use std::sync::atomic::{AtomicU32, Ordering};
    /// # use std::time::Duration;
    /// # use millstream::{Graph, Pool, Retry};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let (g, asked) = (Graph::new(), AtomicU32::new(0));
    /// let retry = Retry::times(2).backoff(Duration::from_millis(1)).timeout(Duration::from_secs(1));
    /// let answers = g.source(["hello"]).try_map_async_with(8, retry, |name: &&str| {
    ///     let (nth, name) = (asked.fetch_add(1, Ordering::Relaxed), name.to_string());
    ///     async move { if nth < 2 { Err("busy") } else { Ok(name) } }
    /// });
    /// let all = answers.collect();
    /// assert_eq!(pool.run(g)?.take(all), ["hello"]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn try_map_async_with<U, E, A, F>(self, limit: usize, retry: Retry, f: F) -> Stream<'env, U, impl Pipe<Out = U>>
    where
        T: Sync,
        U: Send + 'env,
        E: IntoFailure + Send + 'env,
        A: Future<Output = Result<U, E>> + Send + 'env,
        F: Fn(&T) -> A + Send + Sync + 'env,
    {
        let f = Arc::new(f);
        self.in_futures("try_map_async_with", limit, move |item| {
            let f = Arc::clone(&f);
            async move { retry.run(|| f(&item)).await }
        })
    }

    /// Sends the items through an operator that makes a future of each, at most `limit` at once.
    #[track_caller]
    pub(super) fn in_futures<U, A, F>(
        self,
        method: &'static str,
        limit: usize,
        make: F,
    ) -> Stream<'env, U, impl Pipe<Out = U> + use<'env, T, P, U, A, F>>
    where
        U: Send + 'env,
        A: Future<Output = Result<U, BoxedError>> + Send + 'env,
        F: Fn(T) -> A + Send + Sync + 'env,
    {
        let out = Arc::new(Edge::new());
        let stream = self.through(method, Futures::new(limit, make, Arc::clone(&out)), out);
        stream.goes_elsewhere(limit).refuse_if(limit == 0, "a limit of 0: at least 1 item at once")
    }
}
