//! Loops over ranges and slices, from all workers at once.
//!
//! | what | where |
//! |---|---|
//! | items by number | [`indexed`] |
//! | a loop, cut into leaves | [`leaves`] |
//! | a range of leaves under way, as an entry of the ring; of loops and of sources | [`span`] |
//! | the parts of a reduction, which meet as in a knock-out ([`crate::knockout`]) | [`tree`] |
//! | parallel iterators on these, with the feature `iterators` | `iterators` |

pub(crate) mod indexed;
#[cfg(feature = "iterators")]
mod iterators;
pub(super) mod leaves;
pub(crate) mod span;
pub(super) mod tree;

use std::any::Any;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Range;
use std::panic::resume_unwind;

use crate::pool::Pool;
use crate::sync::{Call, keep_call, user_call, user_code};
use crate::unwind::{self, Kept};
use indexed::{Indexed, places};
use leaves::{Body, Leaves};
use tree::Tree;

/// A part with more bytes is kept on the heap: a thread has up to 46 parts on its stack at once.
const LARGE: usize = 256;

impl Pool {
    /// Calls `f` with every item, from all workers at once.
    ///
    /// `items` is a range of integers; or a slice, or a reference to an array or vector, and then `f` gets references.
    ///
    /// The items are cut into leaves by their number alone: each item is one if there are fewer than 1024, else there
    /// are 1024 to 2047 of them. A worker that has nothing to do takes half of the leaves that are left. If no worker
    /// does, the calling thread goes through all leaves at the cost of a plain loop and a few nanoseconds a leaf, so
    /// there is no grain size to tune. Allocates nothing.
    ///
    /// While it waits, the calling thread runs parts of this loop and nothing else, but for the calls that
    /// [`broadcast`](Self::broadcast) makes of waiting workers. So a lock held across the loop is safe. Works from any
    /// thread, also inside operators, joins and other loops. The order of the calls is not specified.
    ///
    /// # Panics
    /// If a call panics, with the payload of the first one in the order of items. All calls before that one are made;
    /// calls behind it may not be. Also in a child process that was forked after the pool was made.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// let pool = millstream::Pool::new()?;
    /// let (letters, longest) = (AtomicU64::new(0), AtomicU64::new(0));
    /// let words = ["a", "quick", "brown", "fox"];
    /// pool.for_each(&words, |word| _ = letters.fetch_add(word.len() as u64, Ordering::Relaxed));
    /// pool.for_each(0..words.len(), |i| _ = longest.fetch_max(words[i].len() as u64, Ordering::Relaxed));
    /// assert_eq!((letters.into_inner(), longest.into_inner()), (14, 5));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn for_each<I: Indexed>(&self, items: I, f: impl Fn(I::Item) + Sync) {
        let f = Kept::new(f);
        self.each_leaf(items.count(), |numbers| items.part(numbers).for_each(&*f));
        drop(f.into_inner());
    }

    /// Calls `f` with the index of every item and the item, to be changed, from all workers at once.
    ///
    /// Otherwise as [`for_each`](Self::for_each).
    ///
    /// # Panics
    /// As [`for_each`](Self::for_each).
    ///
    /// ```
    /// let pool = millstream::Pool::new()?;
    /// let mut squares = vec![0; 10_000];
    /// pool.for_each_mut(&mut squares, |i, slot| *slot = i * i);
    /// assert_eq!(squares[99], 9801);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn for_each_mut<T: Send>(&self, items: &mut [T], f: impl Fn(usize, &mut T) + Sync) {
        let (first, f) = (ItemPlace(items.as_mut_ptr()), Kept::new(f));
        self.each_leaf(items.len() as u64, |numbers| {
            let places = places(&numbers);
            // SAFETY: (1) below the length; (2) a leaf's items are its own; the slice is borrowed until the loop ends.
            #[expect(unsafe_code, reason = "each leaf changes a part of its own")]
            let items = unsafe { first.part(places.clone()) };
            places.zip(items).for_each(|(place, item)| f(place, item));
        });
        drop(f.into_inner());
    }

    /// Collects the results of `f` for every item, in the order of items, from all workers at once.
    ///
    /// Otherwise as [`for_each`](Self::for_each), but it allocates the vector.
    ///
    /// # Panics
    /// As [`for_each`](Self::for_each); the results made so far are dropped. Also if no vector can hold this many
    /// results.
    ///
    /// ```
    /// let pool = millstream::Pool::new()?;
    /// let words = ["a", "quick", "brown", "fox"];
    /// assert_eq!(pool.map_collect(&words, |word| word.len()), [1, 5, 5, 3]);
    /// assert_eq!(pool.map_collect(0..4, |i| i * i), [0, 1, 4, 9]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    pub fn map_collect<I: Indexed, R: Send>(&self, items: I, f: impl Fn(I::Item) -> R + Sync) -> Vec<R> {
        let count = usize::try_from(items.count()).expect("too many items for a vector");
        let mut all = Vec::with_capacity(count);
        let (room, f) = (ItemPlace(all.spare_capacity_mut().as_mut_ptr()), Kept::new(f));
        let made = |numbers: Range<u64>| {
            // SAFETY: (1) within the vector's room; (2) a leaf's places are its own.
            #[expect(unsafe_code, reason = "each leaf fills a part of its own")]
            unsafe {
                MadeItems::fill(room, places(&numbers), items.part(numbers).map(&*f))
            }
        };
        if let Some(made) = self.tree(count as u64, made, MadeItems::join) {
            let made = ManuallyDrop::new(made);
            debug_assert_eq!(made.places, 0..count);
            // SAFETY: all of them are made, and are the vector's now.
            #[expect(unsafe_code, reason = "each leaf has filled a part of its own")]
            unsafe {
                all.set_len(count);
            }
        }
        drop(f.into_inner());
        all
    }

    /// Folds the items of each leaf, and combines the results in the order of items, from all workers at once.
    ///
    /// The leaves are those of [`for_each`](Self::for_each). Each is folded in order, beginning with what `identity`
    /// gives. The results of adjacent leaves are combined as a tree. Leaves and tree depend on the number of items
    /// alone. So the answer is the same, bit for bit, on any number of workers, floats included, even if `combine` is
    /// not associative. A sum of floats may differ in its last bits from that of a plain loop, which adds in another
    /// order.
    ///
    /// As a rule this allocates nothing for results of up to 256 bytes.
    ///
    /// # Panics
    /// As [`for_each`](Self::for_each). A call of `combine` counts as if it was made behind the last of its items. The
    /// results made so far are dropped.
    ///
    /// ```
    /// let pool = millstream::Pool::new()?;
    /// let words = ["a", "quick", "brown", "fox"];
    /// let letters = pool.aggregate(&words, || 0, |sum, word| sum + word.len(), |a, b| a + b);
    /// assert_eq!(letters, 14);
    /// let text = pool.aggregate(0..10, String::new, |text, i| text + &i.to_string(), |a, b| a + &b);
    /// assert_eq!(text, "0123456789");
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn aggregate<I: Indexed, A: Send>(
        &self,
        items: I,
        identity: impl Fn() -> A + Sync,
        fold: impl Fn(A, I::Item) -> A + Sync,
        combine: impl Fn(A, A) -> A + Sync,
    ) -> A {
        let (identity, fold, combine) = (Kept::new(identity), Kept::new(fold), Kept::new(combine));
        let leaf = |numbers| items.part(numbers).fold(identity(), &*fold);
        let whole = if size_of::<A>() <= LARGE {
            self.tree(items.count(), leaf, &*combine)
        } else {
            let boxed = |left: Box<A>, right: Box<A>| Box::new(combine(*left, *right));
            self.tree(items.count(), |numbers| Box::new(leaf(numbers)), boxed).map(|whole| *whole)
        };
        let whole = whole.unwrap_or_else(&*identity);
        drop((identity.into_inner(), fold.into_inner(), combine.into_inner()));
        whole
    }

    /// Calls `leaf` with the numbers of every leaf's items.
    fn each_leaf(&self, items: u64, leaf: impl Fn(Range<u64>) + Sync) {
        self.run_leaves(Leaves::new(items), &Each(leaf)).unwrap_or_else(|panic| resume_unwind(panic));
    }

    /// Makes a part of every leaf, and combines them all. `None`: there are no items.
    fn tree<A: Send>(
        &self,
        items: u64,
        leaf: impl Fn(Range<u64>) -> A + Sync,
        combine: impl Fn(A, A) -> A + Sync,
    ) -> Option<A> {
        if items == 0 {
            return None;
        }
        let leaf = |numbers| {
            let _call = user_code();
            leaf(numbers)
        };
        let combine = |left, right| {
            let _outer = keep_call();
            user_call(Call::ANY, || "a call of `combine`".to_owned());
            let _call = user_code();
            combine(left, right)
        };
        let mut tree = Tree::new(Leaves::new(items), leaf, combine);
        self.run_leaves(Leaves::new(items), &tree).unwrap_or_else(|panic| resume_unwind(panic));
        Some(tree.whole())
    }

    fn run_leaves(&self, leaves: Leaves, body: &impl Body) -> Result<(), Box<dyn Any + Send>> {
        if leaves.count == 0 {
            return Ok(());
        }
        self.shared.on_worker(|worker| leaves::run(worker, leaves, body))
    }
}

