//! Whether a run may stall, and how many credits keep it from that.
//!
//! A run stalls where nothing of it goes on, no stage has failed, and some stage has not ended. Then each thing that
//! has not come waits for another one that has not. All that may wait for each other is one graph, as in
//! [`super::cycles`]:
//!
//! | what | waits for |
//! |---|---|
//! | a node of the task graph | the nodes before it; the end of a stage for the stage |
//! | a stage, until its next piece or its end is there | its inputs and its gate; a source for credits of its items |
//! | items of a stage, until their credits are back | those of the stages behind it, and what holds pieces in it |
//! | pieces in a stage | its gate; at a [meeting](super::flows::Meeting), the other side |
//!
//! So if nothing stands in a cycle, nothing stalls, with one credit for each source. (A piece that waits for its turn
//! waits for one before it in the same order, which is held somewhere else.) At a meeting one side waits at a time, as
//! what both have is brought together; so a cycle goes through one side of each.
//!
//! # What is weaker than that
//! * Where the sides of a meeting are even, a side waits only for pieces that are held on the way to the other one. A
//!   source that has more credits than batches that one side may be ahead has a batch that is held elsewhere, and what
//!   holds that goes on.
//! * A source with as many credits as batches never waits for credits.

use std::collections::BTreeMap;

use super::cycles::parts;
use super::flows::{Balance, Meeting, between, meetings};
use super::outline::{Outline, SourceOutline, StageOutline};
use super::{Blame, Why};
use crate::plan::MAX_CREDITS;
use crate::plan::draft::index;
use crate::plan::groups::Streams;
use crate::run::lists::Lists;

/// What is known of stalls.
#[derive(Clone, Debug)]
pub(super) struct Stalling {
    /// Why it is not known that the graph never stalls, unless it never does.
    pub(super) blame: Option<Blame>,
    /// The fewest credits with which it is known, for each stage's source. None: none are known to suffice, there or at
    /// something that the source waits for.
    pub(super) needed: Vec<Option<u32>>,
}

/// What waits for data, if streams do: what each vertex of the task graph waits for, and where the streams are among
/// these.
pub(super) type Order<'a> = Option<(&'a Lists, &'a Streams)>;

pub(super) fn stalling(outline: &Outline, order: Order<'_>) -> Stalling {
    let sources = || outline.stages.iter().map(|stage| stage.source.as_ref());
    let is_held = outline.stages.iter().any(|stage| stage.meets.is_some() || stage.waits_for.is_some());
    let least = |source: Option<&SourceOutline>| source.map(|source| u32::from(!source.is_free));
    if !is_held && order.is_none() {
        return Stalling { blame: None, needed: sources().map(least).collect() };
    }
    let meetings = meetings(outline);
    let search = Search { outline, order, meetings: &meetings };
    let needed = search.needed();
    let has = |stage: usize| outline.stages[stage].source.as_ref().map_or(u64::MAX, |source| u64::from(source.credits));
    let starves: Vec<bool> = sources()
        .map(|source| source.is_some_and(|source| source.batches.is_none_or(|all| all > source.credits.into())))
        .collect();
    let waits = search.waits(&starves, has);
    let blame = waits.cycle(&meetings).map(|in_cycle| search.blame(&waits, &in_cycle, &starves, has));
    Stalling { blame, needed }
}

struct Search<'a> {
    outline: &'a Outline,
    order: Order<'a>,
    meetings: &'a [Meeting],
}

