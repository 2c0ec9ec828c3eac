//! Follows what the process may use, while an elastic pool lives.
//!
//! A thread of its own, the watcher, reads the process's affinity mask and CPU quota every [`PERIOD`]. They decide how
//! many workers may be active ([`Shared::set_active`]). A worker that is too many publishes its private jobs and parks
//! after its current job. A worker that may be active again is woken if there is work. When the mask changes, a worker
//! that was bound keeps to those of its CPUs that are left, or to the whole mask if none is. The others keep to the
//! mask.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::pool::Shared;
use crate::pool::placement::Placement;
use crate::sync::{Condvar, Mutex, thread};
use crate::topology::{Usable, bind, parallelism};

/// How long the watcher sleeps between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// What the watcher compares, and what it changes.
#[derive(Debug)]
pub(in crate::pool) struct Watch {
    /// Where the system's files are.
    pub(in crate::pool) root: PathBuf,
    pub(in crate::pool) shared: Arc<Shared>,
    /// Where the workers are now.
    pub(in crate::pool) placement: Arc<Mutex<Placement>>,
    /// Where they were asked to be when the pool was made.
    pub(in crate::pool) asked: Placement,
    /// The workers' threads, by number.
    pub(in crate::pool) threads: Vec<bind::Thread>,
    pub(in crate::pool) oversubscribe: bool,
    /// What was found at the last look.
    pub(in crate::pool) last: Usable,
}

impl Watch {
    /// Looks once, and follows what has changed.
    pub(in crate::pool) fn look(&mut self) {
        let Some(now) = Usable::read(&self.root).filter(|now| *now != self.last) else { return };
        if now.cpus != self.last.cpus {
            for (asked, thread) in self.asked.workers().iter().zip(&self.threads) {
                let left = asked.cpus().map(|cpus| cpus.intersection(&now.cpus)).filter(|left| !left.is_empty());
                let cpus = left.unwrap_or_else(|| now.cpus.clone());
                let bound = thread.bind(&cpus);
                let is_on_one = bound.is_ok() && cpus.len() == 1;
                self.shared.seats[asked.worker()].move_to(cpus.first().filter(|_| is_on_one));
                self.placement.lock().moved(asked, &cpus, bound);
            }
            self.shared.sleep.wake_all(); // a worker that goes to sleep again says on which CPU it is now
        }
        if !self.oversubscribe {
            let active = parallelism(&now.cpus, now.quota).min(self.asked.workers().len());
            self.placement.lock().set_active(active);
            self.shared.set_active(active);
        }
        self.last = now;
    }
}

/// The watcher's thread. It ends at once when this is dropped.
#[derive(Debug)]
pub(in crate::pool) struct Watcher {
    end: Arc<End>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Whether the watcher is to end.
#[derive(Debug, Default)]
struct End {
    has_come: Mutex<bool>,
    told: Condvar,
}

impl Watcher {
    pub(in crate::pool) fn start(name: &str, mut watch: Watch) -> io::Result<Self> {
        let end = Arc::new(End::default());
        let ended = Arc::clone(&end);
        let body = move || {
            let mut has_come = ended.has_come.lock();
            while !*has_come {
                watch.look();
                has_come = ended.told.wait_for(has_come, &ended.has_come, PERIOD);
            }
        };
        let thread = thread::Builder::new().name(format!("{name}-watch")).spawn(body)?;
        Ok(Self { end, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        *self.end.has_come.lock() = true;
        self.end.told.notify_one();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the watcher does not unwind");
        }
    }
}
