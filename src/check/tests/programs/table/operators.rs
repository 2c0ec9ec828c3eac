//! Operators with one input and one output.

use super::super::items::mix;
use super::{Operator, WithData};

pub(in super::super) const OPERATORS: &[Operator] = &[
    Operator {
        methods: &["Stream::map"],
        graph: |items, at| items.map(move |item| at.mixed(item)).boxed(),
        iter: |items, k| items.into_iter().map(|x| mix(x, k)).collect(),
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::filter"],
        graph: |items, at| items.filter(move |item| at.wants(item)).boxed(),
        iter: |items, k| items.into_iter().filter(|x| x.rem_euclid(k) != 0).collect(),
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::filter_map"],
        graph: |items, at| {
            items.filter_map(move |item| Some(at.mixed(item)).filter(|x| x.value.rem_euclid(3) > 0)).boxed()
        },
        iter: |items, k| items.into_iter().filter_map(|x| Some(mix(x, k)).filter(|x| x.rem_euclid(3) > 0)).collect(),
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::flat_map"],
        graph: |items, at| {
            let copies = move |item| (0..copies(at.value(&item))).map(move |copy| at.item(mix(*item.value, copy)));
            items.flat_map(copies).boxed()
        },
        iter: |items, _| items.into_iter().flat_map(|x| (0..copies(x)).map(move |copy| mix(x, copy))).collect(),
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::flat_map_into"],
        graph: |items, at| {
            let copies = move |item, out: &mut dyn FnMut(_)| {
                (0..copies(at.value(&item))).for_each(|copy| out(at.item(mix(*item.value, copy))));
            };
            items.flat_map_into(copies).boxed()
        },
        iter: |items, _| items.into_iter().flat_map(|x| (0..copies(x)).map(move |copy| mix(x, copy))).collect(),
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::inspect"],
        graph: |items, at| items.inspect(move |item| _ = at.value(item)).boxed(),
        iter: |items, _| items,
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::try_map"],
        graph: |items, at| {
            items.try_map(move |item| if at.is_error(&item) { Err("trap") } else { Ok(at.mixed(item)) }).boxed()
        },
        iter: |items, k| items.into_iter().map(|x| mix(x, k)).collect(),
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::scan"],
        graph: |items, at| {
            let sum = move |sum: &mut i64, item| {
                *sum = mix(*sum, at.value(&item));
                Some(item.with(*sum))
            };
            items.scan(at.k, sum).boxed()
        },
        iter: |items, k| {
            let sum = |sum: &mut i64, x| {
                *sum = mix(*sum, x);
                Some(*sum)
            };
            items.into_iter().scan(k, sum).collect()
        },
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Stream::scan"],
        ends_early: true,
        graph: |items, at| {
            let sum = move |sum: &mut i64, item| {
                *sum = mix(*sum, at.value(&item));
                (sum.rem_euclid(8) != 0).then(|| item.with(*sum))
            };
            items.scan(at.k, sum).boxed()
        },
        iter: |items, k| {
            let sum = |sum: &mut i64, x| {
                *sum = mix(*sum, x);
                (sum.rem_euclid(8) != 0).then_some(*sum)
            };
            items.into_iter().scan(k, sum).collect()
        },
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Stream::enumerate"],
        calls: false,
        graph: |items, _| {
            items
                .enumerate()
                .map(|(number, item)| {
                    let value = mix(*item.value, i64::try_from(number).expect("small"));
                    item.with(value)
                })
                .boxed()
        },
        iter: |items, _| items.into_iter().zip(0..).map(|(x, number)| mix(x, number)).collect(),
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Stream::take_while"],
        ends_early: true,
        graph: |items, at| items.take_while(move |item| at.value(item).rem_euclid(7) != 0).boxed(),
        iter: |items, _| items.into_iter().take_while(|x| x.rem_euclid(7) != 0).collect(),
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Stream::unordered"],
        calls: false,
        keeps_order: false,
        graph: |items, _| items.unordered().boxed(),
        iter: |items, _| items,
        ..Operator::FUSES
    },
];

pub(in super::super) const WITH_DATA: WithData = WithData {
    methods: &["Stream::map_with"],
    graph: |items, at, data| {
        let mixed = move |data: &i64, item| {
            let value = mix(at.value(&item), *data);
            item.with(value)
        };
        items.spooled().map_with(data, mixed).boxed()
    },
    iter: |items, data| items.into_iter().map(|x| mix(x, data)).collect(),
};

/// How many items become of one.
fn copies(item: i64) -> i64 {
    item.rem_euclid(3)
}
