//! A program as a graph: each step notes that it runs, and may fail.

use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::mix;
use super::program::{CUTS, Does, GIVEN, Home, ITEMS, Item, Program, Step, TILINGS, WHOLE, is_enough, place_of_tile};
use super::sequential::Trap;
use super::values::{Account, Listed, Value, read_all, write_all};
use crate::check::work;
use crate::{Data, Graph, Grouping, Part, Place, Plan, Pool, Tile, Tiles, reads};

/// What the steps of a program share with the test.
pub(super) struct Env {
    pub(super) account: Account,
    steps: Vec<StepState>,
}

/// What is known of a step.
#[derive(Default)]
struct StepState {
    /// How often it ran.
    ran: AtomicU32,
    /// When it is to fail: twice that time of a run, plus one if late; 0: never.
    trap: AtomicU32,
    has_failed: AtomicBool,
}

impl Env {
    pub(super) fn new(steps: usize) -> Self {
        Self { account: Account::default(), steps: (0..steps).map(|_| StepState::default()).collect() }
    }

    /// Lays these traps, and forgets what ran.
    pub(super) fn lay(&self, traps: &[Option<Trap>]) {
        for (step, trap) in self.steps.iter().zip(traps) {
            let trap = trap.map_or(0, |trap| 2 * trap.time + u32::from(trap.is_late));
            step.trap.store(trap, Ordering::Relaxed);
            step.ran.store(0, Ordering::Relaxed);
            step.has_failed.store(false, Ordering::Relaxed);
        }
    }

    /// How often each step ran.
    pub(super) fn ran(&self) -> Vec<u32> {
        self.steps.iter().map(|step| step.ran.load(Ordering::Relaxed)).collect()
    }

    pub(super) fn has_failed(&self, step: usize) -> bool {
        self.steps[step].has_failed.load(Ordering::Relaxed)
    }
}

/// What the closure of a step has.
struct Body<'env> {
    env: &'env Env,
    number: usize,
    rounds: u64,
    /// The closure itself is dropped once, too.
    _own: Listed<'env>,
}

impl<'env> Body<'env> {
    fn new(env: &'env Env, step: &Step) -> Self {
        Self { env, number: step.number, rounds: step.rounds, _own: Listed::new(&env.account) }
    }

    fn value(&self, value: u64) -> Value<'env> {
        Value::new(&self.env.account, value)
    }

    /// What reads, writes and takes values is told by whom, and for how many rounds.
    fn by(&self) -> u32 {
        u32::try_from(self.number).expect("small")
    }

    /// The step runs. Returns which time it is.
    fn begin(&self) -> u32 {
        let step = &self.env.steps[self.number];
        let time = step.ran.fetch_add(1, Ordering::Relaxed) + 1;
        self.fail_at(2 * time);
        time
    }

    fn fail_at(&self, moment: u32) {
        let step = &self.env.steps[self.number];
        if step.trap.load(Ordering::Relaxed) == moment {
            step.has_failed.store(true, Ordering::Relaxed);
            panic_any("trap");
        }
    }

    /// The step runs, and does this; it is told its number and its rounds.
    fn run(&self, does: impl FnOnce(u32, u64) -> u64) -> Value<'env> {
        let time = self.begin();
        let made = does(self.by(), self.rounds);
        self.fail_at(2 * time + 1);
        self.value(made)
    }

    /// What a stream makes of an item, of which the first one of all is 0.
    fn item(&self, value: &Value<'_>, item: u64) -> u64 {
        if item == 0 {
            self.begin(); // once for the whole stream
        }
        value.read(self.by(), self.rounds) ^ (item % ITEMS)
    }
}

/// What a step makes.
enum Made<'env> {
    Value(Data<Value<'env>>),
    Unit(Data<()>),
}

impl<'env> Made<'env> {
    fn value(&self) -> &Data<Value<'env>> {
        match self {
            Self::Value(value) => value,
            Self::Unit(_) => unreachable!("a settled program knows what has a value"),
        }
    }

    fn unit(&self) -> &Data<()> {
        match self {
            Self::Unit(unit) => unit,
            Self::Value(_) => unreachable!("a settled program knows what has a value"),
        }
    }
}

/// A program that is planned.
pub(super) struct Parallel<'env> {
    pub(super) plan: Plan<'env>,
    env: &'env Env,
    data: Vec<Data<Value<'env>>>,
    whole: Data<Vec<Value<'env>>>,
    made: Vec<Made<'env>>,
}

