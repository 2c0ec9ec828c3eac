//! Two closures, perhaps at the same time.
//!
//! | what | where |
//! |---|---|
//! | the second closure as an entry of the ring, and what is set up when it is published | [`pending`] |
//! | descendants of a pending join, for the thread that waits for it | [`leapfrog`] |
//! | the guess that a join is short | [`grain`] |
//! | what keeps that guess from hiding work | [`shield`] |
//! | joins where every order is tried (feature `check`) | `apart` |
//!
//! # Protocol
//! The second closure waits on the stack of the join: it is *pending*.
//! * J1: The thread queues the pending join as the newest entry of its seat's ring, and looks whether others ask for
//!   jobs. Then it calls the first closure.
//! * J2: If the pending join is still in the ring, the thread takes it back and calls the second closure itself. Most
//!   joins end so, and no other thread ever hears of them.
//! * J3: Otherwise it was published ([`pending`]). The thread takes it back from the queue where it lies. If a thief
//!   has begun it, the thread waits for its latch, and runs descendants of it meanwhile ([`leapfrog`]): they belong to
//!   this join.
//!
//! # Panics and unwinding
//! If the first closure panics, J2 and J3 come all the same before the panic goes on. A second closure that was not
//! taken is dropped uncalled; the result of one that a thief has called is dropped. If the second closure unwinds
//! here, no other thread knows of it any more. A thief catches what the closure throws, and the joining thread throws
//! it again.
//!
//! # Short joins
//! A thief that takes a pending join over costs itself and the victim about a microsecond. [`grain`] guesses which
//! joins are too short for that, and [`shield`] keeps a wrong guess from hiding work for long.

#[cfg(feature = "check")]
mod apart;
pub(super) mod grain;
pub(super) mod leapfrog;
pub(super) mod pending;
pub(super) mod shield;

use std::any::Any;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit, offset_of};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use crate::pool::Pool;
use crate::pool::work::job::{Job, Target, pointer};
use crate::pool::work::worker::{self, Worker};
#[cfg(feature = "check")]
use crate::sync::Closure;
use crate::sync::UnsafeCell;
use crate::sync::latch::Latch;
use crate::sync::stack;
use crate::unwind::{self, Kept};
pub(in crate::pool) use grain::Grain;
use grain::{JoinSite, Timing};
pub(in crate::pool) use leapfrog::Ancestors;
pub(in crate::pool) use pending::PendingHead;

/// The second closure of a join, on the stack of the thread that joins.
#[repr(C)]
struct PendingJoin<B, R> {
    head: PendingHead,
    inside: UnsafeCell<Inside<B, R>>,
}

/// What a pending join holds: first the closure, then its result, in the same place, as joins are nested deep.
union Inside<B, R> {
    /// There until it is called by the thread that has the job.
    second: ManuallyDrop<B>,
    /// The result that a thief has made. It is there from when the latch is set until the join takes it.
    #[expect(dead_code, reason = "it is room: what is in there has another type")]
    made: (MaybeUninit<ResultRoom>, PhantomData<R>),
}

/// Room for a result that a thief has made. If it does not fit, it lies on the heap, and its box is here.
type ResultRoom = [usize; 2];

/// If the two results take more bytes than this, the two plain calls are a function of their own. Otherwise their
/// results would have room in the frame of every join, beside the room that a queued join has for them already.
const LARGE: usize = 64;

/// What a closure has returned, or thrown.
type Outcome<R> = Result<R, Box<dyn Any + Send>>;

impl<B: FnOnce() -> R + Send, R: Send> PendingJoin<B, R> {
    const TARGET: &'static Target = &Target { run: Self::run, group: None, publish: Some(PendingHead::publish) };
    /// Whether the outcome fits into [`ResultRoom`] without a box.
    const FITS: bool =
        size_of::<Outcome<R>>() <= size_of::<ResultRoom>() && align_of::<Outcome<R>>() <= align_of::<ResultRoom>();
    const BOXED_FITS: () = assert!(size_of::<Outcome<Box<R>>>() <= size_of::<ResultRoom>(), "it is two pointers");
    const BEGINS_WITH_HEAD: () = assert!(offset_of!(Self, head) == 0, "its address is that of its head");

