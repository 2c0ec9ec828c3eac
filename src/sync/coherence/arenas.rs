//! Memory for the actors, so that a run touches the same lines each time it is repeated.
//!
//! Each actor takes its memory from an arena of its own, at an address that is always the same. What two actors make is
//! never on one line, and what one actor makes lies as close together as an allocator would put it. All other memory
//! comes from the system.

#![expect(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

use super::lines::ACTORS;

const ROOM: usize = 2 << 30;
const BASE: usize = 0x2000_0000_0000;
/// Sizes are rounded up to a power of two.
const CLASSES: usize = 40;
/// A simulation begins at a multiple of this in each arena, so that it has the same lines wherever it begins.
const FRESH: usize = 1 << 20;

#[derive(Clone, Copy)]
struct Arena {
    next: usize,
    /// For each class: the first free block, which holds the address of the next one.
    free: [usize; CLASSES],
}

thread_local! {
    /// From whose arena this thread takes memory now.
    static HERE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Only the thread that simulates comes here, and one simulates at a time ([`open`]).
struct Shared(UnsafeCell<[Arena; ACTORS]>);

// SAFETY: see there.
unsafe impl Sync for Shared {}

static ARENAS: Shared = Shared(UnsafeCell::new([Arena { next: 0, free: [0; CLASSES] }; ACTORS]));

/// Takes memory from the arena of `who` from now on, or from the system. Returns from where it came before.
pub(crate) fn switch(who: Option<usize>) -> Option<usize> {
    HERE.replace(who)
}

/// Opens the arenas for this thread, and gives each actor a fresh start in its own. Other threads wait until the guard
/// is dropped.
pub(crate) fn open() -> impl Sized {
    static MAPPED: std::sync::Mutex<bool> = std::sync::Mutex::new(false);
    let mut mapped = MAPPED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !std::mem::replace(&mut *mapped, true) {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let flags = flags | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a fresh mapping that replaces none.
        let mapped = unsafe { libc::mmap(BASE as *mut _, ACTORS * ROOM, protection, flags, -1, 0) };
        assert_eq!(mapped.addr(), BASE, "memory for the arenas");
    }
    // SAFETY: this thread has the lock, and nobody else refers to it.
    for arena in unsafe { &mut *ARENAS.0.get() } {
        *arena = Arena { next: arena.next.next_multiple_of(FRESH), free: [0; CLASSES] };
    }
    mapped
}

struct Arenas;

#[global_allocator]
static ALLOCATOR: Arenas = Arenas;

fn class(layout: Layout) -> usize {
    layout.size().max(layout.align()).max(16).next_power_of_two().trailing_zeros() as usize
}

// SAFETY: (1) a block comes from the system, or it is a part of an arena that is mapped for ever; (2) a part is given
// out again only after it came back; (3) a power of two that is as large as the size and the alignment is aligned.
unsafe impl GlobalAlloc for Arenas {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(here) = HERE.get() else {
            // SAFETY: as the caller.
            return unsafe { System.alloc(layout) };
        };
        // SAFETY: this thread simulates, and nobody else refers to it.
        let arena = unsafe { &mut (*ARENAS.0.get())[here] };
        let class = class(layout);
        if arena.free[class] != 0 {
            let block = arena.free[class];
            // SAFETY: a free block holds the address of the next one.
            arena.free[class] = unsafe { *(block as *const usize) };
            return block as *mut u8;
        }
        let size = 1 << class;
        let at = arena.next.next_multiple_of(size);
        if at + size > ROOM {
            return std::ptr::null_mut();
        }
        arena.next = at + size;
        (BASE + here * ROOM + at) as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !(BASE..BASE + ACTORS * ROOM).contains(&block.addr()) {
            // SAFETY: it came from the system.
            return unsafe { System.dealloc(block, layout) };
        }
        let Some(here) = HERE.get() else { return };
        // SAFETY: this thread simulates, and nobody else refers to it.
        let free = unsafe { &mut (*ARENAS.0.get())[here].free[class(layout)] };
        // SAFETY: a block of the arenas, of at least 16 bytes, that nobody uses.
        unsafe { *block.cast::<usize>() = *free };
        *free = block.addr();
    }
}
