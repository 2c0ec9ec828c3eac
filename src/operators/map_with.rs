//! `map_with`: replaces every item, with the help of data.

use crate::engine::op::{Emit, FusedOp, Makes};
use crate::engine::pipe::Pipe;
use crate::graph::Stream;
use crate::plan::Data;
use crate::run::slot::Slot;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Replaces every item by what `f` makes of it and of `data`. The stream waits until the data is finished. Fuses;
    /// runs on all workers at once.
    ///
    /// If the stream comes from the same source as the data, all of it would be held until the data is finished. That
    /// is a defect, unless the stream is [`spooled`](Self::spooled).
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let mean = g.slice(&[1.0, 2.0, 6.0]).map(|x| x / 3.0).sum::<f64>();
    /// let offsets = g.slice(&[1.0, 2.0, 6.0]).map_with(&mean, |mean, x| x - mean).collect();
    /// assert_eq!(pool.run(g)?.take(offsets), [-2.0, -1.0, 3.0]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn map_with<D, U, F>(
        self,
        data: &Data<D>,
        f: F,
    ) -> Stream<'env, U, impl Pipe<Out = U> + use<'env, T, P, D, U, F>>
    where
        F: Fn(&D, T) -> U + Send + Sync + 'env,
        D: Send + Sync + 'env,
    {
        self.fuse_with_data("map_with", data, |data| MapWith { data, f })
    }
}

/// The operator of [`Stream::map_with`].
struct MapWith<D, F> {
    data: Slot<D>,
    f: F,
}

impl<T, D: Send + Sync, U, F: Fn(&D, T) -> U + Send + Sync> FusedOp<T> for MapWith<D, F> {
    type Out = U;
    type Batch<'a>
        = &'a D
    where
        Self: 'a;
    const MAKES: Makes = Makes::One;
    fn begin(&self) -> &D {
        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        // SAFETY: (1) the stage's gate is open, so the task or sink that writes the data has finished, and the next
        // writer waits for the end of this stage; (2) `D: Sync`.
        let data = unsafe { self.data.read() };
        data.expect("the gate opens when the data is there")
    }
    #[inline]
    fn item(&self, data: &mut &D, item: T, out: &mut impl Emit<U>) {
        out.emit((self.f)(data, item));
    }
}
