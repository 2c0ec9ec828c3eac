//! `join_by_key`: pairs items with equal keys.

use std::hash::Hash;

use super::fold_by_key::push;
use super::key_by::KeyBy;
use super::lanes::Lanes;
use crate::engine::op::{Emit, FusedOp, Makes};
use crate::engine::pipe::Pipe;
use crate::graph::{Keyed, Stream, Table};
use crate::run::slot::Slot;
use crate::unwind::Kept;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Pairs every item with all items of `other` that have the same key: an inner join. The order is that of this
    /// stream; the pairs of one item come in the order of `other`. Runs on all workers at once, when all items of
    /// `other` are there. Fuses.
    ///
    /// It keeps all items of `other` in memory, so `other` should be the shorter stream. Until they are there, this
    /// stream waits. If both streams come from one source, all of this one would be held; that is a defect, unless this
    /// stream is [`spooled`](Self::spooled).
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let names = g.source([(1, "pears"), (2, "plums")]);
    /// let sold = g.source([(2, 4.0), (3, 1.0), (1, 2.5), (2, 3.0)]);
    /// let sold = sold.join_by_key(names, |sale| sale.0, |name| name.0).map(|(sale, name)| (name.1, sale.1));
    /// let sold = sold.collect();
    /// assert_eq!(pool.run(g)?.take(sold), [("plums", 4.0), ("pears", 2.5), ("plums", 3.0)]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn join_by_key<U, Q, K, F, G>(
        self,
        other: Stream<'env, U, Q>,
        key: F,
        other_key: G,
    ) -> Stream<'env, (T, U), impl Pipe<Out = (T, U)> + use<'env, T, P, U, Q, K, F, G>>
    where
        T: Clone,
        U: Clone + Send + Sync + 'env,
        Q: Pipe<Out = U> + 'env,
        K: Hash + Eq + Send + Sync + 'env,
        F: Fn(&T) -> K + Send + Sync + 'env,
        G: Fn(&U) -> K + Send + Sync + 'env,
    {
        let keyed = other.fuse("join_by_key", KeyBy(other_key));
        let key_op = keyed.number();
        let table = Keyed { pairs: keyed }.sink("join_by_key", "every item of the other stream", |result| {
            Lanes::new(push, std::convert::identity, result)
        });
        let joined = self.fuse_with_data("join_by_key", &table, |table| JoinByKey { table, key });
        let whole = joined.number();
        table.names.set_part(key_op, whole, "the key of the other stream");
        table.with_whole(whole, "the other stream");
        joined
    }
}

/// The operator of [`Stream::join_by_key`].
struct JoinByKey<K, U, F> {
    table: Slot<Table<K, Vec<U>>>,
    key: F,
}

impl<T, U, K, F> FusedOp<T> for JoinByKey<K, U, F>
where
    T: Clone,
    U: Clone + Send + Sync,
    K: Hash + Eq + Send + Sync,
    F: Fn(&T) -> K + Send + Sync,
{
    type Out = (T, U);
    type Batch<'a>
        = &'a Table<K, Vec<U>>
    where
        Self: 'a;
    const MAKES: Makes = Makes::Any;
    fn begin(&self) -> &Table<K, Vec<U>> {
        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        // SAFETY: (1) the stage's gate is open, so the sink that writes the table has ended, and nothing else writes it;
        // (2) keys and items are `Sync`.
        let table = unsafe { self.table.read() };
        table.expect("the gate opens when the table is there")
    }
    #[inline]
    fn item(&self, table: &mut &Table<K, Vec<U>>, item: T, out: &mut impl Emit<(T, U)>) {
        let item = Kept::new(item);
        let key = (self.key)(&item);
        let Some((last, others)) = table.get(&key).and_then(|items| items.split_last()) else { return };
        for other in others {
            out.emit((T::clone(&item), other.clone()));
        }
        let last = last.clone();
        out.emit((item.into_inner(), last));
    }
}
