//! Where each seat is, and from which seats a thief steals first.
//!
//! Seats are grouped by the NUMA node that their worker is bound to. The victims of a seat form three tiers:
//! 1. the seats of its node that share its L3 cache;
//! 2. the other seats of its node, and the seats of all guests and compensating threads;
//! 3. the seats of other nodes, the nearer nodes first.
//!
//! A thief goes through each tier, and through each node of the last one, from a random place on. If workers are not
//! bound to nodes, there is one node. Each seat counts its steals by tier.

use crate::sync::event_count::At;
use crate::topology::Topology;

/// The tier of other nodes.
pub(super) const AFAR: usize = 2;

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

    /// The seats of all workers, those nearest to `domain` first.
    pub(in crate::pool) fn workers_near(&self, domain: usize) -> impl Iterator<Item = usize> + '_ {
        self.near_domains(domain).iter().flat_map(|domain| &self.domains.workers[*domain]).copied()
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

    /// For each of `seats` seats, the order in which a thief there goes through the others.
    pub(in crate::pool) fn victims(&self, seats: usize) -> Victims {
        let at = |seat: usize| (self.node(seat), self.l3.get(seat).copied().flatten());
        let mut spots: Vec<_> = (0..seats).map(at).collect();
        let by_seat = spots.clone();
        spots.sort_unstable();
        spots.dedup();
        let index = |spot| u32::try_from(spots.binary_search(spot).expect("all are in the list")).expect("few seats");
        let spot = by_seat.iter().map(index).collect();
        let tiers = spots.iter().map(|spot| self.tiers(*spot, seats)).collect();
        Victims { tiers, spot }
    }

    /// All seats in tiers around a node and L3 domain.
    fn tiers(&self, (node, l3): (usize, Option<usize>), seats: usize) -> Tiers {
        let group_of = |victim: usize| {
            if victim >= self.workers() {
                return 1; // guests and compensating threads are anywhere
            }
            let rank = self.near(node).iter().position(|near| *near == self.node(victim));
            let rank = rank.expect("every node is in the list");
            let shares_l3 = rank == 0 && l3.is_some() && l3 == self.l3[victim];
            if shares_l3 { 0 } else { 1 + rank }
        };
        let mut order: Vec<(usize, u32)> =
            (0..seats).map(|seat| (group_of(seat), u32::try_from(seat).expect("few seats"))).collect();
        order.sort_unstable();
        let near = std::array::from_fn(|tier| order.partition_point(|(group, _)| *group <= tier));
        let ends = (1..=seats).filter(|place| *place == seats || order[*place].0 != order[place - 1].0).collect();
        Tiers { order: order.into_iter().map(|(_, seat)| seat).collect(), ends, near }
    }
}

/// The order in which a thief goes through its victims, for each spot where a thief may be.
#[derive(Debug)]
pub(in crate::pool) struct Victims {
    /// The order for each spot. A spot is a node with an L3 domain or without one.
    tiers: Box<[Tiers]>,
    /// The spot of each seat.
    spot: Box<[u32]>,
}

/// All seats, in tiers around a spot. The last tier is in groups, one for each node.
#[derive(Debug)]
struct Tiers {
    order: Box<[u32]>,
    /// Where each group ends. A group is one of the first two tiers, or a node of the last one. None is empty.
    ends: Box<[usize]>,
    /// Where each of the first two tiers ends, also if it is empty.
    near: [usize; AFAR],
}

impl Victims {
    /// All victims of `thief` and the tier of each, tier by tier. `random` tells at which place of a group the thief
    /// begins.
    pub(crate) fn of(&self, thief: usize, random: u64) -> impl Iterator<Item = (usize, usize)> + '_ {
        let Tiers { order, ends, near } = &self.tiers[self.spot[thief] as usize];
        let begins = std::iter::once(0).chain(ends.iter().copied());
        let groups = begins.zip(ends).map(move |(begin, end)| {
            let first = begin + usize::try_from(random % (end - begin) as u64).expect("below a usize");
            (first..*end).chain(begin..first)
        });
        let tier = |place| near.iter().filter(|end| place >= **end).count();
        let seats = groups.flatten().map(move |place| (order[place] as usize, tier(place)));
        seats.filter(move |(seat, _)| *seat != thief)
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first() {
        let server = Topology::synthetic("numa:2 l3:2 core:2 pu:1").expect("a machine");
        let workers: Vec<_> = server.cores().iter().map(|core| (core.node(), core.l3())).collect();
        let layout = Layout::new(&workers, &server);
        assert_eq!((layout.workers(), layout.nodes()), (8, 2));
        let victims = layout.victims(9);
        for random in 0..100 {
            let order: Vec<usize> = victims.of(5, random).map(|(seat, _)| seat).collect();
            assert_eq!(order[0], 4, "the one in the same L3 domain");
            let mut home = order[1..4].to_vec();
            home.sort_unstable();
            assert_eq!(home, [6, 7, 8], "the others of the node, and the guest");
            assert!(order[4..].iter().all(|seat| *seat < 4));
            assert!(victims.of(5, random).map(|(_, tier)| tier).eq([0, 1, 1, 1, 2, 2, 2, 2]));
        }
        let firsts: std::collections::BTreeSet<usize> =
            (0..100).filter_map(|random| victims.of(5, random).nth(4)).map(|(seat, _)| seat).collect();
        assert_eq!(firsts.len(), 4, "each may be the first of its tier");
    }

    #[test]
    fn near_nodes_come_before_far_ones() {
        let server = Topology::synthetic("pack:2 numa:2 core:1 pu:1").expect("a machine");
        let workers: Vec<_> = server.cores().iter().map(|core| (core.node(), core.l3())).collect();
        let layout = Layout::new(&workers, &server);
        assert_eq!(layout.near(3), [3, 2, 0, 1]);
        assert_eq!(layout.near(1)[..2], [1, 0]);
        assert_eq!((layout.index_of(3), layout.index_of(4)), (Some(3), None));
    }

    #[test]
    fn workers_that_are_nowhere_are_on_one_node() {
        let here = Topology::synthetic("numa:2 core:1 pu:1").expect("a machine");
        let layout = Layout::new(&[(Some(0), None), (None, None)], &here);
        assert_eq!((layout.nodes(), layout.near(0)), (1, &[0][..]));
        let victims = layout.victims(3);
        let order: Vec<_> = victims.of(1, 7).collect();
        assert_eq!(order.len(), 2);
        assert!(order.iter().all(|(_, tier)| *tier == 1), "none is known to share a cache");
    }
}
