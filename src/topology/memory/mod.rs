//! Memory on a NUMA node, and on which node memory is.
//!
//! Three things, all about whole pages of this process on this machine: to have zeroed memory whose pages come from a
//! node once they are touched ([`NodeMemory`]), to ask on which node the pages of a slice are ([`node_of`]), and to
//! move pages that are somewhere already ([`move_to`]). The kernel's calls stand in `mapped`; on systems that have none
//! `plain` takes its place: ordinary memory, of which nothing is known.
//!
//! # Invariants
//! - M1: The pages of a [`NodeMemory`] are not touched before its policy is set.
//! - M2: Nothing here touches a page of a slice that it is asked about.
//!
//! # Tests
//! `tests/numa.rs`, which needs a machine with several nodes; `ci/numa.sh` makes some up. What needs no node stands in
//! this folder's tests.

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
    /// (1) Bytes that are all zero are a value. (2) Nothing happens when a value is dropped.
    #[expect(unsafe_code, reason = "memory that the kernel zeroed is taken for values")]
    pub(super) unsafe trait Zeroable {}
}
use sealed::Zeroable;

/// What [`NodeMemory`] can hold: integers and floats, which are zero when all their bytes are.
///
/// It cannot be implemented outside of this crate.
#[expect(private_bounds, reason = "sealed")]
pub trait Plain: Zeroable + Copy + Default + Send + Sync + 'static {}

macro_rules! plain {
    ($($number:ty)*) => {$(
        // SAFETY: (1) The value is zero. (2) Numbers are `Copy`.
        #[expect(unsafe_code, reason = "says that zero bytes are the number zero")]
        unsafe impl Zeroable for $number {}
        impl Plain for $number {}
    )*};
}
plain!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

/// How the pages of some memory are to lie.
#[derive(Clone, Copy, Debug)]
enum Policy {
    /// On one node as long as it has free pages, then on the nearest that has.
    Prefer,
    /// In turn on each of several nodes.
    Interleave,
}

/// Zeroed memory for `len` numbers, of which each page comes from a chosen NUMA node.
///
/// A page (a huge one, where the system gives such) takes its place when it is first written, whichever thread does
/// that. If the node is full the kernel takes the page from another one rather than fail; [`node_of`] tells. What is
/// never written takes no memory. Making it reads a few small files of each node, some 0.1 ms each: it is for large,
/// long-lived memory.
///
/// Where the system does not let memory be placed, this is ordinary zeroed memory, and [`refused`](Self::refused) says
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
    /// Memory for `len` numbers on the NUMA node with the system's number `node`.
    ///
    /// # Errors
    /// If there is no such node, it has no memory, or the process may not allocate there; if so many bytes cannot be
    /// had. That the system refuses to place memory is no error.
    pub fn on_node(len: usize, node: usize) -> Result<Self, Error> {
        Ok(Self::new(len, Policy::Prefer, &usable(node, &nodes())?)?)
    }

    /// Memory for `len` numbers whose pages lie in turn on all NUMA nodes on which the process may allocate,
    /// memory-only ones included: for what all workers use alike.
    ///
    /// # Errors
    /// If so many bytes cannot be had.
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

    /// Why the memory lies wherever the system put it, if the system refused to place it as asked.
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

/// Says how large it is, and what was refused.
impl<T: Plain> fmt::Debug for NodeMemory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeMemory").field("len", &self.len()).field("refused", &self.refused).finish()
    }
}

/// On which NUMA node the memory of `items` is, as the kernel says now: the number of the node that has at least two
/// thirds of its pages.
///
/// Pages that nobody has written yet are nowhere, and do not count. Of a slice of more than 64 pages, 64 are asked for:
/// two neighbours of each 32nd part, so that interleaved memory is not taken for memory on one node. None if no node
/// has so many, if all is untouched, and where the system does not tell. (Some kernels, Linux 6.1 is one, neither tell
/// of pages that they look at to balance memory by themselves, nor move them.)
///
/// No page is touched. It costs one system call, 3 us for 64 KiB, 15 us from 256 KiB on: ask once, for memory worth it.
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

/// The same for so many bytes of memory from an address on.
pub(crate) fn node_of_bytes(address: usize, bytes: usize) -> Option<usize> {
    let page = system::page_size();
    let (first, end) = (address / page, (address + bytes).div_ceil(page));
    // Empty slices, and those of types without size, have no memory.
    let pages = if bytes > 0 { end - first } else { 0 };
    let asked: Vec<usize> = sample(pages).map(|index| (first + index) * page).collect();
    let mut found: Vec<usize> = system::nodes_of(&asked).ok()?.into_iter().flatten().collect();
    found.sort_unstable();
    // What is more than half of them stands in the middle.
    let node = *found.get(found.len() / 2)?;
    let share = found.iter().filter(|found| **found == node).count();
    (3 * share >= 2 * found.len()).then_some(node)
}

/// How many pages of a slice are asked for.
const SAMPLE: usize = 64;

/// Which of so many pages are looked at: all, or two neighbours of each of equal parts. Of pages dealt out one by one
/// to several nodes, no node has more than half of such pairs.
fn sample(pages: usize) -> impl Iterator<Item = usize> {
    const PARTS: usize = SAMPLE / 2;
    let start = move |part: usize| part * pages / PARTS;
    let pair = move |part: usize| {
        // Spread by multiplication with the golden ratio: no step that larger units, dealt out, could share.
        let spread = (part + 1).wrapping_mul(0x9E37_79B9) >> 16;
        let first = start(part) + spread % (start(part + 1) - start(part) - 1);
        [first, first + 1]
    };
    let (all, parts) = if pages <= SAMPLE { (pages, 0) } else { (0, PARTS) };
    (0..all).chain((0..parts).flat_map(pair))
}

/// Moves the memory of `items` to the NUMA node with the system's number `node`. Returns how many pages are elsewhere
/// all the same: 0 if all is there.
///
/// Only whole pages inside the slice are moved: what shares its first and last page stays where it is. (A huge page
/// that is partly inside moves as a whole.) Pages that nobody has written yet are nowhere, and are not counted; they
/// will come from where they are first written. A page stays if the node is full, or if the system holds it.
///
/// The kernel copies page by page, and stops whoever writes there until it has: it pays for memory that is used long.
///
/// # Errors
/// If there is no such node, it has no memory, or the process may not allocate there; if the system moves no pages.
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

/// Bounds the lists of addresses.
const MOVED_AT_ONCE: usize = 1024;

/// Returns how many of the pages are elsewhere at the end. The kernel gives up all of a call behind the first page that
/// it cannot move: so what is left is tried again, as long as it gets less.
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

/// The nodes of this machine, of which only what is about memory is true.
fn nodes() -> Vec<NumaNode> {
    linux::nodes(Path::new("/"))
}

/// The node as a set, if memory can come from there.
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

#[cfg(all(test, not(loom)))]
mod tests;
