//! Who sleeps is woken for what is in sight, whoever was to see to it: the threads stand still, and each does one thing.

use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::pool::work::job::{Job, Target, pointer};
use crate::pool::work::seat::Seat;
use crate::pool::work::victims::Layout;
use crate::pool::work::worker::Worker;
use crate::pool::{GUESTS, Shared, without_threads};
use crate::sync::latch::Latch;
use crate::sync::parker::Parker;

#[expect(unsafe_code, reason = "what runs a job is unsafe to call")]
unsafe fn nothing(_: NonNull<Target>, _: u64, _: &Worker<'_>) {}

/// Threads by hand: they are active, or asleep, and do nothing by themselves.
impl Shared {
    fn by_hand(workers: usize, active: usize) -> Self {
        Self::new(Layout::flat(workers), active)
    }

    /// What jobs that nobody waits for have in common.
    pub(super) fn target(&self) -> Target {
        Target::new(nothing, Some(NonNull::from(&self.detached)))
    }

    /// The thread at this seat, which may run anything, has gone through S1 to S3, and is parked.
    pub(super) fn sleeps(&self, seat: &Seat) {
        self.idle.enter();
        self.idle.search();
        self.idle.announce(&seat.parker, seat.at(), None, false);
    }

    /// A job comes to the injector, as from a full ring, and somebody is woken for it if that may be.
    pub(super) fn comes(&self, job: Job) {
        self.injectors[0].push([job]);
        self.notify(0, None, 1);
    }
}

/// A job of those that nobody waits for.
pub(super) fn job(target: &Target) -> Job {
    Job { target: NonNull::from(target), payload: 0 }
}

/// Whether the thread that sleeps at this seat was woken.
pub(super) fn is_woken(seat: &Seat) -> bool {
    seat.parker.try_take()
}

/// Whether `work`, at the seat of this parker, ends without this: if it hangs it is let go after a while.
fn ends_by_itself(parker: &Arc<Parker>, work: impl FnOnce()) -> bool {
    let (ended, start) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                if start.elapsed() > Duration::from_secs(5) {
                    parker.unpark();
                    return false;
                }
                thread::sleep(Duration::from_millis(1));
            }
            true
        });
        work();
        ended.store(true, Ordering::Relaxed);
        watch.join().expect("no panic")
    })
}

/// What somebody waits for.
fn something() -> NonZeroUsize {
    NonZeroUsize::new(7 << 12).expect("not zero")
}

