//! Random programs of tasks over data, with loops, branches, and streams between them, against the same program run by a loop: on virtual and on real workers, with and
//! without tasks that panic, again and again.

use std::ops::Range;
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::silence_traps;
use crate::check::{once, work};
use crate::{Data, Graph, Grouping, Part, Plan, Pool, RunErrorKind, reads};

/// Data that notices if two tasks have it that must not.
#[derive(Debug)]
struct Watched {
    value: u64,
    readers: AtomicU32,
    is_written: AtomicBool,
}

impl Watched {
    fn new(value: u64) -> Self {
        Self { value, readers: AtomicU32::new(0), is_written: AtomicBool::new(false) }
    }

    fn read(&self, rounds: u64) -> u64 {
        self.readers.fetch_add(1, Ordering::SeqCst);
        assert!(!self.is_written.load(Ordering::SeqCst), "nobody writes what is read");
        work(rounds);
        assert!(!self.is_written.load(Ordering::SeqCst), "nobody writes what is read");
        self.readers.fetch_sub(1, Ordering::SeqCst);
        self.value
    }

    fn write(&mut self, rounds: u64, change: impl FnOnce(u64) -> u64) -> u64 {
        assert!(!self.is_written.swap(true, Ordering::SeqCst), "one task writes at a time");
        work(rounds);
        assert_eq!(self.readers.load(Ordering::SeqCst), 0, "nobody reads what is written");
        self.value = change(self.value);
        assert!(self.is_written.swap(false, Ordering::SeqCst));
        self.value
    }
}

/// What a task does with data, by the index of that; results of earlier tasks count from the end of the given ones.
#[derive(Clone, Debug)]
enum Does {
    Nothing,
    Read(usize),
    Write(usize),
    ReadTwo(usize, usize),
    ReadWrite(usize, usize),
    WriteTwo(usize, usize),
    Result(usize),
    ResultWrite(usize, usize),
    /// Reads several earlier results.
    Results(usize),
    /// Reads or writes the part with this number, in either way of cutting; or all.
    PartRead(usize, usize),
    PartWrite(usize, usize),
    WholeRead,
    WholeWrite,
    /// A stream that reads data, or an earlier result.
    Stream(usize),
    StreamOfResult(usize),
    /// A stream that reads one thing, and then one that reads another.
    Streams(usize, usize),
}

/// The earlier steps whose results step `i` reads, as far as it reads several.
fn several(far: usize, i: usize) -> Vec<usize> {
    if i == 0 { Vec::new() } else { (1..=far % 7).map(|n| i - 1 - far / n % i).collect() }
}

impl Does {
    fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::StreamOfResult(_) | Self::Streams(..))
    }
}

/// How many items are in the data that is cut, and how long the parts are.
const WHOLE: usize = 20;
const CUTS: [usize; 2] = [7, 5];

/// The items of a part.
fn part(way: usize, number: usize) -> Range<usize> {
    let len = CUTS[way];
    let start = number % WHOLE.div_ceil(len) * len;
    start..(start + len).min(WHOLE)
}

/// What a task makes of items that it reads, and of items that it writes.
fn read_all(items: &[Watched], rounds: u64, id: u64) -> u64 {
    items.iter().fold(id, |sum, item| mix(sum, item.read(rounds)))
}

fn write_all(items: &mut [Watched], rounds: u64, id: u64) -> u64 {
    items.iter_mut().fold(id, |sum, item| mix(sum, item.write(rounds, |value| mix(value, id))))
}

/// How many items a stream has.
const ITEMS: u64 = 5;

/// What a stream makes of what it reads.
fn streamed(sum: u64, read: u64) -> u64 {
    (0..ITEMS).fold(sum, |sum, item| mix(sum, read ^ item))
}

#[derive(Clone, Debug)]
struct Step {
    does: Does,
    rounds: u64,
    panics: bool,
}

/// A part of a program.
#[derive(Clone, Debug)]
enum Item {
    Step(Step),
    /// Goes through the items so many times.
    Repeat(u64, Vec<Item>),
    /// Goes through the items until this data is a multiple of three, but so many times at most.
    Until(usize, u64, Vec<Item>),
    /// Goes through the items if this data is even.
    When(usize, Vec<Item>),
}

impl Item {
    /// Calls `change` with all steps of some items, and whether they are in a block.
    fn each_step(items: &mut [Self], within: bool, change: &mut impl FnMut(&mut Step, bool)) {
        for item in items {
            match item {
                Self::Step(step) => change(step, within),
                Self::Repeat(_, items) | Self::Until(_, _, items) | Self::When(_, items) => {
                    Self::each_step(items, true, change);
                }
            }
        }
    }
}

