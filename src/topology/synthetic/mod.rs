//! Makes up a machine from hwloc's synthetic description.
//!
//! [`Topology::synthetic`](super::Topology::synthetic) calls [`machine`]. `spec` reads the description; `indexes` deals
//! out numbers.
//!
//! The parts of a level lie side by side over the PUs, each over the same number of them: part `k` of `n` has the PUs
//! from place `k * total / n` on. Places are counted from the left. The attribute `indexes=` says which numbers the PUs
//! and nodes at these places have.

mod indexes;
mod spec;

use std::cmp::Reverse;
use std::ops::Range;

use super::CpuSet;
use super::draft::{LOCAL, MachineDraft};
use super::parts::{L3Domain, NumaNode, Package};
use spec::{Attributes, Kind, Spec};

/// The largest number of nodes that a Linux kernel can have.
const MAX_NODES: usize = 1024;
/// The distance of two nodes in one package, as in a processor that is split into nodes.
const NEAR: u32 = 12;
/// The distance of any other two nodes.
const FAR: u32 = 20;

/// Makes the draft of a machine from a description.
///
/// # Errors
/// What is wrong with the description.
pub(super) fn machine(description: &str) -> Result<MachineDraft, String> {
    let spec = Spec::parse(description)?;
    let places = Places::new(&spec)?;
    let level_of = |kind| (0..spec.levels.len()).find(|level| spec.levels[*level].kind == kind);
    let parts = |level: usize| (0..spec.levels[level].width).map(move |part| (level, part));
    let cpus = |(level, part)| places.cpus(spec.range(level, part));
    let of_kind = |kind| level_of(kind).into_iter().flat_map(parts);

    let mut notes = spec.notes.clone();
    if level_of(Kind::Core).is_none() {
        notes.push("there is no level of cores: each PU is taken as a core".to_owned());
    }
    let core_level = level_of(Kind::Core).unwrap_or(spec.levels.len() - 1);
    let packages = of_kind(Kind::Package).map(|part| Package { id: Some(part.1), cpus: cpus(part) }).collect();
    let l3 = of_kind(Kind::L3).map(|part| L3Domain { size: spec.levels[part.0].attributes.size, cpus: cpus(part) });
    Ok(MachineDraft {
        online: places.cpus(0..spec.total()),
        cores: parts(core_level).map(cpus).collect(),
        packages,
        l3: l3.collect(),
        nodes: nodes(&spec, &places)?,
        notes,
        ..MachineDraft::default()
    })
}

/// The number of the PU at each place.
struct Places {
    numbers: Vec<usize>,
}

impl Places {
    fn new(spec: &Spec) -> Result<Self, String> {
        let pus = spec.levels.last().expect("there is the machine at least");
        Ok(Self { numbers: indexes::numbers(pus.attributes.indexes.as_deref(), spec, spec.total())? })
    }

    fn cpus(&self, places: Range<usize>) -> CpuSet {
        self.numbers[places].iter().copied().collect()
    }
}

/// A node before it has a number.
struct Site<'s> {
    places: Range<usize>,
    level: usize,
    attributes: &'s Attributes,
    /// Whether this node has the PUs below it. Of several nodes over the same PUs, only one has them.
    has_cpus: bool,
}

fn nodes(spec: &Spec, places: &Places) -> Result<Vec<NumaNode>, String> {
    let sites = sites(spec)?;
    let indexes = sites.iter().rev().find_map(|site| site.attributes.indexes.as_deref());
    let ids = indexes::numbers(indexes, spec, sites.len())?;
    let package = spec.levels.iter().find(|level| level.kind == Kind::Package);
    let package_of = |site: &Site<'_>| {
        let share = spec.total() / package?.width;
        let (first, last) = (site.places.start / share, (site.places.end - 1) / share);
        (first == last).then_some(first)
    };
    let packages: Vec<Option<usize>> = sites.iter().map(package_of).collect();
    let distance = |one: usize, other: usize| match (packages[one], packages[other]) {
        _ if one == other => LOCAL,
        (Some(package), Some(same)) if package == same => NEAR,
        _ => FAR,
    };
    let node = |(index, site): (usize, &Site<'_>)| {
        let mut distances: Vec<(usize, u32)> =
            ids.iter().enumerate().map(|(other, id)| (*id, distance(index, other))).collect();
        distances.sort_unstable();
        let near = places.cpus(site.places.clone());
        let (cpus, near) = if site.has_cpus { (near, CpuSet::new()) } else { (CpuSet::new(), near) };
        let memory = site.attributes.memory;
        NumaNode { id: ids[index], cpus, has_cpus: site.has_cpus, near, memory, may_allocate: true, distances }
    };
    Ok(sites.iter().enumerate().map(node).collect())
}

/// The nodes in the order in which hwloc numbers them: from the left, and inner parts before the parts around them.
fn sites(spec: &Spec) -> Result<Vec<Site<'_>>, String> {
    let innermost = spec.levels.iter().rposition(|level| !level.attached.is_empty());
    let mut sites = Vec::new();
    for (index, level) in spec.levels.iter().enumerate() {
        let own = if level.kind == Kind::Numa { Some((&level.attributes, true)) } else { None };
        let attached = level.attached.iter().enumerate();
        let attached = attached.map(|(order, attributes)| (attributes, Some(index) == innermost && order == 0));
        let all: Vec<(&Attributes, bool)> = own.into_iter().chain(attached).collect();
        if sites.len() + all.len() * level.width > MAX_NODES {
            return Err(format!("'{}' makes more than {MAX_NODES} NUMA nodes", level.text));
        }
        for part in 0..level.width {
            let places = spec.range(index, part);
            let site = |(attributes, has_cpus)| Site { places: places.clone(), level: index, attributes, has_cpus };
            sites.extend(all.iter().copied().map(site));
        }
    }
    sites.sort_by_key(|site| (site.places.end, Reverse(site.level)));
    Ok(sites)
}
