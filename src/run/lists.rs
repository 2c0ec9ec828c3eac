//! Lists of numbers, one for each of many things, in one vector.

use super::room;

/// A list of numbers for each of some things.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    /// Where the list of each thing begins, and behind the last one.
    first: Vec<u32>,
    list: Vec<u32>,
}

impl Lists {
    /// Sorts pairs (thing, number) by thing.
    pub(crate) fn new(things: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut first = room::filled(0_u32, things + 2);
        pairs.clone().for_each(|(thing, _)| first[thing as usize + 2] += 1);
        (0..things).for_each(|thing| first[thing + 2] += first[thing + 1]);
        let mut list = room::filled(0, first[things + 1] as usize);
        // While numbers come in, the place of the next one of a thing is at the place of the thing behind it.
        for (thing, number) in pairs {
            let place = &mut first[thing as usize + 1];
            list[*place as usize] = number;
            *place += 1;
        }
        first.pop();
        Self { first, list }
    }

    /// How many things there are.
    pub(crate) fn len(&self) -> usize {
        self.first.len() - 1
    }

    #[inline]
    pub(crate) fn of(&self, thing: u32) -> &[u32] {
        let end = self.first[thing as usize + 1]; // before the beginning, whose index is surely less
        &self.list[self.first[thing as usize] as usize..end as usize]
    }

    /// Whether some list has a single number.
    pub(crate) fn has_one_alone(&self) -> bool {
        self.first.windows(2).any(|ends| ends[1] - ends[0] == 1)
    }

    /// The list of each thing.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let mut begin = 0;
        self.first[1..].iter().map(move |end| {
            let own = &self.list[begin..*end as usize];
            begin = *end as usize;
            own
        })
    }

    /// The numbers of all things.
    pub(crate) fn all(&self) -> &[u32] {
        &self.list
    }

    /// All pairs (thing, number).
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + Clone {
        (0..index(self.len())).flat_map(|thing| self.of(thing).iter().map(move |number| (thing, *number)))
    }

    /// Lists of these parts.
    pub(crate) fn of_parts(first: Vec<u32>, list: Vec<u32>) -> Self {
        Self { first, list }
    }

    /// The pairs (thing, number) of which one is below a limit.
    pub(crate) fn pairs_below(&self, limit: u32) -> impl Iterator<Item = (u32, u32)> {
        let things = index(self.len()).min(limit);
        let first = (0..things).flat_map(|thing| self.of(thing).iter().map(move |number| (thing, *number)));
        let begin = self.first[things as usize] as usize;
        let has_one = move |(_, part): &(usize, &[u32])| part.iter().fold(false, |has, number| has | (*number < limit));
        let parts = (begin..).step_by(PART).zip(self.list[begin..].chunks(PART)).filter(has_one);
        let places = parts.flat_map(|(begin, part)| (begin..).zip(part)).filter(move |(_, number)| **number < limit);
        let mut thing = things as usize;
        first.chain(places.map(move |(place, number)| {
            while self.first[thing + 1] as usize <= place {
                thing += 1;
            }
            (index(thing), *number)
        }))
    }

    /// Where the list of each thing begins, and behind the last one; and the lists.
    pub(crate) fn into_parts(self) -> (Vec<u32>, Vec<u32>) {
        (self.first, self.list)
    }

    /// Leaves each number once in each list.
    pub(crate) fn dedup(&mut self) {
        let (mut begin, mut kept) = (0, 0);
        for thing in 1..self.first.len() {
            let end = self.first[thing] as usize;
            if end - begin > 1 {
                self.list[begin..end].sort_unstable();
            }
            let start = kept;
            for place in begin..end {
                if kept == start || self.list[kept - 1] != self.list[place] {
                    self.list[kept] = self.list[place];
                    kept += 1;
                }
            }
            begin = end;
            self.first[thing] = index(kept);
        }
        self.list.truncate(kept);
    }
}

/// So many numbers are looked at together, to find out that none of them is small.
const PART: usize = 64;

/// Lists whose things come one after the other, as a rule. Each number is once in each list.
pub(crate) struct Growing {
    lists: Lists,
    /// The list that is open: of the last thing that had a number. Where it begins.
    open: u32,
    begin: usize,
    /// How many things there are.
    things: u32,
    /// Pairs (thing, number) that came when a later thing had its list.
    late: Vec<(u32, u32)>,
    /// Whether some list is long, and may have numbers more than once.
    is_long: bool,
}

