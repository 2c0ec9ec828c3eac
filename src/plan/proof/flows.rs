//! How many items of one place in a graph have come to another one, where that is known.
//!
//! At a zip either stream waits for as many items of the other one. If both come from one place, and the same number of
//! items has come from there to each side whenever nothing is on its way, neither waits for more of the source. If one
//! side is ahead by a number of items that is bounded, so many credits suffice.
//!
//! A zip on the way brings as many items as come to it from there, as long as its other side does not wait; and it ends
//! for good where that has ended.

use super::outline::{Least, Outline, StageOutline};
use super::rate::{Rate, held};
use super::{Blame, Why};
use crate::plan::draft::Meets;
use crate::run::flow::makes::Makes;

/// What has come from a place to another one.
#[derive(Clone, Copy, Debug)]
enum Reached {
    /// Nothing of it comes there.
    Not,
    Unknown(Blame),
    Known(Flow),
}

/// So much comes from one place to another one.
#[derive(Clone, Copy, Debug)]
struct Flow {
    rate: Rate,
    /// What may make it less, if something may.
    less: Option<Blame>,
    holds: Holds,
    /// Whether it comes in the order of the source.
    is_ordered: bool,
}

/// Whose credits items have.
#[derive(Clone, Copy, Debug)]
enum Holds {
    /// None: they were spooled.
    Nothing,
    /// Those of the source from which they come; as if they came at this rate, when their batch does.
    Own(Rate),
    /// Those of another source.
    Others,
}

/// From where items are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// From the source of a stage.
    Source,
    /// From the end of a stage.
    End,
}

/// Two inputs of a shape that wait for each other.
#[derive(Clone, Debug)]
pub(super) struct Meeting {
    pub(super) sides: [usize; 2],
    /// How each waits for the other one.
    pub(super) waits: [Balance; 2],
}

/// How one side of a meeting waits for the other one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Balance {
    /// They have no source in common.
    Apart,
    /// Of what the stage `of` has sent it has no more than the other one, when nothing is on its way. If `of` is a
    /// source, it may be ahead: then the source needs so many `credits`.
    Even {
        of: usize,
        credits: Option<u64>,
    },
    Unknown(Blame),
}

/// All meetings.
pub(super) fn meetings(outline: &Outline) -> Vec<Meeting> {
    let stages = &outline.stages;
    let mut all = Vec::new();
    for (left, stage) in stages.iter().enumerate() {
        let Some((right, meets)) = stage.meets else { continue };
        if stage.outputs.first().is_some_and(|out| stages[*out].inputs[..] == [left, right]) {
            let balance = match meets {
                Meets::AsTheyAre if has_common_source(stages, [left, right]) => Balance::Unknown(Blame {
                    at: Some(stage.first),
                    by: stages[stage.outputs[0]].first,
                    why: Why::Items,
                }),
                Meets::AsTheyAre | Meets::InPairs => Balance::Apart,
            };
            all.push((meets, Meeting { sides: [left, right], waits: [balance; 2] }));
        }
    }
    for of in (0..stages.len()).rev() {
        let is_pending = |(meets, meeting): &(Meets, Meeting)| {
            let is_open = meeting.waits.iter().any(|waits| !matches!(waits, Balance::Even { .. }));
            *meets == Meets::InPairs && is_open && meeting.sides.iter().all(|side| *side > of)
        };
        let has_source = stages[of].source.is_some();
        if stages[of].outputs.len() < 2 && !has_source || !all.iter().any(is_pending) {
            continue;
        }
        let from_end = flows(stages, of, From::End);
        let from_source = has_source.then(|| flows(stages, of, From::Source));
        for (_, Meeting { sides, waits }) in all.iter_mut().filter(|one| is_pending(one)) {
            for (own, waits) in waits.iter_mut().enumerate() {
                let sides = [sides[own], sides[1 - own]];
                let even = match ahead(stages, of, sides, &from_end, From::End) {
                    None => continue,
                    Some(Err(_)) if from_source.is_some() => {
                        let flows = from_source.as_deref().unwrap_or_default();
                        ahead(stages, of, sides, flows, From::Source).unwrap_or(Ok(Balance::Apart))
                    }
                    Some(even) => even,
                };
                match (even, &waits) {
                    (_, Balance::Even { .. }) => {}
                    (Ok(even), _) => *waits = even,
                    (Err(blame), Balance::Apart) => *waits = Balance::Unknown(blame),
                    (Err(_), _) => {} // what is nearest says more
                }
            }
        }
    }
    all.into_iter().map(|(_, meeting)| meeting).collect()
}

/// Whether both stages have a source in common.
fn has_common_source(stages: &[StageOutline], sides: [usize; 2]) -> bool {
    let [left, right] = sides.map(|side| before(stages, side));
    left.iter().zip(right).zip(stages).any(|((left, right), stage)| *left && right && stage.source.is_some())
}

/// The stages from which something comes to this one, and itself.
fn before(stages: &[StageOutline], stage: usize) -> Vec<bool> {
    let mut comes = vec![false; stages.len()];
    comes[stage] = true;
    for later in (0..=stage).rev().filter(|later| !stages[*later].inputs.is_empty()) {
        if comes[later] {
            stages[later].inputs.iter().for_each(|input| comes[*input] = true);
        }
    }
    comes
}

/// The stages between the end of one and the beginning of another one, with the latter.
pub(super) fn between(outline: &Outline, of: usize, side: usize) -> Vec<usize> {
    let stages = &outline.stages;
    let comes = before(stages, side);
    let mut reached = vec![false; stages.len()];
    reached[of] = true;
    for stage in of + 1..=side {
        reached[stage] = stages[stage].inputs.iter().any(|input| reached[*input]);
    }
    (of + 1..=side).filter(|stage| comes[*stage] && reached[*stage]).collect()
}

