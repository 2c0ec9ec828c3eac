//! User code may panic anywhere, also in a drop: what to do with what it throws.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops a value of the user's; a panic of its drop goes no further.
pub(crate) fn drop_value<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        drop_payload(panic);
    }
}

/// Drops what a panic threw. What the drop of that throws in turn is left alone.
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

/// What a panic says, if it is a text.
pub(crate) fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no text")
}

/// Does `work` on a value; the value survives a panic, as `work` has left it.
///
/// The value lives in `work`'s frame, not behind a pointer that the compiler must keep up to date: in a loop its parts
/// can stay in registers.
#[inline]
pub(crate) fn keeping<A>(value: A, work: impl FnOnce(&mut A)) -> (A, Result<(), Box<dyn Any + Send>>) {
    struct Keep<'a, A>(Option<A>, &'a mut Option<A>);
    impl<A> Drop for Keep<'_, A> {
        #[inline]
        fn drop(&mut self) {
            *self.1 = self.0.take();
        }
    }
    let mut kept = None;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut keep = Keep(Some(value), &mut kept);
        if let Some(value) = &mut keep.0 {
            work(value);
        }
    }));
    (kept.expect("the guard has put it here"), result)
}
