//! A stretch: things in a row, which one thread goes through from the front while others take some from the end.
//!
//! The owner begins one thing after the other, some of which take a nanosecond, so it passes no fence of the processor.
//! Somebody else takes the rest of the stretch away now and then, and pays for both by a heavy fence
//! ([`super::asymmetric`]).
//!
//! # What could go wrong
//! The owner begins a thing while a taker takes it. Each looks at the other's word too early:
//! ```text
//!     owner                                    taker
//!     -----                                    -----
//! B1  advances `next` (kept back)          T1  lowers `end` (kept back)
//! B3  looks at `end`: the thing is there   T3  looks at `next`: the thing was not begun
//!     begins it                                has it
//! ```
//!
//! # Protocol
//! * The owner begins a thing: (B1) advance `next` beyond it. (B2) Light fence. (B3) If the thing lies before `end`, it is
//!   the owner's. Else the owner takes B1 back, waits for the takers' lock, and looks again.
//! * A taker has the lock: (T1) lower `end`. (T2) Heavy fence. (T3) If `next` is not beyond the new `end`, the taker has
//!   what lies behind that. Else the owner may have begun some of it, or may have seen T1. So the taker tries to take
//!   less, or puts `end` back.
//!
//! One of the fences B2 and T2 comes first. If it is B2, T3 sees B1, and the taker leaves the thing to the owner. If it is
//! T2, B3 sees T1, and the owner waits for the lock. By then the taker is done, and `end` says whose the thing is.
//!
//! The owner itself may take from the end between two things. Nobody races it then, and it passes no fence.
//!
//! # Edges
//! | edge | writer | reader | excludes | model |
//! |---|---|---|---|---|
//! | `stretch.begin` | B1, then B2 | B3 | not (B3 misses T1 and T3 misses B1) | `loom_stretch_gives_each_thing_once`, `loom_stretch_is_cut_twice`, `loom_loose_group_is_loosened_once` |
//! | `stretch.take` | T1, then T2 | T3 | the same | `loom_stretch_gives_each_thing_once`, `loom_stretch_is_cut_twice`, `loom_loose_group_goes_task_by_task`, `loom_loose_group_is_shared_out` |
//!
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `stretch.next` | B1: Release | `next`: Acquire | what the owner has done is seen to be done | `loom_stretch_shows_what_was_done` |

use std::ops::Range;

use crate::sync::asymmetric::light_one_sided;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{edge, heavy_edge, light_edge};

/// How often a taker tries, if the owner is faster.
const TRIES: usize = 2;

/// Things that are left, by number; see the module.
#[derive(Debug)]
pub(crate) struct Stretch {
    next: AtomicU32,
    end: AtomicU32,
}

impl Stretch {
    pub(crate) fn new(things: Range<u32>) -> Self {
        Self { next: AtomicU32::new(things.start), end: AtomicU32::new(things.end) }
    }

    /// The owner begins this thing, the next one. `false`: it may be another's, and was not begun.
    #[inline]
    pub(crate) fn begins(&self, thing: u32) -> bool {
        self.next.store(thing + 1, edge!("stretch.next", Release)); // (B1)
        light_edge!("stretch.begin"); // (B2)
        thing < self.end() || self.turns_back(thing) // (B3)
    }

    /// As [`begins`](Self::begins), for an owner that asks once for many things whether its fences cost nothing. If they do,
    /// it calls `begins` before this.
    #[inline]
    pub(crate) fn begins_one_sided(&self, thing: u32) -> bool {
        self.next.store(thing + 1, edge!("stretch.next", Release)); // (B1)
        light_one_sided(); // (B2)
        thing < self.end() || self.turns_back(thing) // (B3)
    }

    /// The owner does not begin this thing after all.
    #[cold]
    pub(crate) fn turns_back(&self, thing: u32) -> bool {
        self.next.store(thing, Ordering::Release); // as B1
        false
    }

    /// The first thing that was not begun. What the owner did before it began the one before can be seen.
    pub(crate) fn next(&self) -> u32 {
        self.next.load(edge!("stretch.next", Acquire))
    }

    /// Behind the last thing. It may be put back as long as the owner has not passed the takers' lock.
    #[inline]
    pub(crate) fn end(&self) -> u32 {
        self.end.load(Ordering::Relaxed)
    }

    /// Takes things from the end, in the name of the owner, which begins nothing meanwhile. `cut` says from where on, given
    /// what is left.
    pub(crate) fn take_own(&self, cut: impl Fn(u32, u32) -> Option<u32>) -> Option<Range<u32>> {
        let (next, end) = (self.next(), self.end());
        let middle = cut(next, end)?;
        self.end.store(middle, Ordering::Relaxed);
        Some(middle..end)
    }

    /// Takes things from the end. The caller has the takers' lock. `cut` says from where on, given what seems to be left.
    pub(crate) fn take(&self, cut: impl Fn(u32, u32) -> Option<u32>) -> Option<Range<u32>> {
        let end = self.end();
        for _ in 0..TRIES {
            let Some(middle) = cut(self.next(), end) else { break };
            self.end.store(middle, Ordering::Relaxed); // (T1)
            if !heavy_edge!("stretch.take") {
                break; // the system has refused the fence (T2)
            }
            if self.next() <= middle {
                return Some(middle..end); // (T3)
            }
        }
        self.end.store(end, Ordering::Relaxed);
        None
    }
}