/// Two jobs come, and both count on one that searches; that finds one, and as many are active as may be. Whoever leaves then
/// wakes one for the other.
#[test]
fn who_finds_something_at_the_limit_owes_a_look() {
    let shared = &Shared::by_hand(2, 2);
    let ([finds, sleeps], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.idle.enter();
    shared.idle.search();
    shared.sleeps(sleeps);
    shared.idle.enter(); // a guest
    (0..2).for_each(|_| shared.comes(job(&target)));
    shared.injectors[0].take(None).expect("two jobs");
    shared.idle.found();
    Worker::at(shared, finds, Worker::wake_for_rest);
    assert!(!is_woken(sleeps), "two are active");
    shared.idle.exit(false);
    shared.pay(0);
    assert!(is_woken(sleeps), "nobody comes for the other job");
}

/// A job comes, and counts on a spare that searches; that has to make room, and sleeps without a look. Somebody else is woken.
#[test]
fn a_spare_that_has_to_make_room_passes_on_what_counts_on_it() {
    let shared = &Shared::by_hand(2, 2);
    let ([sleeps, spare], target) = ([&shared.seats[1], &shared.seats[2 + GUESTS]], shared.target());
    shared.sleeps(sleeps);
    shared.idle.lend(true);
    shared.idle.enter_spare();
    shared.idle.search();
    shared.comes(job(&target));
    assert!(!is_woken(sleeps), "the spare searches");
    shared.idle.enter();
    shared.idle.lend(false);
    spare.parker.unpark(); // it does not sleep long
    Worker::at(shared, spare, Worker::sleep_as_spare);
    assert!(is_woken(sleeps), "nobody comes for the job");
    shared.injectors[0].take(None).expect("the job");
}

/// The same where nobody sleeps, and who has found something lends its place.
#[test]
fn who_finds_something_beside_nobody_and_blocks_has_a_spare_made() {
    let pool = without_threads(1);
    let (shared, target) = (&pool.shared, pool.shared.target());
    shared.spares.crew.lock().make = Some(Box::new(|_| Err(std::io::Error::other("counted"))));
    shared.idle.enter();
    shared.idle.search();
    (0..2).for_each(|_| shared.comes(job(&target)));
    Worker::at(shared, &shared.seats[0], |worker| {
        shared.injectors[0].take(None).expect("two jobs");
        shared.idle.found();
        worker.wake_for_rest();
        assert_eq!(pool.spare_threads_refused(), 0);
        pool.block_in_place(|| assert_eq!(pool.spare_threads_refused(), 1, "nobody is there for the other job"));
    });
    shared.injectors[0].take(None).expect("the other one");
}

/// Nobody sleeps, but another thread has lent its place: a spare comes for the rest, not only when this thread blocks.
#[test]
fn who_finds_something_beside_one_that_blocks_has_a_spare_made() {
    let pool = without_threads(2);
    let (shared, target) = (&pool.shared, pool.shared.target());
    shared.spares.crew.lock().make = Some(Box::new(|_| Err(std::io::Error::other("counted"))));
    shared.idle.lend(true);
    shared.idle.enter();
    shared.idle.search();
    (0..2).for_each(|_| shared.comes(job(&target)));
    assert_eq!(pool.spare_threads_refused(), 0, "one is looking");
    Worker::at(shared, &shared.seats[0], |worker| {
        shared.injectors[0].take(None).expect("two jobs");
        shared.idle.found();
        worker.wake_for_rest();
    });
    assert_eq!(pool.spare_threads_refused(), 1, "nobody is there for the other job");
    shared.injectors[0].take(None).expect("the other one");
}

/// A thread that blocks keeps nothing to itself.
#[test]
fn who_blocks_has_published_all() {
    let pool = without_threads(2);
    let (seat, target) = (&pool.shared.seats[0], pool.shared.target());
    pool.shared.idle.enter();
    let job = job(&target);
    Worker::at(&pool.shared, seat, |worker| {
        seat.signals.request.answer(|| false); // nobody asks
        worker.push_counted(job);
        worker.push_last(job);
        worker.continue_with(job);
        assert_eq!((seat.stealer.len(), seat.hides()), (0, true));
        pool.block_in_place(|| assert_eq!((seat.stealer.len(), seat.hides()), (3, false)));
        while worker.pop_public(|_| true).is_some() {}
    });
}

/// As many are active as may be, one of them a guest, and a job comes that nobody can be woken for.
#[test]
fn a_guest_that_leaves_makes_room() {
    let shared = &Shared::by_hand(1, 1);
    let ([sleeps], target) = ([&shared.seats[0]], shared.target());
    shared.sleeps(sleeps);
    let job = job(&target);
    shared.on_worker(move |_| {
        shared.comes(job);
        assert!(!is_woken(sleeps), "one is active");
    });
    assert!(is_woken(sleeps), "the guest is gone, and nobody comes for the job");
}

/// What a guest has queued, and nobody has asked for.
#[test]
fn a_guest_that_leaves_leaves_nothing_private() {
    let shared = &Shared::by_hand(1, 1);
    let ([sleeps], target) = ([&shared.seats[0]], shared.target());
    shared.sleeps(sleeps);
    let job = job(&target);
    let guest = shared.on_worker(move |worker| {
        worker.seat.signals.request.answer(|| false); // nobody asks
        worker.push_counted(job);
        assert!(worker.seat.hides());
        worker.seat.index
    });
    let guest = &shared.seats[guest];
    assert_eq!((guest.stealer.len(), guest.hides()), (1, false));
    assert!(is_woken(sleeps), "the guest is gone, and nobody comes for the job");
    guest.stealer.steal().success().expect("the job");
}

/// A job has come while the limit was low.
#[test]
fn a_limit_that_is_raised_wakes_one_for_what_has_come() {
    let shared = &Shared::by_hand(2, 2);
    let ([sleeps], target) = ([&shared.seats[0]], shared.target());
    shared.set_active(1);
    shared.idle.enter();
    shared.sleeps(sleeps);
    shared.comes(job(&target));
    assert!(!is_woken(sleeps), "one is active");
    shared.set_active(2);
    assert!(is_woken(sleeps), "two may be active, and nobody comes for the job");
}

/// A thread that waits sleeps: so another one may be woken for a job that has come before.
#[test]
fn who_sleeps_while_it_waits_makes_room() {
    let shared = &Shared::by_hand(2, 1);
    let ([waits, sleeps], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.idle.enter();
    shared.sleeps(sleeps);
    shared.comes(job(&target));
    assert!(!is_woken(sleeps), "one is active");
    waits.parker.unpark(); // it does not sleep long
    Worker::at(shared, waits, |worker| worker.sleep_for(&Latch::new(), Some(something()), false));
    assert!(is_woken(sleeps), "nobody is active, and nobody comes for the job");
}

/// A thread that waits for long lends its place, and a spare is made for a job that has come before.
#[test]
fn who_waits_for_long_has_a_spare_made() {
    let pool = &without_threads(1);
    let (shared, target) = (&pool.shared, pool.shared.target());
    let waits = &shared.seats[0];
    let parker = Arc::clone(&waits.parker);
    shared.spares.crew.lock().make = Some(Box::new(move |_| {
        parker.unpark(); // it does not wait any longer
        Err(std::io::Error::other("counted"))
    }));
    shared.idle.enter();
    shared.comes(job(&target));
    let ends = ends_by_itself(&waits.parker, || {
        Worker::at(shared, waits, |worker| _ = worker.sleep_for(&Latch::new(), Some(something()), false));
    });
    assert!(ends && pool.spare_threads_refused() == 1, "nobody comes for the job");
    shared.injectors[0].take(None).expect("the job");
}

/// While a spare is being made it counts as active, and a job for a thread that waits comes: nobody can be woken. Then the
/// system refuses the thread.
#[test]
fn what_came_while_a_spare_was_refused_is_looked_at() {
    let pool = without_threads(1);
    let (shared, target) = (&pool.shared, pool.shared.target());
    let (waits, id) = (&shared.seats[1], job(&target).id());
    shared.idle.enter();
    shared.idle.announce(&waits.parker, waits.at(), Some(id), false);
    shared.idle.lend(true); // the worker's
    shared.injectors[0].push([job(&target)]);
    let pusher = Arc::downgrade(shared);
    shared.spares.crew.lock().make = Some(Box::new(move |_| {
        pusher.upgrade().expect("it is there").notify(0, Some(id), 1);
        Err(std::io::Error::other("counted"))
    }));
    shared.miss_spare();
    assert_eq!(pool.spare_threads_refused(), 1);
    assert!(is_woken(waits), "nobody comes for the job");
    shared.injectors[0].take(None).expect("the job");
}

/// A thread that waits has looked, and found nothing; then a job for it comes, and whoever brings it has not seen it asleep yet.
#[test]
fn who_waits_looks_once_more_before_it_sleeps() {
    let shared = &Shared::by_hand(2, 2);
    let (seat, target) = (&shared.seats[0], shared.target());
    let job = job(&target);
    shared.idle.enter();
    let sleeps = || {
        ends_by_itself(&seat.parker, || {
            Worker::at(shared, seat, |worker| _ = worker.sleep_for(&Latch::new(), Some(job.id()), false));
        })
    };
    shared.injectors[0].push([job]);
    assert!(sleeps(), "it sleeps beside a job in the injector");
    shared.injectors[0].take(None).expect("the job");
    Worker::at(shared, &shared.seats[1], |worker| {
        worker.push_own(job);
        worker.hand_over();
    });
    seat.parker.try_take(); // this was for it, or for nobody
    assert!(sleeps(), "it sleeps beside a job at another seat");
}

/// The same of a worker that may run anything.
#[test]
fn a_worker_looks_once_more_before_it_sleeps() {
    let shared = &Shared::by_hand(2, 2);
    let ([seat, other], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.idle.enter();
    shared.idle.search();
    let stays = || Worker::at(shared, seat, Worker::must_stay);
    assert!(!stays());
    shared.injectors[0].push([job(&target)]);
    assert!(stays(), "it sleeps beside a job in the injector");
    let job = shared.injectors[0].take(None).expect("the job");
    Worker::at(shared, other, |worker| worker.own.far_end().deque.push(job));
    assert!(stays(), "it sleeps beside a job at another seat");
}

/// Three are active, and may be; one of them takes its flag down, and so a look is owed to the fourth. A worker that is about to
/// sleep takes that note away: so it asks all seats, though it sees a job itself. If not, what is queued there later would stay
/// private, and the fourth one asleep.
#[test]
fn who_takes_the_note_away_asks_all_seats() {
    let shared = &Shared::by_hand(3, 3);
    let ([owner, stays, sleeps], target) = ([0, 1, 2].map(|seat| &shared.seats[seat]), shared.target());
    let job = job(&target);
    (0..3).for_each(|_| shared.idle.enter()); // one of them is a guest
    shared.sleeps(sleeps);
    Worker::at(shared, owner, |worker| {
        worker.publish_surplus();
        assert!(!worker.is_asked(), "nobody may be woken");
    });
    shared.idle.search();
    shared.idle.exit(false);
    shared.pay(0); // one searches
    shared.injectors[0].push([job]);
    Worker::at(shared, stays, |worker| {
        let mut has_seen = false;
        shared.idle.sleep(&stays.parker, stays.at(), None, || {
            has_seen = worker.must_stay();
            true
        });
        assert!(has_seen, "there is a job");
        shared.injectors[0].take(None).expect("it is there");
        shared.idle.found();
        worker.wake_for_rest();
    });
    assert!(!is_woken(sleeps), "there is nothing");
    Worker::at(shared, owner, |worker| worker.push_counted(job));
    assert!(is_woken(sleeps), "the flag is down, and nobody is owed anything");
}

/// A flag is taken down because as many are active as may be. What is queued after that is private; when one may be woken it
/// is found.
#[test]
fn who_takes_the_flag_down_owes_a_look() {
    let shared = &Shared::by_hand(2, 1);
    let ([owner, sleeps], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.idle.enter();
    shared.sleeps(sleeps);
    Worker::at(shared, owner, |worker| {
        worker.publish_surplus();
        assert!(!worker.is_asked(), "nobody may be woken");
        worker.push_counted(job(&target));
        assert!(owner.hides());
    });
    shared.idle.exit(false); // it blocks
    shared.pay(0);
    assert!(is_woken(sleeps) && owner.signals.request.is_up(), "nobody comes for the private job");
}

/// A worker sleeps without a look, as enough are active.
#[test]
fn who_sleeps_at_the_limit_is_owed_a_look() {
    let shared = &Shared::by_hand(2, 1);
    let ([sleeps], target) = ([&shared.seats[1]], shared.target());
    shared.idle.enter();
    shared.injectors[0].push([job(&target)]); // who brings it counts on the next one
    shared.sleeps(sleeps);
    assert!(!Worker::at(shared, sleeps, Worker::must_stay), "one is active");
    shared.idle.exit(false);
    shared.pay(0);
    assert!(is_woken(sleeps), "nobody comes for the job");
}

/// Nobody was woken because one searched. It ends.
#[test]
fn who_ends_a_search_owes_a_look() {
    let shared = &Shared::by_hand(2, 2);
    let ([sleeps], target) = ([&shared.seats[1]], shared.target());
    shared.sleeps(sleeps);
    shared.idle.enter();
    shared.idle.search();
    shared.comes(job(&target));
    assert!(!is_woken(sleeps), "one searches");
    shared.idle.exit(true);
    shared.pay(0);
    assert!(is_woken(sleeps), "nobody comes for the job");
}

/// A look is owed, and one that searches has found the only job in sight; but there is a private one.
#[test]
fn who_finds_the_last_job_pays() {
    let shared = &Shared::by_hand(3, 3);
    let ([finds, hides, sleeps], target) = ([0, 1, 2].map(|seat| &shared.seats[seat]), shared.target());
    shared.sleeps(sleeps);
    shared.idle.enter();
    shared.idle.search();
    Worker::at(shared, hides, |worker| _ = worker.own.push(job(&target)));
    shared.idle.owe();
    shared.idle.found();
    Worker::at(shared, finds, Worker::wake_for_rest);
    assert!(is_woken(sleeps), "nobody comes for the private job");
}

#[expect(unsafe_code, reason = "what runs a job is unsafe to call")]
unsafe fn set(_: NonNull<Target>, latch: u64, worker: &Worker<'_>) {
    // SAFETY: (1) the job is about a latch that somebody waits for; (2) it is run once.
    unsafe { Latch::set(pointer(latch), &worker.seat.parker) };
}

/// A thread that waits finds what it waits for. It may have been woken for another job, or others may.
#[test]
fn who_finds_what_it_waits_for_wakes_others_for_the_rest() {
    const SETS: &Target = &Target::new(set, None);
    let shared = &Shared::by_hand(2, 2);
    let ([waits, sleeps], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.idle.enter();
    shared.sleeps(sleeps);
    let latch = Latch::new();
    let sets = Job::about(SETS, &latch);
    shared.injectors[0].push([job(&target), sets]);
    Worker::at(shared, waits, |worker| worker.wait(&latch, Some(sets.id())));
    assert!(latch.is_set());
    assert!(is_woken(sleeps), "nobody comes for the other job");
}

/// A thread that waits is woken for a job that somebody else has taken by then, and what it waits for is done. Of several jobs in
/// sight it may have been woken for that one.
#[test]
fn who_is_woken_in_vain_and_goes_on_passes_on() {
    let shared = &Shared::by_hand(2, 2);
    let ([waits, sleeps], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.idle.enter();
    shared.sleeps(sleeps);
    let (latch, job) = (&Latch::new(), job(&target));
    thread::scope(|scope| {
        scope.spawn(move || {
            while shared.idle.is_anybody_active() {
                thread::yield_now(); // it does not sleep yet
            }
            thread::sleep(Duration::from_millis(10)); // now it does not look any more
            shared.injectors[0].push([job]);
            #[expect(unsafe_code, reason = "sets a latch")]
            // SAFETY: (1) it is alive until the scope ends; (2) once.
            unsafe {
                Latch::set(latch, &Parker::new());
            }
            shared.notify(0, Some(something()), 1); // the last that went to sleep
        });
        Worker::at(shared, waits, |worker| worker.wait(latch, Some(something())));
    });
    assert!(is_woken(sleeps), "nobody comes for the other job");
}
