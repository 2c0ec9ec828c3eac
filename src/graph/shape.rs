//! Shapes with two outputs: `tee` and `partition`.

use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use super::boundary::{Boundary, Edge, Filling};
use super::fused::{Drive, Tail};
use super::pipe::{Pipe, Root};
use super::stream::{At, Stream, receive};
use crate::plan::draft::TailKind;
use crate::run::order::Ticket;
use crate::run::stage::Cx;
use crate::unwind::Kept;

/// Sends items to two stages: what `split` gives.
pub(crate) struct Fork<T, S> {
    pub(crate) left: Arc<Edge<T>>,
    pub(crate) right: Arc<Edge<T>>,
    pub(crate) split: S,
}

/// Of [`Stream::tee`](crate::Stream::tee): to both.
pub(crate) fn both<T: Clone>(item: T) -> (Option<T>, Option<T>) {
    let item = Kept::new(item);
    (Some(T::clone(&item)), Some(item.into_inner()))
}

/// Of [`Stream::partition`](crate::Stream::partition): to the left what the predicate holds for.
pub(crate) fn either<T>(pred: impl Fn(&T) -> bool) -> impl Fn(T) -> (Option<T>, Option<T>) {
    move |item| {
        let item = Kept::new(item);
        if pred(&item) { (Some(item.into_inner()), None) } else { (None, Some(item.into_inner())) }
    }
}

impl<T: Send, S: Fn(T) -> (Option<T>, Option<T>) + Send + Sync> Tail<T> for Fork<T, S> {
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
}

/// The two streams of a shape with two outputs.
type Two<'env, T> = [Stream<'env, T, Root<Boundary<T>>>; 2];

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Sends every item to two streams, to the first a clone. Stage boundary.
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

    /// Sends the items for which `pred` holds to the first stream, the others to the second. Stage boundary.
    #[track_caller]
    pub fn partition<F>(self, pred: F) -> (Stream<'env, T, impl Pipe<Out = T>>, Stream<'env, T, impl Pipe<Out = T>>)
    where
        F: Fn(&T) -> bool + Send + Sync + 'env,
    {
        self.fork("partition", ["partition's true", "partition's false"], Location::caller(), either(pred)).into()
    }

    #[track_caller]
    fn fork<S>(self, method: &'static str, branches: [&'static str; 2], at: At, split: S) -> Two<'env, T>
    where
        S: Fn(T) -> (Option<T>, Option<T>) + Send + Sync + 'env,
    {
        let (left, right) = (Arc::new(Edge::new()), Arc::new(Edge::new()));
        let fork = Fork { left: Arc::clone(&left), right: Arc::clone(&right), split };
        let (draft, stage) = self.end_in(method, at, TailKind::Sends, fork);
        let sequence = draft.borrow().stages[stage].sequence;
        let branches = [(left, branches[0]), (right, branches[1])];
        branches.map(|(edge, branch)| receive(Rc::clone(&draft), (branch, at), sequence, vec![stage], edge))
    }
}
