//! The threads, and what they share.
//!
//! A [`Pool`] owns worker threads that take jobs from each other and from outside ([`work`]), and sleep when there are none
//! ([`crate::sync::event_count`]). A thread from outside that waits for something takes a guest seat and works for just
//! that.
//!
//! # Where to read on
//! | what a pool does | where |
//! |---|---|
//! | queues, finds and runs jobs | [`work`]: seats, workers, how jobs come to others |
//! | two closures at once | [`join`]; any number, [`scope`]; that nobody waits for, [`spawn`]; on every worker, [`broadcast`] |
//! | items by number | [`loops`] |
//! | where workers sit, and why | [`placement`], from the options in [`builder`] |
//! | who works while somebody blocks, and when the machine changes | [`threads`] |
//! | what the threads share, and how one from outside comes in | [`shared`]; a pool to keep, [`handle`] |
//! | what a thread without a seat has a worker do | [`remote_call`] |
//! | the runs under way | [`runs`] |
//!
//! # Closing
//! (C1) No run may begin any more, and handles refuse; runs that are under way are cancelled. (C2) Wait until they have ended,
//! and what handles have begun has, too. (C3) Tell the workers to end once they find nothing, and wake them all. They look
//! again after they have read that: so all that was spawned is run. (C4) Join every thread, workers first, for they may still
//! make spares. If a thread of the pool's own, or one that is in a handle's call or in the middle of something else here, drops
//! it, nothing is waited for: the last one to end does (C3), and the threads end by themselves.

mod broadcast;
mod builder;
mod handle;
mod join;
pub(crate) mod loops;
mod placement;
mod remote_call;
mod runs;
mod scope;
mod shared;
mod spawn;
mod threads;
pub(crate) mod work;

use std::fmt;
use std::sync::Arc;

pub use builder::PoolBuilder;
#[cfg(all(test, not(loom)))]
pub(crate) use builder::without_threads;
pub use handle::PoolHandle;
pub use loops::indexed::{Indexed, Integer};
pub use placement::{Pinning, Placement, WorkerPlace};
pub use scope::Scope;
pub use work::patience::Idle;

use crate::sync::{Mutex, thread};
use crate::topology::Topology;
use placement::register::Claim;
pub(crate) use runs::ActiveRun;
use runs::Closing;
pub(crate) use shared::{GUESTS, Shared};
use threads::elastic::Watcher;
use work::worker::Worker;

/// Worker threads that run graphs, joins and scopes.
///
/// Each worker sits on a core of its own where that is possible ([`Pool::placement`]), keeps its work near, and steals
/// when it has none. An idle pool uses no CPU. Any number of threads may use a pool at once.
///
/// Whatever is queued is begun by any active worker that has nothing else to do, within 100 us in the median and 2 ms at worst
/// (and one wake-up), whatever the thread that queued it does meanwhile; for one exception see [`join`](Self::join).
///
/// Dropping it cancels the runs under way, lets all that was [spawned](Self::spawn) be called, and returns when all its
/// threads have ended; on a thread of its own it waits for nothing, and they end by themselves.
///
/// # Forks
/// The child of a `fork` has none of its parent's threads, so a pool made before is of no use there: runs fail with
/// [`RunErrorKind::Forked`](crate::RunErrorKind::Forked), handles give [`Closed`](crate::Closed), all other calls that need
/// the pool's threads panic and say why, and dropping it just forgets them. The child may make a pool of its own. A child that
/// was forked inside a job of the pool, or inside a scope, must not come back from there: what it would wait for may have been
/// under way on a thread that it does not have.
///
/// ```
/// use millstream::{Graph, Pool};
///
/// let pool = Pool::new()?;
/// let g = Graph::new();
/// let sum = g.range(0..1000_u64).map(|x| x * x).sum::<u64>();
/// assert_eq!(pool.run(g)?.take(sum), 332_833_500);
/// # Ok::<(), millstream::Error>(())
/// ```
pub struct Pool {
    pub(crate) shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
    placement: Arc<Mutex<Placement>>,
    topology: Arc<Topology>,
    /// Of an elastic pool.
    watcher: Option<Watcher>,
    /// Given up when the threads have ended.
    _claim: Claim,
    /// Its drop closes the pool: this is not just the pool that a [`PoolHandle`] gives.
    closes: bool,
}

impl Pool {
    /// A pool with one worker for every core that this process may use.
    ///
    /// # Errors
    /// If a thread cannot be made.
    pub fn new() -> Result<Self, crate::Error> {
        Self::builder().build()
    }

    /// Options for a pool.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::new()
    }

    /// How many workers the pool has.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.workers
    }

    /// Where the workers run, and why there; in an [elastic](PoolBuilder::elastic) pool, where they run now.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.placement.lock().clone()
    }

    /// A pool without threads yet.
    fn new_empty(shared: Arc<Shared>, placement: Placement, claim: Claim, topology: Arc<Topology>) -> Self {
        shared.plan_spawns();
        let placement = Arc::new(Mutex::new(placement));
        Self { shared, threads: Vec::new(), placement, topology, watcher: None, _claim: claim, closes: true }
    }

    /// The machine that the workers were placed on.
    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Ends the pool's threads: (C1) to (C4) of the module.
    fn close(&mut self) {
        if self.shared.is_forked() {
            return self.forget_threads();
        }
        self.watcher = None;
        let (shared, me) = (&self.shared, thread::current().id());
        let closed = shared.runs.close(|| Worker::is_inside(shared)); // (C1), (C2)
        if closed == Closing::WhenRunsEnd {
            return; // the last of them to end does (C3)
        }
        shared.idle.end(); // (C3)
        let mut threads = std::mem::take(&mut self.threads);
        while closed == Closing::FromOutside && !threads.is_empty() {
            for thread in threads.drain(..).filter(|thread| thread.thread().id() != me) {
                thread.join().expect("a worker thread does not unwind"); // (C4)
            }
            threads = shared.spares.take_threads();
        }
    }

    /// In a child process: its threads are not there to be told or waited for, and who has its locks may be one of them.
    fn forget_threads(&mut self) {
        std::mem::forget(std::mem::take(&mut self.threads));
        std::mem::forget(self.watcher.take());
        std::mem::forget(std::mem::take(&mut self._claim));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.closes {
            self.close();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.shared.workers).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
