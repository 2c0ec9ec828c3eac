//! `count` of a stream with keys: counts the items of each key.
//!
//! Two workers could count in one table at the same time. Each seat of the pool has a table of its own, which prevents
//! that. Counts can be added in any order with the same result, so it makes no difference which seat has counted an
//! item. At the end of the stream the tables are merged partition by partition: in one job for each partition, or in
//! one job for all if there are few entries.

use std::any::Any;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::engine::drive::{Drive, DriveAll};
use crate::engine::pipe::Pipe;
use crate::engine::tail::{ParallelTail, Tail, consume, consume_all, put};
use crate::graph::{Entries, Keyed, PARTITIONS, Table};
use crate::plan::Data;
use crate::run::cancel::{Cause, Fault, Index};
use crate::run::flow::cx::Cx;
use crate::run::flow::order::Ticket;
use crate::run::flow::stage::{Capacity, EndJobs, Ended, TailKind};
use crate::run::slot::Slot;
use crate::sync::countdown::FixedCountdown;
use crate::sync::{Arrival, CachePadded, UnsafeCell};
use crate::unwind::{self, Kept};

impl<'env, K, T, P> Keyed<'env, K, T, P>
where
    K: Hash + Eq + Send + 'env,
    T: 'env,
    P: Pipe<Out = (K, T)> + 'env,
{
    /// Counts the items of every key, on all workers at once. It keeps every key in memory, at most once for each
    /// worker.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let counts = g.source(["to", "be", "or", "not", "to", "be"]).key_by(|word| *word).count();
    /// let counts = pool.run(g)?.take(counts);
    /// assert_eq!(counts.sorted(), [("be", 2), ("not", 1), ("or", 1), ("to", 2)]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn count(self) -> Data<Table<K, u64>> {
        self.pairs.parallel_sink("count", Some("every key"), CountKeys::new)
    }
}

/// At most this many entries are merged in one job; more are merged in parallel.
const SMALL: usize = 8 * 1024;

/// One partition of a table of counts.
type Shard<K> = Entries<K, u64>;
/// The shards of one partition.
type Shards<K> = CachePadded<UnsafeCell<Vec<Shard<K>>>>;

/// The table of one seat.
type SeatTable<K> = CachePadded<UnsafeCell<Table<K, u64>>>;

/// The tail of [`Keyed::count`].
struct CountKeys<K> {
    hasher: RandomState,
    /// One table for each seat.
    local: Box<[SeatTable<K>]>,
    /// The tables to merge, by partition. After merging there is one table for each partition.
    shards: Box<[Shards<K>]>,
    /// How many partitions are not merged yet.
    unmerged: FixedCountdown,
    result: Arc<Slot<Table<K, u64>>>,
}

#[expect(unsafe_code, reason = "each seat has its own table")]
// SAFETY: (1) while the stream runs, only the thread that sits at a seat touches the seat's table; the end of the stage
// touches the tables after all pieces have retired; (2) keys are `Send`; (3) the shards of a partition are touched by
// the end of the stage, then by the one job that merges them, which the end has queued, and then by the last of these
// jobs, which the countdown orders behind all others.
unsafe impl<K: Send> Sync for CountKeys<K> {}

impl<K: Hash + Eq> CountKeys<K> {
    fn new(result: Arc<Slot<Table<K, u64>>>) -> Self {
        Self {
            hasher: RandomState::default(),
            local: Box::default(),
            shards: (0..PARTITIONS).map(|_| CachePadded::new(UnsafeCell::new(Vec::new()))).collect(),
            unmerged: FixedCountdown::default(),
            result,
        }
    }

    /// Works on the table of this thread's seat.
    fn with_local<R>(&self, cx: &Cx<'_>, work: impl FnOnce(&mut Table<K, u64>) -> R) -> R {
        #[expect(unsafe_code, reason = "each seat has its own table")]
        // SAFETY: (1) of `Sync`: this thread sits at the seat.
        self.local[cx.worker.seat.index].with_mut(|table| work(unsafe { &mut *table }))
    }

    /// Works on the shards of a partition.
    ///
    /// # Safety
    /// (1) It is this thread's turn: (3) of `Sync`.
    #[expect(unsafe_code, reason = "each partition has one job")]
    unsafe fn with_shards<R>(&self, partition: usize, work: impl FnOnce(&mut Vec<Shard<K>>) -> R) -> R {
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
        let merge = |into, from| Table::merge_partitions(into, from, |count, more| *count += more);
        let merged = tables.fold(first, merge);
        // SAFETY: (1).
        unsafe { self.with_shards(partition, |shards| shards.push(merged)) };
    }

    /// # Safety
    /// (1) of [`with_shards`](Self::with_shards), for all partitions, which are merged.
    #[expect(unsafe_code, reason = "each partition has one job")]
    unsafe fn finish(&self) {
        let mut table = Table::with_hasher(self.hasher.clone());
        for partition in 0..PARTITIONS {
            // SAFETY: (1).
            let merged = unsafe { self.with_shards(partition, Vec::pop) };
            table.put_partition(partition, merged.expect("merged"));
        }
        put(&self.result, Some(table));
    }
}

impl<K: Hash + Eq + Send, T> Tail<(K, T)> for CountKeys<K> {
    const KIND: TailKind = TailKind::Parallel;
    /// The numbers of the partitions to merge.
    type Own = EndJobs;

    fn run(&self, cx: &Cx<'_>, ticket: Ticket, drive: impl Drive<(K, T)>) {
        self.with_local(cx, |table| consume(cx, ticket, drive, |pair| count(table, pair)));
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
        0 // all items were worked on
    }
}

impl<K: Hash + Eq + Send, T> ParallelTail<(K, T)> for CountKeys<K> {
    fn run_all(&self, cx: &Cx<'_>, drive: impl DriveAll<(K, T)>) {
        self.with_local(cx, |table| consume_all(cx, drive, |pair| count(table, pair)));
    }
}

/// Counts an item with its key.
#[inline]
fn count<K: Hash + Eq, T>(table: &mut Table<K, u64>, (key, item): (K, T)) {
    let key = Kept::new(key);
    drop(item); // before the key is in the table: if the drop panics, the table is as it was
    *table.get_or_insert_with(key.into_inner(), || 0) += 1;
}

/// Lets a panic of the key's own code count that happened while tables were merged. It belongs to no item.
fn fail(cx: &Cx<'_>, panic: Box<dyn Any + Send>) -> Ended {
    let fault = Fault { op: cx.stage.ops.len() - 1, index: Index::None, cause: Cause::Panic(panic) };
    let ticket = Ticket::behind_all();
    cx.fail(&ticket, cx.failure(&ticket, fault));
    Ended::Later
}
