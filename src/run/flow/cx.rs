//! The context of a stage at work: the worker, the run, and the stage's own cell.
//!
//! A worker makes a [`Cx`] for each job of a stage. The engine, the operators and the sources do through it all that a
//! stage may ask of the run: send packets, retire pieces, give credits back, fail, close, end, and count.

use std::ops::Range;
use std::time::Duration;

use super::frame::Frame;
use super::ledger::Row;
use super::order::{Key, Origin, Sequence, Ticket};
use super::packet::{Packet, RawPacket};
use super::stage::{Columns, EndJobs, Ended, OwnJob, Reads, Stage, StageCell};
use crate::pool::work::worker::Worker;
use crate::run::Run;
use crate::run::cancel::{Carried, FailedItem, Failure, Fault, Site};
use crate::run::outside::errand::Errand;
use crate::run::outside::wake::Wake;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::gate::Gate;
use crate::sync::sequencer::Turn;
use crate::sync::{Arrival, Call, Kind, explores, goes_on, keep_call, will_call};

/// Where every order is tried, the job of a packet that is past the gate has this bit.
const PASSED: u64 = 1;

/// The context in which a stage works on a job; see the module documentation.
#[derive(Clone, Copy)]
pub(crate) struct Cx<'a> {
    pub(crate) worker: &'a Worker<'a>,
    pub(crate) run: &'a Run<'static>,
    pub(crate) stage: &'a StageCell<'a>,
}

