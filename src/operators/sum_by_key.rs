//! `sum` of a stream with keys: adds up the items of each key.

use std::hash::Hash;

use super::local_tables::{Commutative, LocalTables, Place};
use crate::engine::pipe::Pipe;
use crate::graph::{Entries, Keyed, Table, map_entries};
use crate::plan::Data;

impl<'env, K, T, P> Keyed<'env, K, T, P>
where
    K: Hash + Eq + Send + 'env,
    T: 'env,
    P: Pipe<Out = (K, T)> + 'env,
{
    /// Adds up the integers of every key, on all workers at once. It keeps every key in memory, at most once for each
    /// worker.
    ///
    /// Sums of floats depend on the order of the items: [`fold`](Self::fold) adds them in stream order.
    ///
    /// If a sum does not fit into its type, the run fails at the end of the stream, as `sum` of an iterator panics.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let sales = g.source([("pears", 2), ("plums", 4), ("pears", 1)]);
    /// let sums = sales.key_by(|sale| sale.0).map_values(|sale| sale.1).sum::<u32>();
    /// assert_eq!(pool.run(g)?.take(sums).sorted(), [("pears", 3), ("plums", 4)]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn sum<S>(self) -> Data<Table<K, S>>
    where
        S: ExactSum<T> + Send + 'env,
    {
        let each = |result| LocalTables::new(Summing::<S>(std::marker::PhantomData), result);
        self.pairs.parallel_sink("sum", Some("every key"), each)
    }
}

/// An integer that is the sum of items of type `T`, in whatever order they are added: for [`Keyed::sum`].
///
/// It is implemented for all integers of up to 64 bits, as sums of themselves and of references to them.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be summed by key into `{Self}`",
    label = "an integer of up to 64 bits is the sum of its own type",
    note = "floats: `fold(0.0, |sum, x| sum + x)` adds in stream order; other types: `fold` or `reduce`"
)]
pub trait ExactSum<T>: Sized {
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "sealed: called by the operator")]
    fn wide(item: T) -> Wide;
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "sealed: called by the operator")]
    fn narrow(sum: Wide) -> Self;
}

macro_rules! exact {
    ($($integer:ty)*) => {$(
        #[expect(private_interfaces, reason = "sealed: called by the operator")]
        impl ExactSum<$integer> for $integer {
            #[inline]
            fn wide(item: $integer) -> Wide {
                Wide::new(item as i128)
            }
            fn narrow(sum: Wide) -> $integer {
                <$integer>::try_from(sum.get()).expect("the sum of a key fits into its type")
            }
        }
        #[expect(private_interfaces, reason = "sealed: called by the operator")]
        impl ExactSum<&$integer> for $integer {
            #[inline]
            fn wide(item: &$integer) -> Wide {
                Wide::new(*item as i128)
            }
            fn narrow(sum: Wide) -> $integer {
                <$integer as ExactSum<$integer>>::narrow(sum)
            }
        }
    )*};
}

exact!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

/// A sum in 128 bits, without the alignment of such a number: an entry of a table has no gaps. It cannot overflow: there
/// are fewer than 2^63 items.
#[derive(Clone, Copy)]
struct Wide([u8; 16]);

impl Wide {
    #[inline]
    fn new(sum: i128) -> Self {
        Self(sum.to_ne_bytes())
    }
    #[inline]
    fn plus(self, more: Self) -> Self {
        Self::new(self.get() + more.get())
    }
    #[inline]
    fn get(self) -> i128 {
        i128::from_ne_bytes(self.0)
    }
}

/// What [`Keyed::sum`] does.
struct Summing<S>(std::marker::PhantomData<fn() -> S>);

impl<T, S: ExactSum<T> + Send> Commutative<T> for Summing<S> {
    type Value = Wide;
    type Result = S;
    #[inline]
    fn first(&self, item: T, _: Place) -> Wide {
        S::wide(item)
    }
    #[inline]
    fn add(&self, sum: &mut Wide, item: T, _: Place) {
        *sum = sum.plus(S::wide(item));
    }
    fn merge(&self, sum: &mut Wide, more: Wide) {
        *sum = sum.plus(more);
    }
    fn finish<K>(&self, sums: Entries<K, Wide>) -> Entries<K, S> {
        map_entries(sums, |sum| S::narrow(sum))
    }
}
