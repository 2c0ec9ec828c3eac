//! Calls that may block, on side threads, which are no threads of any pool.
//!
//! A [`Call`] is a future. When it is polled first, it puts the call into a queue of the process; a side thread takes it
//! out, makes it, and wakes whoever polled last. There are as many side threads as calls at once: if none is idle, a new one
//! is made; one that has had nothing to do for [`KEEP`] ends. The queue is as long as there are futures at once, which
//! those who make them bound.
//!
//! # What a call borrows
//! A call may borrow what lives as long as its future. So the drop of a future that is under way blocks until the call
//! has returned; one that has not begun is taken back.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::waiter::{Blocked, Waiter};
#[cfg(feature = "check")]
use crate::sync::{self, explores, user_call};
use crate::sync::{Condvar, Instant, LazyLock, Mutex, fork, thread, user_code};
use crate::unwind;

/// So long a side thread waits for the next call.
const KEEP: Duration = Duration::from_secs(5);

static SIDE: LazyLock<Side> = LazyLock::new(Side::default);

/// The side threads of the process, and the calls that none of them has begun.
#[derive(Default)]
struct Side {
    state: Mutex<SideState>,
    more: Condvar,
}

#[derive(Default)]
struct SideState {
    calls: VecDeque<Arc<dyn AnyCall>>,
    idle: usize,
    threads: usize,
    /// The process in which the threads are. A child process has none of them.
    process: u32,
}

/// A call, for the thread that makes it.
trait AnyCall: Send + Sync {
    fn make(&self);
}

/// Queues a call, and sees that there is a thread for it.
fn queue(call: Arc<dyn AnyCall>) -> io::Result<()> {
    #[cfg(feature = "check")]
    if explores() {
        crate::pool::work::bag::call_any_time(move || {
            user_call(sync::Call::ANY, || "a call that may block".to_owned());
            call.make();
        });
        return Ok(());
    }
    let mut state = SIDE.state.lock();
    if state.process != fork::process() {
        *state = SideState { process: fork::process(), ..SideState::default() };
    }
    state.calls.push_back(call);
    if state.idle >= state.calls.len() {
        drop(state);
        SIDE.more.notify_one();
        return Ok(());
    }
    match thread::Builder::new().name("millstream-side".to_owned()).spawn(work) {
        Ok(_) => state.threads += 1,
        Err(_) if state.threads > 0 => {} // one of these will come to it
        Err(error) => {
            state.calls.pop_back();
            return Err(error);
        }
    }
    Ok(())
}

/// Makes calls until there are none for a while.
fn work() {
    let mut state = SIDE.state.lock();
    let mut since = Instant::now();
    loop {
        if let Some(call) = state.calls.pop_front() {
            drop(state);
            call.make();
            drop(call);
            since = Instant::now();
            state = SIDE.state.lock();
            continue;
        }
        let patience = KEEP.saturating_sub(since.elapsed());
        if patience.is_zero() {
            state.threads -= 1;
            return;
        }
        state.idle += 1;
        state = SIDE.more.wait_for(state, &SIDE.state, patience);
        state.idle -= 1;
    }
}

/// A call as a future; see the module.
pub(crate) struct Call<'a, R, F> {
    shared: Arc<Shared<R, F>>,
    is_queued: bool,
    borrows: PhantomData<&'a ()>,
}

struct Shared<R, F> {
    state: Mutex<CallState<R, F>>,
}

struct CallState<R, F> {
    phase: Phase<R, F>,
    waiter: Option<Waiter>,
}

enum Phase<R, F> {
    Waits(F),
    UnderWay,
    Done(Result<R, Box<dyn Any + Send>>),
    /// Nothing of the caller's is here any more.
    Over,
}

impl<R: Send, F: FnOnce() -> R + Send> AnyCall for Shared<R, F> {
    fn make(&self) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Waits(_)) {
            return; // it was taken back
        }
        let Phase::Waits(call) = std::mem::replace(&mut state.phase, Phase::UnderWay) else { return };
        drop(state);
        let made = catch_unwind(AssertUnwindSafe(|| {
            let _call = user_code();
            call()
        }));
        let mut state = self.state.lock();
        state.phase = Phase::Done(made);
        let waiter = state.waiter.take();
        drop(state);
        waiter.into_iter().for_each(Waiter::wake);
    }
}

impl<'a, R: Send + 'a, F: FnOnce() -> R + Send + 'a> Call<'a, R, F> {
    pub(crate) fn new(call: F) -> Self {
        let state = CallState { phase: Phase::Waits(call), waiter: None };
        Self { shared: Arc::new(Shared { state: Mutex::new(state) }), is_queued: false, borrows: PhantomData }
    }

    /// The call for the queue.
    fn erased(&self) -> Arc<dyn AnyCall> {
        let call: Arc<dyn AnyCall + 'a> = Arc::<Shared<R, F>>::clone(&self.shared);
        #[expect(unsafe_code, reason = "side threads do not know what a call borrows")]
        // SAFETY: (1) what the call borrows is used and dropped before its phase is `Over`, and the drop of this future
        // waits for that, so `'a` has not ended by then; (2) this crate alone makes calls, and forgets none; (3) a side
        // thread that has the call longer than that touches nothing but its lock.
        unsafe {
            std::mem::transmute::<Arc<dyn AnyCall + 'a>, Arc<dyn AnyCall + 'static>>(call)
        }
    }
}

impl<'a, R: Send + 'a, F: FnOnce() -> R + Send + 'a> Future for Call<'a, R, F> {
    /// An error if there is no thread for the call.
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        let task = Waiter::task(context);
        let mut state = self.shared.state.lock();
        if matches!(state.phase, Phase::Done(_)) {
            let done = std::mem::replace(&mut state.phase, Phase::Over);
            drop(state);
            let Phase::Done(made) = done else { return Poll::Pending };
            return Poll::Ready(Ok(made.unwrap_or_else(|panic| resume_unwind(panic))));
        }
        let other = state.waiter.replace(task);
        drop(state);
        drop(other); // it may run an executor's code
        if !std::mem::replace(&mut self.is_queued, true)
            && let Err(error) = queue(self.erased())
        {
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }
}

impl<R, F> Drop for Call<'_, R, F> {
    fn drop(&mut self) {
        let thread = Blocked::new();
        loop {
            let mut state = self.shared.state.lock();
            if matches!(state.phase, Phase::UnderWay) {
                state.waiter = Some(thread.waiter());
                drop(state);
                thread.wait();
                continue;
            }
            let left = std::mem::replace(&mut state.phase, Phase::Over);
            drop(state);
            match left {
                Phase::Waits(call) => unwind::drop_value(call),
                Phase::Done(Ok(made)) => unwind::drop_value(made),
                Phase::Done(Err(panic)) => unwind::drop_payload(panic),
                Phase::UnderWay | Phase::Over => {}
            }
            return;
        }
    }
}
