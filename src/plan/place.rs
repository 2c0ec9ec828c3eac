//! The homes of data, tasks and sources: on which NUMA node they are, and why.
//!
//! For each of them the first rule that gives a node counts:
//! * Data: the place that the user named; the node where the kernel says its memory is. The result of a task is at the
//!   home of the task.
//! * A task: the place that the user named; the home of the data that it writes; the home of the first data it accesses
//!   that has one.
//! * A source: the place that the user named; the node of its memory, part by part if that lies on several nodes; the
//!   home of the data whose items it gives.
//!
//! A plan turns nodes into groups of its pool's workers. A run queues a job that has a home for the workers of that
//! group (`Worker::push_home`). [`crate::run::tasks::dag`] says how tasks follow each other then, [`crate::run::flow::source`]
//! how homes cut a source.
//!
//! Tasks and sources need CPUs. If their node has none, they are at home on the nearest node that has some. The kernel
//! is asked only about this machine, only if it has more than one node, and only about [`LEAST`] bytes or more.

use std::fmt;
use std::sync::Arc;

use super::data::Data;
use super::draft::{Draft, Mode, SlotAccess, SlotId, Who};
use crate::run::flow::supply::{Items, MemoryRange};
use crate::run::names::{Names, Told};
use crate::topology::{CpuSet, NumaNode, Topology, memory};

/// A home for data, a task or a source: the NUMA node whose workers get its jobs first.
///
/// Workers of other nodes take these jobs only when they have nothing to do at home. A place never changes an answer.
/// If the user names none,
/// * data is where the kernel says its memory is, if the value itself takes 64 KiB or more. A large array does; the
///   items of a `Vec` are elsewhere, so use [`Place::of`] for them. The result of a task is where the task is.
/// * a task is where the data is that it writes, or else where the first data is that it accesses and that has a home.
/// * a source over memory of 64 KiB or more (`slice`, `vec`, `split`, `split_all`) is where that memory is, part by
///   part if it lies on several nodes. An `items` source is where its data is.
///
/// The kernel is asked when the graph is planned. Jobs without a home run wherever a worker is free.
///
/// ```
/// use millstream::{Graph, Place, Topology};
///
/// let server = Topology::synthetic("numa:2 core:8 pu:1")?;
/// let g = Graph::new();
/// let tile = g.data([0_u8; 1024]).named("tile").place(Place::Node(1));
/// let halo = g.data([0_u8; 64]).named("halo").place(Place::Near(&tile));
/// g.task((tile.read(), halo.write()), |(tile, halo)| halo.copy_from_slice(&tile[..64])).named("copy");
/// let explain = g.plan_for(&server)?.explain();
/// for name in ["tile", "halo", "copy"] {
///     assert_eq!(explain.operator(name).and_then(|operator| operator.node()), Some(1));
/// }
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// The NUMA node with this number, as the operating system counts them. A machine that shows no nodes has only
    /// number 0.
    Node(usize),
    /// The home of that data, which must belong to the same graph.
    Near(&'a dyn AnyData),
    /// No node in particular, whatever is known of memory. The batches of a source go to all nodes with workers: in
    /// equal parts if its length is known, else in rotation.
    Spread,
}

impl Place<'_> {
    /// The place where the kernel says that this memory is now.
    ///
    /// This is a [`Node`](Self::Node), or [`Spread`](Self::Spread) if the memory lies on several nodes or the kernel
    /// does not say. The kernel does not say where memory is that no thread has written yet.
    ///
    /// ```
    /// use millstream::{Graph, Place};
    ///
    /// let tile = vec![0.0_f64; 1 << 16];
    /// let place = Place::of(&tile);
    /// let g = Graph::new();
    /// let tile = g.data(tile).place(place);
    /// # drop(tile);
    /// ```
    #[must_use]
    pub fn of<T>(memory: &[T]) -> Self {
        node_of(MemoryRange::of(memory)).map_or(Self::Spread, Self::Node)
    }

    /// This place, in the form in which the graph with these names keeps it.
    pub(crate) fn told(self, names: &Arc<Names>) -> Told {
        match self {
            Self::Node(node) => Told::Node(node),
            Self::Spread => Told::Spread,
            Self::Near(data) => match data.made_by() {
                (graph, op) if Arc::ptr_eq(graph, names) => Told::Near(op),
                _ => Told::NearForeign,
            },
        }
    }
}

