//! The machine as this process may use it: allowed CPUs, cores, NUMA nodes, CPU quota.
//!
//! [`Topology::detect`] reads the kernel's files through a root path, so that a recorded machine is as good as this one.
//! It never fails over an odd file: a hole makes a flat part, and a line in [`Topology::notes`].

pub(crate) mod bind;
mod cpuset;
mod linux;

use std::fmt;
use std::path::Path;

pub use cpuset::{CpuSet, ParseCpuSetError};

/// The machine as this process may use it.
///
/// ```
/// let here = millstream::Topology::detect()?;
/// assert!(!here.allowed_cpus().is_empty());
/// assert!(here.cores().len() <= here.allowed_cpus().len());
/// println!("{here}");
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    allowed: CpuSet,
    cores: Vec<CpuSet>,
    nodes: Vec<(usize, CpuSet)>,
    quota: Option<f64>,
    notes: Vec<String>,
}

impl Topology {
    /// Reads the machine this process runs on.
    ///
    /// # Errors
    /// If not even the number of usable CPUs can be found out.
    pub fn detect() -> Result<Self, crate::Error> {
        Ok(if cfg!(target_os = "linux") {
            linux::read(Path::new("/"))
        } else {
            Self::flat(Self::fallback(), Vec::new())
        })
    }

    /// As many CPUs as the standard library sees, each its own core, on one node.
    fn flat(allowed: CpuSet, notes: Vec<String>) -> Self {
        let cores = allowed.iter().map(|cpu| CpuSet::from_iter([cpu])).collect();
        let nodes = vec![(0, allowed.clone())];
        Self { allowed, cores, nodes, quota: None, notes }
    }

    fn fallback() -> CpuSet {
        (0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get)).collect()
    }

    /// The CPUs this process may run on: online, in its affinity mask and its cpuset.
    #[must_use]
    pub fn allowed_cpus(&self) -> &CpuSet {
        &self.allowed
    }

    /// The allowed CPUs core by core, in order of their first CPU.
    #[must_use]
    pub fn cores(&self) -> &[CpuSet] {
        &self.cores
    }

    /// The NUMA nodes that have allowed CPUs: the kernel's number and the CPUs.
    #[must_use]
    pub fn numa_nodes(&self) -> &[(usize, CpuSet)] {
        &self.nodes
    }

    /// How many CPUs' worth of time the process may use, where a control group limits it.
    #[must_use]
    pub fn cpu_quota(&self) -> Option<f64> {
        self.quota
    }

    /// What could not be read, and what was taken in its place.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cpus, cores) = (self.allowed.len(), self.cores.len());
        writeln!(f, "{cpus} CPUs ({}) on {cores} cores", self.allowed)?;
        for (node, cpus) in &self.nodes {
            writeln!(f, "  NUMA node {node}: CPUs {cpus}")?;
        }
        if let Some(quota) = self.quota {
            writeln!(f, "  CPU quota: {quota:.2} CPUs")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
