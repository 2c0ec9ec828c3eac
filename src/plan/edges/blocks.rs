//! Blocks: parts of a graph that are repeated, or left out.
//!
//! A block has two nodes: its *entry*, which decides whether it is gone into, and its *exit*, which decides whether it is
//! gone through once more. All nodes of the block come after its entry and before its exit. To whatever is outside, the block
//! is one thing: what comes before one of its tasks comes before its entry, and what comes after one comes after its exit.

use crate::plan::draft::{Draft, NodeDraft, index};

/// Which block each node is in, of a graph that has blocks.
pub(in crate::plan) struct Blocks<'a> {
    draft: &'a Draft<'a>,
    /// For each node, the block that edges to it come from, and the one that edges from it go to, plus one. 0: no block.
    inside: Vec<(u32, u32)>,
}

impl<'a> Blocks<'a> {
    /// None: the graph has no blocks.
    pub(in crate::plan) fn of(draft: &'a Draft<'_>) -> Option<Self> {
        if draft.blocks.is_empty() {
            return None;
        }
        let mut open = Vec::new();
        let inside = draft.nodes.iter().map(|node| {
            let here = open.last().copied().unwrap_or(0);
            match node {
                NodeDraft::Enter { block } => {
                    open.push(block + 1);
                    (here, block + 1)
                }
                NodeDraft::Again { .. } => {
                    open.pop();
                    (here, open.last().copied().unwrap_or(0))
                }
                NodeDraft::Task { .. } => (here, here),
                NodeDraft::Gate { .. } | NodeDraft::End { .. } => (0, 0), // a stream in a block is a defect
            }
        });
        Some(Self { draft, inside: inside.collect() })
    }

    /// How many blocks have both what follows the node `node`, and what comes before the node `at`.
    pub(super) fn shared_depth(&self, node: u32, at: u32) -> usize {
        let block = |number: u32| (number as usize).checked_sub(1);
        self.depth(self.common(block(self.inside[node as usize].1), block(self.inside[at as usize].0)))
    }

    /// The innermost block that has both.
    fn common(&self, left: Option<usize>, right: Option<usize>) -> Option<usize> {
        self.around(left).find(|block| self.around(right).any(|other| other == *block))
    }

    /// Adds a node that comes after these, of which there is one at least: in the innermost block that has them all.
    pub(super) fn add_behind(&mut self, nodes: &[u32]) {
        let outside = |node: &u32| (self.inside[*node as usize].1 as usize).checked_sub(1);
        let block = nodes.iter().map(outside).reduce(|left, right| self.common(left, right)).flatten();
        let here = block.map_or(0, |block| index(block) + 1);
        self.inside.push((here, here));
    }

    /// The block of a task.
    pub(in crate::plan) fn at(&self, node: usize) -> Option<usize> {
        (self.inside[node].0 as usize).checked_sub(1)
    }

    fn depth(&self, block: Option<usize>) -> usize {
        self.around(block).count()
    }

    /// A block and the blocks around it, from the inside out.
    pub(in crate::plan) fn around(&self, block: Option<usize>) -> impl Iterator<Item = usize> + use<'a> {
        let blocks = &self.draft.blocks;
        std::iter::successors(block, |block| blocks[*block].within)
    }

    /// The edge by which `to` waits for `from`, between things that are in the same block.
    pub(super) fn lift(&self, mut from: u32, mut to: u32) -> (u32, u32) {
        let block = |number: u32| (number as usize).checked_sub(1);
        let (mut left, mut right) = (block(self.inside[from as usize].1), block(self.inside[to as usize].0));
        let (mut depth, mut other) = (self.depth(left), self.depth(right));
        while left != right {
            if depth >= other {
                let out = &self.draft.blocks[left.expect("it is deeper, or as deep and another one")];
                (from, left, depth) = (index(out.again), out.within, depth - 1);
            } else {
                let out = &self.draft.blocks[right.expect("it is deeper")];
                (to, right, other) = (index(out.enter), out.within, other - 1);
            }
        }
        (from, to)
    }

    /// Adds the edges from entries to what comes first in a block, and from what comes last to exits. `edges` are all others, as
    /// pairs (node, one that it waits for).
    pub(super) fn close(&self, edges: &[(u32, u32)], mut add: impl FnMut(u32, u32)) {
        let (mut waits, mut leads) = (vec![false; self.inside.len()], vec![false; self.inside.len()]);
        for (to, from) in edges {
            leads[*from as usize] = true;
            waits[*to as usize] = true;
        }
        for (node, (comes_from, goes_to)) in self.inside.iter().enumerate() {
            let kind = (node < self.draft.nodes.len()).then(|| self.draft.nodes.get(node));
            if let Some(block) = (*comes_from as usize).checked_sub(1)
                && !waits[node]
                && !matches!(kind, Some(NodeDraft::Again { .. }))
            {
                add(index(self.draft.blocks[block].enter), index(node));
            }
            if let Some(block) = (*goes_to as usize).checked_sub(1)
                && !leads[node]
                && !matches!(kind, Some(NodeDraft::Enter { .. }))
            {
                add(index(node), index(self.draft.blocks[block].again));
            }
        }
        for block in &self.draft.blocks {
            add(index(block.enter), index(block.again)); // it may be empty
        }
    }
}
