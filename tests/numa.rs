//! What only a machine with several NUMA nodes can show. `ci/numa.sh` makes some up; with fewer nodes these tests say
//! that they are skipped.
//!
//! A test asks [`Machine::get`] for the machine, and has it to itself as long as it holds it. Where a page is, the
//! kernel is asked page by page ([`places`]), not through the library.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use millstream::{NumaNode, Topology};

#[path = "numa/jobs.rs"]
mod jobs;
#[path = "numa/memory.rs"]
mod memory;
#[path = "numa/places.rs"]
mod places;
#[path = "numa/workers.rs"]
mod workers;

/// This machine, which has several nodes.
struct Machine {
    topology: Topology,
    _alone: MutexGuard<'static, ()>,
}

impl Machine {
    /// None, and a message, if there are not several nodes.
    fn get() -> Option<Self> {
        static ONE_TEST: Mutex<()> = Mutex::new(());
        let _alone = ONE_TEST.lock().unwrap_or_else(PoisonError::into_inner);
        let topology = Topology::detect().expect("this machine can be read");
        let nodes = topology.numa_nodes().len();
        if nodes < 2 {
            return skip(&format!("{nodes} NUMA node, ci/numa.sh makes machines with several"));
        }
        Some(Self { topology, _alone })
    }

    /// The numbers of the nodes that memory can come from.
    fn memories(&self) -> Vec<usize> {
        self.topology.numa_nodes().iter().filter(|node| node.may_allocate()).map(NumaNode::id).collect()
    }

    /// The node with this number.
    fn node(&self, id: usize) -> &NumaNode {
        self.topology.numa_node(id).expect("it is one of this machine")
    }

    /// The numbers of the nodes that have CPUs, or of those that have none.
    fn nodes(&self, with_cpus: bool) -> Vec<usize> {
        let nodes = self.topology.numa_nodes().iter().filter(|node| node.cpus().is_empty() != with_cpus);
        nodes.map(NumaNode::id).collect()
    }

    /// Two nodes that memory can come from. None, and a message, if there is only one.
    fn two_memories(&self) -> Option<[usize; 2]> {
        let memories = self.memories();
        let two = memories.first_chunk().copied();
        two.or_else(|| skip(&format!("memory is on NUMA node {} only", memories[0])))
    }
}

/// Says that there is nothing to test with.
fn skip<T>(why: &str) -> Option<T> {
    let _ = writeln!(io::stderr(), "skipped: {why}");
    None
}

/// Runs a closure on a thread that is bound to a CPU.
fn bound_to<R: Send>(cpu: usize, f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let bound = scope.spawn(|| {
            bind(cpu);
            f()
        });
        bound.join().expect("the closure returns")
    })
}

#[expect(unsafe_code, reason = "a system call")]
fn bind(cpu: usize) {
    // SAFETY: A set of CPUs is plain bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: The bit's place is checked.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: It binds this thread, and reads the set of the size that is told.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert_eq!(result, 0, "a thread can be bound to CPU {cpu}: {}", io::Error::last_os_error());
}

/// The CPU of the calling thread.
#[expect(unsafe_code, reason = "a system call")]
fn cpu() -> usize {
    // SAFETY: It only asks.
    usize::try_from(unsafe { libc::sched_getcpu() }).expect("a CPU")
}

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Page {
    On(usize),
    Nowhere,
}

/// The numbers of the pages that have a byte of the slice.
fn pages<T>(items: &[T]) -> Range<usize> {
    let bytes = items.as_ptr_range();
    bytes.start.addr() / page_size()..bytes.end.addr().div_ceil(page_size())
}

#[expect(unsafe_code, reason = "a system call")]
fn page_size() -> usize {
    // SAFETY: It only asks.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("pages have a size")
}

/// Where each page of a slice is.
#[expect(unsafe_code, reason = "a system call")]
fn places<T>(items: &[T]) -> Vec<Page> {
    let addresses: Vec<usize> = pages(items).map(|page| page * page_size()).collect();
    let mut nodes: Vec<libc::c_int> = vec![-1; addresses.len()];
    let (asks, count) = (std::ptr::null::<libc::c_int>(), addresses.len());
    // SAFETY: Without nodes to move to it only asks; both lists are as long as is told.
    let result =
        unsafe { libc::syscall(libc::SYS_move_pages, 0, count, addresses.as_ptr(), asks, nodes.as_mut_ptr(), 0) };
    assert_eq!(result, 0, "the kernel tells where pages are: {}", io::Error::last_os_error());
    nodes.into_iter().map(|node| usize::try_from(node).map_or(Page::Nowhere, Page::On)).collect()
}

/// How many pages of a slice are at each place.
fn shares<T>(items: &[T]) -> BTreeMap<Page, usize> {
    let mut shares = BTreeMap::new();
    places(items).into_iter().for_each(|place| *shares.entry(place).or_default() += 1);
    shares
}

/// Asserts where all pages of a slice are.
#[track_caller]
fn assert_all<T>(items: &[T], place: Page) {
    assert_eq!(shares(items), BTreeMap::from([(place, pages(items).len())]));
}
