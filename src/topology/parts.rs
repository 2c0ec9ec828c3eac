//! The parts of a machine: cores, packages, NUMA nodes, L3 domains.

use super::CpuSet;

/// One core: the CPUs that share it, and the parts of the machine that it is in.
///
/// ```
/// let server = millstream::Topology::synthetic("pack:2 l3:2 core:4 pu:2")?;
/// let core = &server.cores()[5]; // cores are in the order of their first CPU
/// assert_eq!(core.cpus().to_string(), "10-11");
/// assert_eq!((core.package(), core.node(), core.l3()), (Some(0), Some(0), Some(1)));
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    pub(super) cpus: CpuSet,
    pub(super) package: Option<usize>,
    pub(super) node: Option<usize>,
    pub(super) l3: Option<usize>,
    pub(super) kind: Option<usize>,
    pub(super) is_assumed: bool,
}

impl Core {
    /// The allowed CPUs of this core (PUs, hardware threads), at least one.
    #[must_use]
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }

    /// Its package, as an index into [`packages`](super::Topology::packages). None if the machine shows none.
    #[must_use]
    pub fn package(&self) -> Option<usize> {
        self.package
    }

    /// The number of its NUMA node, as the system counts them; see [`numa_node`](super::Topology::numa_node).
    #[must_use]
    pub fn node(&self) -> Option<usize> {
        self.node
    }

    /// Its L3 domain, as an index into [`l3_domains`](super::Topology::l3_domains). None if the machine shows none.
    #[must_use]
    pub fn l3(&self) -> Option<usize> {
        self.l3
    }

    /// The rank of its kind, on a machine with several kinds of cores (big and little ones). 0 is the slowest kind. If
    /// all cores are alike, all have 0. None if the system does not tell.
    #[must_use]
    pub fn kind(&self) -> Option<usize> {
        self.kind
    }

    /// Whether this core is an assumption: the machine does not show to which core this CPU belongs, so the CPU counts
    /// as a core of its own. hwloc counts no core here.
    #[must_use]
    pub fn is_assumed(&self) -> bool {
        self.is_assumed
    }
}

/// One package: the processor in one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    pub(super) id: Option<usize>,
    pub(super) cpus: CpuSet,
}

impl Package {
    /// The system's number for it, which need not be unique.
    #[must_use]
    pub fn id(&self) -> Option<usize> {
        self.id
    }

    /// Its allowed CPUs, at least one.
    #[must_use]
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }
}

/// One L3 domain: the CPUs that share a level-3 cache for data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L3Domain {
    pub(super) cpus: CpuSet,
    pub(super) size: Option<u64>,
}

impl L3Domain {
    /// Its allowed CPUs, at least one.
    #[must_use]
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }

    /// The size of the cache in bytes, if it is known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }
}

/// One NUMA node: a memory, and the CPUs next to it.
///
/// ```
/// let server = millstream::Topology::synthetic("pack:2 [numa(memory=64GiB)] [numa(memory=16GiB)] core:8 pu:1")?;
/// let near: Vec<_> = server.numa_nodes().iter().filter(|node| !node.is_memory_only()).map(|node| node.id()).collect();
/// assert_eq!(near, [0, 2]);
/// assert_eq!(server.numa_nodes()[1].memory(), Some(16 << 30));
/// assert_eq!(server.numa_nodes()[1].distance(1), Some(10));
/// assert_eq!((server.numa_nodes()[1].cpus().len(), server.numa_nodes()[1].near().to_string()), (0, "0-7".to_owned()));
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumaNode {
    pub(super) id: usize,
    pub(super) cpus: CpuSet,
    pub(super) has_cpus: bool,
    /// For a node without CPUs, the allowed CPUs near it.
    pub(super) near: CpuSet,
    pub(super) memory: Option<u64>,
    pub(super) may_allocate: bool,
    /// Sorted by node.
    pub(super) distances: Vec<(usize, u32)>,
}

impl NumaNode {
    /// The system's number for it. The numbers of nodes may have gaps.
    #[must_use]
    pub fn id(&self) -> usize {
        self.id
    }

    /// Its allowed CPUs. The set is empty if the node has no CPUs at all ([`is_memory_only`](Self::is_memory_only)), or
    /// if this process may use none of them.
    #[must_use]
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }

    /// The allowed CPUs nearest to its memory.
    ///
    /// For a node with CPUs, these are its own. For a memory-only node, these are the CPUs that the system names as the
    /// best users of its memory, or else the CPUs of the nearest nodes by distance. The set is empty if all nodes are
    /// equally far, or if none of these CPUs is allowed.
    #[must_use]
    pub fn near(&self) -> &CpuSet {
        if self.has_cpus { &self.cpus } else { &self.near }
    }

    /// How much memory it has in bytes, if that is known.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// Whether no CPU of the machine, allowed or not, is on it. Examples are high-bandwidth memory, persistent memory
    /// and memory expanders.
    #[must_use]
    pub fn is_memory_only(&self) -> bool {
        !self.has_cpus
    }

    /// Whether it is known to have CPUs but no memory.
    #[must_use]
    pub fn is_cpu_only(&self) -> bool {
        self.has_cpus && self.memory == Some(0)
    }

    /// Whether this process may allocate memory there: no cpuset forbids it, and the node is not known to have no
    /// memory.
    #[must_use]
    pub fn may_allocate(&self) -> bool {
        self.may_allocate && self.memory != Some(0)
    }

    /// How far the memory of node number `node` is from this node: 10 is local, 20 is twice as far. None if that is not
    /// known.
    #[must_use]
    pub fn distance(&self, node: usize) -> Option<u32> {
        let index = self.distances.binary_search_by_key(&node, |(id, _)| *id).ok()?;
        Some(self.distances[index].1)
    }
}
