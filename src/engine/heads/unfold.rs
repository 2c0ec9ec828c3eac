//! Items that are iterators, and the source of what comes out of these: no more of it is made than is needed.
//!
//! What one item becomes may be large. If a worker made all of it at once, nothing would hold it back. So the stage that
//! brings the iterators ends here, and a source of the same run begins ([`Unfold`]), with credits of its own. Pieces of
//! iterators come in stream order to the [`Well`]. The source takes the next items out of the first iterator there. If it
//! has no credits it sleeps, and the iterator with it.
//!
//! # Who holds what
//! A piece of iterators holds its credit until the last of them has been used up. So what feeds the well is held back, too.
//! The source waits for no one outside: if the well is empty it sleeps at its bell, and whoever brings the next piece
//! rings. So a run that can go nowhere is still seen to have stalled.
//!
//! # Where batches end
//! A batch ends where the piece of iterators ends that it comes from, or when it has its size: never because the well is
//! empty for now. So batches depend on the stream alone, and nobody waits for the next piece.

use std::collections::VecDeque;
use std::sync::Arc;

use super::pulled::Supplier;
use crate::engine::drive::Drive;
use crate::engine::line::{Line, LineJob};
use crate::engine::tail::Tail;
use crate::run::cancel::{BoxedError, Carried};
use crate::run::flow::cx::Cx;
use crate::run::flow::order::{Origin, Ticket};
use crate::run::flow::packet::Packet;
use crate::run::flow::stage::{Capacity, Ended, TailKind};
use crate::run::flow::supply::Then;
use crate::sync::Mutex;
use crate::unwind;

/// Where pieces of iterators wait for the source.
pub(crate) struct Well<I>(Mutex<WellState<I>>);

struct WellState<I> {
    pieces: VecDeque<Piece<I>>,
    /// No further piece comes.
    ended: bool,
    /// The source takes no more.
    closed: bool,
}

/// Iterators, in reverse order, and what they hold.
struct Piece<I> {
    iterators: Vec<I>,
    /// What came in place of further iterators.
    failure: Option<Carried>,
    origin: Origin,
}

impl<I> Well<I> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(WellState { pieces: VecDeque::new(), ended: false, closed: false }))
    }
}

/// The tail that brings iterators to a well.
pub(crate) struct Fill<I> {
    line: Line<I>,
    well: Arc<Well<I>>,
}

impl<I> Fill<I> {
    pub(crate) fn new(well: Arc<Well<I>>) -> Self {
        Self { line: Line::new(), well }
    }

    /// Puts a packet whose turn it is into the well, and ends the turn.
    fn pass(&self, cx: &Cx<'_>, mut packet: Box<Packet<I>>) {
        if cx.is_spooled_behind() {
            cx.release(std::mem::replace(&mut packet.ticket.origin, Origin::NONE)); // the source waits for its gate
        }
        let ticket = packet.ticket;
        let is_wanted = cx.wants(&ticket);
        let came = packet.items.len();
        let is_empty = packet.items.is_empty() && packet.failure.is_none();
        let is_taken = is_wanted && !is_empty && {
            let mut state = self.well.0.lock();
            if !state.closed {
                packet.items.reverse();
                let (iterators, failure) = (std::mem::take(&mut packet.items), packet.failure.take());
                state.pieces.push_back(Piece { iterators, failure, origin: ticket.origin });
            }
            !state.closed
        };
        self.line.count(if is_taken { came } else { 0 }, 0);
        if !is_taken {
            cx.release(ticket.origin);
        }
        self.line.count(0, self.line.edge.discard(packet));
        self.line.leave(cx, &ticket);
        if is_taken {
            cx.wake_source_behind();
        }
        if is_wanted {
            cx.arrive();
        }
    }
}

