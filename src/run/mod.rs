//! One execution of a plan.
//!
//! [`Plan`](crate::Plan) builds a [`Run`] once and executes it as often as the user asks. A run holds the engine's part
//! of the plan: the stages and the edges between them, the sources, and the task graph. It also holds all the memory
//! that one execution needs, so running again allocates nothing here.
//!
//! Jobs in the pool's queues drive a run; no thread is in charge of it. A run is over when it is quiescent: none of its
//! jobs is queued or running ([`crate::sync::quiescence`]). If all stages have ended by then, the run has succeeded.
//! Otherwise it has failed ([`cancel`]), was cancelled, or has stalled ([`stall`]).
//!
//! A *batch* is a group of items that a source issues together. A *piece* is all or part of a batch on its way through
//! the stages ([`flow`]).
//!
//! # Where to read on
//! | what | where |
//! |---|---|
//! | how batches flow from sources through stages | [`flow`] |
//! | tasks | [`tasks`]; what they read and write, [`slot`] |
//! | failures in stream order, cancel | [`cancel`] |
//! | threads outside that start a run, feed it, and wait for what comes out | [`outside`] |
//! | a run that can go nowhere | [`stall`] |
//! | what is said of a run when it is over | [`outcome`]; what the seats did meanwhile, [`tally`]; names, [`names`], [`sections`] |
//! | lists of millions of numbers in little memory | [`numbers`], [`lists`], [`few`]; in large pages, [`room`] |
//!
//! # Invariants
//! * I1: every piece on its way is a job, is parked in a sequencer or queue, or is held at a gate.
//! * I2: every piece holds a share of the batch it comes from, unless it is spooled; so a source has at most as many
//!   batches in flight as it has credits.
//! * I3: every number of a sequence passes every stage of that sequence, even if its batch has become empty, in one
//!   piece or in several.
//! * I4: no lock is held while user code runs.
//! * I5: between runs nothing of a run is left in a queue of the pool.

pub(crate) mod cancel;
pub(crate) mod few;
pub(crate) mod flow;
pub(crate) mod lists;
pub(crate) mod names;
pub(crate) mod numbers;
mod outcome;
pub(crate) mod outside;
pub(crate) mod room;
pub(crate) mod sections;
pub(crate) mod slot;
mod stall;
pub(crate) mod tally;
pub(crate) mod tasks;

use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Closed, RunError, RunErrorKind};
use crate::pool::work::job::{Group, Job, Target, group_id};
use crate::pool::work::worker::Worker;
use crate::pool::{ActiveRun, Shared};
use crate::report::Report;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sync::latch::Latch;
use crate::sync::notice::Notice;
use crate::sync::parker::Parker;
use crate::sync::quiescence::{Left, Quiescence};
use crate::sync::{Arrival, Instant, Mutex, adding, explores, unwatched};
use cancel::{Cancel, Carried, Site};
use flow::cx::Cx;
use flow::islands::Islands;
use flow::order::Sequence;
use flow::source::Source;
use flow::stage::{Reads, Stage, StageCell};
use names::Names;
use outside::control::Control;
use tally::{Retried, Tally};
use tasks::block::Block;
use tasks::dag::Dag;
use tasks::parts::{DagParts, Tasks};
use tasks::record::Records;

