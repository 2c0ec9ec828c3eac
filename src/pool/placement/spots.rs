//! Finds the CPU or the NUMA node of each worker of a pool.

use std::collections::BTreeMap;

use super::register::CpuClaims;
use crate::topology::{Core, CpuSet, Topology};

/// A worker's CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pool) struct WorkerCpu {
    pub(in crate::pool) cpu: usize,
    /// Its core, as an index into [`Topology::cores`].
    pub(in crate::pool) core: usize,
}

/// A CPU for each worker. Cores without a claim come first, then free CPUs of claimed cores, then the CPUs with the
/// fewest claims. Of equal ones it takes those that are near each other: in as few packages, nodes and L3 domains as
/// possible.
pub(in crate::pool) fn on_cores(topology: &Topology, workers: usize, claims: &CpuClaims) -> Vec<WorkerCpu> {
    let cores = topology.cores();
    let claimed = |core: &Core| core.cpus().iter().map(|cpu| (claims.of(cpu), cpu)).collect();
    let mut load: Vec<Vec<(usize, usize)>> = cores.iter().map(claimed).collect();
    let mut spots = Vec::with_capacity(workers);
    while spots.len() < workers {
        let keys = load.iter().map(|cpus| (cpus.iter().min().map(|(claims, _)| *claims), total(cpus)));
        let keys: Vec<_> = keys.collect();
        let least = keys.iter().min().expect("some core");
        let free = (0..cores.len()).filter(|core| keys[*core] == *least).collect();
        let mut round = nearest(cores, free, workers - spots.len(), LEVELS);
        round.sort_unstable_by_key(|core| (LEVELS[0](&cores[*core]), *core));
        spots.extend(round.into_iter().map(|core| {
            let (claims, cpu) = load[core].iter_mut().min().expect("a core has a CPU");
            *claims += 1;
            WorkerCpu { cpu: *cpu, core }
        }));
    }
    spots
}

fn total(cpus: &[(usize, usize)]) -> usize {
    cpus.iter().map(|(claims, _)| claims).sum()
}

/// The part of the machine that a core is in.
type Part = [Option<usize>; 3];

/// L3 domains, nodes and packages: each part lies inside one of the next level.
const LEVELS: &[fn(&Core) -> Part] = &[
    |core| [core.package(), core.node(), core.l3()],
    |core| [core.package(), core.node(), None],
    |core| [core.package(), None, None],
];

/// Chooses at most `count` of some cores. If a part has enough of them, all are of one part: of the innermost level
/// that has such a part, and there of the part with the fewest cores.
fn nearest(cores: &[Core], from: Vec<usize>, count: usize, levels: &[fn(&Core) -> Part]) -> Vec<usize> {
    if from.len() <= count {
        return from;
    }
    for (depth, part_of) in levels.iter().enumerate() {
        let parts = parts(cores, &from, *part_of).into_values();
        if let Some(part) = parts.filter(|part| part.len() >= count).min_by_key(Vec::len) {
            return fill(cores, part, count, &levels[..depth]);
        }
    }
    fill(cores, from, count, levels)
}

/// Chooses `count` of some cores when no part of these levels has enough: the largest part as a whole, then others.
fn fill(cores: &[Core], mut from: Vec<usize>, count: usize, levels: &[fn(&Core) -> Part]) -> Vec<usize> {
    let Some(part_of) = levels.last() else {
        from.truncate(count);
        return from;
    };
    let parts = parts(cores, &from, *part_of);
    let (largest, mut taken) = parts.into_iter().rev().max_by_key(|(_, part)| part.len()).expect("some core");
    from.retain(|core| part_of(&cores[*core]) != largest);
    let left = count - taken.len();
    taken.extend(nearest(cores, from, left, levels));
    taken
}

fn parts(cores: &[Core], from: &[usize], part_of: fn(&Core) -> Part) -> BTreeMap<Part, Vec<usize>> {
    let mut parts: BTreeMap<Part, Vec<usize>> = BTreeMap::new();
    from.iter().for_each(|core| parts.entry(part_of(&cores[*core])).or_default().push(*core));
    parts
}

/// The nodes that have cores, each with its number of cores and its allowed CPUs. Cores on no node count as one node.
fn nodes(topology: &Topology) -> BTreeMap<Option<usize>, (usize, CpuSet)> {
    let mut nodes: BTreeMap<Option<usize>, (usize, CpuSet)> = BTreeMap::new();
    for core in topology.cores() {
        let (cores, cpus) = nodes.entry(core.node()).or_default();
        *cores += 1;
        *cpus = cpus.union(core.cpus());
    }
    nodes
}

/// How many nodes there are to spread workers over.
pub(super) fn node_count(topology: &Topology) -> usize {
    nodes(topology).len()
}

/// A node for each worker, with the node's CPUs. Each node gets workers by its share of the cores (after
/// Sainte-Laguë), and the workers of a node follow each other.
pub(super) fn on_nodes(topology: &Topology, workers: usize) -> Vec<(Option<usize>, CpuSet)> {
    let nodes: Vec<_> = nodes(topology).into_iter().map(|(node, (cores, cpus))| (node, cores, cpus)).collect();
    let mut counts = vec![0; nodes.len()];
    for _ in 0..workers {
        // The node with the most cores for each worker, if the next worker counts by half. Compared without a division.
        let needier = |a: usize, b: usize| nodes[a].1 * (2 * counts[b] + 1) > nodes[b].1 * (2 * counts[a] + 1);
        let next = (1..nodes.len()).fold(0, |best, node| if needier(node, best) { node } else { best });
        counts[next] += 1;
    }
    let repeated = nodes.into_iter().zip(counts);
    repeated.flat_map(|((node, _, cpus), count)| std::iter::repeat_n((node, cpus), count)).collect()
}
