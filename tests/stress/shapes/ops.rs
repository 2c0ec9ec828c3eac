//! Operators of streams: each as what it adds to a graph, and as what it means to a vector.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use millstream::{Data, Graph, Stream, Table};

use super::forks;
use crate::account::{Account, Item};
use crate::dice::{Dice, mix};
use crate::executor::Executor;
use crate::world::trap;

/// What is the same for all operators of a graph.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) handle: millstream::PoolHandle,
    pub(crate) executor: Executor,
    pub(crate) account: &'static Account,
}

/// How an operator that must fail does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fails {
    Panics,
    Err,
    FutureErr,
    BlockingErr,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Map(u64),
    Filter(u64),
    Several(u64),
    Expand(u64),
    Scan,
    Skip(u64),
    Take(u64),
    Chunks(usize),
    Distinct,
    Zip,
    PartitionAndMerge,
    Unordered,
    MapBatch,
    Later(usize, u64),
    Blocking(usize, u64),
    /// Joins, scopes, loops and runs inside an operator.
    Nested(u64),
    /// Fails on items of this value.
    Fails(Fails, u64),
}

impl Op {
    /// Any but one that fails.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let number = dice.long(1, 7);
        let few = dice.from(1, 6);
        match dice.from(0, 20) {
            0 => Self::Filter(number),
            1 => Self::Several(number),
            2 => Self::Expand(number),
            3 => Self::Scan,
            4 => Self::Skip(dice.long(0, 40)),
            5 => Self::Take(dice.long(0, 300)),
            6 => Self::Chunks(few),
            7 => Self::Distinct,
            10 => Self::Zip,
            11 if dice.once_in(2) => Self::PartitionAndMerge,
            12 if dice.once_in(2) => Self::Unordered,
            13 => Self::MapBatch,
            14 | 15 => Self::Later(few, dice.next()),
            16 => Self::Blocking(few, dice.next()),
            17 | 18 => Self::Nested(dice.next()),
            _ => Self::Map(number),
        }
    }

    /// Whether items leave it in another order each time.
    pub(crate) fn loses_order(self) -> bool {
        matches!(self, Self::PartitionAndMerge | Self::Unordered)
    }

    /// Whether what comes out depends on the order of what goes in.
    pub(crate) fn needs_order(self) -> bool {
        matches!(self, Self::Scan | Self::Skip(_) | Self::Take(_) | Self::Chunks(_) | Self::Zip)
    }

    /// What comes out, given all that goes in.
    pub(crate) fn means(self, items: Vec<u64>) -> Vec<u64> {
        match self {
            Self::Map(by) => items.into_iter().map(|x| mapped(x, by)).collect(),
            Self::Filter(by) => items.into_iter().filter(|x| kept(*x, by)).collect(),
            Self::Several(by) | Self::Expand(by) => items.into_iter().flat_map(|x| several(x, by)).collect(),
            Self::Scan => items
                .into_iter()
                .scan(1_u64, |sum, x| {
                    *sum = sum.wrapping_add(x);
                    Some(*sum)
                })
                .collect(),
            Self::Skip(n) => items.into_iter().skip(usize::try_from(n).expect("small")).collect(),
            Self::Take(n) => items.into_iter().take(usize::try_from(n).expect("small")).collect(),
            Self::Chunks(n) => items.chunks(n).map(|chunk| chunk.iter().fold(0, |sum, x| mapped(sum ^ x, 5))).collect(),
            Self::Distinct => {
                let mut seen = BTreeSet::new();
                items.into_iter().filter(|x| seen.insert(*x)).collect()
            }
            Self::Zip => items.into_iter().map(|x| mapped(x, 2) ^ x).collect(),
            Self::Nested(seed) => items.into_iter().map(|x| forks::means(seed ^ x)).collect(),
            Self::MapBatch | Self::Later(..) => items.into_iter().map(|x| mapped(x, 3)).collect(),
            Self::Blocking(..) => items.into_iter().map(|x| mapped(x, 4)).collect(),
            Self::PartitionAndMerge | Self::Unordered | Self::Fails(..) => items,
        }
    }

    /// Adds it to a graph.
    pub(crate) fn add(self, stream: Stream<'static, Item>, shared: &Shared) -> Stream<'static, Item> {
        let Shared { handle, executor, account } = shared.clone();
        match self {
            Self::Map(by) => stream.map(move |x| map(x, by)).boxed(),
            Self::Filter(by) => stream.filter(move |x| kept(x.value(), by)).boxed(),
            Self::Several(by) => stream.flat_map(move |x| several(x.value(), by).map(move |x| account.item(x))).boxed(),
            Self::Expand(by) => stream.expand(move |x| several(x.value(), by).map(move |x| account.item(x))).boxed(),
            Self::Scan => stream
                .scan(1_u64, |sum, x| {
                    *sum = sum.wrapping_add(x.value());
                    Some(x.becomes(*sum))
                })
                .boxed(),
            Self::Skip(n) => stream.skip(n).boxed(),
            Self::Take(n) => stream.take(n).boxed(),
            Self::Chunks(n) => {
                let one =
                    move |chunk: Vec<Item>| account.item(chunk.iter().fold(0, |sum, x| mapped(sum ^ x.value(), 5)));
                stream.chunks(n).map(one).boxed()
            }
            Self::Distinct => stream.map(|x| x.value()).distinct().map(move |x| account.item(x)).boxed(),
            Self::Zip => {
                let (left, right) = stream.tee();
                let both = left.map(|x| map(x, 2)).zip(right);
                both.map(|(left, right)| {
                    let made = left.value() ^ right.value();
                    left.becomes(made)
                })
                .boxed()
            }
            Self::PartitionAndMerge => {
                let (odd, even) = stream.partition(|x| x.value() % 2 == 1);
                odd.merge(even).boxed()
            }
            Self::Unordered => stream.unordered().boxed(),
            Self::MapBatch => stream.map_batch(|batch| batch.into_iter().map(|x| map(x, 3))).boxed(),
            Self::Later(limit, seed) => stream
                .map_async(limit, move |x| {
                    let seed = seed ^ x.value();
                    executor.later(map(x, 3), seed)
                })
                .boxed(),
            Self::Blocking(limit, seed) => stream
                .map_blocking(limit, move |x| {
                    if mix(seed ^ x.value()).is_multiple_of(16) {
                        thread::sleep(Duration::from_micros(50));
                    }
                    map(x, 4)
                })
                .boxed(),
            Self::Nested(seed) => stream
                .map(move |x| {
                    let made = forks::nested(&handle, seed ^ x.value());
                    x.becomes(made)
                })
                .boxed(),
            Self::Fails(how, of) => fails(stream, how, of, executor),
        }
    }
}

