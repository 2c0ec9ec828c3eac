//! Workers run where the placement says: the kernel is asked.

use std::collections::BTreeSet;
use std::sync::Mutex;

use millstream::memory::node_of;
use millstream::{CpuSet, Pinning, Pool};

use super::memory::FRESH;
use super::{Machine, cpu, page_size};

/// The CPUs that the calling thread may run on.
#[expect(unsafe_code, reason = "a system call")]
fn affinity() -> CpuSet {
    // SAFETY: A set of CPUs is plain bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: It writes a set of the size that is told.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    assert_eq!(result, 0, "a thread may ask for its CPUs: {}", std::io::Error::last_os_error());
    let most = usize::try_from(libc::CPU_SETSIZE).expect("a number of CPUs");
    // SAFETY: The bits are there.
    (0..most).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect()
}

#[test]
fn workers_are_bound_where_the_placement_says() {
    let Some(machine) = Machine::get() else { return };
    for pinning in [Pinning::Cores, Pinning::Nodes] {
        let pool = Pool::builder().pinning(pinning).strict(true).build().expect("all can be bound");
        let placement = pool.placement();
        let mut nodes = BTreeSet::new();
        for (place, (cpu, affinity)) in placement.workers().iter().zip(pool.broadcast(|_| (cpu(), affinity()))) {
            let promised = place.cpus().expect("bound");
            assert!(promised.contains(cpu), "{place}, but it runs on CPU {cpu}");
            assert_eq!(*promised, affinity, "{place}");
            let node = place.node().expect("all CPUs are on a node");
            match pinning {
                Pinning::Nodes => assert_eq!(promised, machine.node(node).cpus(), "{place}"),
                _ => assert!(promised.len() == 1 && promised.is_subset(machine.node(node).cpus()), "{place}"),
            }
            nodes.insert(node);
        }
        assert!(nodes.into_iter().eq(machine.nodes(true)), "all nodes with CPUs have workers: {placement}");
    }
}

#[test]
fn what_workers_touch_first_is_on_their_node() {
    let Some(machine) = Machine::get() else { return };
    for pinning in [Pinning::Cores, Pinning::Nodes] {
        let pool = Pool::builder().pinning(pinning).strict(true).build().expect("all can be bound");
        let one_at_a_time = Mutex::new(()); // nodes are small
        let found = pool.broadcast(|_| {
            let _alone = one_at_a_time.lock().expect("no panic");
            let mut items = vec![0_u64; FRESH];
            items.iter_mut().step_by(page_size() / size_of::<u64>()).for_each(|item| *item = 7);
            node_of(&items)
        });
        for (place, found) in pool.placement().workers().iter().zip(found) {
            let node = place.node().expect("all CPUs are on a node");
            let may_be = |found| if machine.node(node).may_allocate() { found == node } else { found != node };
            assert!(found.is_some_and(may_be), "{place}, but what it touches is on {found:?}");
        }
    }
}
