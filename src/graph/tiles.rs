//! Tiles of a matrix, as data of their own.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut, Range};
use std::panic::Location;
use std::ptr::NonNull;

use super::Graph;
use super::access::{Access, AccessAt, ForeignData, private};
use super::parts::{Piece, PieceAt, accesses};
use crate::plan::draft::{Draft, Mode, SlotAccess, Tiling};
use crate::plan::{Data, Place};
use crate::run::slot::Gone;

impl<'env> Graph<'env> {
    /// Cuts a matrix into tiles. The data has its items row by row, `width` in each row; a tile has `rows` rows and `columns`
    /// columns, or what is left of them at the lower and the right edge. Tasks access a tile by [`read`](Tile::read) or
    /// [`write`](Tile::write), and get a [`TileRef`] or a [`TileMut`].
    ///
    /// Tasks on different tiles may run at the same time. An access to the whole waits for the accesses to all tiles before
    /// it, and those after it wait for it. Data may be cut in several ways, also into [`chunks`](Self::chunks): tiles and parts
    /// exclude each other if they have an item in common.
    ///
    /// How many tiles there are depends on the length that the data has now. Should a later run find the data longer, what is
    /// behind belongs to no tile; should it be shorter, the tiles have only the rows of `width` items that are there, or none.
    ///
    /// If a task panics while it writes a tile, the whole is absent after the run.
    ///
    /// Three things are defects, which [`plan`](Graph::plan) reports: a width, or a number of rows or columns, that is 0; data
    /// whose length is no multiple of the width; and data that is not made by [`data`](Graph::data), as nobody knows its
    /// length. There are no tiles then.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let matrix = g.data(vec![1_u64; 5 * 6]); // 5 rows of 6
    /// let tiles = g.tiles(&matrix, 6, (2, 3));
    /// assert_eq!((tiles.rows(), tiles.columns()), (3, 2));
    /// for i in 0..3 {
    ///     g.task(tiles.at(i, 0).write(), |mut tile| tile[(0, 2)] = 10); // column 2 of rows 0, 2, 4
    ///     g.task((tiles.at(i, 0).read(), tiles.at(i, 1).write()), |(left, mut right)| {
    ///         for (left, right) in left.rows().zip(right.rows_mut()) {
    ///             right.iter_mut().zip(left).for_each(|(right, left)| *right += left);
    ///         }
    ///     });
    /// }
    /// let rows = g.task(matrix.read(), |matrix| matrix.chunks(6).map(|row| row.iter().sum()).collect::<Vec<u64>>());
    /// assert_eq!(pool.run(g)?.take(rows), [27, 9, 27, 9, 27]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn tiles<T: Send + 'env>(
        &self,
        data: &Data<Vec<T>>,
        width: usize,
        (rows, columns): (usize, usize),
    ) -> Tiles<T> {
        let mut across = 0;
        let tiling = |items: usize| {
            if width == 0 {
                return Err("its rows have no items: the width is 0".to_owned());
            }
            if rows == 0 || columns == 0 {
                return Err(format!("tiles of {rows} rows and {columns} columns: they have at least 1 of each"));
            }
            if !items.is_multiple_of(width) {
                return Err(format!("{items} items are no rows of {width}: the last one is not full"));
            }
            if items == 0 {
                return Ok(None);
            }
            let tiling = Tiling::new((items / width, width), (rows, columns));
            (_, across) = tiling.tiles();
            Ok(Some(tiling))
        };
        let tiles = self.cut(data, tiling, ["tiles", "tile"], Location::caller(), |name, rows, columns| {
            let at = format!("{name}[{}..{}, {}..{}]", rows.start, rows.end, columns.start, columns.end);
            (Rectangle { rows, columns, width }, at)
        });
        let (list, defect) = match tiles {
            Ok(tiles) => (tiles.into_iter().map(Tile).collect(), None),
            Err(what) => (Vec::new(), Some(what)),
        };
        Tiles { list, columns: across, defect }
    }
}

/// The tiles of a matrix, made by [`Graph::tiles`].
pub struct Tiles<T> {
    /// Row by row.
    list: Vec<Tile<T>>,
    /// How many are in a row.
    columns: usize,
    /// Why there are none.
    defect: Option<String>,
}

