//! Actors: coroutines of one thread, each in the place of a thread.
//!
//! An actor runs the same code as a thread would. It yields where a thread would block, and at the choice points of
//! [`crate::sync::seam`]. A loop decides which one goes on.

use std::cell::Cell;
use std::ptr::NonNull;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::pool::work::worker::{Current, switch_current};

/// Why an actor has yielded.
#[derive(Clone, Copy)]
pub(super) enum Pause {
    /// It is busy for this many rounds.
    Busy(#[cfg_attr(not(test), expect(dead_code, reason = "only virtual workers of tests have a clock"))] u64),
    /// It waits until the closure returns `true`. The closure is on the actor's stack.
    Until(NonNull<dyn Fn() -> bool>),
}

type Yield = Yielder<(), Pause>;

thread_local! {
    /// The running actor's way back to the loop.
    static YIELDER: Cell<Option<NonNull<Yield>>> = const { Cell::new(None) };
    /// Stacks that are kept for use again.
    static STACKS: Cell<Vec<DefaultStack>> = const { Cell::new(Vec::new()) };
}

/// Hands control to the loop, if this is an actor.
pub(super) fn pause(pause: Pause) {
    let Some(yielder) = YIELDER.get() else { return };
    #[expect(unsafe_code, reason = "the yielder lives on the actor's stack")]
    // SAFETY: the loop has set the pointer for the actor that runs now, and its coroutine has not ended.
    let yielder = unsafe { yielder.as_ref() };
    yielder.suspend(pause);
}

/// Lets others go on until `ready` holds.
pub(super) fn block(ready: &dyn Fn() -> bool) {
    let ready = NonNull::from(ready);
    #[expect(unsafe_code, reason = "the closure's lifetime is the actor's pause")]
    // SAFETY: only the lifetime is erased: the closure is asked only while the actor is paused in this call.
    let ready = unsafe { std::mem::transmute::<NonNull<dyn Fn() -> bool + '_>, NonNull<dyn Fn() -> bool>>(ready) };
    pause(Pause::Until(ready));
}

/// Whether this is an actor.
#[cfg(test)]
pub(super) fn is_here() -> bool {
    YIELDER.get().is_some()
}

/// A coroutine in the place of a thread.
pub(super) struct Actor {
    coroutine: Coroutine<(), Pause, ()>,
    pause: Pause,
    yielder: Option<NonNull<Yield>>,
    current: Current,
}

impl Actor {
    /// What `body` borrows must outlive the actor's last step.
    pub(super) fn new(body: impl FnOnce()) -> Self {
        let stack = STACKS.with(|stacks| {
            let mut kept = stacks.take();
            let stack = kept.pop();
            stacks.set(kept);
            stack
        });
        Self::on(stack.unwrap_or_else(|| DefaultStack::new(256 * 1024).expect("memory for a stack")), body)
    }

    pub(super) fn on(stack: DefaultStack, body: impl FnOnce()) -> Self {
        let main = |yielder: &Yield, ()| {
            YIELDER.set(Some(NonNull::from(yielder)));
            body();
        };
        #[expect(unsafe_code, reason = "actors borrow from the test")]
        // SAFETY: what the closure borrows outlives the loop, which runs every actor to its end or leaks it.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, main) };
        Self { coroutine, pause: Pause::Busy(0), yielder: None, current: Current::NOBODY }
    }

    pub(super) fn is_done(&self) -> bool {
        self.coroutine.done()
    }

    /// Why it has yielded.
    #[cfg(test)]
    pub(super) fn pause(&self) -> Pause {
        self.pause
    }

    /// Whether it can go on.
    pub(super) fn is_ready(&self) -> bool {
        !self.is_done()
            && match self.pause {
                Pause::Busy(_) => true,
                #[expect(unsafe_code, reason = "the closure is on the actor's stack")]
                // SAFETY: the actor is paused in the call that gave the closure.
                Pause::Until(ready) => unsafe { ready.as_ref()() },
            }
    }

    /// Goes on until the next pause.
    pub(super) fn resume(&mut self) {
        YIELDER.set(self.yielder);
        let outer = switch_current(self.current);
        let result = self.coroutine.resume(());
        self.current = switch_current(outer);
        self.yielder = YIELDER.replace(None);
        if let CoroutineResult::Yield(pause) = result {
            self.pause = pause;
        }
    }

    /// Keeps its stack for another one. It is done.
    pub(super) fn give_stack_back(self) {
        STACKS.with(|stacks| {
            let mut kept = stacks.take();
            kept.push(self.coroutine.into_stack());
            stacks.set(kept);
        });
    }
}
