//! `top_k`: the greatest items.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::engine::pipe::Pipe;
use crate::engine::reduce::Reduction;
use crate::graph::Stream;
use crate::plan::Data;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Finds the `k` greatest items, or all if there are fewer, on all workers at once. The greatest one comes first;
    /// which of several equal ones are found is not specified.
    ///
    /// Every batch keeps `k` items at most. An item that is not among them costs one comparison.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let best = g.range(0..1000_u64).map(|x| x * 7 % 1000).top_k(3);
    /// assert_eq!(pool.run(g)?.take(best), [999, 998, 997]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn top_k(self, k: usize) -> Data<Vec<T>>
    where
        T: Ord + Send,
    {
        self.reduction("top_k", TopK(k))
    }
}

/// The reduction of [`Stream::top_k`].
struct TopK(usize);

impl TopK {
    fn add<T: Ord>(&self, best: &mut BinaryHeap<Reverse<T>>, item: T) {
        if best.len() < self.0 {
            best.push(Reverse(item));
        } else if let Some(mut least) = best.peek_mut()
            && least.0 < item
        {
            *least = Reverse(item);
        }
    }
}

impl<T: Ord + Send> Reduction<T> for TopK {
    /// The best items so far, the least one on top.
    type Part = BinaryHeap<Reverse<T>>;
    type Result = Vec<T>;
    fn start(&self) -> Self::Part {
        BinaryHeap::new()
    }
    #[inline]
    fn next(&self, mut part: Self::Part, item: T) -> Self::Part {
        self.add(&mut part, item);
        part
    }
    fn combine(&self, mut left: Self::Part, right: Self::Part) -> Self::Part {
        right.into_iter().for_each(|Reverse(item)| self.add(&mut left, item));
        left
    }
    fn finish(&self, whole: Option<Self::Part>) -> Vec<T> {
        whole.unwrap_or_default().into_sorted_vec().into_iter().map(|Reverse(item)| item).collect()
    }
}
