//! W4: a stream of numbers: source, map, filter, map, sink.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use crossbeam_utils::Backoff;
use millstream::{Graph, Pool};
use rayon::prelude::*;
use timely::dataflow::operators::vec::{Filter, Map, ToStream};
use timely::dataflow::operators::{Exchange, Inspect};

use super::Workload;
use crate::cli::Options;
use crate::measure::{Figures, Lineup, Metric, ns_per, time};
use crate::peers::{self, Peer};
use crate::{child, machine, tasks};

/// So many items fit into a channel or ring.
const CAPACITY: usize = 1024;

const PEERS: &[Peer] = &[
    Peer::Millstream,
    Peer::ParBridge,
    Peer::StdChannels,
    Peer::Crossbeam,
    Peer::Rtrb,
    Peer::Timely,
    Peer::Tokio,
    #[cfg(feature = "tbb")]
    Peer::Tbb,
];

/// Those for whom a range is another source than an iterator.
const BY_RANGE: &[Peer] = &[Peer::Millstream, Peer::Rayon, Peer::Timely];

/// Those that keep the order while all threads work.
const IN_ORDER: &[Peer] = &[
    Peer::Millstream,
    Peer::Rayon,
    Peer::StdChannels,
    Peer::Crossbeam,
    Peer::Rtrb,
    Peer::Tokio,
    #[cfg(feature = "tbb")]
    Peer::Tbb,
];

const ALL: &[Peer] = &[
    Peer::Millstream,
    Peer::Rayon,
    Peer::ParBridge,
    Peer::StdChannels,
    Peer::Crossbeam,
    Peer::Rtrb,
    Peer::Timely,
    Peer::Tokio,
    #[cfg(feature = "tbb")]
    Peer::Tbb,
];

pub fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("W4a", "10 M items from an iterator through map, filter, map, sum", |options| {
            lineup::<Light>(options, options.size(10_000_000, 10_000), Source::Iterator, PEERS)
        }),
        Workload::new("W4a-range", "the same from a range", |options| {
            lineup::<Light>(options, options.size(10_000_000, 10_000), Source::Range, BY_RANGE)
        }),
        Workload::new("W4c", "1 M items, two maps of about 250 ns each, a sink that sees the order", |options| {
            lineup::<Heavy<true>>(options, options.size(1_000_000, 1000), Source::Iterator, IN_ORDER)
        })
        .with_efficiency(),
        Workload::new("W4d", "the same without order", |options| {
            lineup::<Heavy<false>>(options, options.size(1_000_000, 1000), Source::Iterator, ALL)
        })
        .with_efficiency(),
        Workload::new("W4-memory", "10^8 items of W4a with a slow sink, in a process of its own", memory),
    ]
}

// ---- what is done with an item -------------------------------------------------------------------------------------

/// What a sink wants.
#[derive(Clone, Copy, PartialEq)]
enum Sink {
    /// The sum, in whatever way; a library that has items one by one keeps their order.
    Sum,
    /// One item at a time, in the order of the source, and it sees the order.
    InOrder,
    /// The sum, and the order of items is not kept.
    AnyOrder,
    /// To take its time for each item.
    Slow,
}

/// The stages between source and sink, and what the sink does.
trait Job: 'static {
    const SINK: Sink;
    fn first(x: u64) -> u64;
    fn keep(x: &u64) -> bool;
    fn second(x: u64) -> u64;
    fn add(sum: u64, x: u64) -> u64;
}

struct Light;

impl Job for Light {
    const SINK: Sink = Sink::Sum;
    fn first(x: u64) -> u64 {
        x * 3
    }
    fn keep(x: &u64) -> bool {
        !x.is_multiple_of(5)
    }
    fn second(x: u64) -> u64 {
        x ^ 0x05DE_ECE6
    }
    fn add(sum: u64, x: u64) -> u64 {
        sum + x
    }
}

/// Maps of about 250 ns.
struct Heavy<const ORDERED: bool>;

