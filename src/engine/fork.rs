//! Tails that send items to several stages, for `tee`, `partition` and their like.
//!
//! [`super::fused`] calls them with one piece at a time on each worker. The piece becomes a packet for each stage, and
//! all of these hold the credit of the source batch.

use std::convert::Infallible;
use std::sync::Arc;

use super::drive::Drive;
use super::edge::{Edge, Filling};
use super::tail::Tail;
use crate::run::flow::cx::Cx;
use crate::run::flow::order::Ticket;
use crate::run::flow::stage::TailKind;
use crate::unwind::Kept;

/// Sends items to two stages: of each item, `split` makes what goes to the left and what goes to the right.
pub(crate) struct Fork<L, R, S> {
    pub(crate) left: Arc<Edge<L>>,
    pub(crate) right: Arc<Edge<R>>,
    pub(crate) split: S,
}

impl<T, L: Send, R: Send, S: Fn(T) -> (Option<L>, Option<R>) + Send + Sync> Tail<T> for Fork<L, R, S> {
    const KIND: TailKind = TailKind::Sends;
    type Own = Infallible;

    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        cx.share(ticket.origin);
        let fillings = (Filling::new(&self.left, 0, &ticket), Filling::new(&self.right, 1, &ticket));
        let (fillings, failure) = drive.drive(fillings, |(left, right), item| {
            let (to_left, to_right) = (self.split)(item);
            if let Some(item) = to_left {
                left.push(cx, &ticket, item);
            }
            if let Some(item) = to_right {
                right.push(cx, &ticket, item);
            }
        });
        let (left, right) = fillings;
        left.finish(cx, &ticket, failure.clone());
        right.finish(cx, &ticket, failure);
        cx.arrive();
    }

    fn own(&self, _: &Cx<'_>, job: Infallible) {
        match job {}
    }
}

/// Sends items to several stages, each item to the one whose number `to` gives.
pub(crate) struct Route<T, S, const N: usize> {
    pub(crate) edges: [Arc<Edge<T>>; N],
    pub(crate) to: S,
}

impl<T: Send, S: Fn(&T) -> usize + Send + Sync, const N: usize> Tail<T> for Route<T, S, N> {
    const KIND: TailKind = TailKind::Sends;
    type Own = Infallible;

    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        (1..N).for_each(|_| cx.share(ticket.origin));
        let fillings: [_; N] = std::array::from_fn(|output| Filling::new(&self.edges[output], output, &ticket));
        let (fillings, failure) = drive.drive(fillings, |fillings, item| {
            let item = Kept::new(item);
            let to = (self.to)(&item);
            assert!(to < N, "an item is sent to stream {to}, and there are {N}, counted from 0");
            fillings[to].push(cx, &ticket, item.into_inner());
        });
        fillings.into_iter().for_each(|filling| filling.finish(cx, &ticket, failure.clone()));
        cx.arrive();
    }

    fn own(&self, _: &Cx<'_>, job: Infallible) {
        match job {}
    }
}
