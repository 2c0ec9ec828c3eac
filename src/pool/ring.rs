//! A seat's own jobs: a queue with two ends and a fixed size, in plain memory.
//!
//! A push is a store and a count, a pop the same backwards.

use super::job::Job;

/// Jobs that it holds at most.
pub(crate) const RING: usize = 1024;
const MASK: usize = RING - 1;
const _: () = assert!(RING.is_power_of_two());

/// A private queue of jobs; see the module.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: Box<[Option<Job>; RING]>,
    /// The oldest job's place, before it is taken modulo the size.
    oldest: usize,
    /// The place behind the newest one.
    end: usize,
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self { slots: Box::new([None; RING]), oldest: 0, end: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end.wrapping_sub(self.oldest)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.end == self.oldest
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len() == RING
    }

    /// Puts a job in as the newest. There is room.
    #[inline]
    pub(crate) fn push_newest(&mut self, job: Job) {
        debug_assert!(!self.is_full(), "the caller has made room");
        self.slots[self.end & MASK] = Some(job);
        self.end = self.end.wrapping_add(1);
    }

    /// Puts a job in as the oldest. There is room.
    pub(crate) fn push_oldest(&mut self, job: Job) {
        debug_assert!(!self.is_full(), "the caller has made room");
        self.oldest = self.oldest.wrapping_sub(1);
        self.slots[self.oldest & MASK] = Some(job);
    }

    #[inline]
    pub(crate) fn newest(&self) -> Option<Job> {
        if self.is_empty() { None } else { self.slots[self.end.wrapping_sub(1) & MASK] }
    }

    #[inline]
    pub(crate) fn pop_newest(&mut self) -> Option<Job> {
        let job = self.newest()?;
        self.end = self.end.wrapping_sub(1);
        Some(job)
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<Job> {
        if self.is_empty() {
            return None;
        }
        let job = self.slots[self.oldest & MASK];
        self.oldest = self.oldest.wrapping_add(1);
        job
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::VecDeque;
    use std::ptr::NonNull;

    use proptest::prelude::*;

    use super::{Job, RING, Ring};

    fn job(payload: u64) -> Job {
        Job { target: NonNull::dangling(), payload }
    }

    proptest! {
        #[test]
        fn it_is_a_queue_with_two_ends(steps in prop::collection::vec(0..4_u8, 0..200)) {
            let (mut ring, mut queue) = (Ring::new(), VecDeque::new());
            for (i, step) in steps.into_iter().enumerate() {
                let payload = i as u64;
                let got = match step {
                    0 => { ring.push_newest(job(payload)); None }
                    1 => { ring.push_oldest(job(payload)); None }
                    2 => ring.pop_newest(),
                    _ => ring.pop_oldest(),
                };
                let expected = match step {
                    0 => { queue.push_back(payload); None }
                    1 => { queue.push_front(payload); None }
                    2 => queue.pop_back(),
                    _ => queue.pop_front(),
                };
                prop_assert_eq!(got.map(|job| job.payload), expected);
                prop_assert_eq!(ring.len(), queue.len());
                prop_assert_eq!(ring.newest().map(|job| job.payload), queue.back().copied());
            }
        }
    }

    #[test]
    fn it_is_full_at_its_size_and_goes_round() {
        let mut ring = Ring::new();
        for turn in 0..3 {
            (0..RING as u64).for_each(|i| ring.push_newest(job(i)));
            assert!(ring.is_full());
            let half = RING as u64 / 2 + turn;
            (0..half).for_each(|i| assert_eq!(ring.pop_oldest().map(|job| job.payload), Some(i)));
            (half..RING as u64).rev().for_each(|i| assert_eq!(ring.pop_newest().map(|job| job.payload), Some(i)));
            assert!(ring.is_empty());
        }
    }
}
