//! A seat: the place that a worker, a guest from outside, or a compensating thread works from.
//!
//! Its jobs lie in a private ring or in a public deque. Only the occupant, and now and then a raider, gets at the ring
//! ([`crate::sync::ring`]). All threads steal from the deque. What else is private ([`Local`]) is plain memory of the
//! occupant. All threads read the rest.

use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::job::{Group, Job};
use super::overdue::Noted;
use crate::pool::join::{Ancestors, Grain, PendingHead};
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::deque::{Stealer, Worker as Deque};
use crate::sync::event_count::At;
use crate::sync::marks::Mark;
use crate::sync::parker::Parker;
use crate::sync::ring;
use crate::sync::shield::Shield;
use crate::sync::steal_request::StealRequest;
use crate::sync::{CachePadded, UnsafeCell};

/// The most jobs in the public deque. crossbeam-deque would grow above 64.
pub(super) const PUBLIC: usize = 48;
/// The CPU of a seat whose thread is bound to no CPU, or to several.
const NO_CPU: usize = usize::MAX;
/// The number of places of the private ring.
const RING: usize = 1024;
/// The most jobs that may wait behind all others at a seat.
const LATE: usize = RING;

/// A seat's own jobs, the newest at the near end, with what belongs to the far end.
pub(in crate::pool) type Ring = ring::Ring<Job, Public, RING>;
/// The ring for the occupant of the seat.
pub(in crate::pool) type Own<'a> = ring::Owner<'a, Job, Public, RING>;
/// A raid of a ring.
type Raid<'a> = ring::Raid<'a, Job, Public, RING>;
/// The far end of a ring.
pub(in crate::pool) type FarEnd<'a> = ring::FarEnd<'a, Job, Public, RING>;

/// A seat; see the module.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) index: usize,
    /// The NUMA node, as the pool counts them.
    pub(in crate::pool) node: usize,
    /// The L3 domain, as the pool counts them.
    pub(in crate::pool) domain: usize,
    /// The one CPU that the thread of this seat is bound to now, or [`NO_CPU`].
    cpu: AtomicUsize,
    pub(crate) parker: Arc<Parker>,
    pub(crate) stealer: Stealer<Job>,
    pub(in crate::pool) signals: CachePadded<Signals>,
    pub(crate) counts: CachePadded<Counts>,
    pub(in crate::pool) ring: Ring,
    /// Set while a job is public here.
    shows: Mark,
    local: UnsafeCell<Local>,
}

/// What the lock of a ring's far end protects.
#[derive(Debug)]
pub(crate) struct Public {
    /// What others may steal. The occupant or a raider pushes and pops jobs under the lock. A thief takes them without
    /// it.
    pub(in crate::pool) deque: Deque<Job>,
    /// Late jobs, which come behind all others of this seat, the oldest first.
    pub(in crate::pool) late: VecDeque<Job>,
    /// The stolen pending join that the occupant runs now. Null: none. It changes only while no pending join is in the
    /// ring. See [`crate::pool::join::leapfrog`].
    pub(in crate::pool) ancestor: *const PendingHead,
}

#[expect(unsafe_code, reason = "it holds the address of a pending join")]
// SAFETY: any thread that has a descendant of a pending join in hand may look into the pending join.
unsafe impl Send for Public {}

impl Public {
    /// Whether no more jobs may wait behind all others.
    pub(super) fn is_late_full(&self) -> bool {
        self.late.len() >= LATE
    }
}

/// What the occupant of a seat and threads that look for jobs there tell each other.
#[derive(Debug)]
pub(in crate::pool) struct Signals {
    /// The group of the public jobs: a hint for threads that may run only one group's jobs.
    pub(super) tag: AtomicUsize,
    /// How many jobs wait behind all others: a hint.
    pub(in crate::pool) late: AtomicUsize,
    /// Odd: the only private entry stands for one task. It is nothing to look for, as long as it does not take very long.
    /// Each such entry has another number.
    foreseen: AtomicU32,
    /// The group of the job that runs here. Jobs of this group may be in the ring: a hint.
    pub(in crate::pool) serves: AtomicUsize,
    /// A thread that looks for jobs raises this flag. The occupant takes it down when nobody is hungry any more.
    pub(in crate::pool) request: StealRequest,
    pub(in crate::pool) shield: Shield,
    pub(in crate::pool) ancestors: Ancestors,
}

/// What the occupants of a seat have ever done. Only the occupant writes this.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) jobs: AtomicU64,
    /// Jobs from other seats and from other nodes' injectors, by the tier where the occupant found them. See
    /// [`super::victims`].
    pub(crate) steals: [AtomicU64; 3],
    pub(crate) parks: AtomicU64,
}

