//! A thread that has nothing to do publishes the jobs that others keep private while they are in user code.
//!
//! The occupant of a seat publishes jobs when others ask for them. But it is in a closure of the user's, and publishes
//! nothing before that returns, however long it takes. Another thread has looked everywhere in vain. It sees private
//! jobs at that seat, looks again after [`SHORT`] at the earliest, and sees that the seat has queued no job since. So
//! it *raids* the seat: it moves the oldest private jobs to the public deque in the occupant's place
//! ([`crate::sync::ring`]). Then it steals as every thief does.
//!
//! # When
//! A raid costs every running thread of the process some microseconds, and the raider as much. So a thread raids only
//! when its patience is at an end, or once per [`LOOK`] while it lasts, and only one thread raids at a time. Raids take
//! at most a hundredth of the time, after [`CREDIT`] in advance. When the credit is used up, a thread raids only for
//! jobs that it has seen private for a [`NAP`].
//!
//! The occupant is in user code, and that may take long. So a raid publishes until the public deque is full. It does so
//! at as many seats as threads are hungry, [`VICTIMS`] at most. A raider that waits for something stops, at each seat,
//! at the first job that it may run.
//!
//! # Nothing stays hidden from a thread that sleeps
//! An occupant queues a job while a thread goes to sleep. The thread first counts as hungry, and then raises the flags
//! of all seats, or, if it waits for something, of the seats that seem to be in the middle of that. An occupant that
//! queues after that publishes the job. The thread then looks at the seats, and sees what was queued before. Only a
//! store that still lies in a store buffer escapes it, because the thread has passed no heavy fence. So if others are
//! active, or the thread waits for something, it sleeps for [`NAP`] only, and looks once more. By then every store can
//! be seen. In an idle pool no worker naps: there are no private jobs. As long as others are active it naps again, in naps
//! that grow from [`FAIR`] to [`LONGEST`]: the task that another one is in may take much longer than it has before, and then
//! what waits for it is to be had.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ptr;
use std::time::Duration;

use super::job::{Job, Wanted};
use super::overdue::FAIR;
use super::publish::publish;
use super::seat::{Local, PUBLIC, Seat};
use super::worker::Worker;
use crate::pool::Shared;
use crate::pool::join::grain::SHORT;
use crate::pool::join::leapfrog::is_descendant;
use crate::sync::atomic::Ordering;
use crate::sync::event_count::Only;
use crate::sync::ring::raid_fence;
use crate::sync::seam::Point;
use crate::sync::{Instant, Mutex};

/// How often a thread looks for private jobs while it looks for public ones. The first time it does so after half of
/// this: a look at all seats takes long on many cores, and meanwhile the thread does not see what becomes public.
const LOOK: Duration = Duration::from_micros(20);
/// How long a thread sleeps before it looks once more: half of the 100 us within which it is to find what is hidden. On
/// the pool's own threads the system may add a microsecond.
const NAP: Duration = Duration::from_micros(50);
/// The longest nap of a thread that looks after others.
const LONGEST: Duration = FAIR.saturating_mul(128);
/// In the long run the time from one raid to the next one is this many times the time that a raid takes.
const SHARE: u32 = 100;
/// How much of that time raids may use in advance.
const CREDIT: Duration = Duration::from_millis(100);
/// The most seats that are raided at once.
const VICTIMS: usize = 4;

/// Lets one thread at a time raid. It holds the time until which the raids so far have used up their share.
#[derive(Debug)]
pub(in crate::pool) struct Raids(Mutex<Option<Instant>>);

impl Raids {
    pub(in crate::pool) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Does `raid`, unless another thread raids now. If raids have used up their credit and this one `may_wait`, it is
    /// not done either.
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

/// What a thread has seen of private jobs since it began to look for work.
#[derive(Debug)]
pub(super) struct Lookout(Cell<Option<SeenPrivate>>);

#[derive(Clone, Copy, Debug)]
struct SeenPrivate {
    /// The nearest seat with private jobs, and its beat. Null: there was none.
    seat: *const Seat,
    beat: usize,
    /// When the thread noted this seat.
    since: Instant,
    /// When the thread is to look again, and whether it found the jobs of that seat still there when it looked last.
    next: Instant,
    has_looked: bool,
    /// When the thread looked for the first time.
    first: Instant,
}

impl SeenPrivate {
    /// The thread begins to look for work.
    fn nothing(now: Instant) -> Self {
        Self { seat: ptr::null(), beat: 0, since: now, next: now + LOOK / 2, has_looked: false, first: now }
    }
}

impl Lookout {
    pub(in crate::pool) fn new() -> Self {
        Self(Cell::new(None))
    }
}

impl Worker<'_> {
    /// This thread had work: it forgets what it has seen of private jobs before.
    #[inline]
    pub(super) fn forget_seen(&self) {
        self.lookout.0.set(None);
    }

