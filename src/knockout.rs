//! The tree by which the parts of adjacent blocks are put together: that of a knock-out.
//!
//! Blocks 2k and 2k + 1 make a node of the next level, and so on. A node without a right neighbour goes up as it is.
//! The tree depends on the number of blocks alone, and so does the answer, floats included.

/// A node of the tree. It stands for `1 << level` blocks, from `index << level` on; at the end there may be fewer.
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

    /// The number of its first block.
    pub(crate) fn first(self) -> u64 {
        self.index << self.level
    }

    /// The number of its last block, if there are enough blocks.
    pub(crate) fn last(self) -> u64 {
        ((self.index + 1) << self.level) - 1
    }
}
