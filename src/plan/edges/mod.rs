//! The edges of the task graph, derived from the accesses to data in program order.
//!
//! Two tasks could access the same data at once. An edge prevents that if one of them writes: the later one in program
//! order waits for the earlier one. So tasks see their data as if they ran in program order.

pub(super) mod atoms;
pub(super) mod blocks;

use std::collections::HashMap;

use super::draft::{Draft, Mode, NodeDraft, SlotId, Who, index};
use crate::run::lists::{Growing, Lists};
use atoms::Atoms;
use blocks::Blocks;

/// The edges of the task graph, and what is wrong with the edges that the user asked for.
pub(in crate::plan) struct Edges {
    /// The nodes that each node waits for, each once.
    pub(in crate::plan) before: Lists,
    /// Whether program order keeps all of them.
    pub(in crate::plan) are_in_order: bool,
    /// How many nodes are only where edges of many come together and go apart to many: those behind the nodes of the draft.
    pub(in crate::plan) joins: usize,
    /// Tasks that the user ordered after an operator of another graph.
    pub(in crate::plan) foreign: Vec<usize>,
    /// Operators that the user ordered after something, but that are no tasks.
    pub(in crate::plan) no_task: Vec<usize>,
    /// Whether the user asked for any edge.
    pub(in crate::plan) explicit: bool,
}

/// An access: the nodes at which it begins and ends, and whether it only reads. Without a beginning nothing comes before it.
#[derive(Clone, Copy)]
struct Access {
    span: (Option<usize>, usize),
    reads: bool,
}

/// Who has accessed an atom last, besides the task that has made it: the last writer, and the list of the readers since then.
/// Both are 0 if there is none, so that atoms that nobody writes take no memory.
type Atom = [u32; 2];

/// An atom with the last writer.
fn written(by: usize) -> Atom {
    [index(by) + 1, 0]
}

/// The last writer of an atom.
fn writer([writer, _]: Atom) -> Option<usize> {
    (writer as usize).checked_sub(1)
}

/// Lists of nodes, each entry with the next one. A list is the place of its first entry, from 1 on; the empty list is 0.
#[derive(Default)]
struct Readers {
    entries: Vec<(u32, u32)>,
    /// The entries that are in no list, as a list.
    free: u32,
}

impl Readers {
    /// Puts a node before a list. Returns the list.
    fn push(&mut self, node: usize, list: u32) -> u32 {
        let entry = (index(node), list);
        let Some(free) = (self.free as usize).checked_sub(1) else {
            self.entries.push(entry);
            return index(self.entries.len());
        };
        let place = self.free;
        self.free = std::mem::replace(&mut self.entries[free], entry).1;
        place
    }

    /// The nodes of a list.
    fn of(&self, list: u32) -> impl Iterator<Item = usize> {
        let mut next = list;
        std::iter::from_fn(move || {
            let (node, rest) = self.entries[(next as usize).checked_sub(1)?];
            next = rest;
            Some(node as usize)
        })
    }

    /// Frees the entries of a list, which is not used any more.
    fn free(&mut self, list: u32) {
        let mut next = list;
        while let Some(place) = (next as usize).checked_sub(1) {
            let rest = std::mem::replace(&mut self.entries[place].1, self.free);
            (self.free, next) = (next, rest);
        }
    }
}

/// Who has accessed data that is in parts as a whole.
#[derive(Default)]
struct Whole {
    /// They come after all who have written it or parts of it, but for those who have written parts since.
    written: Vec<usize>,
    since: Vec<usize>,
    /// Those who have read the whole since one has written it all.
    readers: Vec<usize>,
    /// They come after earlier ones of these.
    read: Vec<usize>,
}

/// Finds edges.
///
/// If many tasks read all of some data, and then as many write a part each, each of these waits for each of those. So many edges
/// have no room. They go through a *join*, a node that does nothing: it waits for all readers, and all writers wait for it. So
/// it is where many have written parts, and many read all.
struct Finder<'a> {
    nodes: usize,
    edges: Found,
    readers: Readers,
    blocks: Option<Blocks<'a>>,
}

/// The edges so far.
struct Found {
    before: Growing,
    are_in_order: bool,
    joins: usize,
}

impl Found {
    #[inline]
    fn add(&mut self, blocks: Option<&Blocks<'_>>, from: usize, to: usize) {
        if from != to {
            let (from, to) = match blocks {
                None => (from, to),
                Some(blocks) => blocks.lift(from, to),
            };
            self.push(index(from), index(to));
        }
    }

