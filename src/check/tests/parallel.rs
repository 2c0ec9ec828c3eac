//! What a program means as a graph: every item is counted, and any closure may be made to fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use super::program::{Cut, Meaning, Op, Sink, SourceKind, Step, TaskKind, walk};
use super::sequential::{better, copies, key, mix, source_item};
use crate::check::work;
use crate::{Data, Graph, NumaNode, Place, Plan, Pool, Stream, Table};

/// What a graph borrows, and what goes wrong in it.
#[derive(Debug)]
pub(super) struct Env {
    live: AtomicI64,
    armed: AtomicBool,
    operator: AtomicUsize,
    value: AtomicI64,
    /// Whether the trap is an error, not a panic, where it may be.
    error: AtomicBool,
    numbers: Vec<i64>,
    text: Vec<u8>,
    /// The NUMA nodes of the pool's machine.
    nodes: Vec<usize>,
}

impl Env {
    pub(super) fn new(pool: &Pool) -> Self {
        let numbers: Vec<i64> = (0..64).map(source_item).collect();
        let text = numbers.iter().flat_map(|number| format!("{number};").into_bytes()).collect();
        Self {
            live: AtomicI64::new(0),
            armed: AtomicBool::new(false),
            operator: AtomicUsize::new(0),
            value: AtomicI64::new(0),
            error: AtomicBool::new(false),
            numbers,
            text,
            nodes: pool.topology().numa_nodes().iter().map(NumaNode::id).collect(),
        }
    }

    /// From now on `operator` fails on items with this value.
    pub(super) fn arm(&self, operator: usize, value: i64, error: bool) {
        self.operator.store(operator, Ordering::Relaxed);
        self.value.store(value, Ordering::Relaxed);
        self.error.store(error, Ordering::Relaxed);
        self.armed.store(true, Ordering::Relaxed);
    }

    pub(super) fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// Items that are in memory somewhere.
    pub(super) fn live(&self) -> i64 {
        self.live.load(Ordering::Relaxed)
    }

    fn is_trap(&self, operator: usize, value: i64) -> bool {
        self.armed.load(Ordering::Relaxed)
            && self.operator.load(Ordering::Relaxed) == operator
            && self.value.load(Ordering::Relaxed) == value
    }

    /// The operator's user code at work on an item.
    fn step(&self, operator: usize, value: i64) {
        if value % 4 == 0 {
            work(1);
        }
        assert!(!self.is_trap(operator, value), "trap");
    }

    fn item(&self, value: i64) -> Item<'_> {
        self.live.fetch_add(1, Ordering::Relaxed);
        Item { value: Box::new(value), live: &self.live }
    }
}

/// A number on the heap, counted.
#[derive(Debug)]
pub(super) struct Item<'env> {
    value: Box<i64>,
    live: &'env AtomicI64,
}

impl Item<'_> {
    fn with(mut self, value: i64) -> Self {
        *self.value = value;
        self
    }
}

impl Clone for Item<'_> {
    fn clone(&self) -> Self {
        self.live.fetch_add(1, Ordering::Relaxed);
        Self { value: self.value.clone(), live: self.live }
    }
}

impl Drop for Item<'_> {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
impl Eq for Item<'_> {}
impl PartialOrd for Item<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Item<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.value.cmp(&other.value)
    }
}

/// The answers of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) ints: Vec<i64>,
    /// Sorted if they came in no particular order.
    pub(super) lists: Vec<Vec<i64>>,
    pub(super) tables: Vec<BTreeMap<i64, u64>>,
}

/// A program as a graph, with the handles of its answers.
pub(super) struct Parallel<'env> {
    graph: Graph<'env>,
    env: &'env Env,
    /// Whether it has sources that one run uses up.
    once: bool,
    handles: Handles<'env>,
}

/// Where the answers of a program will be.
#[derive(Debug, Default)]
pub(super) struct Handles<'env> {
    ints: Vec<Data<i64>>,
    lists: Vec<(Data<Vec<Item<'env>>>, bool)>,
    tables: Vec<Data<Table<i64, u64>>>,
    cells: Vec<(Data<i64>, i64)>,
    /// What sinks without a result have done.
    effects: Vec<Arc<AtomicI64>>,
}

