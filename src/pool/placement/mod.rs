//! Where the workers run, and why there.
//!
//! The decision is made here. [`spots`] finds the CPU or node of each worker, and [`register`] knows what other pools
//! of the process have claimed.

pub(super) mod register;
pub(super) mod spots;

use std::fmt;

use crate::sync::asymmetric;
use crate::topology::{CpuSet, Topology, Usable, count, parallelism};
use register::CpuClaims;

/// Which workers are bound to CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pinning {
    /// [`Cores`](Self::Cores) if three things hold: the pool has a worker for every allowed core (for every CPU, with
    /// [`smt`](crate::PoolBuilder::smt)); it has no more workers than there are allowed CPUs; and no CPU quota is below
    /// the number of these. In all other cases every pool of a host would sit on the same first cores, so it is
    /// [`Nodes`](Self::Nodes), or [`Off`](Self::Off) where there is only one node.
    #[default]
    Auto,
    /// Each worker is on one CPU, on a core of its own while there are enough cores. With fewer workers than cores some
    /// cores stay free. Cores that no other pool of this process has claimed come first; of equal ones, those that are
    /// near each other.
    Cores,
    /// Each worker is on the CPUs of one NUMA node. A node gets workers by its share of the allowed cores.
    Nodes,
    /// No worker is bound.
    Off,
}

/// Where a pool's workers run; see [`Pool::placement`](crate::Pool::placement).
///
/// ```
/// use millstream::{Pinning, Pool, Topology};
///
/// let server = Topology::synthetic("numa:2 core:4 pu:2")?; // a machine that is not here
/// let placement = Pool::builder().topology(server).placement()?; // no pool is made
/// assert_eq!(placement.pinning(), Pinning::Cores);
/// assert_eq!(placement.workers().len(), 8);
/// assert_eq!(placement.workers()[5].to_string(), "worker 5: cpu 10, node 1, not bound: another machine");
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Placement {
    pinning: Pinning,
    reason: String,
    active: usize,
    workers: Vec<WorkerPlace>,
}

/// Where one worker runs.
///
/// Its `Display` reads, for example, `worker 0: cpu 0, node 0, bound`.
#[derive(Clone, Debug)]
pub struct WorkerPlace {
    worker: usize,
    cpus: Option<CpuSet>,
    node: Option<usize>,
    why_not: Option<String>,
}

/// What the pool's options ask of its placement.
#[derive(Clone, Debug, Default)]
pub(in crate::pool) struct Wish {
    pub(in crate::pool) workers: Option<usize>,
    pub(in crate::pool) pinning: Pinning,
    pub(in crate::pool) smt: bool,
    pub(in crate::pool) oversubscribe: bool,
}

impl Wish {
    /// How many workers are wanted on a machine.
    pub(in crate::pool) fn workers_on(&self, topology: &Topology) -> usize {
        self.workers.unwrap_or(self.places(topology).0)
    }

    /// How many places for a worker the machine has, and what such a place is called.
    fn places(&self, topology: &Topology) -> (usize, &'static str) {
        if self.smt { (topology.allowed_cpus().len(), "CPU") } else { (topology.cores().len(), "core") }
    }

    /// Why the workers should not have a CPU each. `None`: they should.
    fn against_cores(&self, topology: &Topology) -> Option<String> {
        let workers = self.workers_on(topology);
        let (places, name) = self.places(topology);
        let cpus = topology.allowed_cpus().len();
        let spread = |what: String| Some(format!("{} for {what}: the system spreads them", count(workers, "worker")));
        if workers < places {
            return spread(count(places, name));
        }
        if workers > cpus {
            return spread(count(cpus, "CPU"));
        }
        let quota = topology.cpu_quota().filter(|quota| *quota < cpus as f64)?;
        Some(format!("a CPU quota of {quota:.2} is below the {}", count(cpus, "allowed CPU")))
    }
}

impl Placement {
    /// Decides where the workers go on `topology`, where other pools have made `claims`.
    pub(in crate::pool) fn decide(wish: &Wish, topology: &Topology, claims: &CpuClaims) -> Self {
        let workers = wish.workers_on(topology);
        let (pinning, mut reason) = match (wish.pinning, wish.against_cores(topology)) {
            (Pinning::Auto, None) => {
                let (places, name) = wish.places(topology);
                (Pinning::Cores, format!("a worker for each of {}, no quota", count(places, name)))
            }
            (Pinning::Auto, Some(why)) if spots::node_count(topology) > 1 => (Pinning::Nodes, why),
            (Pinning::Auto, Some(why)) => (Pinning::Off, why),
            (asked, _) => (asked, "as asked for".to_owned()),
        };
        let places: Vec<(Option<CpuSet>, Option<usize>)> = match pinning {
            Pinning::Cores => {
                let spots = spots::on_cores(topology, workers, claims);
                let core = |spot: &spots::WorkerCpu| &topology.cores()[spot.core];
                let (room, name) = wish.places(topology);
                if workers > room {
                    reason += &format!("; {} share {}", count(workers, "worker"), count(room, name));
                }
                let shared = |spot: &&spots::WorkerCpu| core(spot).cpus().iter().any(|cpu| claims.of(cpu) > 0);
                let shared = spots.iter().filter(shared).count();
                if shared > 0 {
                    let all = count(workers, "worker");
                    reason += &format!("; {shared} of {all} on cores that other pools of this process have claimed");
                }
                spots.iter().map(|spot| (Some(CpuSet::from_iter([spot.cpu])), core(spot).node())).collect()
            }
            Pinning::Nodes => {
                spots::on_nodes(topology, workers).into_iter().map(|(node, cpus)| (Some(cpus), node)).collect()
            }
            Pinning::Auto | Pinning::Off => {
                let only = topology.cores()[0].node().filter(|_| spots::node_count(topology) == 1);
                vec![(None, only); workers]
            }
        };
        let place = |(worker, (cpus, node))| WorkerPlace { worker, cpus, node, why_not: None };
        let at_once = parallelism(topology.allowed_cpus(), topology.cpu_quota());
        Self {
            pinning,
            reason,
            active: if wish.oversubscribe { workers } else { workers.min(at_once) },
            workers: places.into_iter().enumerate().map(place).collect(),
        }
    }

