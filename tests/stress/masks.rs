//! The CPUs that the process may use change while it works.

use std::time::Duration;

use crate::dice::Dice;

#[cfg(target_os = "linux")]
mod system {
    use millstream::{CpuSet, Topology};

    /// Lets a thread of this process run on these CPUs only. Not if it has ended meanwhile.
    #[expect(unsafe_code, reason = "the system's call")]
    fn bind(thread: libc::pid_t, cpus: &CpuSet) {
        // SAFETY: a mask of plain bits.
        let mut mask: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        for cpu in cpus.iter().filter(|cpu| *cpu < 8 * size_of::<libc::cpu_set_t>()) {
            // SAFETY: the CPU is below the mask's end.
            unsafe { libc::CPU_SET(cpu, &mut mask) };
        }
        // SAFETY: the call reads so many bytes from the mask.
        unsafe { libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const mask) };
    }

    /// Lets all threads of this process run on these CPUs only.
    pub(super) fn bind_all(cpus: &CpuSet) {
        for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            if let Some(thread) = thread.file_name().to_str().and_then(|name| name.parse().ok()) {
                bind(thread, cpus);
            }
        }
    }

    pub(super) fn allowed() -> CpuSet {
        Topology::detect().expect("some CPU").allowed_cpus().clone()
    }
}

/// Changes the masks of all threads, until it is over. Then every thread may run on all CPUs again.
#[cfg(target_os = "linux")]
pub(crate) fn change_until(dice: &mut Dice, is_over: impl Fn() -> bool) {
    let all = system::allowed();
    while !is_over() {
        let some = all.iter().filter(|_| dice.once_in(2)).collect();
        system::bind_all(if dice.once_in(4) || millstream::CpuSet::is_empty(&some) { &all } else { &some });
        std::thread::sleep(Duration::from_millis(dice.long(0, 20)));
    }
    system::bind_all(&all);
}

/// The system has no such masks.
#[cfg(not(target_os = "linux"))]
pub(crate) fn change_until(dice: &mut Dice, is_over: impl Fn() -> bool) {
    while !is_over() {
        std::thread::sleep(Duration::from_millis(dice.long(0, 20)));
    }
}
