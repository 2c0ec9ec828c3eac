//! How jobs are queued at a seat, and how other threads get them.
//!
//! The occupant of a seat queues new jobs in its private ring, by plain stores. It *publishes* the oldest ones, which
//! are the largest as a rule: it moves them to the public deque, and other threads steal them from there.
//!
//! Other threads ask for jobs by a flag ([`crate::sync::steal_request`]). The occupant looks at the flag at every push,
//! before every job, and before every leaf of a loop. If the flag is up, it publishes until as many jobs are public as
//! others could take, one at least. Before a job that takes long, such as a batch, it publishes whether others ask or
//! not, until [`PUBLIC`] jobs are public; before a long leaf, until some parts of its range are. While it is in user code
//! it publishes nothing, and others raid it: see [`super::raid`].
//!
//! Late jobs, which come behind all others of the seat, wait beside the ring, under the lock of its far end. They are
//! published first.

use std::ptr::NonNull;

use super::job::{Group, Job, Published, Target, Wanted, group_id};
use super::seat::{FarEnd, PUBLIC, Seat, TokenCache};
use super::worker::Worker;
use crate::pool::Shared;
use crate::sync::atomic::Ordering;
use crate::sync::event_count::Only;
use crate::sync::quiescence::BULK;
use crate::sync::seam::Point;

