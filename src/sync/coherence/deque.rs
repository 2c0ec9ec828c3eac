//! A stand-in for `crossbeam-deque` with its algorithm and its layout: both ends on one line, the buffer's address on
//! another one, four jobs on a line. The buffer does not grow, as those of the engine do not.

#![expect(unsafe_code, reason = "places that owner and thieves share")]

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

pub(crate) use crossbeam_deque::Steal;

use super::is_on;
use crate::sync::atomic::{AtomicUsize, Ordering, fence};
use crate::sync::imp::{Tag, access};
use crate::sync::watched::Kind;

const ROOM: usize = 64;
/// What an epoch costs a thief, beside its fence.
const PIN: u64 = 5;

struct Inner<T> {
    ends: CachePadded<Ends>,
    buffer: CachePadded<AtomicUsize>,
    places: CachePadded<[UnsafeCell<MaybeUninit<T>>; ROOM]>,
}

struct Ends {
    front: AtomicUsize,
    back: AtomicUsize,
}

// SAFETY: a place is written by the owner while no thief may have it, and a thief that has copied an item forgets it
// if another one was faster.
unsafe impl<T: Send> Sync for Inner<T> {}
// SAFETY: as `Sync`.
unsafe impl<T: Send> Send for Inner<T> {}

impl<T> Inner<T> {
    #[track_caller]
    fn read(&self, place: usize) -> T {
        let place = &self.places[place % ROOM];
        access(&Tag, place, Kind::Load);
        // SAFETY: the owner fills a place only when no thief may read it.
        let item = unsafe { &*place.get() };
        // SAFETY: (1) the place was filled; (2) the caller forgets the copy unless the item is its own.
        unsafe { item.assume_init_read() }
    }
}

pub(crate) struct Worker<T>(Arc<Inner<T>>);

pub(crate) struct Stealer<T>(Arc<Inner<T>>);

impl<T> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

impl<T> fmt::Debug for Stealer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stealer")
    }
}

fn length(front: usize, back: usize) -> usize {
    back.wrapping_sub(front).cast_signed().max(0).cast_unsigned()
}

impl<T> Worker<T> {
    pub(crate) fn new_lifo() -> Self {
        let places = [const { UnsafeCell::new(MaybeUninit::uninit()) }; ROOM];
        Self(Arc::new(Inner {
            ends: CachePadded::new(Ends { front: AtomicUsize::new(0), back: AtomicUsize::new(0) }),
            buffer: CachePadded::new(AtomicUsize::new(0)),
            places: CachePadded::new(places),
        }))
    }

    pub(crate) fn stealer(&self) -> Stealer<T> {
        Stealer(Arc::clone(&self.0))
    }

    #[track_caller]
    pub(crate) fn push(&self, item: T) {
        let Ends { front, back } = &*self.0.ends;
        let (newest, oldest) = (back.load(Ordering::Relaxed), front.load(Ordering::Acquire));
        assert!(length(oldest, newest) < ROOM, "the engine keeps fewer public");
        let place = &self.0.places[newest % ROOM];
        access(&Tag, place, Kind::Store);
        // SAFETY: no thief reads a place behind the back.
        unsafe { (*place.get()).write(item) };
        back.store(newest.wrapping_add(1), Ordering::Release);
    }

    #[track_caller]
    pub(crate) fn pop(&self) -> Option<T> {
        let Ends { front, back } = &*self.0.ends;
        let newest = back.load(Ordering::Relaxed);
        if length(front.load(Ordering::Relaxed), newest) == 0 {
            return None;
        }
        let newest = newest.wrapping_sub(1);
        back.store(newest, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let oldest = front.load(Ordering::Relaxed);
        let left = newest.wrapping_sub(oldest).cast_signed();
        if left > 0 {
            return Some(self.0.read(newest));
        }
        let take = || front.compare_exchange(oldest, oldest.wrapping_add(1), Ordering::SeqCst, Ordering::Relaxed);
        let won = left == 0 && take().is_ok();
        let item = won.then(|| self.0.read(newest));
        back.store(newest.wrapping_add(1), Ordering::Relaxed);
        item
    }

    #[track_caller]
    pub(crate) fn len(&self) -> usize {
        let Ends { front, back } = &*self.0.ends;
        let newest = back.load(Ordering::Relaxed);
        length(front.load(Ordering::SeqCst), newest)
    }
}

impl<T> Stealer<T> {
    #[track_caller]
    pub(crate) fn steal(&self) -> Steal<T> {
        let Ends { front, back } = &*self.0.ends;
        let oldest = front.load(Ordering::Acquire);
        if is_on() {
            super::spend(|_| PIN);
        }
        fence(Ordering::SeqCst);
        if length(oldest, back.load(Ordering::Acquire)) == 0 {
            return Steal::Empty;
        }
        self.0.buffer.load(Ordering::Acquire);
        let item = self.0.read(oldest);
        match front.compare_exchange(oldest, oldest.wrapping_add(1), Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => Steal::Success(item),
            Err(_) => {
                std::mem::forget(item);
                Steal::Retry
            }
        }
    }

    #[track_caller]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[track_caller]
    pub(crate) fn len(&self) -> usize {
        let Ends { front, back } = &*self.0.ends;
        let oldest = front.load(Ordering::Acquire);
        fence(Ordering::SeqCst);
        length(oldest, back.load(Ordering::Acquire))
    }
}
