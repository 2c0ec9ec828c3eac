//! What a loop goes over: items that any thread can get by their number.

use std::ops::Range;

/// The types of integers of which a range can be looped over.
pub trait Integer: Copy + Send + Sync + private::Sealed {
    #[doc(hidden)]
    fn distance(start: Self, end: Self) -> u64;
    #[doc(hidden)]
    fn plus(self, distance: u64) -> Self;
}

/// The items that [`Pool::for_each`](crate::Pool::for_each), [`map_collect`](crate::Pool::map_collect) and
/// [`aggregate`](crate::Pool::aggregate) go over.
///
/// A range of integers gives the integers. A slice, or a reference to an array or a vector, gives references to the
/// items.
pub trait Indexed: Sync + private::Sealed {
    /// The type that the closure gets.
    type Item;
    #[doc(hidden)]
    fn count(&self) -> u64;
    /// The items with these numbers, which are all below the count.
    #[doc(hidden)]
    fn part(&self, numbers: Range<u64>) -> impl Iterator<Item = Self::Item>;
}

mod private {
    #[expect(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}
}

macro_rules! integers {
    ($($int:ident)*) => {$(
        impl private::Sealed for $int {}
        impl Integer for $int {
            #[inline]
            fn distance(start: Self, end: Self) -> u64 {
                if end > start { (end as u64).wrapping_sub(start as u64) } else { 0 }
            }
            #[inline]
            #[expect(clippy::allow_attributes, reason = "only some of the types lose bits")]
            #[allow(clippy::cast_possible_truncation, reason = "the sum is below the end of the range")]
            fn plus(self, distance: u64) -> Self {
                self.wrapping_add(distance as Self)
            }
        }
    )*};
}
integers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

impl<N: Integer> private::Sealed for Range<N> {}
impl<N: Integer> Indexed for Range<N> {
    type Item = N;
    fn count(&self) -> u64 {
        N::distance(self.start, self.end)
    }
    #[inline]
    fn part(&self, numbers: Range<u64>) -> impl Iterator<Item = N> {
        let start = self.start;
        numbers.map(move |number| start.plus(number))
    }
}

macro_rules! slices {
    ($([$($generics:tt)*] $slice:ty;)*) => {$(
        impl<'a, T: Sync, $($generics)*> private::Sealed for &'a $slice {}
        impl<'a, T: Sync, $($generics)*> Indexed for &'a $slice {
            type Item = &'a T;
            fn count(&self) -> u64 {
                self.len() as u64
            }
            #[inline]
            fn part(&self, numbers: Range<u64>) -> impl Iterator<Item = &'a T> {
                self[places(&numbers)].iter()
            }
        }
    )*};
}
slices! {
    [] [T];
    [] Vec<T>;
    [const N: usize] [T; N];
}

/// The numbers of items that are in memory, as indices.
#[inline]
pub(in crate::pool) fn places(numbers: &Range<u64>) -> Range<usize> {
    let place = |number| usize::try_from(number).expect("below the length of a slice");
    place(numbers.start)..place(numbers.end)
}
