//! The edges of the task graph, from accesses in program order.

use std::collections::{BTreeSet, HashMap};

use super::draft::{Draft, Mode, NodeDraft, Who};

/// The edges of the task graph, and what is wrong with the explicit ones.
pub(super) struct Edges {
    pub(super) list: Vec<(u32, u32)>,
    /// Tasks that are to come after an operator of another graph.
    pub(super) foreign: Vec<usize>,
    /// Operators that are to come after something and are no tasks.
    pub(super) no_task: Vec<usize>,
    /// A node that comes after itself.
    pub(super) cycle: Option<usize>,
}

impl Edges {
    /// A reader comes after the last writer before it, a writer after that and all readers since.
    pub(super) fn derive(draft: &Draft<'_>) -> Self {
        let mut edges = Self { list: Vec::new(), foreign: Vec::new(), no_task: Vec::new(), cycle: None };
        let mut last_writer: Vec<Option<usize>> = vec![None; draft.slots.len()];
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); draft.slots.len()];
        for (who, slot, mode) in &draft.accesses {
            let (start, end) = span(draft, *who);
            if let Some(start) = start {
                if let Some(writer) = last_writer[slot.0] {
                    edges.add(writer, start);
                }
                if *mode != Mode::Read {
                    readers[slot.0].iter().for_each(|reader| edges.add(*reader, start));
                }
            }
            if *mode == Mode::Read {
                readers[slot.0].push(end);
            } else {
                last_writer[slot.0] = Some(end);
                readers[slot.0].clear();
            }
        }
        edges.add_explicit(draft);
        edges
    }

    fn add(&mut self, from: usize, to: usize) {
        if from != to {
            let node = |node| u32::try_from(node).expect("fewer than 2^32 nodes");
            self.list.push((node(from), node(to)));
        }
    }

    fn add_explicit(&mut self, draft: &Draft<'_>) {
        let orders = draft.names.edges();
        if orders.is_empty() {
            return;
        }
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
                (None, Some(_)) => {} // given data: it is there from the start
            }
        }
        self.cycle = self.find_cycle(draft.nodes.len()); // program order has none
    }

    /// The stages that must have ended before `stage` lets anything through, and before it can end.
    pub(super) fn awaited(&self, stage: usize, draft: &Draft<'_>) -> BTreeSet<usize> {
        let mut awaited = BTreeSet::new();
        let (mut stages, mut nodes) = (Vec::new(), Vec::new());
        stages.extend(draft.stages[stage].waits_for);
        nodes.extend(draft.stages[stage].gate.map(index));
        if stages.is_empty() && nodes.is_empty() {
            return awaited;
        }
        let mut before: HashMap<u32, Vec<u32>> = HashMap::new();
        for (from, to) in &self.list {
            before.entry(*to).or_default().push(*from);
        }
        let mut seen = BTreeSet::new();
        loop {
            if let Some(stage) = stages.pop() {
                if awaited.insert(stage) {
                    let draft = &draft.stages[stage];
                    stages.extend(draft.inputs.iter().chain(&draft.waits_for));
                    nodes.extend(draft.gate.map(index));
                }
            } else if let Some(node) = nodes.pop() {
                if seen.insert(node) {
                    if let NodeDraft::End { stage } = draft.nodes[node as usize] {
                        stages.push(stage);
                    }
                    nodes.extend(before.get(&node).into_iter().flatten());
                }
            } else {
                return awaited;
            }
        }
    }

    fn find_cycle(&self, nodes: usize) -> Option<usize> {
        let mut missing = vec![0_u32; nodes];
        let mut after: Vec<Vec<u32>> = vec![Vec::new(); nodes];
        for (from, to) in &self.list {
            missing[*to as usize] += 1;
            after[*from as usize].push(*to);
        }
        let mut ready: Vec<usize> = (0..nodes).filter(|node| missing[*node] == 0).collect();
        while let Some(node) = ready.pop() {
            for to in &after[node] {
                missing[*to as usize] -= 1;
                if missing[*to as usize] == 0 {
                    ready.push(*to as usize);
                }
            }
        }
        missing.iter().position(|missing| *missing > 0)
    }
}

fn index(node: usize) -> u32 {
    u32::try_from(node).expect("fewer than 2^32 nodes")
}

/// The nodes at which an access begins (none: nothing can come before it) and ends.
fn span(draft: &Draft<'_>, who: Who) -> (Option<usize>, usize) {
    match who {
        Who::Task(node) => (Some(node), node),
        Who::Stage(stage) => {
            let stage = &draft.stages[stage];
            (stage.gate, stage.end.expect("made with the gate"))
        }
        Who::Sink(stage) => (None, draft.stages[stage].end.expect("made with the access")),
    }
}
