//! One row for each method that adds to a stream: what it is in a graph, and what it means to an iterator.
//!
//! Random programs are drawn from these rows, and `tests/tidy.rs` checks that each method has one. A new operator needs
//! its own file, and a row here. In a row, `graph` adds the operator, with closures that count as user code (by
//! [`At`]), and `iter` does the same to a vector. `k` is a number from 1 to 11 that both are given.
//! Making an item by `At::item` is not user code. An operator on other items than [`Item`] has a `map` before and behind
//! it, as `enumerate` has.

mod elsewhere;
mod operators;
mod shapes;
mod sinks;
mod sources;
mod windows;

use std::collections::BTreeSet;

use super::items::{At, Item, Items};
use crate::{Data, Graph};

pub(super) use operators::{OPERATORS, WITH_DATA};
pub(super) use shapes::{FORKS, GATHERS};
pub(super) use sinks::SINKS;
pub(super) use sources::{ITEMS, SOURCES};

/// The result of a sink in a graph.
pub(super) type Answer<'env> = Made<Data<i64>, Data<Vec<Item<'env>>>>;

/// A source of `len` small numbers, always the same ones.
pub(super) struct Source {
    pub(super) methods: &'static [&'static str],
    /// Whether making an item is user code.
    pub(super) calls: bool,
    /// Bytes for an item, where `batch_size` is in bytes.
    pub(super) bytes: usize,
    pub(super) graph: for<'env> fn(&Graph<'env>, At<'env>, usize) -> Items<'env>,
}

/// One stream becomes another one.
#[derive(Clone, Copy)]
pub(super) struct Operator {
    pub(super) methods: &'static [&'static str],
    /// Whether it calls user code.
    pub(super) calls: bool,
    /// Whether it means something only of a stream in order.
    pub(super) needs_order: bool,
    /// Whether what comes out is in order, if what came in was.
    pub(super) keeps_order: bool,
    /// Whether the stream may end before all that feeds it has.
    pub(super) ends_early: bool,
    pub(super) graph: for<'env> fn(Items<'env>, At<'env>) -> Items<'env>,
    pub(super) iter: fn(Vec<i64>, i64) -> Vec<i64>,
}

impl Operator {
    /// Runs on all workers at once.
    const FUSES: Self = Self {
        methods: &[],
        calls: true,
        needs_order: false,
        keeps_order: true,
        ends_early: false,
        graph: |items, _| items,
        iter: |items, _| items,
    };
    /// One item at a time, in stream order.
    const SERIAL: Self = Self { needs_order: true, ..Self::FUSES };
}

/// One stream becomes another one with the help of a number.
pub(super) struct WithData {
    pub(super) methods: &'static [&'static str],
    pub(super) graph: for<'env> fn(Items<'env>, At<'env>, &Data<i64>) -> Items<'env>,
    pub(super) iter: fn(Vec<i64>, i64) -> Vec<i64>,
}

/// A list becomes a stream.
pub(super) struct FromList {
    pub(super) methods: &'static [&'static str],
    pub(super) graph: for<'env> fn(&Graph<'env>, &Data<Vec<Item<'env>>>) -> Items<'env>,
}

type Two<T> = (T, T);

/// One stream becomes two.
pub(super) struct Fork {
    pub(super) methods: &'static [&'static str],
    pub(super) calls: bool,
    pub(super) graph: for<'env> fn(Items<'env>, At<'env>) -> Two<Items<'env>>,
    pub(super) iter: fn(Vec<i64>, i64) -> Two<Vec<i64>>,
}

/// Two streams become one.
pub(super) struct Gather {
    pub(super) methods: &'static [&'static str],
    pub(super) needs_order: bool,
    pub(super) keeps_order: bool,
    pub(super) ends_early: bool,
    pub(super) graph: for<'env> fn(Items<'env>, Items<'env>) -> Items<'env>,
    pub(super) iter: fn(Vec<i64>, Vec<i64>) -> Vec<i64>,
}

/// A stream ends.
pub(super) struct Sink {
    pub(super) methods: &'static [&'static str],
    /// Whether it calls user code.
    pub(super) calls: bool,
    pub(super) needs_order: bool,
    /// Whether it may want no more items before the stream ends.
    pub(super) ends_early: bool,
    pub(super) graph: for<'env> fn(&Graph<'env>, Items<'env>, At<'env>) -> Answer<'env>,
    pub(super) iter: fn(Vec<i64>) -> Made<i64, Vec<i64>>,
}

/// What becomes of a stream that ends.
#[derive(Clone, Debug)]
pub(super) enum Made<I, L> {
    Int(I),
    List(L),
}

/// The methods of all rows.
pub(super) fn methods() -> BTreeSet<&'static str> {
    let mut methods = BTreeSet::new();
    SOURCES.iter().for_each(|row| methods.extend(row.methods));
    OPERATORS.iter().for_each(|row| methods.extend(row.methods));
    FORKS.iter().for_each(|row| methods.extend(row.methods));
    GATHERS.iter().for_each(|row| methods.extend(row.methods));
    SINKS.iter().for_each(|row| methods.extend(row.methods));
    methods.extend(WITH_DATA.methods);
    methods.extend(ITEMS.methods);
    methods
}
