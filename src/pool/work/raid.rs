//! Who has nothing to do publishes what others keep private while they are in user code.
//!
//! The occupant of a seat publishes jobs when others ask for them, but not before it comes back from the closure that it is in,
//! however long that takes. A thread that has looked everywhere in vain, and sees that a seat has private jobs and has queued
//! none since it first saw them, *raids* that seat: it moves the oldest of them to the public deque in the occupant's place
//! ([`crate::sync::ring`]), and then steals as everybody does.
//!
//! # When
//! A raid costs every thread of the process that runs some microseconds, and the raider as much. So a thread raids only when its
//! patience is at an end, or now and then while it lasts ([`LOOK`]), and one at a time. Raids take at most a hundredth of the
//! time, but for [`CREDIT`] in advance; where that is used up, what is private has to be so for a [`NAP`]. Since who is raided is
//! in user code for long, a raid publishes as much as the public deques hold, at up to [`VICTIMS`] seats; one who waits for
//! something stops at the first job that it may run.
//!
//! # Nothing stays hidden from who sleeps
//! A thread that goes to sleep is known as hungry, then it raises the flags of all seats: who queues a job after that
//! publishes it. What was queued before is seen by the look at the seats after that, but for what lies in a store buffer
//! still: the thread has passed no heavy fence. So it sleeps for [`NAP`] only, and looks once more, if others were active; by
//! then every store can be seen. An idle pool has nothing to wake for.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ptr;
use std::time::{Duration, Instant};

use super::job::{Job, Wanted};
use super::overdue::FAIR;
use super::publish::publish;
use super::seat::{Local, PUBLIC, Seat};
use super::worker::Worker;
use crate::pool::join::grain::SHORT;
use crate::pool::join::leapfrog::is_descendant;
use crate::sync::Mutex;
use crate::sync::atomic::Ordering;
use crate::sync::event_count::Only;
use crate::sync::ring::raid_fence;
use crate::sync::seam::Point;

/// How often a thread looks for private jobs while it looks for public ones.
const LOOK: Duration = Duration::from_micros(20);
/// How long a thread sleeps before it looks once more; the system adds no more to that on the pool's own threads.
const NAP: Duration = Duration::from_micros(50);
/// So many times as long as a raid takes it is until the next one, in the long run.
const SHARE: u32 = 100;
/// So much time may be spent in advance.
const CREDIT: Duration = Duration::from_millis(100);
/// Seats that are raided at once.
const VICTIMS: usize = 4;

/// Whose turn it is to raid, and when.
#[derive(Debug)]
pub(in crate::pool) struct Raids(Mutex<Option<Instant>>);

impl Raids {
    pub(in crate::pool) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Does `raid` unless somebody else is at it, or too much time went into raids of late and it `may_wait`.
    fn take_turn<R>(&self, may_wait: bool, raid: impl FnOnce() -> R) -> Option<R> {
        let mut paid_until = self.0.try_lock()?;
        let begin = Instant::now();
        let paid = paid_until.map_or(begin, |until| until.max(begin));
        if may_wait && paid - begin > CREDIT {
            return None;
        }
        let result = raid();
        *paid_until = Some(paid + (begin.elapsed() * SHARE).min(CREDIT));
        Some(result)
    }
}

/// What a thread has seen of private jobs since it looks for work.
#[derive(Debug)]
pub(super) struct Lookout(Cell<Option<SeenPrivate>>);

#[derive(Clone, Copy, Debug)]
struct SeenPrivate {
    /// The nearest seat with private jobs, and its beat; null: there was none.
    seat: *const Seat,
    beat: usize,
    since: Instant,
    /// When it looked last, and whether it found the jobs of that seat still there then.
    looked: Instant,
    has_looked: bool,
    /// When it looked for the first time.
    first: Instant,
}

impl Lookout {
    pub(in crate::pool) fn new() -> Self {
        Self(Cell::new(None))
    }
}