impl Worker<'_> {
    // ---- queueing ----------------------------------------------------------------------------------------------

    /// Queues a job as the newest one of this seat, and takes a token of its group for it.
    pub(crate) fn push(&self, job: Job) {
        self.push_parts(job, 1, None);
    }

    /// Queues a job for the workers of the node `home`. If that is this node, or none, this is [`push`](Self::push).
    pub(crate) fn push_home(&self, job: Job, home: Option<usize>) {
        self.push_parts(job, 1, home);
    }

    /// As [`push_home`](Self::push_home), for a job that is cut into so many parts. It takes a token for each, so who
    /// cuts it looks at no shared word.
    pub(crate) fn push_parts(&self, job: Job, parts: u64, home: Option<usize>) {
        self.local(|local| take_tokens(&mut local.token_cache, job.group(), parts));
        match home {
            Some(home) if home != self.seat.node => self.shared.send_home(home, job),
            _ => self.push_counted(job),
        }
    }

    /// Queues a job for the workers of the node `home`. If that is this node, or none, this is
    /// [`push_last`](Self::push_last).
    pub(crate) fn push_last_home(&self, job: Job, home: Option<usize>) {
        match home {
            Some(home) if home != self.seat.node => self.push_parts(job, 1, Some(home)),
            _ => self.push_last(job),
        }
    }

    /// Queues a job whose token is out already, as the newest one of this seat.
    pub(crate) fn push_counted(&self, job: Job) {
        self.push_own(job);
        self.publish_surplus();
    }

    /// Queues a job whose token is out already, and publishes nothing: this thread is about to take it.
    pub(crate) fn push_own(&self, job: Job) {
        if self.put_into_bag(job) {
            return;
        }
        self.make_room();
        self.own.push(job);
    }

    /// Puts an entry into the ring that stands for work of this thread, part by part. Returns its place.
    pub(crate) fn push_entry(&self, entry: Job) -> usize {
        self.make_room();
        self.own.push(entry)
    }

    /// This thread goes on with the next part of what its entry at `place` stands for: waits until nobody takes some of it
    /// away.
    #[inline]
    pub(in crate::pool) fn pass_entry(&self, place: usize) {
        self.own.pass(place);
    }

    /// Takes an entry back. Nobody takes parts of what it stands for after this.
    pub(crate) fn take_entry(&self, place: usize) {
        self.own.take_back(place);
        self.own.pass(place); // a raid that has ended may have taken a part
    }

    /// Calls `make`, which queues jobs, and publishes none of them meanwhile. This thread is about to take one of the
    /// jobs, and publishes the others then. So a job that is alone wakes nobody.
    pub(crate) fn unpublished(&self, make: impl FnOnce()) {
        self.local(|local| local.unpublished = true);
        make();
        self.local(|local| local.unpublished = false);
    }

    /// Queues a job behind all others of this seat. This worker takes it last, and publishes it first. If there is no
    /// room, the job goes to the injector.
    pub(in crate::pool) fn push_last(&self, job: Job) {
        self.local(|local| take_tokens(&mut local.token_cache, job.group(), 1));
        self.push_late(job);
        self.publish_surplus();
    }

    fn push_late(&self, job: Job) {
        if self.put_into_bag(job) {
            return;
        }
        let mut far = self.own.far_end();
        if far.is_late_full() {
            drop(far);
            return self.shared.inject_at(self.seat.node, job);
        }
        far.late.push_back(job);
        note_late(self.seat, &far);
    }

    /// Makes `job` the continuation of the running job, which is of the same group: it runs next, on the same token. If
    /// the running job has a continuation already, `job` is queued.
    pub(crate) fn continue_with(&self, job: Job) {
        if self.explores() {
            return self.push(job);
        }
        let taken = self.local(|local| {
            let taken = local.next.is_some();
            local.next.get_or_insert(job);
            taken
        });
        if taken {
            self.push(job);
        }
    }

    /// As [`continue_with`](Self::continue_with), but if the newest job of this seat `is_better`, that one runs next in place of
    /// `job`, which is queued. Both are of the group of the running job.
    pub(crate) fn continue_with_better(&self, job: Job, is_better: impl FnOnce(&Job) -> bool) {
        let is_free = !self.explores() && self.local(|local| local.next.is_none());
        match is_free.then(|| self.own.pop_if(is_better)).flatten() {
            Some(newest) => {
                self.push_counted(job); // on the running job's token
                self.continue_with(newest);
            }
            None => self.continue_with(job),
        }
    }

    /// Queues the continuation of the running job behind all others, because this thread will not come to it soon.
    pub(super) fn queue_next(&self) {
        if let Some(next) = self.local(|local| local.next.take()) {
            self.push_last(next);
        }
    }

    /// If the ring is full, moves the older half of it to the injector, and late jobs before that.
    #[inline]
    pub(in crate::pool) fn make_room(&self) {
        while self.own.is_full() {
            self.spill();
        }
    }

    #[cold]
    #[inline(never)]
    fn spill(&self) {
        let mut far = self.own.far_end();
        let mut jobs = Vec::new();
        while jobs.len() < super::seat::Ring::ROOM / 2
            && let Some(job) = next_public(self.seat, &mut far, Wanted::All)
        {
            jobs.push(job);
        }
        drop(far);
        let count = jobs.len();
        self.injector().push(jobs);
        self.shared.notify(self.seat.domain, None, count);
    }

    // ---- publishing --------------------------------------------------------------------------------------------

    /// Whether others ask this seat for jobs.
    #[inline]
    pub(in crate::pool) fn is_asked(&self) -> bool {
        self.seat.signals.request.is_up()
    }

    /// If others ask, publishes the oldest private jobs until as many are public as others could take, one at least.
    #[inline]
    pub(crate) fn publish_surplus(&self) {
        if self.is_asked() {
            self.answer();
        }
    }

    /// Publishes what others ask for, and takes the flag down if nobody is hungry any more.
    #[cold]
    #[inline(never)]
    pub(in crate::pool) fn answer(&self) {
        if !self.local(|local| local.unpublished) {
            if self.hides() {
                self.publish_up_to(self.shared.sleep.available(self.seat.domain).clamp(1, PUBLIC), Wanted::Surplus);
            }
            self.take_flag_down();
        }
    }

    /// Takes down the flag by which others ask, if nobody is hungry. Threads may sleep all the same, because `limit`
    /// threads are active: these are owed a look.
    fn take_flag_down(&self) {
        let sleep = &self.shared.sleep;
        let domain = self.seat.domain;
        if !sleep.is_hungry(domain) {
            self.seat.signals.request.answer(|| sleep.is_hungry(domain) || sleep.owes_sleepers(domain));
        }
    }

    /// Publishes private jobs until [`PUBLIC`] are public, or nothing that is left is worth giving away. What comes
    /// next takes long, and to publish a job takes a few nanoseconds. A single worker publishes none.
    pub(crate) fn publish_before_long_job(&self) {
        if self.shared.workers() > 1 && self.hides() {
            self.publish_up_to(PUBLIC, Wanted::Surplus);
        }
    }

    /// Publishes private jobs until so many are public that all other workers could share them, if each job is half of
    /// what is left: as many as the number of workers has binary digits. With fewer a thread that asks late waits for
    /// the end of a leaf; with more each leaf of a loop would be a job of its own. A single worker publishes none.
    pub(in crate::pool) fn publish_ahead(&self) {
        let halves = usize::BITS - (self.shared.workers() - 1).leading_zeros();
        if halves > 0 && self.hides() {
            self.publish_up_to((halves as usize).min(PUBLIC), Wanted::Surplus);
        }
    }

    /// Publishes everything, also the continuation of the running job. This thread is about to block, to sleep or to
    /// leave, so others must be able to get all its jobs.
    pub(in crate::pool) fn publish_all(&self) {
        self.queue_next();
        loop {
            while self.hides() {
                if self.seat.stealer.len() < PUBLIC {
                    self.publish_up_to(PUBLIC, Wanted::All);
                } else {
                    self.spill();
                }
            }
            self.own.wait_for_raid(); // a raider may have claimed jobs, and may give them back
            if !self.hides() {
                return;
            }
        }
    }

    /// Whether this seat has private jobs.
    fn hides(&self) -> bool {
        !self.explores() && (!self.own.is_empty() || self.seat.signals.late.load(Ordering::Relaxed) > 0)
    }

    fn publish_up_to(&self, jobs: usize, wanted: Wanted) {
        let made = publish(self.shared, self.seat, &mut self.own.far_end(), (jobs, wanted), |_| false);
        if let Some(made) = made {
            self.point(Point::Publish);
            made.notify(self.shared, self.seat);
        }
    }
}

