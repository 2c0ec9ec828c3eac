//! A stage: a maximal chain of fused operators, the unit that is scheduled.
//!
//! The typed inside (pipe and tail) is built by the graph and reached through [`Stage`]; the [`StageCell`] around it is
//! the same for all: ports through which jobs enter, counts, the gate that holds it until data it reads is there.
//!
//! # Life of a piece
//! A source issues a batch, or another stage sends a packet. [`Stage::fire`] drives its items through the operators. Its
//! tail then sends the result on, or absorbs it; at a serial operator it first waits for its turn, which may make it a
//! job of its own ([`Stage::turn`]). When a piece is done here it *retires*: the stage's countdown has one arrival more.
//! When the last one has retired, the stage ends.

use std::ops::Range;
use std::ptr::NonNull;
use std::time::Duration;

use super::Run;
use super::batch::BatchSize;
use super::cancel::{Carried, Failure, Fault, Item, Site};
use super::frame::Frame;
use super::ledger::Ledger;
use super::order::{Key, Origin, Sequence, Ticket};
use super::source::{MemoryRange, Numbers};
use crate::pool::job::{Group, Job, Target, halves, word};
use crate::pool::span::Of;
use crate::pool::worker::Worker;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::countdown::Countdown;
use crate::sync::gate::Gate;

/// What is in a batch that a source was asked for.
#[derive(Debug)]
pub(crate) enum Pull {
    /// Items, and perhaps more after them.
    Loaded(u64),
    /// Items, the last ones.
    Last(u64),
    /// The source has ended before.
    Nothing,
}

/// How many batches a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// It will be seen.
    Unknown,
    /// So many, each known by its number alone.
    Batches(u64),
}

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

/// The items of a piece, where the stage's head finds them: in a place of the source, or in a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel {
    pub(crate) ticket: Ticket,
    pub(crate) load: u64,
}

impl Parcel {
    /// A batch of a source that needs no credits.
    pub(crate) fn of_source(number: u64) -> Self {
        Self { ticket: Ticket::whole(number, Origin::NONE), load: 0 }
    }
}

