//! A deadlock fails its test instead of hanging it.

use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

/// How long to wait for what should take milliseconds: a machine may be busy. `MILLSTREAM_PATIENCE` says how many seconds,
/// for tools that make all slow.
pub(crate) static PATIENCE: LazyLock<Duration> = LazyLock::new(|| {
    let said = std::env::var("MILLSTREAM_PATIENCE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(said.unwrap_or(60))
});

/// Calls `work` on a thread of its own, and fails if that takes too long.
pub(crate) fn within_patience<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || done.send(work()).expect("somebody waits"));
    match result.recv_timeout(*PATIENCE) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("deadlock: not done after {:?}", *PATIENCE),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().expect_err("it sent nothing"))
        }
    }
}
