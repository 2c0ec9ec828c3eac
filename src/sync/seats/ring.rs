//! A queue whose owner works at one end in plain memory. Others take from the other end now and then: they *raid* it.
//!
//! The owner pushes and pops at the near end. It passes no fence of the processor and takes no lock. So others do not
//! get at its items while it does something else, however long that takes. A thread that has nothing to do then raids
//! the queue: it takes the oldest items, and pays for both sides by a heavy fence ([`super::asymmetric`]). What else
//! belongs to the far end lies under the same lock.
//!
//! The protocol is that of Cilk-5 (Frigo, Leiserson, Randall, "The implementation of the Cilk-5 multithreaded
//! language", 1998), which goes back to Dijkstra's mutual exclusion. Here it has an asymmetric fence, and a raid takes
//! several items at once.
//!
//! # State
//! ```text
//!          oldest                end
//!            |                    |
//!   | taken  | item  item ... item| free
//!              far end    near end
//! ```
//! Places are counted for ever and used again modulo the size. An item keeps its place until it is taken, or until the
//! owner takes an older one out from below it.
//!
//! # What could go wrong
//! The owner pops an item while a raider claims it. Each looks at the other's word too early:
//! ```text
//!     owner                                  raider
//!     -----                                  ------
//! O1  lowers `end` (kept back)           R1  advances `oldest` (kept back)
//! O3  looks at `oldest`: not claimed     R3  looks at `end`: the item is there
//!     has the item                           has the item
//! ```
//!
//! # Protocol
//! * push, by the owner: (P1) fill the place at `end`. (P2) Advance `end`.
//! * pop, by the owner: (O1) lower `end`. (O2) Light fence. (O3) Look at `oldest`. If it is not beyond the item, the
//!   owner has the item. Else a raider may have it. (O4) Then take the lock and look again: now `oldest` tells who has
//!   it. If the raider has it, `end` goes back up to `oldest`. (O5) If the owner does not want the item that it has, it
//!   advances `end` again.
//! * raid: (R1) take the lock, and claim the oldest items: advance `oldest`. (R2) Heavy fence. (R3) Read `end`. The
//!   raider has the claimed items before it. (R4) Give back what is not taken: lower `oldest`. Unlock.
//!
//! The owner may work through an item part by part while it lies here. A raider takes parts, and leaves the item.
//! * next part, by the owner: (L1) say so by a store. (L2) Light fence. (L3) If `oldest` is beyond the item, wait until
//!   the lock is free. Then look whether the part is still its own.
//! * A raider reads that store after R2, and takes parts before R4.
//! * The owner takes the item back, and looks by L2 and L3 once more which parts are left.
//!
//! # Why each item is taken once
//! One of the fences O2 and R2 comes first. If it is O2, R3 sees O1, and the raider leaves the item. If it is R2, O3
//! sees R1, and the owner waits for the lock. By then the raider has done R3 and R4. So `oldest` is right, and it stays
//! so while the owner has the lock.
//!
//! The same holds for parts. If L3 misses R1, the raider sees L1. If L3 sees R1, the owner waits. If L3 sees what a
//! raid has given back, it sees what that raid has taken.
//!
//! # Why no place is filled too early
//! A raider reads a place, and the owner fills it with a new item. The owner prevents that: a raid claims at most a
//! sixteenth of the places, and the owner keeps as many free. So a place that it fills was claimed in an earlier raid
//! than the one that it sees in `oldest`, and that earlier raid had ended before (edge `ring.room`).
//!
//! # Edges
//! | edge | writer | reader | makes visible, or excludes | model |
//! |---|---|---|---|---|
//! | `ring.push` | P2: store, Release | R3 | the item | `loom_ring_hands_over` |
//! | `ring.seen` | P2, O5 | R3: load, Acquire | the same | `loom_ring_hands_over` |
//! | `ring.stays` | O5: store, Release | R3 | that the owner has looked at the item | `loom_ring_is_looked_at_by_who_has_it` |
//! | `ring.pop` | O1, then O2 | O3 | not (O3 misses R1 and R3 misses O1) | `loom_ring_gives_each_item_once` |
//! | `ring.claim` | R1, then R2 | R3 | the same | `loom_ring_gives_each_item_once` |
//! | `ring.pass` | L1, then L2 | L3 | not (L3 misses R1 and the raider misses L1) | `loom_ring_gives_each_part_once` |
//! | `ring.passed` | R4 | L3: load, Acquire | what the raider has taken | `loom_ring_gives_each_part_once` |
//! | `ring.taken` | R1, R4: store, Release | P1, L3 | the end of the raids before | `loom_ring_place_is_used_again` |
//! | `ring.room` | R1 | before P1: load, Acquire | the same | `loom_ring_place_is_used_again` |

