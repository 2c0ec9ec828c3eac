//! A plan as a picture: a box for each stage, task and given data, arrows between them, and a frame around what is at
//! home on the same node.
//!
//! [`super::explain`] makes a [`Picture`] of a draft when the graph is planned, and adds the words ([`Drawing`]) when
//! the user asks, because names may change until then.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::draft::{Draft, Mode, NodeDraft, Who};
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
        let stages = picture.add((0..draft.stages.len()).map(Thing::Stage), "stages");
        let tasks = draft.nodes.iter().filter_map(|node| match node {
            NodeDraft::Task { op, .. } => Some(Thing::Task(*op as usize)),
            NodeDraft::Enter { block } => Some(Thing::Task(draft.blocks[*block as usize].op)),
            NodeDraft::Again { .. } | NodeDraft::Gate { .. } | NodeDraft::End { .. } => None,
        });
        let mut tasks = picture.add(tasks, "tasks").into_iter();
        let mut blocks = Vec::new();
        let nodes = draft.nodes.iter().map(|node| match node {
            NodeDraft::Task { .. } => tasks.next().expect("one for each"),
            NodeDraft::Enter { .. } => {
                blocks.push(tasks.next().expect("one for each"));
                blocks[blocks.len() - 1]
            }
            NodeDraft::Again { block } => blocks[*block as usize],
            NodeDraft::Gate { stage } | NodeDraft::End { stage } => stages[*stage as usize],
        });
        let nodes: Vec<usize> = nodes.collect();

        // Given data has arrows to the tasks and stages that find it as it was given.
        let atoms = Atoms::of(draft);
        let mut fresh = vec![false; atoms.count()];
        let mut left = vec![0; draft.slots.len()]; // so many atoms of each slot are as they were given
        for (slot, kind) in draft.slot_ids().filter(|(_, kind)| kind.given) {
            fresh[atoms.in_slot(slot)].fill(kind.given);
            left[slot.index()] = atoms.in_slot(slot).len();
        }
        let mut found: Vec<(usize, usize)> = Vec::new();
        for (who, slot, mode) in &draft.accesses {
            let whole = atoms.whole_of(*slot).unwrap_or(slot.index());
            let own = &mut fresh[atoms.in_slot(*slot)];
            if left[whole] > 0 && own.iter().any(|fresh| *fresh) {
                let by = match who {
                    Who::Task(node) => nodes[*node as usize],
                    Who::Stage { stage, .. } | Who::Sink(stage) => stages[*stage as usize],
                };
                found.push((whole, by));
                if *mode != Mode::Read {
                    left[whole] -= own.iter().filter(|fresh| **fresh).count();
                    own.fill(false);
                }
            }
        }
        found.sort_unstable();
        let by_slot = || found.chunk_by(|(slot, _), (next, _)| slot == next);
        let data = picture.add(by_slot().map(|by| Thing::Data(draft.slots[by[0].0].op())), "data");

        let mut arrows: Vec<Arrow> = between(edges, &nodes)
            .map(|(from, to)| (from, to, Goes::Data))
            .chain(data.iter().zip(by_slot()).flat_map(|(data, by)| by.iter().map(|(_, by)| (*data, *by, Goes::Data))))
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

    /// Adds boxes for things of a kind, and returns the box of each.
    fn add(&mut self, things: impl Iterator<Item = Thing>, kind: &'static str) -> Vec<usize> {
        let first = self.things.len();
        let mut count = 0;
        let boxes = things.map(|thing| {
            match count {
                _ if count < DRAWN => self.things.push(thing),
                DRAWN => self.things.push(Thing::More(1, kind)),
                _ => self.things[first + DRAWN] = Thing::More(count + 1 - DRAWN, kind),
            }
            count += 1;
            first + (count - 1).min(DRAWN)
        });
        boxes.collect()
    }
}

/// The boxes of which the second waits for the first. What comes together at a join is drawn from each to each; of more joins than
/// boxes are drawn, only what is right before them.
fn between(edges: &Edges, boxes: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    let mut before: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); edges.joins];
    let (mut found, mut behind) = (BTreeSet::new(), BTreeSet::new());
    let place = |node: u32| boxes.get(node as usize).copied().ok_or_else(|| node as usize - boxes.len());
    // Of a large graph most share one box.
    let apart = edges.list.iter().filter(|(from, to)| place(*from) != place(*to));
    let mut sorted: Vec<(u32, u32)> = apart.copied().collect();
    sorted.sort_unstable_by_key(|(_, to)| *to); // a join comes after those that it waits for
    for (from, to) in sorted {
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