impl<I: Iterator + Send> Tail<I> for Fill<I> {
    const KIND: TailKind = TailKind::Serial;
    type Own = LineJob;

    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<I>) {
        if let Some(packet) = self.line.enter(cx, ticket, drive) {
            self.pass(cx, packet);
        }
    }

    fn own(&self, cx: &Cx<'_>, job: LineJob) {
        if let LineJob::Pass(packet) = job {
            self.pass(cx, self.line.open(packet));
        }
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        self.well.0.lock().ended = true;
        cx.wake_source_behind();
        Ended::Now
    }

    fn prepare(&mut self, capacity: Capacity) {
        self.line.prepare(capacity);
    }

    fn reset(&mut self) {
        self.line.reset();
        let mut state = self.well.0.lock();
        (state.ended, state.closed) = (false, false);
    }

    fn clear(&mut self) -> u64 {
        self.line.clear();
        0
    }

    fn waiting(&self) -> Option<String> {
        let pieces = self.well.0.lock().pieces.len();
        let in_well = || (pieces > 0).then(|| format!("{pieces} batches of iterators wait to be drawn from"));
        self.line.waiting().or_else(in_well)
    }

    fn serial_counts(&self) -> Option<[u64; 3]> {
        let [given, dropped] = self.line.counts();
        Some([given, given, dropped])
    }
}

/// Supplies what comes out of the iterators in a well.
pub(crate) struct Unfold<I: Iterator> {
    well: Arc<Well<I>>,
    /// The iterator that items are taken from, and the rest of its piece.
    current: Option<I>,
    piece: Option<Piece<I>>,
    /// The failure behind the last items.
    carried: Option<Carried>,
    /// The origins of pieces that were used up.
    used: Vec<Origin>,
}

impl<I: Iterator> Unfold<I> {
    pub(crate) fn new(well: Arc<Well<I>>) -> Self {
        Self { well, current: None, piece: None, carried: None, used: Vec::new() }
    }

    /// Takes items out of the piece until there are `size`, or none is left.
    fn take(&mut self, items: &mut Vec<I::Item>, size: usize) {
        while items.len() < size {
            if let Some(current) = &mut self.current {
                items.extend(current.by_ref().take(size - items.len()));
                if items.len() < size {
                    unwind::drop_value(self.current.take());
                }
                continue;
            }
            self.current = self.piece.as_mut().and_then(|piece| piece.iterators.pop());
            if self.current.is_none() {
                return self.finish();
            }
        }
    }

    /// Ends the piece, if there is one.
    fn finish(&mut self) {
        if let Some(piece) = self.piece.take() {
            self.used.push(piece.origin);
            self.carried = piece.failure;
            piece.iterators.into_iter().for_each(unwind::drop_value);
        }
    }
}

impl<I: Iterator<Item: Send> + Send> Supplier for Unfold<I> {
    type Item = I::Item;

    fn begin(&mut self) -> u64 {
        self.used.clear(); // those of a run that has failed
        0
    }

    fn supply(&mut self, items: &mut Vec<I::Item>, size: usize) -> Result<Then, BoxedError> {
        loop {
            self.take(items, size);
            if self.carried.is_some() {
                return Ok(Then::Ended);
            }
            if !items.is_empty() {
                return Ok(Then::More);
            }
            let mut state = self.well.0.lock();
            self.piece = state.pieces.pop_front();
            if self.piece.is_none() {
                return Ok(if state.ended { Then::Ended } else { Then::Pending });
            }
        }
    }

    fn end(&mut self) {
        unwind::drop_value(self.current.take());
        let carried = self.carried.take(); // it is on its way
        self.finish();
        let left = {
            let mut state = self.well.0.lock();
            state.closed = true;
            std::mem::take(&mut state.pieces)
        };
        for piece in left {
            self.piece = Some(piece);
            self.finish();
        }
        self.carried = carried;
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn carried(&mut self) -> Option<Carried> {
        self.carried.take()
    }

    fn used(&mut self) -> Vec<Origin> {
        std::mem::take(&mut self.used)
    }
}