impl Search<'_> {
    fn source(&self, stage: usize) -> Option<&SourceOutline> {
        self.outline.stages[stage].source.as_ref()
    }

    /// The fewest credits that suffice, for each source.
    fn needed(&self) -> Vec<Option<u32>> {
        let stages = &self.outline.stages;
        // How many batches each source has, if it can have so many credits.
        let batches: Vec<Option<u64>> = (0..stages.len())
            .map(|stage| self.source(stage)?.batches.filter(|batches| *batches <= MAX_CREDITS as u64))
            .collect();
        let mut needed: Vec<Option<u64>> =
            stages.iter().map(|stage| Some(u64::from(!stage.source.as_ref()?.is_free))).collect();
        for meeting in self.meetings {
            for waits in meeting.waits {
                if let Balance::Even { of, credits: Some(credits) } = waits {
                    needed[of] = needed[of].max(Some(credits));
                }
            }
        }
        let mut starves: Vec<bool> = stages.iter().map(|stage| stage.source.is_some()).collect();
        for stage in 0..stages.len() {
            if let (Some(all), Some(credits)) = (batches[stage], needed[stage]) {
                starves[stage] &= all > credits;
                needed[stage] = Some(credits.min(all.max(1)));
            }
        }
        let first = self.waits(&starves, |_| MAX_CREDITS as u64);
        let mut is_lost = vec![false; first.steps.len()];
        // With one cycle after the other, the shortest source in it gets credits for all its batches.
        loop {
            let waits = self.waits(&starves, |_| MAX_CREDITS as u64);
            let Some(in_cycle) = waits.cycle(self.meetings) else { break };
            let there =
                |stage: &usize| starves[*stage] && in_cycle[waits.items(*stage)] && in_cycle[waits.comes[*stage]];
            let all: Vec<usize> = (0..stages.len()).filter(there).collect();
            match all.iter().filter_map(|stage| Some((batches[*stage]?, *stage))).min() {
                Some((batches, stage)) => (starves[stage], needed[stage]) = (false, Some(batches)),
                None if all.is_empty() => return vec![None; stages.len()],
                None => {
                    all.iter().for_each(|stage| starves[*stage] = false); // to go on with the next cycle
                    is_lost.iter_mut().zip(in_cycle).for_each(|(lost, in_cycle)| *lost |= in_cycle);
                }
            }
        }
        first.spread(&mut is_lost);
        let known = |(stage, credits): (usize, Option<u64>)| {
            let credits = credits.filter(|credits| *credits <= MAX_CREDITS as u64 && !is_lost[first.comes[stage]]);
            credits.and_then(|credits| u32::try_from(credits).ok())
        };
        needed.into_iter().enumerate().map(known).collect()
    }

    /// What waits for what, if these sources may wait for credits. `has` tells how many a source has.
    fn waits(&self, starves: &[bool], has: impl Fn(usize) -> u64) -> Waits {
        let stages = &self.outline.stages;
        let mut waits = match self.order {
            Some((before, streams)) => {
                let steps = before.iter().map(<[u32]>::to_vec).collect();
                Waits { steps, comes: streams.ends.iter().map(|end| *end as usize).collect(), first: before.len() }
            }
            None => {
                let comes =
                    |stage: &StageOutline| stage.inputs.iter().copied().chain(stage.waits_for).map(index).collect();
                Waits {
                    steps: stages.iter().map(comes).collect(),
                    comes: (0..stages.len()).collect(),
                    first: stages.len(),
                }
            }
        };
        waits.steps.resize(waits.first + 2 * stages.len(), Vec::new());
        for (number, stage) in stages.iter().enumerate() {
            let (items, held) = (waits.items(number), waits.held(number));
            if stage.source.as_ref().is_some_and(|source| !source.is_free) && starves[number] {
                waits.add(waits.comes[number], items);
            }
            for output in &stage.outputs {
                if !stages[*output].spooled {
                    waits.add(items, waits.items(*output));
                    waits.add(items, waits.held(*output));
                }
            }
            let gate = self.order.and_then(|(_, streams)| streams.gates[number]);
            gate.into_iter().for_each(|gate| waits.add(held, gate as usize));
            stage.waits_for.into_iter().for_each(|first| waits.add(held, waits.comes[first]));
        }
        for meeting in self.meetings {
            let [left, right] = meeting.sides;
            for (side, other, balance) in [(left, right, meeting.waits[0]), (right, left, meeting.waits[1])] {
                match balance {
                    Balance::Even { of, credits }
                        if credits.is_none_or(|credits| !starves[of] || credits <= has(of)) =>
                    {
                        // What has not come to the other side is held on the way. (Inputs of shapes have no gates.)
                        for way in between(self.outline, of, other) {
                            if way != other {
                                waits.add(waits.held(side), waits.held(way));
                            }
                        }
                    }
                    _ => waits.add(waits.held(side), waits.comes[other]),
                }
            }
        }
        waits
    }

    /// What is to blame for a cycle.
    fn blame(&self, waits: &Waits, in_cycle: &[bool], starves: &[bool], has: impl Fn(usize) -> u64) -> Blame {
        let stages = &self.outline.stages;
        let sides = self.meetings.iter().flat_map(|meeting| meeting.sides.into_iter().zip(meeting.waits));
        for (side, balance) in sides.filter(|(side, _)| in_cycle[waits.held(*side)]) {
            match balance {
                Balance::Unknown(blame) => return blame,
                Balance::Even { of, credits: Some(credits) } if starves[of] && credits > has(of) => {
                    let why = Why::Credits { has: has(of), needs: credits };
                    return Blame { at: Some(stages[side].first), by: stages[of].first, why };
                }
                _ => {}
            }
        }
        let held = (0..stages.len()).find(|stage| in_cycle[waits.held(*stage)]).map(|stage| stages[stage].first);
        let source = (0..stages.len()).find(|stage| starves[*stage] && in_cycle[waits.items(*stage)]);
        let by = source.map(|stage| stages[stage].first).or(held).unwrap_or(0);
        Blame { at: held, by, why: Why::Circle }
    }
}

