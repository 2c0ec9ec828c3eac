//! The edges of the task graph, derived from the accesses to data in program order.
//!
//! Two tasks could access the same data at once. An edge prevents that if one of them writes: the later one in program
//! order waits for the earlier one. So tasks see their data as if they ran in program order.

pub(super) mod atoms;
pub(super) mod blocks;
pub(super) mod tiling;

use std::collections::HashMap;
use std::ops::Range;

use super::draft::{Draft, Mode, NodeDraft, SlotAccess, Who, index};
use crate::run::lists::{Growing, Lists};
use crate::run::room::{filled, push};
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
    span: (Option<u32>, u32),
    reads: bool,
}

/// Who has accessed an atom last, besides the task that has made it: the last writer, and the list of the readers since then.
/// Both are 0 if there is none, so that atoms that nobody writes take no memory.
type Atom = [u32; 2];

/// An atom with the last writer.
fn written(by: u32) -> Atom {
    [by + 1, 0]
}

/// The last writer of an atom.
fn writer([writer, _]: Atom) -> Option<u32> {
    writer.checked_sub(1)
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
    fn push(&mut self, node: u32, list: u32) -> u32 {
        let entry = (node, list);
        let Some(free) = (self.free as usize).checked_sub(1) else {
            push(&mut self.entries, entry);
            return index(self.entries.len());
        };
        let place = self.free;
        self.free = std::mem::replace(&mut self.entries[free], entry).1;
        place
    }

    /// The first node of a list, and the rest of that, if it has one.
    #[inline]
    fn first(&self, list: u32) -> Option<(u32, u32)> {
        Some(self.entries[(list as usize).checked_sub(1)?])
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
    written: Vec<u32>,
    since: Vec<u32>,
    /// Those who have read the whole since one has written it all.
    readers: Vec<u32>,
    /// They come after earlier ones of these.
    read: Vec<u32>,
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
    /// The node `to` comes after `from`, unless they are the same.
    #[inline]
    fn add(&mut self, blocks: Option<&Blocks<'_>>, from: u32, to: u32) {
        match blocks {
            _ if from == to => {}
            None => self.push(from, to),
            Some(blocks) => self.add_lifted(blocks, from, to),
        }
    }

    #[inline(never)]
    fn add_lifted(&mut self, blocks: &Blocks<'_>, from: u32, to: u32) {
        let (from, to) = blocks.lift(from, to);
        self.push(from, to);
    }

    #[inline(always)]
    fn push(&mut self, from: u32, to: u32) {
        self.are_in_order &= from < to;
        self.before.add(to, from);
    }
}

impl Finder<'_> {
    #[inline]
    fn add(&mut self, from: u32, to: u32) {
        self.edges.add(self.blocks.as_ref(), from, to);
    }

    /// As [`add`](Self::add). `PLAIN`: there are only tasks, and the list of `to` is open.
    #[inline(always)]
    fn add_to<const PLAIN: bool>(&mut self, from: u32, to: u32) {
        if !PLAIN {
            self.add(from, to);
        } else if from != to {
            debug_assert!(from < to, "all tasks are in order");
            self.edges.before.add_to_open(from);
        }
    }

    /// The node `to` comes after the readers of an atom.
    fn add_readers<const PLAIN: bool>(&mut self, [_, readers]: Atom, to: u32) {
        let mut next = readers;
        while let Some((reader, rest)) = self.readers.first(next) {
            self.add_to::<PLAIN>(reader, to);
            next = rest;
        }
    }

    /// Nodes that come after all of these, for the node `at` to wait for. Each is in the innermost block that has all that it
    /// waits for: in the block of `at`, others who need it would wait for all of that block. And each waits only for nodes
    /// that are as far around `at`: what is in the block of `at` would have it wait for its own end.
    fn join(&mut self, mut all: Vec<u32>, at: u32) -> Vec<u32> {
        all.sort_unstable();
        all.dedup();
        let Some(blocks) = &self.blocks else { return self.join_all(all).into_iter().collect() };
        all.sort_by_key(|node| blocks.shared_depth(*node, at));
        let depth = |node: &u32| blocks.shared_depth(*node, at);
        let same: Vec<Vec<u32>> =
            all.chunk_by(|left, right| depth(left) == depth(right)).map(<[u32]>::to_vec).collect();
        same.into_iter().filter_map(|same| self.join_all(same)).collect()
    }

    /// A node that comes after all of these; none if there are none.
    fn join_all(&mut self, mut all: Vec<u32>) -> Option<u32> {
        if all.len() < 2 {
            return all.pop();
        }
        let join = index(self.nodes + self.edges.joins);
        self.edges.joins += 1;
        if let Some(blocks) = &mut self.blocks {
            blocks.add_behind(&all);
        }
        all.into_iter().for_each(|node| self.add(node, join));
        Some(join)
    }

    /// An access to an atom.
    #[inline]
    fn access<const PLAIN: bool>(&mut self, Access { span: (start, end), reads }: Access, atom: &mut Atom) {
        let has_readers = atom[1] != 0;
        if let Some(start) = start {
            if let Some(writer) = writer(*atom) {
                self.add_to::<PLAIN>(writer, start);
            }
            if !reads && has_readers {
                self.add_readers::<PLAIN>(*atom, start);
            }
        }
        if reads {
            atom[1] = self.readers.push(end, atom[1]);
        } else {
            let old = std::mem::replace(atom, written(end));
            if has_readers {
                self.readers.free(old[1]);
            }
        }
    }

    /// An access to a part: what it has to do with those to the whole.
    fn part(&mut self, access: Access, whole: &mut Whole) {
        if let (Some(start), false) = (access.span.0, access.reads) {
            self.readers_of(whole, start).iter().for_each(|read| self.add(*read, start));
        }
        if !access.reads {
            whole.since.push(access.span.1);
        }
    }

    /// An access to a whole, which is these atoms.
    fn whole(&mut self, Access { span: (start, end), reads }: Access, atoms: &mut [Atom], whole: &mut Whole) {
        if let Some(start) = start {
            let written = whole.since.drain(..).chain(whole.written.drain(..)).collect();
            whole.written = self.join(written, start);
            whole.written.iter().for_each(|written| self.add(*written, start));
            if !reads {
                self.readers_of(whole, start).iter().for_each(|read| self.add(*read, start));
                atoms.iter().for_each(|atom| self.add_readers::<false>(*atom, start));
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
    fn readers_of<'w>(&mut self, whole: &'w mut Whole, at: u32) -> &'w [u32] {
        if !whole.readers.is_empty() {
            let all = whole.readers.drain(..).chain(whole.read.drain(..)).collect();
            whole.read = self.join(all, at);
        }
        &whole.read
    }
}

/// Who has accessed data so far.
struct Accessed<'a> {
    draft: &'a Draft<'a>,
    atoms: Atoms,
    /// By atom. Empty if nobody waits for more than the task that has made it.
    states: Vec<Atom>,
    wholes: HashMap<usize, Whole>,
}