#![expect(unsafe_code, reason = "an owner and a raider share memory by protocol")]

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{CachePadded, Mutex, MutexGuard, UnsafeCell, edge, heavy_edge, light_edge, owned};

/// A queue of `SIZE` places; see the module. `F`: what belongs to its far end.
pub(crate) struct Ring<T, F, const SIZE: usize> {
    near: CachePadded<Near>,
    far: CachePadded<Far<F>>,
    places: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

/// Written by the owner alone.
struct Near {
    end: AtomicUsize,
    /// How often the owner has pushed.
    beat: AtomicUsize,
}

/// Written under the lock.
struct Far<F> {
    oldest: AtomicUsize,
    lock: Mutex<F>,
}

// SAFETY: (1) items move between threads by copy, hence `T: Send`; (2) only the owner writes a place, when no raider
// reads it; (3) a place is read by the thread that has the item by the protocol, or by the owner, which alone writes.
unsafe impl<T: Copy + Send, F: Send, const SIZE: usize> Sync for Ring<T, F, SIZE> {}

/// How many places `end` is behind `oldest`. Below zero while a raider claims what the owner has popped.
fn distance(oldest: usize, end: usize) -> isize {
    end.wrapping_sub(oldest).cast_signed()
}

impl<T: Copy + Send, F, const SIZE: usize> Ring<T, F, SIZE> {
    /// The most items that one raid takes.
    pub(crate) const RAID: usize = if SIZE < 16 { 1 } else { SIZE / 16 };
    /// The most items that it holds.
    pub(crate) const ROOM: usize = SIZE - Self::RAID;

    pub(crate) fn new(far: F) -> Self {
        const { assert!(SIZE.is_power_of_two() && SIZE > 1, "places are counted modulo the size") };
        Self {
            near: CachePadded::new(Near { end: AtomicUsize::new(0), beat: AtomicUsize::new(0) }),
            far: CachePadded::new(Far { oldest: AtomicUsize::new(0), lock: Mutex::new(far) }),
            places: (0..SIZE).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        }
    }

    /// The owner's side.
    ///
    /// # Safety
    /// (1) While it lives, no other thread has the owner's side of this ring. (2) What the owner before it did happened
    /// before.
    pub(crate) unsafe fn owner(&self) -> Owner<'_, T, F, SIZE> {
        Owner { ring: self, marker: PhantomData }
    }

    /// Whether there is nothing in it: a hint, for all but the owner.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        distance(self.oldest(), self.end()) <= 0
    }

    /// Whether there are two items at least: a hint, for all but the owner.
    pub(crate) fn has_several(&self) -> bool {
        distance(self.oldest(), self.end()) > 1
    }

    /// How often the owner has pushed: a hint. While it stands still, the owner does something else.
    #[inline]
    pub(crate) fn beat(&self) -> usize {
        self.near.beat.load(Ordering::Relaxed)
    }

    /// Claims up to `most` of the oldest items, and no more than [`RAID`](Self::RAID). None: another thread is at the
    /// far end. Not for the owner. (R1)
    pub(crate) fn raid(&self, most: usize) -> Option<Raid<'_, T, F, SIZE>> {
        let guard = self.far.lock.try_lock()?;
        let (oldest, end) = (owned(&self.far.oldest), self.end());
        let claimed = distance(oldest, end).clamp(0, most.min(Self::RAID).cast_signed()).cast_unsigned();
        let claimed = oldest.wrapping_add(claimed);
        // Release: an owner that fills a place again sees that the raids before this one have ended.
        self.far.oldest.store(claimed, edge!("ring.taken", Release));
        Some(Raid { far: FarEnd { ring: self, guard, next: oldest, end: oldest }, claimed })
    }

    fn end(&self) -> usize {
        // Relaxed: a hint.
        self.near.end.load(Ordering::Relaxed)
    }

    /// The same, for the owner.
    fn own_end(&self) -> usize {
        owned(&self.near.end)
    }

    fn oldest(&self) -> usize {
        // Relaxed: a hint, or behind a fence.
        self.far.oldest.load(Ordering::Relaxed)
    }

    /// The item in a place.
    ///
    /// # Safety
    /// (1) The place was filled, and that happened before. (2) It is not filled again meanwhile.
    #[inline]
    unsafe fn read(&self, place: usize) -> T {
        self.places[place % SIZE].with(|item| {
            // SAFETY: (2).
            let item = unsafe { &*item };
            // SAFETY: (1).
            unsafe { item.assume_init_read() }
        })
    }
}

