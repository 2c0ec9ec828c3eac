//! Reads a machine with hwloc: this one, or what `lstopo` wrote of another.
//!
//! hwloc gives a tree of objects. This reader makes the same kind of draft of it as the `linux` reader does of the
//! system's files. Two things differ:
//! * hwloc gives memory-only nodes the CPUs that are near them, so a CPU may be on several nodes. Here a CPU counts for
//!   the node with the fewest CPUs, and of equal ones for the first.
//! * hwloc knows the cpuset of a process. The affinity mask and the CPU quota have to be asked for.

use std::path::Path;

use hwlocality::bitmap::BitmapIndex;
use hwlocality::cpu::binding::CpuBindingFlags;
use hwlocality::object::TopologyObject;
use hwlocality::object::attributes::ObjectAttributes;
use hwlocality::object::distance::DistancesKind;
use hwlocality::object::types::ObjectType;
use hwlocality::topology::Topology as Tree;
use hwlocality::topology::builder::{BuildFlags, TopologyBuilder};

use super::draft::{LOCAL, MachineDraft};
use super::parts::{L3Domain, NumaNode, Package};
use super::{CpuSet, bind, linux};

/// Reads this machine.
///
/// # Errors
/// Why hwloc does not read this machine.
pub(super) fn this_machine() -> Result<MachineDraft, String> {
    let tree = build(TopologyBuilder::new())?;
    let mut draft = draft(&tree)?;
    draft.is_this_machine = tree.is_this_system();
    if draft.is_this_machine {
        let asked = || tree.cpu_binding(CpuBindingFlags::PROCESS).map(|mask| numbers(mask.iter_set()));
        match bind::mask_of_process().map_or_else(asked, Ok) {
            Ok(mask) => keep_to(&mut draft, mask),
            Err(error) => draft.notes.push(format!("the affinity mask is not known: {error}")),
        }
        draft.quota = linux::quota(Path::new("/"), &mut draft.notes);
    }
    Ok(draft)
}

/// Sets the allowed CPUs to the affinity mask. The mask is right even if hwloc, or a file that it reads, shows other
/// CPUs.
fn keep_to(draft: &mut MachineDraft, mask: CpuSet) {
    let beyond = mask.difference(&draft.online);
    if !beyond.is_empty() {
        draft.notes.push(format!("hwloc does not show CPUs {beyond} of the affinity mask: each counts as a core"));
        draft.cores.extend(beyond.iter().map(|cpu| CpuSet::from_iter([cpu])));
        draft.assumed = draft.assumed.union(&beyond);
        draft.online = draft.online.union(&beyond);
    }
    let kept_back = mask.difference(&draft.allowed).difference(&beyond);
    if !kept_back.is_empty() {
        draft
            .notes
            .push(format!("hwloc takes CPUs {kept_back} of the affinity mask for not allowed: the mask is taken"));
    }
    draft.allowed = mask;
}

/// Reads a machine from the text of an XML file.
///
/// # Errors
/// Why hwloc does not take the text.
pub(super) fn from_xml(xml: &str) -> Result<MachineDraft, String> {
    let builder = TopologyBuilder::new().from_xml(xml).map_err(|error| error.to_string())?;
    draft(&build(builder)?)
}

fn build(builder: TopologyBuilder) -> Result<Tree, String> {
    let builder = builder.with_flags(BuildFlags::INCLUDE_DISALLOWED).map_err(|error| error.to_string())?;
    builder.build().map_err(|error| error.to_string())
}

fn draft(tree: &Tree) -> Result<MachineDraft, String> {
    let mut notes = Vec::new();
    let online = numbers(tree.cpuset().iter_set());
    let count = tree.cpuset().weight().unwrap_or(usize::MAX);
    if online.is_empty() {
        return Err(format!("it has no CPUs with numbers below {}", CpuSet::MAX));
    }
    if online.len() < count {
        notes.push(format!("of {count} CPUs those from number {} on are left out", CpuSet::MAX));
    }
    let allowed = online.intersection(&numbers(tree.allowed_cpuset().iter_set()));

    let mut cores: Vec<CpuSet> = tree.objects_with_type(ObjectType::Core).map(cpus).collect();
    let coreless = cores.iter().fold(online.clone(), |left, core| left.difference(core));
    if !coreless.is_empty() {
        notes.push(format!("CPUs {coreless} are in no core: each counts as one"));
        cores.extend(coreless.iter().map(|cpu| CpuSet::from_iter([cpu])));
    }
    let packages = tree.objects_with_type(ObjectType::Package);
    let packages = packages.map(|object| Package { id: object.os_index(), cpus: cpus(object) }).collect();
    let l3 = tree.objects_with_type(ObjectType::L3Cache);
    let l3 = l3.map(|object| L3Domain { cpus: cpus(object), size: size(object) }).collect();
    let (kinds, nodes) = (kinds(tree, &cores), nodes(tree, &mut notes));
    Ok(MachineDraft {
        online,
        allowed,
        cores,
        assumed: coreless,
        kinds,
        packages,
        l3,
        nodes,
        notes,
        ..MachineDraft::default()
    })
}

