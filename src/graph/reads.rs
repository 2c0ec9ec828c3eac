//! Access to any number of data, or of parts or tiles of data, for reading.

use std::fmt;
use std::ops::Index;

use super::access::{Access, AccessAt, ForeignData, Read, private};
use super::parts::{Part, PartAt, ReadPart};
use super::tiles::{ReadTile, Tile, TileAt, TileRef};
use crate::plan::Data;
use crate::plan::draft::{Draft, SlotAccess};

/// Access to any number of data of one type, or of parts or tiles of data, for reading. The task gets their [`Values`].
///
/// ```
/// # use millstream::{Graph, Pool, reads};
/// # let pool = Pool::builder().workers(2).build()?;
/// let g = Graph::new();
/// let squares: Vec<_> = (1..=100).map(|i| g.task((), move |()| i * i)).collect();
/// let sum = g.task(reads(&squares), |squares| squares.iter().sum::<i32>());
///
/// let numbers = g.data(vec![1, 2, 3, 4, 5]);
/// let parts = g.chunks(&numbers, 2);
/// let lasts = g.task(reads(&parts[1..]), |parts| parts.iter().map(|part| part[part.len() - 1]).collect::<Vec<_>>());
///
/// let matrix = g.data((0..36).collect::<Vec<u32>>());
/// let tiles = g.tiles(&matrix, 6, (3, 3));
/// let corners = g.task(reads(&tiles), |tiles| tiles.iter().map(|tile| tile[(0, 0)]).collect::<Vec<_>>());
/// let mut plan = pool.run(g)?;
/// assert_eq!(plan.take(sum), 338_350);
/// assert_eq!(plan.take(lasts), [4, 5]);
/// assert_eq!(plan.take(corners), [0, 3, 18, 21]);
/// # Ok::<(), millstream::Error>(())
/// ```
#[must_use]
pub fn reads<'d, D: Many + 'd>(data: impl IntoIterator<Item = &'d D>) -> Reads<D> {
    Reads(data.into_iter().map(Many::read_one).collect())
}

/// What [`reads`] reads many of: [`Data`], [`Part`] or [`Tile`]. The trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither data nor a part or tile of data",
    note = "`reads` takes references to the data of a graph, or to parts or tiles of it, as in `reads(&results)`"
)]
pub trait Many: Sized + private::Sealed<Slots: Send> {
    /// What the task sees of each: `&T` of data, `&[T]` of a part, a [`TileRef`] of a tile.
    type Value<'a>
    where
        Self: 'a;
    /// The access to one.
    #[doc(hidden)]
    type One: Access + private::Sealed<Slots = Self::Slots>;

    #[doc(hidden)]
    fn read_one(&self) -> Self::One;

    /// The value of one.
    ///
    /// # Safety
    /// (1) As [`AccessAt::fetch`].
    #[doc(hidden)]
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    unsafe fn value<'a>(slots: &'a Self::Slots) -> Self::Value<'a>
    where
        Self: 'a;
}

macro_rules! many {
    ($($name:ident at $slots:ty, read by $access:ident, as $value:ty;)*) => {$(
        impl<T> private::Sealed for $name<T> {
            type Slots = $slots;
        }

        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        impl<T: Send + Sync> Many for $name<T> {
            type Value<'a>
                = $value
            where
                Self: 'a;
            type One = $access<T>;

            fn read_one(&self) -> $access<T> {
                self.read()
            }

            #[inline]
            unsafe fn value<'a>(slots: &'a Self::Slots) -> $value
            where
                Self: 'a,
            {
                // SAFETY: (1).
                unsafe { <$access<T> as AccessAt<'_>>::fetch(slots) }
            }
        }
    )*};
}
many! {
    Data at private::Address<T>, read by Read, as &'a T;
    Part at PartAt<T>, read by ReadPart, as &'a [T];
    Tile at TileAt<T>, read by ReadTile, as TileRef<'a, T>;
}

/// Access to any number of data for reading, made by [`reads`].
pub struct Reads<D: Many>(Box<[D::One]>);

/// What a task reads by [`reads`]: the values, in the order in which the data was named.
pub struct Values<'a, D: Many>(&'a [D::Slots]);

impl<'a, D: Many + 'a> Values<'a, D> {
    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value with this number, from 0 on. None: there are fewer.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<D::Value<'a>> {
        self.0.get(number).map(value::<D>)
    }

    /// The values, one after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = D::Value<'a>> + DoubleEndedIterator + Clone + use<'a, D> {
        self.0.iter().map(value::<D>)
    }
}

/// A value that a task reads.
#[inline]
fn value<'a, D: Many + 'a>(slots: &'a D::Slots) -> D::Value<'a> {
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    // SAFETY: (1) `Reads::fetch` gave the address to the task, while which runs nobody writes the data.
    unsafe {
        D::value(slots)
    }
}

impl<D: Many> Clone for Values<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Many> Copy for Values<'_, D> {}

impl<'a, D: Many<Value<'a>: fmt::Debug> + 'a> fmt::Debug for Values<'a, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Send + Sync> Index<usize> for Values<'_, Data<T>> {
    type Output = T;

    /// # Panics
    /// If there are fewer.
    fn index(&self, number: usize) -> &T {
        value::<Data<T>>(&self.0[number])
    }
}

impl<T: Send + Sync> Index<usize> for Values<'_, Part<T>> {
    type Output = [T];

    /// # Panics
    /// If there are fewer.
    fn index(&self, number: usize) -> &[T] {
        value::<Part<T>>(&self.0[number])
    }
}

impl<D: Many> private::Sealed for Reads<D> {
    type Slots = Box<[D::Slots]>;
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<'a, D: Many> AccessAt<'a> for Reads<D> {
    type Ref = Values<'a, D>;
    #[inline]
    unsafe fn fetch(slots: &Self::Slots) -> Values<'a, D> {
        let slots: *const [D::Slots] = &raw const **slots;
        // SAFETY: the task has the box, and does not change it.
        Values(unsafe { &*slots })
    }
}

#[expect(private_interfaces, reason = "sealed: called by the graph")]
impl<D: Many> Access for Reads<D> {
    fn bind(&self, draft: &Draft<'_>, list: &mut Vec<SlotAccess>) -> Result<Self::Slots, ForeignData> {
        self.0.iter().map(|one| one.bind(draft, list)).collect()
    }
}

impl<D: Many<One: fmt::Debug>> fmt::Debug for Reads<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reads").field(&self.0).finish()
    }
}
