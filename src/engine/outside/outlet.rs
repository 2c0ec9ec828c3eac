//! The sink that hands items to a receiver outside.
//!
//! Pieces enter in stream order, one at a time. Each is left in the *outbox* as it is, with the credit of its batch. The
//! credit goes back when the receiver takes the piece: so a slow receiver holds the source up, and blocks no worker.
//!
//! # What keeps the run
//! While credits lie in the outbox the source may sleep, and no job of the run be left; yet the run goes on, as the
//! receiver can take a piece. So a unit of the run is outside ([`crate::sync::quiescence`]) as long as credits lie here
//! ([`Hold`]). A receiver that takes a piece queues a job on it, which gives the credits back; what the job finds decides
//! whether a unit goes outside again. When the stream has ended, or the run fails or is cancelled, the outbox gives up
//! credits and unit: what lies in it then is just memory.

use std::sync::Arc;

use super::output::{Hold, Outbox, Piece, StreamState};
use crate::engine::drive::Drive;
use crate::engine::line::{Line, LineJob};
use crate::engine::tail::Tail;
use crate::run::flow::cx::Cx;
use crate::run::flow::order::{Origin, Ticket};
use crate::run::flow::packet::Packet;
use crate::run::flow::stage::{Capacity, Ended, TailKind};

/// The tail that fills an outbox.
pub(crate) struct Outlet<T> {
    line: Line<T>,
    outbox: Arc<Outbox<T>>,
}

impl<T> Outlet<T> {
    pub(crate) fn new(outbox: Arc<Outbox<T>>) -> Self {
        Self { line: Line::new(), outbox }
    }

    /// Leaves a packet whose turn it is in the outbox, and ends the turn.
    fn pass(&self, cx: &Cx<'_>, mut packet: Box<Packet<T>>) {
        let ticket = packet.ticket;
        let (is_wanted, came) = (cx.wants(&ticket), packet.items.len());
        let mut has_receiver = true;
        if let Some(failure) = packet.failure.take().filter(|_| is_wanted) {
            // Before the turn ends, so that no item behind it gets out; and before the credit goes back, so that nobody is
            // told that it has been done.
            cx.fail(&ticket, failure);
        }
        if is_wanted && !packet.items.is_empty() {
            has_receiver = self.leave(cx, &mut packet);
        } else {
            cx.release(ticket.origin);
        }
        if packet.items.is_empty() {
            self.line.count(came, 0);
            self.line.edge.give(packet);
        } else {
            self.line.count(0, self.line.edge.discard(packet));
        }
        self.line.leave(cx, &ticket);
        if !has_receiver {
            cx.close();
        }
        if is_wanted {
            cx.arrive();
        }
    }

    /// Moves the items into the outbox, if there is a receiver. If not the credit goes back.
    fn leave(&self, cx: &Cx<'_>, packet: &mut Packet<T>) -> bool {
        let origin = packet.ticket.origin;
        let (has_receiver, is_held) = self.outbox.tell(|state| {
            if !state.has_receiver {
                return (false, false);
            }
            let spare = state.spare.pop().unwrap_or_default();
            let items = std::mem::replace(&mut packet.items, spare);
            let is_held = origin.get().is_some() && !state.ends_early;
            if is_held {
                state.held += 1;
                if let Hold::Nothing = state.hold {
                    cx.run.put_outside();
                    state.hold = Hold::Here(cx.errand(LineJob::CameIn));
                }
            }
            state.pieces.push_back(Piece { items, origin: if is_held { origin } else { Origin::NONE } });
            (true, is_held)
        });
        if !is_held {
            cx.release(origin);
        }
        has_receiver
    }

    /// Gives the credits back that the receiver has left, on the outbox's token.
    fn release(&self, cx: &Cx<'_>) {
        let mut state = self.outbox.0.lock();
        let released = std::mem::take(&mut state.released);
        state.hold = if state.held > 0 {
            cx.run.put_outside();
            Hold::Here(cx.errand(LineJob::CameIn))
        } else {
            Hold::Nothing
        };
        let has_receiver = state.has_receiver;
        drop(state);
        released.into_iter().for_each(|origin| cx.release(origin));
        if !has_receiver {
            cx.close();
        }
    }
}

impl<T: Send> Tail<T> for Outlet<T> {
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
            LineJob::CameIn => self.release(cx),
        }
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        let released = self.outbox.tell(|state| {
            state.stream = StreamState::Ended;
            state.release_all();
            match std::mem::replace(&mut state.hold, Hold::Nothing) {
                Hold::Nothing => {}
                Hold::Here(_) => cx.run.take_back(),
                Hold::Queued => {
                    state.hold = Hold::Queued;
                    return Vec::new(); // that job gives them back
                }
            }
            std::mem::take(&mut state.released)
        });
        released.into_iter().for_each(|origin| cx.release(origin));
        Ended::Now
    }

    fn prepare(&mut self, capacity: Capacity) {
        self.line.prepare(capacity);
    }

    fn reset(&mut self) {
        self.line.reset();
        let mut state = self.outbox.0.lock();
        (state.stream, state.ends_early) = (StreamState::Open, false);
    }

    fn clear(&mut self) -> u64 {
        self.line.clear();
        0
    }

    fn end_early(&self) -> Option<LineJob> {
        let mut state = self.outbox.0.lock();
        state.ends_early = true;
        state.release_all();
        state.released.clear(); // sources issue nothing more
        if !matches!(state.hold, Hold::Here(_)) {
            return None;
        }
        state.hold = Hold::Queued;
        Some(LineJob::CameIn)
    }

    fn close(&self) {
        self.outbox.tell(|state| state.stream = StreamState::Ended);
    }

    fn waiting(&self) -> Option<String> {
        self.line.waiting()
    }

    fn serial_counts(&self) -> Option<[u64; 3]> {
        let [given, dropped] = self.line.counts();
        Some([given, 0, dropped])
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        self.outbox.tell(|state| state.stream = StreamState::Ended);
    }
}