    #[inline]
    fn new(second: B) -> Self {
        Self { head: PendingHead::new(), inside: UnsafeCell::new(Inside { second: ManuallyDrop::new(second) }) }
    }

    /// The job that calls the closure.
    #[inline]
    fn job(&self) -> Job {
        const { Self::BEGINS_WITH_HEAD }
        const { Self::BOXED_FITS }
        Job::about(Self::TARGET, self)
    }

    /// What a thread must wait for to run this job.
    fn id(&self) -> NonZeroUsize {
        NonNull::from(self).addr()
    }

    /// The closure.
    ///
    /// # Safety
    /// (1) The caller has the job. (2) It is called once.
    #[inline]
    #[expect(unsafe_code, reason = "the closure moves to whoever has the job")]
    unsafe fn second(&self) -> B {
        self.inside.with_mut(|inside| {
            // SAFETY: (1): no other thread touches what is inside.
            let inside = unsafe { &mut *inside };
            // SAFETY: it is the closure, by (2).
            let second = unsafe { &mut inside.second };
            // SAFETY: (2).
            unsafe { ManuallyDrop::take(second) }
        })
    }

    /// A thief calls the closure.
    #[expect(unsafe_code, reason = "the closure's result crosses threads")]
    unsafe fn run(_: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
        // SAFETY: the job is about a pending join that is alive until its latch is set.
        let pending: &Self = unsafe { &*pointer(payload) };
        // SAFETY: (1), (2) this is the job, and each is run once.
        let second = unsafe { pending.second() };
        let result = worker.inside(&pending.head, || catch_unwind(AssertUnwindSafe(second)));
        pending.inside.with_mut(|inside| {
            if Self::FITS {
                // SAFETY: no other thread touches what is inside before the latch is set; there is room.
                unsafe { inside.cast::<Outcome<R>>().write(result) };
            } else {
                // SAFETY: as above.
                unsafe { inside.cast::<Outcome<Box<R>>>().write(result.map(Box::new)) };
            }
        });
        // SAFETY: (1) it was published; (2) alive until its latch is set.
        let linked = unsafe { pending.head.linked() };
        // SAFETY: a seat lives as long as its pool, and this thread works there.
        let seat = unsafe { linked.seat.as_ref() };
        // SAFETY: (1) alive until this; (2) once: by the one job.
        unsafe { Latch::set(&raw const linked.latch, &seat.parker) };
    }

    /// The outcome that the thief has made.
    ///
    /// # Safety
    /// (1) The latch is set. (2) It is called once.
    #[expect(unsafe_code, reason = "the closure's result crosses threads")]
    unsafe fn outcome(&self) -> Outcome<R> {
        self.inside.with_mut(|inside| {
            if Self::FITS {
                // SAFETY: (1): no other thread touches it any more, and the thief has left it in this form; (2).
                unsafe { inside.cast::<Outcome<R>>().read() }
            } else {
                // SAFETY: as above.
                unsafe { inside.cast::<Outcome<Box<R>>>().read() }.map(|made| *made)
            }
        })
    }

