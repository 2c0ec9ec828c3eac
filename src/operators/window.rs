//! `window`: adjacent items together, again and again.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::Stream;
use crate::run::flow::makes::Makes;

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives every `n` adjacent items, as a vector, beginning at every `step`th item, as [`slice::windows`] does with
    /// steps of one. Windows that the end of the stream cuts short are left out. One item at a time, in stream order.
    /// Stage boundary after it.
    ///
    /// Windows that overlap (`step < n`) have clones of the items.
    ///
    /// `n = 0` and `step = 0` are defects, which [`Graph::plan`](crate::Graph::plan) reports.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let rising = g.slice(&[1, 3, 2, 5, 8]).copied().window(2, 1).filter(|pair| pair[0] < pair[1]).count();
    /// assert_eq!(pool.run(g)?.take(rising), 3);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn window(self, n: usize, step: usize) -> Stream<'env, Vec<T>, impl Pipe<Out = Vec<T>>>
    where
        T: Clone,
    {
        self.serial("window", Window { n, step, item: PhantomData })
            .refuse_if(n == 0, "window(0, _): at least 1 item")
            .refuse_if(step == 0, "window(_, 0): steps of at least 1 item")
    }
}

/// The operator of [`Stream::window`].
struct Window<T> {
    n: usize,
    step: usize,
    item: PhantomData<fn(T)>,
}

impl<T: Clone + Send> SerialOp<T> for Window<T> {
    type Out = Vec<T>;
    /// The items of the next window that are there, and how many items are to be left out before them.
    type State = (VecDeque<T>, usize);
    const KEEPS: Option<&'static str> = Some("one window");
    fn makes(&self) -> Makes {
        Makes::Every { first: self.n as u64, step: self.step as u64 }
    }
    fn begin(&mut self) -> Self::State {
        (VecDeque::new(), 0)
    }
    #[inline]
    fn item(&mut self, (next, left_out): &mut Self::State, item: T, made: &mut Vec<Vec<T>>) -> ControlFlow<Stop> {
        if *left_out > 0 {
            *left_out -= 1;
            return ControlFlow::Continue(());
        }
        next.push_back(item);
        if next.len() >= self.n {
            let goes = self.step.min(next.len()); // the others are in the next window, too
            let mut window = Vec::with_capacity(next.len());
            let stays: Vec<T> = next.iter().skip(goes).cloned().collect();
            window.extend(next.drain(..goes));
            window.extend(stays);
            made.push(window);
            *left_out = self.step - goes;
        }
        ControlFlow::Continue(())
    }
}
