//! A plan in words and pictures, before it runs.
//!
//! [`Facts`] are collected when a graph is planned. [`Facts::explain`] puts them in words when the user asks, because
//! names may change until then.

use std::collections::BTreeMap;
use std::fmt;

use super::blueprint::SourceBounds;
use super::draft::Draft;
use super::edges::Edges;
use super::picture::{Card, Drawing, Picture, Thing};
use super::place::{Homes, Why};
use super::proof::bounds::{Bound, bounds};
use super::proof::outline::Outline;
use crate::run::flow::stage::TailKind;
use crate::run::flow::supply::Items;
use crate::run::names::Names;
use crate::run::sections::Named;

/// A plan in words and pictures: the stages and how they are connected, credits, what is kept in memory, and where
/// everything is at home.
///
/// `Display` prints the words.
///
/// ```
/// use millstream::{Graph, Place, Topology};
///
/// let g = Graph::new();
/// let squares = g.source(0..100_u64).credits(32).place(Place::Node(1)).named("numbers").map(|x| x * x).collect();
/// g.task(squares.read(), |squares| squares.len()).named("len").place(Place::Spread);
/// let explain = g.plan_for(&Topology::synthetic("numa:2 core:8 pu:1")?)?.explain();
/// let text = explain.to_string();
/// assert!(text.contains("numbers > map at") && text.contains("32 credits"), "{text}");
/// assert!(text.contains("node 1: 'numbers' (as told)"), "{text}");
/// assert!(explain.to_dot().starts_with("digraph"));
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Explain {
    stages: Vec<String>,
    tasks: String,
    sections: Vec<String>,
    places: Vec<String>,
    kept: Vec<String>,
    operators: Vec<OperatorExplain>,
    drawing: Drawing,
}

impl Explain {
    /// The first operator with this name, in the order in which they were added to the graph. Data that the user gives
    /// counts as an operator.
    #[must_use]
    pub fn operator(&self, name: &str) -> Option<&OperatorExplain> {
        self.operators.iter().find(|operator| operator.name == name)
    }

    /// All operators, in the order in which they were added to the graph.
    #[must_use]
    pub fn operators(&self) -> &[OperatorExplain] {
        &self.operators
    }

    /// The plan as a picture in DOT, the language of Graphviz.
    ///
    /// A stage is a box, a task an ellipse, and given data a cylinder. A frame surrounds what is at home on the same
    /// node. Streams are solid arrows; dashed arrows show the order that accesses to data ask for.
    ///
    /// The first 1000 stages, tasks and data of each kind are drawn. All others of a kind share one box, which says how
    /// many they are.
    #[must_use]
    pub fn to_dot(&self) -> String {
        self.drawing.to_dot()
    }

    /// The picture of [`to_dot`](Self::to_dot) as a Mermaid flowchart.
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        self.drawing.to_mermaid()
    }
}

/// Where one operator is at home, and why; see [`Explain::operator`].
#[derive(Clone, Debug)]
pub struct OperatorExplain {
    name: String,
    nodes: Vec<usize>,
    reason: String,
}

impl OperatorExplain {
    /// The name that the user gave, or else the method and source line, behind the names of the sections that it is in.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The NUMA node that it is at home on. None if it has no home, or several.
    #[must_use]
    pub fn node(&self) -> Option<usize> {
        if let [node] = self.nodes[..] { Some(node) } else { None }
    }

    /// The NUMA nodes that it is at home on, in the order of their numbers. There are several if a source was spread,
    /// or if its memory lies on several nodes.
    #[must_use]
    pub fn nodes(&self) -> &[usize] {
        &self.nodes
    }

