//! Finds what waits for itself: tasks in an order that cannot be kept, and streams that are held for each other.
//!
//! [`crate::plan::validate`] asks for it. Everything that waits is a vertex of one graph, with a step to each thing that it
//! waits for:
//!
//! | what | waits for |
//! |---|---|
//! | a node of the task graph | the nodes before it; the end of a stage for the stage |
//! | a stage, until it has ended | its inputs and its gate; a source for the credits of its items |
//! | items of a stage, until their credits are back | the items of the stages behind it; its gate, if it holds them |
//!
//! What stands in a cycle never comes. There are two kinds of cycles:
//! * A cycle without items is one of tasks.
//! * A cycle with items is one of credits. A stage that waits holds the credits of its sources. If the thing it waits
//!   for needs more batches of one of these sources, directly or by way of other stages that wait, neither can go on.
//!
//! Items of a spooled stage hold no credits. Those of the right side of a zip give theirs up when they are paired; whether
//! the left side brings items enough for that, nobody knows before it runs, and so no cycle goes that way.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use crate::plan::draft::{Draft, NodeDraft, StageDraft, index};
use crate::plan::edges::Edges;

/// The cycles of a graph.
#[derive(Debug, Default)]
pub(in crate::plan) struct Cycles {
    /// A shortest way round through the first node of each cycle of tasks: each waits for the next one, and the last one for the first.
    pub(in crate::plan) nodes: Vec<Vec<usize>>,
    /// The stages whose items are held in a cycle. Empty if there is a cycle of tasks.
    pub(in crate::plan) held: Vec<Held>,
}

/// A stage whose items are held in a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Held {
    pub(in crate::plan) stage: usize,
    /// The stage of the source that they come from.
    pub(in crate::plan) from: usize,
    /// The stage of the source that must end before they can go on.
    pub(in crate::plan) until: usize,
}

impl Cycles {
    pub(in crate::plan) fn of(draft: &Draft<'_>, edges: &Edges) -> Self {
        let mut cycles = Self::default();
        let holds: Vec<usize> = (0..draft.stages.len()).filter(|stage| holds(&draft.stages[*stage])).collect();
        // Without gates and explicit edges nothing can wait for itself. With a gate it can: a stage may read data that
        // is made only when that stage has ended.
        if holds.is_empty() && !edges.explicit && draft.stages.iter().all(|stage| stage.gate.is_none()) {
            return cycles;
        }
        let mut waits = Waits::of(draft, edges);
        cycles.nodes = waits.nodes_in_cycles();
        if !holds.is_empty() && cycles.nodes.is_empty() {
            waits.add_items();
            let parts = parts(&waits.steps);
            cycles.held = holds.into_iter().filter_map(|stage| waits.held(stage, &parts)).collect();
        }
        cycles
    }
}

/// Whether a stage holds credits while it waits.
fn holds(stage: &StageDraft<'_>) -> bool {
    !stage.spooled && (stage.gate.is_some() || stage.waits_for.is_some())
}

/// The graph of what waits; see the module documentation.
struct Waits<'a> {
    stages: &'a [StageDraft<'a>],
    /// What each thing waits for: nodes, then stages, then items of stages.
    steps: Vec<Vec<u32>>,
    nodes: usize,
}

impl<'a> Waits<'a> {
    /// The graph without the items.
    fn of(draft: &'a Draft<'_>, edges: &Edges) -> Self {
        let (stages, nodes) = (&draft.stages[..], draft.nodes.len() + edges.joins);
        let mut waits = Self { stages, steps: vec![Vec::new(); nodes + 2 * stages.len()], nodes };
        edges.before.pairs().for_each(|(then, first)| waits.steps[then as usize].push(first));
        for (node, kind) in draft.nodes.others() {
            if let NodeDraft::End { stage } = kind {
                waits.add(node, [waits.end(stage as usize)]);
            }
        }
        for (number, stage) in stages.iter().enumerate() {
            let end = waits.end(number);
            stage.inputs.iter().for_each(|input| waits.add(end, [waits.end(*input)]));
            waits.add(end, waits.gate(number));
        }
        waits
    }

    fn add_items(&mut self) {
        for (number, stage) in self.stages.iter().enumerate() {
            let items = self.items(number);
            if stage.source.is_some() {
                self.add(self.end(number), [items]);
            }
            if !stage.spooled {
                if !stage.lets_go {
                    stage.outputs.iter().for_each(|output| self.add(items, [self.items(*output)]));
                }
                self.add(items, self.gate(number));
            }
        }
    }

    fn add(&mut self, what: usize, waits_for: impl IntoIterator<Item = usize>) {
        self.steps[what].extend(waits_for.into_iter().map(index));
    }

    /// The vertex of the end of a stage.
    fn end(&self, stage: usize) -> usize {
        self.nodes + stage
    }

    /// The vertex of the items of a stage.
    fn items(&self, stage: usize) -> usize {
        self.nodes + self.stages.len() + stage
    }

