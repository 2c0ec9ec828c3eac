//! The streams of a graph, as a proof needs them: the draft without types and names.

use crate::plan::blueprint::SourceBounds;
use crate::plan::draft::{Draft, Meets, SourceDraft, StageDraft};
use crate::run::flow::batch::{BATCH, BatchSize};
use crate::run::flow::makes::Makes;
use crate::run::flow::stage::TailKind;
use crate::run::flow::supply::Items;

/// The stages of a graph. The inputs of each stand before it.
#[derive(Clone, Debug, Default)]
pub(in crate::plan) struct Outline {
    pub(super) stages: Vec<StageOutline>,
}

#[derive(Clone, Debug)]
pub(super) struct StageOutline {
    /// Its first and its last operator.
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    pub(super) source: Option<SourceOutline>,
    /// How many items its operators make, in their order, but for those that make one of each.
    pub(super) makes: Vec<(usize, Makes)>,
    /// How many of these go to each output.
    pub(super) splits: Makes,
    /// How many items its last operator makes at the end, at most. None: any number.
    pub(super) at_end: Option<u64>,
    /// The other input of the shape at which it waits for items of that, and how.
    pub(super) meets: Option<(usize, Meets)>,
    /// Whether its pieces come in stream order.
    pub(super) is_ordered: bool,
    pub(super) spooled: bool,
    /// The stage whose end it waits for.
    pub(super) waits_for: Option<usize>,
    pub(super) tail: TailKind,
    /// How large an item is where it waits for the stage or its last operator.
    pub(super) item_bytes: u64,
}

#[derive(Clone, Debug)]
pub(super) struct SourceOutline {
    /// How many batches may be in flight at most.
    pub(super) credits: u32,
    /// It needs no credits.
    pub(super) is_free: bool,
    pub(super) least: Least,
    /// How many items a batch has at most.
    pub(super) most: u64,
    /// How many batches there are at most, if that is known.
    pub(super) batches: Option<u64>,
    /// What its batches weigh is limited, too.
    pub(super) has_bytes: bool,
}

/// How many items each batch but the last has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Least {
    Exactly(u64),
    OrMore(u64),
    /// Perhaps none.
    Unknown,
}

impl Outline {
    pub(in crate::plan) fn of(draft: &Draft<'_>, bounds: &SourceBounds) -> Self {
        let stages = draft.stages.iter().enumerate().map(|(index, stage)| StageOutline {
            first: stage.ops[0].0,
            last: stage.ops.last().map_or(0, |(op, _)| *op),
            inputs: stage.inputs.clone(),
            outputs: stage.outputs.clone(),
            source: stage.source.as_ref().map(|source| SourceOutline::of(stage, source, bounds, index)),
            makes: stage.makes.clone(),
            splits: stage.splits,
            at_end: stage.at_end,
            meets: stage.meets,
            is_ordered: draft.is_ordered(stage.sequence),
            spooled: stage.spooled,
            waits_for: stage.waits_for,
            tail: tail(stage),
            item_bytes: stage.came_bytes.max(stage.end_bytes) as u64,
        });
        Self { stages: stages.collect() }
    }
}

fn tail(stage: &StageDraft<'_>) -> TailKind {
    stage.body.as_ref().map_or(TailKind::Sends, |(_, tail)| *tail)
}

impl SourceOutline {
    fn of(stage: &StageDraft<'_>, source: &SourceDraft<'_>, bounds: &SourceBounds, index: usize) -> Self {
        let size = source.size.map_or(BatchSize::Growing, BatchSize::Fixed);
        let set = source.size.map(|size| size as u64);
        let (least, most, batches) = match &source.items {
            Items::Pulled(items) => {
                // A live source ends a batch where it has nothing, and weighed items end one where they weigh enough.
                let is_cut = items.live().is_some() || source.bytes.is_some();
                let least = set.filter(|_| !is_cut).map_or(Least::OrMore(1), Least::Exactly);
                let usual = if tail(stage) == TailKind::Parallel { items.most_absorbed() } else { BATCH };
                (least, set.unwrap_or(usual as u64), None)
            }
            Items::Numbered(items) => {
                let cut = items.cut(size);
                let least = match cut {
                    _ if !items.is_counted() => Least::Unknown,
                    Some((_, batch)) => Least::Exactly(batch),
                    None => Least::OrMore(set.unwrap_or(1)),
                };
                let most = cut.map_or(set.unwrap_or(BATCH as u64), |(_, batch)| batch);
                let most = if items.is_counted() { most } else { u64::MAX };
                (least, most, cut.map(|(len, batch)| len.div_ceil(batch)))
            }
        };
        let unseen = bounds.unseen[index]; // then time may make batches smaller
        let least = if unseen && least != Least::Unknown { Least::OrMore(1) } else { least };
        Self {
            credits: bounds.grown[index],
            is_free: bounds.free[index],
            least,
            most,
            batches: batches.filter(|_| !unseen),
            has_bytes: source.bytes.is_some(),
        }
    }
}