/// What was published at a seat.
#[derive(Clone, Copy, Debug)]
pub(in crate::pool) struct Publication {
    /// The group of the public jobs.
    group: Only,
    /// How many jobs are public now.
    pub(in crate::pool) public: usize,
    /// How many jobs of other groups were public before, and went to the injector.
    displaced: usize,
}

impl Publication {
    /// Wakes threads that may take the jobs. The caller has set the far end free before.
    pub(in crate::pool) fn notify(self, shared: &Shared, seat: &Seat) {
        if self.displaced > 0 {
            shared.notify(seat.domain, None, self.displaced);
        }
        match self.group {
            Some(_) => shared.notify(seat.domain, self.group, self.public),
            None => shared.notify_descendants(seat, self.public),
        }
    }
}

/// Publishes the oldest private jobs of a seat, until `jobs` of them are public, or one is `enough`.
pub(in crate::pool) fn publish(
    shared: &Shared,
    seat: &Seat,
    far: &mut FarEnd<'_>,
    (jobs, wanted): (usize, Wanted),
    enough: impl Fn(&Job) -> bool,
) -> Option<Publication> {
    let (mut made, mut displaced) = (None, 0);
    while far.deque.len() < jobs {
        let Some(job) = next_public(seat, far, wanted) else { break };
        let group = group_id(job.group());
        if tag(seat) != group {
            // The public deque holds jobs of one group at a time, so that its tag tells what is in it.
            while let Some(other) = far.deque.pop() {
                shared.injectors[seat.node].push([other]);
                displaced += 1;
            }
            // Relaxed: a hint. A thief looks at the job itself.
            seat.signals.tag.store(group.map_or(0, std::num::NonZero::get), Ordering::Relaxed);
        }
        let is_enough = enough(&job); // while no other thread can have the job
        seat.show(far, job);
        made = Some(Publication { group, public: far.deque.len(), displaced });
        if is_enough {
            break;
        }
    }
    made
}

/// Takes the next private job that others may have, late jobs first.
fn next_public(seat: &Seat, far: &mut FarEnd<'_>, wanted: Wanted) -> Option<Job> {
    if let Some(job) = far.late.pop_front() {
        note_late(seat, far);
        return Some(job);
    }
    while let Some(entry) = far.oldest() {
        #[expect(unsafe_code, reason = "asks an entry what comes of it")]
        // SAFETY: a queued job's target is alive: (1) of `Target::run`.
        let Target { publish, .. } = unsafe { entry.target.as_ref() };
        let Some(publish) = publish else {
            far.advance();
            return Some(entry);
        };
        #[expect(unsafe_code, reason = "asks an entry what comes of it")]
        // SAFETY: (1) it is an entry of this seat, whose far end the caller has; (2) the caller is the owner, or a
        // raider that has claimed the entry, and then the owner waits for the far end before it goes on with the entry.
        match unsafe { publish(entry.payload, seat, far, wanted) } {
            Published::Whole => {
                far.advance();
                return Some(entry);
            }
            Published::Part(job) => return Some(job),
            Published::Empty => far.advance(),
            Published::Kept => return None,
        }
    }
    None
}

/// Tells other threads how many jobs wait behind all others.
pub(super) fn note_late(seat: &Seat, far: &FarEnd<'_>) {
    // Relaxed: it changes under the lock, and is a hint for other threads.
    seat.signals.late.store(far.late.len(), Ordering::Relaxed);
}

/// The group of the jobs that are public at a seat: a hint.
pub(super) fn tag(seat: &Seat) -> Only {
    std::num::NonZero::new(seat.signals.tag.load(Ordering::Relaxed))
}

/// Takes so many tokens of `group` for a new job.
#[inline]
fn take_tokens(cache: &mut TokenCache, group: Option<NonNull<Group>>, count: u64) {
    let Some(group) = group else { return };
    // SAFETY: the thread that queues a job of a group holds one of its tokens: the group is alive.
    #[expect(unsafe_code, reason = "a group lives as long as its tokens")]
    let tokens = unsafe { &group.as_ref().tokens };
    if cache.group != Some(group) {
        tokens.take(count);
    } else if cache.tokens >= count {
        cache.tokens -= count;
    } else {
        tokens.take(BULK - 1 + count);
        cache.tokens += BULK - 1;
    }
}