    /// What a stage waits for before it lets anything through.
    fn gate(&self, stage: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.stages[stage].waits_for.map(|first| self.end(first));
        self.stages[stage].gate.into_iter().chain(first)
    }

    fn nodes_in_cycles(&self) -> Vec<Vec<usize>> {
        let parts = parts(&self.steps);
        let mut told = vec![false; self.steps.len()];
        let nodes = (0..self.nodes).filter(|node| {
            let part = parts[*node];
            let circular = self.steps[*node].iter().any(|to| parts[*to as usize] == part);
            circular && !std::mem::replace(&mut told[part as usize], true)
        });
        nodes.map(|node| self.way_round(node)).collect()
    }

    /// The nodes of a shortest cycle through this one, which is in a cycle.
    fn way_round(&self, node: usize) -> Vec<usize> {
        let mut from: HashMap<usize, usize> = HashMap::new();
        let mut next = VecDeque::from([node]);
        while let Some(at) = next.pop_front() {
            for to in self.steps[at].iter().map(|to| *to as usize) {
                if let Entry::Vacant(way) = from.entry(to) {
                    way.insert(at);
                    next.push_back(to);
                }
            }
            if from.contains_key(&node) {
                break;
            }
        }
        let mut way = vec![node];
        let mut at = from[&node];
        while at != node {
            way.push(at);
            at = from[&at];
        }
        way[1..].reverse();
        way.retain(|at| *at < self.nodes);
        way
    }

    /// Follows the cycle in which the items of a stage are held, if there is one. `parts` are the parts of this graph.
    fn held(&self, stage: usize, parts: &[u32]) -> Option<Held> {
        const ON: &str = "a cycle goes on";
        let in_cycle = |what: &usize| parts[*what] == parts[self.items(stage)];
        let mut until = self.gate(stage).find(in_cycle)?;
        while until < self.items(0) {
            until = self.steps[until].iter().map(|to| *to as usize).find(in_cycle).expect(ON);
        }
        let mut from = stage;
        while self.stages[from].source.is_none() {
            from = *self.stages[from].inputs.iter().find(|input| in_cycle(&self.items(**input))).expect(ON);
        }
        Some(Held { stage, from, until: until - self.items(0) })
    }
}

/// The number of the strongly connected part in which each vertex of a graph is. Two vertices are in the same part if
/// each leads to the other, in any number of steps. So a step within a part belongs to a cycle.
///
/// This is Tarjan's algorithm, without recursion.
pub(super) fn parts(steps: &[Vec<u32>]) -> Vec<u32> {
    const NONE: u32 = u32::MAX;
    let mut parts = vec![NONE; steps.len()];
    // When each vertex was first visited, and the earliest visit to a vertex without a part that it is known to lead
    // to.
    let (mut came, mut earliest) = (vec![NONE; steps.len()], vec![NONE; steps.len()]);
    let (mut time, mut count) = (0, 0);
    let mut without: Vec<usize> = Vec::new();
    let mut path: Vec<(usize, std::slice::Iter<'_, u32>)> = Vec::new();
    for first in 0..steps.len() {
        let mut next = (came[first] == NONE).then_some(first);
        loop {
            if let Some(what) = next.take() {
                (came[what], earliest[what]) = (time, time);
                time += 1;
                without.push(what);
                path.push((what, steps[what].iter()));
            }
            let Some((what, left)) = path.last_mut() else { break };
            let what = *what;
            match left.next().map(|to| *to as usize) {
                Some(to) if came[to] == NONE => next = Some(to),
                Some(to) if parts[to] == NONE => earliest[what] = earliest[what].min(came[to]),
                Some(_) => {}
                None => {
                    path.pop();
                    if let Some((before, _)) = path.last() {
                        earliest[*before] = earliest[*before].min(earliest[what]);
                    }
                    if earliest[what] == came[what] {
                        let begin = without.iter().rposition(|at| *at == what).expect("not in a part yet");
                        without.drain(begin..).for_each(|at| parts[at] = count);
                        count += 1;
                    }
                }
            }
        }
    }
    parts
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use proptest::prelude::*;

    use super::parts;

    proptest! {
        #[test]
        fn what_leads_to_each_other_is_one_part(
            steps in (1..12_usize).prop_flat_map(|count| {
                prop::collection::vec(prop::collection::vec(0..u32::try_from(count).expect("small"), 0..3), count)
            }),
        ) {
            let leads = |from: usize| {
                let (mut seen, mut next) = (vec![false; steps.len()], vec![from]);
                while let Some(what) = next.pop() {
                    if !std::mem::replace(&mut seen[what], true) {
                        next.extend(steps[what].iter().map(|to| *to as usize));
                    }
                }
                seen
            };
            let leads: Vec<Vec<bool>> = (0..steps.len()).map(leads).collect();
            let parts = parts(&steps);
            for (a, from) in leads.iter().enumerate() {
                for (b, to) in leads.iter().enumerate() {
                    prop_assert_eq!(parts[a] == parts[b], from[b] && to[a], "{} and {}", a, b);
                }
            }
        }
    }
}
