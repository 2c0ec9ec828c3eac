//! A plan in words, before it runs.

use std::fmt;

use super::draft::{Draft, NodeDraft, TailKind};
use crate::run::names::Names;

/// A plan in words: stages and the seams between them, credits, and what is kept in memory.
///
/// `Display` prints it.
///
/// ```
/// use millstream::{Graph, Pool};
///
/// let pool = Pool::builder().workers(2).build()?;
/// let g = Graph::new();
/// let squares = g.source(0..100_u64).credits(32).named("numbers").map(|x| x * x).named("square").collect();
/// let plan = g.plan(&pool)?;
/// let text = plan.explain().to_string();
/// assert!(text.contains("numbers > square > collect"), "{text}");
/// assert!(text.contains("32 credits"), "{text}");
/// # drop(squares);
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Explain {
    stages: Vec<String>,
    tasks: String,
    kept: Vec<String>,
}

/// What is said of a stage, names apart.
#[derive(Clone, Debug)]
pub(super) struct StageFacts {
    ops: Vec<usize>,
    /// Credits and batch size of its source, if it has one.
    source: Option<String>,
    tail: TailKind,
    outputs: Vec<usize>,
    gated: bool,
    spooled: bool,
    keeps: Option<&'static str>,
}

/// What is said of a plan, names apart: they may still change.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    stages: Vec<StageFacts>,
    tasks: usize,
    edges: usize,
}

impl Facts {
    pub(super) fn of(draft: &Draft<'_>, edges: usize, free: &[bool], credits: &[u32]) -> Self {
        let stages = draft.stages.iter().enumerate().map(|(index, stage)| StageFacts {
            ops: stage.ops.iter().map(|(op, _)| *op).collect(),
            source: stage.source.map(|source| {
                let size = match source.size {
                    Some(size) => format!("of {size}"),
                    None if source.indexed => "cut by the length".to_owned(),
                    None => "growing with the stream".to_owned(),
                };
                match free[index] {
                    true => format!("batches {size}, on any worker, none held"),
                    false => format!("batches {size}, {} credits", credits[index]),
                }
            }),
            tail: stage.body.as_ref().map_or(TailKind::Sends, |(_, tail)| *tail),
            outputs: stage.outputs.clone(),
            gated: stage.gate.is_some() || stage.waits_for.is_some(),
            spooled: stage.spooled,
            keeps: stage.keeps,
        });
        let tasks = draft.nodes.iter().filter(|node| matches!(node, NodeDraft::Task { .. })).count();
        Self { stages: stages.collect(), tasks, edges }
    }

    pub(super) fn explain(&self, names: &Names) -> Explain {
        let mut kept = Vec::new();
        let stages = self.stages.iter().enumerate().map(|(index, stage)| {
            let ops: Vec<String> = stage.ops.iter().map(|op| names.get(*op)).collect();
            let mut text = format!("stage {index}: {}", ops.join(" > "));
            let mut add = |part: &str| {
                text.push_str("; ");
                text.push_str(part);
            };
            if let Some(source) = &stage.source {
                add(source);
            }
            if stage.gated {
                add("waits for what it reads");
            }
            match stage.tail {
                TailKind::Parallel => add("ends in a parallel sink"),
                TailKind::Serial if stage.outputs.is_empty() => add("ends one at a time, in stream order"),
                TailKind::Serial => add("its last operator one at a time, in stream order"),
                TailKind::Sends => {}
            }
            if !stage.outputs.is_empty() {
                let to: Vec<String> = stage.outputs.iter().map(usize::to_string).collect();
                add(&format!("seam to stage {}", to.join(" and ")));
            }
            let last = ops.last().map_or("", String::as_str);
            if let Some(what) = stage.keeps {
                kept.push(format!("'{last}' keeps {what}"));
            }
            if stage.spooled {
                kept.push(format!("'{}' keeps its items until it may let them through (spooled)", ops[0]));
            }
            text
        });
        let stages = stages.collect();
        let tasks = match self.tasks {
            0 => String::new(),
            1 => "1 task".to_owned(),
            count => format!("{count} tasks, {} edges between them", self.edges),
        };
        Explain { stages, tasks, kept }
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stages.iter().try_for_each(|stage| writeln!(f, "{stage}"))?;
        if !self.tasks.is_empty() {
            writeln!(f, "{}", self.tasks)?;
        }
        match &self.kept[..] {
            [] => writeln!(f, "nothing is kept beyond the batches in flight"),
            kept => kept.iter().try_for_each(|what| writeln!(f, "kept: {what}")),
        }
    }
}
