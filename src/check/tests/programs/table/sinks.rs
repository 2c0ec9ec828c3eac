//! Sinks. What cannot call user code itself has an `inspect` before it that does.

use std::collections::{BTreeMap, VecDeque};
use std::num::Wrapping;

use super::super::items::{At, Item, Items, mix};
use super::{Answer, Made, Sink};
use crate::{Data, Graph, Keyed, Pipe, Table};

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
            of_table(g, &keyed.count(), |count| i64::try_from(*count).expect("small"))
        },
        iter: |items| by_key(items, |items| i64::try_from(items.len()).expect("small")),
        ..Sink::ANY
    },
    Sink {
        methods: &["Keyed::map_values", "Keyed::sum"],
        graph: |g, items, at| {
            let keyed = items.key_by(|item| key(*item.value)).map_values(move |item| at.value(&item).rem_euclid(1000));
            of_table(g, &keyed.named(&at.name()).sum::<i64>(), |sum| *sum)
        },
        iter: |items| by_key(items, |items| items.into_iter().map(|x| x.rem_euclid(1000)).sum()),
        ..Sink::ANY
    },
    Sink {
        methods: &["Keyed::min"],
        graph: |g, items, at| of_table(g, &keyed_pairs(items, at).min(), |pair| pair.value()),
        iter: |items| by_key(items, |items| items.into_iter().min_by_key(|x| rank(*x)).expect("some")),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Keyed::max"],
        graph: |g, items, at| of_table(g, &keyed_pairs(items, at).max(), |pair| pair.value()),
        iter: |items| by_key(items, |items| items.into_iter().max_by_key(|x| rank(*x)).expect("some")),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Keyed::fold"],
        graph: |g, items, at| {
            let keyed = items.key_by(|item| key(*item.value));
            of_table(g, &keyed.fold(7, move |sum, item| mix(sum, at.value(&item))).named(&at.name()), |sum| *sum)
        },
        iter: |items| by_key(items, |items| items.into_iter().fold(7, mix)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Keyed::reduce"],
        graph: |g, items, at| {
            let keyed = items.inspect(move |item| _ = at.value(item)).named(&at.name()).key_by(|item| key(*item.value));
            of_table(g, &keyed.reduce(|a, b| if is_better(*a.value, *b.value) { b } else { a }), |item| *item.value)
        },
        iter: |items| {
            by_key(items, |items| items.into_iter().reduce(|a, b| if is_better(a, b) { b } else { a }).expect("some"))
        },
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Keyed::collect"],
        graph: |g, items, at| {
            let keyed = items.inspect(move |item| _ = at.value(item)).named(&at.name()).key_by(|item| key(*item.value));
            of_table(g, &keyed.collect(), |items| items.iter().fold(7, |sum, item| mix(sum, *item.value)))
        },
        iter: |items| by_key(items, |items| items.into_iter().fold(7, mix)),
        ..Sink::ORDERED
    },
    Sink {
        methods: &["Keyed::top_k"],
        graph: |g, items, at| {
            let keyed = items.inspect(move |item| _ = at.value(item)).named(&at.name()).key_by(|item| key(*item.value));
            of_table(g, &keyed.top_k(2), |items| items.iter().fold(7, |sum, item| mix(sum, *item.value)))
        },
        iter: |items| {
            by_key(items, |mut items| {
                items.sort_unstable_by_key(|x| std::cmp::Reverse(*x));
                items.into_iter().take(2).fold(7, mix)
            })
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
            // As `fold` with `mix` of parts: a part knows by what it multiplies what comes before it. It is in a box, so
            // that it is taken for dear.
            type Part = Box<(i64, i64)>;
            let fold = move |part: Part, item| Part::new((mix(part.0, at.value(&item)), part.1.wrapping_mul(31)));
            let combine =
                |a: Part, b: Part| Part::new((a.0.wrapping_mul(b.1).wrapping_add(b.0), a.1.wrapping_mul(b.1)));
            let sum = items.aggregate(Part::new((0, 1)), fold, combine).named(&at.name());
            Made::Int(g.task(sum.read(), |part| part.0))
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

/// An item that is compared by its rank alone.
struct Ranked<'env>(Item<'env>);

impl Ranked<'_> {
    fn value(&self) -> i64 {
        *self.0.value
    }
}

impl PartialEq for Ranked<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Ranked<'_> {}
impl PartialOrd for Ranked<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        rank(self.value()).cmp(&rank(other.value()))
    }
}

/// Items to be compared by rank, by key.
fn keyed_pairs<'env>(
    items: Items<'env>,
    at: At<'env>,
) -> Keyed<'env, i64, Ranked<'env>, impl Pipe<Out = (i64, Ranked<'env>)>> {
    let items = items.inspect(move |item| _ = at.value(item)).named(&at.name());
    items.map(Ranked).key_by(|item| key(item.value()))
}

/// A number that depends on all entries of a table.
fn of_table<'env, V: Send + Sync + 'env>(
    g: &Graph<'env>,
    table: &Data<Table<i64, V>>,
    value: fn(&V) -> i64,
) -> Answer<'env> {
    let entry = move |(key, of_key): (&i64, &V)| Wrapping(mix(*key, value(of_key)));
    Made::Int(g.task(table.read(), move |table| table.iter().map(entry).sum::<Wrapping<i64>>().0))
}

/// The same of a map.
fn by_key(items: Vec<i64>, value: fn(Vec<i64>) -> i64) -> Made<i64, Vec<i64>> {
    let mut table: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    items.into_iter().for_each(|x| table.entry(key(x)).or_default().push(x));
    Made::Int(table.into_iter().map(|(key, items)| Wrapping(mix(key, value(items)))).sum::<Wrapping<i64>>().0)
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