    #[inline(always)]
    fn push(&mut self, from: u32, to: u32) {
        self.are_in_order &= from < to;
        self.before.add(to, from);
    }
}

impl Finder<'_> {
    #[inline]
    fn add(&mut self, from: usize, to: usize) {
        self.edges.add(self.blocks.as_ref(), from, to);
    }

    /// The node `to` comes after the readers of an atom.
    fn add_readers(&mut self, [_, readers]: Atom, to: usize) {
        self.readers.of(readers).for_each(|reader| self.edges.add(self.blocks.as_ref(), reader, to));
    }

    /// Nodes that come after all of these, for the node `at` to wait for. Each is in the innermost block that has all that it
    /// waits for: in the block of `at`, others who need it would wait for all of that block. And each waits only for nodes
    /// that are as far around `at`: what is in the block of `at` would have it wait for its own end.
    fn join(&mut self, mut all: Vec<usize>, at: usize) -> Vec<usize> {
        all.sort_unstable();
        all.dedup();
        let Some(blocks) = &self.blocks else { return self.join_all(all).into_iter().collect() };
        all.sort_by_key(|node| blocks.shared_depth(*node, at));
        let depth = |node: &usize| blocks.shared_depth(*node, at);
        let same: Vec<Vec<usize>> =
            all.chunk_by(|left, right| depth(left) == depth(right)).map(<[usize]>::to_vec).collect();
        same.into_iter().filter_map(|same| self.join_all(same)).collect()
    }

    /// A node that comes after all of these; none if there are none.
    fn join_all(&mut self, mut all: Vec<usize>) -> Option<usize> {
        if all.len() < 2 {
            return all.pop();
        }
        let join = self.nodes + self.edges.joins;
        self.edges.joins += 1;
        if let Some(blocks) = &mut self.blocks {
            blocks.add_behind(&all);
        }
        all.into_iter().for_each(|node| self.add(node, join));
        Some(join)
    }

    /// An access to a slot, which is these atoms. It may be a part of a whole, or be made by a node.
    #[inline(never)]
    fn any(
        &mut self,
        access: Access,
        slot: SlotId,
        atoms: &mut [Atom],
        wholes: &mut HashMap<usize, Whole>,
        (whole, maker): (Option<usize>, Option<usize>),
    ) {
        match whole {
            None => {
                if let (None, Some(maker)) = (writer(atoms[0]), maker) {
                    atoms[0][0] = index(maker) + 1;
                }
                self.access(access, &mut atoms[0]);
            }
            Some(whole) if whole == slot.index() => self.whole(access, atoms, wholes.entry(whole).or_default()),
            Some(whole) => self.part(access, atoms, wholes.entry(whole).or_default()),
        }
    }

    /// An access to data that is one atom.
    fn access(&mut self, Access { span: (start, end), reads }: Access, atom: &mut Atom) {
        if let Some(start) = start {
            if let Some(writer) = writer(*atom) {
                self.add(writer, start);
            }
            if !reads {
                self.add_readers(*atom, start);
            }
        }
        if reads {
            atom[1] = self.readers.push(end, atom[1]);
        } else {
            self.readers.free(std::mem::replace(atom, written(end))[1]);
        }
    }

    /// An access to a part, which is these atoms.
    fn part(&mut self, access: Access, atoms: &mut [Atom], whole: &mut Whole) {
        if let (Some(start), false) = (access.span.0, access.reads) {
            self.readers_of(whole, start).iter().for_each(|read| self.add(*read, start));
        }
        if !access.reads {
            whole.since.push(access.span.1);
        }
        atoms.iter_mut().for_each(|atom| self.access(access, atom));
    }

    /// An access to a whole, which is these atoms.
    fn whole(&mut self, Access { span: (start, end), reads }: Access, atoms: &mut [Atom], whole: &mut Whole) {
        if let Some(start) = start {
            let written = whole.since.drain(..).chain(whole.written.drain(..)).collect();
            whole.written = self.join(written, start);
            whole.written.iter().for_each(|written| self.add(*written, start));
            if !reads {
                self.readers_of(whole, start).iter().for_each(|read| self.add(*read, start));
                atoms.iter().for_each(|atom| self.add_readers(*atom, start));
            }
        }
        if reads {
            whole.readers.push(end);
        } else {
            *whole = Whole { written: vec![end], ..Whole::default() };
            atoms.fill(written(end));
        }
    }

    /// Nodes that come after all who have read a whole, for the node `at` to wait for.
    fn readers_of<'w>(&mut self, whole: &'w mut Whole, at: usize) -> &'w [usize] {
        if !whole.readers.is_empty() {
            let all = whole.readers.drain(..).chain(whole.read.drain(..)).collect();
            whole.read = self.join(all, at);
        }
        &whole.read
    }
}

