//! Random programs of tasks over data, with streams between them, against the same program run by a loop: on virtual and on real workers, with and
//! without tasks that panic, again and again.

use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proptest::prelude::*;

use super::silence_traps;
use crate::check::{once, work};
use crate::{Data, Graph, Plan, Pool, RunErrorKind};

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
    /// A stream that reads data, or an earlier result.
    Stream(usize),
    StreamOfResult(usize),
    /// A stream that reads one thing, and then one that reads another.
    Streams(usize, usize),
}

impl Does {
    fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::StreamOfResult(_) | Self::Streams(..))
    }
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
        2 => (far, data).prop_map(|(a, b)| Does::ResultWrite(a, b)),
    ];
    let rounds = prop_oneof![6 => Just(0), 3 => 1..4_u64, 1 => 20..200_u64];
    (does, rounds, prop::bool::weighted(0.01)).prop_map(|(does, rounds, panics)| Step { does, rounds, panics })
}

/// Fewer than `count` steps. With a failure in them there are no streams, for their sources stop then, and what waits for
/// them does not fire.
fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..count).prop_map(|mut steps| {
        if steps.iter().any(|step| step.panics) {
            steps.iter_mut().filter(|step| step.does.is_stream()).for_each(|step| step.does = Does::Nothing);
        }
        steps
    })
}

/// What a program leaves: the given data, and the results, up to the first step that fails.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    data: Vec<u64>,
    results: Vec<u64>,
    failed: Option<usize>,
}

/// Runs a program by a loop.
fn sequential(steps: &[Step]) -> Left {
    let mut left = Left { data: (0..GIVEN as u64).collect(), results: Vec::new(), failed: None };
    for (i, step) in steps.iter().enumerate() {
        if step.panics {
            left.failed = Some(i);
            break;
        }
        let Left { data, results, .. } = &mut left;
        let id = i as u64;
        let result = |far: usize| if i > 0 { results[i - 1 - far % i] } else { 7 };
        let made = match step.does {
            Does::Nothing => id,
            Does::Read(a) => mix(data[a], id),
            Does::Write(a) => {
                data[a] = mix(data[a], id);
                data[a]
            }
            Does::ReadTwo(a, b) => mix(data[a], data[b]),
            Does::ReadWrite(a, b) => {
                data[b] = mix(data[b], data[a]);
                data[b]
            }
            Does::WriteTwo(a, b) => {
                (data[a], data[b]) = (mix(data[a], id), mix(data[b], id));
                mix(data[a], data[b])
            }
            Does::Result(far) => mix(result(far), id),
            Does::ResultWrite(far, b) => {
                data[b] = mix(data[b], result(far));
                data[b]
            }
            Does::Stream(a) => streamed(id, data[a]),
            Does::StreamOfResult(far) => streamed(id, result(far)),
            Does::Streams(a, b) => streamed(streamed(id, data[a]), data[b]),
        };
        results.push(made);
    }
    left
}

struct Program<'env> {
    plan: Plan<'env>,
    data: Vec<Data<Watched>>,
    results: Vec<Data<u64>>,
}

