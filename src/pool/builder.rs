//! Options for a pool.

use std::sync::{Arc, mpsc};

use super::placement::{Pinning, Placement};
use super::worker::Worker;
use super::{Pool, Shared};
use crate::error::{Error, PoolError};
use crate::sync::event_count::MAX_THREADS;
use crate::sync::thread;
use crate::topology::{Topology, bind};

/// Options for a [`Pool`].
///
/// ```
/// let pool = millstream::Pool::builder().workers(2).name("render").build()?;
/// assert_eq!(pool.workers(), 2);
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "`build` makes the pool"]
pub struct Builder {
    workers: Option<usize>,
    pinning: Pinning,
    name: String,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { workers: None, pinning: Pinning::Auto, name: "millstream".to_owned() }
    }

    /// How many workers; without it one for every core that this process may use.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Which workers are bound to CPUs; [`Pinning::Auto`] without it.
    pub fn pinning(mut self, pinning: Pinning) -> Self {
        self.pinning = pinning;
        self
    }

    /// What the threads are called, before their number: `millstream` without it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Makes the pool and waits until its threads run.
    ///
    /// # Errors
    /// If there are no workers, or more than 32 000, or a name that a thread cannot have, or if the system refuses a
    /// thread; then no thread is left. A binding that the system refuses is no error: see [`Pool::placement`].
    pub fn build(self) -> Result<Pool, Error> {
        let topology = Topology::detect()?;
        let workers = self.workers.unwrap_or(topology.cores().len());
        if workers == 0 || workers > MAX_THREADS - super::GUESTS {
            return Err(PoolError::workers(workers, MAX_THREADS - super::GUESTS).into());
        }
        if self.name.contains('\0') {
            return Err(PoolError::name(&self.name).into());
        }
        let placement = Placement::decide(self.pinning, workers, &topology);
        let mut pool = Pool { shared: Arc::new(Shared::new(workers)), threads: Vec::with_capacity(workers), placement };
        let (report, reports) = mpsc::channel();
        for worker in 0..workers {
            let (shared, report) = (Arc::clone(&pool.shared), report.clone());
            let cpu = pool.placement.workers()[worker].cpu();
            let body = move || {
                let bound = cpu.map_or(Ok(()), bind::bind_current_thread);
                let _ = report.send((worker, bound)); // nobody listens if a later thread failed to start
                drop(report);
                Worker::at(&shared, &shared.seats[worker], Worker::live);
            };
            let thread = thread::Builder::new().name(format!("{}-{worker}", self.name)).spawn(body);
            pool.threads.push(thread.map_err(|error| PoolError::thread(worker, error))?);
        }
        drop(report);
        for (worker, bound) in reports {
            if let Err(why) = bound {
                pool.placement.refuse(worker, why);
            }
        }
        Ok(pool)
    }
}

/// A pool without threads of its own: the checker's driver lets its virtual workers live.
#[cfg(all(test, not(loom)))]
pub(crate) fn without_threads(workers: usize) -> Pool {
    let topology = Topology::detect().expect("some CPU");
    let placement = Placement::decide(Pinning::Off, workers, &topology);
    Pool { shared: Arc::new(Shared::new(workers)), threads: Vec::new(), placement }
}
