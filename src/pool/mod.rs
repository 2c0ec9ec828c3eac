//! The threads, and what they share.
//!
//! A [`Pool`] owns worker threads. They take jobs from each other and from outside ([`work`]), and sleep when there
//! are none ([`crate::sync::event_count`]). A thread from outside that waits for something takes a guest seat, and
//! works only for what it waits for.
//!
//! # Where to read on
//! | what a pool does | where |
//! |---|---|
//! | queues, finds and runs jobs | [`work`]: seats, workers, how jobs come to others |
//! | two closures at once | [`join`] |
//! | any number of closures that borrow; that nobody waits for; on every worker | [`scope`]; [`spawn`]; [`broadcast`] |
//! | items by number | [`loops`] |
//! | where workers sit, and why | [`placement`], from the options in [`builder`] |
//! | which threads work while others block, and when the machine changes | [`threads`] |
//! | what the threads share; a pool to keep | [`shared`]; [`handle`] |
//! | how a thread from outside comes in, and what a worker does for one that found no seat | [`guests`]; [`remote_call`] |
//! | the runs under way | [`runs`] |
//!
//! # Closing
//! * (C1) No run may begin any more, and handles refuse. The runs under way are cancelled.
//! * (C2) The closing thread waits until the runs and the calls of handles have ended.
//! * (C3) It tells the workers to end once they find nothing, and wakes them all. A worker looks for jobs again after
//!   it has read this, so every spawned closure is run.
//! * (C4) It joins every thread, the workers first: a worker may still make compensating threads.
//!
//! The pool may be dropped by one of its own threads, or by a thread that is in a handle's call or has a run under
//! way. That thread must not wait for itself, so it skips the waiting of (C2) and (C4), and the pool's threads end by
//! themselves. If a run or a handle's call is still under way, the last of them to end does (C3). Otherwise the
//! dropping thread does it.

mod broadcast;
mod builder;
mod guests;
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
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

pub use builder::PoolBuilder;
#[cfg(any(feature = "check", all(test, not(loom))))]
pub(crate) use builder::without_threads;
#[cfg(all(test, coherence))]
pub(crate) use builder::without_threads_on;
pub use handle::PoolHandle;
pub use loops::indexed::{Indexed, Integer};
pub use placement::{Pinning, Placement, WorkerPlace};
pub use scope::Scope;
pub use work::patience::Idle;

use crate::sync::{Mutex, thread};
use crate::topology::Topology;
pub(crate) use guests::MOST_GUESTS;
use placement::register::Claim;
pub(crate) use runs::ActiveRun;
use runs::Closing;
pub(crate) use shared::Shared;
use threads::elastic::Watcher;
use work::worker::Worker;

/// Worker threads that run graphs, joins, scopes and loops.
///
/// Each worker sits on a core of its own where that is possible ([`Pool::placement`]), keeps its work near, and steals
/// when it has none. An idle pool uses no CPU. Any number of threads may use a pool at once.
///
/// An active worker that has nothing else to do begins a queued job within 100 us in the median and 2 ms at worst, and
/// one wake-up. What the thread that queued the job does meanwhile makes no difference; for one exception see
/// [`join`](Self::join).
///
/// Dropping a pool cancels the runs under way, lets every [spawned](Self::spawn) closure be called, waits for what
/// handles have begun, and returns when all threads of the pool have ended. Dropped on a thread of its own, or inside
/// a handle's call, it waits for nothing, and the threads end by themselves.
///
/// # Forks
/// The child of a `fork` has none of its parent's threads, so a pool made before the fork is of no use there. Runs
/// fail with [`RunErrorKind::Forked`](crate::RunErrorKind::Forked), handles give [`Closed`](crate::Closed), and all
/// other calls that need the pool's threads panic and say why. Dropping the pool there just forgets it. The child may
/// make a pool of its own.
///
/// A child that was forked inside a job of the pool, or inside a scope, must not return from there. It would wait for
/// jobs that may have been under way on threads that it does not have.
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
    /// Of an elastic pool alone.
    watcher: Option<Watcher>,
    /// The claimed CPUs. They are given up with the pool, when its threads have ended.
    _claim: Claim,
    /// Whether its drop closes the pool. The one inside a [`PoolHandle`] does not.
    closes: bool,
}

impl Pool {
    /// Makes a pool with one worker for every core that this process may use.
    ///
    /// # Errors
    /// If the machine cannot be read, or the system refuses a thread.
    pub fn new() -> Result<Self, crate::Error> {
        Self::builder().build()
    }

    /// Gives the options for a pool, each at its default.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::new()
    }

    /// How many workers the pool has, parked ones too.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.workers
    }

    /// Where the workers run, and why there. In an [elastic](PoolBuilder::elastic) pool: where they run now.
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
            return; // the last visitor to end does (C3)
        }
        shared.sleep.end(); // (C3)
        let mut threads = std::mem::take(&mut self.threads);
        while closed == Closing::FromOutside && !threads.is_empty() {
            for thread in threads.drain(..).filter(|thread| thread.thread().id() != me) {
                thread.join().expect("a worker thread does not unwind"); // (C4)
            }
            threads = shared.compensators.take_threads();
        }
    }

    /// In a child process the pool's threads cannot be told or waited for, and one of them may have held its locks.
    fn forget_threads(&mut self) {
        std::mem::forget(std::mem::take(&mut self.threads));
        std::mem::forget(self.watcher.take());
        std::mem::forget(std::mem::take(&mut self._claim));
    }
}

// Where user code panics, the pool is as before: no lock is held there, and each job is accounted for.
impl UnwindSafe for Pool {}
impl RefUnwindSafe for Pool {}

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

#[cfg(all(test, not(any(loom, coherence))))]
mod tests;
