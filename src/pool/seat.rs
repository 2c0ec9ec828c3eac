//! A seat: the place that a worker, or a guest from outside, works from.
//!
//! Its private part ([`Local`]) is plain memory of whoever sits there; the rest is read by everybody.

use std::ptr::NonNull;
use std::sync::Arc;

use super::grain::Grain;
use super::halves::Halves;
use super::job::{Group, Job};
use super::lineage::Lineage;
use super::quiet::Stamp;
use super::ring::Ring;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::deque::{Stealer, Worker as Deque};
use crate::sync::event_count::At;
use crate::sync::parker::Parker;
use crate::sync::request::Request;
use crate::sync::{CachePadded, UnsafeCell};

/// Jobs in the public deque; crossbeam-deque grows above 64.
pub(crate) const PUBLIC: usize = 48;

/// A seat; see the module.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) index: usize,
    pub(crate) at: At,
    pub(crate) parker: Arc<Parker>,
    pub(crate) stealer: Stealer<Job>,
    pub(crate) shown: CachePadded<Shown>,
    pub(crate) counts: CachePadded<Counts>,
    local: UnsafeCell<Local>,
}

/// What the occupant of a seat and those who look for jobs there tell each other.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The group of the newest public job: a hint for threads that may run only one group's jobs.
    pub(crate) tag: AtomicUsize,
    /// Up while there is nothing public, or somebody is hungry, as far as one can see.
    pub(crate) request: Request,
    /// Down while the seat is quiet, unless that lasts too long.
    pub(super) alarm: Request,
    pub(super) quiet: Stamp,
    pub(super) lineage: Lineage,
}

/// What the occupant of a seat has done, all time. Written by it alone.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) jobs: AtomicU64,
    /// Jobs that came from elsewhere, by the ring where they were found; see [`super::victims`].
    pub(crate) steals: [AtomicU64; 3],
    pub(crate) parks: AtomicU64,
}

impl Counts {
    /// Adds one to a counter that only the caller writes.
    pub(crate) fn bump(counter: &AtomicU64) {
        // Relaxed: a statistic with one writer.
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// Spare tokens of the group that the seat works for now.
#[derive(Debug, Default)]
pub(crate) struct Purse {
    pub(crate) group: Option<NonNull<Group>>,
    pub(crate) tokens: u64,
}

/// The private part of a seat.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) ring: Ring,
    /// Second halves of joins, older or newer than what is in the ring.
    pub(crate) halves: Halves,
    pub(super) grain: Grain,
    /// Numbers the times when this seat was quiet.
    pub(super) quiets: u64,
    pub(crate) public: Deque<Job>,
    pub(crate) purse: Purse,
    /// What is queued is not shown now.
    pub(crate) quiet: bool,
    /// The job that continues the running one.
    pub(crate) next: Option<Job>,
    pub(crate) finds: u32,
    pub(crate) random: u64,
}

#[expect(unsafe_code, reason = "the private part moves between the threads that sit here one after the other")]
// SAFETY: (1) `local` is reached only through `Seat::local`, whose caller sits here; (2) a seat has one occupant at a
// time, and hands over through `Claims` (guests) or thread start (workers); (3) jobs and groups are `Send` by contract.
unsafe impl Sync for Seat {}
#[expect(unsafe_code, reason = "the private part moves between the threads that sit here one after the other")]
// SAFETY: see `Sync`.
unsafe impl Send for Seat {}

impl Seat {
    pub(crate) fn new(index: usize, at: At, seed: u64) -> Self {
        let public = Deque::new_lifo();
        Self {
            index,
            at,
            parker: Arc::new(Parker::new()),
            stealer: public.stealer(),
            shown: CachePadded::new(Shown {
                tag: AtomicUsize::new(0),
                request: Request::new(),
                alarm: Request::new(),
                quiet: Stamp::new(),
                lineage: Lineage::new(),
            }),
            counts: CachePadded::new(Counts::default()),
            local: UnsafeCell::new(Local {
                ring: Ring::new(),
                halves: Halves::new(),
                grain: Grain::new(),
                quiets: 0,
                public,
                purse: Purse::default(),
                quiet: false,
                next: None,
                finds: 0,
                random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            }),
        }
    }

    /// Works on the private part.
    ///
    /// # Safety
    /// (1) The caller sits here. (2) `work` does not come back to this function, so it calls neither user code nor the
    /// worker's other methods.
    #[expect(unsafe_code, reason = "one occupant at a time")]
    #[inline]
    pub(crate) unsafe fn local<R>(&self, work: impl FnOnce(&mut Local) -> R) -> R {
        // SAFETY: exclusive by (1) and (2).
        self.local.with_mut(|local| work(unsafe { &mut *local }))
    }
}

impl Local {
    /// The oldest private job of the seat `seat`, to be shown.
    pub(crate) fn pop_oldest(&mut self, seat: &Seat) -> Option<Job> {
        self.ring.pop_oldest().or_else(|| self.halves.show_oldest(seat))
    }

    /// The next number of a xorshift generator (Marsaglia, "Xorshift RNGs", 2003): good enough to pick a victim.
    pub(crate) fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
