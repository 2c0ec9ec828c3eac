//! `enumerate`: puts its number before every item.

use std::marker::PhantomData;
use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::Stream;
use crate::run::flow::makes::Makes;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Puts its number before every item, counted from 0, as [`Iterator::enumerate`] does. One item at a time, in
    /// stream order. Stage boundary after it.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let lines = g.split(b"to be\nor\nnot", b'\n').filter(|line| line.len() < 5).enumerate().collect();
    /// assert_eq!(pool.run(g)?.take(lines), [(0, &b"or"[..]), (1, b"not")]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn enumerate(self) -> Stream<'env, (u64, T), impl Pipe<Out = (u64, T)>> {
        self.serial("enumerate", Enumerate(PhantomData))
    }
}

/// The operator of [`Stream::enumerate`].
struct Enumerate<T>(PhantomData<fn() -> T>);

impl<T: Send> SerialOp<T> for Enumerate<T> {
    type Out = (u64, T);
    /// The next number.
    type State = u64;
    fn makes(&self) -> Makes {
        Makes::One
    }
    fn begin(&mut self) -> u64 {
        0
    }
    #[inline]
    fn item(&mut self, next: &mut u64, item: T, made: &mut Vec<(u64, T)>) -> ControlFlow<Stop> {
        made.push((*next, item));
        *next += 1;
        ControlFlow::Continue(())
    }
}
