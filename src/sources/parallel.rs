//! `parallel`: the items of a source of the user's own that all workers make at once.

use crate::engine::heads::numbered::{Batch, ByNumber, ParallelSource};
use crate::engine::pipe::Pipe;
use crate::graph::{Graph, Stream};

impl<'env> Graph<'env> {
    /// Makes a stream of a source of your own that knows how long it is, in its order. All workers make items at once, a
    /// range of the source each.
    ///
    /// It keeps nothing in memory but the batches under way. It costs what [`range`](Self::range) costs, and what the
    /// source takes. The source can run again.
    ///
    /// # Panics
    /// A panic of the source fails the run with this operator's name and the number of the item.
    #[track_caller]
    pub fn parallel<S>(&self, source: S) -> Stream<'env, S::Item, impl Pipe<Out = S::Item> + use<'env, S>>
    where
        S: ParallelSource + 'env,
    {
        self.add_numbered("parallel", OfUser(source))
    }
}

/// A source of the user's own.
struct OfUser<S>(S);

impl<S: ParallelSource> ByNumber for OfUser<S> {
    type Item = S::Item;
    const ONE_EACH: bool = S::ONE_EACH;
    fn len(&self) -> u64 {
        self.0.len()
    }
    #[inline]
    fn each(&self, batch: Batch, out: &mut impl FnMut(S::Item)) {
        self.0.each(batch.range, out);
    }
}
