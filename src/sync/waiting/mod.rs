//! How threads sleep and are woken.
//!
//! A thread that finds no job sleeps, so an idle pool uses no CPU. A thread that pushes a job wakes a sleeper for it.
//! This page tells how the two can miss each other, and what prevents that. [`event_count`] lists the steps by name
//! (S1, N1 and so on), and the edges with their models. Its sleepers block in a [`parker`], which rests on a `futex`.
//!
//! A [`latch`] is simpler: one thread waits for it, another sets it. A [`notice`] makes nobody wait.
//!
//! # What a thread counts as
//! Each L3 domain counts those of its threads that search and those that sleep, and has a list of the sleepers
//! (`domains`). Threads that wait for one thing sleep in a table (`waiters`). One word of the pool counts the threads
//! that are here and do not wait so (`census`): those that do not sleep are active. So what changes with every job
//! stays within a domain, and so does what changes as a worker sleeps or wakes, but for the first and the last one
//! there. A pusher reads the counts without a lock.
//!
//! * A *worker* searches from the time it runs out of jobs until it has found one or sleeps.
//! * A *compensating thread* is one more worker, while another thread blocks and lends its slot.
//! * A thread that *waits for a group* (a run, a scope, a join) may run the jobs of that group only. It is active or it
//!   sleeps, and never counts as searching.
//! * A *guest* is a thread from outside that sits at a seat while it waits. It counts as active too.
//!
//! # What could go wrong: the lost wake-up
//! A worker looks at all queues, finds nothing, and sleeps. A pusher makes a job visible, looks for sleepers, and wakes
//! one.
//! ```text
//!     worker that goes to sleep              pusher
//!     -------------------------              ------
//!     looks at the queues: nothing
//!                                            makes the job visible
//!                                            looks for sleepers: nobody
//!     counts as sleeping
//!     parks
//! ```
//! The job lies in a queue, the worker sleeps, and nobody looks any more. So the worker first counts as sleeping (S1),
//! then looks once more (S3), and only then parks (S4). That helps if the store of each thread is there before its own
//! load. But a processor may keep a store back while it goes on to the load:
//! ```text
//!     worker that goes to sleep              pusher
//!     -------------------------              ------
//! S1  counts as sleeping (kept back)         makes the job visible (kept back)
//! S3  looks at the queues: nothing       N2  looks for sleepers: nobody
//! S4  parks                                  goes on
//! ```
//! # What prevents it: two fences
//! The worker passes a full fence between S1 and S3 (S2, edge `event_count.asleep`). The pusher passes one between the
//! job and N2 (N1, edge `event_count.pushed`). All threads agree on the order of full fences. So one of the two comes
//! first:
//!
//! * S2 comes before N1: the pusher sees the sleeper at N2.
//! * N1 comes before S2: the worker sees the job at S3, and stays awake.
//!
//! If both see each other, the pusher takes the worker out of the list at N3, and the worker notices that it is no
//! longer there. It spends the wake-up and goes on as if it had slept. The pusher counts the sleeper as active and
//! searching before it wakes it. So the next pusher does not wake the same thread again, and knows that a thread
//! searches.
//!
//! The other races on this page have the same shape: each side stores, passes a fence, and loads what the other stores.
//!
//! # Searching threads: why a push may wake nobody
//! A wake-up takes the system many microseconds, and costs the pusher some of them. A thread that searches anyway finds
//! the job sooner. So a pusher that sees as many searchers in its domain as jobs wakes nobody (N2). But a searcher may
//! stop:
//! ```text
//!     searcher                               pusher
//!     --------                               ------
//!     looks at this queue: nothing
//!                                            makes the job visible
//!                                        N2  sees one searcher: wakes nobody
//! F1  has another job, searches no more
//! ```
//! So the last searcher of a domain does not stop without a last look:
//!
//! * It has found a job. It stops counting as searching (F1) and passes a fence (F2, edge `event_count.found`). If it
//!   was the last one, it looks for jobs. If it sees some it wakes two others at most. A thread that was woken looks in
//!   any case when it has found its job. So a burst of jobs wakes all threads in a few rounds, and one more job wakes
//!   one. A searcher that is not the last one leaves the look to those that search on.
//! * It goes to sleep. S1 ends the search, S2 is the fence, S3 is the look. If it sees a job it searches on. It has taken
//!   the notes of others away, and may find another job than it has seen: so it leaves a note itself (H1).
//! * It makes way for a sleeper (W1). The other thread searches in its place, and has the last look when it stops. But
//!   it may have seen a job as it was about to sleep. Then it does not wait for its wake-up, and may have had its last
//!   look before this one stops. So this one, after S2, looks whether anybody searches where the other one does (W3). If
//!   so, the last one of these stops after S2, and its look sees what this one would. If not, this one has the look.
//! * It leaves (X1). It leaves a note that a look is owed; the next section tells what that is for.
//!
//! A look begins at the nearest seats, and ends when it has seen as many jobs as are worth a wake-up. So it takes as
//! long on a large pool as on a small one, as long as there are jobs near by.
//!
//! Again one of two fences comes first. If it is N1, the searcher sees the job in its last look. If it is the
//! searcher's, the pusher does not count it any more at N2.
//!
//! # The limit: how a free slot is not lost
//! At most `limit` threads are woken to be active at once. A pusher that sees `limit` active threads wakes nobody. Then
//! one of them leaves:
//! ```text
//!     thread that leaves                     pusher
//!     ------------------                     ------
//!                                            makes the job visible
//!                                        N2  sees `limit` active threads: wakes nobody
//! X1  stops counting as active
//! ```
//! A slot is free, a job is there, and a worker sleeps. So the pusher notes that it *owes a look* to the sleepers (O1).
//! The thread that frees a slot *pays*: it sees the note (P2), looks at everything in the pusher's place (P5), and
//! wakes a sleeper if it sees something. Each side passes a fence in between:
//! ```text
//!     thread that leaves                     pusher
//!     ------------------                     ------
//! X1  stops counting as active           O1  notes that a look is owed
//! P1  fence (`event_count.freed`)        O2  fence (`event_count.owed`)
//! P2  looks for the note                 O3  looks for a free slot
//! ```
//! If O2 comes first, P2 sees the note. If P1 comes first, O3 sees the free slot, and the pusher wakes a sleeper.
//!
//! The payer takes the note away. If it did so after its look, a second pusher could come between the two:
//! ```text
//!     payer                                  second pusher
//!     -----                                  -------------
//! P5  looks at everything: nothing
//!                                            makes its job visible
//!                                            sees the old note, and makes none
//! P3  takes the note away
//! ```
//! So P3 comes first, then a fence (P4, edge `event_count.paid`), then P5. If P5 misses the job, P4 came before the N1
//! of the pusher. Then the pusher does not see the old note, and makes a new one. If P5 sees something, the payer puts
//! the note back, because it wakes one thread only, and that one may not be able to run all that is there.
//!
//! A thread leaves a note
//! * when it has pushed a job and can wake nobody for it (N2);
//! * when it has found a job, or was woken for one, and can wake nobody for the rest: then it does not look (F2, S5);
//! * when it goes to sleep without a look: a worker does so while `limit` threads are active, and a compensating thread
//!   does so if its slot was taken back;
//! * when it leaves while it searches (X1);
//! * when it takes down the flag by which others ask it for jobs, though a thread sleeps.
//!
//! A thread pays
//! * when it leaves (X1), or blocks and lends its slot (L1), or raises the limit (R1);
//! * when it waits for a group and goes to sleep (S1), or is a compensating thread and goes to sleep;
//! * when it has found a job and sees nothing more (F1), because payers did nothing while it searched.
//!
//! A worker that goes to sleep below the limit frees a slot as well. It looks at all queues in any case (S3). So it
//! takes the note away without P2.
//!
//! A payer does nothing while a thread searches in its domain (P2), but leaves it a note to look at everything when it
//! stops (H1). Each side passes a fence in between, as above (H2, F2): the payer sees that the search is over (H3), or
//! the last searcher sees the note (F3).
//!
//! A thread from outside may block until a worker has begun its job. As long as such a job waits, the limit does not
//! hold: all active threads may be blocked in code of the user's.
//!
//! # Threads that may not run every job
//! A thread that waits for a group is woken only for a job that it may run (N3), and only if no thread sleeps that may
//! run anything. It is found in the table by the group of the job, or by one of the joins that the job descends from:
//! nobody goes through the other sleepers. It may come too late for that job. Another job may lie there for which nobody
//! was woken, because this thread was. So it passes on what is in sight before it sleeps again or goes on with something
//! else (S5).
//!
//! Another thread may be woken for the job, or search already, and then find a different one. The job lies there, and
//! the thread that waits for it sleeps. So the pusher leaves a note in this case too (H1), and the last searcher looks
//! at everything.
//!
//! Three wake-ups heed neither the searchers nor the limit. [`give_back`](event_count::EventCount::give_back) wakes the
//! one thread that waits for this very job. [`wake_one_more`](event_count::EventCount::wake_one_more) wakes a worker
//! that stands by while `limit` threads are active. [`wake_all`](event_count::EventCount::wake_all) wakes all sleepers:
//! for a call that each worker must answer, or for the end.
//!
//! # Jobs that no queue shows
//! A job is visible from the time it lies in an injector or in the public deque of a seat. A job in the private ring of
//! a seat wakes nobody. A thread that goes to sleep asks for such jobs after S2: it raises a flag at the seats. The
//! owner of the ring sees the flag, publishes jobs, and wakes threads for them. It takes the flag down only while
//! nobody is hungry; `steal_request` tells that race.
//!
//! # Sketch of a proof
//! The claim: a job is visible, a thread that may run it sleeps, and a slot is free. Then an awake thread will still
//! look before it stops, or will see a note. The cases go by what the pusher of the job does at N1 and N2.
//!
//! 1. **N1 comes before the sleeper's S2.** S3 sees the job, and the sleeper stays awake.
//! 2. **S2 comes before N1, and the pusher takes the sleeper at N3.** The sleeper is woken, and looks. If another
//!    thread has just taken it, it is awake as well, and looks before it sleeps again.
//! 3. **N2 sees as many searchers as jobs.** Each of them stops after N2, and one of them, or one that began to search
//!    before it stopped, is the last one of the domain. So the fence of that one (F2 or S2) comes after N1, and its last
//!    look sees the job. If it makes way, its S2 comes after N1, and so does the last look of those that it sees search
//!    at W3, or its own. If it leaves, P1 comes after N1: P5 sees the job, or the note stays for the next payer.
//! 4. **N2 sees `limit` active threads, or no sleeper that may run the job, and the pusher makes a note.** A thread
//!    that frees a slot after N2 sees the note at P2, or its P1 comes before O2. Then O3 sees the slot. A thread that
//!    goes to sleep after N2 sees the job at S3: its S2 comes after N1.
//! 5. **The same, but there is a note already, and a payer takes it away.** The pusher saw the note before P3. So P4
//!    comes after N1, and P5 sees the job.
//! 6. **A payer hands on at P2, because a thread searches.** N2 missed the slot that the payer has freed, so N1 comes
//!    before P1. The last searcher stops after H3, so its fence comes after H2: it sees the note, and its look sees the
//!    job. If it can wake nobody then, it leaves a note itself.
//!
//! A thread that finds the note of another passes O2 and O3 all the same. The maker of that note may still be between
//! O1 and O2, and a thread that frees a slot may miss it then. The maker sees the slot at O3, but wakes a sleeper for
//! its own job only (model `loom_event_count_nobody_relies_on_the_note_of_another`).
//!
//! # The end
//! A worker that ends must not leave a job behind. The thread that ends the pool says so after the last job from
//! outside was made visible (E1, edge `event_count.end`), and wakes everybody (E2). A worker reads this *before* it
//! looks for jobs (E3, edge `event_count.ended`). If it reads the end and then finds nothing, it has seen all jobs from
//! outside. Any other job comes from one that runs, and the thread that runs it is awake.

mod census;
mod domains;
pub(crate) mod event_count;
#[cfg(not(all(test, any(loom, coherence))))]
pub(super) mod futex;
pub(crate) mod latch;
mod notes;
pub(crate) mod notice;
pub(crate) mod parker;
mod slots;
mod waiters;