    /// The result that the thief has made. What the thief has caught goes on here.
    ///
    /// # Safety
    /// (1), (2) of [`outcome`](Self::outcome).
    #[cold]
    #[inline(never)]
    #[expect(unsafe_code, reason = "the closure's result crosses threads")]
    unsafe fn stolen(&self, worker: &Worker<'_>) -> R {
        worker.grain(Grain::was_taken);
        // SAFETY: (1), (2).
        unsafe { self.outcome() }.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Takes the pending join back, or waits until a thief is done with it. `true`: it is back. (J2), (J3)
    #[inline]
    fn is_back(&self, worker: &Worker<'_>, place: usize) -> bool {
        worker.own.take_back(place) || self.settle(worker)
    }

    #[cold]
    #[inline(never)]
    fn settle(&self, worker: &Worker<'_>) -> bool {
        let back = worker.take_back(self.id()).is_some();
        if !back {
            #[expect(unsafe_code, reason = "set up when it is made public")]
            // SAFETY: (1) it was published, and this thread has had the far end since; (2) this is its join.
            let latch = unsafe { &self.head.linked().latch };
            // A thief that may not run it may have it in hand. It puts it into the injector, and this thread takes it
            // from there.
            worker.wait(latch, Some(self.id()));
        }
        back
    }

    /// The first closure has panicked. Keeps the stack until no other thread knows of the pending join; then the panic
    /// goes on.
    #[cold]
    #[inline(never)]
    fn abandon(&self, shielded: Shielded<'_, '_>, place: usize, panic: Box<dyn Any + Send>) -> ! {
        if self.is_back(shielded.worker, place) {
            #[expect(unsafe_code, reason = "the closure moves to whoever has the job")]
            // SAFETY: (1) the job is back; (2) only here.
            unwind::drop_value(unsafe { self.second() });
        } else {
            #[expect(unsafe_code, reason = "the closure's result crosses threads")]
            // SAFETY: (1) it was waited for; (2) only here.
            unwind::drop_value(unsafe { self.outcome() });
        }
        drop(shielded);
        resume_unwind(panic)
    }
}

/// A join that may have begun its seat's shield, until it is dropped.
struct Shielded<'a, 'p> {
    worker: &'a Worker<'p>,
    is_shielded: bool,
}

impl Shielded<'_, '_> {
    /// Publishes what others ask for, because the next closure that this thread calls may take long.
    #[inline]
    fn publish(&self) {
        if self.worker.is_asked() {
            if self.is_shielded { self.worker.answer_shielded() } else { self.worker.answer() }
        }
    }
}

impl Drop for Shielded<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_shielded {
            self.worker.end_shield();
        }
    }
}

impl Worker<'_> {
    /// The time at which a queued join begins, if it is to be timed. Virtual workers have no time.
    #[inline]
    fn time_join(&self) -> Option<Timing> {
        if self.timeless { None } else { self.grain(|grain| grain.begin(self.own.beat())) }
    }

    pub(in crate::pool) fn grain<R>(&self, ask: impl FnOnce(&Grain) -> R) -> R {
        self.local(|local| ask(&local.grain))
    }

    /// Queues a pending join. Gives its place, and whether it began the shield. The caller does not leave its stack
    /// before the pending join was taken back or settled (H1). (J1)
    #[inline]
    fn begin_join(&self, pending: Job, spot: JoinSite) -> (usize, bool) {
        self.make_room();
        let place = self.own.push(pending);
        let shielded = Shielded { worker: self, is_shielded: self.begin_shield(spot) };
        shielded.publish();
        (place, ManuallyDrop::new(shielded).is_shielded)
    }

    /// A join whose second closure is queued.
    #[inline]
    fn join<A, B, RA, RB>(&self, first: A, second: B, spot: JoinSite) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        #[cfg(feature = "check")]
        if self.explores() {
            return self.join_apart(first, second);
        }
        let pending = PendingJoin::new(second);
        let (place, is_shielded) = self.begin_join(pending.job(), spot);
        let shielded = Shielded { worker: self, is_shielded };
        let timing = self.time_join();
        // Each is made in the place where it stays: results may be large, and joins are nested deep.
        let (mut a, mut b) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // The panic is caught, so that jobs that run while this thread waits do not see it panicking.
        let caught = catch_unwind(AssertUnwindSafe(|| _ = a.write(first())));
        if let Err(panic) = caught {
            pending.abandon(shielded, place, panic);
        }
        let kept = KeptIn(&mut a);
        if pending.is_back(self, place) {
            shielded.publish(); // others may have asked since the first closure began
            #[expect(unsafe_code, reason = "the closure moves to whoever has the job")]
            // SAFETY: (1) the job is back (J2); (2) only here.
            let second = unsafe { pending.second() };
            b.write(second());
        } else {
            #[expect(unsafe_code, reason = "the closure's result crosses threads")]
            // SAFETY: (1) it was waited for; (2) only here.
            b.write(unsafe { pending.stolen(self) });
        }
        std::mem::forget(kept);
        drop(shielded);
        if let Some(timing) = timing {
            self.grain(|grain| grain.end(timing, self.own.beat(), spot));
        }
        #[expect(unsafe_code, reason = "it was made in its place")]
        // SAFETY: written above.
        let a = unsafe { a.assume_init() };
        #[expect(unsafe_code, reason = "it was made in its place")]
        // SAFETY: written above.
        let b = unsafe { b.assume_init() };
        (a, b)
    }
}

