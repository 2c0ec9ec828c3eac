//! A stage: a maximal chain of fused operators, the unit that is scheduled.
//!
//! The typed inside (pipe and tail) is built by the graph and reached through [`Stage`] and the trait for what it reads
//! ([`Reads`]); the [`StageCell`] around it is the same for all: ports through which jobs enter, counts, the gate that
//! holds it until data it reads is there.
//!
//! # Life of a piece
//! A source issues a batch ([`BatchStage::batch`]), or another stage sends a packet ([`PacketStage::packet`]). The pipe
//! drives its items through the operators. Its tail then sends the result on, or absorbs it; at a serial operator it first
//! waits for its turn, which may make it a job of its own ([`Stage::own`]). When a piece is done here it *retires*: the
//! stage's countdown has one arrival more. When the last one has retired, the stage ends.

use std::convert::Infallible;
use std::ops::Range;
use std::ptr::NonNull;

use super::batch::BatchSize;
use super::cx::Cx;
use super::leaves::Numbers;
use super::ledger::Ledger;
use super::order::Ticket;
use super::packet::RawPacket;
use crate::pool::loops::span::Of;
use crate::pool::work::job::{Group, Job, Target, split_word, word};
use crate::pool::work::worker::Worker;
use crate::run::Run;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::countdown::Countdown;
use crate::sync::gate::Gate;

/// Whether a stage has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Now,
    /// When the jobs that it has pushed are done: it calls [`Cx::ended`].
    Later,
}

/// What a stage has to make room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Batches of its source in flight.
    pub(crate) credits: usize,
    pub(crate) seats: usize,
    /// How its source is cut.
    pub(crate) size: BatchSize,
}

impl Capacity {
    /// Pieces that may wait without an allocation.
    pub(crate) fn pieces(&self) -> usize {
        self.credits.min(1024)
    }
}

/// How a stage ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TailKind {
    /// In a parallel sink: the order of batches makes no difference.
    Parallel,
    /// In a serial operator, in stream order.
    Serial,
    /// It sends its items on.
    Sends,
}

/// The typed inside of a stage.
pub(crate) trait Stage: Send + Sync {
    /// Goes on with a job that the stage has queued for itself ([`Cx::push_own`]).
    fn own(&self, cx: &Cx<'_>, word: u64);
    /// The last piece has retired.
    fn end(&self, cx: &Cx<'_>) -> Ended;
    /// Makes room; called once.
    fn prepare(&mut self, capacity: Capacity);
    /// Makes it new for the next run.
    fn reset(&mut self);
    /// Drops what a failed run left, and says how many items of its input.
    fn clear(&mut self) -> u64;
    /// What waits here, in words, for the report of a stall.
    fn waiting(&self) -> Option<String>;
    /// Items that the serial operator at its end was given, made, and dropped, if it has one.
    fn serial_counts(&self) -> Option<[u64; 3]>;
}

/// A stage that a source with credits feeds.
pub(crate) trait BatchStage: Stage {
    /// Works on the batch in a place.
    fn batch(&self, cx: &Cx<'_>, ticket: Ticket, place: u32);
}

/// A stage that a free source feeds.
pub(crate) trait NumbersStage: Stage {
    /// Works on adjacent batches, as long as there is a next one.
    fn batches(&self, cx: &Cx<'_>, numbers: &mut Numbers<'_>);
}

/// A stage that other stages feed.
pub(crate) trait PacketStage: Stage {
    /// Works on a packet.
    fn packet(&self, cx: &Cx<'_>, packet: RawPacket);
    /// Drops a packet, and gives the number of its items.
    fn discard(&self, packet: RawPacket) -> u64;
}

/// What a stage reads.
pub(crate) enum Reads<'env> {
    /// The batches of a source of the run, by number: the source owns the inside of the stage.
    Source(usize),
    /// The packets that other stages send.
    Packets(Box<dyn PacketStage + 'env>),
}

/// A job that a stage queues for itself, as the stage knows it. [`Infallible`]: it queues none.
pub(crate) trait OwnJob: Sized {
    fn into_word(self) -> u64;

    /// None if there can be no such job.
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

/// Some of the jobs by which a stage ends, by number ([`Cx::end_in_parts`]).
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

/// Where jobs enter a stage.
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
    /// Items it is given.
    pub(crate) given: usize,
    /// Items it hands on; a sink none.
    pub(crate) out: Option<usize>,
}

/// A stage with what all stages have; see the module.
pub(crate) struct StageCell<'env> {
    pub(super) fire: Port,
    pub(super) own: Port,
    pub(crate) index: usize,
    pub(in crate::run) reads: Reads<'env>,
    /// The operators, by number, and their counts.
    pub(crate) ops: Vec<(usize, Columns)>,
    pub(crate) sequence: usize,
    pub(crate) outputs: Vec<usize>,
    pub(crate) inputs: Vec<usize>,
    /// Holds packets until data that the stage reads is there; a source begins then.
    pub(crate) gate: Option<Gate<RawPacket>>,
    /// Packets that are held give up their credit.
    pub(crate) spooled: bool,
    /// The node of the task graph that stands for its end.
    pub(crate) end_node: Option<u32>,
    pub(crate) countdown: Countdown,
    pub(crate) ledger: Mutex<Ledger>,
    /// Outputs that still want items.
    pub(super) open: AtomicU32,
    /// The stage wants no more items, or nobody wants what it makes.
    pub(super) closed: AtomicBool,
    pub(super) width: usize,
    /// One row per seat: which run it is of, the number of batches, sampled nanoseconds per operator, and counts of the running
    /// piece (`width`).
    pub(super) rows: Box<[AtomicU64]>,
    /// Runs so far: a row of an earlier one counts for nothing, so that no run begins with a walk over all seats.
    pub(super) runs: u64,
    /// Words from one row to the next.
    pub(super) stride: usize,
}

/// Words between the rows of two seats: they share no cache line, and no pair of lines.
const APART: usize = 16;

/// What the plan says about a stage.
pub(crate) struct StageParts<'env> {
    pub(crate) reads: Reads<'env>,
    pub(crate) ops: Vec<(usize, Columns)>,
    pub(crate) sequence: usize,
    pub(crate) outputs: Vec<usize>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) gated: bool,
    pub(crate) spooled: bool,
    pub(crate) end_node: Option<u32>,
}

impl<'env> StageCell<'env> {
    pub(crate) fn new(index: usize, parts: StageParts<'env>, capacity: Capacity) -> Self {
        let width =
            parts.ops.iter().map(|(_, columns)| columns.given.max(columns.out.unwrap_or(0)) + 1).max().unwrap_or(1);
        let stride = 2 + parts.ops.len() + width + APART;
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        let mut reads = parts.reads;
        if let Reads::Packets(body) = &mut reads {
            body.prepare(capacity);
        }
        Self {
            fire: Port::new(fire),
            own: Port::new(own),
            index,
            reads,
            sequence: parts.sequence,
            outputs: parts.outputs,
            inputs: parts.inputs,
            gate: parts.gated.then(Gate::new),
            spooled: parts.spooled,
            end_node: parts.end_node,
            countdown: Countdown::new(),
            ledger: Mutex::new(Ledger::new(width, capacity.credits.min(64))),
            open: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            width,
            rows: zeros(capacity.seats * stride),
            runs: 0,
            stride,
            ops: parts.ops,
        }
    }

