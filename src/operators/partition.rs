//! `partition`: sends every item to one of two streams.

use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::run::flow::makes::Makes;
use crate::unwind::Kept;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Sends the items for which `pred` holds to the first stream, the others to the second. Stage boundary.
    #[track_caller]
    pub fn partition<F>(self, pred: F) -> (Stream<'env, T, impl Pipe<Out = T>>, Stream<'env, T, impl Pipe<Out = T>>)
    where
        F: Fn(&T) -> bool + Send + Sync + 'env,
    {
        self.fork("partition", ["partition's true", "partition's false"], Makes::AtMostOne, either(pred))
    }
}

/// The split of [`Stream::partition`]: items for which the predicate holds go to the left.
fn either<T>(pred: impl Fn(&T) -> bool) -> impl Fn(T) -> (Option<T>, Option<T>) {
    move |item| {
        let item = Kept::new(item);
        if pred(&item) { (Some(item.into_inner()), None) } else { (None, Some(item.into_inner())) }
    }
}
