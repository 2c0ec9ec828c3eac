//! Sources.

use super::super::items::{At, Item, source_item};
use super::{FromList, Source};

pub(in super::super) const SOURCES: &[Source] = &[
    Source {
        methods: &["Graph::source_fn"],
        calls: true,
        bytes: 1,
        graph: |g, at, len| g.source_fn(move || made(at, len)).named(&at.name()).boxed(),
    },
    Source {
        methods: &["Graph::source"],
        calls: true,
        bytes: 1,
        graph: |g, at, len| {
            let items =
                if at.once { g.source(made(at, len)).boxed() } else { g.source_fn(move || made(at, len)).boxed() };
            items.named(&at.name())
        },
    },
    Source {
        methods: &["Graph::range"],
        calls: false,
        bytes: 1,
        graph: |g, at, len| g.range(0..len as u64).map(move |index| at.item(source_item(index))).boxed(),
    },
    Source {
        methods: &["Graph::slice"],
        calls: false,
        bytes: 1,
        graph: |g, at, len| g.slice(&at.env.numbers[..len]).map(move |number| at.item(*number)).boxed(),
    },
    Source {
        methods: &["Graph::vec"],
        calls: false,
        bytes: 1,
        graph: |g, at, len| {
            let items: Vec<_> = (0..len as u64).map(|index| at.item(source_item(index))).collect();
            if at.once { g.vec(items).boxed() } else { g.items(&g.data(items)).boxed() }
        },
    },
    Source {
        methods: &["Graph::split"],
        calls: false,
        bytes: 3,
        graph: |g, at, len| {
            let text = &at.env.text[..end_of(&at.env.text, len)];
            g.split(text, b';').map(move |text| at.item(number(text))).boxed()
        },
    },
    Source {
        methods: &["Graph::split_all"],
        calls: false,
        bytes: 3,
        graph: |g, at, len| {
            let text = &at.env.text[..end_of(&at.env.text, len)];
            let (first, second) = text.split_at(end_of(text, len / 3));
            g.split_all(&[first, b"", second], b';').map(move |text| at.item(number(text))).boxed()
        },
    },
];

pub(in super::super) const ITEMS: FromList =
    FromList { methods: &["Graph::items"], graph: |g, list| g.items(list).boxed() };

/// The items of an iterator that makes them one by one. Making one is user code.
fn made<'env>(at: At<'env>, len: usize) -> impl Iterator<Item = Item<'env>> + Send {
    (0..len as u64).map(move |index| {
        at.env.step(at.id, source_item(index));
        at.item(source_item(index))
    })
}

/// Where the first `count` records of a text end.
fn end_of(text: &[u8], count: usize) -> usize {
    let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b';').map(|(place, _)| place + 1);
    std::iter::once(0).chain(ends).nth(count).expect("long enough")
}

fn number(text: &[u8]) -> i64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a number")
}