    /// Lets jobs find the stage; it does not move from now on.
    pub(crate) fn link(&mut self, run: *const Run<'env>, group: NonNull<Group>) {
        for port in [&mut self.fire, &mut self.own] {
            port.run = run.cast();
            port.stage = self.index;
            port.target.group = Some(group);
        }
    }

    pub(crate) fn fire_job(&self, payload: u64) -> Job {
        self.fire.job(payload)
    }

    /// The jobs that fire it, as a span knows them.
    pub(in crate::run) fn jobs<'a>(&'a self, pace: &'a AtomicU64) -> Of<'a> {
        let group = self.fire.target.group.expect("linked");
        Of { jobs: NonNull::from(&self.fire).cast(), group, pace }
    }

    /// The source that it reads, if it reads one.
    pub(in crate::run) fn source(&self) -> Option<usize> {
        if let Reads::Source(source) = self.reads { Some(source) } else { None }
    }

    pub(crate) fn reset(&mut self) {
        self.countdown.restart();
        self.ledger.get_mut().reset();
        self.runs += 1;
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

    /// Drops what a failed run has left; a source has dropped its own items before, so many.
    pub(crate) fn clear(&mut self, of_source: u64) {
        let mut dropped = of_source;
        if let Reads::Packets(body) = &mut self.reads {
            let held = self.gate.as_mut().map(Gate::reset).into_iter().flatten();
            dropped += held.map(|packet| body.discard(packet)).sum::<u64>() + body.clear();
        }
        self.ledger.get_mut().dropped += dropped;
    }

    /// Sampled time of the operator at `position`, all seats together.
    pub(crate) fn sampled(&self, position: usize) -> u64 {
        let rows = self.rows.chunks(self.stride).filter(|row| row[0].load(Ordering::Relaxed) == self.runs);
        rows.map(|row| row[2 + position].load(Ordering::Relaxed)).sum()
    }
}

/// What a port does.
type Entry = for<'a> fn(&Cx<'a>, u64);

#[expect(unsafe_code, reason = "jobs reach a stage by pointer")]
unsafe fn enter(target: NonNull<Target>, payload: u64, worker: &Worker<'_>, entry: Entry) {
    // SAFETY: the target is the first field of a port; the job's token keeps the run, and so the port, alive.
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
#[expect(unsafe_code, reason = "jobs reach a stage by pointer")]
unsafe fn own(target: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
    // SAFETY: passed on.
    unsafe { enter(target, payload, worker, |cx, payload| cx.own(payload)) }
}
