//! Room for lists of millions, in large pages.
//!
//! The first touch of a page takes the kernel a microsecond or more, in a virtual machine four. A graph of a million tasks
//! has tens of megabytes: with pages of 4 KiB that is a hundred nanoseconds for each task. Large pages cost a quarter of
//! that. Linux gives them as a rule only to memory for which a program asks, and only where all of one is in that memory. So
//! lists of megabytes ask. Pages that nobody touches take no memory; at its end a list may take up to one page more.
//!
//! Linux lets memory begin where a large page does if it is as long as some large pages. So a list that grows gets such a length.

use std::ptr::NonNull;

/// The size of a large page, as a rule: memory that has less room is not worth a system call.
const LARGE: usize = 2 << 20;
/// An allocator has so many bytes at most beside each large allocation.
const BESIDE: usize = 32;

/// An empty list with room for so many items.
pub(crate) fn list<T>(len: usize) -> Vec<T> {
    let mut list = Vec::with_capacity(len);
    ask_for(&mut list);
    list
}

/// A list of so many items.
pub(crate) fn filled<T: Clone>(item: T, len: usize) -> Vec<T> {
    let mut list = list(len); // it must ask before anything is written
    list.resize(len, item);
    list
}

/// Adds an item to a list; new room is in large pages.
#[inline]
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        grow(list);
    }
    list.push(item);
}

#[cold]
#[inline(never)]
fn grow<T>(list: &mut Vec<T>) {
    let twice = 2 * list.capacity() * size_of::<T>();
    let bytes = if twice < LARGE { twice } else { twice.next_multiple_of(LARGE) - BESIDE };
    list.reserve_exact((bytes / size_of::<T>().max(1)).max(4) - list.len());
    ask_for(list);
}

/// Asks for large pages for the room that a list has.
fn ask_for<T>(list: &mut Vec<T>) {
    ask(NonNull::from(&mut list[..]).cast(), list.capacity() * size_of::<T>());
}

/// Asks for large pages for memory of this process. If there are none, that changes nothing.
pub(crate) fn ask(start: NonNull<u8>, bytes: usize) {
    if bytes >= LARGE {
        system::ask(start, bytes);
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
mod system {
    use std::ptr::NonNull;

    /// The size of a page. Where pages have another size, the system may refuse.
    const PAGE: usize = 1 << 12;

    #[cold]
    pub(super) fn ask(start: NonNull<u8>, bytes: usize) {
        // From the beginning of its first page on: what has whole pages stays one piece for the system, which can move that.
        let before = start.addr().get() % PAGE;
        let start = start.as_ptr().wrapping_sub(before);
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: neither what is in these pages nor how they may be used changes.
        let _may_be_refused = unsafe { libc::madvise(start.cast(), before + bytes, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod system {
    use std::ptr::NonNull;

    pub(super) fn ask(_: NonNull<u8>, _: usize) {}
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::{LARGE, filled, list, push};

    #[test]
    fn lists_in_large_pages_keep_what_is_in_them() {
        let count = u32::try_from(LARGE).expect("a few millions");
        let mut grown = Vec::new();
        (0..count).for_each(|number| push(&mut grown, number));
        for len in [0, 1, LARGE / 4, LARGE] {
            let mut own = list(len);
            own.extend_from_slice(&grown[..len]);
            assert_eq!(own, grown[..len]);
            assert_eq!(filled(7_u32, len), vec![7; len]);
        }
    }
}
