//! A thread that blocks lends its slot to a compensating thread.
//!
//! A worker's right to be active is its *slot*. A worker that is in [`Pool::block_in_place`], or that waits for longer
//! than a [nap](crate::pool::work::raid), uses no core, so it lends its slot. Another worker that is parked goes on in
//! the slot, or else a *compensating thread* (a compensator, in names). That is a thread at a seat of its own. It works
//! only while no more compensating threads are awake than slots are lent ([`crate::sync::event_count`]). When the slot
//! is taken back, a compensating thread publishes its private jobs after its current job, and sleeps.
//!
//! A compensating thread is made if four things hold: a job is in sight, a slot is free, no thread sleeps that may take
//! it, and more slots are lent than compensating threads were made. So a pool in which nobody blocks has none. There
//! are at most as many as workers, and they end with the pool. If the system refuses a thread, the pool goes on without
//! it, and asks again after a while.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use crate::pool::work::patience::Patience;
use crate::pool::work::seat::{Counts, Seat};
use crate::pool::work::worker::{Step, Worker};
use crate::pool::{MOST_GUESTS, Pool, Shared};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::event_count::MAX_THREADS;
use crate::sync::thread::JoinHandle;
use crate::sync::{Instant, Mutex, explores};

/// Makes the compensating thread with this number. Gives its thread, unless it is a virtual one.
type Make = Box<dyn Fn(usize) -> io::Result<Option<JoinHandle<()>>> + Send>;

/// The compensating threads of a pool.
#[derive(Debug)]
pub(in crate::pool) struct Compensators {
    most: usize,
    /// Changes under the lock; read without it as a hint.
    made: AtomicUsize,
    refused: AtomicUsize,
    /// When the pool was made, and how many nanoseconds later the system may be asked for a thread again. 0: at once.
    since: Instant,
    again_at: AtomicU64,
    pub(in crate::pool) crew: Mutex<Crew>,
}

/// For how long the system is not asked again after it has refused a thread: at first, and at most.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What makes the threads, and the threads that were made.
#[derive(Default)]
pub(in crate::pool) struct Crew {
    pub(in crate::pool) make: Option<Make>,
    threads: Vec<JoinHandle<()>>,
    /// How often the system has refused a thread since it last gave one.
    refusals: u32,
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Compensators {
    /// There may be as many as workers, or fewer if an event count cannot have as many threads.
    pub(in crate::pool) fn new(workers: usize) -> Self {
        let most = workers.min((MAX_THREADS - MOST_GUESTS).saturating_sub(workers));
        Self {
            most,
            made: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            since: Instant::now(),
            again_at: AtomicU64::new(0),
            crew: Mutex::default(),
        }
    }

    /// Whether the system is not to be asked for now.
    fn is_paused(&self) -> bool {
        let again_at = self.again_at.load(Ordering::Relaxed);
        again_at > 0 && self.since.elapsed() < Duration::from_nanos(again_at)
    }

    /// The system has refused a thread once more, `refusals` times in a row before this.
    fn pause(&self, refusals: u32) {
        let pause = PAUSE.saturating_mul(1 << refusals.min(10)).min(LONGEST_PAUSE);
        let again_at = u64::try_from((self.since.elapsed() + pause).as_nanos()).unwrap_or(u64::MAX);
        self.again_at.store(again_at, Ordering::Relaxed);
    }

    pub(in crate::pool) fn most(&self) -> usize {
        self.most
    }

    /// How many were made. They live as long as the pool.
    pub(in crate::pool) fn made(&self) -> usize {
        // Relaxed: the jobs of a compensating thread are found by fences that come after it was made.
        self.made.load(Ordering::Relaxed)
    }

    /// Takes the threads that were made since the last call.
    pub(in crate::pool) fn take_threads(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.crew.lock().threads)
    }
}

impl Shared {
    /// The seats at which a thread is, or was, or may soon be.
    #[inline]
    pub(in crate::pool) fn seats_in_use(&self) -> &[Seat] {
        &self.seats[..self.first_compensator() + self.compensators.made()]
    }

