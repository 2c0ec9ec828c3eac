//! A plan as a picture: a box for each stage, task and given data, arrows between them, and a frame around what is at
//! home on the same node.
//!
//! [`super::explain`] makes a [`Picture`] of a draft when the graph is planned, and adds the words ([`Drawing`]) when
//! the user asks, because names may change until then.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Write};
use std::ops::ControlFlow;

use super::draft::{Draft, Mode, NodeDraft, SlotId, Who, index};
use super::edges::Edges;
use super::edges::atoms::Atoms;

/// The largest number of stages, tasks or data that have a box each. All further ones of a kind share one box.
pub(super) const DRAWN: usize = 1000;

/// The largest number of bytes in a label. Graphviz refuses more than 16 384.
const LABEL: usize = 16_000;
/// The largest number of characters in a line of a label, before it is escaped.
const LINE: usize = 1000;

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    /// The stage with this number.
    Stage(usize),
    /// The task with this operator.
    Task(usize),
    /// The given data with this operator.
    Data(usize),
    /// This many more things of a kind.
    More(usize, &'static str),
}

/// What is drawn, without the names.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    pub(super) things: Vec<Thing>,
    pub(super) arrows: Vec<Arrow>,
}

/// An arrow from one thing to another, by their index in the picture, and what goes along it.
pub(super) type Arrow = (usize, usize, Goes);

/// What goes along an arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Goes {
    Batches,
    /// Data, or only the order in which two things come.
    Data,
}

