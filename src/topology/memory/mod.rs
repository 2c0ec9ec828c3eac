//! Memory on NUMA nodes: placing it, asking where it is, and moving it.
//!
//! There are three things here, all about whole pages of this process on this machine:
//! * [`NodeMemory`] is zeroed memory whose pages come from a chosen node when they are first written;
//! * [`node_of`] tells on which node the pages of a slice are;
//! * [`move_to`] moves pages that exist already.
//!
//! The system calls are in `mapped`. On systems without such calls, `plain` takes its place: ordinary memory, of which
//! nothing is known.
//!
//! # Invariants
//! - M1: The pages of a [`NodeMemory`] are not touched before its policy is set.
//! - M2: Nothing here touches a page of a slice that it is asked about.
//!
//! # Tests
//! `tests/numa.rs` needs a machine with several nodes; `ci/numa.sh` emulates some. The tests of this folder need no
//! second node.

#[cfg(target_os = "linux")]
mod mapped;
#[cfg(not(target_os = "linux"))]
mod plain;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use super::parts::NumaNode;
use super::{CpuSet, linux};
use crate::Error;
use crate::error::MemoryError;
#[cfg(target_os = "linux")]
use mapped as system;
#[cfg(not(target_os = "linux"))]
use plain as system;

mod sealed {
    /// # Safety
    /// (1) Bytes that are all zero are a value of the type. (2) Nothing happens when a value is dropped.
    #[expect(unsafe_code, reason = "memory that the kernel zeroed is taken for values")]
    pub(super) unsafe trait Zeroable {}
}
use sealed::Zeroable;

/// The numbers that [`NodeMemory`] can hold: integers and floats, which are zero if all their bytes are.
///
/// It cannot be implemented outside of this crate.
#[expect(private_bounds, reason = "sealed")]
pub trait Plain: Zeroable + Copy + Default + Send + Sync + 'static {}

macro_rules! plain {
    ($($number:ty)*) => {$(
        // SAFETY: (1) The value is the number zero. (2) Numbers are `Copy`.
        #[expect(unsafe_code, reason = "says that zero bytes are the number zero")]
        unsafe impl Zeroable for $number {}
        impl Plain for $number {}
    )*};
}
plain!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

/// How pages are placed.
#[derive(Clone, Copy, Debug)]
enum Policy {
    /// On one node as long as it has free pages, then on the nearest node that has some.
    Prefer,
    /// In turn on each of several nodes.
    Interleave,
}

/// Zeroed memory for `len` numbers, whose pages come from chosen NUMA nodes.
///
/// A page gets its place when it is first written, whichever thread writes it. Pages may be huge pages if the system
/// gives such. If the node is full, the kernel takes the page from another node and does not fail; [`node_of`] tells.
/// Pages that are never written take no memory.
///
/// Making it reads a few small files for each node, which takes about 0.1 ms for each node. So it is meant for large,
/// long-lived memory.
///
/// If the system does not let memory be placed, this is ordinary zeroed memory, and [`refused`](Self::refused) says
/// why.
///
/// ```
/// use millstream::memory::{NodeMemory, node_of};
///
/// let node = millstream::Topology::detect()?.numa_nodes()[0].id();
/// let mut grid = NodeMemory::<f64>::on_node(1 << 16, node)?;
/// grid.fill(1.0);
/// assert_eq!(grid.iter().sum::<f64>(), 65536.0);
/// if grid.refused().is_none() {
///     assert_eq!(node_of(&grid), Some(node));
/// }
/// # Ok::<(), millstream::Error>(())
/// ```
pub struct NodeMemory<T: Plain> {
    items: system::Zeroed<T>,
    refused: Option<String>,
}

impl<T: Plain> NodeMemory<T> {
    /// Allocates memory for `len` numbers on the NUMA node with the number `node`, as the system counts them.
    ///
    /// # Errors
    /// If there is no such node, if it has no memory, if the process may not allocate there, or if the system has not
    /// enough memory for `len` numbers. It is no error if the system refuses to place memory.
    pub fn on_node(len: usize, node: usize) -> Result<Self, Error> {
        Ok(Self::new(len, Policy::Prefer, &usable(node, &nodes())?)?)
    }

