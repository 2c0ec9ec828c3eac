//! A job that lies outside the pool's queues, with its token.

use std::fmt;
use std::sync::Arc;

use crate::pool::Shared;
use crate::pool::work::job::Job;

/// A job with its token: until somebody queues it, it keeps the run alive.
pub(crate) struct Errand {
    pool: Arc<Shared>,
    job: Job,
}

impl Errand {
    /// The token of the job is taken already.
    pub(crate) fn new(pool: &Arc<Shared>, job: Job) -> Self {
        Self { pool: Arc::clone(pool), job }
    }

    /// Queues the job. In a child process there is nobody to do it.
    pub(crate) fn go(self) {
        if !self.pool.is_forked() {
            self.pool.inject(self.job);
        }
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Errand")
    }
}