/// The name of the operator that fails.
pub(crate) const TRAP: &str = "trap";

fn fails(stream: Stream<'static, Item>, how: Fails, of: u64, executor: Executor) -> Stream<'static, Item> {
    let fit = move |x: Item| if x.value() == of { Err("an error on purpose") } else { Ok(x) };
    match how {
        Fails::Panics => stream.map(move |x| fit(x).unwrap_or_else(|_| trap())).named(TRAP).boxed(),
        Fails::Err => stream.try_map(fit).named(TRAP).boxed(),
        Fails::FutureErr => {
            let later = move |x: Item| {
                let value = x.value();
                let later = executor.later(x, value);
                async move { fit(later.await) }
            };
            stream.try_map_async(3, later).named(TRAP).boxed()
        }
        Fails::BlockingErr => stream.try_map_blocking(3, fit).named(TRAP).boxed(),
    }
}

fn mapped(x: u64, by: u64) -> u64 {
    x.wrapping_mul(by | 1).wrapping_add(by) % 1009
}

fn map(x: Item, by: u64) -> Item {
    let made = mapped(x.value(), by);
    x.becomes(made)
}

fn kept(x: u64, by: u64) -> bool {
    !x.is_multiple_of(by + 1)
}

fn several(x: u64, by: u64) -> impl Iterator<Item = u64> + Send {
    (0..x % 4).map(move |n| mapped(x + n, by))
}

/// What becomes of a stream at its end: a vector in each case.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sink {
    Collect,
    Fold,
    Sum,
    Count,
    Reduce,
    Aggregate,
    CountByKey,
    FoldByKey,
    Ordered,
    ForEach,
    Largest,
}

