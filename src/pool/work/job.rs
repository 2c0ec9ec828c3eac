//! A job: 16 bytes in a ring or deque that say what to run, with which payload, and for whom.

use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::Arc;

use super::seat::{Public, Seat};
use super::worker::Worker;
use crate::sync::event_count::Only;
use crate::sync::latch::Latch;
use crate::sync::parker::Parker;
use crate::sync::quiescence::Quiescence;

/// What many jobs have in common: the code they run, and the group they belong to. As a rule it is the first field of
/// whatever the code works on.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Target {
    /// Runs one job of this target with its payload.
    ///
    /// # Safety
    /// (1) The pointer is the job's own target, alive until the job's token is given back. (2) Each job is run once.
    pub(crate) run: RunFn,
    /// The run or scope that the jobs belong to. None: they look after themselves, and their payload is the address of what
    /// they are about.
    pub(crate) group: Option<NonNull<Group>>,
    /// What happens to a private job of this target when it is made public; none: nothing.
    pub(crate) publish: Option<Publish>,
}

/// What runs a job: its target, its payload, and who runs it.
pub(crate) type RunFn = unsafe fn(NonNull<Target>, u64, &Worker<'_>);

/// Says what comes to others of a private entry of this seat, by the payload of the entry.
///
/// # Safety
/// (1) It is an entry of this seat's ring, and stays one during the call: who calls has the far end. (2) The owner is this
/// thread, or comes to what it does next about this entry only when the far end is free again.
pub(crate) type Publish = unsafe fn(u64, &Seat, &Public, Wanted) -> Published;

/// What is to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What others could take now, if it is worth that.
    Surplus,
    /// Everything.
    All,
}

/// What comes of an entry that is to be published.
#[derive(Debug)]
pub(crate) enum Published {
    /// The entry is a job, and goes as it is.
    Whole,
    /// This job goes; there may be more in the entry.
    Part(Job),
    /// Nothing more is in it.
    Empty,
    /// What is in it is not worth giving away now.
    Kept,
}

impl Target {
    /// Of jobs that are made public as they are.
    pub(crate) const fn new(run: RunFn, group: Option<NonNull<Group>>) -> Self {
        Self { run, group, publish: None }
    }
}

/// Jobs that are waited for together: a run or a scope.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Group {
    /// One token per queued or running job.
    pub(crate) tokens: Quiescence,
    /// Called once by whoever gives the last token back; nobody else touches the group from then on.
    ///
    /// # Safety
    /// (1) The pointer is the group itself. (2) No token is out.
    pub(crate) on_quiescent: OnQuiescent,
}

/// What ends a group.
type OnQuiescent = unsafe fn(NonNull<Group>, &Worker<'_>);

impl Group {
    /// Gives tokens back; what to call if they were the last ones, and whether they were.
    ///
    /// # Safety
    /// (1) The group is alive: the caller holds these tokens. It may be gone when this returns `false`.
    #[expect(unsafe_code, reason = "a group lives as long as its tokens")]
    pub(crate) unsafe fn give_back(group: NonNull<Self>, tokens: u64) -> (OnQuiescent, bool) {
        // SAFETY: (1); nothing is read behind the giving back.
        let group = unsafe { group.as_ref() };
        (group.on_quiescent, group.tokens.give_back(tokens))
    }
}

/// A group on the stack of the thread that waits for it.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Awaited {
    group: Group,
    latch: Latch,
    /// Wakes the thread that waits for the latch.
    waiter: Arc<Parker>,
}

impl Awaited {
    /// A group in which one token is out: that of the thread that is going to wait.
    pub(crate) fn new(worker: &Worker<'_>) -> Self {
        let group = Group { tokens: Quiescence::new(1), on_quiescent: Self::quiescent };
        Self { group, latch: Latch::new(), waiter: Arc::clone(&worker.seat.parker) }
    }

    pub(crate) fn group(&self) -> NonNull<Group> {
        NonNull::from(self).cast()
    }

    /// Takes a token for a job of a thread that has none in a cache. One is out: the thread's that waits, or a running job's.
    pub(crate) fn take(&self) {
        self.group.tokens.take(1);
    }

    /// Gives the one token back, and works for the group until all its jobs have ended.
    pub(crate) fn wait(&self, worker: &Worker<'_>) {
        if !self.group.tokens.give_back(1) {
            worker.wait(&self.latch, group_id(Some(self.group())));
        }
    }

    #[expect(unsafe_code, reason = "the last job ends the group")]
    unsafe fn quiescent(group: NonNull<Group>, _: &Worker<'_>) {
        let this: NonNull<Self> = group.cast();
        // SAFETY: the group is the first field of what is alive until its latch is set.
        let this = unsafe { this.as_ref() };
        let waiter = Arc::clone(&this.waiter);
        // SAFETY: (1) alive until this; (2) called once.
        unsafe { Latch::set(&raw const this.latch, &waiter) };
    }
}

/// One job. Moves by copy, but is run exactly once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) target: NonNull<Target>,
    pub(crate) payload: u64,
}

const _: () = assert!(size_of::<Job>() == 16, "two to a quarter cache line");

#[expect(unsafe_code, reason = "a job is a message between threads")]
// SAFETY: (1) a job is plain data; (2) what it points to is made for being run on any thread of the pool, and whoever
// makes a target promises that.
unsafe impl Send for Job {}

impl Job {
    /// The one job about something that has no group.
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

    /// What a thread must wait for to run this job: its group; without one, the very thing that it is about.
    #[inline]
    pub(crate) fn id(&self) -> NonZeroUsize {
        let own = || usize::try_from(self.payload).ok().and_then(NonZeroUsize::new);
        group_id(self.group()).or_else(own).expect("the payload of a job without a group is an address")
    }

    /// Whether a thread that waits for `only` may run this job.
    #[inline]
    pub(crate) fn is_for(&self, only: Only) -> bool {
        only.is_none_or(|only| only == self.id())
    }
}

/// What a job is about, by its payload.
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

/// A group as the queues and sleepers know it.
#[inline]
pub(crate) fn group_id(group: Option<NonNull<Group>>) -> Only {
    group.map(|group| group.addr())
}
