//! `filter`: keeps some of the items.

use crate::engine::op::{Emit, FusedOp, Makes};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::unwind::Kept;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Keeps the items for which `pred` holds. Fuses; runs on all workers at once.
    #[track_caller]
    pub fn filter<F>(self, pred: F) -> Stream<'env, T, impl Pipe<Out = T>>
    where
        F: Fn(&T) -> bool + Send + Sync + 'env,
    {
        self.fuse("filter", Filter(pred))
    }
}

/// The operator of [`Stream::filter`].
pub(super) struct Filter<F>(pub(super) F);

impl<T, F: Fn(&T) -> bool + Send + Sync> FusedOp<T> for Filter<F> {
    type Out = T;
    type Batch<'a>
        = ()
    where
        Self: 'a;
    const MAKES: Makes = Makes::AtMostOne;
    fn begin(&self) {}
    #[inline]
    fn item(&self, (): &mut (), item: T, out: &mut impl Emit<T>) {
        let item = Kept::new(item);
        let is_wanted = (self.0)(&item);
        let item = item.into_inner();
        if is_wanted {
            out.emit(item);
        }
    }
}