/// The rank of each core's kind. Empty if hwloc does not tell it for all cores.
fn kinds(tree: &Tree, cores: &[CpuSet]) -> Vec<usize> {
    let Ok(kinds) = tree.cpu_kinds() else { return Vec::new() };
    let kinds: Vec<(CpuSet, Option<usize>)> =
        kinds.map(|kind| (numbers(kind.cpuset.iter_set()), kind.efficiency)).collect();
    let kind_of = |core: &CpuSet| {
        let first = core.first()?;
        kinds.iter().find(|(cpus, _)| cpus.contains(first))?.1
    };
    cores.iter().map(kind_of).collect::<Option<_>>().unwrap_or_default()
}

fn nodes(tree: &Tree, notes: &mut Vec<String>) -> Vec<NumaNode> {
    let all = tree.objects_with_type(ObjectType::NUMANode);
    let numbered = all.clone().filter_map(|object| Some((object.os_index()?, object)));
    let (ids, objects): (Vec<usize>, Vec<&TopologyObject>) = numbered.filter(|(id, _)| *id < CpuSet::MAX).unzip();
    if ids.len() < all.len() {
        notes.push(format!("NUMA nodes from number {} on are left out", CpuSet::MAX));
    }
    let matrix = latencies(tree, &objects);
    // If the system tells the memory of no node, that does not mean that there is none.
    let has_memory = objects.iter().any(|object| size(object).is_some());

    let mut order: Vec<usize> = (0..objects.len()).collect();
    order.sort_by_key(|index| cpus(objects[*index]).len());
    let mut nodes = Vec::new();
    let mut taken = CpuSet::new();
    for index in order {
        let near = cpus(objects[index]);
        let cpus = near.difference(&taken);
        taken = taken.union(&cpus);
        let mut distances: Vec<(usize, u32)> = match &matrix {
            Some(matrix) => ids.iter().copied().zip(matrix[index].iter().copied()).collect(),
            None => vec![(ids[index], LOCAL)],
        };
        distances.sort_unstable();
        nodes.push(NumaNode {
            id: ids[index],
            has_cpus: !cpus.is_empty(),
            cpus,
            near,
            memory: has_memory.then(|| size(objects[index]).unwrap_or(0)),
            may_allocate: tree.allowed_nodeset().is_set(ids[index]),
            distances,
        });
    }
    nodes
}

/// The distances that the system tells, from each node to each other node.
fn latencies(tree: &Tree, nodes: &[&TopologyObject]) -> Option<Vec<Vec<u32>>> {
    let kind = DistancesKind::FROM_OS | DistancesKind::MEANS_LATENCY;
    let all = tree.distances_with_type(Some(kind), ObjectType::NUMANode).ok()?;
    all.iter().find_map(|distances| {
        let places: Vec<usize> = nodes.iter().map(|node| distances.object_idx(node)).collect::<Option<_>>()?;
        let width = distances.num_objects();
        let value = |from: &usize, to: &usize| u32::try_from(distances.distances()[from * width + to]).ok();
        places.iter().map(|from| places.iter().map(|to| value(from, to)).collect()).collect()
    })
}

/// The bytes of a cache, or of a node's memory; none if they are zero or not known.
fn size(object: &TopologyObject) -> Option<u64> {
    match object.attributes()? {
        ObjectAttributes::Cache(cache) => cache.size().map(Into::into),
        ObjectAttributes::NUMANode(node) => node.local_memory().map(Into::into),
        _ => None,
    }
}

fn cpus(object: &TopologyObject) -> CpuSet {
    object.cpuset().map(|cpus| numbers(cpus.iter_set())).unwrap_or_default()
}

/// The numbers that a [`CpuSet`] can hold. They come in ascending order, perhaps without end.
fn numbers(set: impl Iterator<Item = BitmapIndex>) -> CpuSet {
    set.map(usize::from).take_while(|number| *number < CpuSet::MAX).collect()
}
