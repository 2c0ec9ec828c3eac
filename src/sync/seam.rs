//! The one place where a thread blocks, or a virtual worker yields to its driver.
//!
//! An OS thread blocks in the [parker](super::parker). A virtual worker is a coroutine that shares one OS thread with
//! all the others: it hands control to its driver, which chooses the next step. A thread-local holds the driver. Only
//! code that is about to block, and code that knows that it runs on a virtual worker, asks for it.

use std::cell::Cell;
use std::ptr::NonNull;

/// A named place where the engine may be interleaved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// A worker looks for its next job.
    Find,
    /// A job came from another worker or from outside.
    Steal,
    /// A private job was made stealable.
    Publish,
    /// A process of an explored run is about to touch what others may touch.
    #[cfg(feature = "check")]
    Touch,
    /// A race: others may come in between here, as at many places, and here it matters. Takes no time.
    Race,
}

/// What drives virtual workers.
pub(crate) trait Driver {
    /// Whether its workers have a clock. If so, they also block as threads do, at a futex.
    fn has_clock(&self) -> bool;
    /// Lets others go on until `ready` holds.
    fn block(&self, ready: &dyn Fn() -> bool);
    /// Lets others go on here, if the driver wants that.
    fn point(&self, point: Point);
}

thread_local! {
    static DRIVER: Cell<Option<NonNull<dyn Driver>>> = const { Cell::new(None) };
}

/// Blocks through the driver of this thread. `false`: there is none, or its workers have a clock. Then the caller
/// blocks at a futex.
pub(crate) fn block(ready: &dyn Fn() -> bool) -> bool {
    let is_timeless = is_timeless();
    if is_timeless {
        with_driver(|driver| driver.block(ready));
    }
    is_timeless
}

/// Passes a point where the driver may choose. It costs a read of a thread-local, so only virtual workers call it.
pub(crate) fn point(point: Point) {
    with_driver(|driver| driver.point(point));
}

/// Whether a driver steps this thread's workers, and they have no clock.
pub(crate) fn is_timeless() -> bool {
    with_driver(|driver| !driver.has_clock()).unwrap_or(false)
}

/// Whether a driver steps this thread's workers.
pub(crate) fn is_driven() -> bool {
    DRIVER.get().is_some()
}

#[expect(unsafe_code, reason = "the driver is borrowed for the time of `drive`")]
fn with_driver<R>(call: impl FnOnce(&dyn Driver) -> R) -> Option<R> {
    let driver = DRIVER.get()?;
    // SAFETY: (1) `drive` set the pointer from a reference that outlives its whole call; (2) it takes the pointer
    // away again before it returns, and it never leaves the thread.
    Some(call(unsafe { driver.as_ref() }))
}

/// Makes `driver` the one of this thread while `body` runs.
#[cfg(any(feature = "check", all(test, not(loom))))]
pub(crate) fn drive<R>(driver: &(dyn Driver + 'static), body: impl FnOnce() -> R) -> R {
    struct Restore(Option<NonNull<dyn Driver>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            DRIVER.set(self.0);
        }
    }
    let _restore = Restore(DRIVER.replace(Some(NonNull::from(driver))));
    body()
}
