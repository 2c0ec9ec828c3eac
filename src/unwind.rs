//! What to do with what user code throws: it may panic anywhere, also in a drop.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops a value of the user's. A panic of its drop goes no further.
pub(crate) fn drop_value<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        drop_payload(panic);
    }
}

/// Drops what a panic threw. If that drop panics in turn, its payload is leaked.
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

/// A value of the user's that is kept while user code runs. If that code panics, the value is dropped, and a panic of
/// this drop goes no further.
pub(crate) struct Kept<T>(ManuallyDrop<T>);

impl<T> Kept<T> {
    #[inline]
    pub(crate) fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }

    #[inline]
    #[expect(unsafe_code, reason = "moves a value out of what drops it")]
    pub(crate) fn into_inner(self) -> T {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `self` is not dropped, and the value is not looked at again.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Kept<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for Kept<T> {
    #[inline]
    fn drop(&mut self) {
        if std::mem::needs_drop::<T>() {
            #[expect(unsafe_code, reason = "moves a value out of what drops it")]
            // SAFETY: this drop runs once, and the value is not looked at again.
            drop_value(unsafe { ManuallyDrop::take(&mut self.0) });
        }
    }
}

/// Items that are taken out of their owner. Those that are left are dropped with it, one by one, also while unwinding.
pub(crate) struct Draining<I: Iterator>(I);

impl<'a, T> Draining<std::vec::Drain<'a, T>> {
    #[inline]
    pub(crate) fn new(items: &'a mut Vec<T>) -> Self {
        Self(items.drain(..))
    }
}

impl<I: Iterator> Draining<I> {
    pub(crate) fn of(items: I) -> Self {
        Self(items)
    }
}

impl<I: Iterator> Iterator for Draining<I> {
    type Item = I::Item;
    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }
    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<I: ExactSizeIterator> ExactSizeIterator for Draining<I> {}

impl<I: Iterator> Drop for Draining<I> {
    #[inline]
    fn drop(&mut self) {
        self.0.by_ref().for_each(drop_value);
    }
}

/// What a panic says, if its payload is a text.
pub(crate) fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no text")
}

/// Does `work` on a value, and gives the value back as `work` has left it, also if `work` panics.
///
/// The value lives in `work`'s frame, not behind a pointer that the compiler must keep up to date. So its parts can
/// stay in registers in a loop.
#[inline]
pub(crate) fn keeping<A>(value: A, work: impl FnOnce(&mut A)) -> (A, Result<(), Box<dyn Any + Send>>) {
    let mut kept = None;
    let done = AssertUnwindSafe(|| {
        let mut saved = Saved::new(value, &mut kept);
        work(saved.value());
        saved.into_inner()
    });
    match catch_unwind(done) {
        Ok(value) => (value, Ok(())),
        Err(panic) => (kept.expect("it was saved"), Err(panic)),
    }
}

/// A value that user code changes. If that code panics, the value goes to another place as the code has left it.
///
/// As with [`keeping`], its parts can stay in registers. There is no closure around the work, so the compiler sees the
/// value and the loop that changes it in one function.
pub(crate) struct Saved<'a, A> {
    /// None only once it has been taken out.
    value: Option<A>,
    kept: &'a mut Option<A>,
}

impl<'a, A> Saved<'a, A> {
    #[inline]
    pub(crate) fn new(value: A, kept: &'a mut Option<A>) -> Self {
        Self { value: Some(value), kept }
    }

    #[inline]
    pub(crate) fn value(&mut self) -> &mut A {
        self.value.as_mut().expect("it is taken out at the end")
    }

    #[inline]
    pub(crate) fn into_inner(mut self) -> A {
        self.value.take().expect("it is taken out at the end")
    }
}

impl<A> Drop for Saved<'_, A> {
    #[inline]
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            *self.kept = Some(value);
        }
    }
}

/// Replaces a value by what `f` makes of it, in place. If `f` panics no value is left.
///
/// If `f` does not panic, whether there is a value is not written, so a loop need not look at it again.
#[inline]
#[track_caller]
#[expect(unsafe_code, reason = "moves a value out and in again")]
pub(crate) fn renew<A>(place: &mut Option<A>, f: impl FnOnce(A) -> A) {
    struct Lost<A>(*mut Option<A>);
    impl<A> Drop for Lost<A> {
        fn drop(&mut self) {
            // SAFETY: `renew` borrows the place, and this is in its frame; the value was moved out of the place.
            unsafe { self.0.write(None) };
        }
    }
    let place: *mut Option<A> = place;
    // SAFETY: this function borrows the place.
    let value: *mut A = unsafe { &mut *place }.as_mut().expect("the last call came back");
    let lost = Lost(place);
    // SAFETY: the value is there. From here on either `lost` or the write below makes the place whole again.
    let old = unsafe { value.read() };
    let new = f(old);
    // SAFETY: the old value was moved out.
    unsafe { value.write(new) };
    std::mem::forget(lost);
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use super::renew;

    #[test]
    fn renewed_values_are_dropped_once() {
        let counted = Rc::new(());
        let mut place = Some(Rc::clone(&counted));
        renew(&mut place, |old| {
            assert_eq!(Rc::strong_count(&old), 2);
            drop(old);
            Rc::clone(&counted)
        });
        assert_eq!((place.is_some(), Rc::strong_count(&counted)), (true, 2));
        let panic = catch_unwind(AssertUnwindSafe(|| renew(&mut place, |_| panic!("midway"))));
        assert!(panic.is_err());
        assert_eq!((place.is_none(), Rc::strong_count(&counted)), (true, 1));
    }

    #[test]
    #[should_panic(expected = "the last call came back")]
    fn nothing_is_not_renewed() {
        renew(&mut None, |x: u8| x);
    }
}