impl<'env> Parallel<'env> {
    /// Builds the graph of a program.
    pub(super) fn build(program: &[Step], env: &'env Env, once: bool) -> (Graph<'env>, Handles<'env>) {
        let mut parallel = Self { graph: Graph::new(), env, once, handles: Handles::default() };
        walk(program, &mut parallel);
        (parallel.graph, parallel.handles)
    }
}

impl<'env> Handles<'env> {
    /// Sets the data that the user gives as it was at first.
    pub(super) fn set_cells(&self, plan: &mut Plan<'_>) {
        for (cell, value) in &self.cells {
            plan.set(cell, *value);
        }
        self.effects.iter().for_each(|effect| effect.store(0, Ordering::Relaxed));
    }

    /// The answers, if all are there.
    pub(super) fn try_answers(&self, plan: &Plan<'_>) -> Option<Answers> {
        let ints = self.ints.iter().all(|int| plan.try_get(int).is_some());
        let lists = self.lists.iter().all(|(list, _)| plan.try_get(list).is_some());
        let tables = self.tables.iter().all(|table| plan.try_get(table).is_some());
        (ints && lists && tables).then(|| self.answers(plan))
    }

    pub(super) fn answers(&self, plan: &Plan<'_>) -> Answers {
        let list = |(list, ordered): &(Data<Vec<Item<'env>>>, bool)| {
            let mut items: Vec<i64> = plan.get(list).iter().map(|item| *item.value).collect();
            if !ordered {
                items.sort_unstable();
            }
            items
        };
        Answers {
            ints: self.ints.iter().map(|int| *plan.get(int)).collect(),
            lists: self.lists.iter().map(list).collect(),
            tables: self.tables.iter().map(|table| plan.get(table).iter().map(|(k, n)| (*k, *n)).collect()).collect(),
        }
    }
}

type Items<'env> = Stream<'env, Item<'env>>;

/// What an operator is called.
pub(super) fn name(id: usize) -> String {
    format!("op{id}")
}

impl<'env> Parallel<'env> {
    fn keep(&mut self, int: Data<i64>) -> Data<i64> {
        self.handles.ints.push(int.clone());
        int
    }

    /// What the number of a place means.
    fn place<'a>(&self, place: u8, near: Option<&'a Data<i64>>) -> Option<Place<'a>> {
        match place % 4 {
            0 => None,
            1 => Some(Place::Spread),
            2 => Some(Place::Node(self.env.nodes[usize::from(place / 4) % self.env.nodes.len()])),
            _ => near.map(|near| Place::Near(near)),
        }
    }

    fn or_none(&self, best: &Data<Option<Item<'env>>>) -> Data<i64> {
        self.graph.task(best.read(), |best| best.as_ref().map_or(-1, |best| *best.value))
    }

    fn effect(&mut self, stream: Items<'env>, id: usize, ordered: bool) -> Data<i64> {
        let env = self.env;
        let sum = Arc::new(AtomicI64::new(0));
        self.handles.effects.push(Arc::clone(&sum));
        let into = Arc::clone(&sum);
        let add = move |item: Item<'_>, sum: fn(i64, i64) -> i64| {
            env.step(id, *item.value);
            let _ = into.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| Some(sum(known, *item.value)));
        };
        let done = match ordered {
            true => stream.for_each_ordered(move |item| add(item, mix)),
            false => stream.for_each(move |item| add(item, i64::wrapping_add)),
        };
        let done = done.named(&name(id));
        self.graph.task(done.read(), move |()| sum.load(Ordering::Relaxed))
    }
}

impl<'env> Meaning for Parallel<'env> {
    type Stream = Items<'env>;
    type Int = Data<i64>;
    type List = Data<Vec<Item<'env>>>;

