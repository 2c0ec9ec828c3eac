//! `chain`: puts one stream behind another.
//!
//! The two inputs are stages. Batches of the second one could overtake the first one; a gate before the second input
//! prevents that. The end of the first input opens the gate, and then the number of its last batch is known. The second
//! input counts its batches on from there.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::engine::edge::Edge;
use crate::engine::inlet::{Inlet, Shape, drop_packet};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::run::flow::cx::Cx;
use crate::run::flow::packet::Packet;
use crate::run::flow::stage::Ended;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, adding, unwatched};

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives the items of this stream, then those of `next`. Stage boundary.
    ///
    /// Batches of `next` that come before this stream has ended are held. They hold credits of their source, so no more
    /// are held than the source has credits. If both streams come from one source, that is a defect, unless `next` is
    /// [`spooled`](Self::spooled).
    #[track_caller]
    pub fn chain<Q>(self, next: Stream<'env, T, Q>) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        Q: Pipe<Out = T> + 'env,
    {
        let edge = Arc::new(Edge::new());
        let spooled = [false, next.spooled];
        let inputs = self.meet("chain", next, (Arc::clone(&edge), Arc::clone(&edge)));
        let sequence = inputs.sequence(true);
        inputs.set_spooled(spooled);
        inputs.set_in_order();
        let link = Arc::new(Link::new(sequence));
        let first = Chain { shared: Arc::clone(&link), second: Some(inputs.stages[1]), item: PhantomData };
        let second = Chain { shared: link, second: None, item: PhantomData };
        let bodies = (Inlet::new(Arc::clone(&edge), first), Inlet::new(Arc::clone(&edge), second));
        inputs.receive(bodies, ["first", "second"], sequence, edge)
    }
}

/// What the two inputs of a chain share.
struct Link {
    /// How many numbers each input had. None: it has not ended yet.
    ends: Mutex<[Option<u64>; 2]>,
    /// How many numbers have gone through each input so far.
    passed: [AtomicU64; 2],
    sequence: usize,
}

impl Link {
    fn new(sequence: usize) -> Self {
        Self { ends: Mutex::new([None; 2]), passed: [AtomicU64::new(0), AtomicU64::new(0)], sequence }
    }
}

/// An input of [`Stream::chain`]; see the module documentation.
struct Chain<T> {
    shared: Arc<Link>,
    /// In the first input, the stage of the second one. None in the second input.
    second: Option<usize>,
    item: PhantomData<fn(T)>,
}

impl<T> Chain<T> {
    /// 0 for the first input, 1 for the second.
    fn side(&self) -> usize {
        usize::from(self.second.is_none())
    }
}

impl<T: Send> Shape for Chain<T> {
    type Item = T;
    type Own = Infallible;

    fn take(&self, cx: &Cx<'_>, edge: &Edge<T>, mut packet: Box<Packet<T>>) {
        if !cx.wants(&packet.ticket) {
            return drop_packet(cx, edge, packet);
        }
        if self.side() == 0 && packet.ticket.is_behind_end {
            // It is empty. If it had a number, those of the second input would depend on the schedule.
            let ticket = packet.ticket;
            edge.give(packet);
            return cx.retire(&ticket);
        }
        if self.side() == 1 {
            let first = unwatched(|| self.shared.ends.lock()[0]); // it does not change any more
            packet.ticket.number += first.expect("the gate opens when the first input has ended");
        }
        if packet.ticket.last {
            // Relaxed: only the end of this input reads it, after all pieces have arrived.
            adding(|| self.shared.passed[self.side()].fetch_add(1, Ordering::Relaxed));
        }
        cx.count(0, packet.items.len());
        cx.send(0, packet, true);
        cx.arrive();
    }

    fn own(&self, _: &Cx<'_>, _: &Edge<T>, job: Infallible) {
        match job {}
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        let passed = unwatched(|| self.shared.passed[self.side()].load(Ordering::Relaxed)); // all pieces have arrived
        let ends = {
            let mut ends = self.shared.ends.lock();
            ends[self.side()] = Some(passed);
            *ends
        };
        if let Some(second) = self.second {
            cx.at(second).open();
        }
        if let [Some(first), Some(second)] = ends {
            cx.run.total(self.shared.sequence, first + second, cx.worker);
        }
        Ended::Now
    }

    fn reset(&mut self) {
        *self.shared.ends.lock() = [None; 2];
        self.shared.passed.iter().for_each(|passed| passed.store(0, Ordering::Relaxed));
    }
}