/// The owner's side of a ring; stays on its thread.
pub(crate) struct Owner<'a, T, F, const SIZE: usize> {
    ring: &'a Ring<T, F, SIZE>,
    marker: PhantomData<*const ()>,
}

impl<'a, T: Copy + Send, F, const SIZE: usize> Owner<'a, T, F, SIZE> {
    /// Whether there is no room for one more.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        // Acquire: the raids before the last one that `oldest` shows have ended.
        let oldest = self.ring.far.oldest.load(edge!("ring.room", Acquire));
        distance(oldest, self.ring.own_end()) >= Ring::<T, F, SIZE>::ROOM.cast_signed()
    }

    /// Whether there is nothing in it.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        distance(self.ring.oldest(), self.ring.own_end()) <= 0
    }

    /// How often the owner has pushed.
    #[inline]
    pub(crate) fn beat(&self) -> usize {
        self.ring.beat()
    }

    /// Puts an item in as the newest, and returns its place. There is room. (P1), (P2)
    #[inline]
    pub(crate) fn push(&self, item: T) -> usize {
        debug_assert!(!self.is_full(), "the caller has made room");
        let (Near { end, beat }, place) = (&*self.ring.near, self.ring.own_end());
        // SAFETY: only the owner fills places, and no raider reads this one: see the module.
        self.ring.places[place % SIZE].with_mut(|slot| unsafe { &mut *slot }.write(item));
        // Relaxed: a hint.
        beat.store(owned(beat).wrapping_add(1), Ordering::Relaxed);
        // Release: a raider that sees the new end sees the item.
        end.store(place.wrapping_add(1), edge!("ring.push", Release));
        place
    }

    /// Takes the newest item.
    #[cfg(all(test, not(coherence)))]
    pub(crate) fn pop(&self) -> Option<T> {
        self.pop_if(|_| true)
    }

    /// Takes the newest item if `may` says so. While that looks at the item, no raider has it. (O5)
    #[inline]
    pub(crate) fn pop_if(&self, may: impl FnOnce(&T) -> bool) -> Option<T> {
        if self.is_empty() {
            return None; // or a raider has claimed all that is left; it may give some of it back
        }
        let newest = self.ring.own_end().wrapping_sub(1);
        if !self.retract(newest) {
            return None;
        }
        // SAFETY: (1) filled by this thread; (2) only this thread fills places.
        let item = unsafe { self.ring.read(newest) };
        if may(&item) {
            return Some(item);
        }
        // Release: a raider that takes the item does so after that look.
        self.ring.near.end.store(newest.wrapping_add(1), edge!("ring.stays", Release));
        None
    }

    /// Takes the item back that was pushed into this place. `false`: it was taken. Nobody may take newer items back by
    /// their places after this: they move.
    #[inline]
    pub(crate) fn take_back(&self, place: usize) -> bool {
        if self.ring.own_end() == place.wrapping_add(1) { self.retract(place) } else { self.take_from_below(place) }
    }

    /// Takes the item in the newest place. (O1) to (O3)
    #[inline]
    fn retract(&self, place: usize) -> bool {
        self.ring.near.end.store(place, Ordering::Relaxed); // (O1)
        light_edge!("ring.pop"); // (O2)
        distance(self.ring.oldest(), place) >= 0 || self.settle(place) // (O3)
    }

    /// A raider has claimed the item in this place: whether the owner has it all the same. (O4)
    #[cold]
    #[inline(never)]
    fn settle(&self, place: usize) -> bool {
        let _far = self.ring.far.lock.lock();
        let oldest = owned(&self.ring.far.oldest);
        let has_it = distance(oldest, place) >= 0;
        if !has_it {
            self.ring.near.end.store(oldest, Ordering::Relaxed);
        }
        has_it
    }

    /// Takes out an item that is not the newest. The newer ones move up.
    #[cold]
    #[inline(never)]
    fn take_from_below(&self, place: usize) -> bool {
        let _far = self.ring.far.lock.lock();
        let (oldest, end) = (owned(&self.ring.far.oldest), self.ring.own_end());
        if distance(oldest, place) < 0 || distance(place, end) <= 0 {
            return false;
        }
        let mut free = place;
        while free.wrapping_add(1) != end {
            let newer = free.wrapping_add(1);
            // SAFETY: (1) filled by this thread; (2) only this thread fills places.
            let item = unsafe { self.ring.read(newer) };
            // SAFETY: only the owner fills places, and nobody reads while it has the lock.
            self.ring.places[free % SIZE].with_mut(|slot| unsafe { &mut *slot }.write(item));
            free = newer;
        }
        self.ring.near.end.store(free, Ordering::Relaxed);
        true
    }

    /// The owner works through the item in this place, and has stored where it is (L1). If a raid may have missed that
    /// store, this waits until the raid has ended. What the raid has changed is visible then. (L2), (L3)
    #[inline]
    pub(crate) fn pass(&self, place: usize) {
        light_edge!("ring.pass"); // (L2)
        // Acquire: the owner sees what a raid that has ended has changed. (L3)
        let oldest = self.ring.far.oldest.load(edge!("ring.passed", Acquire));
        if distance(oldest, place) < 0 {
            self.wait_for_raid();
        }
    }

    /// Waits until a raid that is under way has ended. What it has claimed and not taken is there again.
    #[cold]
    #[inline(never)]
    pub(crate) fn wait_for_raid(&self) {
        drop(self.ring.far.lock.lock());
    }

    /// The far end, for the owner. No raider comes while it lives. All items can be taken from there.
    pub(crate) fn far_end(&self) -> FarEnd<'a, T, F, SIZE> {
        let guard = self.ring.far.lock.lock();
        FarEnd { ring: self.ring, guard, next: owned(&self.ring.far.oldest), end: self.ring.own_end() }
    }
}

