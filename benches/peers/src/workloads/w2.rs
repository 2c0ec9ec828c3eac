//! W2: the sum of a boxed tree, a join at every node.
//!
//! The right child, which lies next to its parent in memory, is entered first by everybody. A pool is entered once and
//! sums the tree again and again.

use std::hint::black_box;
use std::rc::Rc;

use lace_ws::{Worker, lace_run, lace_task};
use millstream::Pool;

use super::Workload;
use crate::cli::Options;
use crate::measure::{Figures, Lineup, Metric, ns_per, time};
use crate::peers::{self, Peer};

pub fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("W2-10", "sum of a boxed tree of 2^10 - 1 nodes", |options| lineup(options, 10, 4000)),
        Workload::new("W2-20", "sum of a boxed tree of 2^20 - 1 nodes", |options| lineup(options, 20, 10)),
        Workload::new("W2-24", "sum of a boxed tree of 2^24 - 1 nodes", |options| lineup(options, 24, 2)),
    ]
}

#[repr(C)] // C++ walks it too
pub struct Node {
    value: u64,
    left: Option<Box<Node>>,
    right: Option<Box<Node>>,
}

impl Node {
    /// A balanced tree; the values count the nodes from 1 in the order of allocation.
    fn tree(levels: u32, last: &mut u64) -> Box<Self> {
        let left = (levels > 1).then(|| Self::tree(levels - 1, last));
        let right = (levels > 1).then(|| Self::tree(levels - 1, last));
        *last += 1;
        Box::new(Self { value: *last, left, right })
    }
}

fn serial(node: Option<&Node>) -> u64 {
    let Some(node) = node else { return 0 };
    let right = serial(node.right.as_deref());
    let left = serial(node.left.as_deref());
    node.value + left + right
}

fn millstream(pool: &Pool, node: Option<&Node>) -> u64 {
    let Some(node) = node else { return 0 };
    let right = || millstream(pool, node.right.as_deref());
    let left = || millstream(pool, node.left.as_deref());
    let (right, left) = pool.join(right, left);
    node.value + left + right
}

fn rayon(node: Option<&Node>) -> u64 {
    let Some(node) = node else { return 0 };
    let (right, left) = rayon::join(|| rayon(node.right.as_deref()), || rayon(node.left.as_deref()));
    node.value + left + right
}

/// chili calls the second closure first.
fn chili(scope: &mut chili::Scope<'_>, node: Option<&Node>) -> u64 {
    let Some(node) = node else { return 0 };
    let (left, right) =
        scope.join(|scope| chili(scope, node.left.as_deref()), |scope| chili(scope, node.right.as_deref()));
    node.value + left + right
}

/// lace-ws calls the second task first.
#[lace_task]
fn lace(node: Option<&Node>) -> u64 {
    match node {
        None => 0,
        Some(node) => {
            let (left, right) = join!(lace(node.left.as_deref()), lace(node.right.as_deref()));
            node.value + left + right
        }
    }
}

/// Once without a clock, then `times` with.
fn measure(nodes: u64, times: u64, mut sum: impl FnMut() -> u64) -> Figures {
    let expected = nodes * (nodes + 1) / 2;
    assert_eq!(sum(), expected, "the sum of the tree");
    let (time, ()) = time(|| (0..times).for_each(|_| assert_eq!(sum(), expected, "the sum of the tree")));
    vec![(Metric::NsPerNode, ns_per(nodes * times, time))]
}

fn lineup(options: &Options, levels: u32, times: u64) -> Lineup {
    let levels = options.size(levels, levels / 2);
    let times = options.size(times, 2);
    let mut nodes = 0;
    let tree: Rc<Node> = Node::tree(levels, &mut nodes).into();
    let mut lineup = Lineup::new(options);
    let root = Rc::clone(&tree);
    lineup.serial(move |_| measure(nodes, times, || serial(black_box(Some(&root)))));
    lineup.each(Peer::Millstream, |threads| {
        let (options, tree) = (options.clone(), Rc::clone(&tree));
        move |_| {
            let (pool, root) = (options.millstream(threads), &*tree);
            pool.scope(|_| measure(nodes, times, || millstream(&pool, Some(root))))
        }
    });
    lineup.each(Peer::Rayon, |threads| {
        let tree = Rc::clone(&tree);
        move |_| {
            let root = &*tree;
            peers::rayon_pool(threads).install(|| measure(nodes, times, || rayon(Some(root))))
        }
    });
    lineup.each(Peer::Chili, |threads| {
        let tree = Rc::clone(&tree);
        move |_| {
            let pool = peers::chili_pool(threads);
            let mut scope = pool.scope();
            measure(nodes, times, || chili(&mut scope, Some(&tree)))
        }
    });
    lineup.each(Peer::LaceWs, |threads| {
        let tree = Rc::clone(&tree);
        move |_| {
            let mut pool = lace_ws::Lace::init(threads);
            measure(nodes, times, || lace_run!(pool, lace(Some(&*tree))))
        }
    });
    #[cfg(feature = "tbb")]
    lineup.each(Peer::Tbb, |threads| {
        let tree = Rc::clone(&tree);
        move |_| {
            let pool = crate::tbb::Pool::new(threads);
            measure(nodes, times, || pool.tree_sum(&tree))
        }
    });
    lineup
}
