//! Where this thread's stack is.

/// An address in the frame of the function that this is inlined into.
///
/// Where there is another way it is not the address of a variable. A function that gives one away keeps its frame until
/// all that it calls has returned.
#[inline(always)]
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
pub(crate) fn here() -> usize {
    let here: usize;
    #[expect(unsafe_code, reason = "reads a register")]
    // SAFETY: touches no memory and no other register.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("mov {}, rsp", out(reg) here, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("mov {}, sp", out(reg) here, options(nomem, nostack, preserves_flags));
    }
    here
}

/// An address in the frame of the function that this is inlined into.
#[inline(always)]
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
pub(crate) fn here() -> usize {
    let here = std::mem::MaybeUninit::<u8>::uninit();
    (&raw const here).addr()
}
