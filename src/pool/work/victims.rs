//! From which seats a thief steals first, and which seats have something to steal.
//!
//! The victims of a seat form three tiers:
//! 1. the seats of its node that share its L3 cache;
//! 2. the other seats of its node, and the seats of all guests and compensating threads;
//! 3. the seats of other nodes, the nearer nodes first.
//!
//! A thief goes through each tier, and through each node of the last one, from a random place on. Each seat counts its
//! steals by tier.
//!
//! # Who shows jobs
//! With 128 seats a look at each takes longer than many a job. So seats are in *blocks*: those of an L3 domain, or of
//! guests and compensating threads. One word of a block has a bit for each seat. The thread that has the far end of a
//! seat's ring sets the bit when it has put a job into the public deque, and only the occupant takes it away, when it
//! sees the deque empty while it has the far end. So a seat with a public job has its bit: whoever sees the job, by the
//! fences of the event count, sees the bit as well. A bit may be there though the deque is empty. Then thieves look at
//! a deque that does not change, and which they have in their caches.

use super::layout::Layout;
use crate::sync::marks::{BLOCK, Mark, Marks};

/// The tier of other nodes.
pub(super) const AFAR: usize = 2;

/// Up to [`BLOCK`] seats. All are in one L3 domain, or none is a worker's.
#[derive(Debug)]
struct Block {
    seats: Box<[u32]>,
    /// Which seats show jobs.
    shows: Marks,
    /// Which seats are not asked for jobs.
    unasked: Marks,
}

/// Blocks that are equally far.
#[derive(Debug)]
struct Group {
    blocks: Box<[u32]>,
    tier: usize,
}

/// The order in which a thief goes through its victims, for each spot where a thief may be. A spot is an L3 domain, or
/// a node for those who are just somewhere there.
#[derive(Debug)]
pub(in crate::pool) struct Victims {
    blocks: Box<[Block]>,
    /// For each seat: its block, its place there, and its spot.
    seats: Box<[(u32, u32, u32)]>,
    /// For each spot: all blocks.
    orders: Box<[Box<[Group]>]>,
}

impl Victims {
    /// For so many seats, workers first.
    pub(in crate::pool) fn new(layout: &Layout, seats: usize) -> Self {
        let (nodes, domains) = (layout.nodes(), layout.domains_of(layout.nodes() - 1).end);
        let number = |number: usize| u32::try_from(number).expect("few seats");
        let mut blocks: Vec<Block> = Vec::new();
        let mut add = |seats: &[usize]| -> Vec<u32> {
            let begin = blocks.len();
            blocks.extend(seats.chunks(BLOCK).map(|seats| Block {
                seats: seats.iter().map(|seat| number(*seat)).collect(),
                shows: Marks::default(),
                unasked: Marks::default(),
            }));
            (begin..blocks.len()).map(number).collect()
        };
        let of_domain: Vec<_> = (0..domains).map(|domain| add(layout.workers_of(domain))).collect();
        let anywhere = add(&(layout.workers()..seats).collect::<Vec<_>>());
        let mut by_seat = vec![(0, 0, 0); seats].into_boxed_slice();
        for (block, Block { seats, .. }) in blocks.iter().enumerate() {
            for (place, seat) in seats.iter().enumerate() {
                let seat = *seat as usize;
                let spot = if seat < layout.workers() { layout.at(seat).domain } else { domains + layout.node(seat) };
                by_seat[seat] = (number(block), number(place), number(spot));
            }
        }
        let order = |home: Option<usize>, node: usize| {
            let own = home.filter(|home| layout.is_l3(*home));
            let group = |tier, blocks: Vec<u32>| Group { blocks: blocks.into(), tier };
            let all_of =
                |node| layout.domains_of(node).filter(|domain| Some(*domain) != own).flat_map(|at| &of_domain[at]);
            let same_l3 = own.map(|own| group(0, of_domain[own].clone()));
            let same_node = group(1, all_of(node).chain(&anywhere).copied().collect());
            let others = layout.near(node)[1..].iter().map(|node| group(AFAR, all_of(*node).copied().collect()));
            let groups = same_l3.into_iter().chain([same_node]).chain(others);
            groups.filter(|group| !group.blocks.is_empty()).collect::<Box<[Group]>>()
        };
        let node_of = |domain: usize| (0..nodes).find(|node| layout.domains_of(*node).contains(&domain));
        let at_domain = (0..domains).map(|domain| order(Some(domain), node_of(domain).expect("each is on a node")));
        let orders = at_domain.chain((0..nodes).map(|node| order(None, node))).collect();
        Self { blocks: blocks.into(), seats: by_seat, orders }
    }

    /// The bits of a seat: whether it shows jobs, and whether it is not asked for some.
    pub(in crate::pool) fn marks(&self, seat: usize) -> [Mark; 2] {
        let (block, place, _) = self.seats[seat];
        let Block { shows, unasked, .. } = &self.blocks[block as usize];
        [shows, unasked].map(|marks| marks.mark(place as usize))
    }

    fn spot(&self, seat: usize) -> usize {
        self.seats[seat].2 as usize
    }

