//! One execution of a plan.
//!
//! A [`Run`] holds the engine's part of a plan: stages and the edges between them, sources, the task graph, and what one
//! execution needs of memory, so that running again allocates nothing here. It is driven by jobs alone; nobody owns a
//! run's progress. It is over when it is quiescent: no job of it is queued or running ([`crate::sync::quiescence`]). Then it
//! has succeeded if all stages have ended; otherwise it has failed, was cancelled, or has stalled.
//!
//! # Where to read on
//! | what | where |
//! |---|---|
//! | how batches flow from sources through stages | [`flow`] |
//! | the task graph | [`dag`]; what its tasks read and write, [`slot`] |
//! | failures in stream order, cancel | [`cancel`] |
//! | a run that can go nowhere | [`stall`] |
//! | what is said of a run when it is over | [`outcome`]; what the seats did meanwhile, [`tally`]; names, [`names`] |
//!
//! # Invariants
//! * I1: every piece on its way is a job, is parked in a sequencer or queue, or is held at a gate.
//! * I2: every piece holds a share of its origin, unless it is spooled; so a source has at most as many batches in flight
//!   as it has credits.
//! * I3: every number of a sequence passes every stage on it, emptied or not, in one piece or several.
//! * I4: no lock is held while user code runs.
//! * I5: between runs nothing of a run is left in a queue of the pool.

pub(crate) mod cancel;
pub(crate) mod dag;
pub(crate) mod flow;
pub(crate) mod names;
mod outcome;
pub(crate) mod slot;
mod stall;
mod tally;

use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Closed, RunError, RunErrorKind};
use crate::pool::work::job::{Group, Job, Target, group_id};
use crate::pool::work::worker::Worker;
use crate::pool::{ActiveRun, Shared};
use crate::report::Report;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::latch::Latch;
use crate::sync::notice::Notice;
use crate::sync::parker::Parker;
use crate::sync::quiescence::Quiescence;
use cancel::{Carried, Site};
use dag::Dag;
use flow::cx::Cx;
use flow::order::Sequence;
use flow::source::Source;
use flow::stage::{Reads, Stage, StageCell};
use names::Names;
use tally::Tally;

/// The engine's part of a plan; see the module.
#[repr(C)]
pub(crate) struct Run<'env> {
    /// First: whoever ends the group finds the run by it.
    group: Group,
    start: Start,
    latch: Latch,
    /// Wakes the thread that waits for the latch.
    waiter: Arc<Parker>,
    pub(crate) pool: Arc<Shared>,
    pub(crate) names: Arc<Names>,
    pub(crate) sequences: Box<[Sequence]>,
    pub(crate) sources: Box<[Source<'env>]>,
    pub(crate) stages: Box<[StageCell<'env>]>,
    pub(crate) dag: Dag<'env>,
    open_stages: AtomicUsize,
    failure: Mutex<Option<(Site, Carried)>>,
    ending: Notice,
    cancelled: AtomicBool,
    wall: Duration,
    tally: Tally,
}

/// The job that begins a run.
#[repr(C)]
struct Start {
    target: Target,
    run: *const Run<'static>,
}

#[expect(unsafe_code, reason = "a run is worked on by all threads of its pool")]
// SAFETY: (1) stages, sources and tasks are `Send` and `Sync` each by their own argument; (2) the pointers lead back into
// the run itself; (3) what a failure carries is only taken out when the run is over.
unsafe impl Sync for Run<'_> {}
#[expect(unsafe_code, reason = "a run is worked on by all threads of its pool")]
// SAFETY: see `Sync`.
unsafe impl Send for Run<'_> {}

/// The parts of a run, as the plan has laid them out.
pub(crate) struct Parts<'env> {
    pub(crate) pool: Arc<Shared>,
    pub(crate) names: Arc<Names>,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) sources: Vec<Source<'env>>,
    pub(crate) stages: Vec<StageCell<'env>>,
    pub(crate) dag: Dag<'env>,
}

/// A run in its place in memory, which it never leaves.
pub(crate) struct Seated<'env>(NonNull<Run<'env>>);

#[expect(unsafe_code, reason = "owns its run")]
// SAFETY: a box in all but name, and `Run` is `Send`.
unsafe impl Send for Seated<'_> {}

