//! Where two threads meet, of which each brings one side of a pair. The one that comes second goes on with both sides.
//!
//! # Protocol of a pair
//! Two threads come, with one side each. The race: each sees that the other one is not there, leaves its side, and
//! goes. So each says by one read-modify-write that its side is there, and it is the second one that sees the other.
//!
//! * (C1) Look whether the other side is there. If it is, take it, and go on with both.
//! * (C2) Leave the own side in its place. (C3) Say so, and learn whether the other side is there by now. If it is, take
//!   both, and go on. Else go.
//!
//! One of the two passes C3 first. The other one sees that, at C1 or at its own C3. So exactly one goes on.
//!
//! # Protocol of many pairs
//! Of many pairs that may meet, few do where few threads are. So the first pairs to meet share [`NEAR`] places, and all
//! others have a place in a box, which is made when one of its pairs meets for the first time.
//!
//! The race: one side of a pair finds no place near, and goes to the box. Then the other side finds one, and the two
//! miss each other. So a place near belongs to one pair for good.
//!
//! * (P1) Go through the places near, always in the same order. Claim the first one that is nobody's, by a
//!   compare-and-swap. Stay at the first one that is the own pair's. (P2) If none is, go to the box.
//!
//! What one side passes by is another pair's for good, so the other side passes it by, too. Both end at the same place.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `meeting.come` | C3: RMW, AcqRel | C1, C3 | the side that came first, and what was done before | `loom_meeting_hands_over` |
//! | `meeting.seen` | C3 | C1: load, Acquire | the same | `loom_meeting_hands_over` |
//! | `meeting.claim` | P1: CAS | P1 | nothing; it excludes that a place changes hands | `loom_meeting_places_are_the_same_for_both` |

#![expect(unsafe_code, reason = "the place of a side belongs to one thread at a time")]

use std::array;
use std::fmt;
use std::mem::MaybeUninit;

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::once_box::OnceBox;
use crate::sync::{UnsafeCell, at_once, edge, unwatched};

/// This many pairs meet without an allocation.
const NEAR: usize = if cfg!(all(test, loom)) { 1 } else { 16 };
/// Pairs with a place in one box: few, so that a box is small; many, so that the one who drops the boxes has few.
const BOX: usize = if cfg!(all(test, loom)) { 2 } else { 256 };
const BOXES: usize = 8;
/// Pairs have numbers from 1 to this.
pub(crate) const MOST: u32 = 2048;
const _: () = assert!(BOX * BOXES == MOST as usize || cfg!(all(test, loom)), "a place for each; models have few");

/// A side of a pair, as a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Side {
    Left = 0b01,
    Right = 0b10,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// Where the two sides of a pair meet; see the module. What waits here is not dropped with it: [`Meeting::left_over`].
pub(crate) struct Meeting<T> {
    /// The bits of the sides that have come.
    come: AtomicU32,
    left: UnsafeCell<MaybeUninit<T>>,
    right: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: (1) `T: Send`, as sides move to the thread that comes second; (2) the place of a side is its thread's before
// C3, and the second one's after it has seen that C3.
unsafe impl<T: Send> Sync for Meeting<T> {}

impl<T> fmt::Debug for Meeting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meeting").field("come", &self.come).finish_non_exhaustive()
    }
}