impl<const ORDERED: bool> Job for Heavy<ORDERED> {
    const SINK: Sink = if ORDERED { Sink::InOrder } else { Sink::AnyOrder };
    fn first(x: u64) -> u64 {
        tasks::work(tasks::MICROSECOND / 4, x)
    }
    fn keep(_: &u64) -> bool {
        true
    }
    /// So few bits that a sum has room.
    fn second(x: u64) -> u64 {
        tasks::work(tasks::MICROSECOND / 4, x) >> 32
    }
    fn add(sum: u64, x: u64) -> u64 {
        if ORDERED { (sum ^ x).wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { sum + x }
    }
}

/// `Light` with a sink that takes about 20 ns.
struct Slow;

impl Job for Slow {
    const SINK: Sink = Sink::Slow;
    fn first(x: u64) -> u64 {
        Light::first(x)
    }
    fn keep(x: &u64) -> bool {
        Light::keep(x)
    }
    fn second(x: u64) -> u64 {
        Light::second(x)
    }
    fn add(sum: u64, x: u64) -> u64 {
        black_box(tasks::work(tasks::MICROSECOND / 50, x));
        sum + x
    }
}

// ---- who does it ---------------------------------------------------------------------------------------------------

#[derive(Clone, Copy, PartialEq)]
enum Source {
    /// One thread at a time pulls.
    Iterator,
    /// All threads may make items.
    Range,
}

fn serial<J: Job>(items: u64) -> u64 {
    (0..black_box(items)).map(J::first).filter(J::keep).map(J::second).fold(0, J::add)
}

/// Makes a peer's pool, and what runs so many items through it.
fn player<J: Job>(peer: Peer, source: Source, threads: usize, options: &Options) -> Box<dyn FnMut(u64) -> u64> {
    match peer {
        Peer::Serial => Box::new(serial::<J>),
        Peer::Millstream => {
            let pool = options.millstream(threads);
            Box::new(move |items| millstream::<J>(&pool, source, items))
        }
        Peer::Rayon => {
            let pool = peers::rayon_pool(threads);
            Box::new(move |items| pool.install(|| rayon::<J>(items)))
        }
        Peer::ParBridge => {
            let pool = peers::rayon_pool(threads);
            Box::new(move |items| pool.install(|| parallel_sum::<J>((0..items).par_bridge())))
        }
        Peer::StdChannels => Box::new(|items| {
            stages::<J, _, _>(items, || {
                let (sender, receiver) = mpsc::sync_channel(CAPACITY);
                (move |x| sender.send(x).expect("the next stage receives"), receiver.into_iter())
            })
        }),
        Peer::Crossbeam if J::SINK == Sink::AnyOrder => Box::new(move |items| shared_channels::<J>(threads, items)),
        Peer::Crossbeam => Box::new(|items| {
            stages::<J, _, _>(items, || {
                let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
                (move |x| sender.send(x).expect("the next stage receives"), receiver.into_iter())
            })
        }),
        Peer::Rtrb => Box::new(ring::<J>),
        Peer::Timely => Box::new(move |items| timely::<J>(threads, source, items)),
        Peer::Tokio => {
            let runtime = peers::tokio_runtime(threads);
            Box::new(move |items| runtime.block_on(tokio::<J>(items)))
        }
        #[cfg(feature = "tbb")]
        Peer::Tbb => {
            let pool = crate::tbb::Pool::new(threads);
            Box::new(move |items| tbb::<J>(&pool, items))
        }
        Peer::MillstreamOff
        | Peer::Chili
        | Peer::LaceWs
        | Peer::BevyTasks
        | Peer::Dagrs
        | Peer::ByHand
        | Peer::FutexWake => panic!("{peer} has no streams"),
    }
}

/// Whether a peer has a thread for each stage, however many are asked for.
fn has_own_threads<J: Job>(peer: Peer) -> bool {
    match peer {
        Peer::StdChannels | Peer::Rtrb => true,
        Peer::Crossbeam => J::SINK != Sink::AnyOrder,
        _ => false,
    }
}

fn millstream<J: Job>(pool: &Pool, source: Source, items: u64) -> u64 {
    let g = Graph::new();
    macro_rules! sink_of {
        ($numbers:expr) => {{
            let made = $numbers.map(J::first).filter(J::keep).map(J::second);
            match J::SINK {
                Sink::Sum | Sink::AnyOrder => made.sum::<u64>(),
                Sink::InOrder | Sink::Slow => made.fold(0, J::add),
            }
        }};
    }
    let sum = match source {
        Source::Iterator => sink_of!(g.source(0..items)),
        Source::Range => sink_of!(g.range(0..items)),
    };
    pool.run(g).expect("nothing fails").take(sum)
}

fn rayon<J: Job>(items: u64) -> u64 {
    let numbers = (0..items).into_par_iter();
    if J::SINK != Sink::InOrder {
        return parallel_sum::<J>(numbers);
    }
    let made: Vec<u64> = numbers.map(J::first).filter(J::keep).map(J::second).collect();
    made.into_iter().fold(0, J::add)
}

fn parallel_sum<J: Job>(numbers: impl ParallelIterator<Item = u64>) -> u64 {
    numbers.map(J::first).filter(J::keep).map(J::second).fold(|| 0, J::add).sum()
}

/// A thread for the source, for the first map, for filter and second map, and this one for the sink. `channel` makes
/// what sends to the next stage, and what it receives.
fn stages<J: Job, S, R>(items: u64, channel: impl Fn() -> (S, R)) -> u64
where
    S: Fn(u64) + Send,
    R: Iterator<Item = u64> + Send,
{
    thread::scope(|scope| {
        let (send_number, numbers) = channel();
        let (send_mapped, mapped) = channel();
        let (send_made, made) = channel();
        scope.spawn(move || (0..items).for_each(send_number));
        scope.spawn(move || numbers.map(J::first).for_each(send_mapped));
        scope.spawn(move || mapped.filter(J::keep).map(J::second).for_each(send_made));
        made.fold(0, J::add)
    })
}

/// A thread for the source, so many for the maps, and this one for the sink.
fn shared_channels<J: Job>(threads: usize, items: u64) -> u64 {
    thread::scope(|scope| {
        let (send_number, numbers) = crossbeam_channel::bounded(CAPACITY);
        let (send_made, made) = crossbeam_channel::bounded(CAPACITY);
        scope.spawn(move || (0..items).for_each(|x| send_number.send(x).expect("a map receives")));
        for _ in 0..threads {
            let (numbers, send_made) = (numbers.clone(), send_made.clone());
            scope.spawn(move || {
                let results = numbers.into_iter().map(J::first).filter(J::keep).map(J::second);
                results.for_each(|x| send_made.send(x).expect("the sink receives"));
            });
        }
        drop((numbers, send_made));
        made.into_iter().fold(0, J::add)
    })
}

/// A thread for source and first map, and this one for the rest.
fn ring<J: Job>(items: u64) -> u64 {
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(CAPACITY);
    thread::scope(|scope| {
        scope.spawn(move || {
            for x in (0..items).map(J::first) {
                let backoff = Backoff::new();
                while producer.push(x).is_err() {
                    assert!(!producer.is_abandoned(), "the other thread pops");
                    backoff.snooze();
                }
            }
        });
        let mapped = std::iter::from_fn(move || {
            let backoff = Backoff::new();
            loop {
                // Looked at before the pop: what was pushed before the end is not missed.
                let is_end = consumer.is_abandoned();
                match consumer.pop() {
                    Ok(x) => return Some(x),
                    Err(_) if is_end => return None,
                    Err(_) => backoff.snooze(),
                }
            }
        });
        mapped.filter(J::keep).map(J::second).fold(0, J::add)
    })
}

/// Each worker makes its part of a range. An iterator is pulled by one worker, which deals the items out.
fn timely<J: Job>(threads: usize, source: Source, items: u64) -> u64 {
    let workers = timely::execute(timely::Config::process(threads), move |worker| {
        let (index, workers) = (worker.index() as u64, worker.peers() as u64);
        let sum = Rc::new(Cell::new(0));
        let sink = Rc::clone(&sum);
        worker.dataflow::<u64, _, _>(|scope| {
            let numbers = match source {
                Source::Range => items * index / workers..items * (index + 1) / workers,
                Source::Iterator if index == 0 => 0..items,
                Source::Iterator => 0..0,
            };
            let numbers = numbers.to_stream(scope);
            let dealt = if source == Source::Iterator && workers > 1 { numbers.exchange(|x| *x) } else { numbers };
            let made = dealt.map(J::first).filter(J::keep).map(J::second);
            made.inspect(move |x| sink.set(J::add(sink.get(), *x)));
        });
        while worker.has_dataflows() {
            worker.step_or_park(None);
        }
        sum.get()
    });
    workers.expect("threads").join().into_iter().map(|sum| sum.expect("no panic")).sum()
}

/// A future for each stage but the sink, which is this one.
async fn tokio<J: Job>(items: u64) -> u64 {
    let (send_number, mut numbers) = tokio::sync::mpsc::channel(CAPACITY);
    let (send_mapped, mut mapped) = tokio::sync::mpsc::channel(CAPACITY);
    let (send_made, mut made) = tokio::sync::mpsc::channel(CAPACITY);
    tokio::spawn(async move {
        for x in 0..items {
            send_number.send(x).await.expect("the first map receives");
        }
    });
    tokio::spawn(async move {
        while let Some(x) = numbers.recv().await {
            send_mapped.send(J::first(x)).await.expect("the filter receives");
        }
    });
    tokio::spawn(async move {
        while let Some(x) = mapped.recv().await {
            if J::keep(&x) {
                send_made.send(J::second(x)).await.expect("the sink receives");
            }
        }
    });
    let mut sum = 0;
    while let Some(x) = made.recv().await {
        sum = J::add(sum, x);
    }
    sum
}

#[cfg(feature = "tbb")]
fn tbb<J: Job>(pool: &crate::tbb::Pool, items: u64) -> u64 {
    extern "C" fn first<J: Job>(x: u64) -> u64 {
        J::first(x)
    }
    extern "C" fn keep<J: Job>(x: u64) -> bool {
        J::keep(&x)
    }
    extern "C" fn second<J: Job>(x: u64) -> u64 {
        J::second(x)
    }
    extern "C" fn add<J: Job>(sum: u64, x: u64) -> u64 {
        J::add(sum, x)
    }
    let in_order = J::SINK != Sink::AnyOrder;
    let stages = crate::tbb::Stages { first: first::<J>, keep: keep::<J>, second: second::<J>, add: add::<J> };
    pool.stream(items, in_order, &stages)
}

// ---- measuring -----------------------------------------------------------------------------------------------------

/// A hundredth without a clock, then all with.
fn measure(items: u64, expected: u64, mut play: impl FnMut(u64) -> u64) -> Figures {
    play(items / 100);
    let (time, sum) = time(|| play(items));
    assert_eq!(sum, expected, "what the sink has");
    vec![(Metric::NsPerItem, ns_per(items, time))]
}

fn lineup<J: Job>(options: &Options, items: u64, source: Source, peers: &[Peer]) -> Lineup {
    let expected = serial::<J>(items);
    let mut lineup = Lineup::new(options);
    lineup.serial(move |_| measure(items, expected, serial::<J>));
    for &peer in peers {
        let make = |threads| {
            let options = options.clone();
            move |_| measure(items, expected, player::<J>(peer, source, threads, &options))
        };
        if has_own_threads::<J>(peer) {
            lineup.once(peer, make(options.most_threads()));
        } else {
            lineup.each(peer, make);
        }
    }
    lineup
}

fn memory(options: &Options) -> Lineup {
    let mut lineup = Lineup::with_threads(options, vec![options.most_threads()]);
    for &peer in ALL {
        lineup.each(peer, |threads| {
            let options = options.clone();
            move |run| {
                let warm_up = run == 0; // it shows that the child works; there is nothing to warm
                let numbers = child::says("--memory-child", peer, threads, &options, warm_up);
                vec![(Metric::RssAboveStartMib, numbers[0]), (Metric::NsPerItem, numbers[1])]
            }
        });
    }
    lineup
}

/// In the child: how far the memory rises above what it was when the pool was made.
pub fn child(peer: Peer, options: &Options) {
    let items = options.size(100_000_000, 10_000);
    let expected = serial::<Light>(items);
    let mut play = player::<Slow>(peer, Source::Iterator, options.most_threads(), options);
    let start = machine::rss_mib();
    let (time, sum) = time(|| play(items));
    assert_eq!(sum, expected, "what the sink has");
    println!("{} {}", (machine::peak_rss_mib() - start).max(0.0), ns_per(items, time));
}
