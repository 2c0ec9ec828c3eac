//! Tables by seat: what keyed operators do whose result does not depend on the order of the items, as `count` does.
//!
//! Two workers could work on one table at the same time. Each seat of the pool has a table of its own, which prevents
//! that. Counts can be added in any order with the same result, so it makes no difference which seat has counted an
//! item. At the end of the stream the tables are merged partition by partition: in one job for each partition, or in
//! one job for all if there are few entries.

use std::any::Any;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};

use foldhash::fast::SeedableRandomState;

use crate::engine::drive::{Drive, DriveAll};
use crate::engine::tail::{ParallelTail, Tail, consume, consume_all, put};
use crate::graph::{Entries, OpenTable, PARTITIONS, Table, hasher};
use crate::run::cancel::{Cause, Fault, Index};
use crate::run::flow::cx::Cx;
use crate::run::flow::order::{Key, Ticket};
use crate::run::flow::stage::{Capacity, EndJobs, Ended, TailKind};
use crate::run::slot::Slot;
use crate::sync::countdown::FixedCountdown;
use crate::sync::{Arrival, CachePadded, UnsafeCell};
use crate::unwind::{self, Kept};

/// What is made of the items of each key, if it makes no difference in which order and in what groups they come.
pub(super) trait Commutative<T>: Send + Sync {
    type Value: Send;
    type Result: Send;
    /// The value of a key with one item. It does not call user code, but for drops.
    fn first(&self, item: T, at: Place) -> Self::Value;
    /// Adds an item.
    fn add(&self, value: &mut Self::Value, item: T, at: Place);
    /// Adds the value of the same key from another table.
    fn merge(&self, value: &mut Self::Value, other: Self::Value);
    /// Makes the results of one partition.
    fn finish<K>(&self, entries: Entries<K, Self::Value>) -> Entries<K, Self::Result>;
}

/// The place of an item in stream order: its piece, and its place in there.
pub(super) type Place = (Key, u64);

/// At most this many entries are merged in one job; more are merged in parallel.
const SMALL: usize = 8 * 1024;

/// One partition of a seat's table.
type Shard<K, V> = Entries<K, V>;
/// The shards of one partition.
type Shards<K, V> = CachePadded<UnsafeCell<Vec<Shard<K, V>>>>;

/// The result of one partition.
type Merged<K, R> = CachePadded<UnsafeCell<Entries<K, R>>>;

/// The table of one seat.
type SeatTable<K, V> = CachePadded<UnsafeCell<Table<K, V>>>;

/// A seat's table while a piece is added to it, and the number of items that were.
struct Adding<'a, K, V> {
    table: OpenTable<'a, K, V>,
    index: u64,
}

/// The tail with the tables; see the module documentation.
pub(super) struct LocalTables<K, T, C: Commutative<T>> {
    each: C,
    hasher: SeedableRandomState,
    /// One table for each seat.
    local: Box<[SeatTable<K, C::Value>]>,
    /// The tables to merge, by partition.
    shards: Box<[Shards<K, C::Value>]>,
    /// The results, by partition.
    merged: Box<[Merged<K, C::Result>]>,
    /// How many partitions are not merged yet.
    unmerged: FixedCountdown,
    result: Slot<Table<K, C::Result>>,
}

#[expect(unsafe_code, reason = "each seat has its own table")]
// SAFETY: (1) while the stream runs, only the thread that sits at a seat touches the seat's table; the end of the stage
// touches the tables after all pieces have retired; (2) keys and values are `Send`; (3) shards and result of a partition are touched by
// the end of the stage, then by the one job that merges them, which the end has queued, and then by the last of these
// jobs, which the countdown orders behind all others.
unsafe impl<K: Send, T, C: Commutative<T>> Sync for LocalTables<K, T, C> {}

