//! The tail that sends items to two stages, for `tee` and `partition`.
//!
//! [`super::fused`] calls it with one piece at a time on each worker. The piece becomes two packets, one for each
//! stage, and both hold the credit of the source batch.

use std::convert::Infallible;
use std::sync::Arc;

use super::drive::Drive;
use super::edge::{Edge, Filling};
use super::tail::Tail;
use crate::run::flow::cx::Cx;
use crate::run::flow::order::Ticket;
use crate::run::flow::stage::TailKind;

/// Sends items to two stages: of each item, `split` makes what goes to the left and what goes to the right.
pub(crate) struct Fork<T, S> {
    pub(crate) left: Arc<Edge<T>>,
    pub(crate) right: Arc<Edge<T>>,
    pub(crate) split: S,
}

impl<T: Send, S: Fn(T) -> (Option<T>, Option<T>) + Send + Sync> Tail<T> for Fork<T, S> {
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
