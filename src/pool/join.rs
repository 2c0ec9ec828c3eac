//! Two closures, perhaps at the same time.
//!
//! # Protocol
//! The second closure lies on the stack of the join. (J1) It is queued as the newest of the seat's halves ([`super::halves`])
//! and this thread looks whether it is asked to show some. Then it calls the first closure. (J2) If the half is still there
//! and fresh it is taken out, and the second closure is called too: most joins are that, and nobody else has ever heard of
//! them. (J3) Otherwise it was to be shown as a job: it is taken back from wherever that is, or, if a thief has begun it,
//! this thread waits for its latch, and runs parts of the half meanwhile ([`super::lineage`]), as they belong to the join.
//!
//! # Panics and unwinding
//! If the first closure panics, (J2) and (J3) come all the same before that goes on: an untaken closure is dropped uncalled,
//! what a thief has made is dropped. If the second one unwinds here, nobody else knows of it any more. A thief
//! catches what it throws, and the waiting thread throws it again.

use std::any::Any;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::time::Instant;

use super::Pool;
use super::grain::{Grain, Spot};
use super::halves::Head;
use super::job::{Run, Target};
use super::quiet::Quiet;
use super::worker::{self, Worker};
use crate::sync::UnsafeCell;
use crate::sync::latch::Latch;
use crate::unwind;

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
    #[inline]
    fn new(second: B, worker: &Worker<'_>) -> Self {
        Self {
            head: worker.new_half(Self::run),
            second: MaybeUninit::new(second),
            result: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    fn target(&self) -> NonNull<Target> {
        NonNull::from(self).cast()
    }

    /// A thief calls the closure.
    #[expect(unsafe_code, reason = "the closure's result crosses threads")]
    unsafe fn run(target: NonNull<Target>, _: u64, worker: &Worker<'_>) {
        // SAFETY: the target is the first field of a half that is alive until its latch is set.
        let half: &Self = unsafe { target.cast().as_ref() };
        // SAFETY: this is the job, and each is run once.
        let second = unsafe { half.second.assume_init_read() };
        let result = worker.inside(&half.head, || catch_unwind(AssertUnwindSafe(second)));
        // SAFETY: nobody else touches the result before the latch is set.
        half.result.with_mut(|place| unsafe { &mut *place }.write(result));
        // SAFETY: (1) it was shown; (2) alive until its latch is set.
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

    /// Takes the half back, or waits until a thief is done with it; `true`: it is back. (J2), (J3)
    #[inline]
    fn is_back(&self, worker: &Worker<'_>) -> bool {
        worker.pop_half(&self.head) || self.settle(worker)
    }

    #[cold]
    #[inline(never)]
    fn settle(&self, worker: &Worker<'_>) -> bool {
        let back = worker.pop_linked_half(&self.head) || worker.take_back(self.target()).is_some();
        if !back {
            #[expect(unsafe_code, reason = "set up when it is linked")]
            // SAFETY: (1) it was shown; (2) this is its join.
            let latch = unsafe { &self.head.linked().latch };
            // A thief that may not run it may have it in hand, and puts it into the injector: then it is ours again.
            worker.wait(latch, Some(self.target().addr()));
        }
        back
    }

    /// The first closure has panicked: keeps the stack until nobody knows of the half any more.
    #[cold]
    #[inline(never)]
    fn abandon(&self, worker: &Worker<'_>) {
        if self.is_back(worker) {
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

/// What a join does at its seat.
impl Worker<'_> {
    /// The head of a second half, to be pushed at once.
    #[inline]
    fn new_half(&self, run: Run) -> Head {
        self.local(|local| Head::new(run, &local.halves))
    }

    /// Queues the second half of a join. (J1)
    ///
    /// # Safety
    /// (1) It was just made by [`new_half`](Self::new_half). (2) The join does not leave its stack before the half was
    /// popped or settled.
    #[expect(unsafe_code, reason = "whoever shows it reaches it by pointer")]
    #[inline]
    unsafe fn push_half(&self, half: &Head) {
        // SAFETY: by (1), (2).
        self.local(|local| unsafe { local.halves.push(half) });
    }

    /// Whether others ask this seat to show jobs.
    #[inline]
    pub(super) fn is_asked(&self) -> bool {
        self.seat.shown.request.is_up()
    }

    /// Takes the flag down with which others ask, if nobody is hungry and something is shown. It then says which joins are
    /// short.
    fn take_flag_down(&self) {
        let stays_up = || self.shared.idle.is_hungry() || self.seat.stealer.is_empty();
        if !stays_up() {
            self.seat.shown.request.answer(self.grain(Grain::word), stays_up);
        }
    }

    /// When a join that is offered begins, if it is to be timed. Virtual workers have no time.
    fn time_join(&self) -> Option<Instant> {
        if self.driven { None } else { self.grain(Grain::begin) }
    }

    /// A timed join has ended.
    #[cold]
    fn end_join(&self, begin: Instant, spot: Spot) {
        self.grain(|grain| grain.end(begin, spot));
        self.take_flag_down();
    }

    pub(super) fn grain<R>(&self, ask: impl FnOnce(&Grain) -> R) -> R {
        self.local(|local| ask(&local.grain))
    }

    /// Takes the second half of a join back, if it was not shown. (J2)
    #[inline]
    fn pop_half(&self, half: &Head) -> bool {
        self.local(|local| local.halves.pop_fresh(half))
    }

    /// Takes the second half of a join back, if it was linked but not shown. (J3)
    fn pop_linked_half(&self, half: &Head) -> bool {
        self.local(|local| local.halves.pop_linked(half))
    }

    /// Shows what others ask for: the next thing that this thread does may be the body of a leaf, and take long.
    pub(super) fn answer(&self) {
        self.feed();
        self.take_flag_down();
    }
}

impl Worker<'_> {
    /// A join whose second closure is offered to others.
    fn join<A, B, RA, RB>(&self, first: A, second: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        let half = Half::new(second, self);
        #[expect(unsafe_code, reason = "whoever shows it reaches it by pointer")]
        // SAFETY: (1) just made; (2) all ways out of here pop or settle it. (J1)
        unsafe {
            self.push_half(&half.head);
        }
        if self.is_asked() {
            self.answer();
        }
        // Caught, so that what is run while it waits does not run while this thread unwinds.
        let a = match catch_unwind(AssertUnwindSafe(first)) {
            Ok(a) => a,
            Err(panic) => {
                half.abandon(self);
                resume_unwind(panic)
            }
        };
        if half.is_back(self) {
            if self.is_asked() {
                self.answer(); // since the first closure began
            }
            #[expect(unsafe_code, reason = "the closure moves to whoever has the job")]
            // SAFETY: the job is back. (J2)
            let second = unsafe { half.second.assume_init_read() };
            return (a, second());
        }
        #[expect(unsafe_code, reason = "the closure's result crosses threads")]
        // SAFETY: (1) it was waited for; (2) here alone.
        let stolen = unsafe { half.stolen() };
        (a, stolen.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl Pool {
    /// Calls both closures, perhaps at the same time, and gives both results.
    ///
    /// The calling thread calls `first` itself, and then `second` unless another worker has taken it. While it waits for
    /// that one it runs second closures of joins inside `second` and nothing else: a lock held across a join is safe. Works
    /// from any thread, also inside operators.
    ///
    /// Costs a few nanoseconds when nobody takes `second`, which is the rule when joins are nested: no allocation, no
    /// atomic operation. So there is no grain size to tune. The order in which the two are called is not specified.
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
        if worker::is_short_and_quiet(spot) { (first(), second()) } else { self.offer(first, second, spot) }
    }

    /// A join that is not known to be short, or of a thread from outside, or of one that others have asked for jobs.
    #[cold]
    #[inline(never)]
    fn offer<A, B, RA, RB>(&self, first: A, second: B, spot: Spot) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        self.shared.on_worker(|worker| {
            let begin = worker.time_join();
            let quiet = Quiet::for_short(worker, spot);
            let is_enough_shown = quiet.as_ref().is_some_and(|quiet| quiet.is_enough_shown);
            let both = if is_enough_shown { (first(), second()) } else { worker.join(first, second) };
            drop(quiet);
            if let Some(begin) = begin {
                worker.end_join(begin, spot);
            }
            both
        })
    }
}
