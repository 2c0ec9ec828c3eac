//! A pool that can be kept and given away. It does not keep the pool's threads alive.

use std::fmt;
use std::sync::Arc;

use super::placement::register::Claim;
use super::{Pool, Scope};
use crate::error::Closed;

/// A pool, for threads and closures that cannot borrow it.
///
/// It has the pool's most used methods, which give [`Closed`] once the pool is being dropped, and [`with`](Self::with)
/// for all others. It does not keep the pool open. Dropping the pool waits for what handles have begun, and then ends
/// its threads.
///
/// ```
/// use millstream::{Closed, Pool};
///
/// let pool = Pool::new()?;
/// let handle = pool.handle();
/// let elsewhere = std::thread::spawn(move || (handle.join(|| 1, || 2), handle));
/// let (both, handle) = elsewhere.join().expect("no panic");
/// assert_eq!(both, Ok((1, 2)));
/// drop(pool);
/// assert_eq!(handle.join(|| 1, || 2), Err(Closed));
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone)]
pub struct PoolHandle {
    /// Not the owner of the threads: its drop closes nothing.
    pool: Arc<Pool>,
}

impl Pool {
    /// Gives a pool that can be kept and given away; see [`PoolHandle`].
    #[must_use]
    pub fn handle(&self) -> PoolHandle {
        let pool = Self {
            shared: Arc::clone(&self.shared),
            threads: Vec::new(),
            placement: Arc::clone(&self.placement),
            topology: Arc::clone(&self.topology),
            watcher: None,
            _claim: Claim::default(),
            closes: false,
        };
        PoolHandle { pool: Arc::new(pool) }
    }
}

impl PoolHandle {
    /// Does `work` with the pool, which stays open meanwhile: dropping the pool waits for `work`.
    ///
    /// The other methods do the same for one call each. Each call takes a lock for a moment, at its begin and at its
    /// end: a recursion is cheaper inside one `with`.
    ///
    /// # Errors
    /// If the pool was dropped, or this is a child process that was forked after the pool was made. Then `work` is not
    /// called.
    ///
    /// ```
    /// fn fib(pool: &millstream::Pool, n: u64) -> u64 {
    ///     if n < 2 {
    ///         return n;
    ///     }
    ///     let (a, b) = pool.join(|| fib(pool, n - 1), || fib(pool, n - 2));
    ///     a + b
    /// }
    ///
    /// let pool = millstream::Pool::new()?;
    /// let handle = pool.handle();
    /// assert_eq!(handle.with(|pool| fib(pool, 15))?, 610);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn with<R>(&self, work: impl FnOnce(&Pool) -> R) -> Result<R, Closed> {
        self.pool.shared.visit(|| work(&self.pool)).ok_or(Closed)
    }

    /// Calls both closures, as [`Pool::join`] does.
    ///
    /// # Errors
    /// As [`with`](Self::with). Then no closure is called.
    pub fn join<A, B, RA, RB>(&self, first: A, second: B) -> Result<(RA, RB), Closed>
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        self.with(|pool| pool.join(first, second))
    }

    /// Calls `body` with a scope, as [`Pool::scope`] does.
    ///
    /// # Errors
    /// As [`with`](Self::with). Then `body` is not called.
    pub fn scope<'scope, R: Send>(&self, body: impl FnOnce(&Scope<'scope, '_>) -> R + Send) -> Result<R, Closed> {
        self.with(|pool| pool.scope(body))
    }

    /// Lets a worker call `work` later, as [`Pool::spawn`] does.
    ///
    /// # Errors
    /// As [`with`](Self::with). Then `work` is dropped without being called.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) -> Result<(), Closed> {
        self.with(|pool| pool.spawn(work))
    }

    /// Calls `work` once on every worker, as [`Pool::broadcast`] does.
    ///
    /// # Errors
    /// As [`with`](Self::with). Then `work` is not called.
    pub fn broadcast<R: Send>(&self, work: impl Fn(usize) -> R + Sync) -> Result<Vec<R>, Closed> {
        self.with(|pool| pool.broadcast(work))
    }

    /// Calls `work`, which may block, as [`Pool::block_in_place`] does. Dropping the pool waits for `work`.
    ///
    /// # Errors
    /// As [`with`](Self::with). Then `work` is not called.
    pub fn block_in_place<R>(&self, work: impl FnOnce() -> R) -> Result<R, Closed> {
        self.with(|pool| pool.block_in_place(work))
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolHandle").field("workers", &self.pool.workers()).finish_non_exhaustive()
    }
}
