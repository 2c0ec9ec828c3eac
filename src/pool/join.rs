//! Two closures, perhaps at the same time.
//!
//! # Protocol
//! The second closure, the half, lies on the stack of the join. (J1) It is queued as the newest entry of the seat's ring, and
//! this thread looks whether others ask for jobs. Then it calls the first closure. (J2) If the half is still in the ring it is
//! taken back, and the second closure is called too: most joins are that, and nobody else has ever heard of them. (J3)
//! Otherwise it was made public ([`super::half`]): it is taken back from wherever it is, or, if a thief has begun it, this
//! thread waits for its latch, and runs parts of the half meanwhile ([`super::lineage`]), as they belong to the join.
//!
//! # Panics and unwinding
//! If the first closure panics, (J2) and (J3) come all the same before that goes on: an untaken closure is dropped uncalled,
//! what a thief has made is dropped. If the second one unwinds here, nobody else knows of it any more. A thief
//! catches what it throws, and the waiting thread throws it again.

use std::any::Any;
use std::mem::{MaybeUninit, offset_of};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use super::Pool;
use super::grain::{Grain, Spot, Timing};
use super::half::Head;
use super::job::{Job, Target, pointer};
use super::worker::{self, Worker};
use crate::sync::UnsafeCell;
use crate::sync::latch::Latch;
use crate::unwind::{self, Kept};

/// The second closure of a join, on the stack of the thread that joins.
#[repr(C)]
struct Half<B, R> {
    head: Head,
    /// There until it is called: by whoever has the job.
    second: MaybeUninit<B>,
    /// What a thief has made, there when the latch is set and until it is taken.
    result: UnsafeCell<MaybeUninit<Result<R, Box<dyn Any + Send>>>>,
}

impl<B: FnOnce() -> R + Send, R: Send> Half<B, R> {
    const TARGET: &'static Target = &Target { run: Self::run, group: None, publish: Some(Head::publish) };
    const BEGINS_WITH_HEAD: () = assert!(offset_of!(Self, head) == 0, "its address is that of its head");

    #[inline]
    fn new(second: B) -> Self {
        Self { head: Head::new(), second: MaybeUninit::new(second), result: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// The job that calls the closure.
    #[inline]
    fn job(&self) -> Job {
        const { Self::BEGINS_WITH_HEAD }
        Job::about(Self::TARGET, self)
    }

    /// What a thread must wait for to run it.
    fn id(&self) -> NonZeroUsize {
        NonNull::from(self).addr()
    }

    /// A thief calls the closure.
    #[expect(unsafe_code, reason = "the closure's result crosses threads")]
    unsafe fn run(_: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
        // SAFETY: the job is about a half that is alive until its latch is set.
        let half: &Self = unsafe { &*pointer(payload) };
        // SAFETY: this is the job, and each is run once.
        let second = unsafe { half.second.assume_init_read() };
        let result = worker.inside(&half.head, || catch_unwind(AssertUnwindSafe(second)));
        // SAFETY: nobody else touches the result before the latch is set.
        half.result.with_mut(|place| unsafe { &mut *place }.write(result));
        // SAFETY: (1) it was made public; (2) alive until its latch is set.
        let linked = unsafe { half.head.linked() };
        // SAFETY: a seat lives as long as its pool, and this thread works there.
        let seat = unsafe { linked.seat.as_ref() };
        // SAFETY: (1) alive until this; (2) once: by the one job.
        unsafe { Latch::set(&raw const linked.latch, &seat.parker) };
    }

    /// What the thief has made.
    ///
    /// # Safety
    /// (1) The latch is set. (2) It is asked once.
    #[cold]
    #[expect(unsafe_code, reason = "the closure's result crosses threads")]
    unsafe fn stolen(&self) -> Result<R, Box<dyn Any + Send>> {
        self.result.with_mut(|place| {
            // SAFETY: (1): nobody else touches the result any more.
            let place = unsafe { &mut *place };
            // SAFETY: (1), (2): a thief leaves a result before it sets the latch.
            unsafe { place.assume_init_read() }
        })
    }

    /// Takes the half back, or waits until a thief is done with it; `true`: it is back. (J2),
    /// (J3)
    #[inline]
    fn is_back(&self, at: &Joining<'_, '_>) -> bool {
        at.worker.own.take_back(at.place) || self.settle(at.worker)
    }

    #[cold]
    #[inline(never)]
    fn settle(&self, worker: &Worker<'_>) -> bool {
        let back = worker.take_back(self.id()).is_some();
        if !back {
            #[expect(unsafe_code, reason = "set up when it is made public")]
            // SAFETY: (1) it was made public, and this thread has had the far end since; (2) this is its join.
            let latch = unsafe { &self.head.linked().latch };
            // A thief that may not run it may have it in hand, and puts it into the injector: then it is ours again.
            worker.wait(latch, Some(self.id()));
        }
        back
    }

    /// The first closure has panicked: keeps the stack until nobody knows of the half any more.
    #[cold]
    #[inline(never)]
    fn abandon(&self, at: &Joining<'_, '_>) {
        if self.is_back(at) {
            #[expect(unsafe_code, reason = "the closure moves to whoever has the job")]
            // SAFETY: the job is back.
            unwind::drop_value(unsafe { self.second.assume_init_read() });
        } else {
            #[expect(unsafe_code, reason = "the closure's result crosses threads")]
            // SAFETY: (1) it was waited for; (2) the join itself is unwinding.
            unwind::drop_value(unsafe { self.stolen() });
        }
    }
}

/// What a join does at its seat, until it is dropped.
struct Joining<'a, 'p> {
    worker: &'a Worker<'p>,
    /// Where its half is queued.
    place: usize,
    is_shielded: bool,
}

impl<'a, 'p> Joining<'a, 'p> {
    /// Queues the half. The join does not leave its stack before the half was taken back or settled (H1). (J1)
    #[inline]
    fn begin(worker: &'a Worker<'p>, half: Job, spot: Spot) -> Self {
        worker.make_room();
        let place = worker.own.push(half);
        let joining = Self { worker, place, is_shielded: worker.begin_shield(spot) };
        joining.publish();
        joining
    }

    /// Publishes what others ask for: the next thing that this thread does may take long.
    #[inline]
    fn publish(&self) {
        if self.worker.is_asked() {
            if self.is_shielded { self.worker.answer_shielded() } else { self.worker.answer() }
        }
    }
}

impl Drop for Joining<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_shielded {
            self.worker.end_shield();
        }
    }
}

