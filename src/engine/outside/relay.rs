//! The sink that sends items to an input of another graph, and has no worker wait for room there.
//!
//! Pieces enter in stream order, one at a time, and their items go into the inbox of the other graph. If that is full, the
//! piece stays here, with its turn and its credit: so the other graph holds the source up. A unit of the run is outside
//! meanwhile ([`crate::sync::quiescence`]), for a job that goes on with the piece. Who makes room in the inbox queues that
//! job, as it would wake a thread that waits there.
//!
//! # Protocol
//! The race: somebody makes room before the relay has said that it waits. Then nobody would queue the job.
//! * relay: (R1) put in what there is room for. (R2) Leave the piece here, and then the job with its unit. (R3) Under the
//!   lock of the box, look for room once more, and if there is none say that it waits. If there is some, take the job
//!   back, and go on with R1.
//! * who makes room: (R4) under the lock of the box, make room, and take out who waits. (R5) Take the job, and queue it.
//!
//! R3 sees the room of R4, or R4 finds who waits. The job is taken once, under a lock: by R3, by R5, or by the end of the
//! run. From R2 on only who has it may touch the piece. If the run fails, what is wanted of the pieces here is put in
//! though there is no room: nobody outside is waited for, and the other graph gets exactly what comes before the failure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Wake, Waker};

use super::input::{Inbox, Letter, Overflow, Phase, SendError, Sender, Waits, drop_letter};
use crate::engine::drive::Drive;
use crate::engine::line::{Line, LineJob};
use crate::engine::tail::Tail;
use crate::run::cancel::{Carried, Cause, Fault, Index};
use crate::run::flow::cx::Cx;
use crate::run::flow::order::Ticket;
use crate::run::flow::packet::Packet;
use crate::run::flow::stage::{Capacity, TailKind};
use crate::run::outside::errand::Errand;
use crate::run::outside::waiter::Waiter;
use crate::sync::Mutex;
use crate::unwind;

/// The tail that fills an inbox; see the module.
pub(crate) struct Relay<T> {
    line: Line<T>,
    sender: Sender<T>,
    /// Its place among those that wait for room.
    place: u64,
    wait: Arc<Wait>,
    /// The piece that has the turn, while it waits.
    held: Mutex<Option<Held<T>>>,
}

/// A piece that has the turn.
struct Held<T> {
    /// The items that are to be put in.
    rest: VecDeque<T>,
    /// The packet without them.
    packet: Box<Packet<T>>,
}

/// What is woken when there is room.
#[derive(Default)]
struct Wait(Mutex<WaitState>);

#[derive(Default)]
struct WaitState {
    /// The job that goes on with the piece that waits. Its unit is outside.
    errand: Option<Errand>,
    /// The run fails or was cancelled.
    ends_early: bool,
}

impl Wait {
    /// Takes the job out. Who finds it must see to its unit.
    fn take(&self) -> Option<Errand> {
        self.0.lock().errand.take()
    }

    fn ends_early(&self) -> bool {
        self.0.lock().ends_early
    }
}

impl Wake for Wait {
    /// There is room. (R5)
    fn wake(self: Arc<Self>) {
        self.take().into_iter().for_each(Errand::go);
    }
}

impl<T> Relay<T> {
    pub(crate) fn new(sender: Sender<T>) -> Self {
        let place = sender.0.waits().id;
        Self { line: Line::new(), sender, place, wait: Arc::default(), held: Mutex::new(None) }
    }

    /// Begins with a packet whose turn it is.
    fn pass(&self, cx: &Cx<'_>, mut packet: Box<Packet<T>>) {
        let rest = VecDeque::from(std::mem::take(&mut packet.items));
        self.go_on(cx, Held { rest, packet });
    }

    /// Puts the items of the piece that has the turn into the box. If there is no room, leaves it to a job.
    fn go_on(&self, cx: &Cx<'_>, mut piece: Held<T>) {
        loop {
            let ticket = piece.packet.ticket;
            if !cx.awaits(&ticket) {
                self.drop_rest(piece);
                self.line.leave(cx, &ticket);
                return cx.release(ticket.origin);
            }
            let count = piece.rest.len();
            let posted = self.sender.0.post_all(&mut piece.rest, self.wait.ends_early()); // (R1)
            self.line.count(count - piece.rest.len(), 0);
            let refused = posted.err().map(|why| self.refusal(cx, &ticket, &why));
            if refused.is_some() || piece.rest.is_empty() {
                return self.finish(cx, piece, refused);
            }
            *self.held.lock() = Some(piece);
            let must_wait = self.leave_errand(cx); // (R2)
            if must_wait && self.sender.0.wait_for_room(self.place, &self.wait) {
                return; // (R3)
            }
            if must_wait && self.wait.take().is_none() {
                return; // who has it goes on
            }
            if must_wait {
                cx.run.take_back();
            }
            piece = self.take_held();
        }
    }

    /// Leaves the job that goes on with the piece outside, unless the run ends.
    fn leave_errand(&self, cx: &Cx<'_>) -> bool {
        let mut wait = self.wait.0.lock();
        if wait.ends_early {
            return false;
        }
        cx.run.put_outside();
        wait.errand = Some(cx.errand(LineJob::CameIn));
        true
    }

