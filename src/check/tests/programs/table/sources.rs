//! Sources.

use std::error::Error;
use std::ops::Range;

use super::super::items::{At, Item, source_item};
use super::{FromList, Source};
use crate::{Live, ParallelSource, Pull, Wake};

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
        methods: &["Graph::live"],
        calls: true,
        bytes: 1,
        graph: |g, at, len| {
            let pauses = usize::try_from(at.k).expect("small");
            g.live(Halting { at, len, next: 0, pauses, is_due: true }).named(&at.name()).boxed()
        },
    },
    Source {
        methods: &["Graph::range"],
        calls: false,
        bytes: 1,
        graph: |g, at, len| g.range(0..len as u64).map(move |index| at.item(source_item(index))).boxed(),
    },
    Source {
        methods: &["Graph::parallel"],
        calls: true,
        bytes: 1,
        graph: |g, at, len| g.parallel(Places { at, len: len as u64 }).named(&at.name()).boxed(),
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

/// Items that are made by place. Making one is user code.
struct Places<'env> {
    at: At<'env>,
    len: u64,
}

impl<'env> ParallelSource for Places<'env> {
    type Item = Item<'env>;

    fn len(&self) -> u64 {
        self.len
    }
    fn each(&self, range: Range<u64>, out: &mut impl FnMut(Item<'env>)) {
        for place in range {
            self.at.env.step(self.at.id, source_item(place));
            out(self.at.item(source_item(place)));
        }
    }
}

/// A live source that has nothing now before every item whose index is a multiple of `pauses`. Making an item is user
/// code.
struct Halting<'env> {
    at: At<'env>,
    len: usize,
    next: usize,
    pauses: usize,
    /// Whether the next pause is still to come.
    is_due: bool,
}

impl<'env> Live for Halting<'env> {
    type Item = Item<'env>;

    fn begin(&mut self) {
        (self.next, self.is_due) = (0, true);
    }
    fn pull(&mut self, wake: &Wake) -> Result<Pull<Item<'env>>, Box<dyn Error + Send + Sync>> {
        if std::mem::take(&mut self.is_due) && self.next.is_multiple_of(self.pauses) {
            wake.wake();
            return Ok(Pull::Pending);
        }
        if self.next == self.len {
            return Ok(Pull::End);
        }
        let value = source_item(self.next as u64);
        self.at.env.step(self.at.id, value);
        (self.next, self.is_due) = (self.next + 1, true);
        Ok(Pull::Item(self.at.item(value)))
    }
    fn done(&mut self, items: u64) {
        assert!(items <= self.next as u64, "it has given no more");
    }
}

/// Where the first `count` records of a text end.
fn end_of(text: &[u8], count: usize) -> usize {
    let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b';').map(|(place, _)| place + 1);
    std::iter::once(0).chain(ends).nth(count).expect("long enough")
}

fn number(text: &[u8]) -> i64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a number")
}
