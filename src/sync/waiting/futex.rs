//! A word that a thread sleeps on while it has one value.
//!
//! The race: a thread looks at the word and is about to sleep. Another thread changes the word and wakes: nobody sleeps
//! yet. Then the first one sleeps.
//!
//! On Linux the kernel prevents this: it looks at the word and puts the thread to sleep in one step. Elsewhere a lock
//! and a condition stand beside the word. The sleeper holds the lock from its look at the word until it waits. The
//! waker changes the word, and then takes the lock. If it gets the lock first, the sleeper sees the change. If not, the
//! sleeper waits already, and is woken. Models have a token that is kept: what the kernel promises, and not how.

use std::ops::Deref;
use std::time::Duration;

use crate::sync::atomic::AtomicU32;

/// A word to sleep on; see the module.
#[derive(Debug)]
pub(crate) struct Futex {
    word: AtomicU32,
    sleep: Sleep,
}

impl Futex {
    pub(crate) fn new(value: u32) -> Self {
        Self { word: AtomicU32::new(value), sleep: Sleep::default() }
    }

    /// Sleeps if the word is `value`, until it is woken, or for `most`. It may return at any time: look again.
    pub(crate) fn wait(&self, value: u32, most: Option<Duration>) {
        self.sleep.wait(&self.word, value, most);
    }

    /// Wakes one thread that sleeps here, if there is one. Call it after the word has changed.
    pub(crate) fn wake(&self) {
        self.sleep.wake(&self.word);
    }
}

impl Deref for Futex {
    type Target = AtomicU32;

    fn deref(&self) -> &AtomicU32 {
        &self.word
    }
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
use system::Sleep;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) use system::be_on_time;
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
use waits::Sleep;
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub(crate) use waits::be_on_time;

/// The system's calls.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[expect(unsafe_code, reason = "the system's call")]
mod system {
    use super::{AtomicU32, Duration};

    /// From now on this thread wakes within a microsecond of the time that it asks for. By default the system may take
    /// 50 more.
    pub(crate) fn be_on_time() {
        const NANOSECONDS: libc::c_ulong = 1000;
        // SAFETY: it sets a number of this thread. If the system refuses, the thread sleeps as it did before.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, NANOSECONDS) };
    }

    #[derive(Debug, Default)]
    pub(in crate::sync) struct Sleep(());

    impl Sleep {
        pub(in crate::sync) fn wait(&self, word: &AtomicU32, value: u32, most: Option<Duration>) {
            let call = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            let most = most.map(|most| libc::timespec {
                tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: most.subsec_nanos().into(),
            });
            let most = most.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: (1) the word lives while it is borrowed; (2) `most` is null, or points to a time on this stack;
            // (3) the answer does not matter, because the caller looks again.
            unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), call, value, most) };
        }

        pub(in crate::sync) fn wake(&self, word: &AtomicU32) {
            let call = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: the word lives while it is borrowed; to wake nobody is allowed.
            unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), call, 1) };
        }
    }
}

/// A lock and a condition.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
mod waits {
    use super::{AtomicU32, Duration};
    use crate::sync::atomic::Ordering;
    use crate::sync::{Condvar, Mutex};

    /// Other systems have no such switch.
    pub(crate) fn be_on_time() {}

    #[derive(Debug, Default)]
    pub(in crate::sync) struct Sleep {
        lock: Mutex<()>,
        woken: Condvar,
    }

    impl Sleep {
        pub(in crate::sync) fn wait(&self, word: &AtomicU32, value: u32, most: Option<Duration>) {
            let guard = self.lock.lock();
            if word.load(Ordering::Relaxed) == value {
                drop(match most {
                    Some(most) => self.woken.wait_for(guard, &self.lock, most),
                    None => self.woken.wait(guard),
                });
            }
        }

        pub(in crate::sync) fn wake(&self, _: &AtomicU32) {
            drop(self.lock.lock());
            self.woken.notify_one();
        }
    }
}
