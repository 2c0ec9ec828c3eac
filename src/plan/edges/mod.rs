//! The edges of the task graph, derived from the accesses to data in program order.
//!
//! Two tasks could access the same data at once. An edge prevents that if one of them writes: the later one in program
//! order waits for the earlier one. So tasks see their data as if they ran in program order.

pub(super) mod atoms;
pub(super) mod blocks;

use std::collections::HashMap;

use super::draft::{Draft, Mode, NodeDraft, Who};
use atoms::Atoms;
use blocks::Blocks;

/// The edges of the task graph, and what is wrong with the edges that the user asked for.
pub(in crate::plan) struct Edges {
    /// Pairs of nodes: the second waits for the first.
    pub(in crate::plan) list: Vec<(u32, u32)>,
    /// Tasks that the user ordered after an operator of another graph.
    pub(in crate::plan) foreign: Vec<usize>,
    /// Operators that the user ordered after something, but that are no tasks.
    pub(in crate::plan) no_task: Vec<usize>,
    /// Whether the user asked for any edge.
    pub(in crate::plan) explicit: bool,
}

impl Edges {
    /// Derives the edges of a draft. A reader comes after the last writer before it. A writer comes after the last
    /// writer before it, and after all readers since then.
    pub(in crate::plan) fn derive(draft: &Draft<'_>) -> Self {
        let mut edges = Self { list: Vec::new(), foreign: Vec::new(), no_task: Vec::new(), explicit: false };
        let (atoms, blocks) = (Atoms::of(draft), Blocks::of(draft));
        let mut last_writer: Vec<Option<usize>> = vec![None; atoms.count()];
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); atoms.count()];
        for (who, slot, mode) in &draft.accesses {
            let (start, end) = span(draft, *who);
            for atom in atoms.in_slot(*slot) {
                if let Some(start) = start {
                    if let Some(writer) = last_writer[atom] {
                        edges.add(blocks.as_ref(), writer, start);
                    }
                    if *mode != Mode::Read {
                        readers[atom].iter().for_each(|reader| edges.add(blocks.as_ref(), *reader, start));
                    }
                }
                if *mode == Mode::Read {
                    readers[atom].push(end);
                } else {
                    last_writer[atom] = Some(end);
                    readers[atom].clear();
                }
            }
        }
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
                NodeDraft::Task { op, .. } => drop(node_of.insert(*op, node)),
                NodeDraft::End { stage } => {
                    let (op, _) = draft.stages[*stage].ops.last().expect("a stage has operators");
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

/// The number of a node, or of any other thing that exists once for each node or stage, in 32 bits.
pub(in crate::plan) fn index(node: usize) -> u32 {
    u32::try_from(node).expect("fewer than 2^32 nodes")
}

/// The nodes at which an access begins and ends. If the first is none, nothing can come before the access.
fn span(draft: &Draft<'_>, who: Who) -> (Option<usize>, usize) {
    match who {
        Who::Task(node) => (Some(node), node),
        Who::Stage { stage, .. } => {
            let stage = &draft.stages[stage];
            (stage.gate, stage.end.expect("made with the gate"))
        }
        Who::Sink(stage) => (None, draft.stages[stage].end.expect("made with the access")),
    }
}
