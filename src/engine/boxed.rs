//! A pipe whose type is hidden behind a pointer, for [`Stream::boxed`](crate::Stream::boxed).
//!
//! [`Pipe::drive`] is generic, so no trait object can have it. [`Hidden`] has a method without type parameters instead,
//! which calls it.

use std::fmt;

use super::pipe::{Head, Meter, Parcel, Pipe, Timed, Untimed, Weigh};
use crate::run::flow::frame::Frame;

/// A pipe whose type is hidden. It costs one indirect call more for each item.
pub struct Boxed<'env, T>(Box<dyn Hidden<T> + 'env>);

impl<'env, T> Boxed<'env, T> {
    pub(crate) fn new(pipe: impl Pipe<Out = T> + 'env) -> Self {
        Self(Box::new(pipe))
    }
}

/// [`Pipe`] without generic methods, for trait objects.
trait Hidden<T>: Send + Sync {
    fn head(&self) -> &dyn Head;
    fn drive(&self, timed: bool, parcel: Parcel, frame: &Frame<'_>, out: &mut dyn FnMut(T));
    fn weigh(&self, weigh: Weigh<T>) -> bool;
}

impl<P: Pipe> Hidden<P::Out> for P {
    fn head(&self) -> &dyn Head {
        Pipe::head(self)
    }
    fn drive(&self, timed: bool, parcel: Parcel, frame: &Frame<'_>, mut out: &mut dyn FnMut(P::Out)) {
        if timed {
            Pipe::drive::<Timed>(self, parcel, frame, &mut out);
        } else {
            Pipe::drive::<Untimed>(self, parcel, frame, &mut out);
        }
    }
    fn weigh(&self, weigh: Weigh<P::Out>) -> bool {
        Pipe::weigh(self, weigh)
    }
}

#[expect(private_interfaces, reason = "sealed: the methods are the engine's")]
#[expect(private_bounds, reason = "sealed: the methods are the engine's")]
impl<T> Pipe for Boxed<'_, T> {
    type Out = T;
    fn head(&self) -> &dyn Head {
        self.0.head()
    }
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(T)) {
        self.0.drive(M::TIMED, parcel, frame, out);
    }
    fn weigh(&self, weigh: Weigh<T>) -> bool {
        self.0.weigh(weigh)
    }
}

impl<T> fmt::Debug for Boxed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Boxed")
    }
}
