//! The threads of an event count that wait for one thing each.
//!
//! They sleep in a table, by what they wait for. So a thread that wakes another one finds those that wait for a job by
//! the job alone.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::parker::Parker;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{CachePadded, Mutex};

/// Threads that sleep and wait for one thing each, by that thing.
#[derive(Debug)]
pub(super) struct Waiters {
    count: CachePadded<AtomicUsize>,
    buckets: Box<[CachePadded<Bucket>]>,
}

#[derive(Debug)]
struct Bucket {
    /// A bit for each id that is waited for, by another part of its hash. So few threads take the lock in vain.
    marks: AtomicU64,
    list: Mutex<Vec<(NonZeroUsize, Arc<Parker>)>>,
}

/// More threads than these in one bucket need an allocation, once.
const ROOM: usize = 4;

impl Waiters {
    pub(super) fn new(threads: usize) -> Self {
        let bucket = || Bucket { marks: AtomicU64::new(0), list: Mutex::new(Vec::with_capacity(ROOM)) };
        let buckets = threads.next_power_of_two();
        let count = CachePadded::new(AtomicUsize::new(0));
        Self { count, buckets: (0..buckets).map(|_| CachePadded::new(bucket())).collect() }
    }

    /// The bucket of an id, and its mark there.
    fn bucket(&self, id: NonZeroUsize) -> (&Bucket, u64) {
        let mixed = mixed(id);
        let place = usize::try_from(mixed >> 32).expect("32 bits") & (self.buckets.len() - 1);
        (&self.buckets[place], mark(mixed))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Enters a thread that waits for `id`.
    pub(super) fn put(&self, id: NonZeroUsize, parker: Arc<Parker>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let (bucket, _) = self.bucket(id);
        let mut list = bucket.list.lock();
        list.push((id, parker));
        bucket.note(&list);
    }

    /// Takes the last thread that waits for `id` and that `suits`.
    pub(super) fn take(&self, id: NonZeroUsize, suits: impl Fn(&Arc<Parker>) -> bool) -> Option<Arc<Parker>> {
        let (bucket, mark) = self.bucket(id);
        if bucket.marks.load(Ordering::Relaxed) & mark == 0 {
            return None;
        }
        let mut list = bucket.list.lock();
        let place = list.iter().rposition(|(other, parker)| *other == id && suits(parker))?;
        let (_, parker) = list.remove(place);
        bucket.note(&list);
        drop(list);
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(parker)
    }

    /// Whether a sleeper seems to wait for `id`: a hint, which errs only on the side of yes.
    pub(super) fn has(&self, id: NonZeroUsize) -> bool {
        let (bucket, mark) = self.bucket(id);
        bucket.marks.load(Ordering::Relaxed) & mark != 0
    }

    /// What the sleepers wait for; some that come and go meanwhile may be missing.
    pub(super) fn ids(&self) -> impl Iterator<Item = NonZeroUsize> {
        let in_use = self.buckets.iter().filter(|bucket| bucket.marks.load(Ordering::Relaxed) != 0);
        in_use.flat_map(|bucket| (0..).map_while(|place| bucket.list.lock().get(place).map(|(id, _)| *id)))
    }

    /// Takes all of them. `wake` is called under the lock.
    pub(super) fn drain(&self, mut wake: impl FnMut(Arc<Parker>)) {
        for bucket in &self.buckets {
            let mut list = bucket.list.lock();
            for (_, parker) in list.drain(..) {
                self.count.fetch_sub(1, Ordering::Relaxed);
                wake(parker);
            }
            bucket.note(&list);
        }
    }
}

impl Bucket {
    /// The list has changed.
    fn note(&self, list: &[(NonZeroUsize, Arc<Parker>)]) {
        let marks = list.iter().fold(0, |marks, (id, _)| marks | mark(mixed(*id)));
        self.marks.store(marks, Ordering::Relaxed);
    }
}

/// Mixes the bits of an id, which is an address as a rule (multiplicative hashing: Knuth, "The Art of Computer
/// Programming", volume 3, 1973).
fn mixed(id: NonZeroUsize) -> u64 {
    (id.get() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// One of 64 bits, by the lower half of a mixed id's upper bits.
fn mark(mixed: u64) -> u64 {
    1 << (mixed >> 26 & 63)
}
