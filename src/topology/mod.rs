//! The machine as this process may use it: which CPUs, in which cores, packages, NUMA nodes and L3 domains.
//!
//! [`Topology::detect`] reads the system's files through a root path, so it reads a recorded machine
//! ([`Topology::read`]) in the same way as this one. [`Topology::synthetic`] makes a machine up from a line of text.
//! Reading never fails because of an odd file: the part in question becomes flat, and [`Topology::notes`] gets a line
//! about it. The terms are hwloc's.
//!
//! # Roles
//! A reader (`linux`, `synthetic`, `hwloc`) collects sets of CPUs in a draft. `draft` makes them fit together, and is
//! the only place that makes a [`Topology`]. Nothing here has global state, a thread or a lock; a topology is plain
//! data.
//!
//! # Invariants
//! - I1: Some CPU is allowed, and every allowed CPU is online.
//! - I2: Every allowed CPU is in exactly one core. Parts hold allowed CPUs only.
//! - I3: Cores, packages and L3 domains are in the order of their first CPU, and not empty; nodes are in the order of
//!   their numbers. Two parts of the same level have no CPU in common.
//! - I4: A core lies as a whole in one package or in none, on one node or on none, and in one L3 domain or in none.
//! - I5: There is a node with CPUs, and a node without allowed CPUs has memory that this process may use.
//!
//! # Tests
//! `tests/topologies.rs` reads recorded machines. The tests of this folder read made-up trees of files and random
//! broken ones, and check that the invariants hold.

pub(crate) mod bind;
mod cpuset;
mod display;
mod draft;
#[cfg(feature = "hwloc")]
mod hwloc;
mod linux;
pub(crate) mod memory;
mod parts;
mod synthetic;

use std::path::Path;

pub use cpuset::{CpuSet, ParseCpuSetError};
pub(crate) use display::count;
pub use parts::{Core, L3Domain, NumaNode, Package};

use crate::Error;
use crate::error::TopologyError;
use draft::MachineDraft;

/// A machine as this process may use it: this one, a recorded one, or a made-up one.
///
/// Everything but [`cpus`](Self::cpus) is about the CPUs that this process may use. A topology is plain data: it shows
/// what was true when it was read. `Display` prints it as a tree; `{:#}` lists each core.
///
/// ```
/// use millstream::Topology;
///
/// let here = Topology::detect()?;
/// assert!(!here.allowed_cpus().is_empty());
/// assert!(here.cores().len() <= here.allowed_cpus().len());
/// println!("{here}");
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    online: CpuSet,
    allowed: CpuSet,
    cores: Vec<Core>,
    packages: Vec<Package>,
    nodes: Vec<NumaNode>,
    l3: Vec<L3Domain>,
    quota: Option<f64>,
    notes: Vec<String>,
    is_this_machine: bool,
}

impl Topology {
    /// Reads the machine that this process runs on.
    ///
    /// On Linux the affinity mask of the process decides which CPUs are allowed. If a file contradicts it, as in a
    /// container whose list of online CPUs counts from 0, that is a line in [`notes`](Self::notes).
    ///
    /// On other systems only the number of CPUs is known. Each CPU counts as a core, and all are on one node.
    ///
    /// # Errors
    /// At present there are none: if nothing can be read, the machine counts as flat, with at least one CPU.
    pub fn detect() -> Result<Self, Error> {
        let read = if cfg!(target_os = "linux") { linux::read(Path::new("/")) } else { None };
        let mut draft = read.unwrap_or_else(|| {
            let note = "the system shows nothing but the number of CPUs: each counts as a core";
            MachineDraft::flat(counted_cpus(), vec![note.to_owned()])
        });
        draft.is_this_machine = true;
        Ok(draft.finish())
    }

    /// Reads a recorded machine: a folder with the files of a Linux system, with `sys` and if possible `proc` in it.
    ///
    /// hwloc's `hwloc-gather-topology` packs such a folder. The affinity mask in `proc/self/status` counts more than
    /// any other file. In a recording without it, all online CPUs are allowed, or those of them that are in the
    /// recorded cpuset.
    ///
    /// # Errors
    /// If the folder cannot be read, or has no files about CPUs. Any other odd file is a line in
    /// [`notes`](Self::notes).
    ///
    /// ```no_run
    /// let recorded = millstream::Topology::read("machines/epyc".as_ref())?;
    /// assert!(!recorded.is_this_machine());
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn read(root: &Path) -> Result<Self, Error> {
        std::fs::read_dir(root).map_err(|error| TopologyError::folder(root, error))?;
        let draft = linux::read(root).ok_or_else(|| TopologyError::no_cpus(root))?;
        Ok(draft.finish())
    }