    /// Whether the thread at this seat has a slot: it is a worker or a compensating thread, and no guest.
    pub(in crate::pool) fn has_slot(&self, seat: &Seat) -> bool {
        !(self.workers..self.first_compensator()).contains(&seat.index)
    }

    /// Whether a slot is lent for which there is no compensating thread, and there may be one more.
    #[inline]
    pub(in crate::pool) fn misses_compensator(&self) -> bool {
        let made = self.compensators.made();
        made < self.compensators.most && (made as u64) < self.sleep.lent() && !self.compensators.is_paused()
    }

    /// A slot is free, and no thread is there for the work. Makes a compensating thread, if the slot is a lent one.
    #[inline]
    pub(in crate::pool) fn miss_compensator(&self) {
        if self.misses_compensator() {
            self.make_compensator();
        }
    }

    /// Whether this pool can make compensating threads.
    pub(in crate::pool) fn makes_compensators(&self) -> bool {
        self.compensators.crew.lock().make.is_some()
    }

    /// From now on there may be compensating threads. `thread` starts the thread of one, which calls what it is given.
    pub(crate) fn open_compensation(
        self: &Arc<Self>,
        thread: impl Fn(usize, Box<dyn FnOnce() + Send>) -> io::Result<Option<JoinHandle<()>>> + Send + 'static,
    ) {
        let shared = Arc::downgrade(self);
        self.compensators.crew.lock().make = Some(Box::new(move |compensator| {
            let shared = shared.upgrade().expect("a thread of the pool asks");
            let seat = shared.first_compensator() + compensator;
            thread(compensator, Box::new(move || Worker::at(&shared, &shared.seats[seat], Worker::live_as_compensator)))
        }));
    }

    #[cold]
    fn make_compensator(&self) {
        let mut crew = self.compensators.crew.lock();
        let Some(make) = crew.make.as_ref().filter(|_| self.misses_compensator()) else { return };
        let compensator = self.compensators.made();
        // It counts from here on, so no other thread makes one more for the same work. It looks at all queues first.
        self.compensators.made.store(compensator + 1, Ordering::Relaxed);
        self.sleep.enter_compensator();
        match make(compensator) {
            Ok(thread) => {
                crew.threads.extend(thread);
                crew.refusals = 0;
            }
            Err(_) => {
                self.compensators.made.store(compensator, Ordering::Relaxed);
                self.compensators.refused.fetch_add(1, Ordering::Relaxed);
                self.compensators.pause(crew.refusals);
                crew.refusals += 1;
                drop(crew);
                self.sleep.exit_compensator(None);
                self.pay(0); // meanwhile it counted as active, and work may have come that nobody was woken for
            }
        }
    }
}

/// A thread's absence from its seat, while it blocks in place.
struct Away<'a, 'p>(&'a Worker<'p>);

impl<'a, 'p> Away<'a, 'p> {
    fn new(worker: &'a Worker<'p>) -> Self {
        worker.serves.set(ptr::null());
        worker.leave();
        Self(worker)
    }
}

impl Drop for Away<'_, '_> {
    fn drop(&mut self) {
        self.0.come_back();
        self.0.serves.set(self.0.shared);
    }
}

/// What a thread that blocks in place calls of its own pool: for that time it has its slot back.
pub(in crate::pool) struct Back<'a, 'p>(&'a Worker<'p>);

impl<'a, 'p> Back<'a, 'p> {
    pub(in crate::pool) fn new(worker: &'a Worker<'p>) -> Self {
        worker.come_back();
        Self(worker)
    }
}

impl Drop for Back<'_, '_> {
    fn drop(&mut self) {
        self.0.publish_all();
        self.0.leave();
    }
}

