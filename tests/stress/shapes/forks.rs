//! Trees of calls: each node calls its children by a join, a scope, a loop, a run or a broadcast, and on any thread the
//! value of a tree is the one that a plain recursion has.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use millstream::{Graph, Pool, PoolHandle, RunErrorKind};

use crate::account::Account;
use crate::dice::{Dice, mix};
use crate::world::{Trap, World, trap};

const CHILDREN: [u64; 3] = [0, 1, 2];

fn child(seed: u64, number: u64) -> u64 {
    mix(seed.wrapping_add(number).wrapping_add(1))
}

fn leaf(seed: u64) -> u64 {
    mix(seed) % 1009
}

fn put_together(values: [u64; 3]) -> u64 {
    values.into_iter().fold(1, |sum, x| (31 * sum + x) % 1_000_003)
}

/// The value of a tree.
fn value(seed: u64, depth: u32) -> u64 {
    if depth == 0 { leaf(seed) } else { put_together(CHILDREN.map(|number| value(child(seed, number), depth - 1))) }
}

/// How deep the tree of an operator is.
fn small(seed: u64) -> u32 {
    match mix(seed ^ 77) % 16 {
        0 => 2,
        1..=4 => 1,
        _ => 0,
    }
}

/// What [`nested`] gives.
pub(crate) fn means(seed: u64) -> u64 {
    value(seed, small(seed))
}

/// A small tree, for operators.
pub(crate) fn nested(handle: &PoolHandle, seed: u64) -> u64 {
    let tree = |pool: &Pool| Tree { pool, trap: None }.value(seed, small(seed));
    handle.with(tree).unwrap_or_else(|_| means(seed))
}

struct Tree<'p> {
    pool: &'p Pool,
    /// The leaf that panics.
    trap: Option<u64>,
}

impl Tree<'_> {
    fn value(&self, seed: u64, depth: u32) -> u64 {
        if depth == 0 {
            return if self.trap == Some(seed) { trap() } else { leaf(seed) };
        }
        let call = |number: u64| self.value(child(seed, number), depth - 1);
        let pool = self.pool;
        put_together(match mix(seed ^ 1) % 11 {
            0..=2 => {
                let (a, (b, c)) = pool.join(|| call(0), || pool.join(|| call(1), || call(2)));
                [a, b, c]
            }
            3 => {
                let mut made = [0; 3];
                pool.scope(|scope| {
                    let call = &call;
                    for (made, number) in made.iter_mut().zip(CHILDREN) {
                        scope.spawn(move |_| *made = call(number));
                    }
                });
                made
            }
            4 => pool.map_collect(CHILDREN.as_slice(), |number| call(*number)).try_into().expect("three"),
            5 => {
                let all = pool.aggregate(
                    0..3_usize,
                    Vec::new,
                    |mut all, number| {
                        all.push(call(CHILDREN[number]));
                        all
                    },
                    |mut left, right| {
                        left.extend(right);
                        left
                    },
                );
                all.try_into().expect("three")
            }
            6 => {
                let g = Graph::new();
                let all = g.slice(&CHILDREN).batch_size(1).map(|number| call(*number)).collect();
                self.run(g, all, &call)
            }
            7 => {
                let g = Graph::new();
                let [a, b, c] = CHILDREN.map(|number| {
                    let call = &call;
                    g.task((), move |()| call(number))
                });
                let all = g.task((a.read(), b.read(), c.read()), |(a, b, c)| vec![*a, *b, *c]);
                self.run(g, all, &call)
            }
            8 => pool.block_in_place(|| {
                thread::sleep(Duration::from_micros(seed % 64));
                CHILDREN.map(call)
            }),
            9 => {
                let told = pool.broadcast(|worker| worker ^ 5);
                assert!((0..pool.workers()).map(|worker| worker ^ 5).eq(told), "a broadcast");
                CHILDREN.map(call)
            }
            _ => CHILDREN.map(call),
        })
    }

    /// The result of a graph. If the pool is dropped meanwhile, what would have come out.
    fn run<'env>(&self, g: Graph<'env>, all: millstream::Data<Vec<u64>>, call: &impl Fn(u64) -> u64) -> [u64; 3] {
        let mut plan = g.plan(self.pool).expect("no defect");
        match plan.run() {
            Ok(()) => plan.take(all).try_into().expect("three"),
            Err(error) => match error.kind() {
                RunErrorKind::Panicked => resume_unwind(error.into_panic().expect("it panicked")),
                RunErrorKind::Cancelled | RunErrorKind::Closed => CHILDREN.map(call),
                _ => panic!("{error}"),
            },
        }
    }
}

/// Trees of calls, one leaf of which may panic.
pub(crate) fn joins(world: &World, _: &'static Account, dice: &mut Dice) {
    let (seed, depth) = (dice.next(), u32::try_from(dice.from(0, 5)).expect("small"));
    let trap = dice.once_in(4).then(|| (0..depth).fold(seed, |seed, _| child(seed, dice.long(0, 2))));
    let tree = |pool: &Pool| Tree { pool, trap }.value(seed, depth);
    match catch_unwind(AssertUnwindSafe(|| world.handle.with(tree))) {
        Ok(Ok(found)) => {
            assert_eq!(found, value(seed, depth));
            assert!(trap.is_none(), "a leaf panics");
        }
        Ok(Err(_)) => assert!(world.is_closing(), "the pool is closed"),
        Err(panic) if panic.is::<Trap>() && trap.is_some() => {}
        Err(panic) => resume_unwind(panic),
    }
}

/// Closures that block until another one has been called, which was queued beside them.
pub(crate) fn blocking(world: &World, account: &'static Account, dice: &mut Dice) {
    let in_scope = dice.once_in(2);
    for x in 0..dice.long(1, 20) {
        let Some(_permit) = world.may_block() else { return };
        let (send, receive) = channel();
        let item = account.item(x);
        let pair = |pool: &Pool| {
            pool.join(
                move || pool.block_in_place(move || receive.recv()),
                move || send.send(item).expect("somebody receives"),
            )
        };
        let both = world.handle.with(|pool| {
            if !in_scope {
                return pair(pool).0;
            }
            let mut received = None;
            pool.scope(|scope| scope.spawn(|_| received = Some(pair(pool).0)));
            received.expect("it was called")
        });
        match both {
            Ok(item) => assert_eq!(item.map(|item| item.value()), Ok(x)),
            Err(_) => assert!(world.is_closing(), "the pool is closed"),
        }
    }
}
