//! Binds a thread to CPUs.
//!
//! Linux binds any thread of the process to any set of CPUs. It silently leaves out CPUs that the cpuset of the process
//! does not have, so the code asks afterwards which CPUs the thread got. Other systems bind only the calling thread,
//! and to one CPU.

#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "the system's calls for affinity masks"))]

use super::CpuSet;

/// A thread of this process, as the system's calls know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thread(Id);

#[cfg(target_os = "linux")]
use linux::Id;
#[cfg(not(target_os = "linux"))]
type Id = std::thread::ThreadId;

impl Thread {
    /// The calling thread.
    pub(crate) fn current() -> Self {
        #[cfg(target_os = "linux")]
        let id = linux::current();
        #[cfg(not(target_os = "linux"))]
        let id = std::thread::current().id();
        Self(id)
    }

    /// Asks the system to run this thread on `cpus` only.
    ///
    /// # Errors
    /// Why the thread is not bound to exactly these CPUs, in words.
    pub(crate) fn bind(self, cpus: &CpuSet) -> Result<(), String> {
        #[cfg(target_os = "linux")]
        return linux::bind(self.0, cpus);
        #[cfg(not(target_os = "linux"))]
        match cpus.first() {
            _ if self != Self::current() => Err("this system binds the calling thread only".to_owned()),
            // These are the limits of the crate core_affinity.
            Some(cpu) if cpus.len() == 1 && cpu < 1024 => {
                let bound = core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
                if bound { Ok(()) } else { Err(format!("the system refused to bind it to CPU {cpu}")) }
            }
            _ => Err("a thread can be bound to one CPU below 1024 on this system".to_owned()),
        }
    }
}

/// The CPU that this thread runs on at this moment, if the system tells. It costs about ten nanoseconds.
pub(crate) fn current_cpu() -> Option<usize> {
    #[cfg(target_os = "linux")]
    return linux::current_cpu();
    #[cfg(not(target_os = "linux"))]
    None
}

/// The online CPUs that the main thread of the process may run on now. None if the system does not tell.
pub(crate) fn mask_of_process() -> Option<CpuSet> {
    #[cfg(target_os = "linux")]
    return linux::mask_of_process();
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    use super::CpuSet;

    pub(super) type Id = libc::pid_t;

    pub(super) fn current_cpu() -> Option<usize> {
        // SAFETY: the call has no preconditions.
        usize::try_from(unsafe { libc::sched_getcpu() }).ok()
    }

    const BITS: usize = libc::c_ulong::BITS as usize;

    /// As long as the mask of any kernel. A kernel refuses to give a mask to a buffer that is too short for all its
    /// bits.
    type Mask = [libc::c_ulong; CpuSet::MAX / BITS];

    pub(super) fn current() -> Id {
        // SAFETY: the call takes nothing, and cannot fail.
        unsafe { libc::gettid() }
    }

    pub(super) fn bind(thread: Id, cpus: &CpuSet) -> Result<(), String> {
        let mut mask: Mask = [0; CpuSet::MAX / BITS];
        cpus.iter().for_each(|cpu| mask[cpu / BITS] |= 1 << (cpu % BITS));
        // SAFETY: (1) the call reads `size_of::<Mask>()` bytes from the mask, and keeps no pointer.
        let result = unsafe { libc::sched_setaffinity(thread, size_of::<Mask>(), (&raw const mask).cast()) };
        if result != 0 {
            return Err(format!("the system refused it: {}", io::Error::last_os_error()));
        }
        match mask_of(thread) {
            Ok(got) if got == *cpus => Ok(()),
            Ok(got) => Err(format!("the system bound it to {got} in place of {cpus}")),
            Err(error) => Err(format!("the system does not say whether it did it: {error}")),
        }
    }

    pub(super) fn mask_of_process() -> Option<CpuSet> {
        // The main thread has the number of the process.
        let main_thread = Id::try_from(std::process::id()).ok()?;
        mask_of(main_thread).ok().filter(|mask| !mask.is_empty())
    }

    fn mask_of(thread: Id) -> io::Result<CpuSet> {
        let mut mask: Mask = [0; CpuSet::MAX / BITS];
        // SAFETY: (1) the call writes at most `size_of::<Mask>()` bytes to the mask, and keeps no pointer.
        let result = unsafe { libc::sched_getaffinity(thread, size_of::<Mask>(), (&raw mut mask).cast()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((0..CpuSet::MAX).filter(|cpu| mask[cpu / BITS] & (1 << (cpu % BITS)) != 0).collect())
    }
}