fn values<'a>(env: &'a Env, values: &[u64]) -> Vec<Value<'a>> {
    values.iter().map(|value| Value::new(&env.account, *value)).collect()
}

impl<'env> Parallel<'env> {
    pub(super) fn new(pool: &Pool, program: &'env Program, env: &'env Env, grouping: Grouping) -> Self {
        let g = Graph::new();
        g.grouping(grouping);
        let nodes: Vec<usize> =
            pool.topology().numa_nodes().iter().filter(|node| !node.cpus().is_empty()).map(|node| node.id()).collect();
        let mut homes = program.homes.iter();
        let mut data: Vec<Data<Value<'env>>> = Vec::new();
        for value in 0..GIVEN as u64 {
            let given = g.data(Value::new(&env.account, value)).named(&format!("data {value}"));
            let place = homes.next().and_then(|home| place(home, &nodes, &data));
            let given = place.map_or(given.clone(), |place| given.place(place));
            data.push(given);
        }
        let whole = g.data(values(env, &(0..WHOLE as u64).collect::<Vec<_>>())).named("whole");
        if let Some(place) = homes.next().and_then(|home| place(home, &nodes, &data)) {
            whole.clone().place(place);
        }
        let parts = CUTS.map(|len| {
            let parts = g.chunks(&whole, len).into_iter();
            parts
                .map(|part| match homes.next().and_then(|home| place(home, &nodes, &data)) {
                    Some(place) => part.place(place),
                    None => part,
                })
                .collect()
        });
        let tilings = TILINGS.map(|(width, tile)| {
            let tiles = g.tiles(&whole, width, tile);
            for tile in &tiles {
                if let Some(place) = homes.next().and_then(|home| place(home, &nodes, &data)) {
                    tile.clone().place(place);
                }
            }
            tiles
        });
        let mut builder = Builder { env, nodes, data, whole, parts, tilings, made: Vec::new() };
        builder.add(&g, &program.items);
        let plan = g.plan(pool).expect("a sound graph");
        let Builder { data, whole, made, .. } = builder;
        Self { plan, env, data, whole, made }
    }

    /// The given data, as far as it is there.
    pub(super) fn data(&self) -> (Vec<Option<u64>>, Option<Vec<u64>>) {
        let data = self.data.iter().map(|data| self.plan.try_get(data).map(|value| value.value));
        let whole = self.plan.try_get(&self.whole).map(|whole| whole.iter().map(|value| value.value).collect());
        (data.collect(), whole)
    }

    /// What each step has made, as far as it is there; of one that makes no value, 0.
    pub(super) fn made(&self) -> Vec<Option<u64>> {
        let made = self.made.iter().map(|made| match made {
            Made::Value(made) => self.plan.try_get(made).map(|value| value.value),
            Made::Unit(made) => self.plan.try_get(made).map(|()| 0),
        });
        made.collect()
    }

    /// How many values the plan has now.
    pub(super) fn values(&self) -> usize {
        let made = self.made.iter().filter(|made| match made {
            Made::Value(made) => self.plan.try_get(made).is_some(),
            Made::Unit(_) => false,
        });
        let (data, whole) = self.data();
        made.count() + data.iter().flatten().count() + whole.map_or(0, |whole| whole.len())
    }

    /// Sets given data; by its name.
    pub(super) fn set(&mut self, name: &str, seed: u64) {
        match name.strip_prefix("data ") {
            Some(number) => {
                let data = &self.data[number.parse::<usize>().expect("a number")];
                self.plan.set(data, Value::new(&self.env.account, seed));
            }
            None => {
                let whole: Vec<u64> = (0..WHOLE as u64).map(|value| value ^ seed).collect();
                self.plan.set(&self.whole, values(self.env, &whole));
            }
        }
    }
}

