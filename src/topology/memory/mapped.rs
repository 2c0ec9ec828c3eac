//! Memory on NUMA nodes, for Linux.
//!
//! Pages come from `mmap`, and `mbind` says from which nodes. `move_pages` moves pages, and also tells where they are.

#![expect(unsafe_code, reason = "system calls, and memory that they give")]

use std::io::{Error, Result};
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

use libc::{c_int, c_long, c_ulong, c_void};

use super::{CpuSet, Plain, Policy};

/// Owns a mapping with `len` numbers. If they take no bytes, there is no mapping.
///
/// Z1: `start` is aligned, and points to `len` numbers that belong to this value alone.
pub(super) struct Zeroed<T> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: By Z1 this owns its numbers, as a `Box<[T]>` does.
unsafe impl<T: Send> Send for Zeroed<T> {}
// SAFETY: As above; a shared reference gives shared slices only.
unsafe impl<T: Sync> Sync for Zeroed<T> {}

impl<T: Plain> Zeroed<T> {
    pub(super) fn new(len: usize) -> Result<Self> {
        const { assert!(align_of::<T>() <= 4096 && size_of::<T>() > 0) };
        if len == 0 {
            return Ok(Self { start: NonNull::dangling(), len });
        }
        let bytes = len.checked_mul(size_of::<T>()).filter(|bytes| isize::try_from(*bytes).is_ok());
        let bytes = bytes.ok_or_else(|| Error::from_raw_os_error(libc::ENOMEM))?;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: A new mapping at a place of the kernel's choice touches no memory that is in use.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        match NonNull::new(start) {
            // Z1: the mapping is aligned to a page, at least `bytes` long, zeroed (which is a `T` by (1) of
            // `Zeroable`), and new.
            Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok(Self { start: start.cast(), len }),
            _ => Err(Error::last_os_error()),
        }
    }

    /// Tells the kernel from which nodes to take pages that are not there yet.
    pub(super) fn place(&self, policy: Policy, nodes: &CpuSet) -> Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        let mut mask = [0 as c_ulong; MAX_NODES / WORD];
        for node in nodes.iter() {
            let word = mask.get_mut(node / WORD).ok_or_else(|| Error::from_raw_os_error(libc::EINVAL))?;
            *word |= 1 << (node % WORD);
        }
        let mode = match policy {
            Policy::Prefer => libc::MPOL_PREFERRED,
            Policy::Interleave => libc::MPOL_INTERLEAVE,
        };
        // The kernel reads one bit less than it is told.
        let (bits, no_flags) = (MAX_NODES as c_ulong + 1, 0 as c_ulong);
        let (start, bytes) = (self.start.as_ptr(), size_of_val(&**self));
        // SAFETY: The call changes where pages come from, not what they hold. The mask has as many bits as the call
        // says, except for the last one, which the kernel does not read.
        let result = unsafe { libc::syscall(libc::SYS_mbind, start, bytes, mode, mask.as_ptr(), bits, no_flags) };
        checked(result)
    }
}

/// The largest number of nodes that a kernel can be built for.
const MAX_NODES: usize = 1024;
const WORD: usize = c_ulong::BITS as usize;

impl<T> Deref for Zeroed<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: By Z1; the borrow is that of `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Zeroed<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: By Z1; the borrow is that of `self`, and exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Zeroed<T> {
    fn drop(&mut self) {
        if self.len > 0 {
            let bytes = size_of_val(&**self);
            // SAFETY: By Z1 this is the mapping that `new` made, and no reference to a part of it is left. The numbers
            // in it need no drop, by (2) of `Zeroable`.
            let result = unsafe { libc::munmap(self.start.as_ptr().cast::<c_void>(), bytes) };
            debug_assert_eq!(result, 0, "a whole mapping can be given back: {}", Error::last_os_error());
        }
    }
}

pub(super) fn page_size() -> usize {
    // SAFETY: The call only asks.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).ok().filter(|size| size.is_power_of_two()).expect("Linux knows the size of its pages")
}

/// The node of the page at each address. None if the page does not exist yet, or is the kernel's shared page of zeros.
/// No page is touched.
pub(super) fn nodes_of(pages: &[usize]) -> Result<Vec<Option<usize>>> {
    let mut places = vec![-1; pages.len()];
    ask_or_move(pages, None, &mut places)?;
    Ok(places.into_iter().map(|place| usize::try_from(place).ok()).collect())
}

/// Tries to move pages to a node. The result does not tell which pages were moved; [`nodes_of`] does.
pub(super) fn move_pages(pages: &[usize], node: usize) -> Result<()> {
    let node = c_int::try_from(node).map_err(|_| Error::from_raw_os_error(libc::ENODEV))?;
    match ask_or_move(pages, Some(&vec![node; pages.len()]), &mut vec![-1; pages.len()]) {
        // The node is full, which is no error here.
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Ok(()),
        result => result,
    }
}

/// Calls `move_pages` for pages that only this process uses. Without nodes it only asks where they are.
fn ask_or_move(pages: &[usize], nodes: Option<&[c_int]>, places: &mut [c_int]) -> Result<()> {
    assert!(nodes.is_none_or(|nodes| nodes.len() == pages.len()) && places.len() == pages.len());
    let nodes = nodes.map_or(ptr::null(), <[c_int]>::as_ptr);
    let (this_process, count) = (0 as c_int, pages.len() as c_ulong);
    // SAFETY: Moving a page changes nothing for the threads that use it, and an address without a page only leads to an
    // error code in `places`. All lists have `count` members, as was asserted. A pointer is as large as an address.
    checked(unsafe {
        let (pages, places) = (pages.as_ptr(), places.as_mut_ptr());
        libc::syscall(libc::SYS_move_pages, this_process, count, pages, nodes, places, MPOL_MF_MOVE)
    })
}

/// `MPOL_MF_MOVE` of the kernel's `mempolicy.h`.
const MPOL_MF_MOVE: c_int = 1 << 1;

/// Turns the result of a system call into an error. A positive result is no error: it is the number of pages that did
/// not move.
fn checked(result: c_long) -> Result<()> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}