fn is_enough(value: u64) -> bool {
    value.is_multiple_of(3)
}

fn mix(a: u64, b: u64) -> u64 {
    (a ^ b.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(b)
}

const GIVEN: usize = 6;

fn step() -> impl Strategy<Value = Step> {
    let data = 0..GIVEN;
    let pair = (data.clone(), data.clone()).prop_filter("two", |(a, b)| a != b);
    let far = 0..1000_usize;
    let does = prop_oneof![
        1 => Just(Does::Nothing),
        4 => data.clone().prop_map(Does::Read),
        3 => data.clone().prop_map(Does::Write),
        2 => pair.clone().prop_map(|(a, b)| Does::ReadTwo(a, b)),
        2 => pair.clone().prop_map(|(a, b)| Does::ReadWrite(a, b)),
        1 => pair.clone().prop_map(|(a, b)| Does::WriteTwo(a, b)),
        1 => data.clone().prop_map(Does::Stream),
        2 => far.clone().prop_map(Does::StreamOfResult),
        1 => pair.prop_map(|(a, b)| Does::Streams(a, b)),
        5 => far.clone().prop_map(Does::Result),
        2 => far.clone().prop_map(Does::Results),
        3 => (0..2_usize, 0..4_usize).prop_map(|(way, number)| Does::PartRead(way, number)),
        3 => (0..2_usize, 0..4_usize).prop_map(|(way, number)| Does::PartWrite(way, number)),
        1 => Just(Does::WholeRead),
        1 => Just(Does::WholeWrite),
        2 => (far, data).prop_map(|(a, b)| Does::ResultWrite(a, b)),
    ];
    let rounds = prop_oneof![6 => Just(0), 3 => 1..4_u64, 1 => 20..200_u64];
    (does, rounds, prop::bool::weighted(0.01)).prop_map(|(does, rounds, panics)| Step { does, rounds, panics })
}

/// Fewer than `count` items, some of them blocks. With a failure in them there are no streams, for their sources stop then,
/// and what waits for them does not fire.
fn items(count: usize) -> impl Strategy<Value = Vec<Item>> {
    let item = step().prop_map(Item::Step).prop_recursive(3, 40, 6, |inner| {
        let block = prop::collection::vec(inner.clone(), 0..6);
        let data = 0..GIVEN;
        prop_oneof![
            8 => inner,
            1 => (1..4_u64, block.clone()).prop_map(|(times, items)| Item::Repeat(times, items)),
            1 => (data.clone(), 1..4_u64, block.clone()).prop_map(|(data, most, items)| Item::Until(data, most, items)),
            1 => (data, block).prop_map(|(data, items)| Item::When(data, items)),
        ]
    });
    prop::collection::vec(item, 1..count).prop_map(|mut items| {
        let mut fails = false;
        Item::each_step(&mut items, false, &mut |step, _| fails |= step.panics);
        Item::each_step(&mut items, false, &mut |step, within| {
            if step.does.is_stream() && (fails || within) {
                step.does = Does::Nothing;
            }
        });
        items
    })
}

/// What a program leaves: the given data, and for each step its last result and how often it ran, up to the first step that
/// fails.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    data: Vec<u64>,
    cut: Vec<u64>,
    results: Vec<Option<u64>>,
    ran: Vec<u32>,
}

/// A program that is run by a loop.
struct Sequential {
    left: Left,
    failed: Option<usize>,
    /// The results that the next step may read.
    seen: Vec<u64>,
}

/// As [`write_all`].
fn change(items: &mut [u64], id: u64) -> u64 {
    items.iter_mut().fold(id, |sum, item| {
        *item = mix(*item, id);
        mix(sum, *item)
    })
}

/// Runs a program by a loop.
fn sequential(items: &[Item]) -> Sequential {
    let (data, cut) = ((0..GIVEN as u64).collect(), (0..WHOLE as u64).collect());
    let left = Left { data, cut, results: Vec::new(), ran: Vec::new() };
    let mut program = Sequential { left, failed: None, seen: Vec::new() };
    program.go_through(items, &mut 0, true);
    program
}