/// [`Data`] of any type, for [`Place::Near`]. The trait is sealed.
pub trait AnyData: fmt::Debug + private::Sealed {
    /// The names of its graph, and the operator that makes it.
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "sealed: called by the graph")]
    fn made_by(&self) -> (&Arc<Names>, usize);
}

mod private {
    #[expect(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}
    impl<T> Sealed for super::Data<T> {}
}

#[expect(private_interfaces, reason = "sealed: called by the graph")]
impl<T> AnyData for Data<T> {
    fn made_by(&self) -> (&Arc<Names>, usize) {
        (&self.names, self.op())
    }
}

/// The kernel is asked about memory of at least this many bytes.
const LEAST: usize = 64 * 1024;
/// The smallest size in bytes of the equal parts that the kernel is asked about, if there is more than one: a large
/// page.
const PART: usize = 2 * 1024 * 1024;
/// The largest number of parts that the kernel is asked about.
const PARTS: usize = 256;

/// The nodes of equal parts of some ranges of memory, one after the other. Empty if the ranges are small or nothing is
/// known.
fn nodes_of(ranges: &[MemoryRange], ask: impl Fn(MemoryRange) -> Option<usize>) -> Vec<Option<usize>> {
    let bytes: usize = ranges.iter().map(|range| range.bytes).sum();
    if bytes < LEAST {
        return Vec::new();
    }
    let parts = bytes.div_ceil(PART).min(PARTS);
    let size = bytes / parts;
    let (mut before, mut ranges) = (0, ranges.iter().peekable());
    let nodes = (0..parts).map(|part| {
        let middle = size * part + size / 2;
        while let Some(range) = ranges.next_if(|range| before + range.bytes <= middle) {
            before += range.bytes;
        }
        // Ask about the piece of the part that lies in the same range as the middle of the part.
        let range = ranges.peek()?;
        let from = (size * part).max(before) - before;
        ask(MemoryRange { start: range.start.wrapping_add(from), bytes: size.min(range.bytes - from) })
    });
    let nodes: Vec<_> = nodes.collect();
    if nodes.iter().all(Option::is_none) { Vec::new() } else { nodes }
}

/// The NUMA node that most of a range of memory is on, as the kernel says now.
fn node_of(range: MemoryRange) -> Option<usize> {
    memory::node_of_bytes(range.start.addr(), range.bytes)
}

/// The nodes of the memory of given data and of sources, in equal parts, by operator.
fn known(draft: &Draft<'_>) -> Vec<(usize, Vec<Option<usize>>)> {
    let data = draft.slots.given().map(|slot| (draft.slots.op(slot), vec![draft.values.memory(slot.number())]));
    let data = data.filter(|(_, ranges)| ranges[0].bytes >= LEAST);
    let sources = draft.stages.iter().filter_map(|stage| match &stage.source.as_ref()?.items {
        Items::Numbered(items) => Some((stage.ops[0].0, items.memory())),
        Items::Pulled(_) => None,
    });
    let nodes = data.chain(sources).map(|(op, ranges)| (op, nodes_of(&ranges, node_of)));
    nodes.filter(|(_, nodes)| !nodes.is_empty()).collect()
}

/// The reason for a home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Why {
    /// There is no home, and the user has named none.
    #[default]
    Nothing,
    /// The user has named the node.
    Told,
    /// The user has asked for no node in particular.
    Spread,
    /// The memory is there.
    Memory,
    /// The user has asked for a home near the data that this operator makes.
    Near(usize),
    /// It writes the data that this operator makes.
    Writes(usize),
    /// It accesses the data that this operator makes.
    Accesses(usize),
}

/// The home of an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HomeAndWhy {
    /// None if there is no home, or if there are several.
    pub(super) node: Option<usize>,
    pub(super) why: Why,
}

/// The homes of a graph, on one machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Homes {
    /// The home of each operator. Empty if the user has named no place and no memory is known.
    list: Vec<HomeAndWhy>,
    /// The sources with several homes, by operator, and the nodes of their equal parts.
    parts: Vec<(usize, Vec<Option<usize>>)>,
    /// Places that cannot be kept, by operator.
    pub(super) defects: Vec<(usize, String)>,
}

