//! Puts the parts of a loop's leaves together in their order, as a fixed tree.
//!
//! The tree is that of a knock-out of the leaves ([`crate::knockout`]).
//!
//! A thread that goes through adjacent leaves (a run) puts together the nodes of which it has both sides, in memory of
//! its own. At most one left node a level waits there. Two kinds of nodes go to a table that all threads share: a right
//! node whose left neighbour is of another run, and the nodes that are left at the end of the run. The thread that
//! comes second finds the other side there, and goes on upwards.
//!
//! A panic while a node is put together counts at the last leaf of the run that does it. That is a leaf of the node,
//! and it makes no difference which one: all leaves of the node have gone well, so the other panics are before it or
//! behind it.

use std::ops::Range;

use super::leaves::{Body, Leaves, MAX_LEAVES};
use crate::knockout::Node;
use crate::sync::Mutex;
use crate::unwind;

/// Levels of the largest tree, from a leaf to the root.
const LEVELS: usize = MAX_LEAVES.next_power_of_two().ilog2() as usize + 1;
/// This many parts wait for their other side without an allocation. Few do.
const NEAR: usize = 16;

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
    near: [Option<(Node, A)>; NEAR],
    far: Vec<(Node, A)>,
}

impl<A> WaitingNodes<A> {
    fn put(&mut self, node: Node, part: A) {
        match self.near.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some((node, part)),
            None => self.far.push((node, part)),
        }
    }

    fn take(&mut self, node: Node) -> Option<A> {
        let near = self.near.iter_mut().find_map(|place| place.take_if(|(there, _)| *there == node));
        let far = || Some(self.far.swap_remove(self.far.iter().position(|(there, _)| *there == node)?));
        near.or_else(far).map(|(_, part)| part)
    }
}

impl<A> Drop for WaitingNodes<A> {
    fn drop(&mut self) {
        let near = self.near.iter_mut().filter_map(Option::take);
        near.chain(self.far.drain(..)).for_each(unwind::drop_value);
    }
}

/// Makes a part of each leaf and puts them together; see the module.
pub(super) struct Tree<L, C, A> {
    leaves: Leaves,
    /// Makes the part of a leaf from the numbers of its items.
    leaf: L,
    combine: C,
    table: Mutex<WaitingNodes<A>>,
}

impl<L, C, A> Tree<L, C, A>
where
    L: Fn(Range<u64>) -> A + Sync,
    C: Fn(A, A) -> A + Sync,
    A: Send,
{
    pub(in crate::pool) fn new(leaves: Leaves, leaf: L, combine: C) -> Self {
        Self {
            leaves,
            leaf,
            combine,
            table: Mutex::new(WaitingNodes { near: [const { None }; NEAR], far: Vec::new() }),
        }
    }

    /// The part of all leaves, once the loop has ended well.
    pub(in crate::pool) fn whole(&self) -> A {
        self.table.lock().take(self.root()).expect("every leaf has given its part")
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
        self.table.lock().put(node, part);
    }

    /// Gives both sides if the other one is there, in the run or in the table. Otherwise this side waits in the table.
    fn meet(&self, run: &mut LeafRun<A>, node: Node, part: A) -> Option<(A, A)> {
        let neighbour = node.neighbour();
        let mut other = run.take(neighbour);
        if other.is_none() {
            let mut table = self.table.lock();
            other = table.take(neighbour);
            if other.is_none() {
                table.put(node, part);
                return None;
            }
        }
        other.map(|other| if node.is_right() { (other, part) } else { (part, other) })
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
