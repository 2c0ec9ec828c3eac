//! `range`: the integers of a range.

use std::ops::Range;

use crate::engine::heads::numbered::{Batch, ByNumber};
use crate::engine::pipe::Pipe;
use crate::graph::{Graph, Stream};
use crate::pool::Integer;

impl<'env> Graph<'env> {
    /// Makes a stream of the integers of a range, in ascending order. All workers make items at once.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let largest = g.range(-10..10_i32).map(|x| x * x).max();
    /// assert_eq!(pool.run(g)?.take(largest), Some(100));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn range<N: Integer + 'env>(&self, range: Range<N>) -> Stream<'env, N, impl Pipe<Out = N> + use<'env, N>> {
        self.add_numbered("range", Integers(range))
    }
}

/// The integers of a range.
pub(crate) struct Integers<N>(pub(crate) Range<N>);

impl<N: Integer> ByNumber for Integers<N> {
    type Item = N;
    const IS_FIXED: bool = true;
    fn len(&self) -> u64 {
        N::distance(self.0.start, self.0.end)
    }
    #[inline(always)]
    fn each(&self, batch: Batch, out: &mut impl FnMut(N)) {
        for i in batch.range {
            out(self.0.start.plus(i));
        }
    }
}
