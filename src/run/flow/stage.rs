//! A stage: a maximal chain of fused operators, and the unit that is scheduled.
//!
//! The typed part of a stage, its pipe and its tail, is in [`crate::engine`]. The run reaches it through the trait
//! [`Stage`], and through one more trait for what the stage reads: [`BatchStage`], [`NumbersStage`] or [`PacketStage`].
//! The [`StageCell`] around it is the same for all stages: the ports through which jobs enter, the counts, and the gate
//! that holds the stage until the data it reads is there.
//!
//! # Life of a piece
//! 1. A source issues a batch ([`BatchStage::batch`]), or another stage sends a packet ([`PacketStage::packet`]).
//! 2. The pipe drives the items of the piece through the operators.
//! 3. The tail sends the result on or takes it in. At a serial operator the piece first waits for its turn; then it may
//!    go on as a job of its own ([`Stage::own`]).
//! 4. The piece *retires*: it arrives at the stage's countdown.
//!
//! When the last piece has retired, the stage ends ([`Stage::end`]).

use std::convert::Infallible;
use std::ops::Range;
use std::ptr::NonNull;

use super::batch::BatchSize;
use super::cx::Cx;
use super::leaves::Numbers;
use super::ledger::Ledger;
use super::order::Ticket;
use super::packet::RawPacket;
use super::turn::Bytes;
use crate::pool::loops::span::Of;
use crate::pool::work::job::{Group, Job, Target, split_word, word};
use crate::pool::work::worker::Worker;
use crate::run::Run;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::countdown::Countdown;
use crate::sync::gate::Gate;
use crate::sync::two_parts::TwoParts;
use crate::sync::unwatched;

/// Whether a stage has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Now,
    /// Not yet: the stage has queued jobs, and the last of them calls [`Cx::ended`]. After a failure no job calls it.
    Later,
}

/// What a stage has to make room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// How many batches of the stage's source may be in flight. The default number of credits if the stage has no
    /// source.
    pub(crate) credits: usize,
    /// How many of these are used unless the run would stall.
    pub(crate) stalls_at: u32,
    /// How many of these are used while something else of the run can go on.
    pub(crate) soft: u32,
    /// How much they may weigh.
    pub(crate) bytes: Option<Bytes>,
    /// Whether nobody sees how what the stage reads is cut into batches, so that time may do that.
    pub(crate) unseen: bool,
    /// Whether the stage ends in a parallel sink, so that its items wait nowhere.
    pub(crate) absorbed: bool,
    /// How many seats the pool has.
    pub(crate) seats: usize,
    /// How large the batches of the stage's source are.
    pub(crate) size: BatchSize,
}

impl Capacity {
    /// How many pieces can wait in a stage before it has to allocate: as many as are usually in flight.
    pub(crate) fn pieces(&self) -> usize {
        (self.soft as usize).min(1024)
    }

    /// A list of places for the batches in flight.
    pub(crate) fn places<T: Default>(&self) -> TwoParts<T> {
        TwoParts::new(self.credits, self.soft as usize)
    }
}

/// How a stage ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TailKind {
    /// In a parallel sink, for which the order of batches makes no difference.
    Parallel,
    /// In a serial operator, which takes one item at a time in stream order.
    Serial,
    /// In a sink which takes one item of each key at a time, in stream order.
    SerialByKey,
    /// In an edge or a shape, which sends the items on.
    Sends,
}

