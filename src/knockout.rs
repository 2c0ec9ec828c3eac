//! The tree by which the parts of adjacent blocks are put together: that of a knock-out.
//!
//! Blocks 2k and 2k + 1 make a node of the next level, and so on; a node without a right neighbour goes up as it is. The tree
//! depends on the number of blocks alone, and so does the answer, floats included.

/// A place in the tree: the blocks `index << level` and on, `1 << level` of them, as far as there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) level: u32,
    pub(crate) index: u64,
}

impl Node {
    pub(crate) fn of_block(number: u64) -> Self {
        Self { level: 0, index: number }
    }

    #[inline]
    pub(crate) fn is_right(self) -> bool {
        self.index % 2 == 1
    }

    #[inline]
    pub(crate) fn neighbour(self) -> Self {
        Self { index: self.index ^ 1, ..self }
    }

    #[inline]
    pub(crate) fn parent(self) -> Self {
        Self { level: self.level + 1, index: self.index / 2 }
    }

    /// Its first block.
    pub(crate) fn first(self) -> u64 {
        self.index << self.level
    }

    /// Its last block, if there are so many.
    pub(crate) fn last(self) -> u64 {
        ((self.index + 1) << self.level) - 1
    }
}