/// What a home means. Data that is near other data is given after that.
fn place<'a>(home: &Home, nodes: &[usize], data: &'a [Data<Value<'_>>]) -> Option<Place<'a>> {
    match home {
        Home::Unsaid => None,
        Home::Spread => Some(Place::Spread),
        Home::Node(number) => Some(Place::Node(nodes[number % nodes.len()])),
        Home::Near(number) => data.get(*number).map(|data| Place::Near(data)),
    }
}

/// A program on its way into a graph.
struct Builder<'env> {
    env: &'env Env,
    nodes: Vec<usize>,
    data: Vec<Data<Value<'env>>>,
    whole: Data<Vec<Value<'env>>>,
    parts: [Vec<Part<Value<'env>>>; 2],
    tilings: [Tiles<Value<'env>>; 2],
    made: Vec<Made<'env>>,
}

impl<'env> Builder<'env> {
    fn part(&self, way: usize, number: usize) -> &Part<Value<'env>> {
        &self.parts[way][number % self.parts[way].len()]
    }

    fn tile(&self, way: usize, number: usize) -> &Tile<Value<'env>> {
        let (row, column) = place_of_tile(way, number);
        self.tilings[way].at(row, column)
    }

    fn add(&mut self, g: &Graph<'env>, items: &'env [Item]) {
        for item in items {
            match item {
                Item::Step(step) => self.step(g, step),
                Item::Repeat(times, items) => _ = g.repeat(*times, |g| self.add(g, items)),
                Item::Until(data, most, items) => {
                    let data = self.data[*data].clone();
                    g.repeat_until(&data, |data| is_enough(data.value), |g| self.add(g, items)).at_most(*most);
                }
                Item::When(data, items) => {
                    let data = self.data[*data].clone();
                    g.when(&data, |data| data.value.is_multiple_of(2), |g| self.add(g, items));
                }
            }
        }
    }

    fn step(&mut self, g: &Graph<'env>, step: &'env Step) {
        let made = match step.does {
            Does::Unit => Made::Unit(self.settled(self.unit(g, step), step)),
            _ if step.does.is_stream() => Made::Value(self.stream(g, step).named(&name(step))),
            _ => Made::Value(self.settled(self.task(g, step), step)),
        };
        self.made.push(made);
    }

    /// Says where a step is at home, and when it is to come.
    fn settled<T>(&self, made: Data<T>, step: &Step) -> Data<T> {
        let made = made.named(&name(step)).priority(step.priority);
        let made = match step.after.map(|after| &self.made[after]) {
            Some(Made::Value(first)) => made.after(first),
            Some(Made::Unit(first)) => made.after(first),
            None => made,
        };
        match place(&step.home, &self.nodes, &self.data) {
            Some(place) => made.place(place),
            None => made,
        }
    }

    fn unit(&self, g: &Graph<'env>, step: &'env Step) -> Data<()> {
        let body = Body::new(self.env, step);
        g.task((), move |()| {
            body.run(|_, rounds| {
                work(rounds);
                0
            });
        })
    }

    fn task(&self, g: &Graph<'env>, step: &'env Step) -> Data<Value<'env>> {
        let body = Body::new(self.env, step);
        let id = step.number as u64;
        let made = |step: usize| self.made[step].value();
        match step.does {
            Does::Nothing => g.task((), move |()| {
                body.run(|_, rounds| {
                    work(rounds);
                    id
                })
            }),
            Does::Read(a) => g.task(self.data[a].read(), move |a| body.run(|by, rounds| mix(a.read(by, rounds), id))),
            Does::Write(a) => g.task(self.data[a].write(), move |a| {
                body.run(|by, rounds| a.write(by, rounds, |value| mix(value, id)))
            }),
            Does::ReadTwo(a, b) => g.task((self.data[a].read(), self.data[b].read()), move |(a, b)| {
                body.run(|by, rounds| mix(a.read(by, rounds), b.read(by, 0)))
            }),
            Does::ReadWrite(a, b) => g.task((self.data[a].read(), self.data[b].write()), move |(a, b)| {
                body.run(|by, rounds| {
                    let a = a.read(by, 0);
                    b.write(by, rounds, |value| mix(value, a))
                })
            }),
            Does::WriteTwo(a, b) => g.task((self.data[a].write(), self.data[b].write()), move |(a, b)| {
                body.run(|by, rounds| {
                    let a = a.write(by, rounds, |value| mix(value, id));
                    mix(a, b.write(by, 0, |value| mix(value, id)))
                })
            }),
            Does::Take(a) => {
                g.task(self.data[a].consume(), move |a| body.run(|by, rounds| mix(a.take(by, rounds), id)))
            }
            Does::TakeWrite(a, b) => g.task((self.data[a].consume(), self.data[b].write()), move |(a, b)| {
                body.run(|by, rounds| {
                    let a = a.take(by, 0);
                    b.write(by, rounds, |value| mix(value, a))
                })
            }),
            Does::Result(step) => {
                g.task(made(step).read(), move |made| body.run(|by, rounds| mix(made.read(by, rounds), id)))
            }
            Does::ResultWrite(step, b) => g.task((made(step).read(), self.data[b].write()), move |(made, b)| {
                body.run(|by, rounds| {
                    let made = made.read(by, 0);
                    b.write(by, rounds, |value| mix(value, made))
                })
            }),
            Does::WriteResult(step) => g.task(made(step).write(), move |made| {
                body.run(|by, rounds| made.write(by, rounds, |value| mix(value, id)))
            }),
            Does::TakeResult(step) => {
                g.task(made(step).consume(), move |made| body.run(|by, rounds| mix(made.take(by, rounds), id)))
            }
            Does::TakeResultWrite(step, b) => g.task((made(step).consume(), self.data[b].write()), move |(made, b)| {
                body.run(|by, rounds| {
                    let made = made.take(by, 0);
                    b.write(by, rounds, |value| mix(value, made))
                })
            }),
            Does::Results(ref steps) => {
                let several: Vec<Data<Value<'env>>> = steps.iter().map(|step| made(*step).clone()).collect();
                g.task(reads(&several), move |results| {
                    body.run(|by, rounds| results.iter().fold(id, |sum, result| mix(sum, result.read(by, rounds))))
                })
            }
            Does::ReadUnit(step) => g.task(self.made[step].unit().read(), move |()| body.run(|_, _| id)),
            Does::TakeUnit(step) => g.task(self.made[step].unit().consume(), move |()| body.run(|_, _| id)),
            Does::PartRead(way, number) => g.task(self.part(way, number).read(), move |values| {
                body.run(|by, rounds| read_all(values, by, rounds, id))
            }),
            Does::TileRead(way, number) => g.task(self.tile(way, number).read(), move |tile| {
                body.run(|by, rounds| read_all(tile.rows().flatten(), by, rounds, id))
            }),
            Does::TileWrite(way, number) => g.task(self.tile(way, number).write(), move |mut tile| {
                body.run(|by, rounds| write_all(tile.rows_mut().flatten(), by, rounds, id))
            }),
            Does::WholeRead => {
                g.task(self.whole.read(), move |values| body.run(|by, rounds| read_all(values, by, rounds, id)))
            }
            Does::PartWrite(way, number) => g.task(self.part(way, number).write(), move |values| {
                body.run(|by, rounds| write_all(values, by, rounds, id))
            }),
            Does::WholeWrite => {
                g.task(self.whole.write(), move |values| body.run(|by, rounds| write_all(values, by, rounds, id)))
            }
            Does::WholeTake => g.task(self.whole.consume(), move |values| {
                body.run(|by, _| values.into_iter().fold(id, |sum, value| mix(sum, value.take(by, 0))))
            }),
            Does::Unit | Does::Stream(_) | Does::StreamOfResult(_) | Does::Streams(..) => {
                unreachable!("other than a task")
            }
        }
    }

    fn stream(&self, g: &Graph<'env>, step: &'env Step) -> Data<Value<'env>> {
        let (body, result) = (|| Body::new(self.env, step), Body::new(self.env, step));
        let numbers = |from| {
            let numbers = g.range(from..from + ITEMS).batch_size(2);
            match place(&step.home, &self.nodes, &self.data) {
                Some(place) => numbers.place(place),
                None => numbers,
            }
        };
        let (init, add) = (
            move || result.value(result.number as u64),
            |mut sum: Value<'env>, read| {
                sum.value = mix(sum.value, read);
                sum
            },
        );
        match step.does {
            Does::Stream(a) => {
                let body = body();
                numbers(0).map_with(&self.data[a], move |a, item| body.item(a, item)).fold_with(init, add)
            }
            Does::StreamOfResult(made) => {
                let body = body();
                numbers(0)
                    .map_with(self.made[made].value(), move |made, item| body.item(made, item))
                    .fold_with(init, add)
            }
            Does::Streams(a, b) => {
                let (first, then) = (body(), body());
                let left = numbers(0).map_with(&self.data[a], move |a, item| first.item(a, item));
                let right = numbers(ITEMS).map_with(&self.data[b], move |b, item| then.item(b, item));
                left.chain(right).fold_with(init, add)
            }
            _ => unreachable!("no stream"),
        }
    }
}

fn name(step: &Step) -> String {
    format!("step {}", step.number)
}