impl Sink {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        dice.pick(&[
            Self::Collect,
            Self::Collect,
            Self::Fold,
            Self::Sum,
            Self::Count,
            Self::Reduce,
            Self::Aggregate,
            Self::CountByKey,
            Self::FoldByKey,
            Self::Ordered,
            Self::ForEach,
            Self::Largest,
        ])
    }

    pub(crate) fn needs_order(self) -> bool {
        matches!(self, Self::Collect | Self::Fold | Self::Aggregate | Self::FoldByKey | Self::Ordered)
    }

    /// Whether it keeps what it has seen until a run ends well.
    pub(crate) fn remembers(self) -> bool {
        matches!(self, Self::Ordered | Self::ForEach)
    }

    pub(crate) fn means(self, mut items: Vec<u64>) -> Vec<u64> {
        match self {
            Self::Collect | Self::Ordered => items,
            Self::Fold => vec![items.into_iter().fold(0, |sum, x| mapped(sum ^ x, 3))],
            Self::Sum => vec![items.into_iter().sum()],
            Self::Count => vec![items.len() as u64],
            Self::Reduce => items.into_iter().max().into_iter().collect(),
            Self::Aggregate => vec![items.into_iter().fold(0, |sum: u64, x| sum.wrapping_mul(31).wrapping_add(x))],
            Self::CountByKey | Self::FoldByKey => {
                let mut table = BTreeMap::<u64, u64>::new();
                for x in items {
                    let of = table.entry(x % 10).or_default();
                    *of = if matches!(self, Self::CountByKey) { *of + 1 } else { mapped(*of ^ x, 3) };
                }
                table.into_iter().flat_map(|(key, value)| [key, value]).collect()
            }
            Self::ForEach => {
                items.sort_unstable();
                items
            }
            Self::Largest => {
                items.sort_unstable_by(|a, b| b.cmp(a));
                items.truncate(5);
                items
            }
        }
    }

    /// Ends a stream in data.
    pub(crate) fn add(
        self,
        g: &Graph<'static>,
        stream: Stream<'static, Item>,
        account: &'static Account,
    ) -> Data<Vec<u64>> {
        let values = |items: &Vec<Item>| items.iter().map(Item::value).collect();
        let table = |table: Table<u64, u64>| table.sorted().into_iter().flat_map(|(key, value)| [key, value]).collect();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (sees, cleared) = (Arc::clone(&seen), Arc::clone(&seen));
        let see = move |x: Item| sees.lock().expect("no panic").push(x.value());
        match self {
            Self::Collect => g.task(stream.collect().read(), values),
            Self::Fold => {
                let sum = stream.fold(account.item(0), |sum, x| {
                    let made = mapped(sum.value() ^ x.value(), 3);
                    sum.becomes(made)
                });
                g.task(sum.read(), |sum| vec![sum.value()])
            }
            Self::Sum => g.task(stream.map(|x| x.value()).sum::<u64>().read(), |sum| vec![*sum]),
            Self::Count => g.task(stream.count().read(), |count| vec![*count]),
            Self::Reduce => {
                g.task(stream.reduce(Item::max).read(), |most: &Option<Item>| most.iter().map(Item::value).collect())
            }
            Self::Aggregate => {
                let one =
                    |(sum, power): (u64, u64), x: u64| (sum.wrapping_mul(31).wrapping_add(x), power.wrapping_mul(31));
                let both = |(left, before): (u64, u64), (right, power): (u64, u64)| {
                    (left.wrapping_mul(power).wrapping_add(right), before.wrapping_mul(power))
                };
                let sum = stream.aggregate((0, 1), move |sum, x| one(sum, x.value()), both);
                g.task(sum.read(), |(sum, _)| vec![*sum])
            }
            Self::CountByKey => g.task(stream.key_by(|x| x.value() % 10).count().consume(), table),
            Self::FoldByKey => {
                let folded = stream.key_by(|x| x.value() % 10).fold(0, |sum, x| mapped(sum ^ x.value(), 3));
                g.task(folded.consume(), table)
            }
            Self::Ordered => {
                let all = stream.for_each_ordered(see);
                g.task(all.read(), move |()| std::mem::take(&mut *cleared.lock().expect("no panic")))
            }
            Self::ForEach => {
                let all = stream.for_each(see);
                g.task(all.read(), move |()| {
                    let mut all = std::mem::take(&mut *cleared.lock().expect("no panic"));
                    all.sort_unstable();
                    all
                })
            }
            Self::Largest => g.task(stream.top_k(5).read(), values),
        }
    }
}