    fn source(&mut self, id: usize, kind: SourceKind, len: u64, cut: Cut) -> Items<'env> {
        let (g, env) = (&self.graph, self.env);
        let make = move || {
            (0..len).map(move |index| {
                env.step(id, source_item(index));
                env.item(source_item(index))
            })
        };
        let count = usize::try_from(len).expect("small");
        let bytes = env.text.iter().enumerate().filter(|(_, byte)| **byte == b';').map(|(place, _)| place + 1);
        let bytes = std::iter::once(0).chain(bytes).nth(count).expect("long enough");
        let number = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a number");
        let stream = match kind {
            SourceKind::Iterator if self.once => g.source(make()).boxed(),
            SourceKind::Iterator | SourceKind::Made => g.source_fn(make).boxed(),
            SourceKind::Range => g.range(0..len).map(move |index| env.item(source_item(index))).boxed(),
            SourceKind::Slice => g.slice(&env.numbers[..count]).map(move |number| env.item(*number)).boxed(),
            SourceKind::Split => g.split(&env.text[..bytes], b';').map(move |text| env.item(number(text))).boxed(),
            SourceKind::Vector => {
                let items: Vec<Item<'env>> = (0..len).map(|index| env.item(source_item(index))).collect();
                match self.once {
                    true => g.vec(items).boxed(),
                    false => g.items(&g.data(items)).boxed(),
                }
            }
        };
        let stream =
            if matches!(kind, SourceKind::Iterator | SourceKind::Made) { stream.named(&name(id)) } else { stream };
        let stream = match cut.batch {
            Some(items) if kind == SourceKind::Split => stream.batch_size(3 * items), // bytes
            Some(items) => stream.batch_size(items),
            None => stream,
        };
        let stream = match cut.credits {
            Some(credits) => stream.credits(credits),
            None => stream,
        };
        match self.place(cut.place, self.handles.ints.last()) {
            Some(place) => stream.place(place),
            None => stream,
        }
    }

    fn apply(&mut self, stream: Items<'env>, id: usize, op: Op, k: i64) -> Items<'env> {
        let env = self.env;
        let mixed = move |item: Item<'env>| {
            env.step(id, *item.value);
            let value = mix(*item.value, k);
            item.with(value)
        };
        let wanted = move |item: &Item<'env>| {
            env.step(id, *item.value);
            item.value.rem_euclid(k) != 0
        };
        let spread = move |item: Item<'env>| {
            env.step(id, *item.value);
            (0..copies(*item.value)).map(move |copy| env.item(mix(*item.value, copy)))
        };
        let name = &name(id);
        match op {
            Op::Map => stream.map(mixed).named(name).boxed(),
            Op::Filter => stream.filter(wanted).named(name).boxed(),
            Op::FilterMap => stream
                .filter_map(move |item| {
                    let value = mix(*item.value, k);
                    wanted(&item).then(|| item.with(value))
                })
                .named(name)
                .boxed(),
            Op::FlatMap => stream.flat_map(spread).named(name).boxed(),
            Op::FlatMapInto => stream.flat_map_into(move |item, out| spread(item).for_each(out)).named(name).boxed(),
            Op::Inspect => stream.inspect(move |item| env.step(id, *item.value)).named(name).boxed(),
            Op::TryMap => stream
                .try_map(move |item| {
                    if env.error.load(Ordering::Relaxed) && env.is_trap(id, *item.value) {
                        return Err("trap");
                    }
                    Ok(mixed(item))
                })
                .named(name)
                .boxed(),
            Op::Scan | Op::ScanSome => stream
                .scan(k, move |state, item| {
                    env.step(id, *item.value);
                    *state = mix(*state, *item.value);
                    (op == Op::Scan || state.rem_euclid(8) != 0).then(|| item.with(*state))
                })
                .named(name)
                .boxed(),
        }
    }

    fn tee(&mut self, stream: Items<'env>) -> (Items<'env>, Items<'env>) {
        let (left, right) = stream.tee();
        (left.boxed(), right.boxed())
    }

    fn partition(&mut self, stream: Items<'env>, id: usize, k: i64) -> (Items<'env>, Items<'env>) {
        let env = self.env;
        let (left, right) = stream.partition(move |item| {
            env.step(id, *item.value);
            item.value.rem_euclid(k) == 0
        });
        (left.boxed(), right.boxed())
    }

    fn zip(&mut self, left: Items<'env>, right: Items<'env>) -> Items<'env> {
        let pair = |(a, b): (Item<'env>, Item<'env>)| {
            let value = mix(*a.value, *b.value);
            a.with(value)
        };
        left.zip(right).map(pair).boxed()
    }

    fn chain(&mut self, first: Items<'env>, second: Items<'env>) -> Items<'env> {
        first.chain(second.spooled()).boxed()
    }

    fn merge(&mut self, left: Items<'env>, right: Items<'env>) -> Items<'env> {
        left.merge(right).boxed()
    }

    fn unordered(&mut self, stream: Items<'env>) -> Items<'env> {
        stream.unordered().boxed()
    }

    fn sink(&mut self, stream: Items<'env>, id: usize, sink: Sink) -> Data<i64> {
        let env = self.env;
        let value = move |item: &Item<'_>| {
            env.step(id, *item.value);
            *item.value
        };
        let called = &name(id);
        let int = match sink {
            Sink::Collect | Sink::CountKeys => unreachable!("walked apart"),
            Sink::ForEach => self.effect(stream, id, false),
            Sink::ForEachOrdered => self.effect(stream, id, true),
            Sink::Fold => stream.fold(0, move |sum, item| mix(sum, value(&item))).named(called),
            Sink::Accumulate => stream.accumulate(0, move |sum, item| *sum = mix(*sum, value(&item))).named(called),
            Sink::Aggregate => {
                let fold = move |(sum, power): (i64, i64), item| (mix(sum, value(&item)), power.wrapping_mul(31));
                let combine =
                    |(a, p): (i64, i64), (b, q): (i64, i64)| (a.wrapping_mul(q).wrapping_add(b), p.wrapping_mul(q));
                let sum = stream.aggregate((0, 1), fold, combine).named(called);
                self.graph.task(sum.read(), |(sum, _)| *sum)
            }
            Sink::Sum => {
                let sum = stream.map(move |item| std::num::Wrapping(value(&item))).named(called).sum();
                self.graph.task(sum.read(), |sum: &std::num::Wrapping<i64>| sum.0)
            }
            Sink::Reduce => {
                let best = stream.inspect(move |item| _ = value(item)).named(called);
                let best = best.reduce(|a, b| if better(*a.value, *b.value) { b } else { a });
                self.or_none(&best)
            }
            Sink::Count => {
                let count = stream.inspect(move |item| _ = value(item)).named(called).count();
                self.graph.task(count.read(), |count| i64::try_from(*count).expect("small"))
            }
            Sink::Min => self.or_none(&stream.inspect(move |item| _ = value(item)).named(called).min()),
            Sink::Max => self.or_none(&stream.inspect(move |item| _ = value(item)).named(called).max()),
        };
        self.keep(int)
    }

    fn collect(&mut self, stream: Items<'env>, ordered: bool) -> Data<Vec<Item<'env>>> {
        let list = stream.collect();
        self.handles.lists.push((list.clone(), ordered));
        list
    }

    fn count_keys(&mut self, stream: Items<'env>, id: usize) {
        let env = self.env;
        let keyed = stream.map(move |item| {
            env.step(id, *item.value);
            key(*item.value)
        });
        self.handles.tables.push(keyed.named(&name(id)).key_by(|key| *key).count());
    }

    fn cell(&mut self, value: i64, place: u8) -> Data<i64> {
        let cell = self.graph.data(value);
        if let Some(place) = self.place(place, self.handles.ints.last()) {
            cell.clone().place(place);
        }
        self.handles.cells.push((cell.clone(), value));
        cell
    }

    fn task(&mut self, id: usize, kind: TaskKind, a: &Data<i64>, b: &Data<i64>, place: u8) -> Data<i64> {
        let env = self.env;
        let g = &self.graph;
        let result = match kind {
            TaskKind::Write => g.task(b.write(), move |b| {
                env.step(id, 0);
                *b = mix(*b, *b);
                *b
            }),
            TaskKind::ReadWrite => g.task((a.read(), b.write()), move |(a, b)| {
                env.step(id, 0);
                *b = mix(*b, *a);
                *b
            }),
            TaskKind::ReadRead => g.task((a.read(), b.read()), move |(a, b)| {
                env.step(id, 0);
                mix(*a, *b)
            }),
            TaskKind::After => g
                .task((), move |()| {
                    env.step(id, 0);
                    i64::try_from(id).expect("small")
                })
                .after(a),
        };
        let result = result.named(&name(id));
        if let Some(place) = self.place(place, Some(a)) {
            result.clone().place(place);
        }
        self.keep(result)
    }

    fn with_data(&mut self, stream: Items<'env>, id: usize, data: &Data<i64>) -> Items<'env> {
        let env = self.env;
        let with = move |data: &i64, item: Item<'env>| {
            env.step(id, *item.value);
            let value = mix(*item.value, *data);
            item.with(value)
        };
        stream.spooled().map_with(data, with).named(&name(id)).boxed()
    }

    fn items(&mut self, list: &Data<Vec<Item<'env>>>) -> Items<'env> {
        self.graph.items(list).boxed()
    }
}