impl<T> Tiles<T> {
    /// How many rows of tiles there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.list.len().checked_div(self.columns).unwrap_or(0)
    }

    /// How many tiles are in a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The tile at this place, counted in tiles from above and from the left.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn at(&self, row: usize, column: usize) -> &Tile<T> {
        let place = (column < self.columns).then(|| row.saturating_mul(self.columns).saturating_add(column));
        let Some(tile) = place.and_then(|place| self.list.get(place)) else {
            let why = self.defect.as_ref().map_or_else(String::new, |defect| format!(": {defect}"));
            panic!("no tile ({row}, {column}): there are {} by {}{why}", self.rows(), self.columns)
        };
        tile
    }

    /// The tiles, row by row.
    pub fn iter(&self) -> std::slice::Iter<'_, Tile<T>> {
        self.list.iter()
    }
}

impl<T> Clone for Tiles<T> {
    fn clone(&self) -> Self {
        Self { list: self.list.clone(), columns: self.columns, defect: self.defect.clone() }
    }
}

impl<T> fmt::Debug for Tiles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}

impl<'a, T> IntoIterator for &'a Tiles<T> {
    type Item = &'a Tile<T>;
    type IntoIter = std::slice::Iter<'a, Tile<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A handle to a tile of a matrix, one of [`Tiles`].
///
/// A clone is a handle to the same tile.
pub struct Tile<T>(Piece<T, Rectangle>);

/// The rows and columns of a tile in a matrix of this width.
#[derive(Clone, Debug)]
#[expect(unnameable_types, reason = "the engine's")]
pub struct Rectangle {
    rows: Range<usize>,
    columns: Range<usize>,
    width: usize,
}

impl<T> Tile<T> {
    /// Access for reading: the task gets a [`TileRef`]. Other readers may run at the same time.
    #[must_use]
    pub fn read(&self) -> ReadTile<T> {
        ReadTile(self.0.clone())
    }

    /// Access for writing: the task gets a [`TileMut`]. No other access to the tile happens at the same time.
    #[must_use]
    pub fn write(&self) -> WriteTile<T> {
        WriteTile(self.0.clone())
    }

    /// Names the tile. Until then it is called after the data, the rows and the columns: `matrix[0..64, 128..192]`.
    #[expect(clippy::must_use_candidate, reason = "the name is given, whether the handle is used or not")]
    pub fn named(self, name: &str) -> Self {
        Self(self.0.named(name))
    }

    /// Says where the tile is at home, as [`Data::place`] does for data.
    #[expect(clippy::must_use_candidate, reason = "the place is set, whether the handle is used or not")]
    pub fn place(self, place: Place<'_>) -> Self {
        Self(self.0.place(place))
    }
}

impl<T> Clone for Tile<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Tile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tile").field(&self.0).finish()
    }
}

accesses! {
    /// Access to a tile of a matrix for reading, made by [`Tile::read`].
    ReadTile of Rectangle, [Send Sync] as Mode::Read, TileRef<'a, T>,
    // I2: (1) nobody writes these items.
    fetch |rows| TileRef { rows, marker: PhantomData };
    /// Access to a tile of a matrix for writing, made by [`Tile::write`].
    WriteTile of Rectangle, [Send] as Mode::Write, TileMut<'a, T>,
    // I3: (1) nobody else accesses these items.
    fetch |rows| TileMut { rows, marker: PhantomData }, torn tear;
}

/// Where a tile is.
pub(super) type TileAt<T> = PieceAt<T, Rectangle>;

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<T> TileAt<T> {
    /// The rows of the tile, as far as the matrix goes now.
    ///
    /// # Safety
    /// (1) The whole is present, and no other thread accesses the vector itself, though others may access its items.
    #[inline]
    unsafe fn locate(&self) -> Rows<T> {
        // SAFETY: (1).
        let (first, len) = unsafe { self.whole() };
        let Rectangle { rows, columns, width } = &self.items;
        let end = rows.end.min(len / width);
        let start = rows.start.min(end); // I1: if it is below the end, so many rows of the whole are in the vector
        // SAFETY: within the vector, or at its end.
        let first = unsafe { first.add((start * width + columns.start).min(len)) };
        Rows { first, height: end - start, width: columns.len(), stride: *width }
    }
}

