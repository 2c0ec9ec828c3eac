//! Sinks. What cannot call user code itself has an `inspect` before it that does.

use std::collections::BTreeMap;
use std::num::Wrapping;

use super::super::items::{Item, mix};
use super::{Answer, Made, Sink};
use crate::{Data, Graph};

pub(in super::super) const SINKS: &[Sink] = &[
    Sink {
        methods: &["Stream::collect"],
        calls: false,
        needs_order: false,
        graph: |_, items, _| Made::List(items.collect()),
        iter: Made::List,
    },
    Sink {
        methods: &["Stream::count"],
        graph: |g, items, at| {
            let count = items.inspect(move |item| _ = at.value(item)).named(&at.name()).count();
            Made::Int(g.task(count.read(), |count| i64::try_from(*count).expect("small")))
        },
        iter: |items| Made::Int(i64::try_from(items.len()).expect("small")),
        ..Sink::ANY
    },
    Sink {
        methods: &["Stream::sum"],
        graph: |g, items, at| {
            let sum = items.map(move |item| Wrapping(at.value(&item))).named(&at.name()).sum::<Wrapping<i64>>();
            Made::Int(g.task(sum.read(), |sum| sum.0))
        },
        iter: |items| Made::Int(items.into_iter().map(Wrapping).sum::<Wrapping<i64>>().0),
        ..Sink::ANY
    },
    Sink {
        methods: &["Stream::min"],
        graph: |g, items, at| or_none(g, &items.inspect(move |item| _ = at.value(item)).named(&at.name()).min()),
        iter: |items| Made::Int(items.into_iter().min().unwrap_or(-1)),
        ..Sink::ANY
    },
    Sink {
        methods: &["Stream::max"],
        graph: |g, items, at| or_none(g, &items.inspect(move |item| _ = at.value(item)).named(&at.name()).max()),
        iter: |items| Made::Int(items.into_iter().max().unwrap_or(-1)),
        ..Sink::ANY
    },
    Sink {
        methods: &["Stream::key_by", "Keyed::count"],
        graph: |g, items, at| {
            let keyed = items.inspect(move |item| _ = at.value(item)).named(&at.name()).key_by(|item| key(*item.value));
            let table = keyed.count();
            let entry = |(key, count): (&i64, &u64)| Wrapping(mix(*key, i64::try_from(*count).expect("small")));
            Made::Int(g.task(table.read(), move |table| table.iter().map(entry).sum::<Wrapping<i64>>().0))
        },
        iter: |items| {
            let mut table: BTreeMap<i64, i64> = BTreeMap::new();
            items.into_iter().for_each(|x| *table.entry(key(x)).or_default() += 1);
            Made::Int(table.into_iter().map(|(key, count)| Wrapping(mix(key, count))).sum::<Wrapping<i64>>().0)
        },
        ..Sink::ANY
    },
    Sink {
        methods: &["Stream::for_each"],
        graph: |g, items, at| {
            let done = items.for_each(move |item| at.act(&item, i64::wrapping_add)).named(&at.name());
            Made::Int(g.task(done.read(), move |()| at.acted()))
        },
        iter: |items| Made::Int(items.into_iter().map(Wrapping).sum::<Wrapping<i64>>().0),
        ..Sink::ANY
    },
    Sink {
        methods: &["Stream::for_each_ordered"],
        graph: |g, items, at| {
            let done = items.for_each_ordered(move |item| at.act(&item, mix)).named(&at.name());
            Made::Int(g.task(done.read(), move |()| at.acted()))
        },
        iter: |items| Made::Int(items.into_iter().fold(0, mix)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::fold"],
        graph: |_, items, at| Made::Int(items.fold(0, move |sum, item| mix(sum, at.value(&item))).named(&at.name())),
        iter: |items| Made::Int(items.into_iter().fold(0, mix)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::accumulate"],
        graph: |_, items, at| {
            Made::Int(items.accumulate(0, move |sum, item| *sum = mix(*sum, at.value(&item))).named(&at.name()))
        },
        iter: |items| Made::Int(items.into_iter().fold(0, mix)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::reduce"],
        graph: |g, items, at| {
            let items = items.inspect(move |item| _ = at.value(item)).named(&at.name());
            or_none(g, &items.reduce(|a, b| if is_better(*a.value, *b.value) { b } else { a }))
        },
        iter: |items| Made::Int(items.into_iter().reduce(|a, b| if is_better(a, b) { b } else { a }).unwrap_or(-1)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::aggregate"],
        graph: |g, items, at| {
            // As `fold` with `mix` of parts: a part knows by what it multiplies what comes before it.
            let fold = move |(sum, power): (i64, i64), item| (mix(sum, at.value(&item)), power.wrapping_mul(31));
            let combine =
                |(a, p): (i64, i64), (b, q): (i64, i64)| (a.wrapping_mul(q).wrapping_add(b), p.wrapping_mul(q));
            let sum = items.aggregate((0, 1), fold, combine).named(&at.name());
            Made::Int(g.task(sum.read(), |(sum, _)| *sum))
        },
        iter: |items| Made::Int(items.into_iter().fold(0, mix)),
        ..Sink::ORDERED
    },
];

impl Sink {
    /// Takes items in any order.
    const ANY: Self = Self {
        methods: &[],
        calls: true,
        needs_order: false,
        graph: |_, items, _| Made::List(items.collect()),
        iter: Made::List,
    };
    /// Means something only of a stream in order.
    const ORDERED: Self = Self { needs_order: true, ..Self::ANY };
}

/// The key of an item.
fn key(item: i64) -> i64 {
    item.rem_euclid(5)
}

/// What a reduction keeps of two items: not symmetric.
fn is_better(a: i64, b: i64) -> bool {
    b.rem_euclid(7) > a.rem_euclid(7)
}

fn or_none<'env>(g: &Graph<'env>, best: &Data<Option<Item<'env>>>) -> Answer<'env> {
    Made::Int(g.task(best.read(), |best| best.as_ref().map_or(-1, |best| *best.value)))
}
