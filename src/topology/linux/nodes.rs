//! Reads the NUMA nodes.

use std::fs;
use std::path::Path;

use super::super::CpuSet;
use super::super::draft::LOCAL;
use super::super::parts::NumaNode;
use super::files::{list, numbered, text};

/// Reads all nodes. A kernel that shows none counts as having one. `mems` are the nodes on which the process may
/// allocate.
pub(super) fn read(root: &Path, online: &CpuSet, mems: Option<&CpuSet>, notes: &mut Vec<String>) -> Vec<NumaNode> {
    let folder = root.join("sys/devices/system/node");
    let mut ids = numbered(&folder, "node");
    let beyond = ids.len();
    ids.retain(|id| *id < CpuSet::MAX);
    if ids.len() < beyond {
        notes.push(format!("NUMA nodes from number {} on are left out", CpuSet::MAX));
    }
    if ids.is_empty() {
        notes.push("no NUMA nodes in sys/devices/system/node: taken as one".to_owned());
        let memory = text(&root.join("proc/meminfo")).and_then(|text| total(&text));
        let (cpus, near, distances) = (online.clone(), CpuSet::new(), vec![(0, LOCAL)]);
        return vec![NumaNode { id: 0, cpus, has_cpus: true, near, memory, may_allocate: true, distances }];
    }
    let graphics = graphics(root).intersection(&ids.iter().copied().collect());
    if !graphics.is_empty() {
        notes.push(format!("NUMA nodes {graphics} are the memory of graphics processors: left out"));
    }
    let own = ids.iter().filter(|id| !graphics.contains(**id));
    let mut nodes: Vec<NumaNode> = own.map(|id| node(&folder, *id, &ids, online, notes)).collect();
    nodes.iter_mut().for_each(|node| node.distances.retain(|(other, _)| !graphics.contains(*other)));
    if let Some(mems) = mems {
        if nodes.iter().any(|node| node.may_allocate && mems.contains(node.id)) {
            nodes.iter_mut().for_each(|node| node.may_allocate &= mems.contains(node.id));
        } else {
            notes.push(format!("the NUMA nodes {mems} that the process may allocate on are not there: not taken"));
        }
    }
    nodes
}

/// The nodes that are the memory of NVIDIA graphics processors, as the driver tells. The kernel shows them as nodes
/// without CPUs, but their memory is meant for the graphics processor.
fn graphics(root: &Path) -> CpuSet {
    let Ok(processors) = fs::read_dir(root.join("proc/driver/nvidia/gpus")) else { return CpuSet::new() };
    let node_of = |processor: fs::DirEntry| {
        let status = text(&processor.path().join("numa_status"))?;
        let node = status.lines().find_map(|line| line.trim().strip_prefix("Node:"))?;
        node.trim().parse().ok().filter(|node| *node < CpuSet::MAX)
    };
    processors.flatten().filter_map(node_of).collect()
}

fn node(folder: &Path, id: usize, ids: &[usize], online: &CpuSet, notes: &mut Vec<String>) -> NumaNode {
    let folder = folder.join(format!("node{id}"));
    let cpus = cpus(&folder);
    if cpus.is_none() {
        notes.push(format!("NUMA node {id} has no usable list of CPUs: taken as without"));
    }
    let cpus = cpus.unwrap_or_default().intersection(online);
    let memory = text(&folder.join("meminfo")).and_then(|text| total(&text));
    if memory.is_none() {
        notes.push(format!("NUMA node {id} does not tell how much memory it has"));
    }
    let distances = distances(&folder, ids);
    if distances.is_none() {
        notes.push(format!("NUMA node {id} has no usable list of distances"));
    }
    let distances = distances.unwrap_or_else(|| vec![(id, LOCAL)]);
    NumaNode { id, has_cpus: !cpus.is_empty(), cpus, near: CpuSet::new(), memory, may_allocate: true, distances }
}

/// Finds the CPUs that are near the nodes without any.
pub(super) fn find_near(root: &Path, nodes: &mut [NumaNode]) {
    let alone: Vec<usize> = (0..nodes.len()).filter(|index| !nodes[*index].has_cpus).collect();
    for index in alone {
        let told = told_near(root, &nodes[index], nodes);
        nodes[index].near = told.unwrap_or_else(|| nearest(&nodes[index], nodes));
    }
}

/// The CPUs near a node, by what the firmware tells of the best users of its memory. `access1` names CPUs only, so it
/// comes before `access0`, which may name a device.
fn told_near(root: &Path, node: &NumaNode, nodes: &[NumaNode]) -> Option<CpuSet> {
    let folder = root.join(format!("sys/devices/system/node/node{}", node.id));
    let classes = ["access1", "access0"].map(|class| folder.join(class).join("initiators"));
    let ids = numbered(&classes.into_iter().find(|class| class.is_dir())?, "node");
    let initiators = nodes.iter().filter(|other| ids.contains(&other.id));
    Some(initiators.fold(CpuSet::new(), |all, other| all.union(&other.cpus))).filter(|near| !near.is_empty())
}

/// The CPUs near a node, by distance. Empty if all nodes are equally far, or if the nearest is as near as the node
/// itself.
fn nearest(node: &NumaNode, nodes: &[NumaNode]) -> CpuSet {
    let others = || nodes.iter().filter(|other| other.id != node.id);
    let distance = |other: &NumaNode| node.distance(other.id);
    let Some(least) = others().filter(|other| other.has_cpus).filter_map(distance).min() else { return CpuSet::new() };
    let is_nearer = others().filter_map(distance).any(|distance| distance > least);
    if !is_nearer || node.distance(node.id).is_none_or(|own| own >= least) {
        return CpuSet::new();
    }
    let near = others().filter(|other| distance(other) == Some(least));
    near.fold(CpuSet::new(), |all, other| all.union(&other.cpus))
}

/// The CPUs of a node, perhaps none. `None` means that there is no usable file.
fn cpus(folder: &Path) -> Option<CpuSet> {
    let mask = text(&folder.join("cpumap")).and_then(|mask| CpuSet::from_mask(&mask));
    mask.or_else(|| list(&folder.join("cpulist")))
}

/// Reads one distance for each online node, in the order of the node numbers.
fn distances(folder: &Path, ids: &[usize]) -> Option<Vec<(usize, u32)>> {
    let text = text(&folder.join("distance"))?;
    let distances: Vec<u32> = text.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    (distances.len() == ids.len()).then(|| ids.iter().copied().zip(distances).collect())
}

/// The number of bytes in a line such as `Node 0 MemTotal: 8386704 kB`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.split_once("MemTotal:"))?.1;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
