//! How jobs are found, run, and come to others.
//!
//! A worker is a thread at a seat ([`seat`]). It finds a job ([`find`]) and runs it ([`worker`]), again and again; when it
//! finds none it looks on for a while ([`patience`]) and sleeps. A job ([`job`]) that it makes goes to the private ring of its
//! seat, in plain memory ([`publish`]).
//!
//! # The promise
//! Whatever is queued is begun by any active worker that has nothing else to do, whatever its owner does meanwhile.
//!
//! *The owner is in user code, and others look for work.* It cannot publish anything then. So a worker that has looked
//! everywhere in vain raids it: it takes the far end of the ring and publishes jobs in the owner's place ([`raid`]).
//!
//! *A job comes from outside, and every worker has jobs of its own.* They look at the injector ([`injector`]) every so many
//! jobs; and if one has been there for too long it comes first, or a worker more is woken for it ([`overdue`]).
//!
//! *A job is queued while no more workers may be woken.* The pusher leaves a note in the event count, and the thread that
//! makes room looks at everything once ([`sight`]).
//!
//! # Who may touch what
//! | what | who |
//! |---|---|
//! | near end of a ring | the thread at the seat |
//! | far end of a ring, the public deque, late jobs | who holds its lock: the owner, or one raider |
//! | [`seat::Local`] | the thread at the seat; each part of it by the file that is named there |
//! | what others may read of a seat | [`seat::Signals`]: hints, but for the far end's edges ([`crate::sync::ring`]) |
//!
//! # The methods of a worker
//! | for | in |
//! |---|---|
//! | threads: sit down, live, step | [`worker`] |
//! | who queues jobs: `push`, `push_home`, `continue_with`, `publish_before_long_job` | [`publish`] |
//! | who waits: `wait` | [`wait`] |
//! | a worker itself | [`find`], [`raid`], [`sight`], [`overdue`] |
//! | joins | [`super::join`] |
//! | threads that block | [`super::threads`] |

pub(super) mod find;
pub(super) mod injector;
pub(crate) mod job;
pub(super) mod overdue;
pub(super) mod patience;
pub(super) mod publish;
pub(super) mod raid;
pub(super) mod seat;
pub(super) mod sight;
pub(super) mod victims;
pub(super) mod wait;
pub(crate) mod worker;
