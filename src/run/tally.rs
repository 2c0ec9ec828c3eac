//! Counts what the seats of a pool did during one run: jobs, steals, parks; and how often operators tried again.
//!
//! The counters of a seat only ever grow, so a run reads them before and after, and reports the difference. A pool may
//! have hundreds of seats, and reading them all would dominate a short run. Two facts save that work. While no thread
//! is active in the pool, no counter changes. While a thread from outside runs a plan alone, only the counters of its
//! own seat change. So a short run in an idle pool reads one seat.

use std::sync::Arc;

use crate::pool::Shared;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The counters of one seat: jobs, steals from the same L3, from the same node and from afar, parks.
type SeatCounts = [u64; 5];

/// The counters of all seats before and after a run.
#[derive(Debug)]
pub(super) struct Tally {
    before: Box<[SeatCounts]>,
    after: Box<[SeatCounts]>,
    /// The number of the pool's period of rest in which `after` was read. None: the pool was not at rest.
    rest: Option<u64>,
    /// The only seat whose counters differ between `before` and `after`. None: any seat may differ.
    own: Option<usize>,
}

impl Tally {
    pub(super) fn new(pool: &Shared) -> Self {
        let counts = vec![[0; 5]; pool.seats.len()].into_boxed_slice();
        Self { before: counts.clone(), after: counts, rest: None, own: None }
    }

    /// Reads what has changed since the last run. Called before the calling thread sits down.
    pub(super) fn begin(&mut self, pool: &Shared) {
        let rest = pool.sleep.rest();
        let same = rest.is_some() && rest == self.rest;
        match self.own {
            Some(own) if same => self.before[own] = self.after[own],
            _ => {
                if !same {
                    self.read_all(pool);
                }
                self.before.copy_from_slice(&self.after);
            }
        }
        self.rest = rest;
    }

    /// Reads what the run has changed. Called after the calling thread has left `seat`.
    pub(super) fn end(&mut self, pool: &Shared, seat: usize) {
        let rest = pool.sleep.rest();
        let alone = self.rest.is_some_and(|before| rest == Some(before + 1));
        if alone {
            self.after[seat] = read(pool, seat);
        } else {
            self.read_all(pool);
        }
        (self.rest, self.own) = (rest, alone.then_some(seat));
    }

    /// Reads what has changed since [`begin`](Self::begin), if no calling thread sat down.
    pub(super) fn end_all(&mut self, pool: &Shared) {
        self.read_all(pool);
        (self.rest, self.own) = (pool.sleep.rest(), None);
    }

    /// What each seat did in the run, in the order of the seats.
    pub(super) fn seats(&self) -> impl Iterator<Item = SeatCounts> + '_ {
        self.before.iter().zip(&self.after).map(|(before, after)| std::array::from_fn(|i| after[i] - before[i]))
    }

    fn read_all(&mut self, pool: &Shared) {
        (0..).zip(&mut self.after).for_each(|(seat, after)| *after = read(pool, seat));
    }
}

fn read(pool: &Shared, seat: usize) -> SeatCounts {
    let counts = &pool.seats[seat].counts;
    let [l3, node, afar] = &counts.steals;
    [&counts.jobs, l3, node, afar, &counts.parks].map(|counter| counter.load(Ordering::Relaxed))
}

/// How often an operator has tried again in a run. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Retried(Arc<AtomicU64>);

impl Retried {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// It tries again.
    pub(crate) fn count(&self) {
        // Relaxed, as all here: it is read when the run is over.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}