/// The first result, in its place, while the second closure runs. If that panics, this drops the first result, and a
/// panic of this drop goes no further.
struct KeptIn<'a, T>(&'a mut MaybeUninit<T>);

impl<T> Drop for KeptIn<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if std::mem::needs_drop::<T>() {
            #[expect(unsafe_code, reason = "it was made in its place")]
            // SAFETY: the result is there, and dropped once: the join forgets this before it takes the result.
            unwind::drop_value(unsafe { self.0.assume_init_read() });
        }
    }
}

impl Pool {
    /// Calls both closures, perhaps at the same time, and gives both results.
    ///
    /// The calling thread calls `first` itself, and then `second`, unless another worker has taken that. While it waits
    /// for a taken `second` it runs second closures of joins inside `second` and nothing else, but for the calls that
    /// [`broadcast`](Self::broadcast) makes of waiting workers. So a lock held across a join is safe. Works from any
    /// thread, also inside operators. The order of the two calls is not specified.
    ///
    /// Costs a few nanoseconds when nobody takes `second`, which is the rule when joins are nested: no allocation, no
    /// lock, and on Linux and Windows no fence. So there is no grain size to tune.
    ///
    /// A level of nested joins takes some 200 bytes of the stack, and twice the size of both results where these are
    /// large. Box results of kilobytes, or give the workers more with
    /// [`stack_size`](crate::PoolBuilder::stack_size).
    ///
    /// # Joins that are taken for short
    /// A worker that has nothing else to do takes `second` while `first` runs, whether `first` takes long or not. The
    /// pool makes one exception, by a guess. Of the joins at one place in the code it times one in eight. When 16 of
    /// these took under 4 us, with at least 16 other joins inside each, it takes more joins of this place for short:
    /// those that lie as deep on the stack, or a little deeper. Joins inside such a one are two plain calls, until a
    /// worker sees that it takes longer. So if code that was short over a hundred times then takes long, second
    /// closures that could be taken wait for the first ones, but only once: then the guess is dropped.
    ///
    /// # Panics
    /// If a closure panics, after both have ended, with its payload; if both do, with that of `first`. If `first`
    /// panics, `second` may not be called. Also in a child process that was forked after the pool was made.
    ///
    /// ```
    /// let pool = millstream::Pool::new()?;
    /// let (text, number) = pool.join(|| "seven".len(), || 7);
    /// assert_eq!((text, number), (5, 7));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    // A function of its own, into which the closures are inlined. So a leaf of a recursion costs a branch inside this
    // function. Inlined into the recursion, it would make a frame for the whole join at each leaf.
    #[inline(never)]
    pub fn join<A, B, RA, RB>(&self, first: A, second: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        #[cfg(feature = "check")]
        let second = {
            let closure = Closure::new();
            move || {
                let _here = closure.begins_here("the second closure of a join");
                second()
            }
        };
        let site = PendingJoin::<B, RB>::run as *const ();
        let spot = JoinSite::new(site.addr(), stack::here());
        if !worker::is_plain(spot) {
            return self.queue(first, second, spot);
        }
        if size_of::<(RA, RB)>() > LARGE { plain_apart(first, second) } else { plain(first, second) }
    }

    /// A join that is not known to be short, or is the outermost short one, or is of a thread from outside.
    #[cold]
    #[inline(never)]
    fn queue<A, B, RA, RB>(&self, first: A, second: B, spot: JoinSite) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        match Worker::here(&self.shared) {
            Some(worker) => worker.join(first, second, spot),
            None => self.join_from_outside(first, second, spot),
        }
    }

    #[cold]
    #[inline(never)]
    fn join_from_outside<A, B, RA, RB>(&self, first: A, second: B, spot: JoinSite) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        self.shared.on_worker(|worker| worker.join(first, second, spot))
    }
}

/// A join that is two plain calls.
#[inline]
fn plain<RA, RB>(first: impl FnOnce() -> RA, second: impl FnOnce() -> RB) -> (RA, RB) {
    let second = Kept::new(second);
    let a = Kept::new(first());
    let b = second.into_inner()();
    (a.into_inner(), b)
}

/// The same, in a frame of its own.
#[inline(never)]
fn plain_apart<RA, RB>(first: impl FnOnce() -> RA, second: impl FnOnce() -> RB) -> (RA, RB) {
    plain(first, second)
}
