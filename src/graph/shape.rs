//! Tails that send on: to one stage, to two with clones, to two by a predicate.

use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use super::fused::{Drive, Edge, Seam, Tail, load};
use super::pipe::{Pipe, Root};
use super::stream::{At, Stream, receive};
use crate::plan::draft::TailKind;
use crate::run::batch::{MAX_PARTS, PART, Ticket, Token};
use crate::run::stage::Cx;

/// A token that is being filled, and the parts of it that were sent on.
struct Filling<'a, T> {
    edge: &'a Edge<T>,
    token: Option<Box<Token<T>>>,
    output: usize,
    /// Parts sent on; a piece that is itself a part is not split again.
    sent: u32,
    splits: bool,
}

impl<'a, T> Filling<'a, T> {
    fn new(edge: &'a Edge<T>, output: usize, ticket: &Ticket) -> Self {
        Self { edge, token: Some(edge.take()), output, sent: 0, splits: ticket.is_whole() }
    }

    #[inline]
    fn push(&mut self, cx: &Cx<'_>, ticket: &Ticket, item: T) {
        let items = &mut self.token.as_mut().expect("there between calls").items;
        items.push(item);
        if items.len() >= PART && self.splits && self.sent < MAX_PARTS - 1 {
            self.send_part(cx, ticket);
        }
    }

    /// Sends what there is as a part, so that others can begin with it.
    #[cold]
    fn send_part(&mut self, cx: &Cx<'_>, ticket: &Ticket) {
        let mut token = self.token.replace(self.edge.take()).expect("there between calls");
        token.ticket = Ticket { part: self.sent, last: false, ..*ticket };
        self.sent += 1;
        cx.share(ticket.family);
        let part = token.ticket;
        cx.send(self.output, &part, load(token), false);
    }

    /// Sends the rest.
    fn finish(mut self, cx: &Cx<'_>, ticket: &Ticket) {
        let mut token = self.token.take().expect("there between calls");
        token.ticket = if self.splits { Ticket { part: self.sent, last: true, ..*ticket } } else { *ticket };
        let rest = token.ticket;
        cx.send(self.output, &rest, load(token), true);
    }
}

/// Sends all items to one stage.
pub(crate) struct Emit<T> {
    pub(crate) edge: Arc<Edge<T>>,
}

impl<T: Send> Tail<T> for Emit<T> {
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        let filling = Filling::new(&self.edge, 0, &ticket);
        let (filling, fault) = drive.drive(filling, |filling, item| filling.push(cx, &ticket, item));
        if let Some(fault) = fault {
            cx.fail(&ticket, fault, filling.sent > 0);
        }
        filling.finish(cx, &ticket);
        cx.arrive();
    }
}

/// Sends items to two stages: what `split` gives.
pub(crate) struct Fork<T, S> {
    pub(crate) left: Arc<Edge<T>>,
    pub(crate) right: Arc<Edge<T>>,
    pub(crate) split: S,
}

/// Of [`Stream::tee`](crate::Stream::tee): to both.
pub(crate) fn both<T: Clone>(item: T) -> (Option<T>, Option<T>) {
    (Some(item.clone()), Some(item))
}

/// Of [`Stream::partition`](crate::Stream::partition): to the left what the predicate holds for.
pub(crate) fn either<T>(pred: impl Fn(&T) -> bool) -> impl Fn(T) -> (Option<T>, Option<T>) {
    move |item| if pred(&item) { (Some(item), None) } else { (None, Some(item)) }
}

impl<T: Send, S: Fn(T) -> (Option<T>, Option<T>) + Send + Sync> Tail<T> for Fork<T, S> {
    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        cx.share(ticket.family);
        let fillings = (Filling::new(&self.left, 0, &ticket), Filling::new(&self.right, 1, &ticket));
        let (fillings, fault) = drive.drive(fillings, |(left, right), item| {
            let (to_left, to_right) = (self.split)(item);
            if let Some(item) = to_left {
                left.push(cx, &ticket, item);
            }
            if let Some(item) = to_right {
                right.push(cx, &ticket, item);
            }
        });
        let (left, right) = fillings;
        if let Some(fault) = fault {
            cx.fail(&ticket, fault, left.sent + right.sent > 0);
        }
        left.finish(cx, &ticket);
        right.finish(cx, &ticket);
        cx.arrive();
    }
}

/// The two streams of a shape with two outputs.
type Two<'env, T> = [Stream<'env, T, Root<Seam<T>>>; 2];

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Sends every item to two streams, to the first a clone. Seam.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let (numbers, same) = g.range(0..100_u32).tee();
    /// let (sum, greatest) = (numbers.sum::<u32>(), same.max());
    /// let mut run = pool.run(g)?;
    /// assert_eq!((run.take(sum), run.take(greatest)), (4950, Some(99)));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn tee(self) -> (Stream<'env, T, impl Pipe<Out = T>>, Stream<'env, T, impl Pipe<Out = T>>)
    where
        T: Clone,
    {
        self.fork("tee", ["tee's first", "tee's second"], Location::caller(), both).into()
    }

    /// Sends the items for which `pred` holds to the first stream, the others to the second. Seam.
    #[track_caller]
    pub fn partition<F>(self, pred: F) -> (Stream<'env, T, impl Pipe<Out = T>>, Stream<'env, T, impl Pipe<Out = T>>)
    where
        F: Fn(&T) -> bool + Send + Sync + 'env,
    {
        self.fork("partition", ["partition's true", "partition's false"], Location::caller(), either(pred)).into()
    }

    fn fork<S>(self, method: &'static str, branches: [&'static str; 2], at: At, split: S) -> Two<'env, T>
    where
        S: Fn(T) -> (Option<T>, Option<T>) + Send + Sync + 'env,
    {
        let (left, right) = (Arc::new(Edge::new()), Arc::new(Edge::new()));
        let fork = Fork { left: Arc::clone(&left), right: Arc::clone(&right), split };
        let (draft, stage) = self.end_in(method, at, TailKind::Sends, fork);
        let numbering = draft.borrow().stages[stage].numbering;
        let branches = [(left, branches[0]), (right, branches[1])];
        branches.map(|(edge, branch)| receive(Rc::clone(&draft), (branch, at), numbering, vec![stage], edge))
    }
}
