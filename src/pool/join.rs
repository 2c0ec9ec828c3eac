//! Two closures, perhaps at the same time.
//!
//! # Protocol
//! The second closure lies on the stack of the join, and is linked into the seat's list of halves: (J1) plain stores, and a
//! look whether somebody is hungry. The first closure is called. (J2) If the half is still the newest in the list, it is
//! taken out, and the second closure is called too: most joins are that, and nobody else has ever heard of them. (J3)
//! Otherwise it was shown as a job: it is taken back from wherever that is, or, if a thief has begun it, this thread waits
//! for its latch, and runs nothing meanwhile: nothing that it could run belongs to the join.
//!
//! # Panics and unwinding
//! If the first closure unwinds, a guard does (J2) and (J3) all the same before the stack goes: an untaken closure is dropped
//! uncalled, what a thief has made is dropped. If the second one unwinds here, nobody else knows of it any more. A thief
//! catches what it throws, and the waiting thread throws it again.

use std::any::Any;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use super::Pool;
use super::halves::Head;
use super::job::Target;
use super::seat::Seat;
use super::worker::Worker;
use crate::sync::UnsafeCell;
use crate::sync::latch::Latch;
use crate::unwind;

/// The second closure of a join, on the stack of the thread that joins.
#[repr(C)]
struct Half<B, R> {
    head: Head,
    /// Where the joining thread sits: a seat lives as long as its pool, longer than any thief works there.
    seat: NonNull<Seat>,
    latch: Latch,
    /// There until it is called.
    second: UnsafeCell<ManuallyDrop<B>>,
    /// What a thief has made, there when the latch is set and until it is taken.
    result: UnsafeCell<MaybeUninit<Result<R, Box<dyn Any + Send>>>>,
}

impl<B: FnOnce() -> R + Send, R: Send> Half<B, R> {
    #[inline]
    fn new(second: B, seat: &Seat) -> Self {
        Self {
            head: Head::new(Target { run: Self::run, group: None }),
            seat: NonNull::from(seat),
            latch: Latch::new(),
            second: UnsafeCell::new(ManuallyDrop::new(second)),
            result: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    fn target(&self) -> NonNull<Target> {
        NonNull::from(self).cast()
    }

    /// Takes the closure out.
    ///
    /// # Safety
    /// (1) The caller has the job: nobody else touches the closure, and it was not taken before.
    #[expect(unsafe_code, reason = "the closure moves to whoever has the job")]
    #[inline]
    unsafe fn take(&self) -> B {
        self.second.with_mut(|second| {
            // SAFETY: (1).
            let second = unsafe { &mut *second };
            // SAFETY: (1).
            unsafe { ManuallyDrop::take(second) }
        })
    }

    /// A thief calls the closure.
    #[expect(unsafe_code, reason = "the closure's result crosses threads")]
    unsafe fn run(target: NonNull<Target>, _: u64, _: &Worker<'_>) {
        // SAFETY: the target is the first field of a half that is alive until its latch is set.
        let half: &Self = unsafe { target.cast().as_ref() };
        // SAFETY: (1) this is the job, and each is run once.
        let second = unsafe { half.take() };
        let result = catch_unwind(AssertUnwindSafe(second));
        // SAFETY: nobody else touches the result before the latch is set.
        half.result.with_mut(|place| unsafe { &mut *place }.write(result));
        // SAFETY: a seat lives as long as its pool, and this thread works there.
        let seat = unsafe { half.seat.as_ref() };
        // SAFETY: (1) alive until this; (2) once: by the one job.
        unsafe { Latch::set(&raw const half.latch, &seat.parker) };
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

    /// Gets the job back, or waits until a thief is done with it; `true`: it is back. (J3)
    #[cold]
    fn settle(&self, worker: &Worker<'_>) -> bool {
        let back = worker.take_back(self.target()).is_some();
        if !back {
            // A thief that may not run it may have it in hand, and puts it into the injector: then it is ours again.
            worker.wait(&self.latch, Some(self.target().addr()));
        }
        back
    }
}

/// Keeps the stack until nobody knows of the half any more, if the first closure unwinds.
struct Unwinding<'a, B: FnOnce() -> R + Send, R: Send> {
    half: &'a Half<B, R>,
    worker: &'a Worker<'a>,
}

impl<B: FnOnce() -> R + Send, R: Send> Drop for Unwinding<'_, B, R> {
    #[cold]
    fn drop(&mut self) {
        if self.worker.pop_half(&self.half.head) || self.half.settle(self.worker) {
            #[expect(unsafe_code, reason = "the closure moves to whoever has the job")]
            // SAFETY: (1) the job is back.
            unwind::drop_value(unsafe { self.half.take() });
        } else {
            #[expect(unsafe_code, reason = "the closure's result crosses threads")]
            // SAFETY: (1) it was waited for; (2) the join itself is unwinding.
            unwind::drop_value(unsafe { self.half.stolen() });
        }
    }
}

impl Worker<'_> {
    /// Of [`Pool::join`].
    #[inline]
    fn join<A, B, RA, RB>(&self, first: A, second: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        let half = Half::new(second, self.seat);
        self.push_half(&half.head); // (J1)
        let unwinding = Unwinding { half: &half, worker: self };
        let a = first();
        std::mem::forget(unwinding);
        if self.pop_half(&half.head) || half.settle(self) {
            #[expect(unsafe_code, reason = "the closure moves to whoever has the job")]
            // SAFETY: (1) the job is back. (J2)
            let second = unsafe { half.take() };
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
    /// that one it runs nothing else: a lock held across a join is safe. Works from any thread, also inside operators.
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
    #[inline]
    pub fn join<A, B, RA, RB>(&self, first: A, second: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        match Worker::here(&self.shared) {
            Some(worker) => worker.join(first, second),
            None => self.shared.on_worker(|worker| worker.join(first, second)),
        }
    }
}