    /// All blocks and the tier of each, tier by tier. `random` tells at which block of a group to begin.
    fn blocks(&self, spot: usize, random: u64) -> impl Iterator<Item = (&Block, usize)> {
        self.orders[spot].iter().flat_map(move |Group { blocks, tier }| {
            let first = place(random, blocks.len());
            (first..blocks.len()).chain(0..first).map(|at| (&self.blocks[blocks[at] as usize], *tier))
        })
    }

    /// All victims of `thief`, tier by tier.
    pub(super) fn of(&self, thief: usize, random: u64) -> impl Iterator<Item = usize> {
        let blocks = self.blocks(self.spot(thief), random);
        blocks.flat_map(move |(block, _)| block.from(random)).filter(move |seat| *seat != thief)
    }

    /// The victims of `thief` that seem to have public jobs, and the tier of each, tier by tier.
    pub(super) fn showing(&self, thief: usize, random: u64) -> impl Iterator<Item = (usize, usize)> {
        let blocks = self.blocks(self.spot(thief), random);
        let seats =
            blocks.flat_map(move |(block, tier)| block.marked(&block.shows, random).map(move |seat| (seat, tier)));
        seats.filter(move |(seat, _)| *seat != thief)
    }

    /// All seats that seem to have public jobs, the nearest to an L3 domain first.
    pub(in crate::pool) fn showing_near(&self, domain: usize) -> impl Iterator<Item = usize> {
        self.blocks(domain, 0).flat_map(|(block, _)| block.marked(&block.shows, 0))
    }

    /// The victims of `thief` that it asks for jobs each time: those near by, all others that nobody has asked, and those
    /// of one more block, so that it sees their shields.
    pub(super) fn to_ask(&self, thief: usize, random: u64) -> impl Iterator<Item = usize> {
        let (own, blocks) = (self.seats[thief].0 as usize, self.blocks.len());
        let other = (blocks > 1).then(|| (own + 1 + place(random, blocks - 1)) % blocks);
        let full = [Some(own), other].into_iter().flatten().flat_map(move |block| self.blocks[block].from(random));
        let seats = full.chain(self.unasked());
        seats.filter(move |seat| *seat != thief)
    }

    /// All seats that are not asked for jobs.
    pub(in crate::pool) fn unasked(&self) -> impl Iterator<Item = usize> {
        self.blocks.iter().flat_map(|block| block.marked(&block.unasked, 0))
    }
}

impl Block {
    fn place(&self, random: u64) -> usize {
        place(random / BLOCK as u64, self.seats.len()) // the rest of it has chosen the block
    }

    /// Its seats, from a random one on.
    fn from(&self, random: u64) -> impl Iterator<Item = usize> {
        let first = self.place(random);
        self.seats[first..].iter().chain(&self.seats[..first]).map(|seat| *seat as usize)
    }

    /// Those of its seats that have a mark, from a random one on.
    fn marked(&self, marks: &Marks, random: u64) -> impl Iterator<Item = usize> {
        let first = self.place(random);
        let mut bits = marks.load().rotate_right(u32::try_from(first).expect("few seats"));
        std::iter::from_fn(move || {
            let at = (bits != 0).then_some(bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some(self.seats[(first + at) % BLOCK] as usize)
        })
    }
}

/// A random one of so many places.
fn place(random: u64, places: usize) -> usize {
    usize::try_from(random % places as u64).expect("below a usize")
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;
    use crate::sync::atomic::Ordering;
    use crate::topology::Topology;

    #[test]
    fn the_nearest_come_first() {
        let server = Topology::synthetic("numa:2 l3:2 core:2 pu:1").expect("a machine");
        let workers: Vec<_> = server.cores().iter().map(|core| (core.node(), core.l3())).collect();
        let layout = Layout::new(&workers, &server);
        assert_eq!((layout.workers(), layout.nodes()), (8, 2));
        let victims = Victims::new(&layout, 9);
        (0..9).for_each(|seat| victims.marks(seat)[0].set(Ordering::Relaxed));
        for random in 0..100 {
            let order: Vec<usize> = victims.of(5, random).collect();
            assert_eq!(order[0], 4, "the one in the same L3 domain");
            let mut home = order[1..4].to_vec();
            home.sort_unstable();
            assert_eq!(home, [6, 7, 8], "the others of the node, and the guest");
            assert!(order[4..].iter().all(|seat| *seat < 4));
            assert!(victims.showing(5, random).map(|(_, tier)| tier).eq([0, 1, 1, 1, 2, 2, 2, 2]));
        }
        let firsts: std::collections::BTreeSet<usize> =
            (0..100).filter_map(|random| victims.of(5, random).nth(4)).collect();
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
        let victims = Victims::new(&layout, 3);
        (0..3).for_each(|seat| victims.marks(seat)[0].set(Ordering::Relaxed));
        let order: Vec<_> = victims.showing(1, 7).collect();
        assert_eq!(order.len(), 2);
        assert!(order.iter().all(|(_, tier)| *tier == 1), "none is known to share a cache");
    }
}