    /// Allocates memory for `len` numbers whose pages lie in rotation on all NUMA nodes on which the process may
    /// allocate.
    ///
    /// Memory-only nodes are among them. This suits memory that all workers use alike.
    ///
    /// # Errors
    /// If the system has not enough memory for `len` numbers.
    pub fn interleaved(len: usize) -> Result<Self, Error> {
        let nodes = nodes().iter().filter(|node| node.may_allocate()).map(NumaNode::id).collect();
        Ok(Self::new(len, Policy::Interleave, &nodes)?)
    }

    fn new(len: usize, policy: Policy, nodes: &CpuSet) -> Result<Self, MemoryError> {
        let items = system::Zeroed::new(len).map_err(|why| MemoryError::bytes(len, size_of::<T>(), why))?;
        let refused = items.place(policy, nodes).err();
        let refused = refused.map(|why| format!("the system does not place memory on NUMA node {nodes}: {why}"));
        Ok(Self { items, refused })
    }

    /// Why the system refused to place the memory as asked, if it did. The memory is then wherever the system put it.
    #[must_use]
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

impl<T: Plain> Deref for NodeMemory<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T: Plain> DerefMut for NodeMemory<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

/// Prints how many numbers there are, and what was refused.
impl<T: Plain> fmt::Debug for NodeMemory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeMemory").field("len", &self.len()).field("refused", &self.refused).finish()
    }
}

/// The NUMA node that has at least two thirds of the pages of `items`, as the kernel says now.
///
/// Pages that no thread has written yet do not exist, and do not count. If the slice has more than 64 pages, the kernel
/// is asked about 64 of them: two neighbours in each of 32 equal parts, so that interleaved memory is not taken for
/// memory on one node.
///
/// The result is `None` if no node has two thirds of the pages, if no page exists yet, or if the system does not tell.
/// (Some kernels move memory between nodes by themselves. While they examine a page for that, some of them, such as
/// Linux 6.1, neither tell where it is nor move it.)
///
/// No page is touched. It costs one system call: 3 us for 64 KiB, 15 us for 256 KiB or more. Ask once, and only about
/// memory that is large enough to matter.
///
/// ```
/// use millstream::memory::node_of;
///
/// let items = vec![1_u64; 1 << 16];
/// let node = node_of(&items); // where the thread ran that filled it, if the system tells
/// let here = millstream::Topology::detect()?;
/// assert!(node.is_none_or(|node| here.numa_node(node).is_some()));
/// # Ok::<(), millstream::Error>(())
/// ```
#[must_use]
pub fn node_of<T>(items: &[T]) -> Option<usize> {
    node_of_bytes(items.as_ptr().addr(), size_of_val(items))
}

/// As [`node_of`], for `bytes` bytes of memory from `address` on.
pub(crate) fn node_of_bytes(address: usize, bytes: usize) -> Option<usize> {
    let page = system::page_size();
    let (first, end) = (address / page, (address + bytes).div_ceil(page));
    // Empty slices, and those of types without size, have no memory.
    let pages = if bytes > 0 { end - first } else { 0 };
    let asked: Vec<usize> = sample(pages).map(|index| (first + index) * page).collect();
    let mut found: Vec<usize> = system::nodes_of(&asked).ok()?.into_iter().flatten().collect();
    found.sort_unstable();
    // A node that has more than half of the pages stands in the middle of the sorted list.
    let node = *found.get(found.len() / 2)?;
    let share = found.iter().filter(|found| **found == node).count();
    (3 * share >= 2 * found.len()).then_some(node)
}

/// The largest number of pages of a slice that the kernel is asked about.
const SAMPLE: usize = 64;