impl<'a> Accessed<'a> {
    fn new(draft: &'a Draft<'_>) -> Self {
        let atoms = Atoms::of(draft);
        let may_change = draft.accesses.rewrite() || !draft.cuts.is_empty();
        let states = filled([0; 2], if may_change { atoms.count() } else { 0 });
        Self { draft, atoms, states, wholes: HashMap::new() }
    }

    /// Adds the accesses of tasks. `PLAIN`: there are only tasks, and no parts of data.
    #[inline(never)]
    fn add_tasks<const PLAIN: bool>(&mut self, finder: &mut Finder<'_>, records: Range<u32>) {
        let draft = self.draft;
        for (record, own) in draft.accesses.of_tasks(records) {
            let node = if PLAIN { record } else { draft.nodes.of_task(record) };
            for access in own {
                self.add::<PLAIN>(finder, (Some(node), node), *access);
            }
            if PLAIN {
                finder.edges.before.open_next();
            }
        }
    }

    /// Adds an access, and finds what comes before it.
    #[inline(always)]
    fn add<const PLAIN: bool>(&mut self, finder: &mut Finder<'_>, span: (Option<u32>, u32), access: SlotAccess) {
        let (slot, reads) = (access.slot(), access.mode() == Mode::Read);
        let whole = || if PLAIN { None } else { self.atoms.whole_of(slot) };
        let draft = self.draft;
        let maker = || draft.slots.maker(slot).map(|record| if PLAIN { record } else { draft.nodes.of_task(record) });
        if !self.draft.accesses.is_rewritten(slot) && whole().is_none() {
            // Nobody waits for those who read it.
            if let (Some(maker), Some(start)) = (maker(), span.0) {
                finder.add_to::<PLAIN>(maker, start);
            }
            return;
        }
        let access = Access { span, reads };
        match whole() {
            None => {
                let at = if PLAIN { slot.index() } else { self.atoms.of_whole(slot).start };
                let atom = &mut self.states[at];
                if atom[0] == 0 {
                    atom[0] = maker().map_or(0, |maker| maker + 1);
                }
                finder.access::<PLAIN>(access, atom);
            }
            Some(whole) if whole == slot.index() => {
                let atoms = &mut self.states[self.atoms.of_whole(slot)];
                finder.whole(access, atoms, self.wholes.entry(whole).or_default());
            }
            Some(whole) => {
                finder.part(access, self.wholes.entry(whole).or_default());
                for range in self.atoms.in_slot(slot) {
                    self.states[range].iter_mut().for_each(|atom| finder.access::<false>(access, atom));
                }
            }
        }
    }
}

impl Edges {
    /// Derives the edges of a draft. A reader comes after the last writer before it. A writer comes after the last
    /// writer before it, and after all readers since then.
    pub(in crate::plan) fn derive(draft: &Draft<'_>) -> Self {
        let blocks = Blocks::of(draft);
        let nodes = draft.nodes.len();
        let before = Growing::new(nodes, draft.accesses.len());
        let found = Found { before, are_in_order: true, joins: 0 };
        let mut finder = Finder { nodes, edges: found, readers: Readers::default(), blocks };
        let mut accessed = Accessed::new(draft);
        let is_plain = draft.nodes.are_tasks() && draft.cuts.is_empty();
        for (records, other) in draft.accesses.stretches() {
            if is_plain {
                accessed.add_tasks::<true>(&mut finder, records);
            } else {
                accessed.add_tasks::<false>(&mut finder, records);
            }
            if let Some((who, access)) = other {
                accessed.add::<false>(&mut finder, span(draft, who), *access);
            }
        }
        let Finder { edges: mut found, blocks, .. } = finder;
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
                (Some(first), Some(node)) => found.add(blocks, index(*first), index(*node)),
                (None, Some(_)) => {} // `first` makes data that the user gives: it is there from the start
            }
        }
    }
}

/// The nodes at which an access begins and ends. If the first is none, nothing can come before the access.
fn span(draft: &Draft<'_>, who: Who) -> (Option<u32>, u32) {
    let end = |stage: u32| index(draft.stages[stage as usize].end.expect("made with the access"));
    match who {
        Who::Task(record) => {
            let node = draft.nodes.of_task(record);
            (Some(node), node)
        }
        Who::Joint(node) => (Some(node), node),
        Who::Stage { stage, .. } => (draft.stages[stage as usize].gate.map(index), end(stage)),
        Who::Sink(stage) => (None, end(stage)),
    }
}
