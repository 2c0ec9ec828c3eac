//! Tells the child of a fork from the process that was forked.
//!
//! A child has none of the threads of its parent. Locks that these held stay locked. So a pool notes which [`process`]
//! it was made in, and is of no use in any other one. The system calls a handler in each child, and the handler counts:
//! a look costs one load. Where the system has no `fork`, or refuses the handler, all processes look the same.

// Not the door's: no protocol of ours depends on it, and it is a static.
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the one that loaded the library.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Which process this is. The number differs from that of all processes that this one was forked from.
///
/// Forks are counted from the first call of [`watch`] on.
#[inline]
pub(crate) fn process() -> u32 {
    // Relaxed: in a child nobody else has written it, and before that it does not change.
    FORKS.load(Ordering::Relaxed)
}

/// From now on children have other numbers.
#[cfg(unix)]
pub(crate) fn watch() {
    use crate::sync::LazyLock;

    #[expect(unsafe_code, reason = "the system calls it")]
    unsafe extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    static WATCHES: LazyLock<()> = LazyLock::new(|| {
        #[expect(unsafe_code, reason = "the system's call")]
        // SAFETY: the handler may be called in any child: it takes no lock, and touches one atomic word. If the system
        // refuses it for want of memory, children are not told from this process.
        unsafe {
            libc::pthread_atfork(None, None, Some(in_child));
        }
    });
    LazyLock::force(&WATCHES);
}

/// There are no children.
#[cfg(not(unix))]
pub(crate) fn watch() {}