/// The typed part of a stage. The run calls `own` and `end` from any worker, and all other methods while nothing runs.
pub(crate) trait Stage: Send + Sync {
    /// Runs a job that the stage has queued for itself ([`Cx::push_own`]).
    fn own(&self, cx: &Cx<'_>, word: u64);
    /// Ends the stage: makes the result of a sink. Called once in a run, after the last piece has retired.
    fn end(&self, cx: &Cx<'_>) -> Ended;
    /// Makes room. Called once, before the first run.
    fn prepare(&mut self, capacity: Capacity);
    /// Brings the stage back to its state before a run.
    fn reset(&mut self);
    /// Drops what a failed run left, and returns how many items of the stage's input were dropped.
    fn clear(&mut self) -> u64;
    /// The run has failed or was cancelled: the stage is to wait for nobody outside any more. It may ask for a job for
    /// itself with this word, on a unit that it has outside. Called from any thread, while a token of the caller, or the lock of
    /// a registry, keeps the run alive.
    fn end_early(&self) -> Option<u64> {
        None
    }
    /// No output wants any more of what the stage makes: it is to wait for nobody outside any more. Called once in a run,
    /// from any worker.
    fn unwanted(&self) {}
    /// Whether the stage waits for the world outside, and has more items than it can work on: so more of them are of no use.
    fn is_full(&self) -> bool {
        false
    }
    /// The run is over: nothing more comes. Called after the last job, while threads outside may look.
    fn close(&self) {}
    /// What waits here, in words, for the report of a stall.
    fn waiting(&self) -> Option<String>;
    /// The numbers of items that the serial operator at the end of the stage was given, made, and dropped. None if
    /// there is no such operator.
    fn serial_counts(&self) -> Option<[u64; 3]>;
}

/// A stage that a source with credits feeds.
pub(crate) trait BatchStage: Stage {
    /// Works on the batch in the place `place` of the source.
    fn batch(&self, cx: &Cx<'_>, ticket: Ticket, place: u32);
}

/// A stage that a free source feeds.
pub(crate) trait NumbersStage: Stage {
    /// Whether it makes something of each leaf that may be dear.
    fn wants_few_leaves(&self) -> bool;
    /// Works on adjacent batches until `numbers` gives no more.
    fn batches(&self, cx: &Cx<'_>, numbers: &mut Numbers<'_>);
}

/// A stage that other stages feed.
pub(crate) trait PacketStage: Stage {
    /// Works on a packet.
    fn packet(&self, cx: &Cx<'_>, packet: RawPacket);
    /// Drops a packet, and returns the number of its items.
    fn discard(&self, packet: RawPacket) -> u64;
}

/// What a stage reads.
pub(crate) enum Reads<'env> {
    /// The batches of the source with this index in the run. The source owns the typed part of the stage.
    Source(usize),
    /// The packets that other stages send.
    Packets(Box<dyn PacketStage + 'env>),
}

/// What a stage puts into a job that it queues for itself. A stage that queues none uses [`Infallible`].
pub(crate) trait OwnJob: Sized {
    fn into_word(self) -> u64;

    /// The job from its word. None if there can be no such job.
    ///
    /// # Safety
    /// (1) The word was made by [`into_word`](Self::into_word) of this type. (2) It is used once.
    #[expect(unsafe_code, reason = "jobs carry words")]
    unsafe fn from_word(word: u64) -> Option<Self>;
}

#[expect(unsafe_code, reason = "jobs carry words")]
impl OwnJob for Infallible {
    fn into_word(self) -> u64 {
        match self {}
    }
    unsafe fn from_word(_: u64) -> Option<Self> {
        None
    }
}

/// A packet whose turn has come.
#[expect(unsafe_code, reason = "jobs carry words")]
impl OwnJob for RawPacket {
    fn into_word(self) -> u64 {
        Self::into_word(self)
    }
    unsafe fn from_word(word: u64) -> Option<Self> {
        // SAFETY: (1), (2).
        Some(unsafe { Self::from_word(word) })
    }
}

/// A range of the numbered jobs by which a stage ends ([`Cx::end_in_parts`]).
#[derive(Debug)]
pub(crate) struct EndJobs(pub(super) Range<u32>);

#[expect(unsafe_code, reason = "jobs carry words")]
impl OwnJob for EndJobs {
    fn into_word(self) -> u64 {
        word(self.0.start, self.0.end)
    }
    unsafe fn from_word(range: u64) -> Option<Self> {
        let (start, end) = split_word(range);
        Some(Self(start..end))
    }
}

/// The target of jobs of a stage: it leads to the run and the stage.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Port {
    target: Target,
    run: *const Run<'static>,
    stage: usize,
}

impl Port {
    fn new(run: unsafe fn(NonNull<Target>, u64, &Worker<'_>)) -> Self {
        Self { target: Target::new(run, None), run: std::ptr::null(), stage: 0 }
    }

    pub(crate) fn job(&self, payload: u64) -> Job {
        Job { target: NonNull::from(self).cast(), payload }
    }
}

/// Which counts of a frame belong to an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The column of the items that the operator is given.
    pub(crate) given: usize,
    /// The column of the items that the operator hands on. None for a sink.
    pub(crate) out: Option<usize>,
}

/// A stage with everything that all stages have; see the module documentation.
pub(crate) struct StageCell<'env> {
    pub(super) fire: Port,
    pub(in crate::run) own: Port,
    #[cfg(feature = "check")]
    pub(super) end: Port,
    pub(crate) index: usize,
    pub(in crate::run) reads: Reads<'env>,
    /// The numbers of the operators in the graph, and the columns of their counts.
    pub(crate) ops: Vec<(usize, Columns)>,
    pub(crate) sequence: usize,
    pub(crate) outputs: Vec<usize>,
    pub(crate) inputs: Vec<usize>,
    /// Holds packets until the data that the stage reads is there. If the stage has a source, the source starts when
    /// the gate opens.
    pub(crate) gate: Option<Gate<RawPacket>>,
    /// Packets give up their credit when they enter.
    pub(crate) spooled: bool,
    /// The node of the task graph that stands for the end of the stage.
    pub(crate) end_joint: Option<u32>,
    /// Every piece changes it, so it has cache lines of its own.
    pub(crate) countdown: CachePadded<Countdown>,
    pub(crate) ledger: Ledger,
    /// How many outputs still want items.
    pub(super) open: AtomicU32,
    /// Whether the stage wants no more items, or no output wants what it makes.
    pub(super) closed: AtomicBool,
}

/// What the plan says about a stage.
pub(crate) struct StageParts<'env> {
    pub(crate) reads: Reads<'env>,
    pub(crate) ops: Vec<(usize, Columns)>,
    pub(crate) sequence: usize,
    pub(crate) outputs: Vec<usize>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) gated: bool,
    pub(crate) spooled: bool,
    pub(crate) end_joint: Option<u32>,
}

