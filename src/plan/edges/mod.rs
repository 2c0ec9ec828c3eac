//! The edges of the task graph, derived from the accesses to data in program order.
//!
//! Two tasks could access the same data at once. An edge prevents that if one of them writes: the later one in program
//! order waits for the earlier one. So tasks see their data as if they ran in program order.

pub(super) mod atoms;
pub(super) mod blocks;

use std::collections::HashMap;

use super::draft::{Draft, Mode, NodeDraft, Who, index};
use atoms::Atoms;
use blocks::Blocks;

/// The edges of the task graph, and what is wrong with the edges that the user asked for.
pub(in crate::plan) struct Edges {
    /// Pairs of nodes: the second waits for the first.
    pub(in crate::plan) list: Vec<(u32, u32)>,
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

/// Who has accessed an atom last: the last writer, and the list of the readers since then.
#[derive(Clone, Copy)]
struct Atom {
    writer: u32,
    readers: u32,
}

/// No node, or the end of a list.
const NONE: u32 = u32::MAX;

impl Atom {
    const FRESH: Self = Self { writer: NONE, readers: NONE };
}

/// Lists of nodes, each entry with the place of the next one.
#[derive(Default)]
struct Readers(Vec<(u32, u32)>);

impl Readers {
    /// Puts a node before a list. Returns the list.
    fn push(&mut self, node: usize, list: u32) -> u32 {
        self.0.push((index(node), list));
        index(self.0.len() - 1)
    }

    /// The nodes of a list.
    fn of(&self, list: u32) -> impl Iterator<Item = usize> {
        let mut next = list;
        std::iter::from_fn(move || {
            let (node, rest) = *self.0.get(next as usize)?;
            next = rest;
            Some(node as usize)
        })
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
    edges: Edges,
    readers: Readers,
    blocks: Option<Blocks<'a>>,
}

impl Finder<'_> {
    fn add(&mut self, from: usize, to: usize) {
        self.edges.add(self.blocks.as_ref(), from, to);
    }

    /// The node `to` comes after the readers of an atom.
    fn add_readers(&mut self, atom: Atom, to: usize) {
        self.readers.of(atom.readers).for_each(|reader| self.edges.add(self.blocks.as_ref(), reader, to));
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

    /// An access to data that is one atom.
    fn access(&mut self, Access { span: (start, end), reads }: Access, atom: &mut Atom) {
        if let Some(start) = start {
            if atom.writer != NONE {
                self.add(atom.writer as usize, start);
            }
            if !reads {
                self.add_readers(*atom, start);
            }
        }
        if reads {
            atom.readers = self.readers.push(end, atom.readers);
        } else {
            *atom = Atom { writer: index(end), readers: NONE };
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
            atoms.fill(Atom { writer: index(end), readers: NONE });
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
        let edges = Self { list: Vec::new(), joins: 0, foreign: Vec::new(), no_task: Vec::new(), explicit: false };
        let (blocks, atoms) = (Blocks::of(draft), Atoms::of(draft));
        let mut found = Finder { nodes: draft.nodes.len(), edges, readers: Readers::default(), blocks };
        let mut states = vec![Atom::FRESH; atoms.count()];
        let mut wholes: HashMap<usize, Whole> = HashMap::new();
        for (who, slot, mode) in &draft.accesses {
            let access = Access { span: span(draft, *who), reads: *mode == Mode::Read };
            let own = &mut states[atoms.in_slot(*slot)];
            match atoms.whole_of(*slot) {
                None => found.access(access, &mut own[0]),
                Some(whole) if whole == slot.index() => found.whole(access, own, wholes.entry(whole).or_default()),
                Some(whole) => found.part(access, own, wholes.entry(whole).or_default()),
            }
        }
        let Finder { mut edges, blocks, .. } = found;
        edges.add_explicit(draft, blocks.as_ref());
        if let Some(blocks) = &blocks {
            blocks.close(&mut edges);
        }
        edges
    }

    fn add(&mut self, blocks: Option<&Blocks<'_>>, from: usize, to: usize) {
        if from != to {
            let (from, to) = blocks.map_or((from, to), |blocks| blocks.lift(from, to));
            self.list.push((index(from), index(to)));
        }
    }

    fn add_explicit(&mut self, draft: &Draft<'_>, blocks: Option<&Blocks<'_>>) {
        let orders = draft.names.edges();
        if orders.is_empty() {
            return;
        }
        self.explicit = true;
        let mut node_of = HashMap::new();
        for (node, kind) in draft.nodes.iter().enumerate() {
            match kind {
                NodeDraft::Task { op, .. } => drop(node_of.insert(*op as usize, node)),
                NodeDraft::End { stage } => {
                    let (op, _) = draft.stages[*stage as usize].ops.last().expect("a stage has operators");
                    node_of.insert(*op, node);
                }
                NodeDraft::Gate { .. } | NodeDraft::Enter { .. } | NodeDraft::Again { .. } => {}
            }
        }
        for (first, op) in orders {
            match (node_of.get(&first), node_of.get(&op)) {
                _ if first == usize::MAX => self.foreign.push(op),
                (_, Some(node)) if !matches!(draft.nodes[*node], NodeDraft::Task { .. }) => self.no_task.push(op),
                (_, None) => self.no_task.push(op),
                (Some(first), Some(node)) if first == node => self.list.push((index(*first), index(*node))),
                (Some(first), Some(node)) => self.add(blocks, *first, *node),
                (None, Some(_)) => {} // `first` makes data that the user gives: it is there from the start
            }
        }
    }
}

/// The nodes at which an access begins and ends. If the first is none, nothing can come before the access.
fn span(draft: &Draft<'_>, who: Who) -> (Option<usize>, usize) {
    match who {
        Who::Task(node) => (Some(node as usize), node as usize),
        Who::Stage { stage, .. } => {
            let stage = &draft.stages[stage as usize];
            (stage.gate, stage.end.expect("made with the gate"))
        }
        Who::Sink(stage) => (None, draft.stages[stage as usize].end.expect("made with the access")),
    }
}
