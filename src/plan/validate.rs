//! Finds every defect of a graph before anything runs.

use std::collections::BTreeSet;

use super::draft::{Draft, Mode, NodeDraft, Who};
use super::edges::Edges;
use crate::error::Defect;

/// All defects, in the order of the operators.
pub(super) fn defects(draft: &Draft<'_>, edges: &Edges) -> Vec<Defect> {
    let mut found = draft.defects.clone();
    loose_ends(draft, &mut found);
    aliases(draft, &mut found);
    orders(draft, edges, &mut found);
    holds(draft, edges, &mut found);
    found.sort_by_key(|(op, _)| *op);
    let defect = |(op, what)| Defect::new(draft.names.get(op), draft.names.location(op), what);
    found.into_iter().map(defect).collect()
}

type Found = Vec<(usize, String)>;

/// Streams that nothing takes.
fn loose_ends(draft: &Draft<'_>, found: &mut Found) {
    for stage in draft.stages.iter().filter(|stage| stage.body.is_none()) {
        let (op, _) = stage.ops.last().expect("a stage has operators");
        found.push((*op, "nothing takes its items: end the stream in a sink, such as for_each or collect".to_owned()));
    }
}

/// Tasks that name a datum twice, unless both accesses read.
fn aliases(draft: &Draft<'_>, found: &mut Found) {
    for own in draft.accesses.chunk_by(|(who, ..), (next, ..)| who == next) {
        let Who::Task(node) = own[0].0 else { continue };
        let NodeDraft::Task { op, .. } = &draft.nodes[node] else { continue };
        for (i, (_, slot, mode)) in own.iter().enumerate() {
            if own[..i].iter().any(|(_, other, others)| other == slot && (*mode, *others) != (Mode::Read, Mode::Read)) {
                let data = draft.names.get(draft.slots[slot.0].op);
                found.push((*op, format!("it accesses '{data}' twice, and not only for reading")));
            }
        }
    }
}

/// Explicit orders that cannot be kept.
fn orders(draft: &Draft<'_>, edges: &Edges, found: &mut Found) {
    for op in &edges.foreign {
        found.push((*op, "it comes after an operator of another graph".to_owned()));
    }
    for op in &edges.no_task {
        found.push((*op, "only a task comes after() something: it is a sink".to_owned()));
    }
    if let Some(NodeDraft::Task { op, .. }) = edges.cycle.map(|node| &draft.nodes[node]) {
        found.push((*op, "it comes after itself".to_owned()));
    }
}

/// Streams that are held until another one ends, which cannot end before them.
///
/// A stage that waits for something holds the credits of its sources; if the thing it waits for needs more of one of these
/// sources, directly or by way of other stages that wait, neither can go on.
fn holds(draft: &Draft<'_>, edges: &Edges, found: &mut Found) {
    let sources = sources_of_stages(draft);
    // Source a cannot end before source b: (a, b, the stage that holds a).
    let mut before: Vec<(usize, usize, usize)> = Vec::new();
    for (index, stage) in draft.stages.iter().enumerate() {
        if stage.spooled {
            continue;
        }
        let awaited: BTreeSet<usize> =
            edges.awaited(index, draft).into_iter().flat_map(|end| sources[end].iter().copied()).collect();
        for held in &sources[index] {
            before.extend(awaited.iter().map(|end| (*held, *end, index)));
        }
    }
    let mut told = BTreeSet::new();
    for (held, end, stage) in &before {
        if reaches(&before, *end, *held) && told.insert(*stage) {
            let name = |stage: usize| draft.names.get(draft.stages[stage].ops[0].0);
            let what = if held == end {
                format!("its items are held until '{}' has ended, and both come from '{0}'", name(*end))
            } else {
                format!(
                    "its items from '{}' are held until '{}' has ended, which is itself held for it",
                    name(*held),
                    name(*end)
                )
            };
            let (op, _) = draft.stages[*stage].ops[0];
            found.push((op, format!("{what}: all of it would be kept; say spooled() if it may be")));
        }
    }
}

/// The source stages that feed each stage.
fn sources_of_stages(draft: &Draft<'_>) -> Vec<BTreeSet<usize>> {
    let mut sources: Vec<BTreeSet<usize>> = Vec::new();
    for (index, stage) in draft.stages.iter().enumerate() {
        let mut own = BTreeSet::new();
        if stage.source.is_some() {
            own.insert(index);
        }
        for input in &stage.inputs {
            own.extend(sources[*input].iter().copied());
        }
        sources.push(own);
    }
    sources
}

/// Whether `from` leads to `to` by way of `steps`, in any number of steps, none too.
fn reaches(steps: &[(usize, usize, usize)], from: usize, to: usize) -> bool {
    let (mut seen, mut next) = (BTreeSet::from([from]), vec![from]);
    while let Some(place) = next.pop() {
        if place == to {
            return true;
        }
        next.extend(steps.iter().filter(|(a, ..)| *a == place).map(|(_, b, _)| *b).filter(|b| seen.insert(*b)));
    }
    false
}
