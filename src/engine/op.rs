//! Fused operators: what is done with an item on its way through a pipe.
//!
//! An operator in [`crate::operators`] implements [`FusedOp`] for one item. [`Op`] puts it behind a pipe, and does for
//! all operators what they have in common: it measures time, puts failures down to the operator that failed, and counts
//! items.

use std::cell::Cell;
use std::error::Error;

use super::pipe::{Counter, Head, Meter, Parcel, Pipe, Position, guard};
use crate::run::flow::frame::Frame;
pub(crate) use crate::run::flow::makes::Makes;

/// What a fused operator does with an item. All workers may call it at the same time.
pub(crate) trait FusedOp<T>: Send + Sync {
    /// What it makes.
    type Out;
    /// What it looks up once for a batch, such as data.
    type Batch<'a>
    where
        Self: 'a;
    /// How many items it makes of an item on which it does not fail.
    const MAKES: Makes;
    /// Whether it may [fail](Emit::fail) on an item. Then it makes one of each other item.
    const FAILS: bool = false;
    /// Whether it may make more or fewer items than it is given.
    const RESIZES: bool = !matches!(Self::MAKES, Makes::One) || Self::FAILS;
    /// Begins a batch. It must not call user code.
    fn begin(&self) -> Self::Batch<'_>;
    /// Takes an item, and hands what it makes to `out`.
    fn item(&self, batch: &mut Self::Batch<'_>, item: T, out: &mut impl Emit<Self::Out>);
}

/// Where a fused operator puts what it makes.
pub(crate) trait Emit<T> {
    /// Hands on the next item.
    fn emit(&mut self, item: T);
    /// Fails on the item that the operator has. The rest of the batch is dropped before it reaches the operator.
    fn fail(&mut self, error: Box<dyn Error + Send + Sync>);
}

/// What a closure may give as its error, as in [`try_map`](crate::Stream::try_map): whatever becomes a boxed error that
/// threads can pass on.
///
/// That is any type with `Error + Send + Sync` that borrows nothing, and `String` and `&'static str`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a run",
    label = "this error does not become a `Box<dyn Error + Send + Sync>`",
    note = "it must implement `std::error::Error`, be `Send` and `Sync`, and borrow nothing; a `String` will do, too",
    note = "in place of a `Box<dyn Error>` have a `Box<dyn Error + Send + Sync>`; of any error that can be shown \
            `.map_err(|error| error.to_string())` makes one that will do"
)]
pub trait IntoFailure: Into<Box<dyn Error + Send + Sync>> {}

#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn Error + Send + Sync>>> IntoFailure for E {}

/// A pipe and an operator behind it.
pub(crate) struct Op<P, O> {
    inner: P,
    op: O,
    spot: Position,
}

impl<P, O> Op<P, O> {
    pub(crate) fn new(inner: P, op: O, spot: Position) -> Self {
        Self { inner, op, spot }
    }

    /// The operator, for its options.
    pub(crate) fn op_mut(&mut self) -> &mut O {
        &mut self.op
    }
}

/// A pipe whose last operator can be tried again on an item on which it has failed: one that
/// [`Stream::retry`](crate::Stream::retry) can be said of.
///
/// Only methods of [`Stream`](crate::Stream) make such pipes; the trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`retry` can only be said right behind an operator that keeps its item, such as `try_map_ref`",
    label = "the last operator of this stream cannot be tried again"
)]
pub trait Retries: Pipe {
    #[doc(hidden)]
    fn set_retries(&mut self, times: u32);
}

impl<P: Pipe, O: FusedOp<P::Out>> Pipe for Op<P, O> {
    type Out = O::Out;

    fn head(&self) -> &dyn Head {
        self.inner.head()
    }

    #[inline(always)]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(O::Out)) {
        let at = self.spot.position;
        let mut batch = self.op.begin();
        let counted = Counter::new(frame, O::RESIZES.then_some(self.spot.column));
        const { assert!(!O::FAILS || matches!(O::MAKES, Makes::One), "what it has made says how many items it was given") };
        let failed = Cell::new(false);
        self.inner.drive::<M>(parcel, frame, &mut |item| {
            if O::FAILS && failed.get() {
                return;
            }
            M::at(frame, at);
            // If an operator makes at most one item, that item goes on after the guard is gone: then the guard costs
            // nothing.
            let mut one = None;
            let made = |item| {
                if O::MAKES == Makes::Any {
                    counted.add();
                    out(item);
                    M::at(frame, at);
                } else {
                    one = Some(item);
                }
            };
            let fail = |error| {
                failed.set(true);
                frame.fail(at, counted.count(), error);
            };
            guard(frame, at, || self.op.item(&mut batch, item, &mut Emitter { made, fail }));
            if let Some(item) = one {
                if O::RESIZES {
                    counted.add();
                }
                out(item);
            }
        });
    }
}

/// The two exits of an operator: an item that it made, and a failure.
struct Emitter<M, F> {
    made: M,
    fail: F,
}

impl<T, M: FnMut(T), F: Fn(Box<dyn Error + Send + Sync>)> Emit<T> for Emitter<M, F> {
    #[inline]
    fn emit(&mut self, item: T) {
        (self.made)(item);
    }
    #[cold]
    fn fail(&mut self, error: Box<dyn Error + Send + Sync>) {
        (self.fail)(error);
    }
}
