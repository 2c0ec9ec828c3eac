//! Finds every defect of a graph before anything runs.
//!
//! A plan and a blueprint both call [`defects`]. It reports all defects at once, not only the first.

use std::ops::Range;

use super::draft::{Draft, Mode, NodeDraft, SlotAccess, SlotId, Who, index};
use super::edges::Edges;
use super::edges::atoms::Atoms;
use super::edges::blocks::Blocks;
use super::place::Homes;
use super::proof::cycles::{Cycles, Held};
use crate::error::Defect;

/// All defects, in the order of the operators.
pub(super) fn defects(draft: &Draft<'_>, edges: &Edges, homes: &Homes) -> Vec<Defect> {
    let mut found = draft.defects.clone();
    found.extend_from_slice(&homes.defects);
    loose_ends(draft, &mut found);
    let atoms = Atoms::of(draft);
    aliases(draft, &atoms, &mut found);
    consumed(draft, &atoms, &mut found);
    if let Some(blocks) = Blocks::of(draft) {
        across_blocks(draft, &blocks, &mut found);
    }
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
fn aliases(draft: &Draft<'_>, atoms: &Atoms, found: &mut Found) {
    if !draft.accesses.rewrite() {
        return; // all only read
    }
    let mut sorted: Vec<(Range<usize>, SlotId, Mode)> = Vec::new();
    for (record, own) in draft.accesses.of_tasks(0..index(draft.records.len())) {
        if own.len() < 2 || draft.cuts.is_empty() && are_apart(own) {
            continue;
        }
        sorted.clear();
        for access in own {
            let ranges = atoms.in_slot(access.slot());
            sorted.extend(ranges.map(|range| (range, access.slot(), access.mode())));
        }
        sorted.sort_unstable_by_key(|(range, slot, _)| (range.start, slot.number()));
        let mut told = Vec::new();
        // How far those before go, and those of them that do not only read; each with the one that goes so far.
        let (mut all, mut writes) = ((0, None), (0, None));
        for (range, slot, mode) in &sorted {
            let reads = *mode == Mode::Read;
            let (end, other) = if reads { writes } else { all };
            if range.start < end && !told.contains(slot) {
                told.push(*slot);
                let name = |slot: SlotId| draft.names.get(draft.slots.op(slot));
                let what = match other {
                    Some(other) if other != *slot => {
                        format!("it accesses '{}' and '{}', which overlap", name(other), name(*slot))
                    }
                    _ => format!("it accesses '{}' twice", name(*slot)),
                };
                found.push((draft.op_of_task(record), format!("{what}, and not only for reading")));
            }
            let farther = |(end, by)| if range.end > end { (range.end, Some(*slot)) } else { (end, by) };
            all = farther(all);
            writes = if reads { writes } else { farther(writes) };
        }
    }
}

/// Whether accesses are to data each of its own, if there are a few and no data is in parts.
#[inline]
fn are_apart(own: &[SlotAccess]) -> bool {
    let mut seen = 0_u64; // a bit for each slot, or for several
    let is_new = |access: &SlotAccess| {
        let others = seen;
        seen |= 1 << (access.slot().number() % 64);
        others != seen
    };
    match own {
        [one, other] => one.slot() != other.slot(),
        _ => own.iter().all(is_new) || own.len() <= FEW && are_apart_indeed(own),
    }
}

#[inline(never)]
fn are_apart_indeed(own: &[SlotAccess]) -> bool {
    own.iter().enumerate().all(|(at, access)| own[..at].iter().all(|other| other.slot() != access.slot()))
}

/// So many accesses are compared each with each.
const FEW: usize = 5;

/// Finds accesses to data that was consumed earlier in program order.
fn consumed(draft: &Draft<'_>, atoms: &Atoms, found: &mut Found) {
    if !draft.accesses.consume() {
        return;
    }
    let mut gone: Vec<Option<usize>> = vec![None; draft.slots.len()];
    let mut access = |op: usize, slot: SlotId, mode: Mode| {
        let whole = atoms.whole_of(slot).unwrap_or(slot.index()); // nobody consumes a part
        let by = gone[whole];
        match by {
            Some(by) if by == op => {} // one task accesses it twice: `aliases` reports that
            Some(by) => {
                let (data, by) = (draft.names.get(draft.slots.op(slot)), draft.names.get(by));
                found.push((op, format!("it accesses '{data}', which '{by}' has consumed")));
            }
            None if mode == Mode::Consume => gone[whole] = Some(op),
            None => {}
        }
    };
    for (who, own) in draft.accesses.in_order() {
        let op = match who {
            Who::Task(record) => draft.op_of_task(record),
            Who::Joint(node) => draft.op_of(node as usize),
            Who::Stage { op, .. } => op as usize,
            Who::Sink(_) => continue, // a result is written once, before anything else
        };
        own.iter().for_each(|one| access(op, one.slot(), one.mode()));
    }
}

/// Finds accesses to data that is not there, because the block that makes it may be left out; or not again, because the block
/// that takes it is repeated.
fn across_blocks(draft: &Draft<'_>, blocks: &Blocks<'_>, found: &mut Found) {
    let mut made_in: Vec<Option<usize>> = vec![None; draft.slots.len()];
    let results = draft.slots.results();
    results.for_each(|(slot, record)| made_in[slot.index()] = blocks.at(draft.nodes.of_task(record) as usize));
    let mut access = |(op, block): (usize, Option<usize>), slot: SlotId, mode: Mode| {
        let home = made_in[slot.index()];
        let is_around = |other: &usize| blocks.around(block).any(|block| block == *other);
        let data = || draft.names.get(draft.slots.op(slot));
        let block_name = |block: usize| draft.names.get(draft.blocks[block].op);
        let mut left = blocks.around(home).take_while(|other| !is_around(other));
        if let Some(optional) = left.find(|block| draft.blocks[*block].is_optional()) {
            found.push((
                op,
                format!("it accesses '{}', which is not made if '{}' is left out", data(), block_name(optional)),
            ));
        }
        let is_home = |other: &usize| blocks.around(home).any(|block| block == *other);
        let mut entered = blocks.around(block).take_while(|other| !is_home(other));
        if mode == Mode::Consume
            && let Some(again) = entered.find(|block| draft.blocks[*block].times > 1)
        {
            let made = if draft.slots.is_given(slot) { "data() gives that only once" } else { "that is made before" };
            let what = format!("it consumes '{}' each time of '{}', but {made}", data(), block_name(again));
            found.push((op, what));
        }
    };
    for (who, own) in draft.accesses.in_order() {
        let at = match who {
            Who::Task(record) => (draft.op_of_task(record), blocks.at(draft.nodes.of_task(record) as usize)),
            Who::Joint(node) => (draft.op_of(node as usize), blocks.at(node as usize)),
            Who::Stage { op, .. } => (op as usize, None),
            Who::Sink(_) => continue, // it makes a result, outside of blocks
        };
        own.iter().for_each(|one| access(at, one.slot(), one.mode()));
    }
}

/// Finds orders that cannot be kept.
fn orders(draft: &Draft<'_>, edges: &Edges, cycles: &Cycles, found: &mut Found) {
    for op in &edges.foreign {
        found.push((*op, "it comes after an operator of another graph".to_owned()));
    }
    for op in &edges.no_task {
        found.push((*op, "only a task comes after() something, and no task makes this".to_owned()));
    }
    for way in &cycles.nodes {
        found.push(match draft.nodes.get(way[0]) {
            NodeDraft::Task { .. } | NodeDraft::Enter { .. } | NodeDraft::Again { .. } => {
                (draft.op_of(way[0]), format!("it comes after itself{}", round(draft, way)))
            }
            NodeDraft::Gate { stage } | NodeDraft::End { stage } => {
                let what = "it reads data that is not made before it has ended";
                (draft.stages[stage as usize].ops[0].0, what.to_owned())
            }
        });
    }
}

/// How a node comes to wait for itself, in words, if others stand in between.
fn round(draft: &Draft<'_>, way: &[usize]) -> String {
    const NAMED: usize = 8;
    let others = way.iter().skip(1).filter(|node| **node < draft.nodes.len());
    let names: Vec<String> = others.map(|node| format!("'{}'", draft.names.get(draft.op_of(*node)))).collect();
    if names.is_empty() {
        return String::new();
    }
    let mut said = format!(": it waits for {}", names[..names.len().min(NAMED)].join(", which waits for "));
    if names.len() > NAMED {
        let more = names.len() - NAMED;
        said.push_str(&format!(", and so on, over {more} more"));
    }
    said + ", which waits for it"
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
