//! Makes what a reader found fit together, whatever it was.
//!
//! A reader fills a [`MachineDraft`] with sets of CPUs, level by level, as the system or a description has them.
//! [`MachineDraft::finish`] turns them into parts that keep the [invariants of the module](super). What does not fit is left
//! out or made flat, and a note says so.

use std::collections::BTreeMap;

use super::parts::{Core, L3Domain, NumaNode, Package};
use super::{CpuSet, Topology};

/// What a reader found.
#[derive(Debug, Default)]
pub(super) struct MachineDraft {
    /// All CPUs that are present and online.
    pub(super) online: CpuSet,
    /// The online CPUs that this process may use. Empty means all.
    pub(super) allowed: CpuSet,
    /// The CPUs of each core. Every allowed CPU is in exactly one core.
    pub(super) cores: Vec<CpuSet>,
    /// CPUs that count as cores because it is not known to which core they belong.
    pub(super) assumed: CpuSet,
    /// The rank of each core's kind. Empty if it is not known.
    pub(super) kinds: Vec<usize>,
    /// Packages that have no CPU in common.
    pub(super) packages: Vec<Package>,
    /// L3 domains that have no CPU in common.
    pub(super) l3: Vec<L3Domain>,
    /// Nodes. They may have CPUs in common.
    pub(super) nodes: Vec<NumaNode>,
    pub(super) quota: Option<f64>,
    pub(super) notes: Vec<String>,
    pub(super) is_this_machine: bool,
}

impl MachineDraft {
    /// A draft of CPUs of which nothing else is known: each is a core, and all are on one node.
    pub(super) fn flat(cpus: CpuSet, notes: Vec<String>) -> Self {
        Self {
            cores: cpus.iter().map(|cpu| CpuSet::from_iter([cpu])).collect(),
            assumed: cpus.clone(),
            online: cpus,
            notes,
            ..Self::default()
        }
    }

    pub(super) fn finish(mut self) -> Topology {
        let allowed = if self.allowed.is_empty() { self.online.clone() } else { self.allowed.clone() };
        self.cores.iter_mut().for_each(|cpus| *cpus = cpus.intersection(&allowed));
        let kinds = std::mem::take(&mut self.kinds);
        let mut cores: Vec<Core> = std::mem::take(&mut self.cores)
            .into_iter()
            .enumerate()
            .filter(|(_, cpus)| !cpus.is_empty())
            .map(|(index, cpus)| {
                let (kind, is_assumed) = (kinds.get(index).copied(), cpus.is_subset(&self.assumed));
                Core { cpus, package: None, node: None, l3: None, kind, is_assumed }
            })
            .collect();
        cores.sort_by_key(|core| core.cpus.first());

        self.part_nodes();
        self.confine(&allowed);
        self.place_in_packages(&mut cores);
        self.place_in_l3(&mut cores);
        self.place_on_nodes(&mut cores, &allowed);

        Topology {
            online: self.online,
            allowed,
            cores,
            packages: self.packages,
            nodes: self.nodes,
            l3: self.l3,
            quota: self.quota,
            notes: self.notes,
            is_this_machine: self.is_this_machine,
        }
    }

    /// Leaves out CPUs that are not allowed and parts that have none left, and sorts the parts.
    fn confine(&mut self, allowed: &CpuSet) {
        self.packages.iter_mut().for_each(|package| package.cpus = package.cpus.intersection(allowed));
        self.packages.retain(|package| !package.cpus.is_empty());
        self.packages.sort_by_key(|package| package.cpus.first());
        self.l3.iter_mut().for_each(|domain| domain.cpus = domain.cpus.intersection(allowed));
        self.l3.retain(|domain| !domain.cpus.is_empty());
        self.l3.sort_by_key(|domain| domain.cpus.first());
        self.nodes.iter_mut().for_each(|node| {
            node.cpus = node.cpus.intersection(allowed);
            node.near = node.near.intersection(allowed);
        });
        self.nodes.retain(|node| !node.cpus.is_empty() || node.may_allocate());
    }

