//! The items of random programs, and the user code that works on them. Each item is counted while it lives, and any
//! call may be made to fail.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread;

use crate::check::work;
use crate::{NumaNode, Pool, Stream};

/// The items of a source: small numbers of either sign, some of them equal.
pub(super) fn source_item(index: u64) -> i64 {
    i64::try_from(index * 7 % 23).expect("small") - 5
}

/// What is mixed in everywhere, so that a lost or doubled item shows.
pub(super) fn mix(a: i64, b: i64) -> i64 {
    a.wrapping_mul(31).wrapping_add(b)
}

/// Operators of a program at most.
const OPERATORS: usize = 256;

/// What a graph borrows, and what goes wrong in it.
#[derive(Debug)]
pub(super) struct Env {
    live: AtomicI64,
    /// The most that lived at once.
    most: AtomicI64,
    /// What panics of items with a value, a [`Bomb`], and that value.
    bomb: AtomicUsize,
    bomb_value: AtomicI64,
    armed: AtomicBool,
    operator: AtomicUsize,
    value: AtomicI64,
    /// Whether the trap is an error, not a panic, where it may be.
    error: AtomicBool,
    pub(super) numbers: Vec<i64>,
    /// The numbers as text, a `;` behind each.
    pub(super) text: Vec<u8>,
    /// The NUMA nodes of the pool's machine.
    pub(super) nodes: Vec<usize>,
    /// What sinks without a result have done, by operator.
    effects: Vec<AtomicI64>,
}

impl Env {
    pub(super) fn new(pool: &Pool) -> Self {
        let numbers: Vec<i64> = (0..64).map(source_item).collect();
        let text = numbers.iter().flat_map(|number| format!("{number};").into_bytes()).collect();
        Self {
            live: AtomicI64::new(0),
            most: AtomicI64::new(0),
            bomb: AtomicUsize::new(Bomb::Nothing as usize),
            bomb_value: AtomicI64::new(0),
            armed: AtomicBool::new(false),
            operator: AtomicUsize::new(0),
            value: AtomicI64::new(0),
            error: AtomicBool::new(false),
            numbers,
            text,
            nodes: pool.topology().numa_nodes().iter().map(NumaNode::id).collect(),
            effects: (0..OPERATORS).map(|_| AtomicI64::new(0)).collect(),
        }
    }

    /// From now on `operator` fails on items with this value.
    pub(super) fn arm(&self, operator: usize, value: i64, error: bool) {
        self.operator.store(operator, Ordering::Relaxed);
        self.value.store(value, Ordering::Relaxed);
        self.error.store(error, Ordering::Relaxed);
        self.armed.store(true, Ordering::Relaxed);
    }

    pub(super) fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// From now on items with this value panic there.
    pub(super) fn place(&self, bomb: Bomb, value: i64) {
        self.bomb_value.store(value, Ordering::Relaxed);
        self.bomb.store(bomb as usize, Ordering::Relaxed);
    }

    /// An item with this value comes there.
    fn passes(&self, bomb: Bomb, value: i64) {
        let is_there = self.bomb.load(Ordering::Relaxed) == bomb as usize;
        let explodes = is_there && self.bomb_value.load(Ordering::Relaxed) == value;
        assert!(!explodes || thread::panicking(), "trap"); // a second panic would abort, whoever runs the item's code
    }

    /// Items that are in memory somewhere.
    pub(super) fn live(&self) -> i64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Another item is in memory.
    fn begin(&self) {
        let live = 1 + self.live.fetch_add(1, Ordering::Relaxed);
        self.most.fetch_max(live, Ordering::Relaxed);
    }

    /// The most items that were in memory at once.
    pub(super) fn most(&self) -> i64 {
        self.most.load(Ordering::Relaxed)
    }

    /// A run begins: nothing has been done yet.
    pub(super) fn reset_effects(&self) {
        self.effects.iter().for_each(|effect| effect.store(0, Ordering::Relaxed));
    }

    fn is_trap(&self, operator: usize, value: i64) -> bool {
        self.armed.load(Ordering::Relaxed)
            && self.operator.load(Ordering::Relaxed) == operator
            && self.value.load(Ordering::Relaxed) == value
    }

    /// The operator's user code at work on an item.
    pub(super) fn step(&self, operator: usize, value: i64) {
        if value % 4 == 0 {
            work(1);
        }
        assert!(!self.is_trap(operator, value), "trap");
    }
}

/// Which code of an item panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bomb {
    Nothing,
    Clone,
    Compare,
    Drop,
}

/// A number on the heap, counted.
#[derive(Debug)]
pub(super) struct Item<'env> {
    pub(super) value: Box<i64>,
    env: &'env Env,
}

/// Items on their way.
pub(super) type Items<'env> = Stream<'env, Item<'env>>;

impl Item<'_> {
    pub(super) fn with(mut self, value: i64) -> Self {
        *self.value = value;
        self
    }
}

impl Clone for Item<'_> {
    fn clone(&self) -> Self {
        self.env.passes(Bomb::Clone, *self.value);
        self.env.begin();
        Self { value: self.value.clone(), env: self.env }
    }
}

impl Drop for Item<'_> {
    fn drop(&mut self) {
        self.env.live.fetch_sub(1, Ordering::Relaxed);
        self.env.passes(Bomb::Drop, *self.value);
    }
}

impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Item<'_> {}
impl PartialOrd for Item<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Item<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.env.passes(Bomb::Compare, *self.value);
        self.value.cmp(&other.value)
    }
}

/// One operator of a program: what its closures are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'env> {
    pub(super) env: &'env Env,
    /// Which operator.
    pub(super) id: usize,
    /// A number from 1 to 11.
    pub(super) k: i64,
    /// Whether the program runs once.
    pub(super) once: bool,
}

impl<'env> At<'env> {
    /// What the operator is called.
    pub(super) fn name(self) -> String {
        name(self.id)
    }

    /// A new item.
    pub(super) fn item(self, value: i64) -> Item<'env> {
        self.env.begin();
        Item { value: Box::new(value), env: self.env }
    }

    /// User code looks at an item; it may fail.
    pub(super) fn value(self, item: &Item<'_>) -> i64 {
        self.env.step(self.id, *item.value);
        *item.value
    }

    /// User code makes another item of one; it may fail.
    pub(super) fn mixed(self, item: Item<'env>) -> Item<'env> {
        let value = mix(self.value(&item), self.k);
        item.with(value)
    }

    /// User code says whether an item is wanted; it may fail.
    pub(super) fn wants(self, item: &Item<'_>) -> bool {
        self.value(item).rem_euclid(self.k) != 0
    }

    /// Whether an operator that may fail with an error does so on this item.
    pub(super) fn is_error(self, item: &Item<'_>) -> bool {
        self.env.error.load(Ordering::Relaxed) && self.env.is_trap(self.id, *item.value)
    }

    /// User code without a result: it puts what it sees together by `sum`.
    pub(super) fn act(self, item: &Item<'_>, sum: fn(i64, i64) -> i64) {
        let value = self.value(item);
        let into = &self.env.effects[self.id];
        let _ = into.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| Some(sum(known, value)));
    }

    /// What [`act`](Self::act) has come to.
    pub(super) fn acted(self) -> i64 {
        self.env.effects[self.id].load(Ordering::Relaxed)
    }
}

/// What an operator is called.
pub(super) fn name(id: usize) -> String {
    format!("op{id}")
}
