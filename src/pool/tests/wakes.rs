//! A sleeper is woken for what is in sight, even if the thread that should do so cannot. The threads stand still, and
//! each does one thing.

use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::pool::work::job::{Job, Target};
use crate::pool::work::layout::Layout;
use crate::pool::work::seat::Seat;
use crate::pool::work::worker::{Step, Worker};
use crate::pool::{Shared, without_threads};
use crate::sync::latch::Latch;
use crate::sync::parker::Parker;

#[expect(unsafe_code, reason = "what runs a job is unsafe to call")]
unsafe fn nothing(_: NonNull<Target>, _: u64, _: &Worker<'_>) {}

/// Threads that a test moves by hand. They count as active or asleep, and do nothing by themselves.
impl Shared {
    fn by_hand(workers: usize, active: usize) -> Self {
        Self::new(Layout::flat(workers), active)
    }

    /// The target of jobs that no thread waits for.
    pub(super) fn target(&self) -> Target {
        Target::new(nothing, Some(NonNull::from(&self.detached)))
    }

    /// The thread at this seat, which may run anything, has gone through S1 to S3, and is parked.
    pub(super) fn sleeps(&self, seat: &Seat) {
        self.sleep.enter();
        self.sleep.search(0);
        self.sleep.announce(&seat.parker, seat.at(), None, false);
    }

    /// A job comes to the injector, as from a full ring. A thread is woken for it if one may be.
    pub(super) fn comes(&self, job: Job) {
        self.injectors[0].push([job]);
        self.notify(0, None, 1);
    }
}

/// A job that no thread waits for.
pub(super) fn job(target: &Target) -> Job {
    Job { target: NonNull::from(target), payload: 0 }
}

/// Whether the thread that sleeps at this seat was woken since the last call.
pub(super) fn is_woken(seat: &Seat) -> bool {
    seat.parker.try_take()
}

/// Whether `work`, which sleeps on this parker, ends by itself. If it hangs, a watching thread wakes it after five
/// seconds.
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

/// Something that a thread waits for.
fn something() -> NonZeroUsize {
    NonZeroUsize::new(7 << 12).expect("not zero")
}

/// Two jobs come, and both pushers count on a thread that searches. That thread finds one job, and can wake nobody for
/// the other one, because `limit` threads are active. The next thread that leaves wakes a sleeper for the other job.
#[test]
fn who_finds_something_at_the_limit_owes_a_look() {
    let shared = &Shared::by_hand(2, 2);
    let ([finds, sleeps], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.sleep.enter();
    shared.sleep.search(0);
    shared.sleeps(sleeps);
    shared.sleep.enter(); // a guest
    (0..2).for_each(|_| shared.comes(job(&target)));
    shared.injectors[0].take(None).expect("two jobs");
    shared.sleep.found(0);
    Worker::at(shared, finds, Worker::wake_for_rest);
    assert!(!is_woken(sleeps), "two are active");
    shared.sleep.exit(None);
    shared.pay(0);
    assert!(is_woken(sleeps), "nobody comes for the other job");
}

/// A worker is woken for a job for which another thread waits, so its pusher leaves a note. The worker was about to sleep:
/// it takes all notes away, sees the job, and stays. Then it finds something else. The thread that waits is woken.
#[test]
fn who_stays_awake_keeps_what_others_have_handed_on() {
    let shared = &Shared::by_hand(3, 3);
    let ([stays, waits], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.sleep.enter();
    shared.sleep.announce(&waits.parker, waits.at(), Some(job(&target).id()), false);
    shared.sleeps(stays);
    shared.comes(job(&target));
    assert!(is_woken(stays) && !is_woken(waits), "a thread that may run anything comes first");
    assert!(Worker::at(shared, stays, |worker| worker.must_stay(|_| false)), "there is a job");
    shared.sleep.found(0);
    Worker::at(shared, stays, Worker::wake_for_rest);
    assert!(is_woken(waits), "nobody comes for the job");
    shared.injectors[0].take(None).expect("the job");
}

/// A job comes, and its pusher counts on a compensating thread that searches. That thread has to give its slot back,
/// and sleeps without a look. A worker is woken for the job.
#[test]
fn a_compensator_that_has_to_make_room_passes_on_what_counts_on_it() {
    let shared = &Shared::by_hand(2, 2);
    let ([sleeps, compensator], target) =
        ([&shared.seats[1], &shared.seats[shared.first_compensator()]], shared.target());
    shared.sleeps(sleeps);
    shared.sleep.lend(true);
    shared.sleep.enter_compensator();
    shared.sleep.search(0);
    shared.comes(job(&target));
    assert!(!is_woken(sleeps), "the compensator searches");
    shared.sleep.enter();
    shared.sleep.lend(false);
    compensator.parker.unpark(); // it does not sleep long
    Worker::at(shared, compensator, Worker::sleep_as_compensator);
    assert!(is_woken(sleeps), "nobody comes for the job");
    shared.injectors[0].take(None).expect("the job");
}

/// Two jobs come, and a thread that searches finds one. No thread sleeps that it could wake for the other one. Then it
/// lends its slot, and a compensating thread is made.
#[test]
fn who_finds_something_beside_nobody_and_blocks_has_a_compensator_made() {
    let pool = without_threads(1);
    let (shared, target) = (&pool.shared, pool.shared.target());
    shared.compensators.crew.lock().make = Some(Box::new(|_| Err(std::io::Error::other("counted"))));
    shared.sleep.enter();
    shared.sleep.search(0);
    (0..2).for_each(|_| shared.comes(job(&target)));
    Worker::at(shared, &shared.seats[0], |worker| {
        shared.injectors[0].take(None).expect("two jobs");
        shared.sleep.found(0);
        worker.wake_for_rest();
        assert_eq!(pool.compensating_threads_refused(), 0);
        pool.block_in_place(|| assert_eq!(pool.compensating_threads_refused(), 1, "nobody is there for the other job"));
    });
    shared.injectors[0].take(None).expect("the other one");
}

/// No thread sleeps, but another thread has lent its slot. A compensating thread comes for the rest at once, and not
/// only when this thread blocks.
#[test]
fn who_finds_something_beside_one_that_blocks_has_a_compensator_made() {
    let pool = without_threads(2);
    let (shared, target) = (&pool.shared, pool.shared.target());
    shared.compensators.crew.lock().make = Some(Box::new(|_| Err(std::io::Error::other("counted"))));
    shared.sleep.lend(true);
    shared.sleep.enter();
    shared.sleep.search(0);
    (0..2).for_each(|_| shared.comes(job(&target)));
    assert_eq!(pool.compensating_threads_refused(), 0, "one is looking");
    Worker::at(shared, &shared.seats[0], |worker| {
        shared.injectors[0].take(None).expect("two jobs");
        shared.sleep.found(0);
        worker.wake_for_rest();
    });
    assert_eq!(pool.compensating_threads_refused(), 1, "nobody is there for the other job");
    shared.injectors[0].take(None).expect("the other one");
}

/// A thread that blocks publishes all its jobs first.
#[test]
fn who_blocks_has_published_all() {
    let pool = without_threads(2);
    let (seat, target) = (&pool.shared.seats[0], pool.shared.target());
    pool.shared.sleep.enter();
    let job = job(&target);
    Worker::at(&pool.shared, seat, |worker| {
        seat.signals.request.answer(|| false); // no thread asks
        worker.push_counted(job);
        worker.push_last(job);
        worker.continue_with(job);
        assert_eq!((seat.stealer.len(), seat.hides()), (0, true));
        pool.block_in_place(|| assert_eq!((seat.stealer.len(), seat.hides()), (3, false)));
        while worker.pop_public(|_| true).is_some() {}
    });
}

/// `limit` threads are active, one of them a guest. A job comes, and no thread can be woken for it. When the guest
/// leaves, a sleeper is woken.
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

/// A guest has queued a job for which no thread has asked. When the guest leaves, it publishes the job, and a sleeper
/// is woken.
#[test]
fn a_guest_that_leaves_leaves_nothing_private() {
    let shared = &Shared::by_hand(1, 1);
    let ([sleeps], target) = ([&shared.seats[0]], shared.target());
    shared.sleeps(sleeps);
    let job = job(&target);
    let guest = shared.on_worker(move |worker| {
        worker.seat.signals.request.answer(|| false); // no thread asks
        worker.push_counted(job);
        assert!(worker.seat.hides());
        worker.seat.index
    });
    let guest = &shared.seats[guest];
    assert_eq!((guest.stealer.len(), guest.hides()), (1, false));
    assert!(is_woken(sleeps), "the guest is gone, and nobody comes for the job");
    guest.stealer.steal().success().expect("the job");
}

/// A job has come while the limit was low. When the limit is raised, a sleeper is woken for it.
#[test]
fn a_limit_that_is_raised_wakes_one_for_what_has_come() {
    let shared = &Shared::by_hand(2, 2);
    let ([sleeps], target) = ([&shared.seats[0]], shared.target());
    shared.set_active(1);
    shared.sleep.enter();
    shared.sleeps(sleeps);
    shared.comes(job(&target));
    assert!(!is_woken(sleeps), "one is active");
    shared.set_active(2);
    assert!(is_woken(sleeps), "two may be active, and nobody comes for the job");
}

/// A thread that waits goes to sleep, and frees its slot. So another thread is woken for a job that has come before.
#[test]
fn who_sleeps_while_it_waits_makes_room() {
    let shared = &Shared::by_hand(2, 1);
    let ([waits, sleeps], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.sleep.enter();
    shared.sleeps(sleeps);
    shared.comes(job(&target));
    assert!(!is_woken(sleeps), "one is active");
    waits.parker.unpark(); // it does not sleep long
    Worker::at(shared, waits, |worker| worker.sleep_for(&Latch::new(), Some(something()), false, false));
    assert!(is_woken(sleeps), "nobody is active, and nobody comes for the job");
}

/// A thread that waits for long lends its slot. So a compensating thread is made for a job that has come before.
#[test]
fn who_waits_for_long_has_a_compensator_made() {
    let pool = &without_threads(1);
    let (shared, target) = (&pool.shared, pool.shared.target());
    let waits = &shared.seats[0];
    let parker = Arc::clone(&waits.parker);
    shared.compensators.crew.lock().make = Some(Box::new(move |_| {
        parker.unpark(); // it does not wait any longer
        Err(std::io::Error::other("counted"))
    }));
    shared.sleep.enter();
    shared.comes(job(&target));
    let ends = ends_by_itself(&waits.parker, || {
        Worker::at(shared, waits, |worker| _ = worker.sleep_for(&Latch::new(), Some(something()), false, false));
    });
    assert!(ends && pool.compensating_threads_refused() == 1, "nobody comes for the job");
    shared.injectors[0].take(None).expect("the job");
}

/// A worker stood by until a job was overdue. Then a guest left, and the worker took the job as any worker does. It
/// must not count as standing by any more when it has found nothing else.
#[test]
fn who_stood_by_does_so_no_more_when_there_is_room() {
    let shared = &Shared::by_hand(2, 1);
    let ([stands, sleeps], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.sleeps(sleeps);
    shared.sleep.enter(); // a guest
    shared.sleep.enter(); // the worker, which was called
    shared.detached.tokens.take(1); // of the job that is run
    shared.injectors[0].push([job(&target)]);
    Worker::at(shared, stands, |worker| {
        assert!(worker.stands_by(), "the job is overdue");
        shared.sleep.exit(None); // the guest
        assert_eq!((worker.step(), worker.step()), (Step::Ran, Step::Idle));
        shared.sleep.enter(); // another guest
        shared.inject(job(&target));
        assert!(is_woken(sleeps), "nobody stands by");
        shared.injectors[0].take(None).expect("the job");
    });
}

/// While a compensating thread is being made it counts as active, and a job for a thread that waits comes: nobody can
/// be woken. Then the system refuses the thread.
#[test]
fn what_came_while_a_compensator_was_refused_is_looked_at() {
    let pool = without_threads(1);
    let (shared, target) = (&pool.shared, pool.shared.target());
    let (waits, id) = (&shared.seats[1], job(&target).id());
    shared.sleep.enter();
    shared.sleep.announce(&waits.parker, waits.at(), Some(id), false);
    shared.sleep.lend(true); // the worker's
    shared.injectors[0].push([job(&target)]);
    let pusher = Arc::downgrade(shared);
    shared.compensators.crew.lock().make = Some(Box::new(move |_| {
        pusher.upgrade().expect("it is there").notify(0, Some(id), 1);
        Err(std::io::Error::other("counted"))
    }));
    shared.miss_compensator();
    assert_eq!(pool.compensating_threads_refused(), 1);
    assert!(is_woken(waits), "nobody comes for the job");
    shared.injectors[0].take(None).expect("the job");
}

/// A thread that waits has looked, and has found nothing. Then a job for it comes, and the pusher does not see it
/// asleep yet. So the thread must look once more.
#[test]
fn who_waits_looks_once_more_before_it_sleeps() {
    let shared = &Shared::by_hand(2, 2);
    let (seat, target) = (&shared.seats[0], shared.target());
    let job = job(&target);
    shared.sleep.enter();
    let sleeps = || {
        ends_by_itself(&seat.parker, || {
            Worker::at(shared, seat, |worker| _ = worker.sleep_for(&Latch::new(), Some(job.id()), false, false));
        })
    };
    shared.injectors[0].push([job]);
    assert!(sleeps(), "it sleeps beside a job in the injector");
    shared.injectors[0].take(None).expect("the job");
    Worker::at(shared, &shared.seats[1], |worker| {
        worker.push_own(job);
        worker.hand_over();
    });
    seat.parker.try_take(); // the push may have woken this thread
    assert!(sleeps(), "it sleeps beside a job at another seat");
}

/// The same holds for a worker that may run anything.
#[test]
fn a_worker_looks_once_more_before_it_sleeps() {
    let shared = &Shared::by_hand(2, 2);
    let ([seat, other], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.sleep.enter();
    shared.sleep.search(0);
    let stays = || Worker::at(shared, seat, |worker| worker.must_stay(|_| false));
    assert!(!stays());
    shared.injectors[0].push([job(&target)]);
    assert!(stays(), "it sleeps beside a job in the injector");
    let job = shared.injectors[0].take(None).expect("the job");
    Worker::at(shared, other, |worker| other.show(&mut worker.own.far_end(), job));
    assert!(stays(), "it sleeps beside a job at another seat");
}

/// Three threads are active, and that is the limit. One of them takes its flag down, so the fourth thread, which
/// sleeps, is owed a look. A worker that is about to sleep takes that note away. So it asks all seats for jobs, though
/// it sees a job itself. Otherwise a job that the first thread queues later would stay private, and the fourth thread
/// would stay asleep.
#[test]
fn who_takes_the_note_away_asks_all_seats() {
    let shared = &Shared::by_hand(3, 3);
    let ([owner, stays, sleeps], target) = ([0, 1, 2].map(|seat| &shared.seats[seat]), shared.target());
    let job = job(&target);
    (0..3).for_each(|_| shared.sleep.enter()); // one of them is a guest
    shared.sleeps(sleeps);
    Worker::at(shared, owner, |worker| {
        worker.publish_surplus();
        assert!(!worker.is_asked(), "nobody may be woken");
    });
    shared.sleep.search(0);
    shared.sleep.exit(None);
    shared.pay(0); // one searches
    shared.injectors[0].push([job]);
    Worker::at(shared, stays, |worker| {
        let mut has_seen = false;
        shared.sleep.fall_asleep(&stays.parker, stays.at(), None, || {
            has_seen = worker.must_stay(|_| false);
            true
        });
        assert!(has_seen, "there is a job");
        shared.injectors[0].take(None).expect("it is there");
        shared.sleep.found(0);
        worker.wake_for_rest();
    });
    assert!(!is_woken(sleeps), "there is nothing");
    Worker::at(shared, owner, |worker| worker.push_counted(job));
    assert!(is_woken(sleeps), "the flag is down, and nobody is owed anything");
}

/// An owner takes its flag down, because `limit` threads are active. So it keeps private what it queues after that.
/// When a sleeper may be woken, it is woken for the private job.
#[test]
fn who_takes_the_flag_down_owes_a_look() {
    let shared = &Shared::by_hand(2, 1);
    let ([owner, sleeps], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.sleep.enter();
    shared.sleeps(sleeps);
    Worker::at(shared, owner, |worker| {
        worker.publish_surplus();
        assert!(!worker.is_asked(), "nobody may be woken");
        worker.push_counted(job(&target));
        assert!(owner.hides());
    });
    shared.sleep.exit(None); // it blocks
    shared.pay(0);
    assert!(is_woken(sleeps) && owner.signals.request.is_up(), "nobody comes for the private job");
}

/// A worker sleeps without a look, because `limit` threads are active. When one of them leaves, the worker is woken.
#[test]
fn who_sleeps_at_the_limit_is_owed_a_look() {
    let shared = &Shared::by_hand(2, 1);
    let ([sleeps], target) = ([&shared.seats[1]], shared.target());
    shared.sleep.enter();
    shared.injectors[0].push([job(&target)]); // the pusher wakes nobody
    shared.sleeps(sleeps);
    assert!(!Worker::at(shared, sleeps, |worker| worker.must_stay(|_| false)), "one is active");
    shared.sleep.exit(None);
    shared.pay(0);
    assert!(is_woken(sleeps), "nobody comes for the job");
}

/// A pusher wakes nobody, because a thread searches. That thread leaves without a job, and a sleeper is woken.
#[test]
fn who_ends_a_search_owes_a_look() {
    let shared = &Shared::by_hand(2, 2);
    let ([sleeps], target) = ([&shared.seats[1]], shared.target());
    shared.sleeps(sleeps);
    shared.sleep.enter();
    shared.sleep.search(0);
    shared.comes(job(&target));
    assert!(!is_woken(sleeps), "one searches");
    shared.sleep.exit(Some(0));
    shared.pay(0);
    assert!(is_woken(sleeps), "nobody comes for the job");
}

/// A look is owed. A thread that searches has found the only job in sight, but there is a private one. So it pays, and
/// wakes a sleeper.
#[test]
fn who_finds_the_last_job_pays() {
    let shared = &Shared::by_hand(3, 3);
    let ([finds, hides, sleeps], target) = ([0, 1, 2].map(|seat| &shared.seats[seat]), shared.target());
    shared.sleeps(sleeps);
    shared.sleep.enter();
    shared.sleep.search(0);
    Worker::at(shared, hides, |worker| _ = worker.own.push(job(&target)));
    shared.sleep.owes_more();
    shared.sleep.found(0);
    Worker::at(shared, finds, Worker::wake_for_rest);
    assert!(is_woken(sleeps), "nobody comes for the private job");
}

/// A thread that waits is woken for a job that another thread has taken by then, and what it waits for is done. Of
/// several jobs in sight, the pusher of another one may have counted on it. So it passes on what is in sight.
#[test]
fn who_is_woken_in_vain_and_goes_on_passes_on() {
    let shared = &Shared::by_hand(2, 2);
    let ([waits, sleeps], target) = ([&shared.seats[0], &shared.seats[1]], shared.target());
    shared.sleep.enter();
    shared.sleeps(sleeps);
    let (latch, job) = (&Latch::new(), job(&target));
    thread::scope(|scope| {
        scope.spawn(move || {
            while shared.sleep.is_anybody_active() {
                thread::yield_now(); // the waiting thread does not sleep yet
            }
            thread::sleep(Duration::from_millis(10)); // now the waiting thread does not look any more
            shared.injectors[0].push([job]);
            #[expect(unsafe_code, reason = "sets a latch")]
            // SAFETY: (1) it is alive until the scope ends; (2) once.
            unsafe {
                Latch::set(latch, &Parker::new());
            }
            shared.sleep.give_back(something()); // wakes the waiting thread
        });
        Worker::at(shared, waits, |worker| worker.wait(latch, Some(something())));
    });
    assert!(is_woken(sleeps), "nobody comes for the other job");
}
