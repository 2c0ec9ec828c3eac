//! Which CPU each worker of a pool gets, or which NUMA node.

use std::collections::BTreeMap;

use super::register::Claims;
use crate::topology::{Core, CpuSet, Topology};

/// A worker's CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) cpu: usize,
    /// Its core, as an index into [`Topology::cores`].
    pub(super) core: usize,
}

/// A CPU for each worker. Cores that nobody has claimed come first, then their other CPUs, then those with the fewest
/// claims; of equal ones those that are near each other: in as few packages, nodes and L3 domains as possible.
pub(super) fn on_cores(topology: &Topology, workers: usize, claims: &Claims) -> Vec<Spot> {
    let cores = topology.cores();
    let claimed = |core: &Core| core.cpus().iter().map(|cpu| (claims.of(cpu), cpu)).collect();
    let mut load: Vec<Vec<(usize, usize)>> = cores.iter().map(claimed).collect();
    let mut spots = Vec::with_capacity(workers);
    while spots.len() < workers {
        let keys = load.iter().map(|cpus| (cpus.iter().min().map(|(claims, _)| *claims), total(cpus)));
        let keys: Vec<_> = keys.collect();
        let least = keys.iter().min().expect("some core");
        let free = (0..cores.len()).filter(|core| keys[*core] == *least).collect();
        let mut round = nearest(cores, free, workers - spots.len(), &[Core::package, Core::node, Core::l3]);
        round.sort_unstable_by_key(|core| (cores[*core].package(), cores[*core].node(), cores[*core].l3(), *core));
        spots.extend(round.into_iter().map(|core| {
            let (claims, cpu) = load[core].iter_mut().min().expect("a core has a CPU");
            *claims += 1;
            Spot { cpu: *cpu, core }
        }));
    }
    spots
}

fn total(cpus: &[(usize, usize)]) -> usize {
    cpus.iter().map(|(claims, _)| claims).sum()
}

/// At most `count` of some cores. Level by level, from the outermost: the smallest part that has enough of them, or else
/// the largest first.
fn nearest(cores: &[Core], from: Vec<usize>, count: usize, levels: &[fn(&Core) -> Option<usize>]) -> Vec<usize> {
    let [part_of, inner @ ..] = levels else { return from.into_iter().take(count).collect() };
    if from.len() <= count {
        return from;
    }
    let mut parts: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    from.into_iter().for_each(|core| parts.entry(part_of(&cores[core])).or_default().push(core));
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        let left = count - taken.len();
        let size = |part: &[usize]| if part.len() >= left { (0, part.len()) } else { (1, usize::MAX - part.len()) };
        let best = parts.iter().min_by_key(|(_, part)| size(part)).map(|(key, _)| *key);
        let part = best.and_then(|key| parts.remove(&key)).expect("there are more than are wanted");
        taken.extend(nearest(cores, part, left, inner));
    }
    taken
}

/// The nodes that have cores, each with its allowed CPUs. Cores that are on none count as one.
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

/// A node for each worker, with its CPUs: to each as many as its share of the cores is (after Sainte-Laguë), those of a
/// node one after the other.
pub(super) fn on_nodes(topology: &Topology, workers: usize) -> Vec<(Option<usize>, CpuSet)> {
    let nodes: Vec<_> = nodes(topology).into_iter().map(|(node, (cores, cpus))| (node, cores, cpus)).collect();
    let mut counts = vec![0; nodes.len()];
    for _ in 0..workers {
        // The most cores for each worker, with the next one counted by half: compared without a division.
        let needier = |a: usize, b: usize| nodes[a].1 * (2 * counts[b] + 1) > nodes[b].1 * (2 * counts[a] + 1);
        let next = (1..nodes.len()).fold(0, |best, node| if needier(node, best) { node } else { best });
        counts[next] += 1;
    }
    let repeated = nodes.into_iter().zip(counts);
    repeated.flat_map(|((node, _, cpus), count)| std::iter::repeat_n((node, cpus), count)).collect()
}
