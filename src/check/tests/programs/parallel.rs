//! The meaning of a program as a graph: every item is counted, and any closure may be made to fail.

use super::items::{At, Env, Item, Items, mix, name};
use super::program::{Cut, Meaning, Step, TaskKind, walk, walk_to};
use super::table::{Answer, Fork, Gather, ITEMS, Made, Operator, Sink, Source, WITH_DATA};
use crate::{Data, Graph, Place, Plan};

/// The answers of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) ints: Vec<i64>,
    /// Sorted if they came in no particular order.
    pub(super) lists: Vec<Vec<i64>>,
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
#[derive(Debug)]
pub(super) struct Handles<'env> {
    env: &'env Env,
    ints: Vec<Data<i64>>,
    lists: Vec<(Data<Vec<Item<'env>>>, bool)>,
    cells: Vec<(Data<i64>, i64)>,
}

impl<'env> Parallel<'env> {
    /// Builds the graph of a program.
    pub(super) fn build(program: &[Step], env: &'env Env, once: bool) -> (Graph<'env>, Handles<'env>) {
        let mut parallel = Self {
            graph: Graph::new(),
            env,
            once,
            handles: Handles { env, ints: Vec::new(), lists: Vec::new(), cells: Vec::new() },
        };
        walk(program, &mut parallel);
        (parallel.graph, parallel.handles)
    }

    /// The same. What is left over goes to a sink that keeps nothing. Also returns the methods.
    pub(super) fn build_to(program: &[Step], env: &'env Env, last: &Sink) -> (Graph<'env>, Vec<&'static str>) {
        let handles = Handles { env, ints: Vec::new(), lists: Vec::new(), cells: Vec::new() };
        let mut parallel = Self { graph: Graph::new(), env, once: true, handles };
        let walked = walk_to(program, &mut parallel, last);
        (parallel.graph, walked.methods.into_iter().flat_map(|(_, methods)| methods.iter().copied()).collect())
    }
}

impl<'env> Handles<'env> {
    /// Sets the data that the user gives as it was at first.
    pub(super) fn set_cells(&self, plan: &mut Plan<'_>) {
        for (cell, value) in &self.cells {
            plan.set(cell, *value);
        }
        self.env.reset_effects();
    }

    /// The answers, if all are there.
    pub(super) fn try_answers(&self, plan: &Plan<'_>) -> Option<Answers> {
        let ints = self.ints.iter().all(|int| plan.try_get(int).is_some());
        let lists = self.lists.iter().all(|(list, _)| plan.try_get(list).is_some());
        (ints && lists).then(|| self.answers(plan))
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
        }
    }
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

    fn at(&self, id: usize, k: i64) -> At<'env> {
        At { env: self.env, id, k, once: self.once }
    }
}

impl<'env> Meaning for Parallel<'env> {
    type Stream = Items<'env>;
    type Int = Data<i64>;
    type List = Data<Vec<Item<'env>>>;

    fn source(&mut self, id: usize, row: &Source, len: usize, cut: Cut) -> Items<'env> {
        let stream = (row.graph)(&self.graph, self.at(id, 1), len);
        let stream = match cut.batch {
            Some(items) => stream.batch_size(row.bytes * items),
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

    fn apply(&mut self, stream: Items<'env>, id: usize, row: &Operator, k: i64) -> Items<'env> {
        (row.graph)(stream, self.at(id, k)).named(&name(id))
    }

    fn fork(&mut self, stream: Items<'env>, id: usize, row: &Fork, k: i64) -> (Items<'env>, Items<'env>) {
        (row.graph)(stream, self.at(id, k))
    }

    fn gather(&mut self, left: Items<'env>, right: Items<'env>, row: &Gather) -> Items<'env> {
        (row.graph)(left, right)
    }

    fn sink(&mut self, stream: Items<'env>, id: usize, row: &Sink, ordered: bool) -> Answer<'env> {
        let made = (row.graph)(&self.graph, stream, self.at(id, 1));
        match &made {
            Made::Int(int) => self.handles.ints.push(int.clone()),
            Made::List(list) => self.handles.lists.push((list.clone(), ordered)),
        }
        made
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
        (WITH_DATA.graph)(stream, self.at(id, 1), data).named(&name(id))
    }

    fn items(&mut self, list: &Data<Vec<Item<'env>>>) -> Items<'env> {
        (ITEMS.graph)(&self.graph, list)
    }
}
