//! How often what fails is tried again, and how long that may take.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::engine::op::IntoFailure;
use crate::run::cancel::BoxedError;
use crate::run::outside::clock::Pause;

/// How often an operation on an item is tried again if it fails, after which pauses, and how long each attempt may take.
///
/// No worker waits meanwhile. An item that waits to be tried again counts as worked on, so it takes one of the places that
/// the operator's limit allows. The error of the last attempt is the run's. A panic is not tried again.
///
/// ```
/// use std::time::Duration;
///
/// use millstream::Retry;
///
/// // At most four attempts of two seconds, with pauses of 100, 200, and 250 ms.
/// let retry = Retry::times(3)
///     .backoff(Duration::from_millis(100))
///     .at_most(Duration::from_millis(250))
///     .timeout(Duration::from_secs(2));
/// assert_eq!(format!("{retry:?}"), "Retry { times: 3, pause: 100ms, longest: 250ms, timeout: Some(2s) }");
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Retry {
    times: u32,
    pause: Duration,
    longest: Duration,
    timeout: Option<Duration>,
}

impl Retry {
    /// Tries again up to `times` times, at once.
    pub fn times(times: u32) -> Self {
        Self { times, pause: Duration::ZERO, longest: Duration::from_secs(30), timeout: None }
    }

    /// Pauses so long before the second attempt, and before each further one twice as long as before the last one, up to
    /// 30 seconds.
    pub fn backoff(self, first: Duration) -> Self {
        Self { pause: first, ..self }
    }

    /// Lets no pause take longer than this, in place of 30 seconds.
    pub fn at_most(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// Drops an attempt that takes longer than this. It has failed then, with an [`io::Error`] of the kind
    /// [`TimedOut`](io::ErrorKind::TimedOut). An attempt that awaits a task of another executor may have to end that
    /// task itself: dropping tokio's `JoinHandle` lets its task go on.
    pub fn timeout(self, attempt: Duration) -> Self {
        Self { timeout: Some(attempt), ..self }
    }

    /// Whether attempts end when their time is up.
    pub(crate) fn has_timeout(&self) -> bool {
        self.timeout.is_some()
    }

    /// Calls `attempt` as often as this says, and awaits what it gives: for a future that is to give its error to the next
    /// operator, not to the run. Any executor may poll it.
    ///
    /// # Errors
    /// The error of the last attempt; or that the system refuses the thread that watches the clock.
    ///
    /// # Panics
    /// If `attempt` or its future does.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{Graph, Pool, Retry};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// async fn fetch(id: u32) -> Result<u32, String> {
    ///     if id == 2 { Err(String::from("no such page")) } else { Ok(10 * id) }
    /// }
    ///
    /// let (g, retry) = (Graph::new(), Retry::times(2).backoff(Duration::from_millis(1)));
    /// let answers = g.source(1..=3).map_async(32, |id| async move { (id, retry.run(|| fetch(id)).await) });
    /// let lines = answers.map(|(id, answer)| match answer {
    ///     Ok(page) => format!("{id}: {page}"),
    ///     Err(error) => format!("{id} failed: {error}"),
    /// });
    /// let lines = lines.collect();
    /// assert_eq!(pool.run(g)?.take(lines), ["1: 10", "2 failed: no such page", "3: 30"]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub async fn run<U, E, A>(self, mut attempt: impl FnMut() -> A) -> Result<U, Box<dyn Error + Send + Sync>>
    where
        E: IntoFailure,
        A: Future<Output = Result<U, E>>,
    {
        let mut pause = self.pause;
        for _ in 0..self.times {
            if let Ok(made) = self.attempt(attempt()).await {
                return Ok(made);
            }
            if pause.is_zero() {
                give_way().await; // so that somebody can find out that the item is not wanted any more
            } else {
                Pause::new(pause.min(self.longest)).await?;
                pause = pause.saturating_mul(2);
            }
        }
        self.attempt(attempt()).await
    }

    /// One attempt.
    async fn attempt<U, E, A>(self, attempt: A) -> Result<U, BoxedError>
    where
        E: IntoFailure,
        A: Future<Output = Result<U, E>>,
    {
        let Some(time) = self.timeout else { return attempt.await.map_err(Into::into) };
        let (mut attempt, mut end) = (pin!(attempt), pin!(Pause::new(time)));
        std::future::poll_fn(|context| {
            if let Poll::Ready(result) = attempt.as_mut().poll(context) {
                return Poll::Ready(result.map_err(Into::into));
            }
            end.as_mut().poll(context).map(|end| {
                end?;
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("an attempt took longer than {time:?}")).into())
            })
        })
        .await
    }
}

/// Has nothing when it is polled first, and is to be polled again.
async fn give_way() {
    let mut has_given_way = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut has_given_way, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