/// Items are claimed, and the heavy fence comes next. If this is dropped, it takes nothing.
pub(crate) struct Raid<'a, T, F, const SIZE: usize> {
    far: FarEnd<'a, T, F, SIZE>,
    claimed: usize,
}

/// The heavy fence of all raids that this thread has begun. `false`: the system has refused; drop them. (R2)
#[must_use]
pub(crate) fn raid_fence() -> bool {
    heavy_edge!("ring.claim")
}

impl<'a, T: Copy + Send, F, const SIZE: usize> Raid<'a, T, F, SIZE> {
    /// The far end with those of the claimed items that the raider can take. Call it after [`raid_fence`]. (R3)
    pub(crate) fn settle(self) -> FarEnd<'a, T, F, SIZE> {
        let Self { mut far, claimed } = self;
        // Acquire: the items are as the owner has pushed them.
        let end = far.ring.near.end.load(edge!("ring.seen", Acquire));
        let there = distance(far.next, end).max(0);
        far.end = if there < distance(far.next, claimed) { far.next.wrapping_add_signed(there) } else { claimed };
        far
    }
}

/// The far end of a ring, and the lock on it. Items that are not taken before it is dropped stay in the ring.
pub(crate) struct FarEnd<'a, T, F, const SIZE: usize> {
    ring: &'a Ring<T, F, SIZE>,
    guard: MutexGuard<'a, F>,
    /// The oldest item that was not taken.
    next: usize,
    /// Where the items end that may be taken.
    end: usize,
}

impl<T: Copy + Send, F, const SIZE: usize> FarEnd<'_, T, F, SIZE> {
    /// The oldest item.
    pub(crate) fn oldest(&self) -> Option<T> {
        let is_there = distance(self.next, self.end) > 0;
        // SAFETY: (1) R3 has seen that it was filled, or the owner is the caller; (2) it was not taken, so the owner
        // does not fill it.
        is_there.then(|| unsafe { self.ring.read(self.next) })
    }

    /// Takes the oldest item; there is one.
    pub(crate) fn advance(&mut self) {
        debug_assert!(distance(self.next, self.end) > 0, "there is one");
        self.next = self.next.wrapping_add(1);
    }
}

impl<T, F, const SIZE: usize> Deref for FarEnd<'_, T, F, SIZE> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.guard
    }
}

impl<T, F, const SIZE: usize> DerefMut for FarEnd<'_, T, F, SIZE> {
    fn deref_mut(&mut self) -> &mut F {
        &mut self.guard
    }
}

impl<T, F, const SIZE: usize> Drop for FarEnd<'_, T, F, SIZE> {
    fn drop(&mut self) {
        // Release: as at R1. The owner may see this store instead of that one. (R4)
        self.ring.far.oldest.store(self.next, edge!("ring.taken", Release));
    }
}

impl<T, F: fmt::Debug, const SIZE: usize> fmt::Debug for Ring<T, F, SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("far", &self.far.lock).finish_non_exhaustive()
    }
}