impl Picture {
    pub(super) fn of(draft: &Draft<'_>, edges: &Edges) -> Self {
        let mut picture = Self::default();
        picture.add((0..draft.stages.len()).map(Thing::Stage), draft.stages.len(), "stages");
        let stages: Vec<usize> = (0..draft.stages.len()).map(|stage| stage.min(DRAWN)).collect();
        let tasks = draft.nodes.iter().filter_map(|node| match node {
            NodeDraft::Task { record } => Some(Thing::Task(draft.op_of_task(record))),
            NodeDraft::Enter { block } => Some(Thing::Task(draft.blocks[block as usize].op)),
            NodeDraft::Again { .. } | NodeDraft::Gate { .. } | NodeDraft::End { .. } => None,
        });
        let nodes = Boxes::of(draft, &stages, picture.things.len());
        picture.add(tasks, draft.nodes.tasks() + draft.blocks.len(), "tasks");

        // Given data has arrows to the tasks and stages that find it as it was given.
        let mut found: Vec<(u32, u32)> = Vec::new();
        if draft.slots.given().next().is_some() {
            let atoms = Atoms::of(draft);
            let mut fresh = vec![false; atoms.count()];
            let mut left = vec![0_u32; draft.slots.len()]; // so many atoms of each slot are as they were given
            for slot in draft.slots.given() {
                let own = atoms.of_whole(slot);
                left[slot.index()] = index(own.len());
                fresh[own].fill(true);
            }
            let (has_parts, mut all) = (!draft.cuts.is_empty(), left.iter().map(|left| *left as usize).sum::<usize>());
            let _all_seen = draft.accesses.in_order().try_for_each(|(who, own)| {
                for access in own {
                    let slot = access.slot();
                    let whole = if has_parts { atoms.whole_of(slot) } else { None }.unwrap_or(slot.index());
                    if left[whole] == 0 {
                        continue;
                    }
                    let own = || atoms.in_slot(slot);
                    if !own().any(|range| fresh[range].contains(&true)) {
                        continue;
                    }
                    let by = match who {
                        Who::Task(record) => nodes.of_node(draft.nodes.of_task(record)),
                        Who::Joint(node) => nodes.of_node(node),
                        Who::Stage { stage, .. } | Who::Sink(stage) => stages[stage as usize],
                    };
                    found.push((index(whole), index(by)));
                    if access.mode() != Mode::Read {
                        for range in own() {
                            let own = &mut fresh[range];
                            let count = own.iter().filter(|fresh| **fresh).count();
                            (left[whole], all) = (left[whole] - index(count), all - count);
                            own.fill(false);
                        }
                    }
                }
                if all == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
        found.sort_unstable();
        let by_slot = || found.chunk_by(|(slot, _), (next, _)| slot == next);
        let data = by_slot().map(|by| Thing::Data(draft.slots.op(SlotId::new(by[0].0))));
        let first = picture.things.len();
        picture.add(data, by_slot().count(), "data");
        let data = (0..).map(|number: usize| first + number.min(DRAWN));

        let mut arrows: Vec<Arrow> = between(edges, &nodes)
            .map(|(from, to)| (from, to, Goes::Data))
            .chain(
                data.zip(by_slot())
                    .flat_map(|(data, by)| by.iter().map(move |(_, by)| (data, *by as usize, Goes::Data))),
            )
            .chain(
                draft
                    .stages
                    .iter()
                    .zip(&stages)
                    .flat_map(|(stage, from)| stage.outputs.iter().map(|to| (*from, stages[*to], Goes::Batches))),
            )
            .filter(|(from, to, _)| from != to)
            .collect();
        arrows.sort_unstable();
        arrows.dedup();
        Self { arrows, ..picture }
    }

    /// Adds boxes for `count` things of a kind. The first ones have one each, and the others share one.
    fn add(&mut self, things: impl Iterator<Item = Thing>, count: usize, kind: &'static str) {
        self.things.extend(things.take(DRAWN));
        self.things.extend((count > DRAWN).then(|| Thing::More(count - DRAWN, kind)));
    }
}

/// The boxes of nodes.
struct Boxes {
    /// Those of the first nodes, up to the last task that has a box of its own.
    first: Vec<usize>,
    /// Those of other nodes that are no tasks.
    others: HashMap<usize, usize>,
    /// The box of all other tasks.
    more: usize,
}

impl Boxes {
    /// `stages` are the boxes of stages, and `first` is that of the first task.
    fn of(draft: &Draft<'_>, stages: &[usize], first: usize) -> Self {
        let (mut tasks, mut blocks) = (first.., Vec::new());
        let more = first + DRAWN;
        let place = |kind: NodeDraft| match kind {
            NodeDraft::Task { .. } => tasks.next().expect("endless"),
            NodeDraft::Enter { .. } => {
                blocks.extend(tasks.next());
                blocks[blocks.len() - 1]
            }
            NodeDraft::Again { block } => blocks[block as usize],
            NodeDraft::Gate { stage } | NodeDraft::End { stage } => stages[stage as usize],
        };
        let first: Vec<usize> = draft.nodes.iter().map(place).take_while(|place| *place != more).collect();
        let rest = draft.nodes.others().filter(|(node, _)| *node >= first.len());
        let others = rest.map(|(node, kind)| match kind {
            NodeDraft::Task { .. } | NodeDraft::Enter { .. } => (node, more),
            NodeDraft::Again { block } => (node, blocks.get(block as usize).map_or(more, |place| *place.min(&more))),
            NodeDraft::Gate { stage } | NodeDraft::End { stage } => (node, stages[stage as usize]),
        });
        let others = others.collect();
        Self { first, others, more }
    }

    /// The box of a node.
    fn of_node(&self, node: u32) -> usize {
        let other = || self.others.get(&(node as usize)).copied().unwrap_or(self.more);
        self.first.get(node as usize).copied().unwrap_or_else(other)
    }
}

/// The boxes of which the second waits for the first. What comes together at a join is drawn from each to each; of more joins than
/// boxes are drawn, only what is right before them.
fn between(edges: &Edges, boxes: &Boxes) -> impl Iterator<Item = (usize, usize)> {
    let mut before: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); edges.joins];
    let (mut found, mut behind) = (BTreeSet::new(), BTreeSet::new());
    let first_join = index(edges.before.len() - edges.joins);
    let place = |node: u32| if node < first_join { Ok(boxes.of_node(node)) } else { Err((node - first_join) as usize) };
    // Of a large graph most share one box. A join comes after those that it waits for.
    let limit = if boxes.others.is_empty() && edges.joins == 0 { index(boxes.first.len()) } else { u32::MAX };
    for (to, from) in edges.before.pairs_below(limit).filter(|(to, from)| place(*from) != place(*to)) {
        match (place(from), place(to)) {
            (Ok(from), Ok(to)) => _ = found.insert((from, to)),
            (Ok(from), Err(join)) => _ = before[join].insert(from),
            (Err(join), Ok(to)) => _ = behind.insert((join, to)),
            (Err(join), Err(next)) if edges.joins <= DRAWN => {
                let more = before[join].clone();
                before[next].extend(more);
            }
            (Err(_), Err(_)) => {}
        }
    }
    for (join, to) in behind {
        found.extend(before[join].iter().map(|from| (*from, to)));
    }
    found.into_iter()
}

/// A box with what is written in it.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) thing: Thing,
    pub(super) lines: Vec<String>,
    /// The node that it is at home on, if there is exactly one.
    pub(super) node: Option<usize>,
}

/// A picture with its words.
#[derive(Clone, Debug)]
pub(super) struct Drawing {
    pub(super) cards: Vec<Card>,
    pub(super) arrows: Vec<Arrow>,
}

impl Drawing {
    /// The picture in DOT, the language of Graphviz.
    pub(super) fn to_dot(&self) -> String {
        let mut text = String::from("digraph plan {\n  rankdir=LR;\n");
        let card = |text: &mut String, indent: &str, place: usize, card: &Card| {
            let form = match card.thing {
                Thing::Stage(_) => "shape=box",
                Thing::Task(_) => "shape=ellipse",
                Thing::Data(_) => "shape=cylinder",
                Thing::More(..) => "shape=box, style=dotted",
            };
            writeln!(text, "{indent}n{place} [{form}, label=\"{}\"];", label(&card.lines, dot, "\\n"))
        };
        let frame = |text: &mut String, node: usize| {
            writeln!(text, "  subgraph cluster_node{node} {{\n    label=\"node {node}\";")
        };
        let arrow = |text: &mut String, (from, to, goes): Arrow| {
            writeln!(text, "  n{from} -> n{to}{};", if goes == Goes::Batches { "" } else { " [style=dashed]" })
        };
        self.draw(&mut text, card, frame, "  }\n", arrow).expect("a string takes all");
        text + "}\n"
    }