impl Worker<'_> {
    /// Whether this is a worker or a compensating thread, and no guest.
    pub(in crate::pool) fn has_slot(&self) -> bool {
        self.shared.has_slot(self.seat)
    }

    /// Whether this thread blocks in place.
    pub(in crate::pool) fn is_away(&self) -> bool {
        self.serves.get().is_null()
    }

    /// Stops counting as active, and lends its slot if it has one.
    fn leave(&self) {
        if self.lends {
            self.shared.sleep.lend(true);
        }
        self.shared.sleep.exit(None);
        self.shared.pay(self.seat.domain);
        self.leaves_injected();
    }

    /// Counts as active again, and takes its slot back. If that makes one thread too many, one parks after its job.
    fn come_back(&self) {
        self.shared.sleep.enter();
        if self.lends {
            self.shared.sleep.lend(false);
        }
    }

    /// Lends the slot of this thread, which the event count takes for asleep already, and parks. Gives whether it did:
    /// it does not if it has no slot.
    pub(in crate::pool) fn park_lending(&self) -> bool {
        if !self.lends {
            return false;
        }
        self.shared.sleep.lend(true);
        self.shared.pay(self.seat.domain);
        self.seat.parker.park();
        self.shared.sleep.lend(false);
        true
    }

    /// The life of a compensating thread, until the pool closes. It counts as awake from when it was made.
    fn live_as_compensator(&self) {
        let sleep = &self.shared.sleep;
        let mut patience = Patience::new(self.shared.patience);
        loop {
            let ending = sleep.is_ending();
            let over = !ending && sleep.has_too_many_compensators();
            match if over { self.stop() } else { self.step() } {
                Step::Ran => self.had_work(&mut patience),
                Step::Idle if ending => break,
                Step::Idle if over || !self.goes_on_looking(&mut patience) => {
                    self.publish_all(); // a raid may have given jobs back meanwhile
                    if self.sleep_as_compensator() {
                        self.was_woken.set(true);
                        patience.renew();
                    }
                }
                Step::Idle => {}
            }
        }
        self.has_left();
        sleep.exit_compensator(self.searching.get().then_some(self.seat.domain));
    }

    /// Sleeps until a slot is free for it and there is something to do. Gives whether it was woken for a job.
    pub(in crate::pool) fn sleep_as_compensator(&self) -> bool {
        let Shared { sleep, .. } = self.shared;
        Counts::bump(&self.seat.counts.parks);
        let woken = sleep.fall_asleep_as_compensator(&self.seat.parker, self.seat.at(), |has_slot| {
            self.has_left();
            let stays = sleep.is_ending() || (has_slot && self.must_stay(|is_full| is_full && self.stands_by()));
            stays || {
                if !has_slot {
                    sleep.owes_more(); // it has not looked, and pushers have counted on its search
                }
                self.shared.pay(self.seat.domain); // its slot is free again, for a worker
                has_slot && self.nap(None, false, |_| false)
            }
        });
        self.heeds_call();
        woken
    }

    /// Leaves the work to others, as if it had looked for work in vain.
    fn stop(&self) -> Step {
        self.hand_over();
        if !self.searching.replace(true) {
            self.shared.sleep.search(self.seat.domain);
        }
        Step::Idle
    }

    /// Does [`Pool::block_in_place`].
    pub(in crate::pool) fn block<R>(&self, work: impl FnOnce() -> R) -> R {
        self.publish_all();
        let _away = Away::new(self);
        work()
    }
}

