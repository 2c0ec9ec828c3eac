//! Binds the calling thread to one CPU.

/// Asks the system to run the calling thread on `cpu` only.
///
/// # Errors
/// Why it is not bound, in words.
pub(crate) fn bind_current_thread(cpu: usize) -> Result<(), String> {
    // core_affinity's mask ends there.
    const MASK: usize = 1024;
    if cpu >= MASK {
        return Err(format!("CPU {cpu} is beyond the {MASK} CPUs of the binding call"));
    }
    if core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
        Ok(())
    } else {
        Err(format!("the system refused to bind the thread to CPU {cpu}"))
    }
}