/// A loop whose leaves have nothing to do with each other.
struct Each<L>(L);

impl<L: Fn(Range<u64>) + Sync> Body for Each<L> {
    type Run = ();
    #[inline]
    fn leaf(&self, _: &mut (), _: u32, items: Range<u64>) {
        let _call = user_code();
        (self.0)(items);
    }
    #[inline]
    fn end(&self, (): &mut ()) {}
}

/// The first of many items in memory. Each leaf of a loop has a part of them.
struct ItemPlace<T>(*mut T);

impl<T> Clone for ItemPlace<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for ItemPlace<T> {}

#[expect(unsafe_code, reason = "items move to the thread of their leaf, or are changed there")]
// SAFETY: (1) `T: Send`; (2) the code that uses the pointer says why no other thread uses the same item.
unsafe impl<T: Send> Send for ItemPlace<T> {}
#[expect(unsafe_code, reason = "items move to the thread of their leaf, or are changed there")]
// SAFETY: as `Send`.
unsafe impl<T: Send> Sync for ItemPlace<T> {}

impl<T> ItemPlace<T> {
    /// # Safety
    /// (1) There are items at these places. (2) No other code uses them as long as the result lives.
    #[expect(unsafe_code, reason = "each leaf changes a part of its own")]
    #[inline]
    unsafe fn part<'a>(self, places: Range<usize>) -> &'a mut [T] {
        // SAFETY: (1).
        let first = unsafe { self.0.add(places.start) };
        // SAFETY: (1), (2).
        unsafe { std::slice::from_raw_parts_mut(first, places.len()) }
    }
}

