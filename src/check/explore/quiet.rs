//! Panics of closures that are explored print nothing: there may be one in each of thousands of schedules.

use std::cell::Cell;
use std::panic;

use crate::sync::LazyLock;

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// The hook of the process that prints panics, but for those of threads that are quiet.
static HOOK: LazyLock<()> = LazyLock::new(|| {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !IS_QUIET.get() {
            usual(info);
        }
    }));
});

/// Calls `work`. Panics on this thread print nothing meanwhile.
pub(super) fn quietly<R>(work: impl FnOnce() -> R) -> R {
    struct Loud(bool);
    impl Drop for Loud {
        fn drop(&mut self) {
            IS_QUIET.set(self.0);
        }
    }
    LazyLock::force(&HOOK);
    let _loud = Loud(IS_QUIET.replace(true));
    work()
}