impl Sequential {
    /// Goes through some items, the first step of which has the number `number`. If they are not `wanted`, only the number
    /// goes on.
    fn go_through(&mut self, items: &[Item], number: &mut usize, wanted: bool) {
        for item in items {
            let wanted = wanted && self.failed.is_none();
            match item {
                Item::Step(step) => {
                    if self.left.results.len() <= *number {
                        self.left.results.resize(*number + 1, None);
                        self.left.ran.resize(*number + 1, 0);
                    }
                    if wanted {
                        self.step(step, *number);
                    }
                    *number += 1;
                }
                Item::Repeat(times, items) => self.repeat(items, number, wanted, *times, |_| false),
                Item::Until(data, most, items) => {
                    self.repeat(items, number, wanted, *most, |left| is_enough(left.data[*data]));
                }
                Item::When(data, items) => {
                    let seen = self.seen.len();
                    self.go_through(items, number, wanted && self.left.data[*data].is_multiple_of(2));
                    self.seen.truncate(seen);
                }
            }
        }
    }

    fn repeat(
        &mut self,
        items: &[Item],
        number: &mut usize,
        wanted: bool,
        times: u64,
        is_enough: impl Fn(&Left) -> bool,
    ) {
        let (first, seen) = (*number, self.seen.len());
        for time in 1.. {
            *number = first;
            self.seen.truncate(seen);
            self.go_through(items, number, wanted);
            if !wanted || self.failed.is_some() || time == times || is_enough(&self.left) {
                break;
            }
        }
    }

    fn step(&mut self, step: &Step, i: usize) {
        let Self { left, failed, seen } = self;
        left.ran[i] += 1;
        if step.panics {
            *failed = Some(i);
            return;
        }
        let id = i as u64;
        let i = seen.len();
        let result = |far: usize| if i > 0 { seen[i - 1 - far % i] } else { 7 };
        let made = match step.does {
            Does::Nothing => id,
            Does::Read(a) => mix(left.data[a], id),
            Does::Write(a) => {
                left.data[a] = mix(left.data[a], id);
                left.data[a]
            }
            Does::ReadTwo(a, b) => mix(left.data[a], left.data[b]),
            Does::ReadWrite(a, b) => {
                left.data[b] = mix(left.data[b], left.data[a]);
                left.data[b]
            }
            Does::WriteTwo(a, b) => {
                (left.data[a], left.data[b]) = (mix(left.data[a], id), mix(left.data[b], id));
                mix(left.data[a], left.data[b])
            }
            Does::Result(far) => mix(result(far), id),
            Does::ResultWrite(far, b) => {
                left.data[b] = mix(left.data[b], result(far));
                left.data[b]
            }
            Does::Results(far) => several(far, i).into_iter().fold(id, |sum, step| mix(sum, seen[step])),
            Does::PartRead(way, number) => left.cut[part(way, number)].iter().fold(id, |sum, item| mix(sum, *item)),
            Does::WholeRead => left.cut.iter().fold(id, |sum, item| mix(sum, *item)),
            Does::PartWrite(way, number) => change(&mut left.cut[part(way, number)], id),
            Does::WholeWrite => change(&mut left.cut, id),
            Does::Stream(a) => streamed(id, left.data[a]),
            Does::StreamOfResult(far) => streamed(id, result(far)),
            Does::Streams(a, b) => streamed(streamed(id, left.data[a]), left.data[b]),
        };
        self.left.results[usize::try_from(id).expect("small")] = Some(made);
        self.seen.push(made);
    }
}

struct Program<'env> {
    plan: Plan<'env>,
    data: Vec<Data<Watched>>,
    cut: Data<Vec<Watched>>,
    results: Vec<Data<u64>>,
}

fn watched(count: usize) -> Vec<Watched> {
    (0..count as u64).map(Watched::new).collect()
}

/// A program on its way into a graph.
struct Builder<'env> {
    ran: &'env [AtomicU32],
    data: Vec<Data<Watched>>,
    cut: Data<Vec<Watched>>,
    parts: [Vec<Part<Watched>>; 2],
    results: Vec<Data<u64>>,
    /// The results that the next step may read.
    seen: Vec<Data<u64>>,
}

fn program<'env>(pool: &Pool, items: &'env [Item], ran: &'env [AtomicU32], grouping: Grouping) -> Program<'env> {
    let g = Graph::new();
    g.grouping(grouping);
    let data: Vec<Data<Watched>> = (0..GIVEN as u64).map(|value| g.data(Watched::new(value))).collect();
    let cut = g.data(watched(WHOLE));
    let parts = CUTS.map(|len| g.chunks(&cut, len));
    let mut builder = Builder { ran, data, cut, parts, results: Vec::new(), seen: Vec::new() };
    builder.add(&g, items);
    let plan = g.plan(pool).expect("a sound graph");
    let Builder { data, cut, results, .. } = builder;
    Program { plan, data, cut, results }
}

