//! The only door to atomics, cells, locks, threads and waiting.
//!
//! Everything that other threads can see goes through the types of this module. So one switch (`cfg(all(test, loom))`)
//! puts [loom](https://docs.rs/loom)'s doubles in their place, and the models of this folder explore every interleaving
//! of the real code. The switch needs `test` too: a user who sets `--cfg loom` for a crate of their own gets the real
//! types. A second switch (`cfg(all(test, coherence))`) has each access take virtual time under a model of cache lines
//! (`coherence`): so `ci/scale.sh` tells which words would hurt on many cores.
//!
//! # What is here
//! | file | primitive | who waits for whom |
//! |---|---|---|
//! | **`waiting`** | *threads that sleep and wake* | |
//! | [`parker`] | blocks one thread until it is woken | a thread for any other |
//! | `futex` | a word to sleep on, for the parker | its owner for any other |
//! | [`latch`] | one-shot flag | a waiter for the end of a run, scope or join |
//! | [`event_count`] | sleep and wake without lost wake-ups | workers for jobs |
//! | [`notice`] | says that something is so, and what must be known then is visible | nobody |
//! | **`seats`** | *who may touch the jobs of a seat* | |
//! | [`ring`] | jobs of one owner, in plain memory | a raider's victim for the raider, for a moment |
//! | [`asymmetric`] | a fence whose light side costs nothing | nobody |
//! | [`marks`] | tells which seats of a block are worth a look | nobody waits: bits |
//! | [`steal_request`] | asks the owner of jobs to publish them | nobody waits: the owner looks now and then |
//! | [`shield`] | keeps jobs from thieves for a while | nobody |
//! | [`claim`] | one owner at a time, without waiting | guests for a seat |
//! | **`runs`** | *which pieces may go on, and which thread is the last* | |
//! | [`bell`] | wakes a source that has nothing now | nobody waits: who rings acts |
//! | [`quiescence`] | notices that no job of a group is left | nobody waits: the last one acts |
//! | [`countdown`] | notices that the last of a number came, which may be unknown at first | nobody waits: the last one acts |
//! | [`reference_count`] | counts the live pieces of a batch | nobody waits: the last one acts |
//! | [`credit`] | the right to have one more batch in flight | a source for the end of a batch |
//! | [`sequencer`] | hands turns out in number order | pieces of a stream for their turn |
//! | [`stretch`] | things that one thread goes through, and others take from | a worker and a raider for a task |
//! | [`gate`] | holds things until it is opened | pieces for data that a stage reads |
//! | [`meeting`] | brings the two sides of a pair together | nobody waits: the second one goes on with both |
//! | **here** | | |
//! | `fork` | tells a child process from its parent | nobody |
//! | [`once_box`] | a box that the first one who wants it makes | nobody: two may make one, and one is dropped |
//! | [`two_parts`] | a list of which one half is made when it is needed | nobody |
//! | [`stack`] | where this thread's stack is | nobody |
//! | [`seam`] | where a thread blocks, or a virtual worker yields | all of the above |
//! | [`deque`] | stealable jobs: `crossbeam-deque`, in models a small stand-in | thieves for their victim |
//!
//! # Edges
//! Every ordering that matters is written `edge!("name", Ordering)`, every fence `fence_edge!("name")`, the sides of an
//! asymmetric one `light_edge!("name")` and `heavy_edge!("name")`. `lock_edge!("name", guard, lock)` stands between two
//! things that one lock must cover. The name stands in the module's table of edges. A control weakens one edge at a time
//! in a model: an ordering becomes `Relaxed`, a fence disappears, a lock is free for a moment. The model must then fail.
//! So no ordering is stronger than a model can show.
//!
//! # What the models do not see
//! The models do not explore crossbeam-deque and `parking_lot`: they use a locked queue and loom's lock in their place.
//! loom takes `SeqCst` accesses for `AcqRel`. So the code uses `fence(SeqCst)` where two threads each store one word
//! and then load the other's.
//!
//! loom 0.7 tries a store before an earlier load of another thread only if that load is the last access to the word. A
//! load by the thread that stores comes in between and hides it. So a thread that alone writes a word reads it by
//! [`owned`], which loom does not count.

#[cfg(all(test, coherence))]
pub(crate) mod coherence;
#[cfg(feature = "check")]
mod imp_check;
#[cfg(all(test, coherence))]
mod imp_coherence;
#[cfg(all(test, loom))]
mod imp_loom;
#[cfg(not(any(feature = "check", all(test, any(loom, coherence)))))]
mod imp_std;
#[cfg(feature = "check")]
use imp_check as imp;
#[cfg(all(test, coherence))]
use imp_coherence as imp;
#[cfg(all(test, loom))]
use imp_loom as imp;
#[cfg(not(any(feature = "check", all(test, any(loom, coherence)))))]
use imp_std as imp;

#[cfg(all(feature = "check", test, any(loom, coherence)))]
compile_error!("the feature `check` has a door of its own, which models and simulations do not go through");
pub(crate) mod call;
#[cfg(feature = "check")]
pub(crate) mod footprint;
#[cfg(not(all(test, any(loom, coherence))))]
mod native;
#[cfg(feature = "check")]
pub(crate) mod recorder;
#[cfg(any(feature = "check", all(test, coherence)))]
mod watched;