/// Where the rows of a tile are.
///
/// I1: row `n`, if `n` is below the height, is `width` items of a vector, from `n` times `stride` behind the first one on. As
/// `width` is at most `stride`, no two rows have an item in common.
struct Rows<T> {
    first: NonNull<T>,
    height: usize,
    width: usize,
    stride: usize,
}

impl<T> Clone for Rows<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Rows<T> {}

impl<T> Rows<T> {
    /// Where a row is.
    #[inline]
    #[track_caller]
    fn at(self, row: usize) -> NonNull<[T]> {
        assert!(row < self.height, "no row {row}: the tile has {}", self.height);
        #[expect(unsafe_code, reason = "a row of a tile is a slice")]
        // SAFETY: by I1 its first item is in the vector.
        let first = unsafe { self.first.add(row * self.stride) };
        NonNull::slice_from_raw_parts(first, self.width)
    }

    fn all(self) -> impl ExactSizeIterator<Item = NonNull<[T]>> + DoubleEndedIterator + Clone {
        (0..self.height).map(move |row| self.at(row))
    }
}

/// A tile that a task reads: some columns of some rows of a matrix. A copy is the same tile.
pub struct TileRef<'a, T> {
    /// I2: nobody writes the items of the rows while `'a` lasts.
    rows: Rows<T>,
    marker: PhantomData<&'a [T]>,
}

/// A tile that a task writes: some columns of some rows of a matrix.
pub struct TileMut<'a, T> {
    /// I3: while `'a` lasts the items of the rows are accessed through this alone.
    rows: Rows<T>,
    marker: PhantomData<&'a mut [T]>,
}

#[expect(unsafe_code, reason = "it is as a reference to slices")]
// SAFETY: by I2 it is as shared references to items, which other threads may have if `T` is `Sync`.
unsafe impl<T: Sync> Send for TileRef<'_, T> {}
#[expect(unsafe_code, reason = "it is as a reference to slices")]
// SAFETY: see `Send`; it gives nothing but shared references.
unsafe impl<T: Sync> Sync for TileRef<'_, T> {}
#[expect(unsafe_code, reason = "it is as a reference to slices")]
// SAFETY: by I3 it is as exclusive references to items, which another thread may have if `T` is `Send`.
unsafe impl<T: Send> Send for TileMut<'_, T> {}
#[expect(unsafe_code, reason = "it is as a reference to slices")]
// SAFETY: a shared reference to it gives nothing but shared references to items.
unsafe impl<T: Sync> Sync for TileMut<'_, T> {}

impl<T> Clone for TileRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for TileRef<'_, T> {}

#[expect(unsafe_code, reason = "a row of a tile is a slice")]
impl<'a, T> TileRef<'a, T> {
    /// How many rows it has.
    #[must_use]
    pub fn height(&self) -> usize {
        self.rows.height
    }

    /// How many columns it has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.rows.width
    }

    /// A row.
    ///
    /// # Panics
    /// If there is none with this number.
    #[must_use]
    #[inline]
    #[track_caller]
    pub fn row(&self, row: usize) -> &'a [T] {
        let row = self.rows.at(row);
        // SAFETY: by I1 it is a slice of a vector, and by I2 nobody writes it.
        unsafe { row.as_ref() }
    }

    /// The rows, from above.
    #[inline]
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &'a [T]> + DoubleEndedIterator + Clone + use<'a, T> {
        // SAFETY: as in `row`.
        self.rows.all().map(|row| unsafe { row.as_ref() })
    }
}

