//! A fence with a light side and a heavy one.
//!
//! Two threads each store one word and then load the other's. Without fences both may miss the other's store. So each
//! needs a full fence between its store and its load.
//!
//! Where one side runs a thousand times as often as the other, it can leave its fence to the other. That heavy side
//! asks the system to pass a full fence on every processor that runs a thread of this process. The system interrupts
//! each of these threads at some point between two instructions; a thread that does not run has such a point too. If
//! the light side's store comes before that point, the heavy side sees it. If not, the light side's load comes after
//! that point, and sees the heavy side's store.
//!
//! On the light side only the compiler has to keep the order of the two. The heavy side takes the system some
//! microseconds, and each interrupted thread about as long.
//!
//! Linux has `membarrier(2)`, Windows `FlushProcessWriteBuffers`. Elsewhere, and where the system refuses, both sides
//! are full fences. [`prepare`] decides once for the process which it is; until then both sides are full fences.

// Not loom's: models have a full fence of their own on each side (`light_edge!`, `heavy_edge!`).
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

/// Whether the heavy side does the work of both.
static ONE_SIDED: AtomicBool = AtomicBool::new(false);

/// How the heavy side does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call of the system with this name; the light side costs nothing.
    System(&'static str),
    /// Both sides are full fences.
    BothSides,
}

/// Finds out what the system offers. Call it before the first pool is there.
pub(crate) fn prepare() -> Kind {
    static KIND: OnceLock<Kind> = OnceLock::new();
    *KIND.get_or_init(|| match system::prepare() {
        Some(name) => {
            // Relaxed: a light side that does not see it yet passes a full fence, which is more than it needs.
            ONE_SIDED.store(true, Ordering::Relaxed);
            Kind::System(name)
        }
        None => Kind::BothSides,
    })
}

/// The side that runs often: between its store and its load.
#[inline]
pub(crate) fn light() {
    // Relaxed: it is set before there is a pool whose threads come here, and never taken back.
    if ONE_SIDED.load(Ordering::Relaxed) {
        light_one_sided();
    } else {
        fence(Ordering::SeqCst);
    }
}

/// Whether the light side costs nothing. Then it may call [`light_one_sided`] in place of [`light`].
pub(crate) fn is_one_sided() -> bool {
    ONE_SIDED.load(Ordering::Relaxed) // as in `light`
}

/// The light side, if [`is_one_sided`] says so: keeps the compiler from swapping its store and its load.
#[inline]
pub(crate) fn light_one_sided() {
    compiler_fence(Ordering::SeqCst);
}

/// The side that runs seldom: between its store and its load. `false`: the system has refused. Then the caller takes
/// its store back, and does not rely on what it loads.
#[must_use]
pub(crate) fn heavy() -> bool {
    fence(Ordering::SeqCst);
    let passed = !ONE_SIDED.load(Ordering::Relaxed) || system::fence_all();
    fence(Ordering::SeqCst);
    passed
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the system's call")]
mod system {
    // From the kernel's <linux/membarrier.h>: the libc crate has them for some systems only.
    const QUERY: libc::c_int = 0;
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

    fn membarrier(command: libc::c_int) -> libc::c_long {
        // SAFETY: it takes no pointers, and answers a command that the kernel does not know by an error.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }
    }

    pub(in crate::sync) fn prepare() -> Option<&'static str> {
        let known = membarrier(QUERY);
        let wanted = libc::c_long::from(PRIVATE_EXPEDITED);
        let is_there = known >= 0 && known & wanted != 0 && membarrier(REGISTER_PRIVATE_EXPEDITED) == 0;
        (is_there && fence_all()).then_some("membarrier")
    }

    pub(in crate::sync) fn fence_all() -> bool {
        membarrier(PRIVATE_EXPEDITED) == 0
    }
}

#[cfg(windows)]
#[expect(unsafe_code, reason = "the system's call")]
mod system {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        safe fn FlushProcessWriteBuffers();
    }

    pub(in crate::sync) fn prepare() -> Option<&'static str> {
        Some("FlushProcessWriteBuffers")
    }

    pub(in crate::sync) fn fence_all() -> bool {
        FlushProcessWriteBuffers();
        true
    }
}

#[cfg(not(any(target_os = "linux", windows)))]
mod system {
    pub(in crate::sync) fn prepare() -> Option<&'static str> {
        None
    }

    pub(in crate::sync) fn fence_all() -> bool {
        false
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_system_that_has_one_passes_it() {
        let kind = prepare();
        assert_eq!(kind, prepare(), "decided once");
        assert!(heavy());
        light();
    }
}
