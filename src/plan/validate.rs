//! Finds every defect of a graph before anything runs.
//!
//! A plan and a blueprint both call [`defects`]. It reports all defects at once, not only the first.

use super::cycles::{Cycles, Held};
use super::draft::{Draft, Mode, NodeDraft, Who};
use super::edges::Edges;
use super::place::Homes;
use crate::error::Defect;

/// All defects, in the order of the operators.
pub(super) fn defects(draft: &Draft<'_>, edges: &Edges, homes: &Homes) -> Vec<Defect> {
    let mut found = draft.defects.clone();
    found.extend_from_slice(&homes.defects);
    loose_ends(draft, &mut found);
    aliases(draft, &mut found);
    consumed(draft, &mut found);
    let cycles = Cycles::of(draft, edges);
    orders(draft, edges, &cycles, &mut found);
    holds(draft, &cycles, &mut found);
    found.sort_by_key(|(op, _)| *op);
    let defect = |(op, what)| Defect::new(draft.names.get(op), draft.names.location(op), what);
    found.into_iter().map(defect).collect()
}

type Found = Vec<(usize, String)>;

/// Finds streams that nothing takes.
fn loose_ends(draft: &Draft<'_>, found: &mut Found) {
    for stage in draft.stages.iter().filter(|stage| stage.body.is_none()) {
        let (op, _) = stage.ops.last().expect("a stage has operators");
        found.push((*op, "nothing takes its items: end the stream in a sink, such as for_each or collect".to_owned()));
    }
}

/// Finds tasks that access the same data twice, unless both accesses read.
fn aliases(draft: &Draft<'_>, found: &mut Found) {
    for own in draft.accesses.chunk_by(|(who, ..), (next, ..)| who == next) {
        let Who::Task(node) = own[0].0 else { continue };
        let NodeDraft::Task { op, .. } = &draft.nodes[node] else { continue };
        for (i, (_, slot, mode)) in own.iter().enumerate() {
            if own[..i].iter().any(|(_, other, others)| other == slot && (*mode, *others) != (Mode::Read, Mode::Read)) {
                let data = draft.names.get(draft.slots[slot.index()].op);
                found.push((*op, format!("it accesses '{data}' twice, and not only for reading")));
            }
        }
    }
}

/// Finds accesses to data that was consumed earlier in program order.
fn consumed(draft: &Draft<'_>, found: &mut Found) {
    let mut gone: Vec<Option<usize>> = vec![None; draft.slots.len()];
    for (who, slot, mode) in &draft.accesses {
        let op = match who {
            Who::Task(node) => match &draft.nodes[*node] {
                NodeDraft::Task { op, .. } => *op,
                NodeDraft::Gate { .. } | NodeDraft::End { .. } => unreachable!("a task's node"),
            },
            Who::Stage { op, .. } => *op,
            Who::Sink(_) => continue, // a result is written once, before anything else
        };
        match gone[slot.index()] {
            Some(by) if by == op => {} // one task accesses it twice: `aliases` reports that
            Some(by) => {
                let (data, by) = (draft.names.get(draft.slots[slot.index()].op), draft.names.get(by));
                found.push((op, format!("it accesses '{data}', which '{by}' has consumed")));
            }
            None if *mode == Mode::Consume => gone[slot.index()] = Some(op),
            None => {}
        }
    }
}

/// Finds orders that cannot be kept.
fn orders(draft: &Draft<'_>, edges: &Edges, cycles: &Cycles, found: &mut Found) {
    for op in &edges.foreign {
        found.push((*op, "it comes after an operator of another graph".to_owned()));
    }
    for op in &edges.no_task {
        found.push((*op, "only a task comes after() something: it is a sink".to_owned()));
    }
    for node in &cycles.nodes {
        let (op, what) = match &draft.nodes[*node] {
            NodeDraft::Task { op, .. } => (*op, "it comes after itself"),
            NodeDraft::Gate { stage } | NodeDraft::End { stage } => {
                (draft.stages[*stage].ops[0].0, "it reads data that is not made before it has ended")
            }
        };
        found.push((op, what.to_owned()));
    }
}

/// Finds streams that are held until another stream ends that cannot end before them.
fn holds(draft: &Draft<'_>, cycles: &Cycles, found: &mut Found) {
    let head = |stage: usize| draft.stages[stage].ops[0].0;
    for Held { stage, from, until } in &cycles.held {
        let (source, end) = (draft.names.get(head(*from)), draft.names.get(head(*until)));
        let what = if from == until {
            format!("its items are held until '{end}' has ended, and both come from '{source}'")
        } else {
            format!("its items from '{source}' are held until '{end}' has ended, which is itself held for it")
        };
        found.push((head(*stage), format!("{what}: all of it would be kept; say spooled() if it may be")));
    }
}
