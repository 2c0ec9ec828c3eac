//! Where each seat is: its NUMA node and its L3 domain, and how far the others are.
//!
//! If workers are not bound to nodes, there is one node. If the L3 domains are not known, each node is one.

use crate::sync::event_count::At;
use crate::topology::Topology;

/// The node and the L3 domain of each worker, and how far the nodes are from each other.
#[derive(Clone, Debug)]
pub(in crate::pool) struct Layout {
    /// For each worker: its node, as an index.
    nodes: Vec<usize>,
    /// For each worker: its L3 domain, if it is known and the worker stays there.
    l3: Vec<Option<usize>>,
    /// For each worker: the one CPU that it is bound to.
    cpus: Vec<Option<usize>>,
    /// The system's numbers of the nodes.
    ids: Vec<usize>,
    /// For each node: all nodes, the nearest first. The node itself comes before all.
    near: Vec<Vec<usize>>,
    domains: Domains,
}

/// Workers by node and L3 domain. If the L3 domains are not known, each node is one.
#[derive(Clone, Debug)]
struct Domains {
    /// For each worker: its domain, as an index.
    of: Vec<usize>,
    /// For each node: its first domain.
    first: Vec<usize>,
    /// For each domain: all domains, the nearest first.
    near: Vec<Vec<usize>>,
    /// For each domain: its workers.
    workers: Vec<Vec<usize>>,
}

impl Domains {
    /// `near`: for each node, all nodes.
    fn new(nodes: &[usize], l3: &[Option<usize>], near: &[Vec<usize>]) -> Self {
        let spots: Vec<_> = nodes.iter().copied().zip(l3.iter().copied()).collect();
        let mut sorted = spots.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let of: Vec<usize> =
            spots.iter().map(|spot| sorted.binary_search(spot).expect("all are in the list")).collect();
        let node = |domain: &usize| sorted[*domain].0;
        let first = (0..near.len()).map(|at| sorted.partition_point(|(node, _)| *node < at)).collect();
        let count = sorted.len();
        let order = |from: usize| {
            let mut order: Vec<usize> = (0..count).collect();
            let rank = |to: &usize| near[node(&from)].iter().position(|near| *near == node(to));
            // Of those that are equally far, each domain begins at another one.
            order.sort_by_key(|to| (*to != from, rank(to), (to + count - from) % count));
            order
        };
        let workers = |domain| (0..of.len()).filter(|worker| of[*worker] == domain).collect();
        let (near, workers) = ((0..count).map(order).collect(), (0..count).map(workers).collect());
        Self { of, first, near, workers }
    }
}

impl Layout {
    /// The layout of workers that are bound to nothing in particular.
    pub(crate) fn flat(workers: usize) -> Self {
        Self {
            nodes: vec![0; workers],
            l3: vec![None; workers],
            cpus: vec![None; workers],
            ids: vec![0],
            near: vec![vec![0]],
            domains: Domains::new(&vec![0; workers], &vec![None; workers], &[vec![0]]),
        }
    }

    /// The layout of workers at these nodes (by the system's numbers) and L3 domains. If one worker has no node, all
    /// workers are on one node.
    pub(crate) fn new(workers: &[(Option<usize>, Option<usize>)], topology: &Topology) -> Self {
        let Some(at) = workers.iter().map(|(node, _)| *node).collect::<Option<Vec<usize>>>() else {
            return Self::flat(workers.len());
        };
        let mut ids = at.clone();
        ids.sort_unstable();
        ids.dedup();
        let index = |id: &usize| ids.binary_search(id).expect("all are in the list");
        let nodes: Vec<usize> = at.iter().map(index).collect();
        let distance = |from: usize, to: usize| {
            let known = topology.numa_node(from).and_then(|node| node.distance(to));
            known.unwrap_or(if from == to { 10 } else { 20 })
        };
        let near = ids.iter().enumerate().map(|(from, id)| {
            let mut near: Vec<usize> = (0..ids.len()).collect();
            // Some nodes may be equally far from this one. The order of these begins at another one for each node.
            near.sort_by_key(|to| (*to != from, distance(*id, ids[*to]), (to + ids.len() - from) % ids.len()));
            near
        });
        let near: Vec<Vec<usize>> = near.collect();
        let l3: Vec<Option<usize>> = workers.iter().map(|(_, l3)| *l3).collect();
        let domains = Domains::new(&nodes, &l3, &near);
        Self { nodes, l3, cpus: vec![None; workers.len()], ids, near, domains }
    }

    /// The same layout with the one CPU of each worker. None: the worker is bound to no CPU, or to several.
    pub(in crate::pool) fn bound_to(mut self, cpus: Vec<Option<usize>>) -> Self {
        debug_assert_eq!(cpus.len(), self.workers());
        self.cpus = cpus;
        self
    }

    /// Whether the first worker is bound to one CPU. As a rule all workers are then.
    pub(in crate::pool) fn is_bound(&self) -> bool {
        self.cpus.first().is_some_and(Option::is_some)
    }

    /// Where a seat is.
    pub(crate) fn at(&self, seat: usize) -> At {
        At { node: self.node(seat), domain: self.domain(seat), cpu: self.cpus.get(seat).copied().flatten() }
    }

    /// The L3 domain of a seat. Guests and compensating threads are taken for threads of the first domain of their node.
    fn domain(&self, seat: usize) -> usize {
        self.domains.of.get(seat).copied().unwrap_or_else(|| self.first_domain(self.node(seat)))
    }

    /// The first L3 domain of a node.
    pub(in crate::pool) fn first_domain(&self, node: usize) -> usize {
        self.domains.first[node]
    }

    /// All L3 domains, the nearest to `domain` first. The domain itself comes before all.
    pub(in crate::pool) fn near_domains(&self, domain: usize) -> &[usize] {
        &self.domains.near[domain]
    }

    /// How many of `seats` seats are in each L3 domain.
    pub(in crate::pool) fn seats_by_domain(&self, seats: usize) -> Vec<usize> {
        let mut count = vec![0; self.domains.near.len()];
        (0..seats).for_each(|seat| count[self.domain(seat)] += 1);
        count
    }

    pub(crate) fn workers(&self) -> usize {
        self.nodes.len()
    }

    /// How many nodes there are; at least one.
    pub(crate) fn nodes(&self) -> usize {
        self.ids.len()
    }

    /// The node of a seat. The seats of guests and compensating threads come after those of workers, and take the nodes
    /// in turn.
    pub(crate) fn node(&self, seat: usize) -> usize {
        self.nodes.get(seat).copied().unwrap_or_else(|| (seat - self.workers()) % self.nodes())
    }

    /// The node with the system's number `id`, if a worker is there.
    pub(in crate::pool) fn index_of(&self, id: usize) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// All nodes, the nearest to `node` first. The node itself comes before all.
    pub(crate) fn near(&self, node: usize) -> &[usize] {
        &self.near[node]
    }

    /// Whether it is known which workers of this domain share an L3 cache.
    pub(super) fn is_l3(&self, domain: usize) -> bool {
        self.domains.workers[domain].iter().any(|worker| self.l3[*worker].is_some())
    }

    /// The L3 domains of a node.
    pub(super) fn domains_of(&self, node: usize) -> std::ops::Range<usize> {
        let end = self.domains.first.get(node + 1).copied().unwrap_or(self.domains.near.len());
        self.domains.first[node]..end
    }

    /// The workers of an L3 domain.
    pub(super) fn workers_of(&self, domain: usize) -> &[usize] {
        &self.domains.workers[domain]
    }
}
