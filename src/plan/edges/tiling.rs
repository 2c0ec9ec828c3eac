//! How data is cut into parts.

use std::ops::Range;

/// A way to cut data: it is seen as a matrix that is kept row by row, and cut into tiles, which are numbered row by row.
/// Ranges of items are tiles of a matrix with one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tiling {
    height: usize,
    width: usize,
    /// How many rows and columns a tile has, if it is not at the lower or right edge.
    tile: (usize, usize),
}

impl Tiling {
    /// Cuts a matrix of which there is an item at least into tiles of some rows and columns, which are not 0.
    pub(crate) fn new((height, width): (usize, usize), (rows, columns): (usize, usize)) -> Self {
        Self { height, width, tile: (rows.min(height), columns.min(width)) }
    }

    /// Cuts items of which there is one at least into ranges of a length that is not 0.
    pub(crate) fn ranges(items: usize, len: usize) -> Self {
        Self::new((items, 1), (len, 1))
    }

    /// How many tiles there are from above to below, and from left to right.
    pub(crate) fn tiles(self) -> (usize, usize) {
        (self.height.div_ceil(self.tile.0), self.width.div_ceil(self.tile.1))
    }

    /// The rows and columns of all tiles, by number.
    pub(crate) fn parts(self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let along = |len: usize, tile: usize| {
            (0..len).step_by(tile).map(move |start| start..len.min(start.saturating_add(tile)))
        };
        along(self.height, self.tile.0)
            .flat_map(move |rows| along(self.width, self.tile.1).map(move |columns| (rows.clone(), columns)))
    }

    fn items(self) -> usize {
        self.height * self.width
    }

    /// The tile that has an item, and where the items that follow are in another one.
    fn at(self, item: usize) -> (usize, usize) {
        let (row, column) = (item / self.width, item % self.width);
        let (down, right) = (row / self.tile.0, column / self.tile.1);
        let end = if self.tile.1 == self.width {
            self.row_end(item)
        } else {
            item - column + self.width.min((right + 1).saturating_mul(self.tile.1))
        };
        (down * self.tiles().1 + right, end)
    }

    /// Where the row of tiles ends that has an item.
    fn row_end(self, item: usize) -> usize {
        let down = item / self.width / self.tile.0;
        self.height.min((down + 1).saturating_mul(self.tile.0)) * self.width
    }
}

/// Cuts items into *atoms*, so that each tile of some tilings is a set of atoms. `add` is told the atoms of each tile in
/// ascending order: the tiling, the tile and the atom. Returns how many there are.
///
/// Of rows in which all tilings have the same tiles only the first ones are looked at.
pub(super) fn atoms(tilings: &[Tiling], mut add: impl FnMut(usize, usize, usize)) -> usize {
    let items = tilings.iter().map(|tiling| tiling.items()).min().unwrap_or(0); // of one datum, so all have the same
    let period = tilings.iter().try_fold(1, |period, tiling| common_multiple(period, tiling.width));
    let (mut item, mut atom) = (0, 0);
    while item < items {
        let mut end = items;
        for (number, tiling) in tilings.iter().enumerate() {
            let (tile, tile_end) = tiling.at(item);
            add(number, tile, atom);
            end = end.min(tile_end);
        }
        (item, atom) = (end, atom + 1);
        if let Some(period) = period.filter(|period| item.is_multiple_of(*period)) {
            let first = item - period;
            let row_end = tilings.iter().map(|tiling| tiling.row_end(first)).min().unwrap_or(items);
            item = item.max(first + (row_end - first) / period * period);
        }
    }
    atom
}

/// The least common multiple. None: it is too large.
fn common_multiple(a: usize, b: usize) -> Option<usize> {
    let (mut divisor, mut rest) = (a, b);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (a / divisor).checked_mul(b)
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Tiling, atoms};

    /// The items of each tile.
    fn items(tiling: Tiling) -> Vec<BTreeSet<usize>> {
        let items = |(rows, columns): (_, std::ops::Range<usize>)| -> BTreeSet<usize> {
            let rows: std::ops::Range<usize> = rows;
            rows.flat_map(|row| columns.clone().map(move |column| row * tiling.width + column)).collect()
        };
        tiling.parts().map(items).collect()
    }

    /// Ways to cut 720 items: of many widths, tile heights and tile widths.
    fn tilings() -> impl Strategy<Value = Tiling> {
        let width = prop::sample::select(vec![1, 2, 8, 9, 12, 24, 30, 720]);
        (width, 1..40_usize, 1..40_usize)
            .prop_map(|(width, rows, columns)| Tiling::new((720 / width, width), (rows, columns)))
    }

    proptest! {
        #[test]
        fn tiles_share_an_atom_if_they_share_an_item(tilings in prop::collection::vec(tilings(), 1..4)) {
            let tiles: Vec<Vec<BTreeSet<usize>>> = tilings.iter().map(|tiling| items(*tiling)).collect();
            let mut found: Vec<Vec<BTreeSet<usize>>> = tiles.iter().map(|tiles| vec![BTreeSet::new(); tiles.len()]).collect();
            let count = atoms(&tilings, |tiling, tile, atom| {
                assert!(found[tiling][tile].last() < Some(&atom), "they come in ascending order");
                found[tiling][tile].insert(atom);
            });
            for (tiling, tiles) in tilings.iter().zip(&tiles) {
                prop_assert_eq!(tiles.len(), tiling.tiles().0 * tiling.tiles().1);
                prop_assert_eq!(tiles.iter().map(BTreeSet::len).sum::<usize>(), 720, "each item is in one tile");
            }
            for (own, found_own) in tiles.iter().zip(&found) {
                prop_assert_eq!(found_own.iter().map(BTreeSet::len).sum::<usize>(), count, "each atom is in one tile");
                for (other, found_other) in tiles.iter().zip(&found) {
                    for (one, found_one) in own.iter().zip(found_own) {
                        for (two, found_two) in other.iter().zip(found_other) {
                            prop_assert_eq!(one.is_disjoint(two), found_one.is_disjoint(found_two));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_tiling_by_itself_has_an_atom_for_each_tile() {
        let tiling = Tiling::new((1 << 40, 1 << 20), (1 << 38, 1 << 19));
        let mut found = Vec::new();
        assert_eq!(atoms(&[tiling, tiling], |_, tile, atom| found.push((tile, atom))), 8);
        assert!(found.iter().all(|(tile, atom)| tile == atom));
        assert_eq!(atoms(&[Tiling::ranges(usize::MAX, usize::MAX - 1)], |_, _, _| ()), 2);
    }
}
