//! `chunks`: adjacent items together.

use std::marker::PhantomData;
use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::Stream;
use crate::run::flow::makes::Makes;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Puts every `n` adjacent items into a vector; the last one may have fewer. One item at a time, in stream order.
    /// Stage boundary after it.
    ///
    /// `n = 0` is a defect, which [`Graph::plan`](crate::Graph::plan) reports.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let sums = g.range(1..6_u64).chunks(2).map(|chunk| chunk.iter().sum::<u64>()).collect();
    /// assert_eq!(pool.run(g)?.take(sums), [3, 7, 5]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn chunks(self, n: usize) -> Stream<'env, Vec<T>, impl Pipe<Out = Vec<T>>> {
        self.serial("chunks", Chunks { n, item: PhantomData }).refuse_if(n == 0, "chunks(0): at least 1")
    }
}

/// The operator of [`Stream::chunks`].
struct Chunks<T> {
    n: usize,
    item: PhantomData<fn(T)>,
}

impl<T: Send> SerialOp<T> for Chunks<T> {
    type Out = Vec<T>;
    /// What is not enough for a chunk yet.
    type State = Vec<T>;
    const ENDS: bool = true;
    const KEEPS: Option<&'static str> = Some("one chunk");
    fn makes(&self) -> Makes {
        Makes::Every { first: self.n as u64, step: self.n as u64 }
    }
    fn makes_at_end(&self) -> Option<u64> {
        Some(1)
    }
    fn begin(&mut self) -> Vec<T> {
        Vec::new()
    }
    #[inline]
    fn item(&mut self, chunk: &mut Vec<T>, item: T, made: &mut Vec<Vec<T>>) -> ControlFlow<Stop> {
        chunk.push(item);
        if chunk.len() >= self.n {
            let next = Vec::with_capacity(chunk.len());
            made.push(std::mem::replace(chunk, next));
        }
        ControlFlow::Continue(())
    }
    fn end(&mut self, chunk: Vec<T>, made: &mut Vec<Vec<T>>) {
        if !chunk.is_empty() {
            made.push(chunk);
        }
    }
}