/// What waits for what; see the module documentation. First the task graph, with the stages, or the stages alone; then
/// the items of the stages, and then the pieces that are held in them.
struct Waits {
    steps: Vec<Vec<u32>>,
    /// Where the stages are.
    comes: Vec<usize>,
    first: usize,
}

impl Waits {
    fn items(&self, stage: usize) -> usize {
        self.first + stage
    }

    fn held(&self, stage: usize) -> usize {
        self.first + self.comes.len() + stage
    }

    fn add(&mut self, what: usize, waits_for: usize) {
        self.steps[what].push(index(waits_for));
    }

    /// Adds to some of these what waits for them.
    fn spread(&self, to: &mut [bool]) {
        let before = Lists::new(
            self.steps.len(),
            self.steps.iter().zip(0..).flat_map(|(to, at)| to.iter().map(move |to| (*to, at))),
        );
        let mut next: Vec<u32> = (0..).zip(&*to).filter(|(_, lost)| **lost).map(|(at, _)| at).collect();
        while let Some(at) = next.pop() {
            for from in before.of(at) {
                if !std::mem::replace(&mut to[*from as usize], true) {
                    next.push(*from);
                }
            }
        }
    }

    /// What stands in one of the cycles, if there are any.
    fn cycle(&self, meetings: &[Meeting]) -> Option<Vec<bool>> {
        let pairs: Vec<_> = meetings.iter().map(|meeting| meeting.sides.map(|side| self.held(side))).collect();
        let cycle = circular(&self.steps, &pairs, &mut { TRIES })?;
        let mut in_cycle = vec![false; self.steps.len()];
        cycle.into_iter().for_each(|what| in_cycle[what] = true);
        Some(in_cycle)
    }
}

/// So often one of two sides is tried. Where more meetings depend on each other a cycle is taken for one.
const TRIES: u32 = 1000;

/// What lead to each other, in a way that goes through one at most of each of these `pairs`.
fn circular(steps: &[Vec<u32>], pairs: &[[usize; 2]], tries: &mut u32) -> Option<Vec<usize>> {
    let parts = parts(steps);
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let is_in_cycle = |at: &usize| steps[*at].iter().any(|to| parts[*to as usize] == parts[*at]);
    (0..steps.len()).filter(is_in_cycle).for_each(|at| members.entry(parts[at]).or_default().push(at));
    members.into_values().find_map(|members| {
        let place = |at: usize| members.binary_search(&at).ok();
        let within: Vec<_> = pairs.iter().filter_map(|[one, other]| Some([place(*one)?, place(*other)?])).collect();
        let Some((pair, others)) = within.split_first().filter(|_| *tries > 0) else { return Some(members) };
        let own = |at: &usize| steps[*at].iter().filter_map(|to| place(*to as usize)).map(index).collect();
        let steps: Vec<Vec<u32>> = members.iter().map(own).collect();
        *tries -= 1;
        let cycle = pair.iter().find_map(|side| {
            let mut steps = steps.clone();
            steps[*side].clear(); // it does not wait, as the other one does
            circular(&steps, others, tries)
        });
        cycle.map(|cycle| cycle.into_iter().map(|at| members[at]).collect())
    })
}
