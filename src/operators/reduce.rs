//! `reduce`, `min`, `max` and their like: combine all items into one.

use std::cmp::Ordering;

use crate::engine::pipe::Pipe;
use crate::engine::reduce::Reduction;
use crate::graph::Stream;
use crate::plan::Data;
use crate::unwind::Kept;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Combines all items into one with `f`, on all workers at once. The result is `None` if there are no items.
    ///
    /// `f` combines the items of a batch from left to right, and then the batches as a fixed tree. So the answer is the
    /// same to the last bit on any number of workers, even if `f` is not associative, as with floats. It may differ in
    /// the last bits from a fold from left to right.
    #[must_use]
    #[track_caller]
    pub fn reduce<F>(self, f: F) -> Data<Option<T>>
    where
        T: Send,
        F: Fn(T, T) -> T + Send + Sync + 'env,
    {
        self.reduction("reduce", Reducing(f))
    }

    /// Finds the least item, on all workers at once. Of several equal ones it is the first.
    #[must_use]
    #[track_caller]
    pub fn min(self) -> Data<Option<T>>
    where
        T: Ord + Send,
    {
        self.reduction("min", Reducing(std::cmp::min))
    }

    /// Finds the greatest item, on all workers at once. Of several equal ones it is the last.
    #[must_use]
    #[track_caller]
    pub fn max(self) -> Data<Option<T>>
    where
        T: Ord + Send,
    {
        self.reduction("max", Reducing(std::cmp::max))
    }
}

/// The same by a comparison or a key.
impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Finds the least item by `compare`, on all workers at once. Of several equal ones it is the first.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let least = g.source([1.5, -2.0, 9.25]).min_by(f64::total_cmp);
    /// assert_eq!(pool.run(g)?.take(least), Some(-2.0));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn min_by<F>(self, compare: F) -> Data<Option<T>>
    where
        F: Fn(&T, &T) -> Ordering + Send + Sync + 'env,
    {
        self.reduction("min_by", Reducing(move |a, b| choose(a, b, |a, b| compare(a, b).is_le())))
    }

    /// Finds the greatest item by `compare`, on all workers at once. Of several equal ones it is the last.
    #[must_use]
    #[track_caller]
    pub fn max_by<F>(self, compare: F) -> Data<Option<T>>
    where
        F: Fn(&T, &T) -> Ordering + Send + Sync + 'env,
    {
        self.reduction("max_by", Reducing(move |a, b| choose(a, b, |a, b| compare(a, b).is_gt())))
    }

    /// Finds the item with the least key, on all workers at once. Of several equal ones it is the first. `key` is called
    /// once for each item.
    #[must_use]
    #[track_caller]
    pub fn min_by_key<K, F>(self, key: F) -> Data<Option<T>>
    where
        K: Ord + Send + 'env,
        F: Fn(&T) -> K + Send + Sync + 'env,
    {
        self.reduction("min_by_key", ByKey { key, is_first_better: K::le })
    }

    /// Finds the item with the greatest key, on all workers at once. Of several equal ones it is the last. `key` is called
    /// once for each item.
    #[must_use]
    #[track_caller]
    pub fn max_by_key<K, F>(self, key: F) -> Data<Option<T>>
    where
        K: Ord + Send + 'env,
        F: Fn(&T) -> K + Send + Sync + 'env,
    {
        self.reduction("max_by_key", ByKey { key, is_first_better: K::gt })
    }

    /// Finds the last item, in stream order, on all workers at once.
    #[must_use]
    #[track_caller]
    pub fn last(self) -> Data<Option<T>> {
        self.reduction("last", Reducing(|_, last| last))
    }
}

/// The first one if it is better, else the second one. If the comparison panics, both are dropped.
#[inline]
fn choose<T>(first: T, second: T, is_first_better: impl FnOnce(&T, &T) -> bool) -> T {
    let (first, second) = (Kept::new(first), Kept::new(second));
    let takes_first = is_first_better(&first, &second);
    let (first, second) = (first.into_inner(), second.into_inner());
    let (taken, other) = if takes_first { (first, second) } else { (second, first) };
    drop(other); // here, not at the end: rustc leaks what a function returns if a drop at its end panics (rust#47949)
    taken
}

/// The reduction of [`Stream::min_by_key`] and [`Stream::max_by_key`].
struct ByKey<F, K> {
    key: F,
    is_first_better: fn(&K, &K) -> bool,
}

impl<T: Send, K: Send, F: Fn(&T) -> K + Send + Sync> Reduction<T> for ByKey<F, K> {
    /// An item with its key.
    type Part = Option<(K, T)>;
    type Result = Option<T>;
    #[inline]
    fn start(&self) -> Self::Part {
        None
    }
    #[inline]
    fn next(&self, part: Self::Part, item: T) -> Self::Part {
        let (part, item) = (Kept::new(part), Kept::new(item));
        let key = (self.key)(&item);
        self.combine(part.into_inner(), Some((key, item.into_inner())))
    }
    fn combine(&self, left: Self::Part, right: Self::Part) -> Self::Part {
        match (left, right) {
            (Some(left), Some(right)) => Some(choose(left, right, |a, b| (self.is_first_better)(&a.0, &b.0))),
            (left, right) => left.or(right),
        }
    }
    fn finish(&self, whole: Option<Self::Part>) -> Option<T> {
        whole.flatten().map(|(_, item)| item)
    }
}

/// The reduction of [`Stream::reduce`], [`Stream::min`] and their like.
struct Reducing<F>(F);

impl<T: Send, F: Fn(T, T) -> T + Send + Sync> Reduction<T> for Reducing<F> {
    type Part = Option<T>;
    type Result = Option<T>;
    #[inline]
    fn start(&self) -> Option<T> {
        None
    }
    #[inline]
    fn next(&self, part: Option<T>, item: T) -> Option<T> {
        Some(match part {
            Some(part) => (self.0)(part, item),
            None => item,
        })
    }
    fn combine(&self, left: Option<T>, right: Option<T>) -> Option<T> {
        match (left, right) {
            (Some(left), Some(right)) => Some((self.0)(left, right)),
            (left, right) => left.or(right),
        }
    }
    fn finish(&self, whole: Option<Option<T>>) -> Option<T> {
        whole.flatten()
    }
}