/// The engine's part of a plan; see the module documentation.
#[repr(C)]
pub(crate) struct Run<'env> {
    /// The first field: the worker that ends the group casts a pointer to the group into a pointer to the run.
    group: Group,
    start: Start,
    latch: Latch,
    /// Who is told that the run is over.
    told: Told,
    /// Whether threads from outside take part while the run goes on.
    meets_outside: bool,
    pub(crate) pool: Arc<Shared>,
    pub(crate) names: Arc<Names>,
    pub(crate) sequences: Box<[Sequence]>,
    pub(crate) sources: Box<[Source<'env>]>,
    pub(crate) stages: Box<[StageCell<'env>]>,
    /// What the pieces counted, as far as the ledgers of the stages have no room for it.
    islands: Islands,
    pub(crate) dag: Dag<'env>,
    /// How often operators have tried again in this run, by operator.
    retried: Vec<(usize, Retried)>,
    open_stages: AtomicUsize,
    failure: Mutex<Option<(Site, Carried)>>,
    ending: Notice,
    /// Why the run was cancelled, a [`Cancel`].
    cancelled: AtomicU32,
    wall: Duration,
    tally: Tally,
}

/// Who is told that a run is over.
enum Told {
    /// The thread that waits for the latch, and has this parker.
    Waiter(Arc<Parker>),
    /// Whoever holds the run, which was started.
    Control(Arc<Control>),
}

/// The job that begins a run.
#[repr(C)]
struct Start {
    target: Target,
    run: *const Run<'static>,
}

#[expect(unsafe_code, reason = "a run is worked on by all threads of its pool")]
// SAFETY: (1) stages, sources and tasks are each `Send` and `Sync`, as argued where they are defined; (2) the pointers
// lead back into the run itself; (3) the payload of a failure is taken out only when the run is over.
unsafe impl Sync for Run<'_> {}
#[expect(unsafe_code, reason = "a run is worked on by all threads of its pool")]
// SAFETY: see `Sync`.
unsafe impl Send for Run<'_> {}

/// The parts of a run, as the plan laid them out.
pub(crate) struct RunParts<'env> {
    pub(crate) pool: Arc<Shared>,
    pub(crate) names: Arc<Names>,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) sources: Vec<Source<'env>>,
    pub(crate) stages: Vec<StageCell<'env>>,
    pub(crate) dag: Dag<'env>,
    /// How often operators have tried again in a run, by operator.
    pub(crate) retried: Vec<(usize, Retried)>,
    /// Whether there is a live source, or a sink that hands items to threads outside or to another graph.
    pub(crate) meets_outside: bool,
}

/// Owns a run at a fixed address, so that jobs can point to it.
pub(crate) struct Seated<'env>(NonNull<Run<'env>>);

#[expect(unsafe_code, reason = "owns its run")]
// SAFETY: this owns the run as a box would, and `Run` is `Send`.
unsafe impl Send for Seated<'_> {}

impl<'env> Seated<'env> {
    /// Moves the parts to their final address, then gives them pointers to the run.
    pub(crate) fn new(parts: RunParts<'env>) -> Self {
        let tally = Tally::new(&parts.pool);
        let width = parts.stages.iter().map(|stage| stage.ledger.width()).max().unwrap_or(0);
        let islands =
            unwatched(|| Islands::new(width, if parts.stages.is_empty() { 0 } else { parts.pool.seats.len() }));
        let run = Box::new(Run {
            group: Group { tokens: Quiescence::new(0), on_quiescent: Run::<'static>::quiescent },
            start: Start { target: Target::new(start, None), run: std::ptr::null() },
            latch: Latch::new(),
            told: Told::Waiter(Arc::new(Parker::new())),
            meets_outside: parts.meets_outside,
            pool: parts.pool,
            names: parts.names,
            sequences: parts.sequences.into(),
            sources: parts.sources.into(),
            stages: parts.stages.into(),
            islands,
            dag: parts.dag,
            retried: parts.retried,
            open_stages: AtomicUsize::new(0),
            failure: Mutex::new(None),
            ending: Notice::new(),
            cancelled: AtomicU32::new(Cancel::None as u32),
            wall: Duration::ZERO,
            tally,
        });
        let place = NonNull::from(Box::leak(run));
        let mut seated = Self(place);
        let (pointer, group) = (place.as_ptr().cast_const(), place.cast());
        let run = seated.get_mut();
        run.pool.plan_jobs(group, run.jobs());
        run.start.run = pointer.cast();
        run.start.target.group = Some(group);
        run.dag.link(pointer, group);
        run.sources.iter_mut().for_each(|source| source.link(pointer, group, &run.pool));
        run.stages.iter_mut().for_each(|stage| stage.link(pointer, group));
        seated
    }

    pub(crate) fn get(&self) -> &Run<'env> {
        // SAFETY: `self` owns the run, which stays in place until `self` is dropped.
        #[expect(unsafe_code, reason = "owns its run")]
        unsafe {
            self.0.as_ref()
        }
    }