impl Homes {
    pub(super) fn of(draft: &Draft<'_>, machine: &Topology) -> Self {
        let told = draft.names.places();
        let ask = machine.is_this_machine() && machine.numa_nodes().len() > 1;
        let memory = if ask { known(draft) } else { Vec::new() };
        if told.is_empty() && memory.is_empty() {
            return Self::default();
        }
        let mut finder = Finder::new(draft, machine, &memory);
        (0..finder.list.len()).for_each(|op| finder.find(op));
        let parts = finder.parts(memory);
        Self { list: finder.list, parts, defects: finder.defects }
    }

    /// Whether nothing has a home.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn get(&self, op: usize) -> HomeAndWhy {
        self.list.get(op).copied().unwrap_or_default()
    }

    /// The nodes of equal parts of a source. A single entry stands for the whole source; an empty list means no home.
    pub(super) fn parts(&self, op: usize) -> Vec<Option<usize>> {
        match self.parts.binary_search_by_key(&op, |(op, _)| *op) {
            Ok(place) => self.parts[place].1.clone(),
            Err(_) => self.get(op).node.map(Some).into_iter().collect(),
        }
    }
}

/// The kind of an operator, for finding its home.
#[derive(Clone, Debug)]
enum Kind {
    /// Data that the user gives, or that a sink makes.
    Data,
    /// A part of the data that this operator makes.
    Part(usize),
    /// The task with this record.
    Task(u32),
    /// A source, and what it accesses.
    Source(Vec<SlotAccess>),
    /// Any other operator: it works where its batches are.
    Other,
}

/// How far the search for a home has come. `Open` means that the operator stands in the current path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    New,
    Open,
    Done,
}

/// Finds the homes of all operators.
struct Finder<'a> {
    draft: &'a Draft<'a>,
    machine: &'a Topology,
    kinds: Vec<Kind>,
    told: Vec<Option<Told>>,
    searches: Vec<Search>,
    list: Vec<HomeAndWhy>,
    defects: Vec<(usize, String)>,
}

impl<'a> Finder<'a> {
    fn new(draft: &'a Draft<'_>, machine: &'a Topology, memory: &[(usize, Vec<Option<usize>>)]) -> Self {
        let count = draft.names.len();
        let mut finder = Self {
            draft,
            machine,
            kinds: vec![Kind::Other; count],
            told: vec![None; count],
            searches: vec![Search::New; count],
            list: vec![HomeAndWhy::default(); count],
            defects: Vec::new(),
        };
        draft.slots.ops().for_each(|op| finder.kinds[op] = Kind::Data);
        for cut in &draft.cuts {
            let whole = draft.slots.op(cut.whole);
            let parts = cut.parts.clone().map(|part| draft.slots.op(SlotId::new(part)));
            parts.for_each(|part| finder.kinds[part] = Kind::Part(whole));
        }
        (0..)
            .zip(draft.task_ops.iter().flatten())
            .for_each(|(record, op)| finder.kinds[op as usize] = Kind::Task(record));
        for stage in draft.stages.iter().filter(|stage| stage.source.is_some()) {
            finder.kinds[stage.ops[0].0] = Kind::Source(Vec::new());
        }
        for (who, own) in draft.accesses.in_order() {
            if let Who::Stage { op, .. } = who
                && let Kind::Source(all) = &mut finder.kinds[op as usize]
            {
                all.extend_from_slice(own);
            }
        }
        for (op, nodes) in memory {
            let node = nodes[0].filter(|first| nodes.iter().all(|node| *node == Some(*first)));
            finder.list[*op] = HomeAndWhy { node, why: Why::Memory };
        }
        draft.names.places().into_iter().for_each(|(op, told)| finder.told[op] = Some(told));
        finder
    }

    /// Finds the home of an operator, after the homes that it depends on. The path is a list, not a recursion, because
    /// it may be long.
    fn find(&mut self, first: usize) {
        let mut path = Vec::new();
        let mut next = (self.searches[first] == Search::New).then_some(first);
        loop {
            if let Some(op) = next {
                self.searches[op] = Search::Open;
                path.push(op);
            }
            let Some(op) = path.last().copied() else { return };
            next = self.depends_on(op).find(|other| self.searches[*other] != Search::Done);
            match next {
                Some(other) if self.searches[other] == Search::Open => {
                    self.break_cycle(&mut path, other);
                    next = None;
                }
                Some(_) => {}
                None => {
                    self.list[op] = self.home(op);
                    self.searches[op] = Search::Done;
                    path.pop();
                }
            }
        }
    }