impl<K: Hash + Eq, T, C: Commutative<T>> LocalTables<K, T, C> {
    pub(super) fn new(each: C, result: Slot<Table<K, C::Result>>) -> Self {
        Self {
            each,
            hasher: hasher(),
            local: Box::default(),
            shards: (0..PARTITIONS).map(|_| CachePadded::new(UnsafeCell::new(Vec::new()))).collect(),
            merged: (0..PARTITIONS).map(|_| CachePadded::new(UnsafeCell::new(Entries::new()))).collect(),
            unmerged: FixedCountdown::default(),
            result,
        }
    }

    /// Works on the table of this thread's seat.
    fn with_local<R>(&self, cx: &Cx<'_>, work: impl FnOnce(Adding<'_, K, C::Value>) -> R) -> R {
        let work = |table: &mut Table<_, _>| work(Adding { table: table.open(), index: 0 });
        #[expect(unsafe_code, reason = "each seat has its own table")]
        // SAFETY: (1) of `Sync`: this thread sits at the seat.
        self.local[cx.worker.seat.index].with_mut(|table| work(unsafe { &mut *table }))
    }

    /// Adds the next item of the piece that `adding` stands for.
    #[inline(always)]
    fn add(&self, adding: &mut Adding<'_, K, C::Value>, (key, item): (K, T), piece: Key) {
        let at = (piece, adding.index);
        adding.index += 1;
        let item = Kept::new(item); // the key's own code may panic
        match adding.table.find(&key) {
            Ok(value) => {
                drop(key);
                self.each.add(value, item.into_inner(), at);
            }
            Err(hash) => {
                adding.table.insert_new(hash, key, self.each.first(item.into_inner(), at));
            }
        }
    }

    /// Works on the shards of a partition.
    ///
    /// # Safety
    /// (1) It is this thread's turn: (3) of `Sync`.
    #[expect(unsafe_code, reason = "each partition has one job")]
    unsafe fn with_shards<R>(&self, partition: usize, work: impl FnOnce(&mut Vec<Shard<K, C::Value>>) -> R) -> R {
        // SAFETY: (1).
        self.shards[partition].with_mut(|shards| work(unsafe { &mut *shards }))
    }

    /// # Safety
    /// (1) of [`with_shards`](Self::with_shards).
    #[expect(unsafe_code, reason = "each partition has one job")]
    unsafe fn merge(&self, partition: usize) {
        // SAFETY: (1).
        let tables = unsafe { self.with_shards(partition, std::mem::take) };
        let mut tables = unwind::Draining::of(tables.into_iter());
        let first = tables.next().unwrap_or_default();
        let merge = |into, from| Table::merge_partitions(into, from, |value, other| self.each.merge(value, other));
        let merged = self.each.finish(tables.fold(first, merge));
        // SAFETY: (1).
        unsafe { self.with_merged(partition, |entries| *entries = merged) };
    }

    /// Works on the result of a partition.
    ///
    /// # Safety
    /// (1) of [`with_shards`](Self::with_shards).
    #[expect(unsafe_code, reason = "each partition has one job")]
    unsafe fn with_merged<R>(&self, partition: usize, work: impl FnOnce(&mut Entries<K, C::Result>) -> R) -> R {
        // SAFETY: (1).
        self.merged[partition].with_mut(|entries| work(unsafe { &mut *entries }))
    }

    /// # Safety
    /// (1) of [`with_shards`](Self::with_shards), for all partitions, which are merged.
    #[expect(unsafe_code, reason = "each partition has one job")]
    unsafe fn finish(&self) {
        let mut table = Table::with_hasher(self.hasher.clone());
        for partition in 0..PARTITIONS {
            // SAFETY: (1).
            let merged = unsafe { self.with_merged(partition, std::mem::take) };
            table.put_partition(partition, merged);
        }
        put(&self.result, Some(table));
    }
}

