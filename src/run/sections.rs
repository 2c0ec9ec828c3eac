//! Sections: parts of a graph that the user has named, for reports and errors.
//!
//! Operators are numbered as they are described, so a section is a range of them.

use std::collections::HashMap;
use std::ops::Range;

/// The sections of a graph, in the order in which they begin.
#[derive(Debug, Default)]
pub(super) struct Sections {
    list: Vec<Section>,
    /// The section that is being described, if there is one.
    open: Option<usize>,
}

#[derive(Debug)]
struct Section {
    name: Box<str>,
    /// The section around it.
    within: Option<usize>,
    /// Its operators. Those of a section that is being described have no end.
    ops: Range<usize>,
}

/// Sections by name: those in the same section that have the same name are one.
#[derive(Debug, Default)]
pub(crate) struct ByName {
    /// Each comes right behind the one around it, and those that are in that.
    pub(crate) list: Vec<Named>,
    /// The place of each section in that list.
    places: Vec<usize>,
}

/// Sections of the same name, in the same section.
#[derive(Debug)]
pub(crate) struct Named {
    /// Its name behind those of the sections around it.
    pub(crate) path: String,
    /// Where its own name begins.
    pub(crate) own: usize,
    /// The place of the section around it.
    pub(crate) within: Option<usize>,
    /// How many sections are around it.
    pub(crate) depth: usize,
}

impl Sections {
    /// Whether the user has named none.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Begins a section with the operator that is added next.
    pub(super) fn open(&mut self, name: &str, op: usize) {
        let within = self.open.replace(self.list.len());
        self.list.push(Section { name: name.into(), within, ops: op..usize::MAX });
    }

    /// Ends the section that is being described before the operator that is added next.
    pub(super) fn close(&mut self, op: usize) {
        if let Some(open) = self.open {
            self.list[open].ops.end = op;
            self.open = self.list[open].within;
        }
    }

    /// The innermost section that an operator is in.
    pub(super) fn of(&self, op: usize) -> Option<usize> {
        let begun = self.list.partition_point(|section| section.ops.start <= op);
        // All that has begun by then has ended before it, but for those around the last one.
        self.and_around(begun.checked_sub(1)).find(|section| self.list[*section].ops.contains(&op))
    }

    /// A section and those around it, from the inside out.
    fn and_around(&self, section: Option<usize>) -> impl Iterator<Item = usize> {
        std::iter::successors(section, |section| self.list[*section].within)
    }

    /// What stands before the name of what is in a section.
    pub(super) fn prefix(&self, section: Option<usize>) -> String {
        let mut names: Vec<&str> = self.and_around(section).map(|section| &*self.list[section].name).collect();
        names.reverse();
        names.iter().flat_map(|name| [*name, "/"]).collect()
    }

    /// Puts those together that have the same name.
    pub(super) fn by_name(&self) -> ByName {
        let mut numbers: HashMap<(Option<usize>, &str), usize> = HashMap::new();
        let mut first = Vec::new(); // the first section of each name, by number
        let mut inside: Vec<Vec<usize>> = vec![Vec::new()]; // those in each, and before them the outermost
        let mut number_of = Vec::new();
        for (section, Section { name, within, .. }) in self.list.iter().enumerate() {
            let within: Option<usize> = within.map(|within| number_of[within]);
            let number = *numbers.entry((within, name)).or_insert_with(|| {
                first.push(section);
                inside.push(Vec::new());
                inside[within.map_or(0, |within| within + 1)].push(first.len() - 1);
                first.len() - 1
            });
            number_of.push(number);
        }
        let mut list: Vec<Named> = Vec::new();
        let mut place_of = vec![0; first.len()];
        let mut next: Vec<usize> = inside[0].iter().rev().copied().collect();
        while let Some(number) = next.pop() {
            place_of[number] = list.len();
            let Section { name, within, .. } = &self.list[first[number]];
            let within = within.map(|within| place_of[number_of[within]]);
            let (before, depth) = within.map_or_else(Default::default, |within| {
                let Named { path, depth, .. } = &list[within];
                (format!("{path}/"), depth + 1)
            });
            list.push(Named { path: format!("{before}{name}"), own: before.len(), within, depth });
            next.extend(inside[number + 1].iter().rev());
        }
        ByName { list, places: number_of.into_iter().map(|number| place_of[number]).collect() }
    }
}

impl ByName {
    /// The place of a section.
    pub(super) fn place(&self, section: usize) -> usize {
        self.places[section]
    }

    /// A place and those of the sections around it, from the inside out.
    pub(crate) fn and_around(&self, place: Option<usize>) -> impl Iterator<Item = usize> {
        std::iter::successors(place, |place| self.list[*place].within)
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use proptest::prelude::*;

    use super::{Named, Sections};

    #[test]
    fn sections_of_one_name_are_one_and_stand_behind_what_is_around_them() {
        let mut sections = Sections::default();
        let mut op = 0;
        let mut all = Vec::new(); // the path of each operator
        let mut go = |name: Option<&str>, path: &str| {
            match name {
                Some(name) => sections.open(name, op),
                None => sections.close(op),
            }
            all.push(path.to_owned());
            op += 1;
            let named = sections.by_name();
            let own = sections.of(op - 1).map(|section| named.list[named.place(section)].path.clone());
            assert_eq!(own.as_deref().unwrap_or(""), path, "of an open section, too");
        };
        go(Some("step"), "step");
        go(Some("forces"), "step/forces");
        go(None, "step");
        go(None, "");
        go(Some("output"), "output");
        go(Some("forces"), "output/forces");
        go(None, "output");
        go(None, "");
        go(Some("step"), "step");
        go(Some("moves"), "step/moves");
        go(None, "step");
        go(Some("forces"), "step/forces");
        go(None, "step");
        go(None, "");
        let named = sections.by_name();
        let paths: Vec<(&str, usize)> = named.list.iter().map(|Named { path, depth, .. }| (&**path, *depth)).collect();
        let expected = [("step", 0), ("step/forces", 1), ("step/moves", 1), ("output", 0), ("output/forces", 1)];
        assert_eq!(paths, expected);
        for (op, path) in all.iter().enumerate() {
            let section = sections.of(op);
            assert_eq!(sections.prefix(section), if path.is_empty() { String::new() } else { format!("{path}/") });
            let around = named.and_around(section.map(|section| named.place(section))).count();
            assert_eq!(around, path.split('/').filter(|name| !name.is_empty()).count());
        }
    }

    proptest! {
        #[test]
        fn each_operator_is_in_the_section_that_was_open(steps in prop::collection::vec(0..4_u8, 0..200)) {
            let (mut sections, mut open, mut begun) = (Sections::default(), Vec::new(), 0);
            let mut expected: Vec<Option<usize>> = Vec::new();
            for step in steps {
                match step {
                    0 => {
                        sections.open("any", expected.len());
                        open.push(begun);
                        begun += 1;
                    }
                    1 => {
                        sections.close(expected.len());
                        open.pop();
                    }
                    _ => expected.push(open.last().copied()),
                }
                for (op, section) in expected.iter().enumerate() {
                    prop_assert_eq!(sections.of(op), *section);
                }
            }
        }
    }
}
