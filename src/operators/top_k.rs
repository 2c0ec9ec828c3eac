//! `top_k`: the greatest items.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::engine::pipe::Pipe;
use crate::engine::reduce::Reduction;
use crate::graph::Stream;
use crate::plan::Data;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Finds the `k` greatest items, or all if there are fewer, on all workers at once. The greatest one comes first;
    /// which of several equal ones are found is not
    /// specified, but always the same.
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

/// The best items so far, the least one on top.
pub(super) type Best<T> = BinaryHeap<Reverse<T>>;

/// Adds an item, and keeps the best `k`.
pub(super) fn add<T: Ord>(best: &mut Best<T>, k: usize, item: T) {
    if best.len() < k {
        best.push(Reverse(item));
    } else if let Some(mut least) = best.peek_mut()
        && least.0 < item
    {
        *least = Reverse(item);
    }
}

/// The items, the greatest one first.
pub(super) fn in_order<T: Ord>(best: Best<T>) -> Vec<T> {
    best.into_sorted_vec().into_iter().map(|Reverse(item)| item).collect()
}

impl<T: Ord + Send> Reduction<T> for TopK {
    type Part = Best<T>;
    type Result = Vec<T>;
    fn start(&self) -> Self::Part {
        BinaryHeap::new()
    }
    #[inline]
    fn next(&self, mut part: Self::Part, item: T) -> Self::Part {
        add(&mut part, self.0, item);
        part
    }
    fn combine(&self, mut left: Self::Part, right: Self::Part) -> Self::Part {
        right.into_iter().for_each(|Reverse(item)| add(&mut left, self.0, item));
        left
    }
    fn finish(&self, whole: Option<Self::Part>) -> Vec<T> {
        in_order(whole.unwrap_or_default())
    }
}