/// So many numbers of a list are looked at before another one is added.
const LOOKED_AT: usize = 8;

impl Growing {
    /// `numbers` is how many there may be, as a rule.
    pub(crate) fn new(things: usize, numbers: usize) -> Self {
        let mut first = room::list(things + 1);
        first.push(0);
        let lists = Lists { first, list: room::list(numbers) };
        Self { lists, open: 0, begin: 0, things: index(things), late: Vec::new(), is_long: false }
    }

    /// Adds a number to the list of a thing. A thing beyond the number of things is late.
    #[inline]
    pub(crate) fn add(&mut self, thing: u32, number: u32) {
        if self.open(thing) {
            self.add_to_open(number);
        } else {
            self.late.push((thing, number));
        }
    }

    /// Adds a number to the list that is open.
    #[inline(always)]
    pub(crate) fn add_to_open(&mut self, number: u32) {
        let list = &mut self.lists.list;
        let own = &list[self.begin..];
        #[expect(clippy::manual_contains, reason = "they are few: `contains` would look for many")]
        if own.len() > LOOKED_AT {
            self.is_long = true;
        } else if own.iter().any(|other| *other == number) {
            return;
        }
        list.push(number);
    }

    /// Opens the list behind the open one.
    #[inline(always)]
    pub(crate) fn open_next(&mut self) {
        self.begin = self.lists.list.len();
        self.lists.first.push(index(self.begin));
        self.open += 1;
    }

    /// Opens the list of a thing, if it is not behind that. Returns whether it is open.
    #[inline]
    fn open(&mut self, thing: u32) -> bool {
        if thing == self.open {
            return true;
        }
        if thing < self.open || thing >= self.things {
            return false;
        }
        self.begin = self.lists.list.len();
        let begin = index(self.begin);
        (self.open..thing).for_each(|_| self.lists.first.push(begin));
        self.open = thing;
        true
    }

    /// All pairs (thing, number) so far.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        let (first, list) = (&self.lists.first, &self.lists.list);
        let ends = first[1..].iter().copied().chain([index(list.len())]);
        let lists = (0..).zip(first.iter().zip(ends));
        let pairs = lists.flat_map(|(thing, (begin, end))| {
            list[*begin as usize..end as usize].iter().map(move |number| (thing, *number))
        });
        pairs.chain(self.late.iter().copied())
    }

    /// The lists of so many things.
    pub(crate) fn close(mut self, things: usize) -> Lists {
        let Lists { first, list } = &mut self.lists;
        first.resize(things + 1, index(list.len()));
        list.shrink_to_fit();
        if !self.late.is_empty() {
            self.lists = Lists::new(things, self.lists.pairs().chain(self.late.iter().copied()));
        }
        if self.is_long || !self.late.is_empty() {
            self.lists.dedup();
        }
        self.lists
    }
}

/// A number, in the form in which there are millions of them.
#[inline]
fn index(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 edges")
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Growing, Lists};

    proptest! {
        #[test]
        fn lists_have_each_number_once(
            mut pairs in prop::collection::vec((0..20_u32, 0..15_u32), 0..100),
            are_sorted in any::<bool>(),
            late in 0..3_u32,
            limit in 0..30_u32,
        ) {
            if are_sorted {
                pairs.sort_by_key(|(thing, _)| *thing);
            }
            let things = 20 + late; // those beyond 20 were not announced
            pairs.extend((20..things).map(|thing| (thing, thing)));
            let expected: BTreeSet<(u32, u32)> = pairs.iter().copied().collect();
            let mut growing = Growing::new(20, 5);
            pairs.iter().for_each(|(thing, number)| growing.add(*thing, *number));
            prop_assert_eq!(growing.pairs().collect::<BTreeSet<_>>(), expected.clone());
            let mut sorted = Lists::new(things as usize, pairs.iter().copied());
            sorted.dedup();
            for lists in [growing.close(things as usize), sorted] {
                prop_assert_eq!(lists.len(), things as usize);
                prop_assert_eq!(lists.all().len(), expected.len());
                prop_assert_eq!(lists.pairs().collect::<BTreeSet<_>>(), expected.clone());
                let below = expected.iter().copied().filter(|(thing, number)| *thing < limit || *number < limit);
                prop_assert_eq!(lists.pairs_below(limit).collect::<BTreeSet<_>>(), below.collect::<BTreeSet<_>>());
            }
        }
    }
}
