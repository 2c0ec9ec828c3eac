//! Workers run where the placement says, and jobs where they are at home: the kernel is asked for the CPU.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream::{Graph, Pinning, Place, Pool, WorkerReport};

use super::Machine;

/// The CPU of the calling thread.
fn cpu() -> usize {
    #[expect(unsafe_code, reason = "asks the kernel")]
    // SAFETY: it has no preconditions.
    let cpu = unsafe { libc::sched_getcpu() };
    usize::try_from(cpu).expect("a CPU")
}

#[test]
fn workers_are_bound_where_the_placement_says() {
    let Some(machine) = Machine::get() else { return };
    for pinning in [Pinning::Cores, Pinning::Nodes] {
        let pool = Pool::builder().pinning(pinning).strict(true).build().expect("all can be bound");
        let placement = pool.placement();
        let seen = pool.broadcast(|_| cpu());
        let mut nodes = std::collections::BTreeSet::new();
        for (place, cpu) in placement.workers().iter().zip(&seen) {
            assert!(place.cpus().expect("bound").contains(*cpu), "{place}, but it runs on CPU {cpu}");
            nodes.extend(place.node());
        }
        let with_cpus = machine.topology.numa_nodes().iter().filter(|node| !node.cpus().is_empty());
        assert_eq!(nodes.into_iter().collect::<Vec<_>>(), with_cpus.map(|node| node.id()).collect::<Vec<_>>());
    }
}

/// As many tasks on each node as it has workers, each of which waits for all others: so each worker runs one of them, and
/// nobody is idle and steals.
#[test]
fn jobs_run_at_home_where_all_nodes_have_work() {
    let Some(machine) = Machine::get() else { return };
    let pool = Pool::builder().pinning(Pinning::Cores).strict(true).build().expect("all can be bound");
    let homes: Vec<usize> = pool.placement().workers().iter().filter_map(|place| place.node()).collect();
    // The thread that waits for the run takes a place of a worker.
    let barrier = Barrier::new(homes.len());
    let (barrier, away) = (&barrier, &AtomicUsize::new(0));
    let g = Graph::new();
    for home in &homes {
        let node = machine.topology.numa_node(*home).expect("a worker is there").cpus().clone();
        g.task((), move |()| {
            barrier.wait();
            away.fetch_add(usize::from(!node.contains(cpu())), Ordering::Relaxed);
        })
        .place(Place::Node(*home));
    }
    let plan = pool.run(g).expect("runs");
    let away = away.load(Ordering::Relaxed);
    let report = plan.report();
    let remote: u64 = report.workers().iter().map(WorkerReport::remote_steals).sum();
    // Who begins may find nothing at home yet, and takes a range of tasks from another node: that is counted, once for a
    // range, and a range is no longer than a node has workers. The calling thread is bound to no node.
    let most = homes.iter().map(|home| homes.iter().filter(|other| *other == home).count()).max().expect("workers");
    let (count, explained) = (homes.len(), usize::try_from(remote).expect("few") * most + most);
    assert!(away <= explained, "{away} of {count} tasks ran away from home, {remote} steals from another node");
}

#[test]
fn other_nodes_help_where_only_one_has_work() {
    let Some(machine) = Machine::get() else { return };
    let pool = Pool::builder().pinning(Pinning::Cores).strict(true).build().expect("all can be bound");
    let home = pool.placement().workers().iter().find_map(|place| place.node()).expect("a node");
    let at_home = machine.topology.numa_node(home).expect("a worker is there").cpus().clone();
    let g = Graph::new();
    let away = &AtomicUsize::new(0);
    for _ in 0..512 {
        let at_home = at_home.clone();
        g.task((), move |()| {
            away.fetch_add(usize::from(!at_home.contains(cpu())), Ordering::Relaxed);
            (0..200_000_u64).for_each(|i| _ = std::hint::black_box(i));
        })
        .place(Place::Node(home));
    }
    pool.run(g).expect("runs");
    if pool.placement().workers().iter().any(|place| place.node() != Some(home)) {
        assert!(away.load(Ordering::Relaxed) > 0, "other nodes help");
    }
}
