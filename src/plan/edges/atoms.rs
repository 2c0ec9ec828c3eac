//! Cuts data into atoms: what accesses to the data or to its parts have in common, or not.
//!
//! Data may be in parts, in several ways at once ([`chunks`](crate::Graph::chunks), [`tiles`](crate::Graph::tiles)). An
//! access to a part excludes one to the whole, and one to another part that overlaps. So the data is cut into *atoms*, of
//! which each part is a set ([`super::tiling`]). Accesses exclude each other if they share an atom. Data that is cut in one
//! way has one atom for each part, and data without parts is one atom.

use std::collections::BTreeMap;
use std::ops::Range;

use super::tiling::{Tiling, atoms};
use crate::plan::draft::{CutDraft, Draft, SlotId, index};

/// The atoms of a graph's data.
pub(in crate::plan) struct Atoms {
    /// Where the ranges of each slot begin, and behind the last one. Empty if no data is in parts: then each slot is its
    /// own atom.
    first: Vec<u32>,
    /// Its atoms. A slot that is no part has one range.
    ranges: Vec<Range<u32>>,
    /// The whole of these parts, and of each whole itself, in the order of slots.
    wholes: Vec<(Range<u32>, u32)>,
    count: usize,
}

/// The atoms of the parts of one tiling.
struct Found {
    /// Ranges of atoms, each with its part.
    ranges: Vec<(u32, Range<u32>)>,
    /// The place of the newest range of each part, if it has one.
    newest: Vec<u32>,
}

impl Found {
    fn add(&mut self, part: usize, atom: u32) {
        match self.ranges.get_mut(self.newest[part] as usize) {
            Some((of, range)) if *of == index(part) && range.end == atom => range.end += 1,
            _ => {
                self.newest[part] = index(self.ranges.len());
                self.ranges.push((index(part), atom..atom + 1));
            }
        }
    }
}

impl Atoms {
    pub(in crate::plan) fn of(draft: &Draft<'_>) -> Self {
        let slots = index(draft.slots.len());
        let mut of = Self { first: Vec::new(), ranges: Vec::new(), wholes: Vec::new(), count: slots as usize };
        if draft.cuts.is_empty() {
            return of;
        }
        of.count = 0;
        let mut cuts: BTreeMap<u32, Vec<&CutDraft>> = BTreeMap::new();
        draft.cuts.iter().for_each(|cut| cuts.entry(cut.whole.number()).or_default().push(cut));
        let mut parts: Vec<(u32, Range<u32>)> = Vec::new();
        for (whole, cuts) in cuts {
            let all = of.add_whole(&cuts, &mut parts);
            parts.push((whole, all));
            of.wholes.push((whole..whole + 1, whole));
            of.wholes.extend(cuts.iter().map(|cut| (cut.parts.clone(), whole)));
        }
        parts.sort_by_key(|(slot, _)| *slot);
        of.wholes.sort_unstable_by_key(|(slots, _)| slots.start);
        let mut parts = parts.into_iter().peekable();
        for slot in 0..slots {
            of.first.push(index(of.ranges.len()));
            if parts.peek().is_none_or(|(part, _)| *part != slot) {
                let own = of.take(1);
                of.ranges.push(own);
            }
            of.ranges.extend(std::iter::from_fn(|| Some(parts.next_if(|(part, _)| *part == slot)?.1)));
        }
        of.first.push(index(of.ranges.len()));
        of
    }

    /// Adds the atoms of data that is cut so to those of its parts. Returns all of them.
    fn add_whole(&mut self, cuts: &[&CutDraft], parts: &mut Vec<(u32, Range<u32>)>) -> Range<u32> {
        let mut tilings: Vec<Tiling> = Vec::new(); // each once
        let numbers: Vec<usize> = cuts
            .iter()
            .map(|cut| {
                tilings.iter().position(|tiling| *tiling == cut.tiling).unwrap_or_else(|| {
                    tilings.push(cut.tiling);
                    tilings.len() - 1
                })
            })
            .collect();
        let of_none = |tiling: &Tiling| {
            let (down, right) = tiling.tiles();
            Found { ranges: Vec::new(), newest: vec![u32::MAX; down * right] }
        };
        let mut found: Vec<Found> = tilings.iter().map(of_none).collect();
        let before = self.count;
        let count = atoms(&tilings, |tiling, part, atom| found[tiling].add(part, index(before + atom)));
        for (cut, tiling) in cuts.iter().zip(numbers) {
            parts.extend(found[tiling].ranges.iter().map(|(part, range)| (cut.parts.start + part, range.clone())));
        }
        self.take(count)
    }

    /// So many more atoms.
    fn take(&mut self, count: usize) -> Range<u32> {
        let first = self.count;
        self.count += count;
        index(first)..index(self.count)
    }

    /// How many atoms there are.
    pub(in crate::plan) fn count(&self) -> usize {
        self.count
    }

    /// The data that a slot is a part of; itself if it is in parts. None: it has nothing to do with parts.
    pub(in crate::plan) fn whole_of(&self, slot: SlotId) -> Option<usize> {
        let before = self.wholes.partition_point(|(slots, _)| slots.start <= slot.number());
        let (slots, whole) = self.wholes.get(before.checked_sub(1)?)?;
        slots.contains(&slot.number()).then_some(*whole as usize)
    }

    /// The atoms of a slot that is no part: all of them, or the one.
    pub(in crate::plan) fn of_whole(&self, slot: SlotId) -> Range<usize> {
        match self.first.get(slot.index()) {
            Some(first) => places(&self.ranges[*first as usize]),
            None => slot.index()..slot.index() + 1,
        }
    }

    /// The atoms of a slot.
    pub(in crate::plan) fn in_slot(&self, slot: SlotId) -> impl Iterator<Item = Range<usize>> + Clone {
        let own = match self.first.get(slot.index()..slot.index() + 2) {
            Some([first, end]) => &self.ranges[*first as usize..*end as usize],
            _ => &[],
        };
        let single = self.first.is_empty().then(|| slot.index()..slot.index() + 1);
        single.into_iter().chain(own.iter().map(places))
    }
}

fn places(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}
