//! A job that lies outside the pool's queues.

use std::fmt;
use std::sync::Arc;

use crate::pool::Shared;
use crate::pool::work::job::Job;

/// A job that somebody outside queues. Until then a unit outside ([`crate::sync::quiescence`]) keeps its run alive.
pub(crate) struct Errand {
    pool: Arc<Shared>,
    job: Job,
}

impl Errand {
    /// Its unit is outside already.
    pub(crate) fn new(pool: &Arc<Shared>, job: Job) -> Self {
        Self { pool: Arc::clone(pool), job }
    }

    /// Queues the job: its unit becomes its token. In a child process there is nobody to do it.
    pub(crate) fn go(self) {
        if !self.pool.is_forked() {
            come_in(&self.job);
            self.pool.inject(self.job);
        }
    }
}

/// Makes the unit that lies outside for this job its token.
pub(in crate::run) fn come_in(job: &Job) {
    let Some(group) = job.group() else { return };
    #[expect(unsafe_code, reason = "reaches the group of a job")]
    // SAFETY: the unit keeps the group alive, and becomes a token of this thread.
    unsafe {
        group.as_ref().tokens.come_in();
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Errand")
    }
}