impl Pool {
    /// Calls `work`, which may block. Meanwhile another thread works in the slot of this one.
    ///
    /// On a worker, all jobs that only it could reach are published first. Then a parked worker takes its slot, or a
    /// *compensating thread*, which is made when there is work for it. When `work` ends this thread goes on at once. If
    /// that makes one active thread too many, one parks after its job.
    ///
    /// A thread from outside that is in a join, scope or loop of this pool publishes its jobs too. It lends no slot,
    /// but it does not count as active while `work` runs. On any other thread, and inside another `block_in_place`,
    /// this just calls `work`.
    ///
    /// What `work` spawns goes to other threads. If `work` waits in a join, scope or run, this thread has its slot back
    /// for that time.
    ///
    /// There are at most as many compensating threads as workers. If `work` waits for the result of another job, and
    /// all of these threads wait likewise, no thread is left to run that job. Code that blocks without this method
    /// costs a worker for that time, on any thread that works here.
    ///
    /// Costs a few atomic operations, and microseconds if a thread must be woken or made.
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// let pool = &millstream::Pool::builder().workers(1).build()?;
    /// let (send, receive) = mpsc::channel();
    /// let (seven, ()) = pool.join(
    ///     move || pool.block_in_place(|| receive.recv()), // blocks until the other closure is called
    ///     move || send.send(7).expect("somebody receives"),
    /// );
    /// assert_eq!(seven, Ok(7));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn block_in_place<R>(&self, work: impl FnOnce() -> R) -> R {
        match Worker::here(&self.shared) {
            Some(worker) if !explores() => worker.block(work),
            _ => work(),
        }
    }

    /// How many compensating threads the pool has made.
    ///
    /// This is at most the number of workers, and at most the largest number of threads that were blocked at the same
    /// time: one is made only if there is work, and no parked worker that could do it. They sleep unless a thread
    /// blocks, and end with the pool.
    #[must_use]
    pub fn compensating_threads(&self) -> usize {
        self.shared.compensators.made()
    }

    /// How often the system has refused a compensating thread. The pool goes on without it, and asks again later.
    #[must_use]
    pub fn compensating_threads_refused(&self) -> usize {
        self.shared.compensators.refused.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;
    use crate::pool::work::layout::Layout;
    use crate::sync::thread;

    /// For how long the system is left alone after `refused`: at least, and at most.
    fn pause(compensators: &Compensators, refused: impl FnOnce()) -> std::ops::RangeInclusive<Duration> {
        let before = compensators.since.elapsed();
        refused();
        let until = Duration::from_nanos(compensators.again_at.load(Ordering::Relaxed));
        until.saturating_sub(compensators.since.elapsed())..=until.saturating_sub(before)
    }

    #[test]
    fn the_system_is_left_alone_for_longer_each_time_but_not_for_ever() {
        let compensators = Compensators::new(1);
        assert!(!compensators.is_paused());
        for (refusals, millis) in [(0, 10), (1, 20), (2, 40), (6, 640), (7, 1000), (20, 1000), (u32::MAX, 1000)] {
            let pause = pause(&compensators, || compensators.pause(refusals));
            assert!(pause.contains(&Duration::from_millis(millis)), "{pause:?} after {refusals} others");
        }
        assert!(compensators.is_paused());
    }

    #[test]
    fn a_thread_that_was_given_ends_the_row_of_refusals() {
        let shared = Shared::new(Layout::flat(2), 2);
        let (compensators, asked) = (&shared.compensators, Arc::new(AtomicUsize::new(0)));
        let asks = Arc::clone(&asked);
        compensators.crew.lock().make = Some(Box::new(move |_| match asks.fetch_add(1, Ordering::Relaxed) {
            3 => thread::Builder::new().spawn(|| ()).map(Some),
            _ => Err(io::Error::other("no threads left")),
        }));
        (0..2).for_each(|_| shared.sleep.lend(true));
        let refused = || {
            compensators.again_at.store(1, Ordering::Relaxed); // the pause is over
            shared.miss_compensator();
        };
        for (number, millis) in [10, 20, 40, 0, 10, 20].into_iter().enumerate() {
            let pause = pause(compensators, refused);
            assert_eq!(asked.load(Ordering::Relaxed), number + 1);
            assert!(pause.contains(&Duration::from_millis(millis)), "{pause:?} after {number} others");
        }
        compensators.again_at.store(u64::MAX, Ordering::Relaxed);
        shared.miss_compensator();
        assert_eq!(asked.load(Ordering::Relaxed), 6, "the system is left alone");
        for thread in compensators.take_threads() {
            thread.join().expect("no panic");
        }
    }
}
