//! How jobs are found, run, and given to other threads.
//!
//! A worker is a thread at a seat ([`seat`]). It finds a job ([`find`]), runs it ([`worker`]), and starts over. If it
//! finds none, it keeps looking for a while ([`patience`]) and then sleeps. A job ([`job`]) that it makes goes into the
//! private ring of its seat, in plain memory ([`publish`]).
//!
//! # The promise
//! Any active worker that has nothing else to do begins whatever is queued, whatever the owner of the job does
//! meanwhile. Three situations could break this promise.
//!
//! *The owner is in user code while others look for work.* The owner cannot publish anything then. So a worker that has
//! looked everywhere in vain raids the owner: it takes the far end of the ring and publishes jobs in the owner's place
//! ([`raid`]).
//!
//! *A job comes from outside while every worker has jobs of its own.* A worker begins every
//! [`FAIRNESS`](worker::FAIRNESS)th find at the injector ([`injector`]). If a job has been there for too long, it comes
//! first, or one more worker is woken for it ([`overdue`]).
//!
//! *A job is queued while no more workers may be woken.* The pusher leaves a note in the event count. The thread that
//! frees a slot sees the note and looks at everything once ([`sight`]).
//!
//! # Which thread may touch what
//! | what | which thread |
//! |---|---|
//! | near end of a ring | the thread at the seat |
//! | far end of a ring, the public deque, late jobs | the thread that holds the lock: the owner, or one raider |
//! | [`seat::Local`] | the thread at the seat |
//! | [`seat::Signals`] | all threads: hints, except the flag by which others ask ([`crate::sync::steal_request`]) |
//!
//! # The methods of a worker
//! | for | in |
//! |---|---|
//! | threads: sit down, live, step | [`worker`] |
//! | code that queues jobs: `push`, `push_home`, `continue_with`, `publish_before_long_job` | [`publish`] |
//! | code that waits: `wait` | [`wait`] |
//! | a worker itself | [`find`], [`raid`], [`sight`], [`overdue`] |
//! | joins | [`super::join`] |
//! | threads that block | [`super::threads`] |

#[cfg(feature = "check")]
pub(crate) mod bag;
pub(super) mod find;
pub(super) mod injector;
pub(crate) mod job;
pub(super) mod layout;
pub(super) mod overdue;
pub(super) mod patience;
pub(super) mod publish;
pub(super) mod raid;
pub(crate) mod seat;
pub(super) mod sight;
pub(super) mod victims;
pub(super) mod wait;
pub(crate) mod worker;