    fn get_mut(&mut self) -> &mut Run<'env> {
        // SAFETY: `self` owns the run, which stays in place until `self` is dropped. No job of the run exists now,
        // because `execute` returns only when the run is quiescent.
        #[expect(unsafe_code, reason = "owns its run")]
        unsafe {
            self.0.as_mut()
        }
    }

    /// Whether the tasks should be in other groups, if they `may`. Nothing runs.
    pub(crate) fn is_to_regroup(&mut self, may: bool) -> bool {
        self.get_mut().dag.learns(may)
    }

    /// Takes the task graph apart and makes another one of its records. `group` gets the records, the tasks, the blocks, and how
    /// many nanoseconds each record takes. Nothing runs.
    pub(crate) fn regroup(
        &mut self,
        group: impl FnOnce(Records<'env>, Tasks, Vec<Block<'env>>, Vec<u32>) -> DagParts<'env>,
    ) {
        let place = self.0;
        let run = self.get_mut();
        let (records, tasks, blocks, nanos) = run.dag.take_apart();
        let mut dag = Dag::new(group(records, tasks, blocks, nanos));
        dag.goes_on_from(&run.dag);
        run.dag = dag;
        run.pool.unplan_jobs(place.cast());
        run.pool.plan_jobs(place.cast(), run.jobs());
        run.dag.link(place.as_ptr().cast_const(), place.cast());
    }

    /// Goes on as if the groups of tasks had taken what they are expected to.
    #[cfg(test)]
    pub(crate) fn pretend(&mut self) {
        self.get_mut().dag.pretend();
    }

    /// Checks that every source can run again; the error names the first that cannot.
    pub(crate) fn check_ready(&self) -> Result<(), RunError> {
        let run = self.get();
        let Some(source) = run.sources.iter().find(|source| !source.is_ready()) else { return Ok(()) };
        let name = run.head_name(source.stage);
        let message = "it was used up by the run before".to_owned();
        Err(RunError::new(RunErrorKind::NotReady { name }, message, Report::default()))
    }

    /// Makes everything ready for a run, and returns the pool.
    fn prepare(&mut self) -> Result<Arc<Shared>, RunError> {
        let run = self.get_mut();
        run.reset();
        if run.pool.is_forked() {
            let message = "it was made before the fork, and has no threads in the child process".to_owned();
            return Err(RunError::new(RunErrorKind::Forked, message, Report::default()));
        }
        let pool = Arc::clone(&run.pool);
        run.tally.begin(&pool);
        Ok(pool)
    }

    /// Starts a run, and returns at once. Until [`end`](Self::end) only the run itself may be touched.
    pub(crate) fn start(&mut self) -> Result<Arc<Control>, RunError> {
        let pool = self.prepare()?;
        let place = self.0.as_ptr().cast_const();
        let control = Arc::new(Control::new(place.cast()));
        let run = self.get_mut();
        run.told = Told::Control(Arc::clone(&control));
        let job = Job { target: NonNull::from(&run.start).cast(), payload: 0 };
        let active = ActiveRun { run: place.cast(), cancel: cancel_run, is_started: true };
        if pool.begin_run(active).is_err() {
            return Err(closed());
        }
        pool.inject(job);
        Ok(control)
    }

    /// Waits until a run that was started is over.
    pub(crate) fn wait(&self, control: &Control) {
        control.wait(&self.get().pool, group_id(Some(self.0.cast())));
    }

    /// Ends a run that was started and is over.
    pub(crate) fn end(&mut self, control: &Control) -> Result<(), RunError> {
        let wall = control.let_go();
        let run = self.get_mut();
        run.wall = wall;
        let pool = Arc::clone(&run.pool);
        run.tally.end_all(&pool);
        run.over()
    }

    /// Runs once, and returns when the run is over. The calling thread works along.
    pub(crate) fn execute(&mut self) -> Result<(), RunError> {
        let pool = self.prepare()?;
        let run_at = |worker: &Worker<'_>| (self.execute_on(worker), worker.seat.index);
        let Some((ran, seat)) = pool.visit(|| pool.on_worker(run_at)) else {
            self.get().close();
            return Err(closed());
        };
        let run = self.get_mut();
        run.tally.end(&pool, seat);
        ran.map_or_else(|Closed| Err(closed()), |()| run.over())
    }

    /// Runs from this worker's seat, unless the pool is closing. Other threads share the run from `begin_run` to
    /// `end_run`.
    fn execute_on(&mut self, worker: &Worker<'_>) -> Result<(), Closed> {
        let place = self.0.as_ptr().cast_const().cast();
        let run = self.get_mut();
        run.latch.reset();
        run.told = Told::Waiter(Arc::clone(&worker.seat.parker));
        let start = Instant::now();
        worker.shared.begin_run(ActiveRun { run: place, cancel: cancel_run, is_started: false })?;
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
        // SAFETY: `new` leaked the box, this drops it once, and no job of the run exists now.
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
        self.islands.reset();
        self.dag.reset();
        self.retried.iter().for_each(|(_, retried)| retried.reset());
        self.open_stages.store(self.stages.len(), Ordering::Relaxed);
        self.ending.reset();
        self.cancelled.store(Cancel::None as u32, Ordering::Relaxed);
        self.wall = Duration::ZERO;
    }

    /// How many jobs of it may be queued at once, as a rule.
    fn jobs(&self) -> usize {
        let pieces: usize = self.sources.iter().map(Source::jobs).sum();
        self.dag.jobs() + pieces + self.stages.len()
    }

    /// Says how the run ended, and drops whatever a run that did not succeed left behind.
    fn over(&mut self) -> Result<(), RunError> {
        let failed = self.failure.get_mut().is_some();
        let stall = (!failed && self.is_stalled()).then(|| self.explain_stall());
        if failed || stall.is_some() || self.is_cancelled() {
            self.clear();
        } else {
            self.dag.ended_well();
        }
        self.error(stall).map_or(Ok(()), Err)
    }
}

