//! Puts the parts of a loop's leaves together in their order, as a fixed tree.
//!
//! The tree is that of a knock-out of the leaves ([`crate::knockout`]).
//!
//! A thread that goes through adjacent leaves (a run) puts together the nodes of which it has both sides, in memory of
//! its own. At most one left node a level waits there. Two kinds of nodes have their neighbour in another run: a right
//! node whose left neighbour is not in this run, and the nodes that are left at the end of the run. Each pair of nodes
//! has a place of its own where its two threads meet ([`meeting`](crate::sync::meeting)). The thread that comes second
//! finds the other side there, and goes on upwards.
//!
//! Pairs are numbered by the leaf between their sides. So places that are side by side are of leaves that are side by
//! side, and as a rule of the same two threads.
//!
//! A panic while a node is put together counts at the last leaf of the run that does it. That is a leaf of the node,
//! and it makes no difference which one: all leaves of the node have gone well, so the other panics are before it or
//! behind it.

use std::ops::Range;

use super::leaves::{Body, Leaves, MAX_LEAVES};
use crate::knockout::Node;
use crate::sync::CachePadded;
use crate::sync::meeting::{self, Meeting, MeetingPlaces, Side};
use crate::unwind;

/// Levels of the largest tree, from a leaf to the root.
const LEVELS: usize = MAX_LEAVES.next_power_of_two().ilog2() as usize + 1;

/// The left nodes of a run that wait for their right neighbour, by level. None is left when the run has ended.
pub(in crate::pool) struct LeafRun<A>([Option<(Node, A)>; LEVELS]);

impl<A> Default for LeafRun<A> {
    #[inline]
    fn default() -> Self {
        Self([const { None }; LEVELS])
    }
}

/// Nodes that wait for a neighbour of another run, and in the end the root.
struct WaitingNodes<A> {
    pairs: MeetingPlaces<A>,
    /// Nobody comes here as the right side.
    root: Meeting<A>,
    /// A loop that has gone well has left nothing else.
    is_whole: bool,
}

const _: () = assert!(MAX_LEAVES <= meeting::MOST, "a place for each pair");

impl<A> Drop for WaitingNodes<A> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_whole {
            self.pairs.left_over().chain(self.root.left_over()).for_each(unwind::drop_value);
        }
    }
}

/// Makes a part of each leaf and puts them together; see the module.
pub(super) struct Tree<L, C, A> {
    leaves: Leaves,
    /// Makes the part of a leaf from the numbers of its items.
    leaf: L,
    combine: C,
    /// Padded: what is above is read at each leaf.
    waiting: CachePadded<WaitingNodes<A>>,
}

impl<L, C, A> Tree<L, C, A>
where
    L: Fn(Range<u64>) -> A + Sync,
    C: Fn(A, A) -> A + Sync,
    A: Send,
{
    #[inline]
    pub(in crate::pool) fn new(leaves: Leaves, leaf: L, combine: C) -> Self {
        Self {
            leaves,
            leaf,
            combine,
            waiting: CachePadded::new(WaitingNodes {
                pairs: MeetingPlaces::new(),
                root: Meeting::new(),
                is_whole: false,
            }),
        }
    }

    /// The part of all leaves, once the loop has ended well.
    pub(in crate::pool) fn whole(&mut self) -> A {
        let whole = self.waiting.root.left_over().expect("every leaf has given its part");
        self.waiting.is_whole = true;
        whole
    }

    fn root(&self) -> Node {
        Node { level: self.leaves.count.next_power_of_two().ilog2(), index: 0 }
    }

    /// Takes a part up the tree while the other sides are there.
    #[cold]
    fn climb(&self, run: &mut LeafRun<A>, mut node: Node, mut part: A) {
        while node != self.root() {
            if node.is_right() || node.neighbour().first() < u64::from(self.leaves.count) {
                let Some((left, right)) = self.meet(run, node, part) else { return };
                part = (self.combine)(left, right);
            }
            node = node.parent();
        }
        // SAFETY: (1) the root is made once, as all nodes are.
        #[expect(unsafe_code, reason = "a node is made once")]
        let met = unsafe { self.waiting.root.come(Side::Left, part) };
        debug_assert!(met.is_none(), "it has no neighbour");
    }

    /// Gives both sides if the other one is there, in the run or at the place of the pair. Otherwise this side waits
    /// there.
    fn meet(&self, run: &mut LeafRun<A>, node: Node, part: A) -> Option<(A, A)> {
        let neighbour = node.neighbour();
        let (side, right) = if node.is_right() { (Side::Right, node) } else { (Side::Left, neighbour) };
        if let Some(other) = run.take(neighbour) {
            return Some(if side == Side::Right { (other, part) } else { (part, other) });
        }
        let pair = u32::try_from(right.first()).expect("the number of a leaf");
        // SAFETY: (1) a node is made once: of a leaf, which is begun once, or of its two sides, which one thread gets.
        #[expect(unsafe_code, reason = "a node is made once")]
        unsafe {
            self.waiting.pairs.of(pair).come(side, part)
        }
    }
}

impl<A> LeafRun<A> {
    #[inline]
    fn take(&mut self, node: Node) -> Option<A> {
        self.0[node.level as usize].take_if(|(there, _)| *there == node).map(|(_, part)| part)
    }
}

impl<L, C, A> Body for Tree<L, C, A>
where
    L: Fn(Range<u64>) -> A + Sync,
    C: Fn(A, A) -> A + Sync,
    A: Send,
{
    type Run = LeafRun<A>;

    #[inline]
    fn leaf(&self, run: &mut LeafRun<A>, leaf: u32, items: Range<u64>) {
        let mut part = (self.leaf)(items);
        let mut node = Node::of_block(u64::from(leaf));
        while node.is_right() {
            let Some(left) = run.take(node.neighbour()) else { return self.climb(run, node, part) };
            part = (self.combine)(left, part);
            node = node.parent();
        }
        run.0[node.level as usize] = Some((node, part));
    }

    fn end(&self, run: &mut LeafRun<A>) {
        for level in 0..LEVELS {
            if let Some((node, part)) = run.0[level].take() {
                self.climb(run, node, part);
            }
        }
    }
}
