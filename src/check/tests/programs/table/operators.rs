//! Operators with one input and one output.

use std::collections::BTreeSet;

use super::super::items::{At, Item, mix, source_item};
use super::elsewhere::ELSEWHERE;
use super::{Operator, WithData, windows};

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
        methods: &["Stream::try_map_ref", "Stream::retry"],
        graph: |items, at| {
            let mixed = move |item: &Item<'_>| {
                if at.is_error(item) { Err("trap") } else { Ok(at.item(mix(at.value(item), at.k))) }
            };
            items.try_map_ref(mixed).retry(2).boxed()
        },
        iter: |items, k| items.into_iter().map(|x| mix(x, k)).collect(),
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::expand"],
        graph: |items, at| {
            let copies = move |item: Item<'_>| {
                let value = *item.value;
                (0..copies(at.value(&item))).map(move |copy| at.item(mix(value, copy)))
            };
            items.expand(copies).boxed()
        },
        iter: |items, _| items.into_iter().flat_map(|x| (0..copies(x)).map(move |copy| mix(x, copy))).collect(),
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::try_flat_map"],
        graph: |items, at| {
            let copies = move |item: Item<'_>| {
                let (value, fails) = (*item.value, at.is_error(&item));
                let made = || (0..copies(at.value(&item))).map(move |copy| at.item(mix(value, copy)));
                if fails { Err("trap") } else { Ok(made()) }
            };
            items.try_flat_map(copies).boxed()
        },
        iter: |items, _| items.into_iter().flat_map(|x| (0..copies(x)).map(move |copy| mix(x, copy))).collect(),
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::map_batch"],
        // It is not known on which item of a batch user code fails.
        calls: false,
        graph: |items, at| {
            let mixed = move |item: Item<'_>| at.item(mix(*item.value, at.k));
            let some = |item: &Item<'_>| item.value.rem_euclid(5) > 0;
            items.map_batch(move |items| items.into_iter().filter(some).map(mixed)).boxed()
        },
        iter: |items, k| items.into_iter().filter(|x| x.rem_euclid(5) > 0).map(|x| mix(x, k)).collect(),
        ..Operator::FUSES
    },
    ELSEWHERE[0],
    ELSEWHERE[1],
    ELSEWHERE[2],
    ELSEWHERE[3],
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
    ELSEWHERE[0],
    ELSEWHERE[1],
    ELSEWHERE[2],
    ELSEWHERE[3],
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
    Operator {
        methods: &["Stream::take"],
        calls: false,
        ends_early: true,
        graph: |items, at| items.take(at.k.unsigned_abs() * 2).boxed(),
        iter: |items, k| items.into_iter().take(usize::try_from(k).expect("small") * 2).collect(),
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Stream::skip"],
        calls: false,
        graph: |items, at| items.skip(at.k.unsigned_abs()).boxed(),
        iter: |items, k| items.into_iter().skip(usize::try_from(k).expect("small")).collect(),
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Stream::chunks"],
        calls: false,
        graph: |items, at| {
            let chunks = items.chunks(usize::try_from(at.k).expect("small"));
            chunks.map(move |chunk| at.item(chunk.iter().fold(0, |sum, item| mix(sum, *item.value)))).boxed()
        },
        iter: |items, k| {
            let chunks = items.chunks(usize::try_from(k).expect("small"));
            chunks.map(|chunk| chunk.iter().fold(0, |sum, x| mix(sum, *x))).collect()
        },
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Stream::window"],
        calls: false,
        graph: |items, at| {
            let windows = items.window(3, usize::try_from(at.k).expect("small"));
            windows.map(move |window| at.item(window.iter().fold(0, |sum, item| mix(sum, *item.value)))).boxed()
        },
        iter: |items, k| {
            let windows = items.windows(3).step_by(usize::try_from(k).expect("small"));
            windows.map(|window| window.iter().fold(0, |sum, x| mix(sum, *x))).collect()
        },
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Stream::copied"],
        graph: |items, at| {
            let numbers = items.map(move |item| &at.env.numbers[number_of(at.value(&item))]);
            numbers.named(&at.name()).copied().map(move |number| at.item(number)).boxed()
        },
        iter: |items, _| items.into_iter().map(|x| source_item(number_of(x) as u64)).collect(),
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::cloned"],
        graph: |items, at| {
            let numbers = items.map(move |item| &at.env.numbers[number_of(at.value(&item))]);
            numbers.named(&at.name()).cloned().map(move |number| at.item(number)).boxed()
        },
        iter: |items, _| items.into_iter().map(|x| source_item(number_of(x) as u64)).collect(),
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::distinct"],
        calls: false,
        graph: |items, at| items.map(|item| number_of(*item.value)).distinct().map(move |x| at.item(x as i64)).boxed(),
        iter: |items, _| {
            let mut seen = BTreeSet::new();
            items.into_iter().map(number_of).filter(|x| seen.insert(*x)).map(|x| x as i64).collect()
        },
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Stream::sorted_by_key"],
        calls: false,
        graph: |items, _| items.sorted_by_key(|item| item.value.rem_euclid(5)).boxed(),
        iter: |mut items, _| {
            items.sort_by_key(|x| x.rem_euclid(5));
            items
        },
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Keyed::scan"],
        graph: |items, at| {
            // Not in the closure of `scan`: that is not called for a key that has ended.
            let items = items.inspect(move |item| _ = at.value(item)).named(&at.name());
            let sum = move |sum: &mut i64, item: Item<'_>| {
                *sum = mix(*sum, *item.value);
                (sum.rem_euclid(8) != 0).then_some(*sum)
            };
            items.key_by(|item| item.value.rem_euclid(3)).scan(at.k, sum).map(move |sum| at.item(sum)).boxed()
        },
        iter: |items, k| {
            let mut states = [Some(k); 3];
            let mut next = |x: i64| {
                let state = &mut states[usize::try_from(x.rem_euclid(3)).expect("small")];
                *state = state.map(|sum| mix(sum, x)).filter(|sum| sum.rem_euclid(8) != 0);
                *state
            };
            items.into_iter().filter_map(&mut next).collect()
        },
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Keyed::windows"],
        graph: |items, at| {
            // Not in the closure of `windows`: that is not called for late items.
            let items = items.inspect(move |item| _ = at.value(item)).named(&at.name());
            let add = |sum: &mut i64, item: &Item<'_>| *sum = mix(*sum, *item.value);
            let time = |item: &Item<'_>| windows::time(*item.value);
            let made = items.key_by(|item| windows::key(*item.value)).windows(windows::fixed(at.k), time, 7, add);
            made.map(move |made| at.item(windows::number(&made, |late| *late.value))).boxed()
        },
        iter: |items, k| windows::expected_fixed(&items, k),
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Keyed::sessions"],
        graph: |items, at| {
            let items = items.inspect(move |item| _ = at.value(item)).named(&at.name());
            let add = |sum: &mut i64, item: &Item<'_>| *sum = mix(*sum, *item.value);
            let merge = |sum: &mut i64, more| *sum = mix(*sum, more);
            let time = |item: &Item<'_>| windows::time(*item.value);
            let keyed = items.key_by(|item| windows::key(*item.value));
            let made = keyed.sessions(windows::pauses(at.k), time, 7, add, merge);
            made.map(move |made| at.item(windows::number(&made, |late| *late.value))).boxed()
        },
        iter: |items, k| windows::expected_sessions(&items, k),
        ..Operator::SERIAL
    },
    Operator {
        methods: &["Stream::apply"],
        graph: |items, at| items.apply(Pairs { at, kept: None }).boxed(),
        iter: |items, _| items.chunks(2).map(|pair| pair.iter().fold(7, |sum, x| mix(sum, *x))).collect(),
        ..Operator::SERIAL
    },
];

/// Puts two items together; what is left over at the end comes alone.
struct Pairs<'env> {
    at: At<'env>,
    kept: Option<i64>,
}

impl<'env> crate::Operator for Pairs<'env> {
    type In = Item<'env>;
    type Out = Item<'env>;
    fn on_start(&mut self) {
        self.kept = None;
    }
    fn on_item(&mut self, item: Item<'env>, out: &mut dyn FnMut(Item<'env>)) {
        let value = self.at.value(&item);
        match self.kept.take() {
            None => self.kept = Some(value),
            Some(first) => out(item.with(mix(mix(7, first), value))),
        }
    }
    fn on_end(&mut self, out: &mut dyn FnMut(Item<'env>)) {
        if let Some(first) = self.kept.take() {
            out(self.at.item(mix(7, first)));
        }
    }
}

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

/// Which of the 64 numbers of the environment belongs to an item.
fn number_of(item: i64) -> usize {
    usize::try_from(item.rem_euclid(64)).expect("small")
}
