//! A job: 16 bytes in a ring or deque that say what to run, on which payload, and for which group.

use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::Arc;

use super::seat::{Public, Seat};
use super::worker::Worker;
use crate::sync::event_count::Only;
use crate::sync::latch::Latch;
use crate::sync::parker::Parker;
use crate::sync::quiescence::{Left, Quiescence};

/// What many jobs have in common: the code that they run, and the group that they belong to. As a rule it is the first
/// field of the thing that the code works on.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Target {
    /// Runs one job of this target with its payload.
    ///
    /// # Safety
    /// (1) The pointer is the job's own target, alive until the job's token is given back. (2) Each job is run once.
    pub(crate) run: RunFn,
    /// The run or scope that the jobs belong to. None: nothing counts the jobs, and the payload of each is the address
    /// of the thing that it is about.
    pub(crate) group: Option<NonNull<Group>>,
    /// Publishes a private entry of this target. None: the entry is published as it is.
    pub(crate) publish: Option<Publish>,
}

/// Runs a job. The arguments are its target, its payload, and the worker that runs it.
pub(super) type RunFn = unsafe fn(NonNull<Target>, u64, &Worker<'_>);

/// Tells which job others get from a private entry of this seat. It gets the payload of the entry.
///
/// # Safety
/// (1) It is an entry of this seat's ring, and stays one during the call: the caller has the far end. (2) The owner is
/// this thread, or it goes on with this entry only when the far end is free again.
pub(crate) type Publish = unsafe fn(u64, &Seat, &Public, Wanted) -> Published;

/// What to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What others could take now, if it is worth the cost.
    Surplus,
    /// Everything.
    All,
}

/// What others get from an entry.
#[derive(Debug)]
pub(crate) enum Published {
    /// They get the entry itself, which is a job.
    Whole,
    /// They get this job. More may be left in the entry.
    Part(Job),
    /// They get nothing: nothing is left in the entry.
    Empty,
    /// They get nothing: what is left in the entry is not worth giving away now.
    Kept,
}

impl Target {
    /// The target of jobs that are published as they are.
    pub(crate) const fn new(run: RunFn, group: Option<NonNull<Group>>) -> Self {
        Self { run, group, publish: None }
    }
}

/// Jobs that a thread waits for together: a run or a scope.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Group {
    /// One token per queued or running job, and more for a job that others take parts of.
    pub(crate) tokens: Quiescence,
    /// The thread that gives the last token back calls this, and says what is left. If that is nothing, it is the only
    /// call in this state, and no other thread touches the group from then on.
    ///
    /// # Safety
    /// (1) The pointer is the group itself. (2) No token was out. (3) If something is outside, the group may be gone.
    pub(crate) on_quiescent: OnQuiescent,
}

