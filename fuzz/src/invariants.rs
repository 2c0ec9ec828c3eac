//! What holds for every machine.

use millstream::{CpuSet, Pinning, Pool, Topology};

/// Workers are placed on machines up to this size only: on larger ones that takes long.
const SMALL: usize = 256;

pub(crate) fn assert_sound(machine: &Topology) {
    let allowed = machine.allowed_cpus();
    assert!(!allowed.is_empty() && allowed.is_subset(machine.cpus()), "{machine:?}");
    let cores = || machine.cores().iter().map(|core| core.cpus());
    assert_eq!(cores().fold(CpuSet::new(), |all, cpus| all.union(cpus)), *allowed, "{machine:?}");
    assert_eq!(cores().map(CpuSet::len).sum::<usize>(), allowed.len(), "{machine:?}");
    for core in machine.cores() {
        let package = core.package().map(|index| machine.packages()[index].cpus());
        let domain = core.l3().map(|index| machine.l3_domains()[index].cpus());
        let node = core.node().map(|id| machine.numa_node(id).expect("a node of its own").cpus());
        for part in [package, domain, node].into_iter().flatten() {
            assert!(core.cpus().is_subset(part), "{core:?} of {machine:?}");
        }
    }
    assert!(machine.numa_nodes().iter().any(|node| !node.cpus().is_empty()), "{machine:?}");
    for node in machine.numa_nodes() {
        assert!(!node.cpus().is_empty() || node.may_allocate(), "{node:?} of {machine:?}");
        assert!(node.near().is_subset(allowed), "{node:?} of {machine:?}");
    }
    assert!(machine.cpu_quota().is_none_or(|quota| quota > 0.0 && quota.is_finite()), "{machine:?}");
    assert!(!machine.is_this_machine());
    assert_eq!(format!("{machine:#}").matches("  core ").count(), machine.cores().len(), "{machine:#}");
    if machine.cpus().len() <= SMALL {
        assert_places(machine);
    }
}

/// Workers of any number are placed where they may run.
fn assert_places(machine: &Topology) {
    let cores = machine.cores().len();
    for workers in [1, cores, 2 * cores + 1] {
        for pinning in [Pinning::Auto, Pinning::Cores, Pinning::Nodes, Pinning::Off] {
            let builder = Pool::builder().topology(machine.clone()).workers(workers).pinning(pinning);
            let placement = builder.placement().expect("a placement");
            assert_eq!(placement.workers().len(), workers, "{placement}");
            assert!((1..=machine.allowed_cpus().len()).contains(&placement.active()), "{placement}");
            for place in placement.workers() {
                let cpus = place.cpus().unwrap_or(machine.allowed_cpus());
                assert!(!cpus.is_empty() && cpus.is_subset(machine.allowed_cpus()), "{placement}");
            }
        }
    }
}
