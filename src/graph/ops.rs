//! The stateless operators that fuse.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::pipe::{Head, Meter, Pipe, Spot, Tally, Timed, Untimed, guard};
use crate::run::frame::Frame;
use crate::run::slot::Slot;
use crate::run::stage::Parcel;
use crate::unwind::Kept;

/// The parts of an operator that go on to the one before.
macro_rules! pass_on {
    () => {
        fn head(&self) -> &dyn Head {
            self.inner.head()
        }
        fn head_mut(&mut self) -> &mut dyn Head {
            self.inner.head_mut()
        }
    };
}

/// The struct of an operator with one closure.
macro_rules! operator {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub(crate) struct $name<P, F> {
            inner: P,
            f: F,
            spot: Spot,
        }

        impl<P, F> $name<P, F> {
            pub(crate) fn new(inner: P, f: F, spot: Spot) -> Self {
                Self { inner, f, spot }
            }
        }

        impl<P, F> fmt::Debug for $name<P, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

operator! {
    /// Of [`Stream::map`](crate::Stream::map).
    Map
}

impl<P: Pipe, U, F: Fn(P::Out) -> U + Send + Sync> Pipe for Map<P, F> {
    type Out = U;
    pass_on!();
    #[inline]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(U)) {
        let at = self.spot.position;
        self.inner.drive::<M>(parcel, frame, &mut |item| {
            M::at(frame, at);
            out(guard(frame, at, || (self.f)(item)));
        });
    }
}

operator! {
    /// Of [`Stream::key_by`](crate::Stream::key_by).
    KeyBy
}

impl<P: Pipe, K, F: Fn(&P::Out) -> K + Send + Sync> Pipe for KeyBy<P, F> {
    type Out = K;
    pass_on!();
    #[inline]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(K)) {
        let at = self.spot.position;
        self.inner.drive::<M>(parcel, frame, &mut |item| {
            M::at(frame, at);
            out(guard(frame, at, || {
                let item = Kept::new(item);
                let key = Kept::new((self.f)(&item));
                drop(item.into_inner()); // here, not behind what comes after: a panic of it is this operator's
                key.into_inner()
            }));
        });
    }
}

operator! {
    /// Of [`Stream::inspect`](crate::Stream::inspect).
    Inspect
}

impl<P: Pipe, F: Fn(&P::Out) + Send + Sync> Pipe for Inspect<P, F> {
    type Out = P::Out;
    pass_on!();
    #[inline]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(P::Out)) {
        let at = self.spot.position;
        self.inner.drive::<M>(parcel, frame, &mut |item| {
            M::at(frame, at);
            let item = Kept::new(item);
            guard(frame, at, || (self.f)(&item));
            out(item.into_inner());
        });
    }
}

operator! {
    /// Of [`Stream::filter`](crate::Stream::filter).
    Filter
}

impl<P: Pipe, F: Fn(&P::Out) -> bool + Send + Sync> Pipe for Filter<P, F> {
    type Out = P::Out;
    pass_on!();
    #[inline]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(P::Out)) {
        let at = self.spot.position;
        let passed = Tally::new(frame, self.spot.column);
        self.inner.drive::<M>(parcel, frame, &mut |item| {
            M::at(frame, at);
            let item = Kept::new(item);
            if guard(frame, at, || (self.f)(&item)) {
                passed.add();
                out(item.into_inner());
            } else {
                guard(frame, at, || drop(item.into_inner()));
            }
        });
    }
}

operator! {
    /// Of [`Stream::filter_map`](crate::Stream::filter_map).
    FilterMap
}

impl<P: Pipe, U, F: Fn(P::Out) -> Option<U> + Send + Sync> Pipe for FilterMap<P, F> {
    type Out = U;
    pass_on!();
    #[inline]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(U)) {
        let at = self.spot.position;
        let passed = Tally::new(frame, self.spot.column);
        self.inner.drive::<M>(parcel, frame, &mut |item| {
            M::at(frame, at);
            if let Some(item) = guard(frame, at, || (self.f)(item)) {
                passed.add();
                out(item);
            }
        });
    }
}

operator! {
    /// Of [`Stream::flat_map`](crate::Stream::flat_map).
    FlatMap
}

impl<P: Pipe, I: IntoIterator, F: Fn(P::Out) -> I + Send + Sync> Pipe for FlatMap<P, F> {
    type Out = I::Item;
    pass_on!();
    #[inline]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(I::Item)) {
        let at = self.spot.position;
        let made = Tally::new(frame, self.spot.column);
        self.inner.drive::<M>(parcel, frame, &mut |item| {
            M::at(frame, at);
            guard(frame, at, || {
                (self.f)(item).into_iter().for_each(|item| {
                    made.add();
                    out(item);
                    M::at(frame, at);
                });
            });
        });
    }
}

operator! {
    /// Of [`Stream::flat_map_into`](crate::Stream::flat_map_into).
    FlatMapInto
}