/// What ends a group.
type OnQuiescent = unsafe fn(NonNull<Group>, Left, &Worker<'_>);

impl Group {
    /// Gives tokens back, and sees to what follows if they were the last ones.
    ///
    /// # Safety
    /// (1) The group is alive: the caller holds these tokens. It may be gone when this returns.
    #[expect(unsafe_code, reason = "a group lives as long as its tokens")]
    pub(crate) unsafe fn give_back(group: NonNull<Self>, tokens: u64, worker: &Worker<'_>) {
        // SAFETY: (1). Nothing of the group is read after the tokens were given back.
        let (on_quiescent, left) = unsafe {
            let group = group.as_ref();
            (group.on_quiescent, group.tokens.give_back(tokens))
        };
        if left != Left::Tokens {
            // SAFETY: (1) it is the group; (2) those were the last tokens; (3) `left` says so.
            unsafe { on_quiescent(group, left, worker) };
        }
    }
}

/// A group on the stack of the thread that waits for it.
#[derive(Debug)]
#[repr(C)]
pub(in crate::pool) struct Awaited {
    group: Group,
    latch: Latch,
    /// Wakes the thread that waits for the latch.
    waiter: Arc<Parker>,
}

impl Awaited {
    /// A group in which so many tokens are out. The thread that is going to wait holds them.
    pub(crate) fn new(worker: &Worker<'_>, tokens: u64) -> Self {
        let group = Group { tokens: Quiescence::new(tokens), on_quiescent: Self::quiescent };
        Self { group, latch: Latch::new(), waiter: Arc::clone(&worker.seat.parker) }
    }

    pub(crate) fn group(&self) -> NonNull<Group> {
        NonNull::from(self).cast()
    }

    /// Takes a token for a job, on a thread that has none in a cache. The waiting thread or a running job holds another
    /// token.
    pub(crate) fn take(&self) {
        self.group.tokens.take(1);
    }

    /// Gives the thread's own tokens back, and works for the group until all its jobs have ended.
    pub(crate) fn wait(&self, worker: &Worker<'_>, tokens: u64) {
        if self.group.tokens.give_back(tokens) == Left::Tokens {
            worker.wait(&self.latch, group_id(Some(self.group())));
        }
    }

    #[expect(unsafe_code, reason = "the last job ends the group")]
    unsafe fn quiescent(group: NonNull<Group>, _: Left, _: &Worker<'_>) {
        let this: NonNull<Self> = group.cast();
        // SAFETY: the group is the first field of an `Awaited`, which is alive until its latch is set.
        let this = unsafe { this.as_ref() };
        let waiter = Arc::clone(&this.waiter);
        // SAFETY: (1) alive until this; (2) called once.
        unsafe { Latch::set(&raw const this.latch, &waiter) };
    }
}

/// One job. It is copied from place to place, but run exactly once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) target: NonNull<Target>,
    pub(crate) payload: u64,
}

const _: () = assert!(size_of::<Job>() == 16, "two to a quarter cache line");

#[expect(unsafe_code, reason = "a job is a message between threads")]
// SAFETY: (1) a job is plain data; (2) the code that makes a target promises that any thread of the pool may run its
// jobs.
unsafe impl Send for Job {}

impl Job {
    /// The one job about a thing that has no group.
    #[inline]
    pub(crate) fn about<T>(target: &'static Target, what: &T) -> Self {
        Self { target: NonNull::from(target), payload: (&raw const *what).expose_provenance() as u64 }
    }

    /// The group whose tokens count this job.
    #[inline]
    pub(crate) fn group(&self) -> Option<NonNull<Group>> {
        // SAFETY: a queued job's target is alive: (1) of `Target::run`.
        #[expect(unsafe_code, reason = "reads the target of a queued job")]
        unsafe {
            self.target.as_ref().group
        }
    }

    /// Whether it is an entry of a ring, which others get a part of, or nothing.
    pub(super) fn is_entry(&self) -> bool {
        // SAFETY: a queued job's target is alive: (1) of `Target::run`.
        #[expect(unsafe_code, reason = "reads the target of a queued job")]
        unsafe {
            self.target.as_ref().publish.is_some()
        }
    }

    /// What a waiting thread must wait for to be allowed to run this job: the group of the job. For a job without a
    /// group it is the thing that the job is about.
    #[inline]
    pub(crate) fn id(&self) -> NonZeroUsize {
        let own = || usize::try_from(self.payload).ok().and_then(NonZeroUsize::new);
        group_id(self.group()).or_else(own).expect("the payload of a job without a group is an address")
    }

    /// Whether a thread that waits for `only` may run this job.
    #[inline]
    pub(in crate::pool) fn is_for(&self, only: Only) -> bool {
        only.is_none_or(|only| only == self.id())
    }
}

/// The thing that a job is about, by the payload of the job.
#[inline]
pub(crate) fn pointer<T>(payload: u64) -> *const T {
    std::ptr::with_exposed_provenance(usize::try_from(payload).expect("it was made from a pointer"))
}

/// Two numbers as a payload.
#[inline]
pub(crate) fn word(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

/// The two numbers of a payload.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the upper and the lower part of a word")]
pub(crate) fn split_word(payload: u64) -> (u32, u32) {
    ((payload >> 32) as u32, payload as u32)
}

/// The id by which queues and sleepers know a group.
#[inline]
pub(crate) fn group_id(group: Option<NonNull<Group>>) -> Only {
    group.map(|group| group.addr())
}