impl<K: Hash + Eq + Send, T, C: Commutative<T>> Tail<(K, T)> for LocalTables<K, T, C> {
    const KIND: TailKind = TailKind::Parallel;
    /// The numbers of the partitions to merge.
    type Own = EndJobs;

    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<(K, T)>) {
        let piece = ticket.key();
        self.with_local(cx, |adding| consume(cx, ticket, drive, adding, |adding, pair| self.add(adding, pair, piece)));
    }

    fn own(&self, cx: &Cx<'_>, jobs: EndJobs) {
        let partition = cx.share_end(jobs);
        #[expect(unsafe_code, reason = "each partition has one job")]
        // SAFETY: (1) this is the one job of the partition.
        let merged = catch_unwind(AssertUnwindSafe(|| unsafe { self.merge(partition as usize) }));
        if let Err(panic) = merged {
            fail(cx, panic);
        } else if self.unmerged.arrive() == Arrival::Last {
            #[expect(unsafe_code, reason = "each partition has one job")]
            // SAFETY: (1) all others have arrived.
            unsafe {
                self.finish();
            }
            cx.ended();
        }
    }

    /// Sorts the tables of the seats by partition, and merges each partition.
    fn end(&self, cx: &Cx<'_>) -> Ended {
        let mut entries = 0;
        for local in &self.local {
            local.with_mut(|table| {
                #[expect(unsafe_code, reason = "each seat has its own table")]
                // SAFETY: (1) of `Sync`: all pieces have retired.
                let table = unsafe { &mut *table };
                let len = table.len();
                if len == 0 {
                    return;
                }
                entries += len;
                for partition in 0..PARTITIONS {
                    let shard = table.take_partition(partition);
                    if !shard.is_empty() {
                        #[expect(unsafe_code, reason = "each partition has one job")]
                        // SAFETY: (1) the end of the stage, before the jobs.
                        unsafe {
                            self.with_shards(partition, |shards| shards.push(shard));
                        }
                    }
                }
            });
        }
        if entries > SMALL {
            self.unmerged.restart(u32::try_from(PARTITIONS).expect("few"));
            cx.end_in_parts(u32::try_from(PARTITIONS).expect("few"));
            return Ended::Later;
        }
        #[expect(unsafe_code, reason = "each partition has one job")]
        // SAFETY: (1) the end of the stage, and there are no jobs.
        let merge = |partition| unsafe { self.merge(partition) };
        match catch_unwind(AssertUnwindSafe(|| (0..PARTITIONS).for_each(merge))) {
            Ok(()) => {
                #[expect(unsafe_code, reason = "each partition has one job")]
                // SAFETY: (1) as above.
                unsafe {
                    self.finish();
                }
                Ended::Now
            }
            Err(panic) => fail(cx, panic),
        }
    }

    fn prepare(&mut self, capacity: Capacity) {
        let table = || CachePadded::new(UnsafeCell::new(Table::with_hasher(self.hasher.clone())));
        self.local = (0..capacity.seats).map(|_| table()).collect();
    }

    fn clear(&mut self) -> u64 {
        for local in &mut self.local {
            for partition in 0..PARTITIONS {
                unwind::drop_value(local.get_mut().take_partition(partition));
            }
        }
        self.shards.iter_mut().for_each(|shards| shards.get_mut().drain(..).for_each(unwind::drop_value));
        self.merged.iter_mut().for_each(|entries| unwind::drop_value(std::mem::take(entries.get_mut())));
        0 // all items were worked on
    }
}

impl<K: Hash + Eq + Send, T, C: Commutative<T>> ParallelTail<(K, T)> for LocalTables<K, T, C> {
    fn run_all(&self, cx: &Cx<'_>, drive: impl DriveAll<(K, T)>) {
        // Adjacent batches are in order, and no other piece is among them.
        let first = Key::new(drive.first(), 0);
        self.with_local(cx, |adding| consume_all(cx, drive, adding, |adding, pair| self.add(adding, pair, first)));
    }
}

/// Lets a panic of the key's own code count that happened while tables were merged. It belongs to no item.
pub(super) fn fail(cx: &Cx<'_>, panic: Box<dyn Any + Send>) -> Ended {
    let fault = Fault { op: cx.stage.ops.len() - 1, index: Index::None, cause: Cause::Panic(panic) };
    let ticket = Ticket::behind_all();
    cx.fail(&ticket, cx.failure(&ticket, fault));
    Ended::Later
}