impl<'a> Cx<'a> {
    /// The same context for another stage of the run.
    pub(crate) fn at(&self, stage: usize) -> Cx<'a> {
        Cx { stage: &self.run.stages[stage], ..*self }
    }

    pub(crate) fn sequence(&self) -> &'a Sequence {
        &self.run.sequences[self.stage.sequence]
    }

    /// What the stage does with the piece of this ticket, in words.
    pub(crate) fn says(&self, what: &str, ticket: &Ticket) -> String {
        let name = |op: &(usize, Columns)| format!("'{}'", self.run.names.get(op.0));
        let (first, last) = (self.stage.ops.first().map(name), self.stage.ops.last().map(name));
        let ops = match (first, last) {
            (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
            (first, _) => first.unwrap_or_default(),
        };
        let Turn { number, part } = ticket.turn();
        if part > 0 {
            format!("{what}{ops}, batch {number}, part {part}")
        } else {
            format!("{what}{ops}, batch {number}")
        }
    }

    /// What the stage does with the piece of this ticket.
    #[inline]
    pub(crate) fn call(&self, kind: Kind, ticket: &Ticket) -> Call {
        let Turn { number, part } = ticket.turn();
        Call::of_stage(kind, self.stage.index, number, part)
    }

    /// The typed part of the stage.
    fn body(&self) -> &'a dyn Stage {
        self.run.body(self.stage.index)
    }

    /// Runs a job of this stage: some of a source's batches, or a packet.
    pub(super) fn fire(&self, payload: u64) {
        let body = match &self.stage.reads {
            Reads::Source(source) => return self.run.sources[*source].fire(self, payload),
            Reads::Packets(body) => body,
        };
        #[expect(unsafe_code, reason = "packets travel as payloads of jobs")]
        // SAFETY: (1) `send`, `open` and this alone queue jobs to a stage that reads packets; (2) a job runs once.
        let mut packet = unsafe { RawPacket::from_word(payload & !PASSED) };
        let name = |packet: &RawPacket| packet.ticket().turn().as_word();
        if let (true, Some(gate)) = (payload & PASSED != 0, &self.stage.gate) {
            gate.join(name(&packet));
            return body.packet(self, packet);
        }
        if self.stage.spooled {
            // Whether the packet is held or not: so what the source may issue does not depend on which comes first, the
            // packet or the data.
            self.release(packet.take_origin());
        }
        let packet = match &self.stage.gate {
            Some(gate) => match gate.pass(packet, name) {
                Some(packet) if explores() => {
                    let job = self.stage.fire_job(packet.into_word() | PASSED);
                    return self.worker.push(job); // a job of its own where any order is tried
                }
                passed => passed,
            },
            None => Some(packet),
        };
        if let Some(packet) = packet {
            self.worker.publish_before_long_job();
            body.packet(self, packet);
        }
    }

    /// Runs a job that the stage has queued for itself.
    pub(super) fn own(&self, word: u64) {
        self.worker.publish_before_long_job();
        self.body().own(self, word);
    }

    /// Queues a job for the stage itself; [`Stage::own`] runs it.
    pub(crate) fn push_own(&self, job: impl OwnJob) {
        self.worker.push(self.stage.own.job(job.into_word()));
    }

    /// As [`push_own`](Self::push_own), but behind all else that this worker has queued.
    pub(crate) fn push_own_last(&self, job: impl OwnJob) {
        self.worker.push_last_home(self.stage.own.job(job.into_word()), None);
    }

    /// A job for the stage itself, which somebody outside queues. Its token is taken already.
    pub(crate) fn errand(&self, job: impl OwnJob) -> Errand {
        Errand::new(&self.run.pool, self.stage.own.job(job.into_word()))
    }

    /// What queues a job for the stage itself, from any thread, once it sleeps at the bell of it.
    pub(crate) fn wake(&self, job: impl OwnJob) -> Wake {
        Wake::new(&self.run.pool, self.stage.own.job(job.into_word()))
    }

    /// Opens the gate of the stage, because the data that it reads is there. Called once in a run.
    pub(crate) fn open(&self) {
        let held = self.stage.gate.as_ref().map(Gate::open);
        if let Reads::Source(source) = self.stage.reads {
            return self.run.sources[source].start(self.worker);
        }
        for packet in held.into_iter().flatten() {
            let passed = if explores() { PASSED } else { 0 };
            self.stage.gate.as_ref().inspect(|gate| gate.say_about(packet.ticket().turn().as_word()));
            self.worker.push(self.stage.fire_job(packet.into_word() | passed));
        }
    }

    /// Queues `count` jobs by which the stage ends, as jobs for the stage itself. Each asks
    /// [`share_end`](Self::share_end) for its number.
    pub(crate) fn end_in_parts(&self, count: u32) {
        self.push_own(EndJobs(0..count));
    }

    /// The number of the job that the caller is to do, out of a range of jobs by which the stage ends. The others are
    /// queued, so that other workers can take some.
    pub(crate) fn share_end(&self, jobs: EndJobs) -> u32 {
        let Range { start, mut end } = jobs.0;
        while end - start > 1 {
            let middle = start + (end - start) / 2;
            self.push_own(EndJobs(middle..end));
            end = middle;
        }
        self.worker.publish_before_long_job();
        start
    }

    /// Sends a packet to the stage behind the output `output`. With `follow`, this worker goes on with the packet
    /// itself if it has nothing else to go on with.
    pub(crate) fn send<T>(&self, output: usize, packet: Box<Packet<T>>, follow: bool) {
        let to = &self.run.stages[self.stage.outputs[output]];
        if !packet.ticket.last && to.sequence != self.stage.sequence {
            self.expect_part(output); // it is a part already, and new in that sequence
        }
        will_call(|| self.at(self.stage.outputs[output]).call(Kind::Batch, &packet.ticket));
        let job = to.fire_job(packet.into_raw().into_word());
        if follow {
            self.worker.continue_with(job);
        } else {
            self.worker.push(job);
        }
    }

    /// Announces one more piece to the stage behind the output `output`, and to all stages behind it in the same order,
    /// because a piece goes on in parts.
    ///
    /// The parts may overtake each other from there on. If each stage announced them to the next one only, the last part
    /// might come to a stage before it has heard of the others, and end it.
    pub(crate) fn expect_part(&self, output: usize) {
        self.run.expect_part(self.stage.outputs[output]);
    }

    /// Whether a piece at the place of `ticket` is still wanted.
    pub(crate) fn wants(&self, ticket: &Ticket) -> bool {
        self.sequence().wants(ticket.key())
    }

    /// Whether it is worth while to wait for somebody outside, so that a piece at the place of `ticket` can go on. A cancel
    /// wants the first piece of all to go on, as a failure there would; but it waits for nobody.
    pub(crate) fn awaits(&self, ticket: &Ticket) -> bool {
        // With the cuts: who drops a piece must have seen one, or the source would hear that the piece was done.
        self.wants(ticket) && !(self.run.ending_with_cuts() && self.run.is_cancelled())
    }

    /// Wakes the source of the stage that this one feeds.
    pub(crate) fn wake_source_behind(&self) {
        let behind = &self.run.stages[self.stage.outputs[0]];
        self.run.sources[behind.source().expect("it has one")].ring(self.worker);
    }

    /// Whether what comes to the stage behind this one gives up its credit.
    pub(crate) fn is_spooled_behind(&self) -> bool {
        self.run.stages[self.stage.outputs[0]].spooled
    }

    /// Counts one more live piece of this origin.
    pub(crate) fn share(&self, origin: Origin) {
        if let Some((source, place)) = origin.get() {
            self.run.sources[source].share(place);
        }
    }

    /// Notes that a piece of this origin has ended. The last one gives the credit back.
    pub(crate) fn release(&self, origin: Origin) {
        if let Some((source, place)) = origin.get() {
            self.run.sources[source].release(place, self.worker);
        }
    }

    /// Notes that a piece has gone through this stage and ended here.
    pub(crate) fn retire(&self, ticket: &Ticket) {
        self.release(ticket.origin);
        self.arrive();
    }

    /// Notes that a piece has gone through this stage, and that its credit went on with it or was given back.
    pub(crate) fn arrive(&self) {
        self.arrive_all(1);
    }

    /// Notes that `count` pieces have gone through this stage. The last one of all ends the stage.
    pub(crate) fn arrive_all(&self, count: u64) {
        if count > 0 && self.stage.countdown.arrive(count) == Arrival::Last {
            self.all_arrived();
        }
    }

    /// Ends the stage: at once, or by a job of its own where any order is tried.
    pub(crate) fn all_arrived(&self) {
        #[cfg(feature = "check")]
        if explores() {
            return self.worker.push(self.stage.end.job(0));
        }
        self.end();
    }

    /// Runs that job.
    #[cfg(feature = "check")]
    pub(super) fn end_alone(&self) {
        self.stage.countdown.join();
        self.end();
    }

    /// Ends the stage, because all pieces have gone through it. If a failure has cut its sequence, it does not end.
    pub(crate) fn end(&self) {
        let _call = keep_call();
        goes_on(Call::ANY); // where schedules are explored it is a job of its own
        if self.sequence().is_whole() && self.body().end(self) == Ended::Now {
            self.ended();
        }
    }

    /// Notes that the stage has ended, and finishes its node of the task graph.
    pub(crate) fn ended(&self) {
        self.run.stage_ended();
        if let Some(joint) = self.stage.end_joint {
            self.run.dag.finish(joint, self.run, self.worker);
        }
    }

    /// Notes that the stage wants no more items, or that no output wants what it makes. Sources that feed no other
    /// stage stop issuing batches.
    pub(crate) fn close(&self) {
        // Relaxed: if this is seen late, some batches are issued in vain. The swap makes sure that the inputs are told
        // once, however many reasons there are.
        if self.stage.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        self.body().unwanted();
        if let Some(source) = self.stage.source() {
            self.run.sources[source].stop(self.worker);
        }
        for &input in &self.stage.inputs {
            // Relaxed: as above.
            if self.run.stages[input].open.fetch_sub(1, Ordering::Relaxed) == 1 {
                self.at(input).close();
            }
        }
    }

    /// Whether nobody wants any more of what the stage makes.
    pub(crate) fn is_closed(&self) -> bool {
        self.stage.closed.load(Ordering::Relaxed) // whoever closes it rings for those who wait
    }

    /// Makes a failure that can travel out of the fault of an operator of this stage on a piece.
    pub(crate) fn failure(&self, ticket: &Ticket, fault: Fault) -> Carried {
        let (op, columns) = self.stage.ops[fault.op];
        let item =
            FailedItem { stage: self.stage.index, index: fault.index, before: ticket.key(), column: columns.given };
        Failure::new(op, self.sequence().ordered.then_some(item), fault.cause)
    }

    /// Lets a failure count, at the place of `ticket` in the order of this stage's input.
    pub(crate) fn fail(&self, ticket: &Ticket, failure: Carried) {
        self.fail_on(ticket, u64::MAX, failure);
    }

    /// The same, for an operator that takes several items of a piece at once: it has failed on the item `nth` of the
    /// piece. Of several such failures the one on the earliest item counts.
    pub(crate) fn fail_on(&self, ticket: &Ticket, nth: u64, failure: Carried) {
        let site = Site::Stream { sequence: self.stage.sequence, at: ticket.key(), op: failure.op, nth };
        self.run.fail(site, failure);
    }

    /// What this worker's seat enters into the ledger.
    fn row(&self) -> Row<'a> {
        self.stage.ledger.row(self.worker.seat.index)
    }

    /// Counts items of this stage's input that were dropped unseen.
    pub(crate) fn drop_items(&self, count: u64) {
        self.row().add_dropped(count);
    }

    /// Counts items in a column of this stage for the report. Unlike a frame's they do not tell how many came before a failure.
    pub(crate) fn count(&self, column: usize, items: usize) {
        self.row().add_count(column, items as u64);
    }

    /// Opens a frame for a piece, or for several adjacent batches, on the row of this worker's seat.
    pub(crate) fn frame(&self) -> Frame<'a> {
        Frame::new(self.row())
    }

    /// Enters the frame of a piece into the ledger. If the piece broke off, `broken` is the number of items that it
    /// held.
    pub(crate) fn record(&self, ticket: &Ticket, frame: &Frame<'_>, time: Duration, broken: Option<u64>) {
        self.record_all(&(ticket.key()..ticket.end()), 1, frame, time, broken);
        self.took(ticket, time);
    }

    /// A piece took so long in one stage, or to get through to where its items are worked on.
    pub(crate) fn took(&self, ticket: &Ticket, time: Duration) {
        if let Some((source, place)) = ticket.origin.get() {
            self.run.sources[source].took(place, time);
        }
    }

    /// Enters the frame of `batches` adjacent batches into the ledger, as one piece.
    pub(crate) fn record_all(
        &self,
        place: &Range<Key>,
        batches: u64,
        frame: &Frame<'_>,
        time: Duration,
        broken: Option<u64>,
    ) {
        frame.driven(batches);
        frame.row.add_time(time);
        if let Some(came) = broken {
            frame.row.add_dropped(came.saturating_sub(frame.count(0)));
            frame.row.add_broken(frame);
        } else {
            let put = |place: &Range<Key>, counts: &[AtomicU64]| {
                self.run.islands.put(self.worker.seat.index, self.stage.index, place, counts);
            };
            frame.row.add(place, frame, put);
        }
    }

    /// Adds time that was spent on a piece after its frame was entered.
    pub(crate) fn record_time(&self, ticket: &Ticket, time: Duration) {
        self.row().add_time(time);
        self.took(ticket, time);
    }
}
