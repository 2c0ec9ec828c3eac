//! Joins and scopes in any order: every closure is called once, panics come out, and nothing hangs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::silence_traps;
use crate::check::{Body, Dice, Order, drive, makespan, once, work};
use crate::pool::Pool;

/// A tree of joins and scopes.
#[derive(Clone, Debug)]
enum Tree {
    /// This many rounds of work.
    Leaf(u8),
    Panic,
    Join(Box<Tree>, Box<Tree>),
    Scope(Vec<Tree>),
    /// Another thread has the place meanwhile.
    Block(Box<Tree>),
    /// Every worker calls something.
    Everywhere,
    /// No thread waits for it, but it is called.
    Spawn,
}

/// What a tree has come to.
#[derive(Default)]
struct Seen {
    leaves: AtomicU64,
    spawns: AtomicU64,
    spawned: Arc<AtomicU64>,
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        9 => (0..4_u8).prop_map(Tree::Leaf),
        1 => Just(Tree::Panic),
        1 => Just(Tree::Everywhere),
        1 => Just(Tree::Spawn),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            4 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Tree::Join(a.into(), b.into())),
            1 => inner.clone().prop_map(|tree| Tree::Block(tree.into())),
            1 => prop::collection::vec(inner, 0..4).prop_map(Tree::Scope),
        ]
    })
}

impl Tree {
    fn leaves(&self) -> u64 {
        match self {
            Self::Leaf(_) => 1,
            Self::Panic | Self::Everywhere | Self::Spawn => 0,
            Self::Block(tree) => tree.leaves(),
            Self::Join(a, b) => a.leaves() + b.leaves(),
            Self::Scope(all) => all.iter().map(Self::leaves).sum(),
        }
    }

    fn panics(&self) -> bool {
        match self {
            Self::Leaf(_) | Self::Everywhere | Self::Spawn => false,
            Self::Panic => true,
            Self::Block(tree) => tree.panics(),
            Self::Join(a, b) => a.panics() || b.panics(),
            Self::Scope(all) => all.iter().any(Self::panics),
        }
    }

    fn walk(&self, pool: &Pool, seen: &Seen) {
        match self {
            Self::Leaf(rounds) => {
                work(u64::from(*rounds));
                assert!(
                    !std::thread::panicking(),
                    "what runs while a join waits does not see how its first closure ended"
                );
                seen.leaves.fetch_add(1, Ordering::Relaxed);
            }
            Self::Panic => panic!("trap"),
            Self::Join(a, b) => drop(pool.join(|| a.walk(pool, seen), || b.walk(pool, seen))),
            Self::Scope(all) => pool.scope(|s| all.iter().for_each(|tree| s.spawn(|_| tree.walk(pool, seen)))),
            Self::Block(tree) => pool.block_in_place(|| tree.walk(pool, seen)),
            Self::Everywhere => assert!(pool.broadcast(|worker| worker).into_iter().eq(0..pool.workers())),
            Self::Spawn => {
                seen.spawns.fetch_add(1, Ordering::Relaxed);
                let spawned = Arc::clone(&seen.spawned);
                pool.spawn(move || _ = spawned.fetch_add(1, Ordering::Relaxed));
            }
        }
    }
}

/// Walks the tree, and says whether that was right.
fn walks(tree: &Tree, pool: &Pool, seen: &Seen) {
    let before = seen.leaves.load(Ordering::Relaxed);
    let result = catch_unwind(AssertUnwindSafe(|| tree.walk(pool, seen)));
    assert_eq!(result.is_err(), tree.panics());
    let leaves = seen.leaves.load(Ordering::Relaxed) - before;
    assert!(leaves == tree.leaves() || (tree.panics() && leaves < tree.leaves()), "each leaf once");
}

/// When the pool has ended.
fn all_were_called(seen: &Seen) {
    assert_eq!(seen.spawned.load(Ordering::Relaxed), seen.spawns.load(Ordering::Relaxed), "each spawned closure once");
}

/// While no worker is hungry, a join costs only its own thread anything.
#[test]
fn a_join_publishes_nothing_while_nobody_is_hungry() {
    makespan(1, 1, |pool| {
        pool.shared.on_worker(|worker| {
            work(10); // until the one worker sleeps: there is no place for it
            pool.join(|| (), || ()); // it had asked
            for _ in 0..3 {
                pool.join(|| assert!(worker.seat.hides() && worker.seat.stealer.is_empty()), || ());
            }
        });
    });
}

/// If the first closure of a join panics, the second one is dropped, called or not, and so is what a thief has made of
/// it.
#[test]
fn what_is_in_the_half_of_a_join_that_panics_is_dropped() {
    silence_traps();
    let (all, called) = (AtomicU64::new(0), AtomicU64::new(0));
    for workers in [1, 2] {
        for seed in 0..30 {
            let kept = Arc::new(());
            once(workers, seed, |pool| {
                all.fetch_add(1, Ordering::Relaxed);
                let second = Arc::clone(&kept);
                let first = || -> () {
                    (0..seed).for_each(|_| work(1));
                    panic!("trap");
                };
                let second = || {
                    called.fetch_add(1, Ordering::Relaxed);
                    second
                };
                assert!(catch_unwind(AssertUnwindSafe(|| pool.join(first, second))).is_err());
                assert_eq!(Arc::strong_count(&kept), 1, "it is leaked");
            });
        }
    }
    let (all, called) = (all.into_inner(), called.into_inner());
    assert!(0 < called && called < all, "{called} of {all} were called: both cases are to be there");
}

proptest! {
    #[test]
    fn every_half_is_called_once(tree in trees(), seed in any::<u64>()) {
        silence_traps();
        for (workers, seed) in [(1, seed), (2, seed), (2, !seed), (3, seed), (64, seed)] {
            let seen = Seen::default();
            once(workers, seed, |pool| (0..2).for_each(|_| walks(&tree, pool, &seen)));
            all_were_called(&seen);
        }
    }

    #[test]
    fn many_threads_join_at_once(tree in trees(), seed in any::<u64>()) {
        silence_traps();
        let threads = 1 + Dice::new(seed).roll(11); // more than there are guest seats
        for workers in [1, 2, 3] {
            let seen: Vec<Seen> = (0..threads).map(|_| Seen::default()).collect();
            let tree = &tree;
            let body = |seen| Box::new(move |pool: &Pool| walks(tree, pool, seen)) as Body<'_, ()>;
            drive(workers, Order::Random(seed), seen.iter().map(body).collect());
            seen.iter().for_each(all_were_called);
        }
    }
}
