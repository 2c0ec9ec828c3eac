//! `apply`: an operator of one's own.

use std::ops::ControlFlow;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::Stream;

/// A serial operator of one's own, for [`Stream::apply`]: it takes items one at a time, in stream order, and makes any
/// number of items of each, and at the end.
///
/// ```
/// use millstream::{Graph, Operator, Pool};
///
/// /// Joins lines that end in a backslash to the next one.
/// struct Unfold(String);
///
/// impl Operator for Unfold {
///     type In = &'static str;
///     type Out = String;
///     fn on_item(&mut self, line: &'static str, out: &mut dyn FnMut(String)) {
///         match line.strip_suffix('\\') {
///             Some(begin) => self.0 += begin,
///             None => out(std::mem::take(&mut self.0) + line),
///         }
///     }
///     fn on_end(&mut self, out: &mut dyn FnMut(String)) {
///         if !self.0.is_empty() {
///             out(std::mem::take(&mut self.0));
///         }
///     }
/// }
///
/// let pool = Pool::builder().workers(2).build()?;
/// let g = Graph::new();
/// let lines = g.source(["one", "two \\", "and three", "four \\"]).apply(Unfold(String::new())).collect();
/// assert_eq!(pool.run(g)?.take(lines), ["one", "two and three", "four "]);
/// # Ok::<(), millstream::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no operator",
    label = "it does not implement `Operator`",
    note = "`Stream::apply` takes a type of one's own that implements `millstream::Operator`; closures go to `scan`, which \
            keeps a state from item to item, `map`, or `flat_map`"
)]
pub trait Operator: Send {
    /// What it takes.
    type In;
    /// What it makes.
    type Out;
    /// A run begins. The operator is as the last run has left it, also if that one has failed in the middle; here it can
    /// begin anew.
    fn on_start(&mut self) {}
    /// Takes the next item, and gives what it makes to `out`.
    fn on_item(&mut self, item: Self::In, out: &mut dyn FnMut(Self::Out));
    /// The stream has ended, and the operator gives what it still makes to `out`. It is not called in a run that fails
    /// before.
    fn on_end(&mut self, _out: &mut dyn FnMut(Self::Out)) {}
}

impl<'env, T: Send + 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives every item to an operator of one's own, one at a time, in stream order. Stage boundary after it.
    ///
    /// The operator keeps its state from run to run of a plan; see [`Operator::on_start`].
    #[track_caller]
    pub fn apply<O>(self, operator: O) -> Stream<'env, O::Out, impl Pipe<Out = O::Out>>
    where
        O: Operator<In = T, Out: Send + 'env> + 'env,
    {
        self.serial("apply", Apply(operator))
    }
}

/// The operator of [`Stream::apply`].
struct Apply<O>(O);

impl<O: Operator> SerialOp<O::In> for Apply<O> {
    type Out = O::Out;
    type State = ();
    const ENDS: bool = true;
    fn begin(&mut self) {
        self.0.on_start();
    }
    #[inline]
    fn item(&mut self, (): &mut (), item: O::In, made: &mut Vec<O::Out>) -> ControlFlow<Stop> {
        self.0.on_item(item, &mut |item| made.push(item));
        ControlFlow::Continue(())
    }
    fn end(&mut self, (): (), made: &mut Vec<O::Out>) {
        self.0.on_end(&mut |item| made.push(item));
    }
}