    fn is_data(&self, op: usize) -> bool {
        matches!(self.kinds[op], Kind::Data | Kind::Part(_))
    }

    /// The data that an operator is near: the user has said so, or it is a part of that data.
    fn near_what(&self, op: usize) -> Option<usize> {
        match (self.told[op], &self.kinds[op]) {
            (Some(Told::Near(other)), _) => Some(other),
            (None, Kind::Part(whole)) => Some(*whole),
            _ => None,
        }
    }

    /// The operators whose homes decide where this one is.
    fn depends_on(&self, op: usize) -> impl Iterator<Item = usize> {
        self.near_what(op).into_iter().chain(self.others(op).map(|(other, _)| other))
    }

    /// The data that an operator accesses, if the operator is a task or source without a place of its own: the
    /// operators that make the data, and the kinds of access.
    fn others(&self, op: usize) -> impl Iterator<Item = (usize, Mode)> {
        let own = match (&self.kinds[op], self.told[op]) {
            (Kind::Task(record), None) => self.draft.accesses.of(*record),
            (Kind::Source(own), None) => own,
            _ => &[],
        };
        own.iter().map(|access| (self.draft.slots.op(access.slot()), access.mode()))
    }

    /// Breaks a cycle: the last operator in the path depends on `again`, which stands in the path too. The last
    /// operator in the cycle that the user placed near another one loses that place, which is a defect. The search goes
    /// on from there.
    fn break_cycle(&mut self, path: &mut Vec<usize>, again: usize) {
        loop {
            let op = *path.last().expect("all else is made after what its home depends on");
            if matches!(self.told[op], Some(Told::Near(_))) {
                self.told[op] = Some(Told::Spread);
                return self.defect(op, "it is near data that is itself to be near it");
            }
            debug_assert_ne!(op, again, "something in the cycle was told to be near the next");
            self.searches[op] = Search::New;
            path.pop();
        }
    }

    fn home(&mut self, op: usize) -> HomeAndWhy {
        if let Some(other) = self.near_what(op) {
            return HomeAndWhy { node: self.near(op, self.list[other].node), why: Why::Near(other) };
        }
        match self.told[op] {
            Some(Told::Near(_)) => unreachable!("looked at before"),
            Some(Told::Node(node)) => HomeAndWhy { node: self.check(op, node), why: Why::Told },
            Some(Told::NearForeign) => {
                self.defect(op, "it is to be near data of another graph");
                HomeAndWhy::default()
            }
            Some(Told::Spread) => HomeAndWhy { node: None, why: Why::Spread },
            None if self.list[op].why == Why::Memory => {
                HomeAndWhy { node: self.near(op, self.list[op].node), why: Why::Memory }
            }
            None => {
                let known = |(other, mode): (usize, Mode)| self.list[other].node.map(|node| (node, other, mode));
                let written = self.others(op).filter(|(_, mode)| *mode == Mode::Write).find_map(known);
                match written.or_else(|| self.others(op).find_map(known)) {
                    Some((node, other, Mode::Write)) => {
                        HomeAndWhy { node: self.near(op, Some(node)), why: Why::Writes(other) }
                    }
                    Some((node, other, _)) => HomeAndWhy { node: self.near(op, Some(node)), why: Why::Accesses(other) },
                    None => HomeAndWhy::default(),
                }
            }
        }
    }

    /// The sources that have several homes, and the nodes of their equal parts.
    fn parts(&self, memory: Vec<(usize, Vec<Option<usize>>)>) -> Vec<(usize, Vec<Option<usize>>)> {
        let is = |op: usize, why| {
            matches!(self.kinds[op], Kind::Source(_)) && self.list[op] == HomeAndWhy { node: None, why }
        };
        let mut parts: Vec<_> = memory.into_iter().filter(|(op, _)| is(*op, Why::Memory)).collect();
        for node in parts.iter_mut().flat_map(|(_, nodes)| nodes) {
            *node = node.and_then(|node| with_cpus(self.machine, node));
        }
        let nodes = self.machine.numa_nodes().iter().filter(|node| !node.cpus().is_empty());
        let nodes: Vec<_> = nodes.map(|node| Some(node.id())).collect();
        parts.extend((0..self.list.len()).filter(|op| is(*op, Why::Spread)).map(|op| (op, nodes.clone())));
        parts.sort_by_key(|(op, _)| *op);
        parts
    }