#[cfg(not(all(test, loom)))]
pub(crate) mod fork;
pub(crate) mod once_box;
mod runs;
pub(crate) mod seam;
mod seats;
pub(crate) mod stack;
pub(crate) mod two_parts;
mod waiting;

pub(crate) use call::{Call, Kind};
pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use imp::{Condvar, Futex, Instant, LazyLock, Mutex, MutexGuard, UnsafeCell, atomic, deque, owned, thread};
pub(crate) use imp::{edge, fence_edge, heavy_edge, light_edge, lock_edge};
#[cfg(all(test, loom))]
pub(crate) use imp::{fork, weakened};
pub(crate) use runs::{
    Arrival, bell, boards, countdown, credit, gate, meeting, quiescence, reference_count, sequencer, stretch,
};
pub(crate) use seats::{asymmetric, claim, marks, ring, shield, steal_request};
pub(crate) use waiting::{event_count, latch, notice, parker};

#[cfg(feature = "check")]
pub(crate) use footprint::{
    add_to, add_unless, adding, at_once, explores, join, join_part, library_call, name_target, named, read_part,
    refuse, say_about_part, take_from, tell, unwatched, user_call, user_code, user_goes_on, watched_call, will_call,
    write_part,
};
#[cfg(feature = "check")]
pub(crate) use recorder::{Closure, begins, goes_on, has_named_calls, keep_call};

/// Calls `work`, which touches nothing that matters in an explored run.
#[cfg(not(feature = "check"))]
pub(crate) fn unwatched<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Calls `work`, which only adds to what it touches.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn adding<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Whether this thread explores schedules.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn explores() -> bool {
    false
}

/// A part of a thing is written.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn write_part<T>(_: &T, _: u64) {}

/// A part of a thing is read.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn read_part<T>(_: &T, _: u64) {}

/// Calls `work`, which touches this thing.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn at_once<T, R>(_: &T, work: impl FnOnce() -> R) -> R {
    work()
}

/// What is done now only adds to a thing.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn add_to<T>(_: &T) {}

/// The same, unless it is the one that makes something begin.
#[cfg(not(feature = "check"))]
#[inline(always)]
pub(crate) fn add_unless<T>(_: &T, _: impl FnOnce() -> bool) {}

/// All that is at a thing is about to be taken.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn take_from<T>(_: &T, _: impl FnOnce() -> u32) {}

/// What is done now comes behind all that was added to this part of a thing.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn join_part<T>(_: &T, _: u64) {}

/// The job that is queued next is about this part of a thing.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn say_about_part<T>(_: &T, _: u64) {}

/// What is done now comes behind all that was added to this.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn join<T>(_: &T) {}

/// Jobs of this target are known by it and their payloads.
#[cfg(not(feature = "check"))]
pub(crate) fn name_target<T>(_: *const T) {}

/// User code is about to be called.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn user_call(_: Call, _: impl FnOnce() -> String) {}

/// User code is about to be called; it is recorded elsewhere.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn watched_call(_: Call, _: impl FnOnce() -> String) {}

/// The next job that is queued makes this call first.
#[cfg(not(feature = "check"))]
#[inline(always)]
pub(crate) fn will_call(_: impl FnOnce() -> Call) {}

/// The thread is in its call again when the result is dropped.
#[cfg(not(feature = "check"))]
#[inline(always)]
pub(crate) fn keep_call() -> InCall {
    InCall
}

/// Calls `work`, by which others find out in which order those came that do this.
#[cfg(not(feature = "check"))]
#[inline(always)]
pub(crate) fn named<R>(_: Call, work: impl FnOnce() -> R) -> R {
    work()
}

/// This call begins.
#[cfg(not(feature = "check"))]
#[inline(always)]
pub(crate) fn begins(_: Call) {}

/// This call goes on.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn goes_on(_: Call) {}

/// Whether calls are the same in every run.
#[cfg(not(feature = "check"))]
#[inline(always)]
pub(crate) fn has_named_calls() -> bool {
    false
}

/// A closure that a call gives to others.
#[cfg(not(feature = "check"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closure;

#[cfg(not(feature = "check"))]
impl Closure {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn call(self) -> Call {
        Call::ANY
    }
}

/// This thread is in user code until the result is dropped.
#[cfg(not(feature = "check"))]
#[inline(always)]
pub(crate) fn user_code() -> InCall {
    InCall
}

/// See [`user_code`].
#[cfg(not(feature = "check"))]
pub(crate) struct InCall;

/// User code calls the library, until the result is dropped.
#[cfg(not(feature = "check"))]
#[inline(always)]
pub(crate) fn library_call(_: &'static str) -> InCall {
    InCall
}

/// User code has just queued what may be called before it goes on.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn user_goes_on() {}

/// Something happens in an explored run.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn tell(_: impl FnOnce() -> String) {}

/// Something is about to happen that cannot be explored yet.
#[cfg(not(feature = "check"))]
#[inline]
pub(crate) fn refuse(_: &str) {}

/// A number that no other call in this process returns. It is no protocol, so it is the same for models: nothing is read by it. Not
/// a lock, as a child process could find it locked for ever.
pub(crate) fn new_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

#[cfg(all(test, loom))]
mod tests;