    /// Why it is at home there, or why it has no home. Empty if nothing speaks for any node.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for OperatorExplain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}': {}", on_one_line(&self.name), on(&self.nodes))?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}

/// A name for a text in which every line counts. Control characters, line ends too, are escaped as in Rust.
pub(super) fn on_one_line(name: &str) -> String {
    let mut line = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// A list of nodes in words.
fn on(nodes: &[usize]) -> String {
    match nodes {
        [] => "no home".to_owned(),
        [node] => format!("node {node}"),
        nodes => format!("nodes {}", nodes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// What is known of a stage, without the names.
#[derive(Clone, Debug)]
pub(super) struct StageFacts {
    ops: Vec<usize>,
    /// Credits and batch size of its source, if it has one.
    source: Option<String>,
    tail: TailKind,
    outputs: Vec<usize>,
    /// How many items may lie between it and those, if that is known.
    bound: Option<Bound>,
    gated: bool,
    spooled: bool,
    keeps: Option<&'static str>,
}

/// What is known of a plan, without the names of operators, which may still change.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    stages: Vec<StageFacts>,
    tasks: usize,
    edges: usize,
    /// The sections, in words.
    sections: Vec<String>,
    /// How many operators there are.
    operators: usize,
    homes: Homes,
    picture: Picture,
    /// What can be proved of the streams follows from this.
    outline: Outline,
}

/// How many of the operators at home on a node are named.
const NAMED: usize = 8;

impl Facts {
    pub(super) fn of(draft: &Draft<'_>, edges: &Edges, sources: &SourceBounds, homes: Homes) -> Self {
        let between = bounds(draft, sources);
        let stages = draft.stages.iter().enumerate().map(|(index, stage)| StageFacts {
            ops: stage.ops.iter().map(|(op, _)| *op).collect(),
            source: stage.source.as_ref().map(|source| {
                let size = match source.size {
                    Some(size) => format!("of {size}"),
                    None if matches!(source.items, Items::Numbered(_)) => "cut by the length".to_owned(),
                    None => "growing with the stream".to_owned(),
                };
                if sources.free[index] {
                    return format!("batches {size}, on any worker, none held");
                }
                let by_time = if sources.unseen[index] { ", or smaller by time" } else { "" };
                let (credits, grown, soft) = (sources.credits[index], sources.grown[index], sources.soft[index]);
                let used = if soft < credits { format!(" ({soft} unless others wait)") } else { String::new() };
                let more = if grown > credits { format!(", {grown} before it stalls") } else { String::new() };
                let bytes = source.bytes.map_or_else(String::new, |bytes| format!(", {bytes} bytes in flight"));
                format!("batches {size}{by_time}, {credits} credits{used}{more}{bytes}")
            }),
            tail: stage.body.as_ref().map_or(TailKind::Sends, |(_, tail)| *tail),
            outputs: stage.outputs.clone(),
            bound: between[index],
            gated: stage.gate.is_some() || stage.waits_for.is_some(),
            spooled: stage.spooled,
            keeps: stage.keeps,
        });
        Self {
            stages: stages.collect(),
            tasks: draft.nodes.tasks(),
            edges: edges.before.all().len(),
            sections: sections(draft),
            operators: draft.names.len(),
            homes,
            picture: Picture::of(draft, edges),
            outline: Outline::of(draft, sources),
        }
    }

    pub(super) fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Whether something has a home.
    pub(super) fn has_homes(&self) -> bool {
        !self.homes.is_empty()
    }

    /// The home of an operator.
    pub(super) fn home(&self, op: usize) -> Option<usize> {
        self.homes.get(op).node
    }

    /// The stages that each stage sends to.
    #[cfg(test)]
    pub(super) fn outputs(&self) -> Vec<Vec<usize>> {
        self.stages.iter().map(|stage| stage.outputs.clone()).collect()
    }

    #[cfg(test)]
    pub(super) fn has_source(&self, stage: usize) -> bool {
        self.stages[stage].source.is_some()
    }

    /// `groups` are the groups of tasks, and whether they are by the times of earlier runs.
    pub(super) fn explain(&self, names: &Names, groups: Option<(usize, bool)>) -> Explain {
        let mut kept = Vec::new();
        let stages = self.stages.iter().enumerate().map(|(index, stage)| {
            let ops: Vec<String> = stage.ops.iter().map(|op| on_one_line(&names.get(*op))).collect();
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
                TailKind::SerialByKey => add("ends one at a time for each key, in stream order"),
                TailKind::Serial if stage.outputs.is_empty() => add("ends one at a time, in stream order"),
                TailKind::Serial => add("its last operator one at a time, in stream order"),
                TailKind::Sends => {}
            }
            if !stage.outputs.is_empty() {
                let to: Vec<String> = stage.outputs.iter().map(usize::to_string).collect();
                let bound = stage.bound.map_or_else(String::new, |bound| format!(", {} on their way", bound.words()));
                add(&format!("sends to stage {}{bound}", to.join(" and ")));
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
        let groups = groups.map_or_else(String::new, |(groups, is_known)| {
            let (s, why) = (if groups == 1 { "" } else { "s" }, if is_known { ", by their times" } else { "" });
            format!(", in {groups} group{s}{why}")
        });
        let tasks = match self.tasks {
            0 => String::new(),
            1 => "1 task".to_owned(),
            count => format!("{count} tasks, {} edges between them{groups}", self.edges),
        };
        let mut operators: Vec<_> = (0..self.operators).map(|op| self.operator(op, names)).collect();
        let places = places(&operators);
        for stage in self.stages.iter().filter(|stage| stage.source.is_some()) {
            let OperatorExplain { name, nodes, .. } = operators[stage.ops[0]].clone();
            for op in stage.ops[1..].iter().filter(|_| !nodes.is_empty()) {
                if operators[*op].nodes.is_empty() {
                    operators[*op].nodes.clone_from(&nodes);
                    operators[*op].reason = format!("with the batches of '{}'", on_one_line(&name));
                }
            }
        }
        let drawing = self.drawing(&operators);
        Explain { stages, tasks, sections: self.sections.clone(), places, kept, operators, drawing }
    }

    fn operator(&self, op: usize, names: &Names) -> OperatorExplain {
        let home = self.homes.get(op);
        let mut nodes: Vec<usize> = self.homes.parts(op).into_iter().flatten().collect();
        nodes.sort_unstable();
        nodes.dedup();
        let by = |what: &str, other: usize| {
            let rest = match self.homes.get(other).node {
                None => ", which has no home",
                node if node != home.node => ", on the nearest node with CPUs",
                _ => "",
            };
            format!("{what} '{}'{rest}", on_one_line(&names.get(other)))
        };
        let reason = match home.why {
            Why::Nothing => String::new(),
            Why::Told => "as told".to_owned(),
            Why::Spread => "spread, as told".to_owned(),
            Why::Memory => "its memory is there".to_owned(),
            Why::Near(other) => by("near", other),
            Why::Writes(other) => by("it writes", other),
            Why::Accesses(other) => by("it accesses", other),
        };
        OperatorExplain { name: names.get(op), nodes, reason }
    }

    fn drawing(&self, operators: &[OperatorExplain]) -> Drawing {
        let named = |op: usize| (vec![operators[op].name.clone()], operators[op].node());
        let cards = self.picture.things.iter().map(|thing| {
            let (lines, node) = match *thing {
                Thing::Task(op) | Thing::Data(op) => named(op),
                Thing::More(count, kind) => (vec![format!("{count} more {kind}")], None),
                Thing::Stage(index) => {
                    let stage = &self.stages[index];
                    let mut lines: Vec<String> = stage.ops.iter().map(|op| operators[*op].name.clone()).collect();
                    lines.extend(stage.keeps.map(|what| format!("(keeps {what})")));
                    lines.extend(
                        stage.spooled.then(|| "(spooled: keeps its items until it may let them through)".to_owned()),
                    );
                    let nodes = if stage.source.is_some() { &operators[stage.ops[0]].nodes[..] } else { &[] };
                    if nodes.len() > 1 {
                        lines.push(format!("({})", on(nodes)));
                    }
                    (lines, if let [node] = nodes { Some(*node) } else { None })
                }
            };
            Card { thing: *thing, lines, node }
        });
        Drawing { cards: cards.collect(), arrows: self.picture.arrows.clone() }
    }
}

/// The sections of a graph and what is in each, in words.
fn sections(draft: &Draft<'_>) -> Vec<String> {
    let of_streams = || draft.stages.iter().flat_map(|stage| stage.ops.iter().map(|(op, _)| (*op, 0)));
    let all = || of_streams().chain(draft.task_ops.iter().flatten().map(|op| (op as usize, 1)));
    let (named, places) = draft.names.sections(all().map(|(op, _)| op));
    let mut counts = vec![[0, 0]; named.list.len()];
    for (place, (_, kind)) in places.into_iter().zip(all()) {
        named.and_around(place).for_each(|place| counts[place][kind] += 1);
    }
    let of = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        count => Some(format!("{count} {what}s")),
    };
    let words = |(named, [operators, tasks]): (&Named, [usize; 2])| {
        let parts: Vec<String> = of(operators, "operator").into_iter().chain(of(tasks, "task")).collect();
        let parts = if parts.is_empty() { "nothing that runs".to_owned() } else { parts.join(", ") };
        format!("section {}: {parts}", on_one_line(&named.path))
    };
    named.list.iter().zip(counts).map(words).collect()
}

/// What is at home on which nodes, in words.
fn places(operators: &[OperatorExplain]) -> Vec<String> {
    let mut by_nodes: BTreeMap<&[usize], Vec<&OperatorExplain>> = BTreeMap::new();
    for operator in operators.iter().filter(|operator| !operator.nodes.is_empty()) {
        by_nodes.entry(&operator.nodes).or_default().push(operator);
    }
    let line = |(nodes, at_home): (&[usize], Vec<&OperatorExplain>)| {
        let named = at_home
            .iter()
            .take(NAMED)
            .map(|operator| format!("'{}' ({})", on_one_line(&operator.name), operator.reason));
        let more = at_home.len().checked_sub(NAMED).filter(|more| *more > 0).map(|more| format!("and {more} more"));
        format!("{}: {}", on(nodes), named.chain(more).collect::<Vec<_>>().join(", "))
    };
    by_nodes.into_iter().map(line).collect()
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stages.iter().try_for_each(|stage| writeln!(f, "{stage}"))?;
        if !self.tasks.is_empty() {
            writeln!(f, "{}", self.tasks)?;
        }
        self.sections.iter().chain(&self.places).try_for_each(|line| writeln!(f, "{line}"))?;
        match &self.kept[..] {
            [] => writeln!(f, "nothing is kept beyond the batches in flight"),
            kept => kept.iter().try_for_each(|what| writeln!(f, "kept: {what}")),
        }
    }
}