    /// Keeps to what this process may use here and now, as the topology may be of another machine or an earlier time.
    pub(in crate::pool) fn confine(&mut self, wish: &Wish, here: &Usable) {
        if !wish.oversubscribe {
            self.active = self.active.min(parallelism(&here.cpus, here.quota));
        }
        for place in &mut self.workers {
            if place.cpus.as_ref().is_some_and(|cpus| !cpus.is_subset(&here.cpus)) {
                place.why_not = Some(format!("the process may use {} only", here.cpus));
            }
        }
    }

    /// Binds no worker that was to be bound, and gives `why` as the reason.
    pub(in crate::pool) fn leave_unbound(&mut self, why: &str) {
        let asked = self.workers.iter_mut().filter(|place| place.cpus.is_some());
        asked.for_each(|place| place.why_not = Some(why.to_owned()));
    }

    pub(in crate::pool) fn refuse(&mut self, worker: usize, why: String) {
        self.workers[worker].why_not = Some(why);
    }

    /// From now on at most this many workers are woken to be active at once.
    pub(in crate::pool) fn set_active(&mut self, active: usize) {
        self.active = active;
    }

    /// From now on this worker, which `asked` placed, runs on `cpus`; `bound` says if binding it failed, and why.
    pub(in crate::pool) fn moved(&mut self, asked: &WorkerPlace, cpus: &CpuSet, bound: Result<(), String>) {
        let is_within = asked.cpus().is_some_and(|wanted| cpus.is_subset(wanted));
        self.workers[asked.worker] = WorkerPlace {
            worker: asked.worker,
            cpus: asked.cpus.as_ref().map(|_| cpus.clone()),
            node: asked.node.filter(|_| is_within || asked.cpus.is_none()),
            why_not: bound.err().filter(|_| asked.cpus.is_some()),
        };
    }

    /// The CPU of each worker that is bound to one CPU as its own.
    fn own_cpus(&self) -> impl Iterator<Item = usize> {
        let is_on_cores = self.pinning == Pinning::Cores;
        self.workers
            .iter()
            .filter(move |place| is_on_cores && place.is_bound())
            .filter_map(|place| place.cpus()?.first())
    }

    /// Which workers are bound, as it was decided; never [`Pinning::Auto`].
    #[must_use]
    pub fn pinning(&self) -> Pinning {
        self.pinning
    }

    /// Why the workers are bound so, in words.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// How many workers are woken to be active at once; the others sleep.
    ///
    /// This is at most the number of CPUs that the process may use, or what the CPU quota gives, rounded up. With
    /// [`oversubscribe`](crate::PoolBuilder::oversubscribe) it is the number of workers.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active
    }

    /// The system call (`"membarrier"`, say) by which a worker that has no job gets at the private jobs of a thread
    /// that is in user code.
    ///
    /// `None`: the system has no such call, or refuses it. Then each `join` pays for a full fence.
    #[must_use]
    pub fn fence(&self) -> Option<&'static str> {
        match asymmetric::prepare() {
            asymmetric::Kind::System(name) => Some(name),
            asymmetric::Kind::BothSides => None,
        }
    }

    /// Where each worker runs, by the worker's number.
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

    /// The CPUs to which the worker was to be bound. `None`: it was not to be bound.
    #[must_use]
    pub fn cpus(&self) -> Option<&CpuSet> {
        self.cpus.as_ref()
    }

    /// The system's number of the NUMA node on which the worker runs. `None`: it may run on several, or its core is on
    /// none.
    #[must_use]
    pub fn node(&self) -> Option<usize> {
        self.node
    }

    /// Whether the worker is bound to its CPUs.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.cpus.is_some() && self.why_not.is_none()
    }

    /// Why the worker is not bound. `None`: it is bound, or was not to be.
    #[must_use]
    pub fn why_not(&self) -> Option<&str> {
        self.why_not.as_deref()
    }
}

impl fmt::Display for WorkerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}: ", self.worker)?;
        if let Some(cpus) = &self.cpus {
            write!(f, "cpu{} {cpus}, ", if cpus.len() == 1 { "" } else { "s" })?;
        }
        if let Some(node) = self.node {
            write!(f, "node {node}, ")?;
        }
        match &self.why_not {
            Some(why) => write!(f, "not bound: {why}"),
            None => f.write_str(if self.is_bound() { "bound" } else { "not bound" }),
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pinning: {:?} ({})", self.pinning, self.reason)?;
        if self.active < self.workers.len() {
            writeln!(f, "active: at most {} of {}", self.active, count(self.workers.len(), "worker"))?;
        }
        if self.fence().is_none() {
            writeln!(f, "fences: full ones on both sides, for the system offers no other: a join costs one")?;
        }
        self.workers.iter().try_for_each(|worker| writeln!(f, "  {worker}"))
    }
}