/// Items that are made in a vector's room. This owns them until they are the vector's.
struct MadeItems<R> {
    room: ItemPlace<MaybeUninit<R>>,
    places: Range<usize>,
}

impl<R> MadeItems<R> {
    /// Fills these places with the items, which are as many as the places.
    ///
    /// # Safety
    /// (1) There is room at these places. (2) No other code uses it as long as the result lives.
    #[expect(unsafe_code, reason = "fills a part of a vector's room")]
    #[inline]
    unsafe fn fill(room: ItemPlace<MaybeUninit<R>>, places: Range<usize>, items: impl Iterator<Item = R>) -> Self {
        let mut made = Self { room, places: places.start..places.start };
        // SAFETY: (1), and nothing need be in it; (2).
        let part = unsafe { room.part(places) };
        for (place, item) in part.iter_mut().zip(items) {
            place.write(item);
            made.places.end += 1;
        }
        made
    }

    /// Makes two adjacent parts one.
    fn join(mut self, right: Self) -> Self {
        let right = ManuallyDrop::new(right);
        debug_assert_eq!(self.places.end, right.places.start, "adjacent");
        self.places.end = right.places.end;
        self
    }
}

impl<R> Drop for MadeItems<R> {
    fn drop(&mut self) {
        // SAFETY: (1) these are made; (2) they are its own.
        #[expect(unsafe_code, reason = "drops items in a vector's room")]
        for item in unsafe { self.room.part(self.places.clone()) } {
            // SAFETY: made, and not looked at again.
            #[expect(unsafe_code, reason = "drops items in a vector's room")]
            unwind::drop_value(unsafe { item.assume_init_read() });
        }
    }
}