impl<'env> Seated<'env> {
    /// Puts the parts in place, and links them.
    pub(crate) fn new(parts: Parts<'env>) -> Self {
        let tally = Tally::new(&parts.pool);
        let pieces: usize = parts.sources.iter().map(Source::jobs).sum();
        let jobs = parts.dag.jobs() + pieces + parts.stages.len();
        let run = Box::new(Run {
            group: Group { tokens: Quiescence::new(0), on_quiescent: Run::<'static>::quiescent },
            start: Start { target: Target::new(start, None), run: std::ptr::null() },
            latch: Latch::new(),
            waiter: Arc::new(Parker::new()),
            pool: parts.pool,
            names: parts.names,
            sequences: parts.sequences.into(),
            sources: parts.sources.into(),
            stages: parts.stages.into(),
            dag: parts.dag,
            open_stages: AtomicUsize::new(0),
            failure: Mutex::new(None),
            ending: Notice::new(),
            cancelled: AtomicBool::new(false),
            wall: Duration::ZERO,
            tally,
        });
        let place = NonNull::from(Box::leak(run));
        let mut seated = Self(place);
        let (pointer, group) = (place.as_ptr().cast_const(), place.cast());
        let run = seated.get_mut();
        run.pool.plan_jobs(group, jobs);
        run.start.run = pointer.cast();
        run.start.target.group = Some(group);
        run.dag.link(pointer, group);
        run.sources.iter_mut().for_each(|source| source.link(pointer, group));
        run.stages.iter_mut().for_each(|stage| stage.link(pointer, group));
        seated
    }

    pub(crate) fn get(&self) -> &Run<'env> {
        // SAFETY: owned, in place until dropped.
        #[expect(unsafe_code, reason = "owns its run")]
        unsafe {
            self.0.as_ref()
        }
    }

    fn get_mut(&mut self) -> &mut Run<'env> {
        // SAFETY: owned, in place until dropped; no job of it is about: `execute` returns when it is quiescent.
        #[expect(unsafe_code, reason = "owns its run")]
        unsafe {
            self.0.as_mut()
        }
    }

    /// Whether every source can run again.
    pub(crate) fn check_ready(&self) -> Result<(), RunError> {
        let run = self.get();
        let Some(source) = run.sources.iter().find(|source| !source.is_ready()) else { return Ok(()) };
        let name = run.head_name(source.stage);
        let message = "it was used up by the run before".to_owned();
        Err(RunError::new(RunErrorKind::NotReady { name }, message, Report::default()))
    }

    /// Runs it once, and waits until it is over.
    pub(crate) fn execute(&mut self) -> Result<(), RunError> {
        let run = self.get_mut();
        if run.pool.is_forked() {
            let message = "it was made before the fork, and has no threads in the child process".to_owned();
            return Err(RunError::new(RunErrorKind::Forked, message, Report::default()));
        }
        run.reset();
        let pool = Arc::clone(&run.pool);
        run.tally.begin(&pool);
        let run_at = |worker: &Worker<'_>| (self.execute_on(worker), worker.seat.index);
        let Some((ran, seat)) = pool.visit(|| pool.on_worker(run_at)) else { return Err(closed()) };
        let run = self.get_mut();
        run.tally.end(&pool, seat);
        ran.map_or_else(|Closed| Err(closed()), |()| run.over())
    }

    /// Runs it from this worker's seat, unless the pool closes. From being registered until it is taken out, the run is shared.
    fn execute_on(&mut self, worker: &Worker<'_>) -> Result<(), Closed> {
        let place = self.0.as_ptr().cast_const().cast();
        let run = self.get_mut();
        run.latch.reset();
        run.waiter = Arc::clone(&worker.seat.parker);
        let start = Instant::now();
        worker.shared.begin_run(ActiveRun { run: place, cancel: cancel_run })?;
        let run = self.get();
        worker.push_own(Job { target: NonNull::from(&run.start).cast(), payload: 0 });
        worker.wait(&run.latch, group_id(run.start.target.group));
        worker.shared.end_run(place);
        self.get_mut().wall = start.elapsed();
        Ok(())
    }
}

