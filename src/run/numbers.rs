//! Lists of numbers and of bits, of which a graph may have millions.

use super::room::push;

/// Numbers or none, by index. Where they grow by one from index to index, as those of operators, tasks and data do, they take
/// no memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    len: u32,
    /// The number that the last run would go on with, plus one. 0: there is no run.
    next: u64,
    /// Where one number is not the one before plus one; empty if `list` has them all.
    runs: Vec<Run>,
    list: Vec<u32>,
}

/// Numbers that grow by one, or none.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u32,
    number: u32,
}

impl Run {
    /// The number at this index.
    #[inline]
    fn at(self, index: u32) -> u32 {
        if self.number == NONE { NONE } else { self.number + (index - self.first) }
    }
}

const NONE: u32 = u32::MAX;
/// If runs have fewer numbers than this, as a rule, a list takes less memory, or is found in sooner.
const SHORT: usize = 16;

impl Numbers {
    #[inline]
    pub(crate) fn push(&mut self, number: Option<u32>) {
        let number = number.unwrap_or(NONE);
        if self.next != u64::from(number) + 1 {
            self.push_other(number);
        } else if number != NONE {
            self.next += 1;
        }
        self.len += 1;
    }

    fn push_other(&mut self, number: u32) {
        if self.list.is_empty() {
            let len = self.len as usize;
            if (self.runs.len() + 1) * SHORT <= len.max(SHORT * SHORT) {
                self.next = u64::from(number) + if number == NONE { 1 } else { 2 };
                return self.runs.push(Run { first: self.len, number });
            }
            self.list = (0..self.len).map(|index| self.at(index)).collect();
            (self.runs, self.next) = (Vec::new(), 0);
        }
        push(&mut self.list, number);
    }

    /// Whether there is a run. It goes on at any index behind those that were pushed.
    pub(crate) fn are_runs(&self) -> bool {
        self.next != 0
    }

    /// Lets the last run go on up to this index.
    pub(crate) fn go_on(&mut self, len: u32) {
        debug_assert!(self.are_runs() || len == self.len, "a list has all numbers");
        self.next += u64::from(len - self.len);
        self.len = len;
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// The number at this index, of which there is one.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> u32 {
        match &self.runs[..] {
            [] => self.list[index as usize],
            [run] => run.at(index),
            [run, next, ..] if index < next.first => run.at(index),
            runs => runs[runs.partition_point(|run| run.first <= index) - 1].at(index),
        }
    }

    /// The number at this index, if there is one.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<u32> {
        match &self.runs[..] {
            [run] => (run.number != NONE).then(|| run.number + (index - run.first)),
            _ => Some(self.at(index)).filter(|number| *number != NONE),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<u32>> {
        let ends = self.runs.iter().skip(1).map(|run| run.first).chain([self.len]);
        let runs = self.runs.iter().zip(ends).flat_map(|(run, end)| (run.first..end).map(|index| run.at(index)));
        runs.chain(self.list.iter().copied()).map(|number| Some(number).filter(|number| *number != NONE))
    }
}

/// A bit for each index; those that nobody has set are not set.
#[derive(Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    #[inline]
    pub(crate) fn set(&mut self, index: u32) {
        let (word, bit) = (index as usize / 64, 1 << (index % 64));
        match self.0.get_mut(word) {
            Some(word) => *word |= bit,
            None => self.set_behind(word, bit),
        }
    }

    #[cold]
    fn set_behind(&mut self, word: usize, bit: u64) {
        self.0.resize(word + 1, 0);
        self.0[word] = bit;
    }

    #[inline]
    pub(crate) fn has(&self, index: u32) -> bool {
        self.0.get(index as usize / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The indices that are set, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.0).flat_map(|(at, word): (u32, &u64)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use proptest::prelude::*;

    use super::{Bits, Numbers};

    proptest! {
        #[test]
        fn numbers_come_back(parts in prop::collection::vec((any::<Option<u16>>(), 1..60_u32), 0..60)) {
            let (mut numbers, mut all) = (Numbers::default(), Vec::new());
            for (first, len) in parts {
                for number in (0..len).map(|more| first.map(|first| u32::from(first) + more)) {
                    numbers.push(number);
                    all.push(number);
                }
            }
            prop_assert_eq!(numbers.iter().collect::<Vec<_>>(), &all[..]);
            prop_assert_eq!(numbers.len(), all.len());
            for (index, number) in (0..).zip(all) {
                prop_assert_eq!(numbers.get(index), number);
            }
        }

        #[test]
        fn bits_that_were_set_come_back(set in prop::collection::btree_set(0..300_u32, 0..20)) {
            let mut bits = Bits::default();
            set.iter().for_each(|index| bits.set(*index));
            prop_assert_eq!(bits.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            prop_assert!((0..400).all(|index| bits.has(index) == set.contains(&index)));
        }
    }
}
