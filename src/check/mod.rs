//! Every schedule of a graph, in a test: what depends on timing is found, told, and played again. With the feature `check`.
//!
//! **What this does not see:** what the memory model allows beyond one order of all steps, and what happens *inside* a call of user
//! code but for its uses of [`Mutex`], [`Atomic`] and [`Channel`]. Time stands still: a [deadline](crate::Running::deadline), a pause, or the patience
//! of who sends or receives for a while, may end at any point; but who waits for a run for a while waits until it is over. In a pool, an operator that takes one item at a time may take the first of a batch before the `map` in front of it is called
//! for the second; here it takes them when the `map` is through with the batch. Batches of one item show that, too.
//!
//! And it does not explore, and says so by a panic: [broadcasts](crate::Pool::broadcast), pools beside the one that it gives, jobs that
//! other threads queue, receivers of other crates, more than 256 jobs in all, or 24 that are in the middle of something at once. A batch is one to three jobs: on its
//! way through the stage of the source, and at its turn in each operator that takes one item at a time. A task is one, and so is a closure.
//!
//! [`exhaustive`] gives a closure a pool, on which it builds and runs graphs. The engine is the real one, on one thread. Its jobs are
//! the *processes*: any job that is queued may be next, on a worker of its own. What a pool makes of that, by its queues, thieves and
//! sleepers, with however many workers, is one of these orders, but for items of one batch, as said. So what holds here holds for any
//! pool, with one condition: closures that wait for each other, by a [`Channel`] for example, need as many workers as wait at once.
//!
//! Schedules that differ only in the order of steps that touch nothing in common are one. What touches what the engine knows of itself.
//! Of user code it does not: each call of closures that several workers may call at once counts as one that may share anything with any
//! other, unless the test says [`pure`](Explore::pure). A call is what a stage does with one batch, or a task. What only one worker
//! calls at a time, in stream order, such as the closure of a `fold`, makes no orders of its own: two such operators that share
//! something must share it by a type of this module. Two batches of a stream are two
//! calls: so small batches ([`batch_size(1)`](crate::Stream::batch_size)) show more, and cost more.
//!
//! All processes share one thread. So what they share must not block it: a plain lock that one of them holds while others go on is to
//! be a [`Mutex`] of this module. If the thread sleeps for 5 s in one call, a message names the call, and the program ends. What is
//! shared is made in the closure of the test: each schedule begins anew. Panics print nothing but in the schedule that is told.
//!
//! The closure of the test is a process, too, and so is each closure that it gives to a [join](crate::Pool::join), a
//! [scope](crate::Pool::scope), a loop or [`spawn`](crate::Pool::spawn). So what it does beside a run that it has
//! [started](crate::Plan::start) is tried at every point of the run: it sends, receives, cancels.
//!
//! A pool of threads that [records](crate::PoolBuilder::record) gives a [`Recording`] of what its runs have called, in which order.
//! [`replay`] makes the same calls in the same order, on one thread. So what fails once in a thousand runs can be looked at.
//!
//! The search is the one of Abdulla, Aronis, Jonsson and Sagonas, "Optimal dynamic partial order reduction" (2014), with source sets
//! and sleep sets. It takes as many schedules as there are orders of calls that can be told apart: 24 for four batches through a `map`
//! into a `fold`, 42 for a wavefront of 3 by 3 tasks. Closures of joins, scopes, loops and `spawn`, and threads that send and receive,
//! have several steps each, and so more schedules: 24 orders of the leaves of a loop are some thousand. So it is for small graphs, as one
//! has them in a test; where there is nothing to share, [`pure`](Explore::pure) leaves few. For larger ones [`random`] takes
//! schedules by chance, and finds in a few what the first thousands of an incomplete search may not hold.
//!
//! ```
//! use millstream::{Graph, Pool, check};
//!
//! let squares = |pool: &Pool| {
//!     let g = Graph::new();
//!     let sum = g.source(0..4_u64).batch_size(1).map(|x| x * x).fold(0, |sum, x| sum + x);
//!     pool.run(g).expect("runs").take(sum)
//! };
//! let explored = check::exhaustive(squares).expect("the same answer in every schedule");
//! assert!(explored.is_complete());
//! assert_eq!((explored.schedules(), *explored.value()), (24, 14));
//! ```

// `driven` steps virtual workers of the real pool, in a random order or on a virtual clock: only tests of the library use it.
mod actors;
#[cfg(test)]
#[cfg_attr(coherence, expect(dead_code, reason = "a simulation has a driver of its own, and no tests beside it"))]
mod driven;
#[cfg(feature = "check")]
mod explore;
#[cfg(all(test, coherence))]
#[path = "tests/scale/mod.rs"]
mod scale;
#[cfg(all(test, not(coherence)))]
mod tests;

#[cfg(all(test, not(coherence)))]
pub(crate) use driven::{Body, Dice, Order, drive, is_virtual, makespan, once, until, work};
#[cfg(feature = "check")]
pub use explore::{
    Atomic, Channel, Course, Difference, Explore, Explored, Mutex, MutexGuard, Operator, Outcome, ParseRecordingError,
    ParseScheduleError, Recording, Schedule, exhaustive, explore, operator, random, replay, story,
};
