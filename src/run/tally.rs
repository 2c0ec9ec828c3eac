//! What the seats of a pool did during a run.
//!
//! A pool may have hundreds of seats. As long as nobody is active, none of them changes, and while a thread from outside runs
//! a plan alone, only its own does: so a short run in an idle pool reads one seat.

use crate::pool::Shared;
use crate::sync::atomic::Ordering;

/// What a seat had done: jobs, steals by tier, parks.
type SeatCounts = [u64; 5];

/// What the seats had done before and after a run.
#[derive(Debug)]
pub(super) struct Tally {
    before: Box<[SeatCounts]>,
    after: Box<[SeatCounts]>,
    /// The rest of the pool for which `after` holds.
    rest: Option<u64>,
    /// The only seat in which the two differ, if there is one.
    own: Option<usize>,
}

impl Tally {
    pub(super) fn new(pool: &Shared) -> Self {
        let counts = vec![[0; 5]; pool.seats.len()].into_boxed_slice();
        Self { before: counts.clone(), after: counts, rest: None, own: None }
    }

    /// Before the calling thread sits down.
    pub(super) fn begin(&mut self, pool: &Shared) {
        let rest = pool.idle.rest();
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

    /// After it has left this seat.
    pub(super) fn end(&mut self, pool: &Shared, seat: usize) {
        let rest = pool.idle.rest();
        let alone = self.rest.is_some_and(|before| rest == Some(before + 1));
        if alone {
            self.after[seat] = read(pool, seat);
        } else {
            self.read_all(pool);
        }
        (self.rest, self.own) = (rest, alone.then_some(seat));
    }

    /// What each seat did in the run.
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