impl<'env> StageCell<'env> {
    pub(crate) fn new(index: usize, parts: StageParts<'env>, capacity: Capacity) -> Self {
        let width =
            parts.ops.iter().map(|(_, columns)| columns.given.max(columns.out.unwrap_or(0)) + 1).max().unwrap_or(1);
        let mut reads = parts.reads;
        if let Reads::Packets(body) = &mut reads {
            body.prepare(capacity);
        }
        Self {
            fire: Port::new(fire),
            own: Port::new(own),
            #[cfg(feature = "check")]
            end: Port::new(end_alone),
            index,
            reads,
            sequence: parts.sequence,
            outputs: parts.outputs,
            inputs: parts.inputs,
            gate: parts.gated.then(Gate::new),
            spooled: parts.spooled,
            end_joint: parts.end_joint,
            countdown: CachePadded::new(Countdown::new()),
            ledger: unwatched(|| Ledger::new(parts.ops.len(), width, capacity.seats)),
            open: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            ops: parts.ops,
        }
    }

    /// Stores the pointers by which jobs find the run. The stage must not move after this.
    pub(crate) fn link(&mut self, run: *const Run<'env>, group: NonNull<Group>) {
        let ports = [
            &mut self.fire,
            &mut self.own,
            #[cfg(feature = "check")]
            &mut self.end,
        ];
        #[cfg(feature = "check")]
        crate::sync::name_target(&raw const ports[2].target);
        for port in ports {
            port.run = run.cast();
            port.stage = self.index;
            port.target.group = Some(group);
        }
    }

    pub(crate) fn fire_job(&self, payload: u64) -> Job {
        self.fire.job(payload)
    }

    /// The jobs that fire the stage, in the form that a span needs.
    pub(in crate::run) fn jobs<'a>(&'a self, pace: &'a AtomicU64) -> Of<'a> {
        Of { jobs: NonNull::from(&self.fire).cast(), pace }
    }

    /// The index of the source that the stage reads, if it reads one.
    pub(in crate::run) fn source(&self) -> Option<usize> {
        if let Reads::Source(source) = self.reads { Some(source) } else { None }
    }

    pub(crate) fn reset(&mut self) {
        self.countdown.restart();
        self.ledger.reset();
        self.open.store(u32::try_from(self.outputs.len()).expect("few"), Ordering::Relaxed);
        self.closed.store(false, Ordering::Relaxed);
        if let Some(gate) = &mut self.gate {
            let held = gate.reset();
            debug_assert!(held.is_empty(), "the last run was cleared");
        }
        if let Reads::Packets(body) = &mut self.reads {
            body.reset();
        }
    }

    /// Drops what a failed run left, and counts the dropped items. `of_source` is the number of items that the stage's
    /// source has dropped already.
    pub(crate) fn clear(&mut self, of_source: u64) {
        let mut dropped = of_source;
        if let Reads::Packets(body) = &mut self.reads {
            let held = self.gate.as_mut().map(Gate::reset).into_iter().flatten();
            dropped += held.map(|packet| body.discard(packet)).sum::<u64>() + body.clear();
        }
        self.ledger.drop_left(dropped);
    }
}

/// What the jobs of a port do.
type EntryPoint = for<'a> fn(&Cx<'a>, u64);

#[expect(unsafe_code, reason = "jobs reach a stage by pointer")]
unsafe fn enter(target: NonNull<Target>, payload: u64, worker: &Worker<'_>, entry: EntryPoint) {
    // SAFETY: the target is the first field of a port. The job's token keeps the run alive, and so the port.
    let port: &Port = unsafe { target.cast().as_ref() };
    // SAFETY: `link` set the run that owns the stage.
    let run = unsafe { &*port.run };
    entry(&run.cx(port.stage, worker), payload);
}

#[expect(unsafe_code, reason = "jobs reach a stage by pointer")]
unsafe fn fire(target: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
    // SAFETY: passed on.
    unsafe { enter(target, payload, worker, |cx, payload| cx.fire(payload)) }
}
#[cfg(feature = "check")]
#[expect(unsafe_code, reason = "jobs reach a stage by pointer")]
unsafe fn end_alone(target: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
    // SAFETY: passed on.
    unsafe { enter(target, payload, worker, |cx, _| cx.end_alone()) }
}
#[expect(unsafe_code, reason = "jobs reach a stage by pointer")]
unsafe fn own(target: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
    // SAFETY: passed on.
    unsafe { enter(target, payload, worker, |cx, payload| cx.own(payload)) }
}