/// The closure of [`FlatMapInto`], with the type of the items it makes.
pub(crate) struct Emitting<F, U> {
    pub(crate) f: F,
    pub(crate) item: std::marker::PhantomData<fn() -> U>,
}

impl<P: Pipe, U, F: Fn(P::Out, &mut dyn FnMut(U)) + Send + Sync> Pipe for FlatMapInto<P, Emitting<F, U>> {
    type Out = U;
    pass_on!();
    #[inline]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(U)) {
        let at = self.spot.position;
        let made = Tally::new(frame, self.spot.column);
        self.inner.drive::<M>(parcel, frame, &mut |item| {
            M::at(frame, at);
            let emit = &mut |item| {
                made.add();
                out(item);
                M::at(frame, at);
            };
            guard(frame, at, || (self.f.f)(item, emit));
        });
    }
}

operator! {
    /// Of [`Stream::try_map`](crate::Stream::try_map).
    TryMap
}

impl<P: Pipe, U, E, F> Pipe for TryMap<P, F>
where
    E: Into<Box<dyn Error + Send + Sync>>,
    F: Fn(P::Out) -> Result<U, E> + Send + Sync,
{
    type Out = U;
    pass_on!();
    /// After the first error of a batch the rest of the batch is dropped here.
    #[inline]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(U)) {
        let at = self.spot.position;
        let passed = Tally::new(frame, self.spot.column);
        let mut failed = false;
        self.inner.drive::<M>(parcel, frame, &mut |item| {
            if failed {
                return;
            }
            M::at(frame, at);
            match guard(frame, at, || (self.f)(item).map_err(Into::into)) {
                Ok(item) => {
                    passed.add();
                    out(item);
                }
                Err(error) => {
                    failed = true;
                    frame.fail(at, passed.count(), error);
                }
            }
        });
    }
}

/// Of [`Stream::map_with`](crate::Stream::map_with).
pub(crate) struct MapWith<P, D, F> {
    inner: P,
    data: Arc<Slot<D>>,
    f: F,
    spot: Spot,
}

impl<P, D, F> MapWith<P, D, F> {
    pub(crate) fn new(inner: P, data: Arc<Slot<D>>, f: F, spot: Spot) -> Self {
        Self { inner, data, f, spot }
    }
}

impl<P: Pipe, D: Send + Sync, U, F: Fn(&D, P::Out) -> U + Send + Sync> Pipe for MapWith<P, D, F> {
    type Out = U;
    pass_on!();
    #[inline]
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(U)) {
        let at = self.spot.position;
        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        // SAFETY: (1) the stage's gate is open: whoever writes the data has finished, and its next writer waits for the
        // end of this stage; (2) `D: Sync`.
        let data = unsafe { self.data.read() }.expect("the gate opens when the data is there");
        self.inner.drive::<M>(parcel, frame, &mut |item| {
            M::at(frame, at);
            out(guard(frame, at, || (self.f)(data, item)));
        });
    }
}

/// A pipe whose type is hidden: an item costs an indirect call more.
pub struct Boxed<'env, T>(Box<dyn Hidden<T> + 'env>);

impl<'env, T> Boxed<'env, T> {
    pub(crate) fn new(pipe: impl Pipe<Out = T> + 'env) -> Self {
        Self(Box::new(pipe))
    }
}

/// [`Pipe`] without generic methods.
trait Hidden<T>: Send + Sync {
    fn head(&self) -> &dyn Head;
    fn head_mut(&mut self) -> &mut dyn Head;
    fn drive(&self, timed: bool, parcel: Parcel, frame: &Frame<'_>, out: &mut dyn FnMut(T));
}

impl<P: Pipe> Hidden<P::Out> for P {
    fn head(&self) -> &dyn Head {
        Pipe::head(self)
    }
    fn head_mut(&mut self) -> &mut dyn Head {
        Pipe::head_mut(self)
    }
    fn drive(&self, timed: bool, parcel: Parcel, frame: &Frame<'_>, mut out: &mut dyn FnMut(P::Out)) {
        if timed {
            Pipe::drive::<Timed>(self, parcel, frame, &mut out);
        } else {
            Pipe::drive::<Untimed>(self, parcel, frame, &mut out);
        }
    }
}

#[expect(private_interfaces, reason = "sealed: the methods are the engine's")]
#[expect(private_bounds, reason = "sealed: the methods are the engine's")]
impl<T> Pipe for Boxed<'_, T> {
    type Out = T;
    fn head(&self) -> &dyn Head {
        self.0.head()
    }
    fn head_mut(&mut self) -> &mut dyn Head {
        self.0.head_mut()
    }
    fn drive<M: Meter>(&self, parcel: Parcel, frame: &Frame<'_>, out: &mut impl FnMut(T)) {
        self.0.drive(M::TIMED, parcel, frame, out);
    }
}

impl<P, D, F> fmt::Debug for MapWith<P, D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MapWith")
    }
}

impl<T> fmt::Debug for Boxed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Boxed")
    }
}