/// The typed inside of a stage.
pub(crate) trait Stage: Send + Sync {
    /// Works on a piece.
    fn fire(&self, cx: &Cx<'_>, parcel: Parcel);
    /// Works on adjacent batches of a source that needs no credits.
    fn fire_all(&self, _cx: &Cx<'_>, _numbers: &mut Numbers<'_>) {
        unreachable!("only a source has numbers");
    }
    /// Drops the items of such batches, and says how many.
    fn discard_all(&self, _numbers: &Range<u64>) -> u64 {
        unreachable!("only a source has numbers");
    }
    /// What ticket a packet has that was sent here.
    fn ticket(&self, load: u64) -> Ticket;
    /// Goes on with a piece whose turn has come.
    fn turn(&self, _cx: &Cx<'_>, _load: u64) {
        unreachable!("only a serial stage has turns");
    }
    /// One of the jobs by which the stage ends.
    fn part(&self, _cx: &Cx<'_>, _index: u32) {
        unreachable!("this stage ends at once");
    }
    /// A source's first act. If it fails, its first batch does.
    fn begin(&self) -> Extent {
        unreachable!("only a source begins");
    }
    /// Loads the batch `number` of about `size` items into `place`.
    fn pull(&self, _place: u32, _number: u64, _size: usize) -> Pull {
        unreachable!("only a source is pulled");
    }
    /// The memory that its source reads, in order, as far as that is known.
    fn memory(&self) -> Vec<MemoryRange> {
        Vec::new()
    }
    /// The last piece has retired.
    fn end(&self, cx: &Cx<'_>) -> Ended;
    /// Makes room for so many batches in flight and seats, batches of the given size; called once.
    fn prepare(&mut self, capacity: Capacity);
    /// Whether it can run again.
    fn is_ready(&self) -> bool {
        true
    }
    /// Makes it new for the next run.
    fn reset(&mut self);
    /// Drops what a failed run left, and says how many items of its input.
    fn clear(&mut self) -> u64;
    /// Drops a packet, and gives the number of its items.
    fn discard(&self, load: u64) -> u64;
    /// Takes a packet's origin away: what is kept on purpose holds no credit.
    fn spool(&self, _load: u64) -> Origin {
        Origin::NONE
    }
    /// What waits here, in words, for the report of a stall.
    fn waiting(&self) -> Option<String>;
    /// Items that the serial operator at its end was given, made, and dropped, if it has one.
    fn serial_counts(&self) -> Option<[u64; 3]> {
        None
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
    fire: Port,
    turn: Port,
    part: Port,
    pub(crate) index: usize,
    pub(crate) body: Box<dyn Stage + 'env>,
    /// The operators, by number, and their counts.
    pub(crate) ops: Vec<(usize, Columns)>,
    pub(crate) sequence: usize,
    pub(crate) source: Option<usize>,
    pub(crate) outputs: Vec<usize>,
    pub(crate) inputs: Vec<usize>,
    /// Holds pieces until data that the stage reads is there.
    pub(crate) gate: Option<Gate<u64>>,
    /// Pieces held give up their credit.
    pub(crate) spooled: bool,
    /// The node of the task graph that stands for its end.
    pub(crate) end_node: Option<u32>,
    pub(crate) countdown: Countdown,
    pub(crate) ledger: Mutex<Ledger>,
    /// Outputs that still want items.
    open: AtomicU32,
    /// The stage wants no more items, or nobody wants what it makes.
    closed: AtomicBool,
    width: usize,
    /// One row per seat: which run it is of, the number of batches, sampled nanoseconds per operator, and counts of the running
    /// piece (`width`).
    rows: Box<[AtomicU64]>,
    /// Runs so far: a row of an earlier one counts for nothing, so that no run begins with a walk over all seats.
    runs: u64,
    /// Words from one row to the next.
    stride: usize,
}

/// Words between the rows of two seats: they share no cache line, and no pair of lines.
const APART: usize = 16;

/// What the plan says about a stage.
pub(crate) struct StageParts<'env> {
    pub(crate) body: Box<dyn Stage + 'env>,
    pub(crate) ops: Vec<(usize, Columns)>,
    pub(crate) sequence: usize,
    pub(crate) source: Option<usize>,
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
        let mut body = parts.body;
        body.prepare(capacity);
        Self {
            fire: Port::new(fire),
            turn: Port::new(turn),
            part: Port::new(part),
            index,
            body,
            sequence: parts.sequence,
            source: parts.source,
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
        for port in [&mut self.fire, &mut self.turn, &mut self.part] {
            port.run = run.cast();
            port.stage = self.index;
            port.target.group = Some(group);
        }
    }

    pub(crate) fn fire_job(&self, payload: u64) -> Job {
        self.fire.job(payload)
    }

    /// The jobs that fire it, as a span knows them.
    pub(super) fn jobs<'a>(&'a self, pace: &'a AtomicU64) -> Of<'a> {
        let group = self.fire.target.group.expect("linked");
        Of { jobs: NonNull::from(&self.fire).cast(), group, pace }
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
        self.body.reset();
    }

    /// Drops what a failed run has left.
    pub(crate) fn clear(&mut self) {
        let held = self.gate.as_mut().map(Gate::reset);
        let held: u64 = held.into_iter().flatten().map(|load| self.body.discard(load)).sum();
        self.ledger.get_mut().dropped += held + self.body.clear();
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
unsafe fn turn(target: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
    // SAFETY: passed on.
    unsafe { enter(target, payload, worker, |cx, payload| cx.turn(payload)) }
}
#[expect(unsafe_code, reason = "jobs reach a stage by pointer")]
unsafe fn part(target: NonNull<Target>, payload: u64, worker: &Worker<'_>) {
    // SAFETY: passed on.
    unsafe { enter(target, payload, worker, |cx, range| cx.parts(range)) }
}

/// Where and for whom a stage works now.
#[derive(Clone, Copy)]
pub(crate) struct Cx<'a> {
    pub(crate) worker: &'a Worker<'a>,
    pub(crate) run: &'a Run<'static>,
    pub(crate) stage: &'a StageCell<'a>,
}

impl<'a> Cx<'a> {
    /// The same for another stage.
    pub(crate) fn at(&self, stage: usize) -> Cx<'a> {
        Cx { stage: &self.run.stages[stage], ..*self }
    }

    pub(crate) fn sequence(&self) -> &'a Sequence {
        &self.run.sequences[self.stage.sequence]
    }

    /// A job of this stage: some of a source's batches, or a packet.
    fn fire(&self, payload: u64) {
        if let Some(source) = self.stage.source {
            return self.run.sources[source].fire(self, payload);
        }
        if self.stage.spooled {
            // Held or not: so that what the source may issue does not depend on who came first.
            self.release(self.stage.body.spool(payload));
        }
        let load = match &self.stage.gate {
            Some(gate) => gate.pass(payload),
            None => Some(payload),
        };
        if let Some(load) = load {
            self.worker.before_long_job();
            self.stage.body.fire(self, Parcel { ticket: self.stage.body.ticket(load), load });
        }
    }

    /// A piece whose turn has come.
    fn turn(&self, payload: u64) {
        self.worker.before_long_job();
        self.stage.body.turn(self, payload);
    }

    /// The data that the stage reads is there.
    pub(crate) fn open(&self) {
        let held = self.stage.gate.as_ref().map(Gate::open);
        if let Some(source) = self.stage.source {
            return self.run.sources[source].start(self.worker);
        }
        for load in held.into_iter().flatten() {
            self.worker.push(self.stage.fire_job(load));
        }
    }

    /// Jobs `index` to `index + count` by which the stage ends, split so that others can take some.
    fn parts(&self, range: u64) {
        let (mut first, mut end) = halves(range);
        while end - first > 1 {
            let middle = first + (end - first) / 2;
            self.worker.push(self.stage.part.job(word(middle, end)));
            end = middle;
        }
        first = first.min(end);
        self.worker.before_long_job();
        self.stage.body.part(self, first);
    }

    /// Makes `count` jobs by which the stage ends.
    pub(crate) fn end_in_parts(&self, count: u32) {
        self.worker.push(self.stage.part.job(word(0, count)));
    }

    /// Queues a piece whose turn has come.
    pub(crate) fn push_turn(&self, load: u64) {
        self.worker.push(self.stage.turn.job(load));
    }

    /// Sends a packet on: the worker goes on with it itself if it has nothing else to go on with, and `follow` is said.
    pub(crate) fn send(&self, output: usize, ticket: &Ticket, load: u64, follow: bool) {
        let to = &self.run.stages[self.stage.outputs[output]];
        if !ticket.last {
            to.countdown.expect_more(1);
        }
        if follow {
            self.worker.continue_with(to.fire_job(load));
        } else {
            self.worker.push(to.fire_job(load));
        }
    }

    /// Whether pieces at this place are still wanted.
    pub(crate) fn wants(&self, ticket: &Ticket) -> bool {
        self.sequence().wants(ticket.key())
    }

    /// One more piece of this origin is live.
    pub(crate) fn share(&self, origin: Origin) {
        if let Some((source, place)) = origin.get() {
            self.run.sources[source].share(place);
        }
    }

    /// A piece of this origin has ended.
    pub(crate) fn release(&self, origin: Origin) {
        if let Some((source, place)) = origin.get() {
            self.run.sources[source].release(place, self.worker);
        }
    }

    /// A piece has gone through this stage and ended here.
    pub(crate) fn retire(&self, ticket: &Ticket) {
        self.release(ticket.origin);
        self.arrive();
    }

    /// A piece has gone through this stage, and further.
    pub(crate) fn arrive(&self) {
        self.arrive_all(1);
    }

    /// So many pieces have gone through this stage.
    pub(crate) fn arrive_all(&self, count: u64) {
        if count > 0 && self.stage.countdown.arrive(count) {
            self.end();
        }
    }

    /// All pieces have gone through this stage.
    pub(crate) fn end(&self) {
        if self.sequence().is_whole() && self.stage.body.end(self) == Ended::Now {
            self.ended();
        }
    }

    /// The stage has ended.
    pub(crate) fn ended(&self) {
        self.run.stage_ended();
        if let Some(node) = self.stage.end_node {
            self.run.dag.finish(node, self.run, self.worker);
        }
    }

    /// The stage wants no more items, or nobody wants what it makes: what comes is dropped, and sources that feed nobody
    /// else stop.
    pub(crate) fn close(&self) {
        // Relaxed: only how much is still issued depends on it. Its inputs are told once, whatever the reasons.
        if self.stage.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(source) = self.stage.source {
            self.run.sources[source].stop(self.worker);
        }
        for &input in &self.stage.inputs {
            // Relaxed: only how much is still issued depends on it.
            if self.run.stages[input].open.fetch_sub(1, Ordering::Relaxed) == 1 {
                self.at(input).close();
            }
        }
    }

    /// A fault of an operator of this stage on a piece, as a failure that can travel.
    pub(crate) fn failure(&self, ticket: &Ticket, fault: Fault) -> Carried {
        let (op, columns) = self.stage.ops[fault.op];
        let item = Item { stage: self.stage.index, index: fault.index, before: ticket.key(), column: columns.given };
        Failure::new(op, self.sequence().ordered.then_some(item), fault.cause)
    }

    /// A failure counts, at the place of this piece in the order of this stage's input.
    pub(crate) fn fail(&self, ticket: &Ticket, failure: Carried) {
        let site = Site::Stream { sequence: self.stage.sequence, at: ticket.key(), op: failure.op };
        self.run.fail(site, failure);
    }

    /// Counts items of this stage's input that nobody worked on.
    pub(crate) fn drop_items(&self, count: u64) {
        self.stage.ledger.lock().dropped += count;
    }

    /// A new frame for a piece, or for several.
    pub(crate) fn frame(&self) -> Frame<'a> {
        let (seat, stage) = (self.worker.seat.index, self.stage);
        let row = &stage.rows[seat * stage.stride..][..stage.stride];
        let (samples, columns) = row.split_at(2 + stage.ops.len());
        // Relaxed: this seat's own row.
        if row[0].load(Ordering::Relaxed) != stage.runs {
            samples.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            row[0].store(stage.runs, Ordering::Relaxed);
        }
        Frame::new(&columns[..stage.width], &samples[1..])
    }

    /// Enters the frame of a piece into the books; `broken`: it broke off, and so many items were to come.
    pub(crate) fn record(&self, ticket: &Ticket, frame: &Frame<'_>, time: Duration, broken: Option<u64>) {
        self.record_all(&(ticket.key()..ticket.end()), 1, frame, time, broken);
    }

    /// Enters the frame of so many adjacent batches into the books, as those of one piece.
    pub(crate) fn record_all(
        &self,
        place: &Range<Key>,
        batches: u64,
        frame: &Frame<'_>,
        time: Duration,
        broken: Option<u64>,
    ) {
        frame.driven(batches);
        let mut ledger = self.stage.ledger.lock();
        ledger.batches += batches;
        ledger.nanos += u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(came) = broken {
            ledger.dropped += came.saturating_sub(frame.count(0));
            ledger.add_broken(frame.counts());
        } else {
            ledger.add(place.start, place.end, frame.counts());
        }
    }

    /// Adds time spent on a piece after it was entered.
    pub(crate) fn record_time(&self, time: Duration) {
        self.stage.ledger.lock().nanos += u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    }
}