impl Worker<'_> {
    /// This thread had work: what it saw before is of no use.
    #[inline]
    pub(super) fn forget_seen(&self) {
        self.lookout.0.set(None);
    }

    /// Looks for private jobs that a thread that waits for `only` may run, now and then; always if this `is_last`: it is about
    /// to sleep. Whether it has made some public.
    pub(super) fn look_for_private(&self, only: Only, is_last: bool) -> bool {
        if self.driven {
            return self.sees_private(only).is_some() && self.raid(only);
        }
        let now = Instant::now();
        let Some(seen) = self.lookout.0.get() else {
            self.note_private(only, now);
            return false;
        };
        if !is_last && now - seen.looked < LOOK {
            return false;
        }
        #[expect(unsafe_code, reason = "another seat of this pool")]
        // SAFETY: null, or a seat: those live as long as their pool, and this thread works there.
        let seat = unsafe { seen.seat.as_ref() };
        let is_still = seat.is_some_and(|seat| may_hide(seat, only) && seat.ring.beat() == seen.beat);
        if !is_still {
            self.note_private(only, now);
            return false;
        }
        self.lookout.0.set(Some(SeenPrivate { looked: now, has_looked: true, ..seen }));
        let age = now - seen.since;
        age >= SHORT && self.shared.raids.take_turn(age < NAP, || self.raid(only)).unwrap_or(false)
    }

    /// Whether there are private jobs on this node, and this thread has not tried yet to get at them since it looks for work.
    pub(super) fn raids_here_soon(&self) -> bool {
        let here = |seat: &Seat| seat.node == self.seat.node && seat.hides();
        let is_new = self.lookout.0.get().is_none_or(|seen| !seen.has_looked && seen.first.elapsed() < FAIR);
        is_new && self.shared.seats_in_use().iter().any(here)
    }

    fn note_private(&self, only: Only, now: Instant) {
        let seat = self.sees_private(only);
        let beat = seat.map_or(0, |seat| seat.ring.beat());
        let seat = seat.map_or(ptr::null(), ptr::from_ref);
        let first = self.lookout.0.get().map_or(now, |seen| seen.first);
        self.lookout.0.set(Some(SeenPrivate { seat, beat, since: now, looked: now, has_looked: false, first }));
    }

    /// The nearest seat that seems to have private jobs for a thread that waits for `only`.
    fn sees_private(&self, only: Only) -> Option<&Seat> {
        self.victims(only).next()
    }

    fn victims(&self, only: Only) -> impl Iterator<Item = &Seat> {
        let (shared, random) = (self.shared, self.local(Local::random));
        let victims = shared.victims.of(self.seat.index, random);
        victims.filter_map(|(victim, _)| shared.seats_in_use().get(victim)).filter(move |seat| may_hide(seat, only))
    }

    /// Publishes private jobs in their owners' place; whether there were any.
    #[cold]
    fn raid(&self, only: Only) -> bool {
        let begin = |seat| Some((seat, Seat::raid(seat)?));
        let mut raids = [const { None }; VICTIMS];
        let hungry = self.shared.idle.idle().clamp(1, VICTIMS);
        raids
            .iter_mut()
            .zip(self.victims(only).filter_map(begin))
            .take(hungry)
            .for_each(|(place, raid)| *place = Some(raid));
        if raids[0].is_none() || !(self.driven || raid_fence()) {
            return false;
        }
        let mut has_made = false;
        for (seat, raid) in raids.into_iter().flatten() {
            let mut far = raid.settle();
            let is_mine = |job: &Job| only.is_some() && (job.is_for(only) || is_descendant(job, only));
            let made = publish(self.shared, seat, &mut far, (PUBLIC, Wanted::All), is_mine);
            drop(far);
            if let Some(made) = made {
                has_made = true;
                made.notify(self.shared, seat);
            }
        }
        self.point(Point::Publish);
        has_made
    }

    /// About to sleep, and known as hungry: sleeps for a short time. Whether it was woken, or there are private jobs now for a
    /// thread that waits for `only`. A worker beside which nobody is active does not, as there are none.
    pub(in crate::pool) fn nap(&self, only: Only) -> bool {
        let sees = || self.sees_private(only).is_some();
        if self.driven {
            return sees();
        }
        let naps = only.is_some() || self.shared.idle.is_anybody_active();
        naps && (self.seat.parker.park_for(NAP) || sees())
    }
}

/// Whether a seat seems to have private jobs for a thread that waits for `only`.
pub(super) fn may_hide(seat: &Seat, only: Only) -> bool {
    (only.is_none() || may_be_for(seat, only)) && seat.hides()
}

/// Whether what runs at a seat seems to be of what is waited for.
pub(in crate::pool) fn may_be_for(seat: &Seat, only: Only) -> bool {
    let may_be = |id: NonZeroUsize| {
        // Relaxed: a hint.
        seat.signals.serves.load(Ordering::Relaxed) == id.get() || seat.signals.ancestors.has(id)
    };
    only.is_some_and(may_be)
}