impl<T> Meeting<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        let [left, right] = [const { MaybeUninit::uninit() }; 2].map(UnsafeCell::new);
        Self { come: AtomicU32::new(0), left, right }
    }

    /// Gives left and right if the other side has come. Otherwise this side waits here.
    ///
    /// # Safety
    /// (1) Each side comes once.
    pub(crate) unsafe fn come(&self, side: Side, own: T) -> Option<(T, T)> {
        // SAFETY: (1) passed on.
        at_once(&self.come, || unsafe { self.come_now(side, own) })
    }

    /// # Safety
    /// (1) Each side comes once.
    #[inline]
    unsafe fn come_now(&self, side: Side, own: T) -> Option<(T, T)> {
        // Acquire: the other side is seen. (C1)
        if self.come.load(edge!("meeting.seen", Acquire)) == side.other() as u32 {
            // Relaxed: by (1) nobody comes any more, and `left_over` has it alone.
            self.come.store(Side::Left as u32 | Side::Right as u32, Ordering::Relaxed);
            // SAFETY: (1) it has come (`meeting.seen`); (2) both have come now, and this is the second one.
            let other = unsafe { self.take(side.other()) };
            return Some(if side == Side::Left { (own, other) } else { (other, own) });
        }
        // SAFETY: by (1) no other thread uses this place before C3.
        self.place(side).with_mut(|place| _ = unsafe { &mut *place }.write(own)); // (C2)
        // Release: the second one sees this side. Acquire: if that is this one, it sees the other side. (C3)
        if self.come.fetch_or(side as u32, edge!("meeting.come", AcqRel)) == 0 {
            return None;
        }
        // SAFETY: (1) they have come (own, and `meeting.come`); (2) this is the second one.
        let left = unsafe { self.take(Side::Left) };
        // SAFETY: as above.
        Some((left, unsafe { self.take(Side::Right) }))
    }

    /// Takes out the side whose other one has not come.
    pub(crate) fn left_over(&mut self) -> Option<T> {
        let side =
            [Side::Left, Side::Right].into_iter().find(|side| self.come.load(Ordering::Relaxed) == *side as u32)?;
        self.come.store(Side::Left as u32 | Side::Right as u32, Ordering::Relaxed);
        // SAFETY: (1) it has come; (2) from now on both have, and nobody else is here.
        Some(unsafe { self.take(side) })
    }

    fn place(&self, side: Side) -> &UnsafeCell<MaybeUninit<T>> {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }

    /// # Safety
    /// (1) This side has come, and that is seen. (2) The caller alone takes it, once.
    unsafe fn take(&self, side: Side) -> T {
        self.place(side).with_mut(|place| {
            // SAFETY: (2).
            let place = unsafe { &*place };
            // SAFETY: (1) it was written at C2; (2) it is not looked at again.
            unsafe { place.assume_init_read() }
        })
    }
}

/// Places to meet for pairs with numbers from 1 to [`MOST`]; see the module. They take up to [`MOST`] times two sides.
///
/// First stands what all look at, and what seldom changes; then what changes with each meeting.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct MeetingPlaces<T> {
    /// Whose the places near are; 0 is nobody.
    owners: [AtomicU32; NEAR],
    far: [OnceBox<[Meeting<T>; BOX]>; BOXES],
    near: [Meeting<T>; NEAR],
}

impl<T> MeetingPlaces<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            owners: array::from_fn(|_| AtomicU32::new(0)),
            far: array::from_fn(|_| OnceBox::new()),
            near: array::from_fn(|_| Meeting::new()),
        }
    }

    /// Takes out the sides whose other one has not come.
    pub(crate) fn left_over(&mut self) -> impl Iterator<Item = T> {
        let far = self.far.iter_mut().filter_map(OnceBox::get_mut).flatten();
        self.near.iter_mut().chain(far).filter_map(Meeting::left_over)
    }
}

impl<T: Send> MeetingPlaces<T> {
    /// The place of a pair.
    pub(crate) fn of(&self, pair: u32) -> &Meeting<T> {
        debug_assert!((1..=MOST).contains(&pair));
        for (owner, place) in self.owners.iter().zip(&self.near) {
            if unwatched(|| Self::claim(owner, pair)) == pair {
                return place; // (P1)
            }
        }
        let place = pair as usize - 1;
        &self.far[place / BOX].get_or_make(Self::make)[place % BOX] // (P2)
    }

    /// Claims a place near for this pair if it is nobody's, and says whose it is now.
    #[inline]
    fn claim(owner: &AtomicU32, pair: u32) -> u32 {
        // Relaxed: the place is as it was from the start, and who meets there sees the other by the meeting.
        let there = owner.load(Ordering::Relaxed);
        if there != 0 {
            return there;
        }
        #[cfg(all(test, loom))]
        if crate::sync::imp_loom::weakened("meeting.claim") {
            owner.store(pair, Ordering::Relaxed);
            return pair;
        }
        owner.compare_exchange(0, pair, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|there| there, |_| pair)
    }

    /// Makes the places in a box where they stay: they may be large.
    #[cold]
    fn make() -> Box<[Meeting<T>; BOX]> {
        let places: Box<[_]> = (0..BOX).map(|_| Meeting::new()).collect();
        places.try_into().unwrap_or_else(|_| unreachable!("as many as wanted"))
    }
}