    /// Makes sure that every CPU is on one node only. Nodes with the same CPUs become one node, because placement
    /// cannot tell them apart. Of other nodes with CPUs in common, the first one stays.
    fn part_nodes(&mut self) {
        self.nodes.sort_by_key(|node| node.id);
        let (mut kept, mut gone, mut taken) = (Vec::<NumaNode>::new(), CpuSet::new(), CpuSet::new());
        // The kept node that begins with a CPU, and the numbers of the nodes that were joined into it.
        let mut by_first: BTreeMap<usize, (usize, CpuSet)> = BTreeMap::new();
        for node in std::mem::take(&mut self.nodes) {
            let Some(first) = node.cpus.first() else {
                kept.push(node);
                continue;
            };
            if let Some((place, ids)) = by_first.get_mut(&first).filter(|(place, _)| kept[*place].cpus == node.cpus) {
                ids.insert(node.id);
                gone.insert(node.id);
                kept[*place].join(&node);
            } else if node.cpus.intersection(&taken).is_empty() {
                taken = taken.union(&node.cpus);
                by_first.insert(first, (kept.len(), CpuSet::from_iter([node.id])));
                kept.push(node);
            } else {
                gone.insert(node.id);
                self.notes.push(format!("NUMA node {} has CPUs of nodes before it: left out", node.id));
            }
        }
        for (_, ids) in by_first.values().filter(|(_, ids)| ids.len() > 1) {
            self.notes.push(format!("NUMA nodes {ids} have CPUs in common: taken as one node"));
        }
        kept.iter_mut().for_each(|node| node.distances.retain(|(other, _)| !gone.contains(*other)));
        self.nodes = kept;
    }

    fn place_in_packages(&mut self, cores: &mut [Core]) {
        match places(cores, self.packages.iter().map(|package| &package.cpus)) {
            Ok(places) => cores.iter_mut().zip(places).for_each(|(core, place)| core.package = place),
            Err(core) => {
                self.notes.push(format!("the core of CPUs {core} is in several packages: packages are left out"));
                self.packages.clear();
            }
        }
    }

    fn place_in_l3(&mut self, cores: &mut [Core]) {
        match places(cores, self.l3.iter().map(|domain| &domain.cpus)) {
            Ok(places) => cores.iter_mut().zip(places).for_each(|(core, place)| core.l3 = place),
            Err(core) => {
                self.notes.push(format!("the core of CPUs {core} has several L3 caches: L3 domains are left out"));
                self.l3.clear();
            }
        }
    }

    fn place_on_nodes(&mut self, cores: &mut [Core], allowed: &CpuSet) {
        let on_some = self.nodes.iter().fold(CpuSet::new(), |all, node| all.union(&node.cpus));
        match places(cores, self.nodes.iter().map(|node| &node.cpus)) {
            Ok(places) if !on_some.is_empty() => {
                for (core, place) in cores.iter_mut().zip(places) {
                    core.node = place.map(|index| self.nodes[index].id);
                }
                let homeless = allowed.difference(&on_some);
                if !homeless.is_empty() {
                    self.notes.push(format!("CPUs {homeless} are on no NUMA node"));
                }
                return;
            }
            Ok(_) => {}
            Err(core) => {
                self.notes.push(format!("the core of CPUs {core} is on several NUMA nodes: all are taken as one"));
            }
        }
        let (with, without): (Vec<_>, Vec<_>) = self.nodes.drain(..).partition(|node| !node.cpus.is_empty());
        let free = (0..).find(|id| without.iter().all(|node| node.id != *id)).expect("some number is free");
        let id = with.first().map_or(free, |node| node.id);
        self.nodes = without;
        self.nodes.push(NumaNode {
            id,
            cpus: allowed.clone(),
            has_cpus: true,
            near: CpuSet::new(),
            memory: with.iter().try_fold(0_u64, |sum, node| sum.checked_add(node.memory?)).filter(|sum| *sum > 0),
            may_allocate: with.is_empty() || with.iter().any(NumaNode::may_allocate),
            distances: vec![(id, LOCAL)],
        });
        self.nodes.sort_by_key(|node| node.id);
        cores.iter_mut().for_each(|core| core.node = Some(id));
    }
}

impl NumaNode {
    /// Joins another node that has the same CPUs into this one.
    fn join(&mut self, other: &Self) {
        self.may_allocate = self.may_allocate() || other.may_allocate();
        self.memory = self.memory.zip(other.memory).and_then(|(one, other)| one.checked_add(other));
    }
}

/// The distance of a node to itself, as the kernel counts distances.
pub(super) const LOCAL: u32 = 10;

/// The index of the part that each core is in, if any.
///
/// # Errors
/// The CPUs of a core that lies partly in a part, or in several.
fn places<'a>(cores: &[Core], parts: impl Iterator<Item = &'a CpuSet>) -> Result<Vec<Option<usize>>, CpuSet> {
    let mut part_of = Vec::new();
    for (index, cpus) in parts.enumerate() {
        for cpu in cpus.iter() {
            if part_of.len() <= cpu {
                part_of.resize(cpu + 1, None);
            }
            part_of[cpu] = Some(index);
        }
    }
    let place = |core: &Core| {
        let mut places = core.cpus.iter().map(|cpu| part_of.get(cpu).copied().flatten());
        let first = places.next().flatten();
        if places.all(|place| place == first) { Ok(first) } else { Err(core.cpus.clone()) }
    };
    cores.iter().map(place).collect()
}
