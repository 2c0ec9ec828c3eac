//! The edges of the task graph, derived from the accesses to data in program order.
//!
//! Two tasks could access the same data at once. An edge prevents that if one of them writes: the later one in program
//! order waits for the earlier one. So tasks see their data as if they ran in program order.

use std::collections::HashMap;

use super::draft::{Draft, Mode, NodeDraft, Who};

/// The edges of the task graph, and what is wrong with the edges that the user asked for.
pub(super) struct Edges {
    /// Pairs of nodes: the second waits for the first.
    pub(super) list: Vec<(u32, u32)>,
    /// Tasks that the user ordered after an operator of another graph.
    pub(super) foreign: Vec<usize>,
    /// Operators that the user ordered after something, but that are no tasks.
    pub(super) no_task: Vec<usize>,
    /// Whether the user asked for any edge.
    pub(super) explicit: bool,
}

impl Edges {
    /// Derives the edges of a draft. A reader comes after the last writer before it. A writer comes after the last
    /// writer before it, and after all readers since then.
    pub(super) fn derive(draft: &Draft<'_>) -> Self {
        let mut edges = Self { list: Vec::new(), foreign: Vec::new(), no_task: Vec::new(), explicit: false };
        let mut last_writer: Vec<Option<usize>> = vec![None; draft.slots.len()];
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); draft.slots.len()];
        for (who, slot, mode) in &draft.accesses {
            let (start, end) = span(draft, *who);
            if let Some(start) = start {
                if let Some(writer) = last_writer[slot.index()] {
                    edges.add(writer, start);
                }
                if *mode != Mode::Read {
                    readers[slot.index()].iter().for_each(|reader| edges.add(*reader, start));
                }
            }
            if *mode == Mode::Read {
                readers[slot.index()].push(end);
            } else {
                last_writer[slot.index()] = Some(end);
                readers[slot.index()].clear();
            }
        }
        edges.add_explicit(draft);
        edges
    }

    fn add(&mut self, from: usize, to: usize) {
        if from != to {
            self.list.push((index(from), index(to)));
        }
    }

    fn add_explicit(&mut self, draft: &Draft<'_>) {
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
                NodeDraft::Gate { .. } => {}
            }
        }
        for (first, op) in orders {
            match (node_of.get(&first), node_of.get(&op)) {
                _ if first == usize::MAX => self.foreign.push(op),
                (_, Some(node)) if !matches!(draft.nodes[*node], NodeDraft::Task { .. }) => self.no_task.push(op),
                (_, None) => self.no_task.push(op),
                (Some(first), Some(node)) => self.list.push((index(*first), index(*node))),
                (None, Some(_)) => {} // `first` makes data that the user gives: it is there from the start
            }
        }
    }
}

/// The number of a node, or of any other thing that exists once for each node or stage, in 32 bits.
pub(super) fn index(node: usize) -> u32 {
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
