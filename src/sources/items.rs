//! `items`: clones of the items that data holds.

use std::ops::Deref;

use crate::engine::heads::numbered::{Batch, ByNumber};
use crate::engine::pipe::Pipe;
use crate::graph::{Graph, Stream};
use crate::plan::Data;
use crate::run::slot::Slot;

impl<'env> Graph<'env> {
    /// Makes a stream of clones of the items of data that holds a sequence, such as a `Vec`. All workers clone items at
    /// once.
    ///
    /// The stream begins when the data is finished. Tasks that write the data later in program order wait until the
    /// stream has ended.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let words = g.source(["to", "be", "or"]).collect();
    /// let lengths = g.items(&words).map(|word| word.len()).sum::<usize>();
    /// assert_eq!(pool.run(g)?.take(lengths), 6);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn items<T, D>(&self, data: &Data<D>) -> Stream<'env, T, impl Pipe<Out = T> + use<'env, T, D>>
    where
        T: Clone + Send + Sync + 'env,
        D: Deref<Target = [T]> + Send + Sync + 'env,
    {
        let stream = self.add_numbered("items", DataItems(self.slot(data)));
        stream.reads(data);
        stream
    }
}

/// Clones of the items in a slot.
pub(crate) struct DataItems<D>(pub(crate) Slot<D>);

impl<T, D: Deref<Target = [T]> + Send + Sync> DataItems<D> {
    fn items(&self) -> &[T] {
        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        // SAFETY: (1) the stage's gate is open, so the task or sink that writes the data has finished, and the next
        // writer waits for the end of this stage; (2) `D: Sync`.
        let data = unsafe { self.0.read() };
        data.expect("the gate opens when the data is there")
    }
}

impl<T: Clone + Sync, D: Deref<Target = [T]> + Send + Sync> ByNumber for DataItems<D> {
    type Item = T;
    fn len(&self) -> u64 {
        self.items().len() as u64
    }
    #[inline]
    fn each(&self, batch: Batch, out: &mut impl FnMut(T)) {
        for item in &self.items()[batch.indices()] {
            out(item.clone());
        }
    }
}