impl<'env> Builder<'env> {
    fn part(&self, way: usize, number: usize) -> &Part<Watched> {
        &self.parts[way][number % self.parts[way].len()]
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
                    let (data, seen) = (self.data[*data].clone(), self.seen.len());
                    g.when(&data, |data| data.value.is_multiple_of(2), |g| self.add(g, items));
                    self.seen.truncate(seen);
                }
            }
        }
    }

    fn step(&mut self, g: &Graph<'env>, Step { does, rounds, panics }: &'env Step) {
        let (number, rounds) = (self.results.len(), *rounds);
        let (id, i, ran) = (number as u64, self.seen.len(), &self.ran[number]);
        let begin = move || {
            ran.fetch_add(1, Ordering::Relaxed);
            if *panics {
                panic_any("trap");
            }
        };
        let result = |far: &usize| (i > 0).then(|| self.seen[i - 1 - far % i].clone());
        let numbers = |from| g.range(from..from + ITEMS).batch_size(2);
        let read = move |watched: &Watched, item: u64| {
            if item == 0 {
                begin(); // once for the whole stream
            }
            watched.read(rounds) ^ (item % ITEMS)
        };
        let made = match does {
            Does::Nothing => g.task((), move |()| {
                begin();
                work(rounds);
                id
            }),
            Does::Read(a) => g.task(self.data[*a].read(), move |a| {
                begin();
                mix(a.read(rounds), id)
            }),
            Does::Write(a) => g.task(self.data[*a].write(), move |a| {
                begin();
                a.write(rounds, |value| mix(value, id))
            }),
            Does::ReadTwo(a, b) => g.task((self.data[*a].read(), self.data[*b].read()), move |(a, b)| {
                begin();
                mix(a.read(rounds), b.read(0))
            }),
            Does::ReadWrite(a, b) => g.task((self.data[*a].read(), self.data[*b].write()), move |(a, b)| {
                begin();
                let a = a.read(0);
                b.write(rounds, |value| mix(value, a))
            }),
            Does::WriteTwo(a, b) => g.task((self.data[*a].write(), self.data[*b].write()), move |(a, b)| {
                begin();
                let a = a.write(rounds, |value| mix(value, id));
                mix(a, b.write(0, |value| mix(value, id)))
            }),
            Does::Result(far) => match result(far) {
                None => g.task((), move |()| {
                    begin();
                    mix(7, id)
                }),
                Some(result) => g.task(result.read(), move |result| {
                    begin();
                    work(rounds);
                    mix(*result, id)
                }),
            },
            Does::ResultWrite(far, b) => match result(far) {
                None => g.task(self.data[*b].write(), move |b| {
                    begin();
                    b.write(rounds, |value| mix(value, 7))
                }),
                Some(result) => g.task((result.read(), self.data[*b].write()), move |(result, b)| {
                    begin();
                    b.write(rounds, |value| mix(value, *result))
                }),
            },
            Does::Results(far) => {
                let several: Vec<Data<u64>> =
                    several(*far, i).into_iter().map(|step| self.seen[step].clone()).collect();
                g.task(reads(&several), move |results| {
                    begin();
                    work(rounds);
                    results.iter().fold(id, |sum, result| mix(sum, *result))
                })
            }
            Does::PartRead(way, number) => g.task(self.part(*way, *number).read(), move |items| {
                begin();
                read_all(items, rounds, id)
            }),
            Does::WholeRead => g.task(self.cut.read(), move |items| {
                begin();
                read_all(items, rounds, id)
            }),
            Does::PartWrite(way, number) => g.task(self.part(*way, *number).write(), move |items| {
                begin();
                write_all(items, rounds, id)
            }),
            Does::WholeWrite => g.task(self.cut.write(), move |items| {
                begin();
                write_all(items, rounds, id)
            }),
            Does::Stream(a) => numbers(0).map_with(&self.data[*a], read).fold(id, mix),
            Does::StreamOfResult(far) => match result(far) {
                None => numbers(0).map(move |item| read(&Watched::new(7), item)).fold(id, mix),
                Some(result) => {
                    numbers(0).map_with(&result, move |value, item| read(&Watched::new(*value), item)).fold(id, mix)
                }
            },
            Does::Streams(a, b) => {
                let (left, right) =
                    (numbers(0).map_with(&self.data[*a], read), numbers(ITEMS).map_with(&self.data[*b], read));
                left.chain(right).fold(id, mix)
            }
        };
        let made = made.named(&format!("step {number}"));
        let made = if number % 7 == 3 { made.priority(i32::from(number % 2 == 0) * 3 - 1) } else { made };
        self.seen.push(made.clone());
        self.results.push(made);
    }
}