impl<'env> Run<'env> {
    /// The typed part of a stage.
    fn body(&self, stage: usize) -> &(dyn Stage + 'env) {
        match &self.stages[stage].reads {
            Reads::Source(source) => self.sources[*source].body(),
            Reads::Packets(body) => &**body,
        }
    }

    /// Tells threads outside that nothing goes on in the run.
    pub(crate) fn close(&self) {
        if self.meets_outside {
            self.sources.iter().for_each(Source::close);
            self.stages.iter().for_each(|stage| self.body(stage.index).close());
        }
    }

    /// Drops the items that a run left behind when it failed, was cancelled or stalled.
    fn clear(&mut self) {
        for stage in &mut self.stages {
            let of_source = stage.source().map_or(0, |source| self.sources[source].clear());
            stage.clear(of_source);
        }
    }
}

/// What jobs do. A job reaches the run through a pointer, so it cannot name the lifetime of what the run borrows.
impl Run<'static> {
    /// The context in which `worker` works on a stage of this run.
    pub(crate) fn cx<'a>(&'a self, stage: usize, worker: &'a Worker<'a>) -> Cx<'a> {
        Cx { worker, run: self, stage: &self.stages[stage] }
    }

    /// Queues everything that waits for nothing: sources without a gate, and tasks without predecessors.
    fn begin(&self, worker: &Worker<'_>) {
        for source in self.sources.iter().filter(|source| self.stages[source.stage].gate.is_none()) {
            source.start(worker);
        }
        self.dag.start(self, worker);
    }

    /// No job is left, but somebody outside may bring work. Lets sources go on that are held back while others work, if
    /// there are any. The run may be gone.
    #[expect(unsafe_code, reason = "the run may be gone")]
    fn look_around(this: NonNull<Self>, worker: &Worker<'_>) {
        // SAFETY: the pool calls this only if the run is registered, and so is not freed.
        let begin = || unsafe { this.as_ref() }.group.tokens.begin_look();
        let Some(look) = worker.shared.look_at(this.as_ptr().cast_const().cast(), begin) else { return };
        // SAFETY: the token of the look keeps it alive.
        let run = unsafe { this.as_ref() };
        if !run.lift(worker, false) {
            run.group.tokens.found_nothing(&look);
        }
        // SAFETY: (1) that is this token.
        unsafe { Group::give_back(this.cast(), 1, worker) };
    }

    /// Lets sources go on that are held back while others work. Whether there was one. The caller has the only token;
    /// `stalls` says whether nobody outside may bring work either.
    fn lift(&self, worker: &Worker<'_>, stalls: bool) -> bool {
        let lifts = |source: &&Source<'_>| !self.is_full_behind(source.stage) && source.lift(worker, stalls);
        !self.ending() && self.sources.iter().filter(lifts).count() > 0
    }

    /// Whether a stage behind this one has more items than it can work on, and goes on by itself.
    fn is_full_behind(&self, stage: usize) -> bool {
        if !self.meets_outside {
            return false;
        }
        let mut seen = vec![false; self.stages.len()];
        let mut reached = vec![stage];
        while let Some(stage) = reached.pop() {
            if std::mem::replace(&mut seen[stage], true) {
                continue;
            }
            if self.body(stage).is_full() {
                return true;
            }
            reached.extend(&self.stages[stage].outputs);
        }
        false
    }

    /// Puts a unit outside: something there may bring work.
    pub(crate) fn put_outside(&self) {
        self.group.tokens.put_outside();
    }

    /// Takes a unit back that nobody outside has seen.
    pub(crate) fn take_back(&self) {
        self.group.tokens.take_back();
    }

    /// Takes more tokens for a job that is queued next. The caller holds one.
    pub(crate) fn take_tokens(&self, tokens: u64) {
        self.group.tokens.take(tokens);
    }

    /// Tells the stages of a sequence how many numbers the sequence has; a stage that has seen them all ends.
    pub(crate) fn total(&self, sequence: usize, total: u64, worker: &Worker<'_>) {
        for &stage in &self.sequences[sequence].stages {
            if self.stages[stage].countdown.total(total) == Arrival::Last {
                self.cx(stage, worker).all_arrived();
            }
        }
    }

    /// Announces one more piece to a stage, and to all stages behind it in the same order. These are a tree: where streams
    /// meet, a new order begins.
    fn expect_part(&self, mut stage: usize) {
        loop {
            let cell = &self.stages[stage];
            cell.countdown.expect_more(1);
            let mut next = cell.outputs.iter().copied().filter(|next| self.stages[*next].sequence == cell.sequence);
            let Some(first) = next.next() else { return };
            next.for_each(|other| self.expect_part(other));
            stage = first;
        }
    }

    /// Notes that one more stage has ended.
    fn stage_ended(&self) {
        // Relaxed: the count is read only when the run is quiescent, which orders it.
        adding(|| self.open_stages.fetch_sub(1, Ordering::Relaxed));
    }

    #[expect(unsafe_code, reason = "the last job ends the run")]
    unsafe fn quiescent(group: NonNull<Group>, left: Left, worker: &Worker<'_>) {
        let run: NonNull<Self> = group.cast();
        if left == Left::Outside {
            if explores() {
                return; // as many jobs as there can be there hold no source back
            }
            return Self::look_around(run, worker);
        }
        // SAFETY: the group is the first field of a run, and the run is alive until somebody is told that it is over.
        let run = unsafe { run.as_ref() };
        run.group.tokens.restart(1); // nobody else can touch it
        if run.lift(worker, true) {
            // SAFETY: (1) that is this token.
            return unsafe { Group::give_back(group, 1, worker) };
        }
        if let Told::Control(control) = &run.told {
            control.seal();
            worker.shared.end_run(std::ptr::from_ref(run).cast());
        }
        run.close();
        match &run.told {
            Told::Waiter(waiter) => {
                let waiter = Arc::clone(waiter);
                // SAFETY: (1) the run, and so the latch, is alive until this call; (2) a run becomes quiescent once.
                unsafe { Latch::set(&raw const run.latch, &waiter) };
            }
            Told::Control(control) => {
                let control = Arc::clone(control);
                control.is_over_now(); // the run may be gone after this
            }
        }
    }
}

#[expect(unsafe_code, reason = "jobs reach a run by pointer")]
unsafe fn start(target: NonNull<Target>, _: u64, worker: &Worker<'_>) {
    // SAFETY: the target is the first field of a linked run's start.
    let start: &Start = unsafe { target.cast().as_ref() };
    // SAFETY: `Seated::new` set the pointer to the run that owns it; the job's token keeps the run alive.
    let run = unsafe { &*start.run };
    worker.unpublished(|| run.begin(worker));
}

#[expect(unsafe_code, reason = "the pool cancels runs by pointer")]
unsafe fn cancel_run(run: *const ()) {
    // SAFETY: `execute_on` registered the run, and takes it out before it stops sharing the run.
    let run: &Run<'static> = unsafe { &*run.cast() };
    run.cancel(Cancel::PoolDropped);
}