    /// Looks once per [`LOOK`] for private jobs that a thread that waits for `only` may run. Before the thread sleeps,
    /// which `is_last` says, it looks in any case. The first look only notes a seat, and a later one may raid. Returns
    /// whether this thread has made jobs public.
    pub(super) fn look_for_private(&self, only: Only, is_last: bool) -> bool {
        if self.timeless {
            return self.sees_private(only).is_some() && self.raid(only);
        }
        let now = Instant::now();
        let seen = self.lookout.0.get().unwrap_or_else(|| SeenPrivate::nothing(now));
        if !is_last && now < seen.next {
            self.lookout.0.set(Some(seen));
            return false;
        }
        #[expect(unsafe_code, reason = "another seat of this pool")]
        // SAFETY: null, or a seat. Seats live as long as their pool, and this thread works there.
        let seat = unsafe { seen.seat.as_ref() };
        let is_still = seat.is_some_and(|seat| may_hide(seat, only) && seat.ring.beat() == seen.beat);
        if !is_still {
            self.note_private(only, now);
            return false;
        }
        self.lookout.0.set(Some(SeenPrivate { next: now + LOOK, has_looked: true, ..seen }));
        let age = now - seen.since;
        age >= SHORT && self.shared.raids.take_turn(age < NAP, || self.raid(only)).unwrap_or(false)
    }

    /// Whether there are private jobs on this node, and a raid of this thread may bring them soon. That is so while it
    /// has not looked twice at the seat that it noted last, and has looked for work for less than [`FAIR`].
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
        let next = now + LOOK;
        self.lookout.0.set(Some(SeenPrivate { seat, beat, since: now, next, has_looked: false, first }));
    }

    /// The nearest seat that seems to have private jobs for a thread that waits for `only`.
    fn sees_private(&self, only: Only) -> Option<&Seat> {
        self.victims(only).next()
    }

    fn victims(&self, only: Only) -> impl Iterator<Item = &Seat> {
        let (shared, random) = (self.shared, self.local(Local::random));
        let victims = shared.victims.of(self.seat.index, random);
        victims.filter_map(|victim| shared.seats_in_use().get(victim)).filter(move |seat| may_hide(seat, only))
    }

    /// Publishes private jobs in their owners' place. Returns whether there were any.
    #[cold]
    fn raid(&self, only: Only) -> bool {
        let begin = |seat| Some((seat, Seat::raid(seat)?));
        let mut raids = [const { None }; VICTIMS];
        let hungry = self.shared.sleep.available(self.seat.domain).clamp(1, VICTIMS);
        raids
            .iter_mut()
            .zip(self.victims(only).filter_map(begin))
            .take(hungry)
            .for_each(|(place, raid)| *place = Some(raid));
        if raids[0].is_none() || !(self.timeless || raid_fence()) {
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

    /// The thread is about to sleep, and counts as hungry: it sleeps for a [`NAP`] first. Returns whether it was woken,
    /// or sees jobs now that a thread that waits for `only` may run. A thread that waits for nothing does not nap if no
    /// other one is active, because there are no private jobs then. If as many threads are active as may be, which
    /// `is_full` says, one that looked that often would take a CPU from them: it naps for [`FAIR`].
    ///
    /// If `is_long`, or if it is a guest, it looks after others for as long as one is active, in naps that grow up to
    /// [`LONGEST`]: a task may take much longer than before, and hold back what this thread could do. If `is_long`, a guest
    /// leaves what it sees to the others while they get on with it.
    pub(in crate::pool) fn nap(&self, only: Only, mut is_long: bool, is_full: impl Fn(bool) -> bool) -> bool {
        let sees = |is_long| self.sees_private(only).is_some() || is_long && self.shared.has_work(only);
        if self.timeless {
            return sees(is_long);
        }
        if only.is_none() && !self.shared.sleep.is_anybody_active() {
            return false;
        }
        let state = |is_long| is_full(is_long).then(|| self.shared.done_for(only));
        let is_guest = only.is_some() && !self.lends; // it has nothing else to do
        let (mut before, mut foreseen, mut time) = (state(is_long), Vec::new(), NAP);
        loop {
            if self.seat.parker.park_for(if before.is_some() { FAIR } else { time }) {
                return true;
            }
            foreseen.drain(..).for_each(|(seat, number)| Seat::expire(seat, number));
            let seen = sees(is_long);
            let now = if seen && is_long { state(true) } else { None };
            if seen && (now.is_none() || now == before) {
                return true; // there is room, or nobody gets on with it
            }
            before = now;
            is_long |= is_guest;
            let goes_on = seen || is_long && self.shared.sleep.is_anybody_active();
            if !goes_on {
                return false;
            }
            time = (2 * time).clamp(FAIR, LONGEST);
            let seats = self.shared.seats_in_use();
            foreseen.extend(seats.iter().filter_map(|seat| Some((seat, seat.foreseen()?))));
        }
    }
}

impl Shared {
    /// How many jobs those threads have run that seem to work for what `only` names now.
    fn done_for(&self, only: Only) -> u64 {
        let seats = self.seats_in_use().iter().filter(|seat| may_be_for(seat, only));
        seats.map(|seat| seat.counts.jobs.load(Ordering::Relaxed)).sum() // Relaxed: a hint
    }
}

/// Whether a seat seems to have private jobs for a thread that waits for `only`.
pub(super) fn may_hide(seat: &Seat, only: Only) -> bool {
    (only.is_none() || may_be_for(seat, only)) && seat.hides()
}

/// Whether the thread at a seat seems to run a job that `only` names, or a descendant of the join that it names.
pub(in crate::pool) fn may_be_for(seat: &Seat, only: Only) -> bool {
    let may_be = |id: NonZeroUsize| {
        // Relaxed: a hint.
        seat.signals.serves.load(Ordering::Relaxed) == id.get() || seat.signals.ancestors.has(id)
    };
    only.is_some_and(may_be)
}
