//! Joins and scopes in any order: every half is called once, panics come out, and nothing hangs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::property::quiet;
use crate::check::{Body, Dice, Order, drive, once, work};
use crate::pool::Pool;

/// A tree of joins and scopes.
#[derive(Clone, Debug)]
enum Tree {
    /// So many rounds of work.
    Leaf(u8),
    Panic,
    Join(Box<Tree>, Box<Tree>),
    Scope(Vec<Tree>),
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![9 => (0..4_u8).prop_map(Tree::Leaf), 1 => Just(Tree::Panic)];
    leaf.prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            4 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Tree::Join(a.into(), b.into())),
            1 => prop::collection::vec(inner, 0..4).prop_map(Tree::Scope),
        ]
    })
}

impl Tree {
    fn leaves(&self) -> u64 {
        match self {
            Self::Leaf(_) => 1,
            Self::Panic => 0,
            Self::Join(a, b) => a.leaves() + b.leaves(),
            Self::Scope(all) => all.iter().map(Self::leaves).sum(),
        }
    }

    fn panics(&self) -> bool {
        match self {
            Self::Leaf(_) => false,
            Self::Panic => true,
            Self::Join(a, b) => a.panics() || b.panics(),
            Self::Scope(all) => all.iter().any(Self::panics),
        }
    }

    fn walk(&self, pool: &Pool, leaves: &AtomicU64) {
        match self {
            Self::Leaf(rounds) => {
                work(u64::from(*rounds));
                leaves.fetch_add(1, Ordering::Relaxed);
            }
            Self::Panic => panic!("trap"),
            Self::Join(a, b) => drop(pool.join(|| a.walk(pool, leaves), || b.walk(pool, leaves))),
            Self::Scope(all) => pool.scope(|s| all.iter().for_each(|tree| s.spawn(|_| tree.walk(pool, leaves)))),
        }
    }
}

/// Walks the tree, and says whether that was right.
fn walks(tree: &Tree, pool: &Pool) {
    let leaves = AtomicU64::new(0);
    let result = catch_unwind(AssertUnwindSafe(|| tree.walk(pool, &leaves)));
    assert_eq!(result.is_err(), tree.panics());
    let leaves = leaves.into_inner();
    assert!(leaves == tree.leaves() || (tree.panics() && leaves < tree.leaves()), "each leaf once");
}

proptest! {
    #[test]
    fn every_half_is_called_once(tree in trees(), seed in any::<u64>()) {
        quiet();
        for (workers, seed) in [(1, seed), (2, seed), (2, !seed), (3, seed), (64, seed)] {
            once(workers, seed, |pool| (0..2).for_each(|_| walks(&tree, pool)));
        }
    }

    #[test]
    fn many_threads_join_at_once(tree in trees(), seed in any::<u64>()) {
        quiet();
        let threads = 1 + Dice::new(seed).roll(11); // more than there are guest seats
        for workers in [1, 2, 3] {
            let body = |_| Box::new(|pool: &Pool| walks(&tree, pool)) as Body<'_, ()>;
            drive(workers, Order::Random(seed), (0..threads).map(body).collect());
        }
    }
}