fn program<'env>(pool: &Pool, steps: &'env [Step], ran: &'env [AtomicU32]) -> Program<'env> {
    let g = Graph::new();
    let data: Vec<Data<Watched>> = (0..GIVEN as u64).map(|value| g.data(Watched::new(value))).collect();
    let mut results: Vec<Data<u64>> = Vec::new();
    for (i, Step { does, rounds, panics }) in steps.iter().enumerate() {
        let (id, rounds) = (i as u64, *rounds);
        let begin = move || {
            ran[i].fetch_add(1, Ordering::Relaxed);
            if *panics {
                panic_any("trap");
            }
        };
        let result = |far: &usize| (i > 0).then(|| results[i - 1 - far % i].clone());
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
            Does::Read(a) => g.task(data[*a].read(), move |a| {
                begin();
                mix(a.read(rounds), id)
            }),
            Does::Write(a) => g.task(data[*a].write(), move |a| {
                begin();
                a.write(rounds, |value| mix(value, id))
            }),
            Does::ReadTwo(a, b) => g.task((data[*a].read(), data[*b].read()), move |(a, b)| {
                begin();
                mix(a.read(rounds), b.read(0))
            }),
            Does::ReadWrite(a, b) => g.task((data[*a].read(), data[*b].write()), move |(a, b)| {
                begin();
                let a = a.read(0);
                b.write(rounds, |value| mix(value, a))
            }),
            Does::WriteTwo(a, b) => g.task((data[*a].write(), data[*b].write()), move |(a, b)| {
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
                None => g.task(data[*b].write(), move |b| {
                    begin();
                    b.write(rounds, |value| mix(value, 7))
                }),
                Some(result) => g.task((result.read(), data[*b].write()), move |(result, b)| {
                    begin();
                    b.write(rounds, |value| mix(value, *result))
                }),
            },
            Does::Stream(a) => numbers(0).map_with(&data[*a], read).fold(id, mix),
            Does::StreamOfResult(far) => match result(far) {
                None => numbers(0).map(move |item| read(&Watched::new(7), item)).fold(id, mix),
                Some(result) => numbers(0).map_with(&result, move |value, item| read(&Watched::new(*value), item)).fold(id, mix),
            },
            Does::Streams(a, b) => {
                let (left, right) = (numbers(0).map_with(&data[*a], read), numbers(ITEMS).map_with(&data[*b], read));
                left.chain(right).fold(id, mix)
            }
        };
        results.push(made.named(&format!("step {i}")));
    }
    let plan = g.plan(pool).expect("a sound graph");
    Program { plan, data, results }
}

/// Runs a program several times, and compares each time with what the loop has left.
fn runs_like_the_loop(pool: &Pool, steps: &[Step], times: u32) {
    silence_traps();
    let ran: Vec<AtomicU32> = steps.iter().map(|_| AtomicU32::new(0)).collect();
    let Program { mut plan, data, results } = program(pool, steps, &ran);
    let expected = sequential(steps);
    for time in 0..times {
        for (value, data) in (0..).zip(&data) {
            plan.set(data, Watched::new(value));
        }
        let ended = plan.run();
        let counts: Vec<u32> = ran.iter().map(|ran| ran.swap(0, Ordering::Relaxed)).collect();
        assert!(counts.iter().all(|count| *count <= 1), "run {time}: no task fires twice");
        match expected.failed {
            None => {
                ended.expect("no step panics");
                assert!(counts.iter().all(|count| *count == 1), "run {time}: each fires");
                let data = data.iter().map(|data| plan.get(data).value).collect();
                let results = results.iter().map(|result| *plan.get(result)).collect();
                assert_eq!(Left { data, results, failed: None }, expected, "run {time}");
            }
            Some(failed) => {
                let error = ended.expect_err("a step panics");
                assert!(matches!(error.kind(), RunErrorKind::Panicked), "{error}");
                assert_eq!(error.operator(), Some(&*format!("step {failed}")), "run {time}");
                assert!(counts[..=failed].iter().all(|count| *count == 1), "run {time}: all before it fire");
                for (i, result) in results.iter().enumerate() {
                    let got = plan.try_get(result);
                    let is_there = counts[i] == 1 && !steps[i].panics;
                    assert_eq!(got.is_some(), is_there, "run {time}: what step {i} made");
                    if i < failed {
                        assert_eq!(got, Some(&expected.results[i]), "run {time}: what step {i} made");
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn programs_on_virtual_workers(steps in steps(200), workers in 1..9_usize, seed: u64) {
        once(workers, seed, |pool| runs_like_the_loop(pool, &steps, 2));
    }

    #[test]
    fn programs_on_threads(steps in steps(300)) {
        let pool = Pool::builder().workers(2).build().expect("threads");
        runs_like_the_loop(&pool, &steps, 5);
    }
}