impl Edges {
    /// Derives the edges of a draft. A reader comes after the last writer before it. A writer comes after the last
    /// writer before it, and after all readers since then.
    pub(in crate::plan) fn derive(draft: &Draft<'_>) -> Self {
        let (blocks, atoms) = (Blocks::of(draft), Atoms::of(draft));
        let nodes = draft.nodes.len();
        let before = Growing::new(nodes, draft.accesses.len());
        let found = Found { before, are_in_order: true, joins: 0 };
        let mut found = Finder { nodes, edges: found, readers: Readers::default(), blocks };
        let may_change = draft.accesses.rewrite() || !draft.parts.is_empty();
        let mut states: Vec<Atom> = vec![[0; 2]; if may_change { atoms.count() } else { 0 }];
        let mut wholes: HashMap<usize, Whole> = HashMap::new();
        let maker = |slot: SlotId| draft.slots.maker(slot).map(|record| draft.nodes.of_task(record) as usize);
        let is_fixed = |slot: SlotId| !draft.accesses.is_rewritten(slot) && atoms.whole_of(slot).is_none();
        draft.accesses.visit(|who, own| {
            let span = span(draft, who);
            for access in own {
                let (slot, reads) = (access.slot(), access.mode() == Mode::Read);
                if !may_change || is_fixed(slot) {
                    // Nobody waits for those who read it.
                    if let (Some(maker), Some(start)) = (maker(slot), span.0) {
                        found.add(maker, start);
                    }
                    continue;
                }
                let own = &mut states[atoms.in_slot(slot)];
                found.any(Access { span, reads }, slot, own, &mut wholes, (atoms.whole_of(slot), maker(slot)));
            }
        });
        let Finder { edges: mut found, blocks, .. } = found;
        let mut edges = Self {
            before: Lists::new(0, std::iter::empty()),
            are_in_order: true,
            joins: found.joins,
            foreign: Vec::new(),
            no_task: Vec::new(),
            explicit: false,
        };
        edges.add_explicit(draft, blocks.as_ref(), &mut found);
        if let Some(blocks) = &blocks {
            let all: Vec<(u32, u32)> = found.before.pairs().collect();
            blocks.close(&all, |from, to| found.push(from, to));
        }
        Self { before: found.before.close(nodes + edges.joins), are_in_order: found.are_in_order, ..edges }
    }

    fn add_explicit(&mut self, draft: &Draft<'_>, blocks: Option<&Blocks<'_>>, found: &mut Found) {
        let orders = draft.names.edges();
        if orders.is_empty() {
            return;
        }
        self.explicit = true;
        let mut node_of = HashMap::new();
        for (node, kind) in draft.nodes.iter().enumerate() {
            match kind {
                NodeDraft::Task { record } => drop(node_of.insert(draft.op_of_task(record), node)),
                NodeDraft::End { stage } => {
                    let (op, _) = draft.stages[stage as usize].ops.last().expect("a stage has operators");
                    node_of.insert(*op, node);
                }
                NodeDraft::Gate { .. } | NodeDraft::Enter { .. } | NodeDraft::Again { .. } => {}
            }
        }
        for (first, op) in orders {
            match (node_of.get(&first), node_of.get(&op)) {
                _ if first == usize::MAX => self.foreign.push(op),
                (_, Some(node)) if !matches!(draft.nodes.get(*node), NodeDraft::Task { .. }) => self.no_task.push(op),
                (_, None) => self.no_task.push(op),
                (Some(first), Some(node)) if first == node => found.push(index(*first), index(*node)),
                (Some(first), Some(node)) => found.add(blocks, *first, *node),
                (None, Some(_)) => {} // `first` makes data that the user gives: it is there from the start
            }
        }
    }
}

/// The nodes at which an access begins and ends. If the first is none, nothing can come before the access.
fn span(draft: &Draft<'_>, who: Who) -> (Option<usize>, usize) {
    match who {
        Who::Task(record) => {
            let node = draft.nodes.of_task(record) as usize;
            (Some(node), node)
        }
        Who::Joint(node) => (Some(node as usize), node as usize),
        Who::Stage { stage, .. } => {
            let stage = &draft.stages[stage as usize];
            (stage.gate, stage.end.expect("made with the gate"))
        }
        Who::Sink(stage) => (None, draft.stages[stage as usize].end.expect("made with the access")),
    }
}
