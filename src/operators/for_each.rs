//! `for_each`: gives all items to a closure.

use std::convert::Infallible;

use crate::engine::drive::{Drive, DriveAll};
use crate::engine::pipe::Pipe;
use crate::engine::tail::{ParallelTail, Tail, consume, consume_all, put};
use crate::graph::Stream;
use crate::plan::Data;
use crate::run::flow::cx::Cx;
use crate::run::flow::order::Ticket;
use crate::run::flow::stage::{Ended, TailKind};
use crate::run::slot::Slot;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives every item to `f`, on all workers at once, in no particular order.
    #[track_caller]
    pub fn for_each<F>(self, f: F) -> Data<()>
    where
        F: Fn(T) + Send + Sync + 'env,
    {
        self.parallel_sink("for_each", None, |result| ForEach { f, result })
    }
}

/// The tail of [`Stream::for_each`].
pub(super) struct ForEach<F> {
    pub(super) f: F,
    pub(super) result: Slot<()>,
}

impl<T, F: Fn(T) + Send + Sync> Tail<T> for ForEach<F> {
    const KIND: TailKind = TailKind::Parallel;
    type Own = Infallible;

    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<T>) {
        consume(cx, ticket, drive, (), |(), item| (self.f)(item));
    }
    fn own(&self, _: &Cx<'_>, job: Infallible) {
        match job {}
    }
    fn end(&self, _: &Cx<'_>) -> Ended {
        put(&self.result, Some(()));
        Ended::Now
    }
}

impl<T, F: Fn(T) + Send + Sync> ParallelTail<T> for ForEach<F> {
    fn run_all(&self, cx: &Cx<'_>, drive: impl DriveAll<T>) {
        consume_all(cx, drive, (), |(), item| (self.f)(item));
    }
}