/// The indices of the pages, out of `pages`, that the kernel is asked about: all of them, or two neighbours in each of
/// equal parts. If pages were dealt out one by one to several nodes, no node has more than half of the pages in such
/// pairs.
fn sample(pages: usize) -> impl Iterator<Item = usize> {
    const PARTS: usize = SAMPLE / 2;
    let start = move |part: usize| part * pages / PARTS;
    let pair = move |part: usize| {
        // The golden ratio spreads the places. A fixed step could coincide with the size of larger units that were
        // dealt out.
        let spread = (part + 1).wrapping_mul(0x9E37_79B9) >> 16;
        let first = start(part) + spread % (start(part + 1) - start(part) - 1);
        [first, first + 1]
    };
    let (all, parts) = if pages <= SAMPLE { (pages, 0) } else { (0, PARTS) };
    (0..all).chain((0..parts).flat_map(pair))
}

/// Moves the memory of `items` to the NUMA node with the number `node`, and returns how many pages are still elsewhere.
///
/// Only whole pages inside the slice are moved. A first or last page that the slice shares with other memory stays
/// where it is. (A huge page that is partly inside moves as a whole.) Pages that no thread has written yet do not
/// exist, and are not counted; their place is decided when they are first written. A page stays where it is if the node
/// is full, or if the system holds it.
///
/// The kernel copies page by page. A thread that writes to a page waits until that page is copied. So moving pays only
/// for memory that is used for a long time.
///
/// # Errors
/// If there is no such node, if it has no memory, if the process may not allocate there, or if the system moves no
/// pages.
///
/// ```
/// use millstream::memory::{move_to, node_of};
///
/// let node = millstream::Topology::detect()?.numa_nodes()[0].id();
/// let mut items = vec![1_u64; 1 << 16];
/// match move_to(&mut items, node) {
///     Ok(elsewhere) => assert_eq!(elsewhere, 0),
///     Err(refused) => assert!(refused.to_string().contains("NUMA node"), "{refused}"),
/// }
/// assert!(items.iter().all(|item| *item == 1));
/// # Ok::<(), millstream::Error>(())
/// ```
pub fn move_to<T>(items: &mut [T], node: usize) -> Result<usize, Error> {
    usable(node, &nodes())?;
    let page = system::page_size();
    let bytes = items.as_mut_ptr_range();
    let whole = bytes.start.addr().div_ceil(page)..bytes.end.addr() / page;
    let mut elsewhere = 0;
    for first in whole.clone().step_by(MOVED_AT_ONCE) {
        let pages = (first..whole.end.min(first + MOVED_AT_ONCE)).map(|index| index * page).collect();
        elsewhere += move_pages(pages, node).map_err(|why| MemoryError::refused(node, why))?;
    }
    Ok(elsewhere)
}

/// How many pages are moved in one call. It bounds the lists of addresses.
const MOVED_AT_ONCE: usize = 1024;

/// Moves pages, and returns how many of them are elsewhere at the end. At the first page that it cannot move, the
/// kernel gives up the rest of a call. So the rest is tried again, as long as it becomes smaller.
fn move_pages(mut pages: Vec<usize>, node: usize) -> Result<usize, std::io::Error> {
    let mut before = usize::MAX;
    loop {
        let places = system::nodes_of(&pages)?;
        let mut places = places.into_iter();
        pages.retain(|_| places.next().flatten().is_some_and(|place| place != node));
        if pages.is_empty() || pages.len() == before {
            return Ok(pages.len());
        }
        before = pages.len();
        system::move_pages(&pages, node)?;
    }
}

/// The nodes of this machine. Only what they say about memory is right; their CPUs are not read.
fn nodes() -> Vec<NumaNode> {
    linux::nodes(Path::new("/"))
}

/// The node as a set of one, if memory can come from it.
fn usable(id: usize, nodes: &[NumaNode]) -> Result<CpuSet, MemoryError> {
    let Some(node) = nodes.iter().find(|node| node.id() == id) else {
        return Err(MemoryError::no_node(id, &nodes.iter().map(NumaNode::id).collect::<CpuSet>()));
    };
    if node.memory() == Some(0) {
        return Err(MemoryError::no_memory(id));
    }
    if !node.may_allocate() {
        let allowed: CpuSet = nodes.iter().filter(|node| node.may_allocate()).map(NumaNode::id).collect();
        return Err(MemoryError::not_allowed(id, &allowed));
    }
    Ok(CpuSet::from_iter([id]))
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests;
