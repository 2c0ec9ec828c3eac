//! A stage with its types: a pipe of fused operators, and the tail that takes what comes out.

use std::time::Instant;

use super::pipe::{Meter, Pipe, Timed, Untimed, guard};
use crate::run::batch::{Family, Ticket};
use crate::run::cancel::Carried;
use crate::run::frame::Frame;
use crate::run::source::Piece;
use crate::run::stage::{Cx, Ended, Extent, Parcel, Pull, Room, Stage};
use crate::unwind;

/// Takes what comes out of a pipe.
pub(crate) trait Tail<T>: Send + Sync {
    /// Takes the items of one piece, which `drive` drives.
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>);
    /// Goes on with a piece whose turn has come.
    fn turn(&self, _cx: &Cx<'_>, _load: u64) {
        unreachable!("only a serial tail has turns")
    }
    /// One of the jobs by which the stage ends.
    fn part(&self, _cx: &Cx<'_>, _index: u32) {
        unreachable!("this tail ends at once")
    }
    /// The last piece has retired.
    fn end(&self, _cx: &Cx<'_>) -> Ended {
        Ended::Now
    }
    fn prepare(&mut self, _room: Room) {}
    fn reset(&mut self) {}
    /// Drops what a failed run left, and says how many items.
    fn clear(&mut self) -> u64 {
        0
    }
    fn waiting(&self) -> Option<String> {
        None
    }
    /// Items that a serial operator was given, made, and dropped.
    fn serial_counts(&self) -> Option<[u64; 3]> {
        None
    }
}

/// One piece, ready to be driven through the pipe.
pub(crate) trait Drive<T> {
    /// Drives it: `each` takes the items into `state`. If an operator fails, now or before on an item of this piece, that
    /// has had the items before the one it failed on.
    fn drive<A>(self, state: A, each: impl FnMut(&mut A, T)) -> (A, Option<Carried>);
    /// Drops its items: nobody wants them.
    fn skip(self);
}

/// A pipe and a tail.
pub(crate) struct Fused<P, K> {
    pub(crate) pipe: P,
    pub(crate) tail: K,
}

struct Firing<'a, P> {
    cx: &'a Cx<'a>,
    pipe: &'a P,
    parcel: Parcel,
}

impl<P: Pipe> Firing<'_, P> {
    #[inline]
    fn drive_with<M: Meter>(&self, frame: &Frame<'_>, out: &mut impl FnMut(P::Out)) {
        let last = self.cx.stage.ops.len() - 1;
        self.pipe.drive::<M>(self.parcel, frame, &mut |item| {
            M::at(frame, last);
            guard(frame, last, || out(item));
        });
    }
}

impl<P: Pipe> Drive<P::Out> for Firing<'_, P> {
    fn drive<A>(self, state: A, mut each: impl FnMut(&mut A, P::Out)) -> (A, Option<Carried>) {
        let head = self.pipe.head();
        let (came, carried) = (head.len(self.parcel), head.failure(self.parcel.load));
        let frame = self.cx.frame();
        let start = Instant::now();
        let (state, result) = if frame.timer.is_some() {
            unwind::keeping(state, |state| self.drive_with::<Timed>(&frame, &mut |item| each(state, item)))
        } else {
            unwind::keeping(state, |state| self.drive_with::<Untimed>(&frame, &mut |item| each(state, item)))
        };
        let fault = frame.fault(result.err(), &self.cx.stage.ops);
        let ticket = &self.parcel.ticket;
        self.cx.record(ticket, &frame, start.elapsed(), fault.is_some().then_some(came));
        (state, fault.map(|fault| self.cx.failure(ticket, fault)).or(carried))
    }

    fn skip(self) {
        self.cx.drop_items(self.pipe.head().discard(self.parcel));
    }
}

impl<P: Pipe, K: Tail<P::Out>> Stage for Fused<P, K> {
    fn fire(&self, cx: &Cx<'_>, parcel: Parcel) {
        let ticket = parcel.ticket;
        let firing = Firing { cx, pipe: &self.pipe, parcel };
        if cx.wants(&ticket) {
            self.tail.run(cx, ticket, firing);
        } else {
            firing.skip();
            cx.release(ticket.family);
        }
    }
    fn ticket(&self, load: u64) -> Ticket {
        self.pipe.head().ticket(load)
    }
    fn turn(&self, cx: &Cx<'_>, load: u64) {
        self.tail.turn(cx, load);
    }
    fn part(&self, cx: &Cx<'_>, index: u32) {
        self.tail.part(cx, index);
    }
    fn begin(&self) -> Extent {
        self.pipe.head().begin()
    }
    fn pull(&self, place: u32, number: u64, size: usize) -> Pull {
        self.pipe.head().pull(place, number, size)
    }
    fn end(&self, cx: &Cx<'_>) -> Ended {
        self.tail.end(cx)
    }
    fn prepare(&mut self, room: Room) {
        self.pipe.head_mut().prepare(room);
        self.tail.prepare(room);
    }
    fn memory(&self) -> Vec<Piece> {
        self.pipe.head().memory()
    }
    fn is_ready(&self) -> bool {
        self.pipe.head().is_ready()
    }
    fn reset(&mut self) {
        self.tail.reset();
    }
    fn clear(&mut self) -> u64 {
        self.pipe.head_mut().clear() + self.tail.clear()
    }
    fn waiting(&self) -> Option<String> {
        self.tail.waiting()
    }
    fn serial_counts(&self) -> Option<[u64; 3]> {
        self.tail.serial_counts()
    }
    fn discard(&self, load: u64) -> u64 {
        let ticket = self.pipe.head().ticket(load);
        self.pipe.head().discard(Parcel { ticket, load })
    }
    fn spool(&self, load: u64) -> Family {
        self.pipe.head().spool(load)
    }
}