    /// The node that the user named for an operator, if the operator can be there; otherwise notes a defect.
    fn check(&mut self, op: usize, node: usize) -> Option<usize> {
        let nodes = self.machine.numa_nodes();
        let numbers = |nodes: &mut dyn Iterator<Item = &NumaNode>| nodes.map(NumaNode::id).collect::<CpuSet>();
        match self.machine.numa_node(node) {
            None => {
                let there = numbers(&mut nodes.iter());
                self.defect(op, format!("it is to be on node {node}, which is none that this machine has: {there}"));
                None
            }
            Some(found) if found.cpus().is_empty() && !self.is_data(op) => {
                let with = numbers(&mut nodes.iter().filter(|node| !node.cpus().is_empty()));
                self.defect(
                    op,
                    format!("it is to run on node {node}, which has no CPU it may use; these have: {with}"),
                );
                None
            }
            Some(_) => Some(node),
        }
    }

    /// The home of an operator whose data is on `node`. A task or source goes to the nearest node with CPUs.
    fn near(&self, op: usize, node: Option<usize>) -> Option<usize> {
        if self.is_data(op) { node } else { with_cpus(self.machine, node?) }
    }

    fn defect(&mut self, op: usize, what: impl fmt::Display) {
        self.defects.push((op, what.to_string()));
    }
}

/// The node itself if it has CPUs that may be used, else the nearest one that has.
fn with_cpus(machine: &Topology, node: usize) -> Option<usize> {
    let node = machine.numa_node(node)?;
    if !node.cpus().is_empty() {
        return Some(node.id());
    }
    let others = machine.numa_nodes().iter().filter(|other| !other.cpus().is_empty());
    let near = others.filter_map(|other| Some((node.distance(other.id())?, other.id())));
    near.min().map(|(_, id)| id)
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::{LEAST, MemoryRange, PART, PARTS, nodes_of};

    /// A range of memory that is never read.
    fn range(start: usize, bytes: usize) -> MemoryRange {
        MemoryRange { start: std::ptr::without_provenance(start), bytes }
    }

    /// Says that each stretch of `bytes` bytes lies on the next of three nodes.
    fn dealt(bytes: usize) -> impl Fn(MemoryRange) -> Option<usize> {
        move |range| Some(range.start.addr() / bytes % 3)
    }

    #[test]
    fn small_memory_is_not_asked_about() {
        assert_eq!(nodes_of(&[range(0, LEAST - 1)], |_| panic!("asked")), []);
        assert_eq!(nodes_of(&[], |_| panic!("asked")), []);
        assert_eq!(nodes_of(&[range(0, LEAST)], |_| Some(1)), [Some(1)]);
        assert_eq!(nodes_of(&[range(0, 5 * PART)], |_| None), [], "nothing is known");
    }

    #[test]
    fn parts_are_asked_about_one_by_one() {
        let nodes = nodes_of(&[range(0, 6 * PART)], dealt(2 * PART));
        assert_eq!(nodes, [0, 0, 1, 1, 2, 2].map(Some));
        assert_eq!(nodes_of(&[range(0, 3 * PARTS * PART)], dealt(PART)).len(), PARTS, "so many at most");
    }

    #[test]
    fn what_is_asked_about_lies_in_one_piece() {
        let ranges: Vec<MemoryRange> =
            (0..100).map(|n| range(n << 32, if n % 7 == 0 { 0 } else { n * PART / 40 })).collect();
        let bytes: usize = ranges.iter().map(|range| range.bytes).sum();
        let inside = |asked: MemoryRange| {
            let range = ranges[asked.start.addr() >> 32];
            assert!(
                asked.bytes > 0 && asked.start.addr() - range.start.addr() + asked.bytes <= range.bytes,
                "{asked:?}"
            );
            Some(asked.start.addr() >> 32)
        };
        let nodes = nodes_of(&ranges, inside);
        assert_eq!(nodes.len(), bytes.div_ceil(PART));
        assert!(nodes.is_sorted() && nodes.last() == Some(&Some(99)), "{nodes:?}");
    }
}