#[expect(unsafe_code, reason = "a row of a tile is a slice")]
impl<T> TileMut<'_, T> {
    /// How many rows it has.
    #[must_use]
    pub fn height(&self) -> usize {
        self.rows.height
    }

    /// How many columns it has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.rows.width
    }

    /// The tile for reading.
    #[must_use]
    #[inline]
    pub fn read(&self) -> TileRef<'_, T> {
        TileRef { rows: self.rows, marker: PhantomData } // I2: it borrows this, by which alone the items are written
    }

    /// A row.
    ///
    /// # Panics
    /// If there is none with this number.
    #[must_use]
    #[inline]
    #[track_caller]
    pub fn row(&self, row: usize) -> &[T] {
        self.read().row(row)
    }

    /// A row, for writing. For several rows at once see [`rows_mut`](Self::rows_mut).
    ///
    /// # Panics
    /// If there is none with this number.
    #[must_use]
    #[inline]
    #[track_caller]
    pub fn row_mut(&mut self, row: usize) -> &mut [T] {
        let mut row = self.rows.at(row);
        // SAFETY: by I1 it is a slice of a vector, and by I3 nobody accesses it while this is borrowed.
        unsafe { row.as_mut() }
    }

    /// The rows, from above.
    #[inline]
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[T]> + DoubleEndedIterator + Clone {
        self.read().rows()
    }

    /// The rows, from above, for writing.
    #[inline]
    pub fn rows_mut(&mut self) -> impl ExactSizeIterator<Item = &mut [T]> + DoubleEndedIterator {
        // SAFETY: as in `row_mut`; each row comes once, and by I1 no two have an item in common.
        self.rows.all().map(|mut row| unsafe { row.as_mut() })
    }
}

impl<T> Index<(usize, usize)> for TileRef<'_, T> {
    type Output = T;

    /// # Panics
    /// If there is no such row or column.
    #[inline]
    #[track_caller]
    fn index(&self, (row, column): (usize, usize)) -> &T {
        &self.row(row)[column]
    }
}

impl<T> Index<(usize, usize)> for TileMut<'_, T> {
    type Output = T;

    /// # Panics
    /// If there is no such row or column.
    #[inline]
    #[track_caller]
    fn index(&self, (row, column): (usize, usize)) -> &T {
        &self.row(row)[column]
    }
}

impl<T> IndexMut<(usize, usize)> for TileMut<'_, T> {
    #[inline]
    #[track_caller]
    fn index_mut(&mut self, (row, column): (usize, usize)) -> &mut T {
        &mut self.row_mut(row)[column]
    }
}

impl<T: fmt::Debug> fmt::Debug for TileRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for TileMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
#[expect(unsafe_code, reason = "fetches what tasks that run at the same time would have")]
mod tests {
    use super::super::access::{Access, AccessAt};
    use super::{Graph, ReadTile, TileMut, TileRef, WriteTile};

    /// All tiles of a matrix are written in turns, a row each, beside some of another matrix that are read: for Miri, where
    /// there is one.
    #[test]
    fn tiles_of_which_each_is_written_have_nothing_in_common() {
        let g = Graph::new();
        let (to, from) = (g.data(vec![String::new(); 7 * 5]), g.data(vec![String::from("a"); 7 * 5]));
        let (writes, reads) = (g.tiles(&to, 5, (3, 2)), g.tiles(&from, 5, (7, 4)));
        let draft = g.draft.borrow();
        let mut list = Vec::new();
        let mut bound = |tile: usize| writes.list[tile].write().bind(&draft, &mut list).ok();
        let writes: Vec<_> = (0..9).filter_map(&mut bound).collect();
        let read = reads.at(0, 1).read().bind(&draft, &mut list).ok().expect("of this graph");
        let mut tiles: Vec<TileMut<'_, String>> = Vec::new();
        for tile in &writes {
            // SAFETY: (1) no two have an item in common, and nobody else has any.
            tiles.push(unsafe { WriteTile::<String>::fetch(tile) });
        }
        // SAFETY: (1) nobody writes it.
        let read: TileRef<'_, String> = unsafe { ReadTile::<String>::fetch(&read) };
        for round in 0..3 {
            for (tile, letter) in tiles.iter_mut().zip('b'..) {
                for row in (0..tile.height()).filter(|row| row % 3 == round) {
                    tile.row_mut(row).iter_mut().for_each(|item| item.push(letter));
                }
                tile.rows_mut().flatten().for_each(|item| item.push_str(&read[(round, 0)]));
            }
        }
        let sizes: Vec<usize> = tiles.iter().map(|tile| tile.rows().flatten().map(String::len).sum()).collect();
        assert_eq!(sizes, [24, 24, 12, 24, 24, 12, 8, 8, 4], "three letters from the other, one of its own");
    }
}