impl Worker<'_> {
    /// When a join that was queued begins, if it is to be timed. Virtual workers have no time.
    #[inline]
    fn time_join(&self) -> Option<Timing> {
        if self.driven { None } else { self.grain(|grain| grain.begin(self.own.beat())) }
    }

    pub(super) fn grain<R>(&self, ask: impl FnOnce(&Grain) -> R) -> R {
        self.local(|local| ask(&local.grain))
    }

    /// A join whose second closure is queued.
    #[inline]
    fn join<A, B, RA, RB>(&self, first: A, second: B, spot: Spot) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        let half = Half::new(second);
        let joining = Joining::begin(self, half.job(), spot);
        let timing = self.time_join();
        // Caught, so that what is run while it waits does not run while this thread unwinds.
        let a = match catch_unwind(AssertUnwindSafe(first)) {
            Ok(a) => Kept::new(a),
            Err(panic) => {
                half.abandon(&joining);
                drop(joining);
                resume_unwind(panic)
            }
        };
        let b = if half.is_back(&joining) {
            joining.publish(); // others may have asked since the first closure began
            #[expect(unsafe_code, reason = "the closure moves to whoever has the job")]
            // SAFETY: the job is back. (J2)
            let second = unsafe { half.second.assume_init_read() };
            second()
        } else {
            self.grain(Grain::was_taken);
            #[expect(unsafe_code, reason = "the closure's result crosses threads")]
            // SAFETY: (1) it was waited for; (2) here alone.
            let stolen = unsafe { half.stolen() };
            stolen.unwrap_or_else(|panic| resume_unwind(panic))
        };
        drop(joining);
        if let Some(timing) = timing {
            self.grain(|grain| grain.end(timing, self.own.beat(), spot));
        }
        (a.into_inner(), b)
    }
}

impl Pool {
    /// Calls both closures, perhaps at the same time, and gives both results.
    ///
    /// The calling thread calls `first` itself, and then `second` unless another worker has taken it. While it waits for
    /// that one it runs second closures of joins inside `second` and nothing else: a lock held across a join is safe. Works
    /// from any thread, also inside operators.
    ///
    /// Costs a few nanoseconds when nobody takes `second`, which is the rule when joins are nested: no allocation, no lock,
    /// and on Linux and Windows no fence. So there is no grain size to tune. The order in which the two are called is not
    /// specified.
    ///
    /// # Joins that are taken for short
    /// Whether `first` takes long or not, a worker that has nothing else to do takes `second` meanwhile. There is one
    /// guess: of joins at one place, one in eight is timed, and when 16 of these, with at least 16 others inside each, took
    /// under 4 us, more are taken for short, of those that lie as deep on the stack or a little deeper. Joins inside such a
    /// one are two plain calls, until somebody sees that it takes longer. So if code that was short over a hundred times
    /// then takes long, second closures that could be taken wait for the first ones for once; then the guess is dropped.
    ///
    /// # Panics
    /// If a closure panics, with its payload (the first one's if both do), after both have ended. If `first` panics,
    /// `second` may not be called.
    ///
    /// ```
    /// let pool = millstream::Pool::new()?;
    /// let (text, number) = pool.join(|| "seven".len(), || 7);
    /// assert_eq!((text, number), (5, 7));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    // A function of its own into which the closures are inlined: a leaf of a recursion then costs a branch in it, where it would
    // be a call of a function with a frame for the whole join.
    #[inline(never)]
    pub fn join<A, B, RA, RB>(&self, first: A, second: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        let frame = MaybeUninit::<u8>::uninit();
        let site = Half::<B, RB>::run as *const ();
        let spot = Spot::new(site.addr(), (&raw const frame).addr());
        if !worker::is_plain(spot) {
            return self.queue(first, second, spot);
        }
        let second = Kept::new(second);
        let a = Kept::new(first());
        let b = second.into_inner()();
        (a.into_inner(), b)
    }

    /// A join that is not known to be short, or is the outermost of those that are, or of a thread from outside.
    #[cold]
    #[inline(never)]
    fn queue<A, B, RA, RB>(&self, first: A, second: B, spot: Spot) -> (RA, RB)
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
    fn join_from_outside<A, B, RA, RB>(&self, first: A, second: B, spot: Spot) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        self.shared.on_worker(|worker| worker.join(first, second, spot))
    }
}