    fn take_held(&self) -> Held<T> {
        self.held.lock().take().expect("left there before the job")
    }

    /// All of a piece is in the box, or was refused: ends its turn.
    fn finish(&self, cx: &Cx<'_>, mut piece: Held<T>, refused: Option<Carried>) {
        let ticket = piece.packet.ticket;
        if let Some(failure) = refused.or(piece.packet.failure.take()) {
            cx.fail(&ticket, failure); // before the turn ends, so that no item behind it gets in
        }
        self.drop_rest(piece);
        self.line.leave(cx, &ticket);
        cx.retire(&ticket);
    }

    /// Drops what is left of a piece.
    fn drop_rest(&self, Held { mut rest, mut packet }: Held<T>) {
        self.line.count(0, rest.len() as u64);
        rest.drain(..).for_each(unwind::drop_value);
        packet.items = rest.into();
        self.line.edge.give(packet);
    }

    /// The failure on the first item that was not taken.
    fn refusal(&self, cx: &Cx<'_>, ticket: &Ticket, why: &SendError<()>) -> Carried {
        let [sent, _] = self.line.counts();
        let text = format!(
            "{}: it was sent {sent} items of this stream, and {} items wait in it",
            why.text(),
            self.sender.len()
        );
        let (index, cause) = (Index::Stream(sent), Cause::Error(text.into()));
        cx.failure(ticket, Fault { op: cx.stage.ops.len() - 1, index, cause })
    }
}

impl<T> Inbox<T> {
    /// Puts items into the box, the first ones first: as many as there is room for, or with `beyond` all of them. If the
    /// box is not to have senders wait, the items that it has no room for are dropped, as it says.
    fn post_all(&self, items: &mut VecDeque<T>, beyond: bool) -> Result<(), SendError<()>> {
        let mut state = self.state.lock();
        match state.phase {
            _ if items.is_empty() => return Ok(()),
            Phase::NotStarted => return Err(SendError::NotStarted(())),
            Phase::Ended => return Err(SendError::Ended(())),
            Phase::Open => {}
        }
        let capacity = self.options.capacity;
        let all = items.len();
        let fits = capacity.saturating_sub(state.letters.len()).min(all);
        let letter = |item| Letter { item, mark: None };
        let late: Vec<Letter<T>> = match self.options.overflow {
            Overflow::Block => {
                state.letters.extend(items.drain(..if beyond { all } else { fits }).map(letter));
                Vec::new()
            }
            Overflow::DropNewest => {
                state.letters.extend(items.drain(..fits).map(letter));
                items.drain(..).map(letter).collect()
            }
            Overflow::DropOldest => {
                state.letters.extend(items.drain(..).map(letter));
                let over = state.letters.len().saturating_sub(capacity);
                state.letters.drain(..over).collect()
            }
        };
        state.dropped += late.len() as u64;
        let is_new = items.len() < all && std::mem::take(&mut state.is_hungry);
        let wake = if is_new { state.wake.clone() } else { None };
        drop(state);
        if let Some(wake) = wake {
            wake.wake();
        }
        late.into_iter().for_each(drop_letter);
        Ok(())
    }

    /// Has `wait` woken when there is room, unless there is some now, or the run is over.
    fn wait_for_room(&self, place: u64, wait: &Arc<Wait>) -> bool {
        let waiter = Waiter::Task(Waker::from(Arc::clone(wait)));
        let mut state = self.state.lock();
        if state.phase != Phase::Open || state.letters.len() < self.options.capacity {
            return false;
        }
        let other = state.wait_at(place, waiter);
        drop(state);
        drop(other);
        true
    }
}

impl<T: Send> Tail<T> for Relay<T> {
    const KIND: TailKind = TailKind::Serial;
    const CALLS: bool = false;
    type Own = LineJob;

    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        if let Some(packet) = self.line.enter(cx, ticket, drive) {
            self.pass(cx, packet);
        }
    }

    fn own(&self, cx: &Cx<'_>, job: LineJob) {
        match job {
            LineJob::Pass(packet) => self.pass(cx, self.line.open(packet)),
            LineJob::CameIn => self.go_on(cx, self.take_held()),
        }
    }

    fn prepare(&mut self, capacity: Capacity) {
        self.line.prepare(capacity);
    }

    fn reset(&mut self) {
        self.line.reset();
        self.wait.0.lock().ends_early = false;
    }

    fn clear(&mut self) -> u64 {
        self.line.clear();
        0
    }

    fn end_early(&self) -> Option<LineJob> {
        let mut wait = self.wait.0.lock();
        wait.ends_early = true;
        wait.errand.take().map(|_| LineJob::CameIn)
    }

    fn waiting(&self) -> Option<String> {
        self.line.waiting()
    }

    fn serial_counts(&self) -> Option<[u64; 3]> {
        let [given, dropped] = self.line.counts();
        Some([given, 0, dropped])
    }
}

impl<T> Drop for Relay<T> {
    fn drop(&mut self) {
        drop(Waits { inbox: Arc::clone(&self.sender.0), id: self.place }); // a run that has failed may have left it there
    }
}
