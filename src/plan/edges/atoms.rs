//! Cuts data into atoms: what accesses to the data or to its parts have in common, or not.
//!
//! Data may be in parts, in several ways at once ([`chunks`](crate::Graph::chunks)). An access to a part excludes one to
//! the whole, and one to another part that overlaps. So the data is cut wherever a part begins or ends. What lies between
//! two cuts is an *atom*. Accesses exclude each other if they share an atom. Data without parts is one atom.

use std::collections::HashMap;
use std::ops::Range;

use crate::plan::draft::{Draft, PartDraft, SlotId};

/// The atoms of a graph's data.
pub(in crate::plan) struct Atoms {
    /// Those of each slot. Empty if no data is in parts: then each slot is its own atom.
    of: Vec<Range<usize>>,
    /// The whole of each part, and of each whole itself.
    wholes: HashMap<usize, usize>,
    count: usize,
}

impl Atoms {
    pub(in crate::plan) fn of(draft: &Draft<'_>) -> Self {
        let slots = draft.slots.len();
        if draft.parts.is_empty() {
            return Self { of: Vec::new(), wholes: HashMap::new(), count: slots };
        }
        let mut cuts: HashMap<usize, Vec<usize>> = HashMap::new();
        for part in &draft.parts {
            cuts.entry(part.whole.index()).or_default().extend([part.items.start, part.items.end]);
        }
        for cuts in cuts.values_mut() {
            cuts.sort_unstable();
            cuts.dedup();
        }
        let of_part = |part: &PartDraft| (part.slot.index(), part.whole.index());
        let wholes = draft.parts.iter().map(of_part).chain(cuts.keys().map(|whole| (*whole, *whole))).collect();
        let mut atoms = Self { of: Vec::with_capacity(slots), wholes, count: 0 };
        let mut parts = draft.parts.iter().map(|part| part.slot.index()).peekable();
        for slot in 0..slots {
            let own = match cuts.get(&slot) {
                _ if parts.next_if_eq(&slot).is_some() => 0, // its atoms are among those of the whole
                None => 1,
                Some(cuts) => cuts.len() - 1,
            };
            atoms.of.push(atoms.count..atoms.count + own);
            atoms.count += own;
        }
        for part in &draft.parts {
            let whole = part.whole.index();
            let at = |item: usize| atoms.of[whole].start + cuts[&whole].partition_point(|cut| *cut < item);
            atoms.of[part.slot.index()] = at(part.items.start)..at(part.items.end);
        }
        atoms
    }

    /// How many atoms there are.
    pub(in crate::plan) fn count(&self) -> usize {
        self.count
    }

    /// The data that a slot is a part of; itself if it is in parts. None: it has nothing to do with parts.
    pub(in crate::plan) fn whole_of(&self, slot: SlotId) -> Option<usize> {
        self.wholes.get(&slot.index()).copied()
    }

    /// The atoms of a slot.
    pub(in crate::plan) fn in_slot(&self, slot: SlotId) -> Range<usize> {
        self.of.get(slot.index()).cloned().unwrap_or(slot.index()..slot.index() + 1)
    }
}
