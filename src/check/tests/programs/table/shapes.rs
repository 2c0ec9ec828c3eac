//! Operators with several inputs or outputs.

use super::super::items::{Item, mix};
use super::{Fork, Gather};

pub(in super::super) const FORKS: &[Fork] = &[
    Fork {
        methods: &["Stream::tee"],
        calls: false,
        graph: |items, _| {
            let (left, right) = items.tee();
            (left.boxed(), right.boxed())
        },
        iter: |items, _| (items.clone(), items),
    },
    Fork {
        methods: &["Stream::partition"],
        calls: true,
        graph: |items, at| {
            let (left, right) = items.partition(move |item| !at.wants(item));
            (left.boxed(), right.boxed())
        },
        iter: |items, k| items.into_iter().partition(|x| x.rem_euclid(k) == 0),
    },
    Fork {
        methods: &["Stream::route"],
        calls: true,
        graph: |items, at| {
            let [left, right] = items.route(move |item| usize::from(at.wants(item)));
            (left.boxed(), right.boxed())
        },
        iter: |items, k| items.into_iter().partition(|x| x.rem_euclid(k) == 0),
    },
    Fork {
        methods: &["Stream::try_partition"],
        calls: true,
        graph: |items, at| {
            let made =
                move |item: &Item<'_>| if at.wants(item) { Err(()) } else { Ok(at.item(mix(*item.value, at.k))) };
            let (left, right) = items.try_partition(made);
            (left.boxed(), right.map(|(item, ())| item).boxed())
        },
        iter: |items, k| {
            let (left, right): (Vec<_>, _) = items.into_iter().partition(|x| x.rem_euclid(k) == 0);
            (left.into_iter().map(|x| mix(x, k)).collect(), right)
        },
    },
];

pub(in super::super) const GATHERS: &[Gather] = &[
    Gather {
        methods: &["Stream::zip"],
        needs_order: true,
        keeps_order: true,
        ends_early: true,
        graph: |left, right| {
            left.zip(right)
                .map(|(a, b)| {
                    let value = mix(*a.value, *b.value);
                    a.with(value)
                })
                .boxed()
        },
        iter: |left, right| left.into_iter().zip(right).map(|(a, b)| mix(a, b)).collect(),
    },
    Gather {
        methods: &["Stream::chain"],
        needs_order: false,
        keeps_order: true,
        ends_early: false,
        graph: |first, second| first.chain(second.spooled()).boxed(),
        iter: |first, second| first.into_iter().chain(second).collect(),
    },
    Gather {
        methods: &["Stream::merge"],
        needs_order: false,
        keeps_order: false,
        ends_early: false,
        graph: |left, right| left.merge(right).boxed(),
        iter: |left, right| left.into_iter().chain(right).collect(),
    },
    Gather {
        methods: &["Stream::merge_by_key"],
        needs_order: true,
        keeps_order: true,
        ends_early: false,
        graph: |left, right| left.merge_by_key(right, |item| item.value.rem_euclid(9)).boxed(),
        iter: |left, right| {
            // Few of the streams are sorted. What comes out of the others is promised, too.
            let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
            let mut merged = Vec::new();
            while let (Some(one), Some(two)) = (left.peek(), right.peek()) {
                let from = if one.rem_euclid(9) <= two.rem_euclid(9) { &mut left } else { &mut right };
                merged.extend(from.next());
            }
            merged.extend(left.chain(right));
            merged
        },
    },
    Gather {
        methods: &["Stream::join_by_key"],
        needs_order: true,
        keeps_order: true,
        ends_early: false,
        graph: |left, right| {
            let rank = |item: &Item<'_>| item.value.rem_euclid(101);
            let pairs = left.spooled().join_by_key(right, rank, rank);
            pairs
                .map(|(left, right)| {
                    let value = mix(*left.value, *right.value);
                    left.with(value)
                })
                .boxed()
        },
        iter: |left, right| {
            let of =
                |x: i64| right.iter().filter(move |y| y.rem_euclid(101) == x.rem_euclid(101)).map(move |y| mix(x, *y));
            left.into_iter().flat_map(of).collect()
        },
    },
];
