//! Exact counts of a stage, by place in the stream.
//!
//! A failure report names the index of the item in the stream: the number of items in all batches *before* it, plus its
//! index in its batch. Batches end in any order, so a single sum would not tell which batches it covers. Therefore a
//! [`Ledger`] keeps sums over adjacent batches: one prefix from the beginning of the stream, and islands behind the
//! batches that are still in flight. There are never more islands than batches in flight.
//!
//! Each stage has one ledger, under a lock. A worker enters a piece into it once, when the piece is done
//! ([`super::cx::Cx::record`]).

use super::order::Key;

/// The counts of one stage; see the module documentation.
#[derive(Debug)]
pub(crate) struct Ledger {
    width: usize,
    prefix: Vec<u64>,
    /// Everything before this place is in the prefix.
    end: Key,
    islands: Vec<Island>,
    /// One row of `width` counts for each island, one row after the other.
    rows: Vec<u64>,
    /// The sums over the pieces that broke off.
    broken: Vec<u64>,
    pub(crate) batches: u64,
    pub(crate) nanos: u64,
    pub(crate) dropped: u64,
}

/// Adjacent pieces that have ended, behind a piece that has not. `end` is the first place behind them.
#[derive(Clone, Copy, Debug)]
struct Island {
    start: Key,
    end: Key,
}

impl Ledger {
    /// A ledger of `width` counts, with room for `islands` islands before it allocates.
    pub(crate) fn new(width: usize, islands: usize) -> Self {
        Self {
            width,
            prefix: vec![0; width],
            end: Key::FIRST,
            islands: Vec::with_capacity(islands),
            rows: Vec::with_capacity(islands * width),
            broken: vec![0; width],
            batches: 0,
            nanos: 0,
            dropped: 0,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.prefix.fill(0);
        self.broken.fill(0);
        self.end = Key::FIRST;
        self.islands.clear();
        self.rows.clear();
        (self.batches, self.nanos, self.dropped) = (0, 0, 0);
    }

    /// Adds the counts of the pieces in `start..end`, as one row.
    pub(crate) fn add(&mut self, start: Key, end: Key, counts: impl Iterator<Item = u64>) {
        if start == self.end {
            self.prefix.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            self.end = end;
            if self.islands.first().is_some_and(|island| island.start == end) {
                self.end = self.islands[0].end;
                let row = self.rows.drain(..self.width);
                self.prefix.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
                self.islands.remove(0);
            }
            return;
        }
        let place = self.islands.partition_point(|island| island.start < start);
        let joins_left = place > 0 && self.islands[place - 1].end == start;
        let joins_right = self.islands.get(place).is_some_and(|island| island.start == end);
        if joins_left {
            self.islands[place - 1].end = end;
            self.add_to(place - 1, counts);
            if joins_right {
                self.islands[place - 1].end = self.islands[place].end;
                self.islands.remove(place);
                for i in 0..self.width {
                    self.rows[(place - 1) * self.width + i] += self.rows[place * self.width + i];
                }
                self.rows.drain(place * self.width..(place + 1) * self.width);
            }
        } else if joins_right {
            self.islands[place].start = start;
            self.add_to(place, counts);
        } else {
            self.islands.insert(place, Island { start, end });
            let at = place * self.width;
            self.rows.splice(at..at, counts.take(self.width));
        }
    }

    /// Adds the counts of a piece that broke off.
    pub(crate) fn add_broken(&mut self, counts: impl Iterator<Item = u64>) {
        self.broken.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }

    fn add_to(&mut self, island: usize, counts: impl Iterator<Item = u64>) {
        let row = &mut self.rows[island * self.width..(island + 1) * self.width];
        row.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }

    /// The sum of one count over all pieces, broken ones included.
    pub(crate) fn total(&self, column: usize) -> u64 {
        let islands: u64 = self.rows.iter().skip(column).step_by(self.width).sum();
        self.prefix[column] + self.broken[column] + islands
    }

    /// The sum of one count over the pieces before a place. The caller makes sure that all of these have ended.
    pub(crate) fn before(&self, place: Key, column: usize) -> u64 {
        let islands = self.islands.iter().zip(self.rows.chunks(self.width));
        let islands: u64 = islands.filter(|(island, _)| island.end <= place).map(|(_, row)| row[column]).sum();
        self.prefix[column] + islands
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use proptest::prelude::*;

    use super::{Key, Ledger};

    proptest! {
        #[test]
        fn any_order_gives_the_same_sums(
            batches in Just((0..20_u64).flat_map(|n| (0..=n % 3).map(move |part| (n, part, part == n % 3))).collect::<Vec<_>>())
                .prop_shuffle(),
            until in 0..20_u64,
        ) {
            let mut ledger = Ledger::new(2, 4);
            for &(n, part, last) in &batches {
                let part = u32::try_from(part).expect("small");
                let end = if last { Key::new(n + 1, 0) } else { Key::new(n, part + 1) };
                ledger.add(Key::new(n, part), end, [n, 1].into_iter());
            }
            prop_assert_eq!(ledger.total(1), batches.len() as u64);
            prop_assert!(ledger.islands.is_empty() && ledger.rows.is_empty());
            let mut some = Ledger::new(2, 4);
            for &(n, part, last) in batches.iter().filter(|(n, ..)| *n != until) {
                let part = u32::try_from(part).expect("small");
                let end = if last { Key::new(n + 1, 0) } else { Key::new(n, part + 1) };
                some.add(Key::new(n, part), end, [n, 1].into_iter());
            }
            let before = batches.iter().filter(|(n, ..)| *n < until);
            prop_assert_eq!(some.before(Key::new(until, 0), 0), before.clone().map(|(n, ..)| n).sum::<u64>());
            prop_assert_eq!(some.before(Key::new(until, 0), 1), before.count() as u64);
            prop_assert!(some.islands.len() <= 1);
        }
    }
}