/// How the first of two sides of a meeting waits for the second one, as far as items of one stage are concerned. None:
/// these do not come to both.
fn ahead(
    stages: &[StageOutline],
    of: usize,
    sides: [usize; 2],
    flows: &[Reached],
    from: From,
) -> Option<Result<Balance, Blame>> {
    let at = Some(stages[sides[0]].first);
    let blame = |why| Some(Err(Blame { at, by: stages[of].first, why }));
    let (first, second) = match sides.map(|side| flows[side]) {
        [Reached::Not, _] | [_, Reached::Not] => return None,
        [Reached::Known(first), Reached::Known(second)] => (first, second),
        [_, Reached::Unknown(blame)] | [Reached::Unknown(blame), _] => return Some(Err(Blame { at, ..blame })),
    };
    if let Some(blame) = second.less {
        return Some(Err(Blame { at, ..blame }));
    }
    if first.rate.of != second.rate.of {
        return blame(Why::Rates);
    }
    if first.rate.ahead <= second.rate.ahead {
        return Some(Ok(Balance::Even { of, credits: None }));
    }
    let Some(source) = stages[of].source.as_ref().filter(|_| from == From::Source) else { return blame(Why::Rates) };
    let (least, step) = match source.least {
        _ if !first.is_ordered || !second.is_ordered => return blame(Why::Order),
        Least::Exactly(size) => (i128::from(size), i128::from(size)),
        Least::OrMore(size) => (i128::from(size), 1),
        Least::Unknown => return blame(Why::Batches),
    };
    let most = match first.holds {
        Holds::Nothing => 0,
        Holds::Own(from) => held(first.rate, from, second.rate, step),
        Holds::Others => return blame(Why::Others),
    };
    if most > 0 && source.has_bytes {
        return blame(Why::Bytes);
    }
    let held = u64::try_from(most.div_euclid(least) + i128::from(most.rem_euclid(least) > 0));
    Some(Ok(Balance::Even { of, credits: Some(held.unwrap_or(u64::MAX).saturating_add(1)) }))
}

/// What comes from a stage to the end of each stage.
fn flows(stages: &[StageOutline], of: usize, from: From) -> Vec<Reached> {
    let mut flows = vec![Reached::Not; stages.len()];
    let start = Flow { rate: Rate::ONE, less: None, holds: Holds::Own(Rate::ONE), is_ordered: true };
    for stage in of..stages.len() {
        let own = &stages[stage];
        let over = |input: usize| {
            let (last, splits) = (stages[input].last, stages[input].splits);
            flows[input].through(last, splits)
        };
        flows[stage] = match &own.inputs[..] {
            _ if stage == of && from == From::End => Reached::Known(start),
            _ if stage == of => own.pass(Reached::Known(start)),
            inputs if own.source.is_some() => match inputs.iter().find(|input| !matches!(flows[**input], Reached::Not))
            {
                Some(input) => Reached::Unknown(Blame { at: None, by: stages[*input].last, why: Why::Any }),
                None => Reached::Not,
            },
            [input] => own.pass(over(*input)),
            [left, right] => {
                let meets = stages[*left].meets.map(|(_, meets)| meets);
                own.pass(over(*left).beside(over(*right), meets, own.first))
            }
            _ => Reached::Not,
        };
    }
    flows
}

impl StageOutline {
    /// What comes through the operators of a stage.
    fn pass(&self, mut came: Reached) -> Reached {
        if let Reached::Known(flow) = &mut came {
            if self.spooled && self.source.is_none() {
                flow.holds = Holds::Nothing;
            }
            flow.is_ordered &= self.is_ordered;
        }
        self.makes.iter().fold(came, |came, (op, makes)| came.through(*op, *makes))
    }
}

impl Reached {
    /// What comes through an operator.
    fn through(self, op: usize, makes: Makes) -> Self {
        let Self::Known(flow) = self else { return self };
        let blame = Blame { at: None, by: op, why: Why::of(makes) };
        if makes == Makes::AtMostOne {
            return Self::Known(Flow { less: flow.less.or(Some(blame)), ..flow });
        }
        let holds = match flow.holds {
            Holds::Own(from) => from.then(makes).map(Holds::Own),
            other => Some(other),
        };
        let known = flow.rate.then(makes).zip(holds);
        known.map_or(Self::Unknown(blame), |(rate, holds)| Self::Known(Flow { rate, holds, ..flow }))
    }

    /// What comes out where two streams meet.
    fn beside(self, right: Self, meets: Option<Meets>, op: usize) -> Self {
        let unknown = |why| Self::Unknown(Blame { at: None, by: op, why });
        match (self, right, meets) {
            (Self::Not, Self::Not, _) => Self::Not,
            (Self::Unknown(_), ..) => self,
            (_, Self::Unknown(_), _) => right,
            (.., None | Some(Meets::AsTheyAre)) => unknown(Why::Gathers),
            (Self::Known(left), Self::Not, _) => {
                let holds = if let Holds::Nothing = left.holds { Holds::Others } else { left.holds };
                Self::Known(Flow { holds, ..left })
            }
            (Self::Not, Self::Known(right), _) => Self::Known(Flow { holds: Holds::Others, ..right }),
            (Self::Known(left), Self::Known(right), _) if left.rate.of == right.rate.of => {
                let rate = if left.rate.ahead < right.rate.ahead { left.rate } else { right.rate };
                let holds = if let Holds::Nothing = left.holds { right.holds } else { left.holds };
                let (less, is_ordered) = (left.less.or(right.less), left.is_ordered && right.is_ordered);
                Self::Known(Flow { rate, less, holds, is_ordered })
            }
            (Self::Known(_), Self::Known(_), _) => unknown(Why::Rates),
        }
    }
}
