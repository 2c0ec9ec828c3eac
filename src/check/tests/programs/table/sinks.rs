//! Sinks. What cannot call user code itself has an `inspect` before it that does.

use std::collections::{BTreeMap, VecDeque};
use std::num::Wrapping;

use super::super::items::{Item, mix};
use super::{Answer, Made, Sink};
use crate::{Data, Graph};

pub(in super::super) const SINKS: &[Sink] = &[
    Sink { methods: &["Stream::collect"], calls: false, ..Sink::ANY },
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
    Sink {
        methods: &["Stream::fold_with"],
        graph: |_, items, at| {
            Made::Int(items.fold_with(|| 0, move |sum, item| mix(sum, at.value(&item))).named(&at.name()))
        },
        iter: |items| Made::Int(items.into_iter().fold(0, mix)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::try_fold"],
        graph: |_, items, at| {
            let fold = move |sum, item| if at.is_error(&item) { Err("trap") } else { Ok(mix(sum, at.value(&item))) };
            Made::Int(items.try_fold(0, fold).named(&at.name()))
        },
        iter: |items| Made::Int(items.into_iter().fold(0, mix)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::try_for_each"],
        graph: |g, items, at| {
            let act = move |item| {
                if at.is_error(&item) {
                    return Err("trap");
                }
                at.act(&item, i64::wrapping_add);
                Ok(())
            };
            let done = items.try_for_each(act).named(&at.name());
            Made::Int(g.task(done.read(), move |()| at.acted()))
        },
        iter: |items| Made::Int(items.into_iter().map(Wrapping).sum::<Wrapping<i64>>().0),
        ..Sink::ANY
    },
    Sink {
        methods: &["Stream::try_for_each_ordered"],
        graph: |g, items, at| {
            let act = move |item| {
                if at.is_error(&item) {
                    return Err("trap");
                }
                at.act(&item, mix);
                Ok(())
            };
            let done = items.try_for_each_ordered(act).named(&at.name());
            Made::Int(g.task(done.read(), move |()| at.acted()))
        },
        iter: |items| Made::Int(items.into_iter().fold(0, mix)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::collect_as"],
        graph: |g, items, at| {
            let list = items.inspect(move |item| _ = at.value(item)).named(&at.name()).collect_as::<VecDeque<_>>();
            Made::Int(g.task(list.read(), |list| list.iter().fold(0, |sum, item| mix(sum, *item.value))))
        },
        iter: |items| Made::Int(items.into_iter().fold(0, mix)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::first"],
        graph: |g, items, at| or_none(g, &items.inspect(move |item| _ = at.value(item)).named(&at.name()).first()),
        iter: |items| Made::Int(items.into_iter().next().unwrap_or(-1)),
        ..Sink::FIRST
    },
    Sink {
        methods: &["Stream::last"],
        graph: |g, items, at| or_none(g, &items.inspect(move |item| _ = at.value(item)).named(&at.name()).last()),
        iter: |items| Made::Int(items.into_iter().next_back().unwrap_or(-1)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::find"],
        graph: |g, items, at| or_none(g, &items.find(move |item| at.value(item).rem_euclid(5) == 3).named(&at.name())),
        iter: |items| Made::Int(items.into_iter().find(|x| x.rem_euclid(5) == 3).unwrap_or(-1)),
        ..Sink::FIRST
    },
    Sink {
        methods: &["Stream::any"],
        graph: |g, items, at| {
            let any = items.any(move |item| at.value(&item).rem_euclid(11) == 3).named(&at.name());
            Made::Int(g.task(any.read(), |any| i64::from(*any)))
        },
        iter: |items| Made::Int(i64::from(items.into_iter().any(|x| x.rem_euclid(11) == 3))),
        ..Sink::FIRST
    },
    Sink {
        methods: &["Stream::all"],
        graph: |g, items, at| {
            let all = items.all(move |item| at.value(&item).rem_euclid(11) != 3).named(&at.name());
            Made::Int(g.task(all.read(), |all| i64::from(*all)))
        },
        iter: |items| Made::Int(i64::from(items.into_iter().all(|x| x.rem_euclid(11) != 3))),
        ..Sink::FIRST
    },
    Sink {
        methods: &["Stream::min_by"],
        graph: |g, items, at| {
            let items = items.inspect(move |item| _ = at.value(item)).named(&at.name());
            or_none(g, &items.min_by(|a, b| rank(*a.value).cmp(&rank(*b.value))))
        },
        iter: |items| Made::Int(items.into_iter().min_by(|a, b| rank(*a).cmp(&rank(*b))).unwrap_or(-1)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::max_by"],
        graph: |g, items, at| {
            let items = items.inspect(move |item| _ = at.value(item)).named(&at.name());
            or_none(g, &items.max_by(|a, b| rank(*a.value).cmp(&rank(*b.value))))
        },
        iter: |items| Made::Int(items.into_iter().max_by(|a, b| rank(*a).cmp(&rank(*b))).unwrap_or(-1)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::min_by_key"],
        graph: |g, items, at| or_none(g, &items.min_by_key(move |item| rank(at.value(item))).named(&at.name())),
        iter: |items| Made::Int(items.into_iter().min_by_key(|x| rank(*x)).unwrap_or(-1)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::max_by_key"],
        graph: |g, items, at| or_none(g, &items.max_by_key(move |item| rank(at.value(item))).named(&at.name())),
        iter: |items| Made::Int(items.into_iter().max_by_key(|x| rank(*x)).unwrap_or(-1)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Stream::top_k"],
        graph: |g, items, at| {
            let best = items.inspect(move |item| _ = at.value(item)).named(&at.name()).top_k(3);
            Made::Int(g.task(best.read(), |best| best.iter().fold(0, |sum, item| mix(sum, *item.value))))
        },
        iter: |mut items| {
            items.sort_unstable_by_key(|x| std::cmp::Reverse(*x));
            Made::Int(items.into_iter().take(3).fold(0, mix))
        },
        ..Sink::ANY
    },
];

impl Sink {
    /// Takes items in any order.
    const ANY: Self = Self {
        methods: &[],
        calls: true,
        needs_order: false,
        ends_early: false,
        graph: |_, items, _| Made::List(items.collect()),
        iter: Made::List,
    };
    /// Means something only of a stream in order.
    const ORDERED: Self = Self { needs_order: true, ..Self::ANY };
    /// Ends at the first item that it looks for.
    const FIRST: Self = Self { ends_early: true, ..Self::ORDERED };
}

/// The key of an item.
fn key(item: i64) -> i64 {
    item.rem_euclid(5)
}

/// What a reduction keeps of two items: not symmetric.
fn is_better(a: i64, b: i64) -> bool {
    rank(b) > rank(a)
}

/// What items are compared by; many have the same.
fn rank(item: i64) -> i64 {
    item.rem_euclid(7)
}

fn or_none<'env>(g: &Graph<'env>, best: &Data<Option<Item<'env>>>) -> Answer<'env> {
    Made::Int(g.task(best.read(), |best| best.as_ref().map_or(-1, |best| *best.value)))
}
