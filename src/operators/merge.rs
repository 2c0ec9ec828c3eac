//! `merge` and `unordered`: pass batches on in the order in which they arrive.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::engine::edge::Edge;
use crate::engine::inlet::{Inlet, Shape, drop_packet};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::run::flow::cx::Cx;
use crate::run::flow::order::Ticket;
use crate::run::flow::packet::Packet;
use crate::run::flow::stage::Ended;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::countdown::FixedCountdown;
use crate::sync::{Arrival, Kind, named, tell};

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives the items of both streams, batch by batch, in the order in which they arrive. That order differs from run
    /// to run. Stage boundary.
    #[track_caller]
    pub fn merge<Q>(self, other: Stream<'env, T, Q>) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        Q: Pipe<Out = T> + 'env,
    {
        let edge = Arc::new(Edge::new());
        let inputs = self.meet("merge", other, (Arc::clone(&edge), Arc::clone(&edge)));
        let sequence = inputs.sequence(false);
        let arrivals = Arc::new(Arrivals::new(2, sequence));
        let input = || Inlet::new(Arc::clone(&edge), Merge::new(Arc::clone(&arrivals)));
        inputs.receive((input(), input()), ["left", "right"], sequence, Arc::clone(&edge))
    }

    /// Gives up stream order: the operators behind it take batches in the order in which they arrive. So no batch waits
    /// for a slow one, and the order differs from run to run. Stage boundary.
    #[track_caller]
    pub fn unordered(self) -> Stream<'env, T, impl Pipe<Out = T>> {
        self.renumber("unordered", |sequence| Merge::new(Arc::new(Arrivals::new(1, sequence))))
    }
}

/// What the inputs of a [`Merge`] share.
struct Arrivals {
    /// The number of the next piece.
    next: AtomicU64,
    /// How many inputs have not ended yet.
    open: FixedCountdown,
    inputs: u32,
    sequence: usize,
}

impl Arrivals {
    fn new(inputs: u32, sequence: usize) -> Self {
        Self { next: AtomicU64::new(0), open: FixedCountdown::default(), inputs, sequence }
    }
}

/// An input of [`Stream::merge`], or of [`Stream::unordered`]: every piece gets the next number as it arrives.
struct Merge<T> {
    shared: Arc<Arrivals>,
    item: PhantomData<fn(T)>,
}

impl<T> Merge<T> {
    fn new(shared: Arc<Arrivals>) -> Self {
        Self { shared, item: PhantomData }
    }
}

impl<T: Send> Shape for Merge<T> {
    type Item = T;
    type Own = Infallible;

    fn take(&self, cx: &Cx<'_>, edge: &Edge<T>, mut packet: Box<Packet<T>>) {
        if !cx.wants(&packet.ticket) {
            return drop_packet(cx, edge, packet);
        }
        // Relaxed: any order of the numbers is an order of arrival.
        let (came, next) = (packet.ticket, || self.shared.next.fetch_add(1, Ordering::Relaxed));
        let number = named(cx.call(Kind::Arrival, &came), next);
        tell(|| format!("{} comes, and is number {number} from here on", cx.says("", &came)));
        packet.ticket = Ticket::whole(number, came.origin);
        if let Some(failure) = packet.failure.take() {
            cx.fail(&came, failure); // it counts here: behind this there is no stream order to compare it by
        }
        cx.count(0, packet.items.len());
        cx.send(0, packet, true);
        cx.arrive();
    }

    fn own(&self, _: &Cx<'_>, _: &Edge<T>, job: Infallible) {
        match job {}
    }

    fn end(&self, cx: &Cx<'_>) -> Ended {
        // The countdown orders the ends: the last input to end sees all numbers that the others have given out.
        if self.shared.open.arrive() == Arrival::Last {
            let total = self.shared.next.load(Ordering::Relaxed);
            cx.run.total(self.shared.sequence, total, cx.worker);
        }
        Ended::Now
    }

    fn reset(&mut self) {
        self.shared.next.store(0, Ordering::Relaxed);
        self.shared.open.restart(self.shared.inputs);
    }
}