fn closed() -> RunError {
    let message = "it was dropped before the run began".to_owned();
    RunError::new(RunErrorKind::Closed, message, Report::default())
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        let run = self.get_mut();
        run.pool.unplan_jobs(NonNull::from(&run.group));
        // SAFETY: leaked in `new`, dropped once, and no job of it is about.
        #[expect(unsafe_code, reason = "owns its run")]
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<'env> Run<'env> {
    fn reset(&mut self) {
        self.group.tokens.restart(1); // the start job's
        self.sequences.iter().for_each(Sequence::reset);
        self.sources.iter_mut().for_each(Source::reset);
        self.stages.iter_mut().for_each(StageCell::reset);
        self.dag.reset();
        self.open_stages.store(self.stages.len(), Ordering::Relaxed);
        self.ending.reset();
        self.cancelled.store(false, Ordering::Relaxed);
        self.wall = Duration::ZERO;
    }

    /// Closes the books; leaves nothing of a failed run behind.
    fn over(&mut self) -> Result<(), RunError> {
        let failed = self.failure.get_mut().is_some();
        let stall = (!failed && self.is_stalled()).then(|| self.explain_stall());
        if failed || stall.is_some() || self.is_cancelled() {
            self.clear();
        }
        self.error(stall).map_or(Ok(()), Err)
    }
}

impl<'env> Run<'env> {
    /// The inside of a stage.
    fn body(&self, stage: usize) -> &(dyn Stage + 'env) {
        match &self.stages[stage].reads {
            Reads::Source(source) => self.sources[*source].body(),
            Reads::Packets(body) => &**body,
        }
    }

    /// Drops what a failed run has left.
    fn clear(&mut self) {
        for stage in &mut self.stages {
            let of_source = stage.source().map_or(0, |source| self.sources[source].clear());
            stage.clear(of_source);
        }
    }
}

/// What jobs do; they know a run by pointer, and nothing of the lifetime of what it borrows.
impl Run<'static> {
    /// A stage of this run, worked on by `worker`.
    pub(crate) fn cx<'a>(&'a self, stage: usize, worker: &'a Worker<'a>) -> Cx<'a> {
        Cx { worker, run: self, stage: &self.stages[stage] }
    }

    /// Queues what waits for nothing.
    fn begin(&self, worker: &Worker<'_>) {
        for source in self.sources.iter().filter(|source| self.stages[source.stage].gate.is_none()) {
            source.start(worker);
        }
        self.dag.start(self, worker);
    }

    /// How many numbers a sequence has is known now.
    pub(crate) fn total(&self, sequence: usize, total: u64, worker: &Worker<'_>) {
        for &stage in &self.sequences[sequence].stages {
            if self.stages[stage].countdown.total(total) {
                self.cx(stage, worker).end();
            }
        }
    }

    /// A stage has ended.
    fn stage_ended(&self) {
        // Relaxed: read when the run is quiescent.
        self.open_stages.fetch_sub(1, Ordering::Relaxed);
    }

    #[expect(unsafe_code, reason = "the last job ends the run")]
    unsafe fn quiescent(group: NonNull<Group>, _: &Worker<'_>) {
        let run: NonNull<Self> = group.cast();
        // SAFETY: the group is the first field of a run that is alive until its latch is set.
        let run = unsafe { run.as_ref() };
        let waiter = Arc::clone(&run.waiter);
        // SAFETY: (1) alive until this; (2) called once.
        unsafe { Latch::set(&raw const run.latch, &waiter) };
    }
}

#[expect(unsafe_code, reason = "jobs reach a run by pointer")]
unsafe fn start(target: NonNull<Target>, _: u64, worker: &Worker<'_>) {
    // SAFETY: the target is the first field of a linked run's start.
    let start: &Start = unsafe { target.cast().as_ref() };
    // SAFETY: `link` set the run that owns it; the job's token keeps it alive.
    let run = unsafe { &*start.run };
    worker.unpublished(|| run.begin(worker));
}

#[expect(unsafe_code, reason = "the pool cancels runs by pointer")]
unsafe fn cancel_run(run: *const ()) {
    // SAFETY: registered by `execute`, which takes it out before it goes on.
    let run: &Run<'static> = unsafe { &*run.cast() };
    run.cancel();
}