impl Counts {
    /// Adds one to a counter that only the caller writes.
    pub(in crate::pool) fn bump(counter: &AtomicU64) {
        // Relaxed: a statistic that one thread writes.
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// Tokens that no job holds, of the group that the occupant works for now.
#[derive(Debug, Default)]
pub(in crate::pool) struct TokenCache {
    pub(in crate::pool) group: Option<NonNull<Group>>,
    pub(in crate::pool) tokens: u64,
}

impl TokenCache {
    /// Adds tokens, or takes some away if that wraps around.
    pub(super) fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.wrapping_add(tokens);
    }
}

/// The private part of a seat.
#[derive(Debug)]
pub(in crate::pool) struct Local {
    pub(in crate::pool) grain: Grain,
    pub(super) token_cache: TokenCache,
    /// The occupant publishes nothing that it queues now.
    pub(super) unpublished: bool,
    /// The job that continues the running one.
    pub(super) next: Option<Job>,
    pub(super) finds: u32,
    /// What the occupant has seen in the injector. See [`super::overdue`].
    pub(super) noted: Option<Noted>,
    pub(super) random: u64,
}

#[expect(unsafe_code, reason = "the private part moves between the threads that sit here one after the other")]
// SAFETY: (1) `local` is reached only through `Seat::local`, whose caller sits here; (2) a seat has one occupant at a
// time, and hands over through `Claims` (guests) or thread start (workers); (3) jobs and groups are `Send` by contract.
unsafe impl Sync for Seat {}
#[expect(unsafe_code, reason = "the private part moves between the threads that sit here one after the other")]
// SAFETY: see `Sync`.
unsafe impl Send for Seat {}

impl Seat {
    pub(in crate::pool) fn new(index: usize, at: At, [shows, unasked]: [Mark; 2], seed: u64) -> Self {
        let deque = Deque::new_lifo();
        Self {
            index,
            node: at.node,
            domain: at.domain,
            cpu: AtomicUsize::new(at.cpu.unwrap_or(NO_CPU)),
            parker: Arc::new(Parker::new()),
            stealer: deque.stealer(),
            signals: CachePadded::new(Signals {
                tag: AtomicUsize::new(0),
                late: AtomicUsize::new(0),
                foreseen: AtomicU32::new(0),
                serves: AtomicUsize::new(0),
                request: StealRequest::new(unasked),
                shield: Shield::new(),
                ancestors: Ancestors::new(),
            }),
            counts: CachePadded::new(Counts::default()),
            shows,
            ring: Ring::new(Public { deque, late: VecDeque::new(), ancestor: ptr::null() }),
            local: UnsafeCell::new(Local {
                grain: Grain::new(),
                token_cache: TokenCache::default(),
                unpublished: false,
                next: None,
                finds: 0,
                noted: None,
                random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            }),
        }
    }

    /// Where the thread of this seat works.
    pub(in crate::pool) fn at(&self) -> At {
        // Relaxed: a hint, as the system may move threads.
        let cpu = self.cpu.load(Ordering::Relaxed);
        At { node: self.node, domain: self.domain, cpu: (cpu != NO_CPU).then_some(cpu) }
    }

    /// Says that from now on the thread of this seat is bound to this one CPU, or to no single one.
    pub(in crate::pool) fn move_to(&self, cpu: Option<usize>) {
        self.cpu.store(cpu.unwrap_or(NO_CPU), Ordering::Relaxed);
    }

    /// Works on the private part.
    ///
    /// # Safety
    /// (1) The caller sits here. (2) `work` does not come back to this function, so it calls neither user code nor the
    /// worker's other methods.
    #[expect(unsafe_code, reason = "one occupant at a time")]
    #[inline]
    pub(in crate::pool) unsafe fn local<R>(&self, work: impl FnOnce(&mut Local) -> R) -> R {
        // SAFETY: exclusive by (1) and (2).
        self.local.with_mut(|local| work(unsafe { &mut *local }))
    }

    /// Makes a job public. The caller has the far end.
    pub(in crate::pool) fn show(&self, far: &mut FarEnd<'_>, job: Job) {
        far.deque.push(job);
        if !self.shows() {
            self.shows.set(Ordering::Relaxed); // the fences order it, as they order the jobs
        }
    }

    /// Whether others take this seat for one with public jobs.
    pub(super) fn shows(&self) -> bool {
        self.shows.is_set()
    }

    /// Tells others if no job is public. For the occupant, which has the far end.
    pub(super) fn shows_rest(&self, _: &FarEnd<'_>) {
        if self.stealer.is_empty() {
            self.shows.clear(Ordering::Relaxed);
        }
    }

    /// Begins a raid of this seat's private jobs. None: another thread has the far end.
    pub(in crate::pool) fn raid(&self) -> Option<Raid<'_>> {
        self.ring.raid(PUBLIC)
    }

    /// Whether there are private jobs here: a hint for others.
    pub(crate) fn hides(&self) -> bool {
        let is_unforeseen = || self.foreseen().is_none() || self.ring.has_several();
        !self.ring.is_empty() && is_unforeseen() || self.signals.late.load(Ordering::Relaxed) > 0
    }

    /// The number of the entry that is foreseen to take long, if there is one. Whoever finds the same one after a nap says
    /// that it is late ([`expire`](Self::expire)), and then it is something to look for.
    pub(crate) fn foreseen(&self) -> Option<u32> {
        Some(self.signals.foreseen.load(Ordering::Relaxed)).filter(|number| number % 2 == 1) // relaxed: a hint
    }

    /// The entry that the occupant makes now, or has made, is foreseen to take long. Returns its number.
    pub(crate) fn foresee(&self) -> u32 {
        // Relaxed: a hint. Only the occupant makes it odd.
        let number = self.signals.foreseen.load(Ordering::Relaxed).wrapping_add(2) | 1;
        self.signals.foreseen.store(number, Ordering::Relaxed);
        number
    }

    /// The occupant is done with the entry of that number, or it is taking much longer than foreseen.
    pub(crate) fn expire(&self, number: u32) {
        // Relaxed: as above.
        _ = self.signals.foreseen.compare_exchange(number, number ^ 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether there seem to be private jobs behind the oldest one.
    pub(crate) fn has_several(&self) -> bool {
        self.ring.has_several()
    }
}

impl Local {
    /// The next number of a xorshift generator (Marsaglia, "Xorshift RNGs", 2003): good enough to pick a victim.
    pub(in crate::pool) fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