/// Runs a program several times, in other groups each time, and compares each time with what the loop has left.
fn runs_like_the_loop(pool: &Pool, items: &[Item], times: u32, mut seed: u64) {
    silence_traps();
    let Sequential { left: expected, failed, .. } = sequential(items);
    let ran: Vec<AtomicU32> = expected.ran.iter().map(|_| AtomicU32::new(0)).collect();
    let grouping = if seed.is_multiple_of(5) { Grouping::Off } else { Grouping::Auto };
    let Program { mut plan, data, cut, results } = program(pool, items, &ran, grouping);
    for time in 0..times {
        for (value, data) in (0..).zip(&data) {
            plan.set(data, Watched::new(value));
        }
        plan.set(&cut, watched(WHOLE));
        if time > 0 {
            let (least, most) = [(0, 20), (0, 5), (15, 17)][time as usize % 3]; // any, all short, all long
            plan.pretend(|| {
                seed = mix(seed, 1);
                1 << (least + seed % (most - least))
            });
        }
        let ended = plan.run();
        let ran: Vec<u32> = ran.iter().map(|ran| ran.swap(0, Ordering::Relaxed)).collect();
        let results = results.iter().map(|result| plan.try_get(result).copied());
        let Some(failed) = failed else {
            ended.expect("no step panics");
            let results = results.collect();
            let data = data.iter().map(|data| plan.get(data).value).collect();
            let cut = plan.get(&cut).iter().map(|item| item.value).collect();
            assert_eq!(Left { data, cut, results, ran }, expected, "run {time}");
            continue;
        };
        let error = ended.expect_err("a step panics");
        assert!(matches!(error.kind(), RunErrorKind::Panicked), "{error}");
        assert_eq!(error.operator(), Some(&*format!("step {failed}")), "run {time}");
        assert_eq!(ran[..=failed], expected.ran[..=failed], "run {time}: all before it fire");
        let results: Vec<Option<u64>> = results.collect();
        assert_eq!(results[..=failed], expected.results[..=failed], "run {time}: what is made before it is there");
        for (step, result) in results.iter().enumerate() {
            assert!(result.is_none() || ran[step] > 0, "run {time}: what step {step} made");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn programs_on_virtual_workers(items in items(150), workers in 1..9_usize, seed: u64) {
        once(workers, seed, |pool| runs_like_the_loop(pool, &items, 4, seed));
    }

    #[test]
    fn programs_on_threads(items in items(200), seed: u64) {
        let pool = Pool::builder().workers(2).build().expect("threads");
        runs_like_the_loop(&pool, &items, 5, seed);
    }
}

/// Tasks of several levels were so short that they are one job. Now two of them wait for each other, and all other workers are
/// asleep.
#[test]
fn a_group_with_an_order_is_broken_behind_a_long_task() {
    for workers in [2, 4] {
        let pool = Pool::builder().workers(workers).build().expect("threads");
        let (meets, met) = (AtomicBool::new(false), AtomicU32::new(0));
        let g = Graph::new();
        let data = g.data(0_u64);
        g.task(data.write(), |data| *data += 1);
        for task in 0..8 {
            let (meets, met) = (&meets, &met);
            g.task(data.read(), move |_| {
                if meets.load(Ordering::SeqCst) && matches!(task, 1 | 4) {
                    met.fetch_add(1, Ordering::SeqCst);
                    let start = Instant::now();
                    while met.load(Ordering::SeqCst) < 2 && start.elapsed() < Duration::from_secs(10) {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        g.task(data.write(), |data| *data += 1);
        let mut plan = g.plan(&pool).expect("a sound graph");
        for time in 1..=10 {
            plan.pretend(|| 1);
            assert_eq!(plan.groups().len(), 1, "{:?}", plan.groups());
            meets.store(false, Ordering::SeqCst);
            plan.run().expect("no task panics");
            sleep(Duration::from_millis(2));
            met.store(0, Ordering::SeqCst);
            meets.store(true, Ordering::SeqCst);
            let start = Instant::now();
            plan.run().expect("no task panics");
            assert!(start.elapsed() < Duration::from_secs(5), "each waited in vain");
            assert_eq!(*plan.get(&data), 4 * time, "each task once in each run");
        }
    }
}
