//! Where the workers run, and why there.

use std::fmt;

use crate::topology::Topology;

/// Which workers are bound to CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pinning {
    /// [`Cores`](Self::Cores) if the pool has a worker for every allowed core and no CPU quota is below the allowed
    /// CPUs, else [`Off`](Self::Off): with fewer workers, every such pool on a host would sit on the same first cores.
    #[default]
    Auto,
    /// Each worker on a core of its own, as far as there are cores.
    Cores,
    /// No worker is bound.
    Off,
}

/// Where a pool's workers run; see [`Pool::placement`](crate::Pool::placement).
#[derive(Clone, Debug)]
pub struct Placement {
    pinning: Pinning,
    reason: String,
    workers: Vec<WorkerPlace>,
}

/// Where one worker runs.
#[derive(Clone, Debug)]
pub struct WorkerPlace {
    worker: usize,
    cpu: Option<usize>,
    refused: Option<String>,
}

impl Placement {
    /// Decides for `workers` workers on `topology`.
    pub(super) fn decide(wanted: Pinning, workers: usize, topology: &Topology) -> Self {
        let cores = topology.cores();
        let cpus = topology.allowed_cpus().len();
        let short = topology.cpu_quota().filter(|quota| *quota < cpus as f64);
        let (pinning, reason) = match wanted {
            Pinning::Auto if cores.len() > workers => {
                (Pinning::Off, format!("{workers} workers for {} cores: the system spreads them", cores.len()))
            }
            Pinning::Auto if let Some(quota) = short => {
                (Pinning::Off, format!("a CPU quota of {quota:.2} is below the {cpus} allowed CPUs"))
            }
            Pinning::Auto => (Pinning::Cores, format!("a worker for each of {} cores, no quota", cores.len())),
            asked => (asked, "as asked for".to_owned()),
        };
        let place = |worker: usize| match pinning {
            Pinning::Cores => {
                let cpus = cores[worker % cores.len()].cpus();
                cpus.iter().nth(worker / cores.len() % cpus.len())
            }
            _ => None,
        };
        let workers = (0..workers).map(|worker| WorkerPlace { worker, cpu: place(worker), refused: None }).collect();
        Self { pinning, reason, workers }
    }

    pub(super) fn refuse(&mut self, worker: usize, why: String) {
        self.workers[worker].refused = Some(why);
    }

    /// What was decided; never [`Pinning::Auto`].
    #[must_use]
    pub fn pinning(&self) -> Pinning {
        self.pinning
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The workers, by number.
    #[must_use]
    pub fn workers(&self) -> &[WorkerPlace] {
        &self.workers
    }
}

impl WorkerPlace {
    /// The worker's number.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The CPU it was to be bound to.
    #[must_use]
    pub fn cpu(&self) -> Option<usize> {
        self.cpu
    }

    /// Whether it is bound.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.cpu.is_some() && self.refused.is_none()
    }

    /// Why the system did not bind it, if it was asked to.
    #[must_use]
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

impl fmt::Display for WorkerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cpu, &self.refused) {
            (Some(cpu), None) => write!(f, "worker {}: CPU {cpu}, bound", self.worker),
            (Some(cpu), Some(why)) => write!(f, "worker {}: CPU {cpu}, not bound: {why}", self.worker),
            (None, _) => write!(f, "worker {}: not bound", self.worker),
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pinning: {:?} ({})", self.pinning, self.reason)?;
        self.workers.iter().try_for_each(|worker| writeln!(f, "  {worker}"))
    }
}
