//! Any number of closures that borrow. All of them have ended when the scope ends.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use super::work::job::{Awaited, Job, Target};
use super::work::worker::Worker;
use super::{Pool, Shared};
use crate::sync::Mutex;
use crate::sync::{Closure, user_call, user_code, user_goes_on, will_call};
use crate::unwind;

/// A scope in which closures that borrow may be spawned; see [`Pool::scope`].
pub struct Scope<'scope, 'pool> {
    jobs: Awaited,
    shared: &'pool Shared,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Invariant in `'scope`: a longer-lived scope is no shorter-lived one.
    marker: PhantomData<fn(&'scope ()) -> &'scope ()>,
}

/// A spawned closure on the heap.
#[repr(C)]
struct Spawned<'scope, F> {
    target: Target,
    scope: NonNull<Scope<'scope, 'static>>,
    closure: Closure,
    work: F,
}

impl Pool {
    /// Calls `body` with a scope, and returns when `body` and everything spawned in the scope has ended.
    ///
    /// While it waits, the calling thread runs closures spawned in this scope and nothing else, but for the calls that
    /// [`broadcast`](Self::broadcast) makes of waiting workers. Works from any thread, also inside operators.
    ///
    /// # Panics
    /// After all closures have ended: if `body` panics, with its payload; otherwise, if spawned closures panic, with
    /// the payload of the first one in time. Also in a child process that was forked after the pool was made.
    ///
    /// ```
    /// let pool = millstream::Pool::new()?;
    /// let (mut left, mut right) = (0, 0);
    /// pool.scope(|s| {
    ///     s.spawn(|_| left = 1);
    ///     s.spawn(|_| right = 2);
    /// });
    /// assert_eq!(left + right, 3);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn scope<'scope, R: Send>(&self, body: impl FnOnce(&Scope<'scope, '_>) -> R + Send) -> R {
        self.shared.on_worker(|worker| {
            let scope = Scope {
                jobs: Awaited::new(worker, 1),
                shared: worker.shared,
                panic: Mutex::new(None),
                marker: PhantomData,
            };
            let result = catch_unwind(AssertUnwindSafe(|| body(&scope)));
            scope.jobs.wait(worker, 1);
            let spawned = scope.panic.into_inner();
            match (result, spawned) {
                (Ok(result), None) => result,
                (Ok(result), Some(panic)) => {
                    unwind::drop_value(result);
                    resume_unwind(panic)
                }
                (Err(panic), later) => {
                    later.into_iter().for_each(unwind::drop_payload);
                    resume_unwind(panic)
                }
            }
        })
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Makes `work` a job of this scope.
    ///
    /// Another worker may run it at once; otherwise this thread does when the scope waits. Jobs of a scope may run in
    /// any order. Allocates once.
    pub fn spawn(&self, work: impl FnOnce(&Scope<'scope, '_>) + Send + 'scope) {
        let spawned = Box::new(Spawned {
            target: Target::new(run_spawned(&work), Some(self.jobs.group())),
            scope: NonNull::from(self).cast(),
            closure: Closure::new(),
            work,
        });
        will_call(|| spawned.closure.call());
        let job = Job { target: NonNull::from(Box::leak(spawned)).cast(), payload: 0 };
        if let Some(worker) = Worker::here(self.shared) {
            worker.push(job);
        } else {
            self.jobs.take(); // the scope's body or a spawned closure is running, so a token is out
            self.shared.inject(job);
        }
        user_goes_on();
    }
}

/// The code that runs a spawned closure of this type.
fn run_spawned<'scope, F: FnOnce(&Scope<'scope, '_>) + Send + 'scope>(
    _: &F,
) -> unsafe fn(NonNull<Target>, u64, &Worker<'_>) {
    #[expect(unsafe_code, reason = "takes the closure back from the heap")]
    unsafe fn run<'scope, F: FnOnce(&Scope<'scope, '_>)>(target: NonNull<Target>, _: u64, worker: &Worker<'_>) {
        worker.publish_before_long_job();
        // SAFETY: the target is the first field of a leaked `Spawned`, and each job is run once.
        let spawned = unsafe { Box::from_raw(target.cast::<Spawned<'scope, F>>().as_ptr()) };
        // SAFETY: this job's token keeps the scope alive.
        let scope = unsafe { spawned.scope.as_ref() };
        let work = spawned.work;
        user_call(spawned.closure.call(), || "a closure of a scope".to_owned());
        let call = || {
            let _call = user_code();
            work(scope);
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
            let mut first = scope.panic.lock();
            if first.is_none() {
                *first = Some(panic);
            } else {
                drop(first);
                unwind::drop_payload(panic);
            }
        }
    }
    run::<F>
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}
