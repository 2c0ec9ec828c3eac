//! How many items may lie between two stages, as far as that is known before a graph runs.

use crate::plan::blueprint::SourceBounds;
use crate::plan::draft::Draft;
use crate::run::flow::batch::BATCH;
use crate::run::flow::makes::Makes;
use crate::run::flow::supply::Items;

/// The most items that a stage may have sent to the ones behind it, and that have not been done.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) struct Bound {
    /// As long as something else of the run can go on.
    usual: u64,
    most: u64,
    item_bytes: u64,
}

impl Bound {
    /// In words.
    pub(in crate::plan) fn words(self) -> String {
        let Self { usual, most, item_bytes } = self;
        let of = if item_bytes > 0 {
            format!(" of {item_bytes} bytes ({})", size(usual, item_bytes))
        } else {
            String::new()
        };
        let more = match item_bytes {
            _ if most == usual => String::new(),
            0 => format!(", {most} if others wait"),
            _ => format!(", {most} ({}) if others wait", size(most, item_bytes)),
        };
        format!("at most {usual} items{of}{more}")
    }
}

/// So many items of so many bytes, with a unit that people read.
fn size(items: u64, bytes: u64) -> String {
    let bytes = items.saturating_mul(bytes);
    match bytes {
        0..0x2800 => format!("{bytes} B"),
        0x2800..0xa0_0000 => format!("{} KiB", bytes >> 10),
        0xa0_0000..0x2_8000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

/// The bound of what each stage sends. None where an operator makes any number of items of one, or at the end, where items of
/// several sources meet, and behind a stage whose items hold no credits.
pub(in crate::plan) fn bounds(draft: &Draft<'_>, sources: &SourceBounds) -> Vec<Option<Bound>> {
    let mut bounds: Vec<Option<Bound>> = Vec::with_capacity(draft.stages.len());
    for (index, stage) in draft.stages.iter().enumerate() {
        let comes = match (&stage.source, &stage.inputs[..]) {
            (Some(source), _) if matches!(&source.items, Items::Numbered(items) if !items.is_counted()) => None,
            (Some(source), _) => {
                let size = source.size.unwrap_or(BATCH) as u64;
                let items = |batches: u32| size.saturating_mul(u64::from(batches));
                Some((items(sources.soft[index]), items(sources.grown[index])))
            }
            (None, [input]) => bounds[*input].map(|bound| (bound.usual, bound.most)),
            _ => None,
        };
        let grows = stage.makes.iter().any(|(_, makes)| *makes == Makes::Any);
        let comes = comes.filter(|_| !grows && !stage.spooled).zip(stage.at_end);
        let comes = comes.map(|((usual, most), more)| (usual.saturating_add(more), most.saturating_add(more)));
        bounds.push(comes.map(|(usual, most)| Bound { usual, most, item_bytes: stage.item_bytes as u64 }));
    }
    bounds
}