    /// The picture as a Mermaid flowchart.
    pub(super) fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        let card = |text: &mut String, indent: &str, place: usize, card: &Card| {
            let (open, close) = match card.thing {
                Thing::Stage(_) | Thing::More(..) => ("[", "]"),
                Thing::Task(_) => ("([", "])"),
                Thing::Data(_) => ("[(", ")]"),
            };
            writeln!(text, "{indent}n{place}{open}\"{}\"{close}", label(&card.lines, mermaid, "<br/>"))
        };
        let frame = |text: &mut String, node: usize| writeln!(text, "  subgraph node{node}[\"node {node}\"]");
        let arrow = |text: &mut String, (from, to, goes): Arrow| {
            writeln!(text, "  n{from} {} n{to}", if goes == Goes::Batches { "-->" } else { "-.->" })
        };
        self.draw(&mut text, card, frame, "  end\n", arrow).expect("a string takes all");
        text
    }

    /// Draws the cards node by node, then the cards without a home, then the arrows.
    fn draw(
        &self,
        text: &mut String,
        card: impl Fn(&mut String, &str, usize, &Card) -> fmt::Result,
        frame: impl Fn(&mut String, usize) -> fmt::Result,
        frame_end: &str,
        arrow: impl Fn(&mut String, Arrow) -> fmt::Result,
    ) -> fmt::Result {
        let mut places: Vec<usize> = (0..self.cards.len()).collect();
        places.sort_by_key(|place| (self.cards[*place].node.is_none(), self.cards[*place].node));
        for same in places.chunk_by(|a, b| self.cards[*a].node == self.cards[*b].node) {
            let node = self.cards[same[0]].node;
            if let Some(node) = node {
                frame(text, node)?;
            }
            let indent = if node.is_some() { "    " } else { "  " };
            same.iter().try_for_each(|place| card(text, indent, *place, &self.cards[*place]))?;
            if node.is_some() {
                text.push_str(frame_end);
            }
        }
        self.arrows.iter().try_for_each(|one| arrow(text, *one))
    }
}

/// A label from the lines of a box. `write` escapes each line. Lines that would make the label too long are left out,
/// and counted in its last line.
fn label(lines: &[String], write: fn(&str) -> String, line_end: &str) -> String {
    const MORE: usize = 64; // for the line that says how many are left out
    let mut text = String::new();
    for (place, line) in lines.iter().enumerate() {
        let line = match line.char_indices().nth(LINE) {
            Some((end, _)) => write(&line[..end]) + "…",
            None => write(line),
        };
        let ends = if place == 0 { "" } else { line_end };
        if text.len() + ends.len() + line.len() <= LABEL - MORE {
            text.extend([ends, &line]);
        } else {
            write!(text, "{ends}… and {} more", lines.len() - place).expect("a string takes all");
            break;
        }
    }
    text
}

/// Escapes a text for quotation marks in DOT. Control characters become spaces.
fn dot(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Escapes a text for quotation marks in Mermaid, which reads it as HTML with entities of its own. Control characters
/// become spaces.
fn mermaid(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("<br/>"),
            '"' | '#' | '&' | '<' | '>' | '`' | '\\' => write!(out, "#{};", u32::from(c)).expect("a string takes all"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::{LABEL, LINE, dot, label, mermaid};

    #[test]
    fn names_stay_inside_their_quotation_marks() {
        let name = "a\"b\\c\nd\u{7}<i>#35;&`";
        assert_eq!(dot(name), "a\\\"b\\\\c\\nd <i>#35;&`");
        assert_eq!(mermaid(name), "a#34;b#92;c<br/>d #60;i#62;#35;35;#38;#96;");
    }

    #[test]
    fn a_label_is_cut_before_graphviz_refuses_it() {
        let few = ["one", "two"].map(str::to_owned);
        assert_eq!(label(&few, dot, "\\n"), "one\\ntwo");
        let many = vec!["\"".repeat(100); 1000];
        let cut = label(&many, dot, "\\n");
        assert!((LABEL - 400..=LABEL).contains(&cut.len()), "{}", cut.len());
        let whole = cut.matches("\\n").count(); // one of them is before the last line
        assert!(cut.ends_with(&format!("\\n… and {} more", 1000 - whole)), "{}", &cut[cut.len() - 40..]);
        let long = ["ä".repeat(LABEL), "y".to_owned()];
        assert_eq!(label(&long, dot, "\\n"), "ä".repeat(LINE) + "…\\ny");
    }
}