    /// Makes up a machine from hwloc's synthetic description: levels from the outside in, each with the number of its
    /// parts in one part of the level before.
    ///
    /// * Levels are `package` (also `socket`), `die`, `numa` (also `node`), `group`, `l1` to `l5` (also `l3cache`,
    ///   `l1dcache`, …), `core` and, last, `pu`. Two letters are enough. Bare numbers get the levels that hwloc gives
    ///   them.
    /// * A `[numa]` behind a level attaches a node to each part of that level. If there are several, the first one on
    ///   the innermost level has the CPUs, and the others are memory only.
    /// * Attributes stand in parentheses. `memory=16GiB` of a node, `size=32MiB` of an L3 cache and `indexes=…` of
    ///   nodes and PUs are used; others are noted.
    /// * Without a `numa`, all CPUs are on node 0. Without a `core`, each CPU is a core.
    ///
    /// All CPUs are allowed. Distances are 10 on a node, 12 between nodes of one package, and 20 otherwise.
    ///
    /// # Errors
    /// If the text is no such description; the error names the wrong part of it. If there are more than [`CpuSet::MAX`]
    /// CPUs or more than 1024 nodes.
    ///
    /// ```
    /// use millstream::Topology;
    ///
    /// let server = Topology::synthetic("numa:4 l3:2 core:8 pu:2")?;
    /// assert_eq!((server.numa_nodes().len(), server.l3_domains().len()), (4, 8));
    /// assert_eq!((server.cores().len(), server.cpus().len()), (64, 128));
    ///
    /// let error = Topology::synthetic("numa:4 cores:lots").unwrap_err().to_string();
    /// assert!(error.contains("'cores'"), "{error}");
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn synthetic(description: &str) -> Result<Self, Error> {
        let draft = synthetic::machine(description).map_err(|what| TopologyError::synthetic(description, &what))?;
        Ok(draft.finish())
    }

    /// Reads the machine that this process runs on with hwloc. On systems other than Linux it sees more than
    /// [`detect`](Self::detect).
    ///
    /// hwloc obeys its environment variables. One of them, such as `HWLOC_XMLFILE`, may name another machine.
    ///
    /// # Errors
    /// If hwloc cannot read the machine.
    ///
    /// ```
    /// use millstream::Topology;
    ///
    /// let here = Topology::from_hwloc()?;
    /// assert!(!here.allowed_cpus().is_empty());
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[cfg(feature = "hwloc")]
    pub fn from_hwloc() -> Result<Self, Error> {
        Ok(hwloc::this_machine()
            .map_err(|what| TopologyError::hwloc("hwloc cannot read this machine", &what))?
            .finish())
    }

    /// Reads a machine from the text of an XML file of hwloc, such as `lstopo machine.xml` writes.
    ///
    /// # Errors
    /// If the text is no such file.
    ///
    /// ```
    /// use millstream::Topology;
    ///
    /// let error = Topology::from_hwloc_xml("<html/>").unwrap_err().to_string();
    /// assert!(error.starts_with("the text is no machine in hwloc's XML"), "{error}");
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[cfg(feature = "hwloc")]
    pub fn from_hwloc_xml(xml: &str) -> Result<Self, Error> {
        let draft = hwloc::from_xml(xml);
        Ok(draft.map_err(|what| TopologyError::hwloc("the text is no machine in hwloc's XML", &what))?.finish())
    }

    /// All CPUs that are present and online, whether this process may use them or not.
    #[must_use]
    pub fn cpus(&self) -> &CpuSet {
        &self.online
    }

    /// The CPUs that this process may run on, at least one: its affinity mask, which includes the limits of its cpuset.
    #[must_use]
    pub fn allowed_cpus(&self) -> &CpuSet {
        &self.allowed
    }

    /// The cores that have allowed CPUs, in the order of their first one. Every allowed CPU is in exactly one core.
    #[must_use]
    pub fn cores(&self) -> &[Core] {
        &self.cores
    }

    /// The packages that have allowed CPUs, in the order of their first one. Empty if the machine shows none.
    #[must_use]
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// The NUMA nodes that have allowed CPUs or memory that this process may use, in the order of their numbers.
    ///
    /// A machine that shows no nodes counts as one node, with number 0. Nodes that are the memory of graphics
    /// processors are left out.
    #[must_use]
    pub fn numa_nodes(&self) -> &[NumaNode] {
        &self.nodes
    }

    /// The NUMA node with the number `id`, as the system counts them.
    #[must_use]
    pub fn numa_node(&self, id: usize) -> Option<&NumaNode> {
        self.nodes.binary_search_by_key(&id, NumaNode::id).ok().map(|index| &self.nodes[index])
    }

    /// The L3 domains that have allowed CPUs, in the order of their first one. Empty if the machine shows none.
    #[must_use]
    pub fn l3_domains(&self) -> &[L3Domain] {
        &self.l3
    }

    /// How much CPU time the process may use, in CPUs, if a control group limits it. It is the lowest of the limits of
    /// its own group and of all groups above that.
    #[must_use]
    pub fn cpu_quota(&self) -> Option<f64> {
        self.quota
    }

    /// What could not be read or does not fit together, and what was taken instead.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether this is the machine that the process runs on. Only then can threads be bound to these CPUs.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        self.is_this_machine
    }
}

/// What this process may use at the moment. Reading it takes a few files; a whole machine may take thousands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Usable {
    pub(crate) cpus: CpuSet,
    pub(crate) quota: Option<f64>,
}

impl Usable {
    /// Reads it below a root path. None if that path is the root of a Linux system that shows no CPUs.
    pub(crate) fn read(root: &Path) -> Option<Self> {
        if cfg!(target_os = "linux") { linux::usable(root) } else { Some(Self { cpus: counted_cpus(), quota: None }) }
    }
}

/// How many threads can run at once on these CPUs and with this quota, which is rounded up.
pub(crate) fn parallelism(cpus: &CpuSet, quota: Option<f64>) -> usize {
    let cpus = cpus.len();
    quota.map_or(cpus, |quota| (1..cpus).find(|count| *count as f64 >= quota).unwrap_or(cpus))
}

/// CPUs 0 and up, as many as the system says that this process may use.
fn counted_cpus() -> CpuSet {
    (0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(CpuSet::MAX)).collect()
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests;
