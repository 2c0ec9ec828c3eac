//! Live sources: how they are woken, and how they hear what has been done.
//!
//! A live source may have nothing now. Then its turn lies at a bell ([`crate::sync::bell`]), and a unit of the run is outside
//! ([`crate::sync::quiescence`]): so the run goes on though it has no job. Whoever rings makes the unit a token, and
//! queues the issue job on it. A source that sleeps for lack of credits leaves nothing outside: it can be woken by the
//! run itself alone, and if nothing else goes on there the run has stalled.
//!
//! # What was done
//! A place that comes back says that all that came of its batch has been done. The holder of the turn takes the places
//! out of the credit list, puts their batches in order ([`Done`]), and tells the source up to which item all has been
//! done. So a source that wants to hear is also woken when a place comes back. After its end it sleeps in the credit
//! list until all places are back.
//!
//! A batch that was dropped behind a failure gives its place back, too. Who drops it has seen the cut of its sequence
//! before, so the holder of the turn sees the cut, and tells nothing more.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{self, Waker};

use super::errand::Errand;
use crate::pool::Shared;
use crate::pool::work::job::Job;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::bell::Bell;
use crate::sync::credit::IssueJob;

/// Wakes a live source: makes the run [pull](crate::Live::pull) it again.
///
/// Any thread may call [`wake`](Self::wake), at any time, also from inside `pull` or `done`, and after the run has
/// ended. Clones wake the same source.
///
/// It becomes a [`Waker`], so that a source can wait for what an executor's tasks wait for:
///
/// ```
/// use std::task::{Context, Poll};
///
/// use millstream::{Graph, Live, Pool, Pull, Wake};
/// use tokio::sync::mpsc::{Receiver, channel};
///
/// struct Numbers(Receiver<u64>);
///
/// impl Live for Numbers {
///     type Item = u64;
///     fn pull(&mut self, wake: &Wake) -> Result<Pull<u64>, Box<dyn std::error::Error + Send + Sync>> {
///         let waker = wake.clone().into();
///         Ok(match self.0.poll_recv(&mut Context::from_waker(&waker)) {
///             Poll::Ready(Some(number)) => Pull::Item(number),
///             Poll::Ready(None) => Pull::End,
///             Poll::Pending => Pull::Pending,
///         })
///     }
/// }
///
/// let (pool, g) = (Pool::new()?, Graph::new());
/// let (sender, numbers) = channel(16);
/// let sum = g.live(Numbers(numbers)).sum::<u64>();
/// let running = g.plan(&pool)?.start();
/// (1..=10).for_each(|number| sender.blocking_send(number).expect("the graph runs"));
/// drop(sender);
/// assert_eq!(running.join()?.take(sum), 55);
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone)]
pub struct Wake(Arc<Waking>);

struct Waking {
    bell: Bell,
    pool: Arc<Shared>,
    /// The issue job of the source, or the job of a stage that waits. It may be queued only by the thread that rang and
    /// found somebody asleep: then a unit outside keeps the run alive.
    job: Job,
}

#[expect(unsafe_code, reason = "keeps a job that leads to a run")]
// SAFETY: (1) jobs may go from thread to thread; (2) the job is only copied, and queued as its field says.
unsafe impl Sync for Waking {}

impl Wake {
    pub(in crate::run) fn new(pool: &Arc<Shared>, job: Job) -> Self {
        Self(Arc::new(Waking { bell: Bell::new(), pool: Arc::clone(pool), job }))
    }

    /// Says that the source may have items now. It costs two atomic operations, and some microseconds if the source sleeps.
    pub fn wake(&self) {
        if self.ring() == IssueJob::Slept {
            Errand::new(&self.0.pool, self.0.job).go();
        }
    }

    /// Rings. If the source slept, the caller must queue its issue job, on the unit that is outside.
    pub(in crate::run) fn ring(&self) -> IssueJob {
        self.0.bell.ring()
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.0.bell
    }
}

impl task::Wake for Waking {
    fn wake(self: Arc<Self>) {
        Wake(self).wake();
    }
}

impl From<Wake> for Waker {
    fn from(wake: Wake) -> Self {
        wake.0.into()
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}

/// Whether a live source wants to hear soon what has been done. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Hears(Arc<AtomicBool>);

impl Hears {
    pub(crate) fn new(hears: bool) -> Self {
        Self(Arc::new(AtomicBool::new(hears)))
    }

    /// From now on it wants to.
    pub(crate) fn begin(&self) {
        // Relaxed: what the source is given after this, under a lock, brings it along.
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Which batches of a source have been done, in the order of their numbers.
#[derive(Debug, Default)]
pub(in crate::run) struct Done {
    /// The number of the first batch that has not been done, or that nobody has heard of.
    first: u64,
    /// For that batch and those after it: how many items the source had given with it, and whether it has been done.
    batches: VecDeque<(u64, bool)>,
    /// How many items the source was told.
    told: u64,
}

impl Done {
    /// The next batch was issued; `items` is how many the source has given with it.
    pub(in crate::run) fn issued(&mut self, items: u64) {
        self.batches.push_back((items, false));
    }

    /// The batch with this number has been done.
    pub(in crate::run) fn done(&mut self, number: u64) {
        let at = usize::try_from(number - self.first).expect("as many as places");
        self.batches[at].1 = true;
    }

    /// Up to how many items all has been done, if that was not told before.
    pub(in crate::run) fn news(&mut self) -> Option<u64> {
        let mut items = self.told;
        while let Some(&(given, true)) = self.batches.front() {
            self.batches.pop_front();
            self.first += 1;
            items = given;
        }
        let is_new = items > self.told;
        self.told = items;
        is_new.then_some(items)
    }

    /// Whether all batches have been done.
    pub(in crate::run) fn is_complete(&self) -> bool {
        self.batches.is_empty()
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_in_order() {
        let mut done = Done::default();
        [4, 4, 10].into_iter().for_each(|items| done.issued(items)); // the second batch is empty
        done.done(2);
        assert_eq!(done.news(), None);
        done.done(0);
        assert_eq!(done.news(), Some(4));
        done.done(1);
        assert_eq!((done.news(), done.news()), (Some(10), None));
        assert!(done.is_complete());
    }
}
