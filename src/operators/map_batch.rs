//! `map_batch`: replaces the items of a batch, all at once.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::engine::edge::Edge;
use crate::engine::inlet::{Shape, drop_packet};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::run::cancel::{Cause, Fault, Index};
use crate::run::flow::cx::Cx;
use crate::run::flow::makes::Makes;
use crate::run::flow::packet::Packet;
use crate::run::flow::stage::Ended;
use crate::sync::Instant;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces the items of a batch by any number of items: `f` gets them all at once, for work that is cheaper so.
    /// That may be SIMD, or one question to a database for many items. What `f` makes has the place of its batch in the
    /// order. Runs on all workers at once, a batch each. Stage boundary before and after it.
    ///
    /// Do not rely on where batches end: that depends on options, and in some streams on time. What `f` makes of some
    /// items should not depend on which others it gets with them. `f` is called with one item at least, and as a rule
    /// with up to 1024; [`batch_size`](Self::batch_size) of the source says how many. [`chunks`](Self::chunks) gives
    /// vectors that one can rely on.
    ///
    /// What `f` makes of one batch is in memory at once. A call costs a vector for the items that come.
    ///
    /// # Panics
    /// If `f` panics, the run fails with this operator's name, but without the number of an item: which one of the
    /// batch it was is not known.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let names = |ids: Vec<u32>| ids.into_iter().map(|id| format!("user {id}")); // one round trip for all
    /// let found = g.range(0..3_u32).batch_size(2).map_batch(names).collect();
    /// assert_eq!(pool.run(g)?.take(found), ["user 0", "user 1", "user 2"]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn map_batch<I, F>(self, f: F) -> Stream<'env, I::Item, impl Pipe<Out = I::Item>>
    where
        I: IntoIterator<Item: Send + 'env> + 'env,
        F: Fn(Vec<T>) -> I + Send + Sync + 'env,
    {
        let out = Arc::new(Edge::new());
        self.through("map_batch", MapBatch { f, out: Arc::clone(&out), item: PhantomData }, out)
    }
}

/// The operator of [`Stream::map_batch`].
struct MapBatch<F, T, U> {
    f: F,
    out: Arc<Edge<U>>,
    item: PhantomData<fn(T)>,
}

impl<T: Send, I: IntoIterator<Item: Send>, F: Fn(Vec<T>) -> I + Send + Sync> Shape for MapBatch<F, T, I::Item> {
    type Item = T;
    type Own = Infallible;
    const MAKES: Makes = Makes::Any;

    fn take(&self, cx: &Cx<'_>, edge: &Edge<T>, mut packet: Box<Packet<T>>) {
        if !cx.wants(&packet.ticket) {
            return drop_packet(cx, edge, packet);
        }
        let mut made = self.out.take();
        (made.ticket, made.failure) = (packet.ticket, packet.failure.take());
        let came = std::mem::take(&mut packet.items);
        edge.give(packet);
        cx.count(0, came.len());
        if !came.is_empty() {
            let start = Instant::now();
            let items = &mut made.items;
            let call = AssertUnwindSafe(|| (self.f)(came).into_iter().for_each(|item| items.push(item)));
            if let Err(panic) = catch_unwind(call) {
                let fault = Fault { op: 0, index: Index::None, cause: Cause::Panic(panic) };
                made.failure = Some(cx.failure(&made.ticket, fault)); // it comes before one that came with the items
            }
            cx.record_time(&made.ticket, start.elapsed());
        }
        cx.count(1, made.items.len());
        cx.send(0, made, true);
        cx.arrive();
    }

    fn own(&self, _: &Cx<'_>, _: &Edge<T>, job: Infallible) {
        match job {}
    }

    fn end(&self, _: &Cx<'_>) -> Ended {
        Ended::Now
    }

    fn reset(&mut self) {}
}
